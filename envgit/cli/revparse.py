# SPDX-License-Identifier: Apache-2.0
"""`rev-parse`: turns names of revisions into ids, and answers scripts about the repository.

Its options act in the order in which they stand, so the line is read here and not by click.
Source: git-rev-parse(1).
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from envgit.cli.app import App
from envgit.cli.verb import Group
from envgit.errors import EnvgitError
from envgit.porcelain.foundation.ranges import NoSuchPath, UnknownRevision

HELP = """Turn names of revisions into ids.

Arguments are revisions and ranges (A..B, A...B, ^A), or options that print facts:

    --verify            exactly one revision, or an error; -q says nothing but the exit status
    --short[=<n>]       shorten ids
    --symbolic, --symbolic-full-name, --abbrev-ref
                        print names instead of ids
    --not, --all, --branches[=<pattern>], --tags[=], --remotes[=], --glob=, --exclude=
    --default <revision>, --revs-only, --no-revs, --flags, --no-flags, --sq
    --since=<date>, --until=<date>
    --show-toplevel, --show-prefix, --show-cdup, --git-dir, --absolute-git-dir, --git-path <path>
    --is-inside-work-tree, --is-inside-git-dir, --is-bare-repository"""

GROUPS = ("--all", "--branches", "--tags", "--remotes", "--glob", "--bisect")
TIMES = {"--since": "--max-age", "--after": "--max-age",
         "--until": "--min-age", "--before": "--min-age"}  # fmt: skip
# Options of rev-list, which --revs-only and --no-revs tell from others (git's rev-parse.c).
OF_REV_LIST = frozenset({
    "--all", "--bisect", "--dense", "--branches", "--header", "--ignore-missing", "--max-age",
    "--max-count", "--min-age", "--no-merges", "--min-parents", "--no-min-parents",
    "--max-parents", "--no-max-parents", "--objects", "--objects-edge", "--parents", "--pretty",
    "--remotes", "--sparse", "--tags", "--topo-order", "--date-order", "--unpacked",
})  # fmt: skip


class Unparsable(EnvgitError):
    """--verify was given something else than one revision."""


class NoSuchPathHere(EnvgitError):
    """An argument after a path that is none."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name}: no such path in the working tree.\n"
            "Use 'envgit <command> -- <path>...' to specify paths that do not exist locally."
        )


