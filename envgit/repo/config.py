# SPDX-License-Identifier: Apache-2.0
"""Changes git config files and leaves comments and layout alone; settings.py only reads them.

Written here, not by libgit2: its writer needs the whole of pygit2 (60 ms), does not rename
sections, and does not sync. A file is edited as lines: each belongs to the section above it, and a
value that goes on after a backslash belongs to the line it began on. Every edit is checked by
reading the result back. Names are canonical (section and key in lower case), as settings.py has
them. Writers exclude each other, and git, by git's own lock file.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from envgit.config_syntax import Item, SettingsError, parse
from envgit.fs import durable
from envgit.repo.refnames import HEADS, REMOTES

_LOCK_SECONDS = 1.0
_HEADER = re.compile(r'[ \t]*\[([A-Za-z0-9.-]+)(?:[ \t]+"((?:[^"\\\n]|\\.)*)")?\][ \t]*')
_PHYSICAL = re.compile(r"[^\n]*\n|[^\n]+")
_MUST_QUOTE = re.compile(r"^[ \t]|[ \t]$|[;#\r\v\f]")


class ConfigError(SettingsError):
    """A config file that cannot be changed: locked, or in a form this does not understand."""


@dataclass(slots=True)
class _Line:
    """A line with its continuations: the section it is in, and the key it sets, if any."""

    text: str
    section: str
    key: str | None = None
    header: bool = False


def set_value(path: str, name: str, value: str) -> None:
    """Set ``section.key`` or ``section.sub.key``: the last line that sets it, or a new one."""

    def edit(lines: list[_Line]) -> list[_Line]:
        at = [number for number, line in enumerate(lines) if line.key == name]
        if not at:
            return _added(lines, name, value)
        lines[at[-1]].text = _format(name, value)
        return lines

    _edit(path, edit, lambda items: (name, value) in [(item.name, item.value) for item in items])


def add_value(path: str, name: str, value: str) -> None:
    """Give a setting one more value."""
    _edit(
        path,
        lambda lines: _added(lines, name, value),
        lambda items: (name, value) in [(item.name, item.value) for item in items],
    )


def unset(path: str, name: str) -> bool:
    """Remove every line that sets ``name``; whether there was one. An emptied section goes too."""
    found = False

    def edit(lines: list[_Line]) -> list[_Line]:
        nonlocal found
        kept = [line for line in lines if line.key != name]
        found = len(kept) != len(lines)
        section = name.rpartition(".")[0]
        inside = [line for line in kept if line.section == section]
        if found and all(line.header or not line.text.strip() for line in inside):
            kept = [line for line in kept if line.section != section]
        return kept

    _edit(path, edit, lambda items: all(item.name != name for item in items))
    return found


def rename_section(path: str, old: str, new: str | None) -> bool:
    """Rename section ``old`` (``section`` or ``section.sub``) to ``new``, or remove it with all it
    holds (None); whether it was there."""
    section = _canonical_section(old)
    found = False

    def edit(lines: list[_Line]) -> list[_Line]:
        nonlocal found
        found = any(line.header and line.section == section for line in lines)
        if new is None:
            return [line for line in lines if line.section != section]
        for line in lines:
            if line.header and line.section == section:
                line.text = _header(new)
        return lines

    _edit(path, edit, lambda items: True)
    return found


def upstream(repository: str, branch: str) -> str | None:
    """The full name of the ref that a branch tracks, by ``branch.<name>.remote`` and ``.merge``."""
    values = {item.name: item.value for item in _read(os.path.join(repository, "config"))[1]}
    remote, merge = values.get(f"branch.{branch}.remote"), values.get(f"branch.{branch}.merge")
    if not remote or not merge:
        return None
    if remote == ".":
        return merge
    return f"{REMOTES}{remote}/{merge.removeprefix(HEADS)}"


def _edit(
    path: str,
    edit: Callable[[list[_Line]], list[_Line]],
    holds: Callable[[list[Item]], bool],
) -> None:
    path = os.path.realpath(path)  # a symlinked ~/.envgitconfig stays a symlink
    with _locked(path):
        text, _ = _read(path)
        lines = edit(_lines(text))
        data = "".join(_ended(line.text) for line in lines).encode("utf-8", "surrogateescape")
        if not holds(parse(data, f"file {path}")):
            raise ConfigError(f"cannot change {path} safely", hint="edit it by hand")
        mode = os.stat(path).st_mode & 0o777 if os.path.exists(path) else 0o644
        durable.write_file(path, data, mode=mode)


def _read(path: str) -> tuple[str, list[Item]]:
    """The text of a file and what it sets; nothing for one that is not there."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return "", []
    return data.decode("utf-8", "surrogateescape"), parse(data, f"file {path}")


