# SPDX-License-Identifier: Apache-2.0
"""Settings as git has them: the same files' syntax and levels, read without loading git.

``run`` reads settings on each start, hence a reader of our own (``config_syntax.py``); files are
changed in ``repo/config.py``. Nothing here looks at the process's environment by itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from envgit.config_syntax import (
    Item,
    SettingsError,
    canonical,
    parse,
    parse_age,
    parse_bool,
    parse_int,
)

__all__ = ["KNOWN", "Entry", "Setting", "Settings", "SettingsError", "canonical", "read_file"]


class Setting(NamedTuple):
    """A setting that envgit knows: the reference in the docs is made from these."""

    name: str
    kind: str
    """``bool``, ``int``, ``path``, ``text``, ``expiry``, ``colour``, or ``list`` (may repeat)."""
    default: str | None
    doc: str


KNOWN: tuple[Setting, ...] = (
    Setting("advice.detachedHead", "bool", "true", "Explain what a detached HEAD is."),
    Setting("advice.ignoredHook", "bool", "true", "Say so when a hook is not executable."),
    Setting("advice.parkedChanges", "bool", "true", "Say how to have back what was set aside."),
    Setting("advice.statusHints", "bool", "true", "Say in ``status`` how to go on."),
    Setting("alias.<name>", "text", None, "A verb of your own; ``!command`` runs a shell."),
    Setting("blame.blankBoundary", "bool", "false", "Show no id of a boundary in ``blame``."),
    Setting("blame.date", "text", "iso", "How ``blame`` shows dates of lines, as its ``--date``."),
    Setting("blame.showEmail", "bool", "false", "Show addresses in ``blame``, not names."),
    Setting("blame.showRoot", "bool", "false", "Commits without parents are no boundary."),
    Setting("branch.<name>.merge", "text", None, "The branch of the remote that this one tracks."),
    Setting("branch.<name>.mergeOptions", "text", None, "Options of ``merge`` on this branch."),
    Setting("branch.<name>.remote", "text", None, "The remote that this branch tracks one of."),
    Setting("color.<section>", "text", None, "As ``color.ui``, for one verb's output."),
    Setting("color.<section>.<slot>", "colour", None, "One colour, in git's words."),
    Setting("color.ui", "text", "auto", "Colour: ``auto`` (on a terminal), ``always``, ``never``."),
    Setting("core.abbrev", "text", "auto", "Digits of a short id: a number, ``auto`` or ``no``."),
    Setting("core.editor", "text", None, "The editor for messages, before VISUAL and EDITOR."),
    Setting(
        "core.hooksPath",
        "path",
        None,
        "Where hooks are looked for instead of ``.envgit/hooks``: absolute, or from the project "
        "folder.",
    ),
    Setting(
        "core.maxDepth",
        "int",
        "64",
        "Most directories that a mount may stack (40 to 400); older layers are merged into spans "
        "before that is reached.",
    ),
    Setting("core.pager", "text", None, "The pager, before PAGER and ``less``."),
    Setting("core.quotePath", "bool", "true", "Quote bytes over 0x7f in paths that are printed."),
    Setting(
        "core.store",
        "path",
        None,
        "Where layers and uncommitted changes live. Default: ``/var/lib/envgit`` for root, else "
        "``$XDG_DATA_HOME/envgit``. ENVGIT_STORE goes before it.",
    ),
    Setting(
        "core.volatile",
        "bool",
        "true",
        "Let fsync inside an environment return at once. What is uncommitted may then be "
        "incomplete after a power cut, which the next command says; commits are always flushed.",
    ),
    Setting("diff.context", "int", "3", "Lines of context around a change in a text diff."),
    Setting("diff.renames", "bool", "true", "Look for renamed files in ``diff`` and ``log``."),
    Setting(
        "envgit.formerWorktree",
        "text",
        None,
        "Of a copied repository: the worktree of its original, whose operations ``undo`` takes for "
        "its own.",
    ),
    Setting("envgit.worktree", "text", None, "The worktree of this repository in the store."),
    Setting("format.pretty", "text", "medium", "The form of commits, as ``log --pretty``."),
    Setting(
        "gc.auto",
        "int",
        "6700",
        "With more loose objects than this, ``gc --auto`` has something to do; 0 switches it off.",
    ),
    Setting("gc.autoPackLimit", "int", "50", "With more packs than this, it has, too."),
    Setting(
        "gc.pruneExpire",
        "expiry",
        "2.weeks.ago",
        "How old git objects that nothing leads to must be before ``gc`` deletes them.",
    ),
    Setting(
        "gc.reflogExpire",
        "expiry",
        "90.days.ago",
        "How long ``undo`` and reflogs reach back: until then ``gc`` keeps what was left behind. "
        "``gc.<pattern>.reflogExpire`` is for the reflogs of the refs that fit.",
    ),
    Setting(
        "gc.reflogExpireUnreachable",
        "expiry",
        "30.days.ago",
        "The same for reflog entries that the ref's tip no longer leads to.",
    ),
    Setting(
        "gc.repositoryExpire",
        "expiry",
        "90.days.ago",
        "How long ``gc`` keeps the layers of a repository that cannot be found where it was.",
    ),
    Setting("grep.column", "bool", "false", "Show columns of matches in ``grep``."),
    Setting("grep.lineNumber", "bool", "false", "Show numbers of lines in ``grep``."),
    Setting(
        "include.path",
        "path",
        None,
        "Another settings file to read here; relative to the file that names it.",
    ),
    Setting("init.defaultBranch", "text", "main", "The first branch of a new repository."),
    Setting("log.abbrevCommit", "bool", "false", "Shorten ids in ``log`` and ``show``."),
    Setting("log.date", "text", "default", "How ``log`` shows dates, as its ``--date``."),
    Setting("log.decorate", "text", "auto", "Whether ``log`` shows the names of refs."),
    Setting("log.diffMerges", "text", None, "How ``log -m`` shows merges, as ``--diff-merges``."),
    Setting("log.graphColors", "text", None, "Colours of ``log --graph``, separated by commas."),
    Setting("merge.conflictStyle", "text", "merge", "Markers: ``merge``, ``diff3``, ``zdiff3``."),
    Setting("merge.ff", "text", "true", "``false``: as ``--no-ff``; ``only``: as ``--ff-only``."),
    Setting("merge.log", "text", "false", "Subjects in merge messages: a number, or ``true``."),
    Setting("merge.stat", "bool", "true", "Show a diffstat after ``merge``."),
    Setting("merge.suppressDest", "list", None, "Branches that ``into`` is left out for."),
    Setting("pager.<verb>", "text", None, "Whether, or through what, a verb's output is paged."),
    Setting("pretty.<name>", "text", None, "A form of commits of your own, for ``--pretty``."),
    Setting(
        "registry.<host>.ca",
        "path",
        None,
        "A PEM file with CAs that count for this registry, besides the system's; instead of "
        "``/etc/containers/certs.d`` and ``/etc/docker/certs.d``.",
    ),
    Setting("registry.<host>.cert", "path", None, "Your client certificate for it, a PEM file."),
    Setting(
        "registry.<host>.chunkSize",
        "int",
        "4m",
        "Bytes of the parts in which an upload that was cut is resumed there.",
    ),
    Setting("registry.<host>.key", "path", None, "The key of ``cert``, if it is in another file."),
    Setting(
        "registry.<host>.mirror",
        "list",
        None,
        "``HOST[/PREFIX]`` of registries that are asked first for what is pulled from this one.",
    ),
    Setting(
        "registry.<host>.plainHttp",
        "bool",
        "false",
        "Speak http without TLS with this registry. On loopback that is found out by itself.",
    ),
    Setting("registry.parallel", "int", "6", "How many blobs are transferred at once."),
    Setting("run.env", "list", None, "``NAME=VALUE`` (or ``NAME``) for each ``run``, as ``-e``."),
    Setting("run.network", "text", "host", "The network of ``run``: ``host`` or ``none``."),
    Setting("run.volume", "list", None, "``SRC:DST[:ro]`` for each ``run``, as ``-v``."),
    Setting("safe.directory", "list", None, "Repositories of other users that may be opened."),
    Setting("stash.showPatch", "bool", "false", "Show lines in ``stash show``."),
    Setting("stash.showStat", "bool", "true", "Show counts in ``stash show``."),
    Setting("status.branch", "bool", "false", "Show the branch in ``status --short``, too."),
    Setting("user.email", "text", None, "Your e-mail address, for commits."),
    Setting("user.name", "text", None, "Your name, for commits."),
)

_BY_NAME = {setting.name.lower(): setting for setting in KNOWN}

_FROM_GIT = frozenset(
    (
        "core.abbrev",
        "core.editor",
        "core.pager",
        "core.quotepath",
        "init.defaultbranch",
        "user.email",
        "user.name",
    )
)
"""What, besides ``color.*``, is taken from git's own user settings: who you are and how you like to
read. Never aliases, hooks or anything that would make us run something of git's."""