@dataclass
class _Parser:
    """One line under way: how results are shown may change from argument to argument."""

    app: App
    verify: bool = False
    quiet: bool = False
    short: int | None = None
    names: str = ""
    abbreviated: bool = False
    quoted: bool = False
    negated: bool = False
    default: str | None = None
    dashed: bool = False
    shown: int = 0
    held: tuple[str, str, bool] | None = None
    """With --verify: what is shown when there is one such revision."""
    revisions: bool = True
    others: bool = True
    flags: bool = True
    plain: bool = True
    excluded: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def read(self, words: Sequence[str]) -> None:
        self.dashed = "--" in words
        queue = list(reversed(words))
        options = True
        while queue:
            word = queue.pop()
            if word == "--":
                self._paths([*(["--"] if self.flags or self.revisions else []), *reversed(queue)])
                break
            if options and word == "--end-of-options":
                options = False
                if self.flags or self.revisions:
                    self._file(word)
            elif options and word == "--default":
                self.default = self._value(word, queue)
            elif options and word == "-n":
                self._numbered(word, self._value(word, queue))
            elif options and word == "--git-path":
                self.lines.append(self._git_path(self._value(word, queue)))
            elif not options or not word.startswith("-") or word == "-":
                if not self._argument(word):
                    self._rest(word, list(reversed(queue)))
                    break
            else:
                self._option(word)
        if self.verify:
            self._verified()
        else:
            self._show_default()

    def _numbered(self, word: str, number: str) -> None:
        if self.flags and self.revisions:
            self.lines += [word, number]

    def _option(self, word: str) -> None:
        known = self._mode(word) or self._filter(word) or self._group(word) or self._fact(word)
        if not known and self._flag(word) and self.verify:
            raise Unparsable("Needed a single revision")

    def _value(self, word: str, queue: list[str]) -> str:
        if not queue:
            raise EnvgitError(f"{word} requires an argument")
        return queue.pop()

    def _verified(self) -> None:
        if self.shown == 1 and self.held is not None:
            oid, name, excluded = self.held
            self._write(oid, name, excluded=excluded)
        elif self.shown or not self._show_default():
            raise Unparsable("Needed a single revision")

    def _paths(self, words: Sequence[str]) -> None:
        for word in words:
            self._file(word)

    def _rest(self, word: str, words: Sequence[str]) -> None:
        """What is no revision is a path, and so is all that follows."""
        from envgit.porcelain.foundation import ranges

        for index, name in enumerate([word, *words]):
            if name.startswith("-") and index:
                raise EnvgitError(f"option '{name}' must come before non-option arguments")
            if self._file(name) and not ranges.exists(self.app.repository, name):
                if index:
                    raise NoSuchPathHere(name)
                self._object(name)
                raise Unparsable(f"bad revision '{name}'")  # the line above has raised

    def _mode(self, word: str) -> bool:
        option, equals, value = word.partition("=")
        if option == "--verify":
            self.verify, self.flags, self.others = True, False, False
        elif option in ("-q", "--quiet"):
            self.quiet = True
        elif option == "--short":
            self.verify, self.flags, self.others = True, False, False
            self.short = min(max(int(value), 4), 40) if value.isdigit() else 7
        elif option == "--abbrev-ref":
            if equals and value not in ("strict", "loose"):
                raise EnvgitError(f"unknown mode for --abbrev-ref: {value}")
            self.abbreviated = True
        elif option in ("--symbolic", "--symbolic-full-name"):
            self.names = option[2:]
        elif option == "--not":
            self.negated = not self.negated
        elif option == "--sq":
            self.quoted = True
        else:
            return False
        return True

    def _filter(self, word: str) -> bool:
        """What kinds of arguments are shown."""
        if word == "--revs-only":
            self.others = False
        elif word == "--no-revs":
            self.revisions = False
        elif word == "--flags":
            self.plain = False
        elif word == "--no-flags":
            self.flags = False
        else:
            return False
        return True

    def _group(self, word: str) -> bool:
        from envgit.porcelain.foundation.ranges import grouped

        option, _, value = word.partition("=")
        if option == "--exclude":
            self.excluded.append(value)
            return True
        if option in TIMES and value:
            from envgit.porcelain.history import moment

            self._flag(f"{TIMES[option]}={moment(value)}")
            return True
        if option == "--disambiguate":
            from envgit.porcelain.foundation.naming import objects_like

            self.lines += objects_like(self.app.repository, value)
            return True
        if option not in GROUPS:
            return False
        found = list(grouped(self.app.repository, word, self.excluded))
        for name, oid, excluded in found:
            if name != "HEAD" or option != "--all":
                self._show(oid, name, excluded=excluded)
        self.excluded.clear()
        return True

    def _flag(self, word: str) -> bool:
        if not self.flags:
            return False
        of_rev_list = word.partition("=")[0] in OF_REV_LIST
        counted = word[1:2] == "n" or word[1:].isdigit()
        if not (self.revisions if of_rev_list or counted else self.others):
            return False
        self.lines.append(word)
        return True

    def _file(self, word: str) -> bool:
        self._show_default()
        if self.plain and self.others:
            self.lines.append(word)
            return True
        return False

    def _show_default(self) -> bool:
        name, self.default = self.default, None
        if name is None:
            return False
        try:
            oid = self._object(name)
        except EnvgitError:
            return False
        self._write(oid, name, excluded=False)
        return True

    def _fact(self, word: str) -> bool:
        repository = self.app.repository
        here = os.getcwd()
        inside = _within(here, repository.project) and not _within(here, repository.path)
        prefix = os.path.relpath(here, repository.project) if inside else "."
        if word == "--git-dir":
            at_top = here == repository.project and not repository.is_linked
            self.lines.append(os.path.basename(repository.path) if at_top else repository.path)
            return True
        if word in ("--show-cdup", "--show-prefix"):
            parts = [] if prefix == "." else prefix.split("/")
            up = "../" * len(parts)
            self.lines.append(up if word == "--show-cdup" else "".join(f"{p}/" for p in parts))
            return True
        facts = {
            "--absolute-git-dir": repository.path,
            "--git-common-dir": repository.common,
            "--show-toplevel": repository.project,
            "--is-inside-work-tree": _word(inside),
            "--is-inside-git-dir": _word(_within(here, repository.path)),
            "--is-bare-repository": "false",
            "--is-shallow-repository": "false",
            "--show-object-format": "sha1",
        }
        if word not in facts:
            return False
        self.lines.append(facts[word])
        return True

    def _git_path(self, name: str) -> str:
        repository = self.app.repository
        if not repository.is_linked:
            return os.path.relpath(os.path.join(repository.path, name))
        return os.path.join(repository.common if _is_shared(name) else repository.path, name)

    # Revisions ------------------------------------------------------------------------------

    def _argument(self, word: str) -> bool:
        """Show a revision or a range; False when the word is none."""
        from envgit.porcelain.foundation import ranges

        sides = ranges.split_range(word)
        if sides is not None:
            try:
                self._range(*sides)
            except UnknownRevision:
                return self._unknown(word)
            return True
        name = word.removeprefix("^")
        parents = ranges.parents_of(word) if name == word else None
        try:
            if parents is not None:
                self._parents(*parents)
            else:
                self._show(self._object(name), name, excluded=word.startswith("^"))
        except (UnknownRevision, NoSuchPath):
            return self._unknown(word)
        return True

    def _unknown(self, word: str) -> bool:
        if self.verify:
            raise Unparsable("Needed a single revision")
        if self.dashed:
            raise EnvgitError(f"bad revision '{word}'")
        return False

    def _object(self, word: str) -> str:
        from envgit.porcelain.foundation.naming import object_of

        return object_of(self.app.repository, word)

    def _parents(self, name: str, which: int | None) -> None:
        git = self.app.repository.git
        commit = git.resolve(name)
        parents = git.git_commit(commit).parents
        if which is not None and which > len(parents):
            raise UnknownRevision(name)
        if which != 0:
            self._write(commit, name, excluded=False)
        for number, parent in enumerate(parents, start=1):
            if which in (None, 0, number):
                self._write(parent, f"{name}^{number}", excluded=which != 0)

    def _range(self, left: str, right: str, symmetric: bool) -> None:
        git = self.app.repository.git
        old, new = self._object(left), self._object(right)
        self._write(new, right, excluded=False)
        self._write(old, left, excluded=not symmetric)
        if symmetric:
            for base in git.merge_bases(old, new):
                self._write(base, "", excluded=True)

    def _show(self, oid: str, name: str, *, excluded: bool) -> None:
        self.shown += 1
        if self.verify:
            self.held = (oid, name, excluded)
        else:
            self._write(oid, name, excluded=excluded)

    def _write(self, oid: str, name: str, *, excluded: bool) -> None:
        from envgit.porcelain.foundation.naming import full_ref, is_ambiguous, shorten

        if not self.revisions:
            return
        self.default = None
        mark = "^" if excluded != self.negated else ""
        if (self.names or self.abbreviated) and name:
            full = full_ref(self.app.repository, name)
            if self.names == "symbolic" and not self.abbreviated:
                self.lines.append(mark + name)
            elif full is not None and is_ambiguous(self.app.repository, name):
                self.app.out.note(f"error: refname '{name}' is ambiguous")
            elif full is not None:
                self.lines.append(mark + (shorten(full) if self.abbreviated else full))
            return
        if self.short is not None:
            oid = self.app.repository.git.abbrev(oid, self.short)
        self.lines.append(mark + oid)


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + os.sep)