def _lines(text: str) -> list[_Line]:
    """The file as logical lines. ``[section] key = value`` in one line becomes two."""
    lines: list[_Line] = []
    section = ""
    physical = iter(_PHYSICAL.findall(text))
    for line in physical:
        header = _HEADER.match(line)
        if header is not None:
            section = header[1].lower()
            if header[2] is not None:
                name = re.sub(r"\\(.)", r"\1", header[2])
                section = f"{section}.{name}"
            rest = line[header.end() :]
            bare = not rest.strip() or rest.lstrip()[0] in ";#"
            lines.append(_Line(line if bare else header[0].rstrip() + "\n", section, header=True))
            if bare:
                continue
            line = "\t" + rest.lstrip()
        while _continues(line) and (more := next(physical, None)) is not None:
            line += more
        key = line.strip().partition("=")[0].strip().lower()
        sets = bool(key) and key[0] not in ";#"
        name = re.split(r"[ \t;#]", key)[0] if sets else ""
        lines.append(_Line(line, section, f"{section}.{name}" if sets else None))
    return lines


def _continues(line: str) -> bool:
    """Whether the value goes on in the next line: an unescaped backslash ends it, no comment."""
    body = line.rstrip("\r\n")
    quoted = escaped = False
    for character in body:
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif character in ";#" and not quoted:
            return False
    return escaped


def _added(lines: list[_Line], name: str, value: str) -> list[_Line]:
    """With one more setting, after the last line of its section, or in a new section."""
    section = name.rpartition(".")[0]
    line = _Line(_format(name, value), section, name)
    at = [number for number, old in enumerate(lines) if old.section == section and _solid(old)]
    if not at:
        return [*lines, _Line(_header(section), section, header=True), line]
    return [*lines[: at[-1] + 1], line, *lines[at[-1] + 1 :]]


def _solid(line: _Line) -> bool:
    return line.header or line.key is not None


def _ended(text: str) -> str:
    return text if text.endswith("\n") else text + "\n"


def _format(name: str, value: str) -> str:
    """The line that sets a value, quoted as git does."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    escaped = escaped.replace("\n", "\\n").replace("\t", "\\t").replace("\b", "\\b")
    if _MUST_QUOTE.search(value):
        escaped = f'"{escaped}"'
    return f"\t{name.rpartition('.')[2]} = {escaped}\n"


def _header(section: str) -> str:
    name, dot, sub = section.partition(".")
    if not dot:
        return f"[{name}]\n"
    quoted = sub.replace("\\", "\\\\").replace('"', '\\"')
    return f'[{name} "{quoted}"]\n'


def _canonical_section(section: str) -> str:
    name, dot, sub = section.partition(".")
    return name.lower() + dot + sub


@contextmanager
def _locked(path: str) -> Iterator[None]:
    lock = path + ".lock"
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            os.close(os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            break
        except FileExistsError:
            if time.monotonic() > deadline:
                raise ConfigError(
                    f"could not lock config file {path}: File exists",
                    hint=f"if no git or envgit is running, remove {lock}",
                ) from None
            time.sleep(0.02)
    try:
        yield
    finally:
        os.unlink(lock)