_MAX_INCLUDE_DEPTH = 10  # as git's MAX_INCLUDE_DEPTH


class Entry(NamedTuple):
    """One setting in force, with where it comes from, lowest level first.

    ``level`` is ``git``, ``system``, ``global``, ``local``, ``worktree`` or ``command``; ``origin``
    is what
    ``git config --show-origin`` prints (``file:/path`` or ``command line:``).
    """

    name: str
    value: str | None
    level: str
    origin: str


# -- levels -----------------------------------------------------------------------------------


def system_file(environ: Mapping[str, str]) -> str | None:
    """The machine's settings file (it need not exist); None when it is switched off."""
    if environ.get("ENVGIT_CONFIG_NOSYSTEM", "").lower() not in ("", "0", "false", "no", "off"):
        return None
    return environ.get("ENVGIT_CONFIG_SYSTEM") or "/etc/envgitconfig"


def global_files(environ: Mapping[str, str], tool: str = "envgit") -> list[str]:
    """The user's settings files, lowest first; ``<TOOL>_CONFIG_GLOBAL`` stands for both."""
    chosen = environ.get(f"{tool.upper()}_CONFIG_GLOBAL")
    if chosen is not None:
        return [chosen] if chosen else []
    home = environ.get("HOME")
    files = []
    folder = environ.get("XDG_CONFIG_HOME") or (home and os.path.join(home, ".config"))
    if folder:
        files.append(os.path.join(folder, tool, "config"))
    if home:
        files.append(os.path.join(home, f".{tool}config"))
    return files


