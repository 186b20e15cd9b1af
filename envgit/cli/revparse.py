# SPDX-License-Identifier: Apache-2.0
"""`rev-parse`: turns names of revisions into ids, and answers scripts about the repository.

Its options act in the order in which they stand, so the line is read here and not by click.
Source: git-rev-parse(1).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from envgit.cli.app import App
from envgit.cli.verb import Group
from envgit.errors import EnvgitError

HELP = """Turn names of revisions into ids.

Arguments are revisions and ranges (A..B, A...B, ^A), or options that print facts:

    --verify            exactly one revision, or an error; -q says nothing but the exit status
    --short[=<n>]       shorten ids
    --symbolic, --symbolic-full-name, --abbrev-ref
                        print names instead of ids
    --not, --all, --branches, --tags, --remotes, --default <revision>
    --show-toplevel, --show-prefix, --show-cdup, --git-dir, --absolute-git-dir, --git-path <path>
    --is-inside-work-tree, --is-inside-git-dir, --is-bare-repository"""

GROUPS = ("--all", "--branches", "--tags", "--remotes")
IGNORED = ("--revs-only", "--no-flags", "--flags", "--sq", "--end-of-options")


class Unparsable(EnvgitError):
    """--verify was given something else than one revision."""


@dataclass
class _Parser:
    """One line under way: how results are shown may change from argument to argument."""

    app: App
    verify: bool = False
    quiet: bool = False
    short: int | None = None
    names: str = ""
    negated: bool = False
    default: str | None = None
    shown: int = 0
    lines: list[str] = field(default_factory=list)

    def read(self, words: Sequence[str]) -> None:
        queue = list(reversed(words))
        while queue:
            word = queue.pop()
            if word == "--":
                self.lines += ["--", *reversed(queue)]
                break
            if word == "--default" and queue:
                self.default = queue.pop()
            elif word == "--git-path" and queue:
                self.lines.append(self._git_path(queue.pop()))
            elif not self._mode(word) and not self._fact(word):
                self._argument(word)
        if not self.shown and self.default is not None:
            self._argument(self.default)

    def _mode(self, word: str) -> bool:
        option, _, value = word.partition("=")
        if option == "--verify":
            self.verify = True
        elif option in ("-q", "--quiet"):
            self.quiet = True
        elif option == "--short":
            self.verify = True
            self.short = max(int(value), 4) if value.isdigit() else 7
        elif option in ("--symbolic", "--symbolic-full-name", "--abbrev-ref"):
            self.names = option[2:]
        elif option == "--not":
            self.negated = not self.negated
        elif option not in IGNORED:
            return False
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

    def _argument(self, word: str) -> None:
        from envgit.porcelain import naming, ranges

        if word.startswith("-") and word != "-" and word not in GROUPS:
            if self.verify:
                raise Unparsable("Needed a single revision")
            self.lines.append(word)
            return
        if self.verify:
            self._one(word)
            return
        repository = self.app.repository
        if word in GROUPS:
            for oid in naming.refs_of(repository, word[2:]).values():
                self._show(oid, "", excluded=False)
            return
        sides = ranges.split_range(word)
        if sides is not None:
            self._range(*sides)
        elif word.startswith("^"):
            self._show(self._object(word[1:]), word[1:], excluded=True)
        elif word.endswith(("^@", "^!")):
            found = ranges.tips_of(repository, [word])
            for oid in found.include:
                self._show(oid, "", excluded=False)
            for oid in found.exclude:
                self._show(oid, "", excluded=True)
        else:
            self._show(self._object(word), word, excluded=False)

    def _object(self, word: str) -> str:
        from envgit.porcelain.naming import object_of

        return object_of(self.app.repository, word)

    def _one(self, word: str) -> None:
        if self.shown:
            raise Unparsable("Needed a single revision")
        excluded = word.startswith("^")
        try:
            oid = self._object(word.removeprefix("^"))
        except EnvgitError as error:
            raise Unparsable("Needed a single revision") from error
        self._show(oid, word.removeprefix("^"), excluded=excluded)

    def _range(self, left: str, right: str, symmetric: bool) -> None:
        git = self.app.repository.git
        old, new = self._object(left), self._object(right)
        self._show(new, right, excluded=False)
        self._show(old, left, excluded=not symmetric)
        if symmetric:
            for base in git.merge_bases(old, new):
                self._show(base, "", excluded=True)

    def _show(self, oid: str, name: str, *, excluded: bool) -> None:
        from envgit.porcelain.naming import full_ref, shorten

        self.shown += 1
        mark = "^" if excluded != self.negated else ""
        if self.names and name:
            full = full_ref(self.app.repository, name)
            if self.names == "symbolic":
                self.lines.append(mark + name)
            elif full is not None:
                text = full if self.names == "symbolic-full-name" else shorten(full)
                self.lines.append(mark + text)
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
        as_json = "--json" in words
        parser = _Parser(app)
        try:
            parser.read([word for word in words if word != "--json"])
            if parser.verify and parser.shown != 1:
                raise Unparsable("Needed a single revision")
        except EnvgitError:
            if parser.quiet and parser.verify:
                return 1
            for line in () if parser.verify else parser.lines:
                app.out.line(line)
            raise
        if as_json:
            app.out.json(parser.lines)
            return 0
        for line in parser.lines:
            app.out.line(line)
        return 0


rev_parse = RevParse("rev-parse", (), help=HELP)
rev_parse.usage = ("rev-parse [<options>] <revision>...",)