def _is_shared(name: str) -> bool:
    """Whether a file of the repository is one for all worktrees (gitrepository-layout(5))."""
    name = name.removeprefix("logs/")
    first = name.partition("/")[0]
    if first == "refs":
        return not f"{name}/".startswith(("refs/bisect/", "refs/worktree/", "refs/rewritten/"))
    return first in {"objects", "hooks", "info", "config", "packed-refs", "remotes", "shallow"} or (
        first == "worktrees"
    )


def _word(value: bool) -> str:
    return "true" if value else "false"


class RevParse(Group):
    """The verb: reads its words itself."""

    def run(self, words: Sequence[str], app: App) -> int:
        """Print what the words ask for, one result a line."""
        if list(words) in (["-h"], ["--help"]):
            app.show_help(self, long=words[0] == "--help")
            return 129 if words[0] == "-h" else 0
        if list(words[:1]) == ["--sq-quote"]:
            app.out.line("".join(f" {_quoted(word)}" for word in words[1:]))
            return 0
        if "--parseopt" in words[:1]:
            raise EnvgitError("rev-parse --parseopt is git's own, for scripts of git")
        as_json = "--json" in words
        parser = _Parser(app)
        try:
            parser.read([word for word in words if word != "--json"])
        except EnvgitError as error:
            if parser.quiet and isinstance(error, Unparsable):
                return 1
            for line in parser.lines:
                app.out.line(line)
            raise
        if as_json:
            app.out.json(parser.lines)
        elif parser.quoted:
            app.out.write("".join(f"{_quoted(line)} " for line in parser.lines))
        else:
            for line in parser.lines:
                app.out.line(line)
        return 0


def _quoted(word: str) -> str:
    """As git quotes for a shell: in single quotes, ``'`` and ``!`` outside of them."""
    mark, word = ("^", word[1:]) if word.startswith("^") else ("", word)
    return f"{mark}'" + re.sub(r"['!]", lambda found: f"'\\{found[0]}'", word) + "'"


rev_parse = RevParse("rev-parse", (), help=HELP)
rev_parse.usage = ("rev-parse [<options>] <revision>...",)