def read_file(path: str, environ: Mapping[str, str], *, missing_ok: bool = True) -> list[Entry]:
    """The settings of one file with its includes, as level ``local``. Raises SettingsError."""
    return list(_read(path, "local", environ, missing_ok=missing_ok))


def _read(
    path: str, level: str, environ: Mapping[str, str], *, missing_ok: bool = True, depth: int = 0
) -> Iterator[Entry]:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except (FileNotFoundError, NotADirectoryError) as error:
        if missing_ok:
            return
        raise SettingsError(f"unable to read config file '{path}': {error.strerror}") from None
    except OSError as error:
        raise SettingsError(f"unable to access '{path}': {error.strerror}") from error
    for item in parse(data, f"file {path}"):
        yield Entry(item.name, item.value, level, f"file:{path}")
        if item.name == "include.path":
            included = _include(item, path, environ, depth)
            yield from _read(included, level, environ, depth=depth + 1)


def _include(item: Item, path: str, environ: Mapping[str, str], depth: int) -> str:
    if item.value is None:
        raise SettingsError(f"missing value for 'include.path' in file {path}, line {item.line}")
    if depth >= _MAX_INCLUDE_DEPTH:
        raise SettingsError(
            f"exceeded maximum include depth ({_MAX_INCLUDE_DEPTH}) while including "
            f"{item.value} from {path}. This might be due to circular includes."
        )
    return os.path.join(os.path.dirname(path), _expand(item.value, environ))


def _expand(path: str, environ: Mapping[str, str]) -> str:
    """``~/`` by HOME of the environment that was given, ``~user/`` by the account."""
    if path == "~" or path.startswith("~/"):
        home = environ.get("HOME")
        if not home:
            raise SettingsError(f"failed to expand user dir in: '{path}'")
        return home + path[1:]
    if path.startswith("~"):
        expanded = os.path.expanduser(path)
        if expanded == path:
            raise SettingsError(f"failed to expand user dir in: '{path}'")
        return expanded
    return path


