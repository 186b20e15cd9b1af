# SPDX-License-Identifier: Apache-2.0
"""`config`: settings read and written, in both of git's syntaxes (`--get x` and `get x`)."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from envgit.cli import editor
from envgit.cli.app import App
from envgit.cli.errors import UsageProblem
from envgit.cli.verb import argument, flag, section, value, verb
from envgit.config_syntax import parse_bool, parse_int
from envgit.errors import EnvgitError
from envgit.porcelain import configure
from envgit.settings import Entry, read_file

_WORDS = ("get", "set", "unset", "list", "edit", "rename-section", "remove-section")
_ACTIONS = (
    "get", "get_all", "get_regexp", "listing", "add", "replace_all", "unset", "unset_all",
    "edit", "rename_section", "remove_section",
)  # fmt: skip


class _Place(NamedTuple):
    """Which file is meant: a path to write to, and whether reading is confined to it."""

    path: str | None
    scope: str


@verb(
    "config",
    "config [<file-option>] [--type=<type>] [--get] [--show-origin] <name>",
    "config [<file-option>] [--add | --replace-all] <name> <value>",
    "config [<file-option>] (--get-all | --get-regexp | --unset | --unset-all) <name>",
    "config [<file-option>] -l [-z] [--name-only] [--show-origin] [--show-scope]",
    "config [<file-option>] -e",
    "config (get | set | unset | list | edit) [<options>] [<name> [<value>]]",
)
@section(
    "Config file location",
    flag("--global", "use global config file", to="is_global"),
    flag("--system", "use system config file"),
    flag("--local", "use repository config file"),
    value("-f, --file <file>", "use given config file"),
)
@section(
    "Action",
    flag("--get", "get value: name"),
    flag("--get-all", "get all values: key"),
    flag("--get-regexp", "get values for regexp: name-regex"),
    flag("--replace-all", "replace all matching variables: name value"),
    flag("--add", "add a new variable: name value"),
    flag("--unset", "remove a variable: name"),
    flag("--unset-all", "remove all matches: name"),
    flag("--rename-section", "rename section: old-name new-name"),
    flag("--remove-section", "remove a section: name"),
    flag("-l, --list", "list all", to="listing"),
    flag("-e, --edit", "open an editor"),
)
@section(
    "Type",
    value("-t, --type <type>", "value is given this type: bool, int, path"),
    flag("--bool", 'value is "true" or "false"', to="as_bool"),
    flag("--int", "value is decimal number", to="as_int"),
)
@section(
    "Other",
    flag("-z, --null", "terminate values with NUL byte", to="nul"),
    flag("--name-only", "show variable names only"),
    flag("--show-origin", "show origin of config (file, standard input, blob, command line)"),
    flag("--show-scope", "show scope of config (worktree, local, global, system, command)"),
    value("--default <value>", "with --get, use default value when missing entry"),
    flag("--all", "with get, get all values; with unset, remove all", to="every"),
    flag("--json", "print the result as JSON", to="as_json"),
)
@argument("words", nargs=-1)
def config(app: App, words: tuple[str, ...], **options: Any) -> int:
    """Read and write settings.

    Settings are read from /etc/envgitconfig, ~/.envgitconfig (or
    $XDG_CONFIG_HOME/envgit/config), the repository's own config and -c, later ones winning. Your
    name, e-mail, editor, pager and colours are taken from git's settings when envgit has none.
    """
    words = _modern(words, options)
    actions = [name for name in _ACTIONS if options[name]]
    if len(actions) > 1:
        raise UsageProblem("only one action at a time", usage="short")
    action = actions[0] if actions else {1: "get", 2: "set"}.get(len(words), "")
    if not action:
        raise UsageProblem("no action specified", usage="short")
    place = _place(app, options)
    if action in ("get", "get_all", "get_regexp", "listing"):
        return _read(app, action, words, place, options)
    path = place.path or configure.file_of(place.scope or "local", app.environ, _folder(app))
    return _write(app, action, words, path)


def _modern(words: tuple[str, ...], options: dict[str, Any]) -> tuple[str, ...]:
    """Understand git 2.46's subcommands by turning them into the options they replace."""
    if not words or words[0] not in _WORDS or "." in words[0]:
        return words
    name, rest = words[0].replace("-", "_"), words[1:]
    every = options["every"]
    if name == "set":
        _need(rest, 2)
        return rest
    if name == "get" and every:
        name = "get_all"
    if name == "unset" and every:
        name = "unset_all"
    options["listing" if name == "list" else name] = True
    return rest


def _place(app: App, options: dict[str, Any]) -> _Place:
    scopes = [
        scope
        for scope, given in (
            ("global", options["is_global"]),
            ("system", options["system"]),
            ("local", options["local"]),
        )
        if given
    ]
    if len(scopes) + (options["file"] is not None) > 1:
        raise UsageProblem("only one config file at a time", usage="short")
    if options["file"] is not None:
        return _Place(options["file"], "command")
    if scopes:
        return _Place(configure.file_of(scopes[0], app.environ, _folder(app)), scopes[0])
    return _Place(None, "")