class Settings:
    """Settings of all levels. Names are compared as git does: only subsections have a case."""

    __slots__ = ("_environ", "_values", "entries")

    def __init__(self, entries: Sequence[Entry], environ: Mapping[str, str]) -> None:
        self.entries = tuple(entries)
        """Everything in force, lowest level first: a later one of the same name wins."""
        self._environ = environ
        self._values: dict[str, list[Entry]] = {}
        for entry in self.entries:
            self._values.setdefault(entry.name, []).append(entry)

    @classmethod
    def load(
        cls,
        *,
        environ: Mapping[str, str],
        repository: str | None = None,
        worktree: str | None = None,
        overrides: Sequence[tuple[str, str | None]] = (),
    ) -> Settings:
        """Read all levels: git's (a few), system, global, ``repository``'s file, ``worktree``'s
        (``config.worktree`` of a linked one), ``overrides``.

        ``overrides`` are the ``-c`` options: name and text, None for ``-c name``. Raises
        SettingsError.
        """
        entries: list[Entry] = []
        for path in global_files(environ, "git"):
            entries.extend(
                entry
                for entry in _read(path, "git", environ)
                if entry.name in _FROM_GIT or entry.name.startswith("color.")
            )
        system = system_file(environ)
        if system is not None:
            entries.extend(_read(system, "system", environ))
        for path in global_files(environ):
            entries.extend(_read(path, "global", environ))
        if repository is not None:
            entries.extend(_read(repository, "local", environ))
        if worktree is not None:
            entries.extend(_read(worktree, "worktree", environ))
        for name, value in overrides:
            entries.append(Entry(canonical(name), value, "command", "command line:"))
            if entries[-1].name == "include.path":
                entries.extend(_command_include(value, environ))
        return cls(entries, environ)

    def get(self, name: str, default: str | None = None) -> str | None:
        """The text that is set, else ``default``; the table's own default is not looked at.

        A bare name is ``true`` for a switch, else an error as in git. Raises SettingsError.
        """
        entry = self.entry(name)
        if entry is None:
            return default
        if entry.value is None:
            known = _BY_NAME.get(entry.name)
            if known is None or known.kind == "bool":
                return "true"
            raise SettingsError(f"missing value for '{entry.name}'{_in(entry)}")
        return entry.value

    def get_all(self, name: str) -> list[str]:
        """Every text that is set, lowest level first."""
        return [entry.value or "" for entry in self._values.get(canonical(name), ())]

    def get_text(self, name: str) -> str:
        """The text that is set, else the table's default, else ""."""
        return self.get(name) or _default(name) or ""

    def get_bool(self, name: str) -> bool:
        """A switch: yes/on/true/1 and no/off/false/0, as git reads them. Raises SettingsError."""
        entry = self.entry(name)
        if entry is None:
            return parse_bool(_default(name) or "false") is True
        value = parse_bool(entry.value)
        if value is None:
            raise SettingsError(
                f"bad boolean config value '{entry.value}' for '{entry.name}'{_in(entry)}"
            )
        return value

    def get_int(self, name: str) -> int:
        """A whole number, with k, m or g for powers of 1024. Raises SettingsError."""
        entry = self.entry(name)
        if entry is None:
            return parse_int(_default(name) or "0")
        try:
            return parse_int(entry.value or "")
        except ValueError as error:
            raise SettingsError(
                f"bad numeric config value '{entry.value or ''}' for '{entry.name}'{_in(entry)}: "
                f"{error}"
            ) from None

    def get_path(self, name: str) -> str | None:
        """A path with ``~`` expanded, or None. Raises SettingsError."""
        value = self.get(name)
        return None if value is None else _expand(value, self._environ)

    def get_expiry(self, name: str) -> int | None:
        """An age in seconds after which something may go; None for never. Raises SettingsError.

        Understands ``90.days.ago`` and ``90 days``, ``now`` and ``all`` (0), ``never`` and
        ``false``.
        """
        text = self.get_text(name)
        try:
            return parse_age(text)
        except ValueError:
            entry = self.entry(name)
            raise SettingsError(
                f"'{text}' for '{canonical(name)}'{_in(entry) if entry else ''} is not an age",
                hint="write '90 days', 'now' or 'never'",
            ) from None

    def entry(self, name: str) -> Entry | None:
        """The entry that decides, with its origin, or None."""
        found = self._values.get(canonical(name))
        return found[-1] if found else None

    def names(self) -> list[str]:
        """The canonical names that are set, sorted."""
        return sorted(self._values)


def _command_include(value: str | None, environ: Mapping[str, str]) -> list[Entry]:
    path = _expand(value or "", environ)
    if not os.path.isabs(path):
        raise SettingsError("relative config includes must come from files")
    return list(_read(path, "command", environ, depth=1))


def _default(name: str) -> str | None:
    known = _BY_NAME.get(canonical(name))
    return None if known is None else known.default


def _in(entry: Entry) -> str:
    kind, _, path = entry.origin.partition(":")
    return f" in file {path}" if kind == "file" else " in command line"