def _folder(app: App) -> str | None:
    from envgit.porcelain.foundation.repository import NotARepository

    try:
        return app.repository.common
    except NotARepository:
        return None


def _read(
    app: App, action: str, words: Sequence[str], place: _Place, options: dict[str, Any]
) -> int:
    entries = _entries(app, place, options)
    if action == "listing":
        _need(words, 0)
        app.page()
        _print(app, entries, options, named=True)
        return 0
    _need(words, 1)
    if action == "get_regexp":
        try:
            pattern = re.compile(words[0])
        except re.error as error:
            raise EnvgitError(f"invalid key pattern: {words[0]}") from error
        found = [entry for entry in entries if pattern.search(entry.name)]
    else:
        key = configure.check_key(words[0])
        found = [entry for entry in entries if entry.name == key]
        if action == "get":
            found = found[-1:]
    if not found and options["default"] is not None:
        found = [Entry(words[0], options["default"], "command", "command line:")]
    if not found:
        return 1
    _print(app, found, options, named=action == "get_regexp")
    return 0


def _entries(app: App, place: _Place, options: dict[str, Any]) -> Sequence[Entry]:
    if place.path is None:
        return app.settings.entries
    found = read_file(place.path, app.environ, missing_ok=options["file"] is None)
    return [entry._replace(level=place.scope) for entry in found]


def _print(app: App, entries: Sequence[Entry], options: dict[str, Any], *, named: bool) -> None:
    if options["as_json"]:
        app.out.json([entry._asdict() for entry in entries])
        return
    kind = "bool" if options["as_bool"] else "int" if options["as_int"] else options["type"]
    between, end = ("\n", "\0") if options["nul"] else ("=" if named else " ", "\n")
    after = "\0" if options["nul"] else "\t"
    if options["get_regexp"] and not options["nul"]:
        between = " "
    for entry in entries:
        text = ""
        if options["show_scope"]:
            text += entry.level + after
        if options["show_origin"]:
            text += _origin(entry) + after
        shown = _typed(entry, kind)
        if options["name_only"]:
            text += entry.name
        elif named:
            text += entry.name if shown is None else f"{entry.name}{between}{shown}"
        else:
            text += shown or ""
        app.out.line(text, end=end)


def _origin(entry: Entry) -> str:
    """The origin as git shows it: a repository's file relative to where we are."""
    kind, _, path = entry.origin.partition(":")
    if kind == "file" and entry.level == "local":
        relative = os.path.relpath(path)
        if not relative.startswith(".." + os.sep):
            return f"file:{relative}"
    return entry.origin


def _typed(entry: Entry, kind: str | None) -> str | None:
    if kind in ("bool", "boolean"):
        found = parse_bool(entry.value)
        if found is None:
            raise EnvgitError(
                f"bad boolean config value '{entry.value}' for '{entry.name}'{_in(entry)}"
            )
        return "true" if found else "false"
    if kind == "int":
        try:
            return str(parse_int(entry.value or ""))
        except ValueError as error:
            raise EnvgitError(
                f"bad numeric config value '{entry.value}' for '{entry.name}'{_in(entry)}: {error}"
            ) from error
    if kind == "path":
        return os.path.expanduser(entry.value or "")
    if kind is not None:
        raise EnvgitError(f"unrecognized --type argument, {kind}")
    return entry.value


def _in(entry: Entry) -> str:
    kind, _, path = _origin(entry).partition(":")
    return f" in file {path}" if kind == "file" else " in command line"


def _write(app: App, action: str, words: Sequence[str], path: str) -> int:
    if action == "edit":
        _need(words, 0)
        _edit(app, path)
    elif action in ("set", "add", "replace_all"):
        _need(words, 2)
        if action == "add":
            configure.add_value(path, words[0], words[1])
        else:
            every = action == "replace_all"
            configure.set_value(path, words[0], words[1], replace_all=every)
    elif action in ("unset", "unset_all"):
        _need(words, 1)
        if not configure.unset(path, words[0], every=action == "unset_all"):
            return 5
    elif action == "rename_section":
        _need(words, 2)
        configure.rename_section(path, words[0], words[1])
    else:
        _need(words, 1)
        configure.rename_section(path, words[0], None)
    return 0


def _edit(app: App, path: str) -> None:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            text = file.read()
    except FileNotFoundError:
        text = "# Settings of envgit; see 'envgit help config'.\n"
    editor.edit(app, path, text)


def _need(words: Sequence[str], count: int) -> None:
    if len(words) != count:
        raise UsageProblem("wrong number of arguments", usage="short")
