# SPDX-License-Identifier: Apache-2.0
"""Reads the literal lines of the Ruby that RubyGems writes for an installed gem. Runs none of it.

Source: ``Gem::Specification#to_ruby_for_cache`` and ``#ruby_code`` of rubygems, whose output is one
statement a line, with strings as ``String#dump`` or ``%q<...>`` write them. Lines of other forms,
as in a gemspec that a person wrote, are passed over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from envgit.packages.model import Unreadable

_LINE = re.compile(r"s\.([a-z_]+) = (.*)")
_STUB = re.compile(r"# stub: (\S+) (\S+) (\S+) .*")
# What is not closed runs to the end: to look for it again from each quote inside takes minutes.
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)(?:"|\\?\Z)|%q<([^<>]*)>')
_NEEDS = re.compile(r"s\.add_(?:runtime_)?dependency\((.*)\)")
_PLATFORM = re.compile(r'Gem::Platform\.new\((.*)\)|"([^"]*)"')
_ESCAPE = re.compile(r"\\(u\{[0-9A-Fa-f ]{1,40}\}|u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{1,2}|.)")
_PLAIN = {"n": "\n", "t": "\t", "r": "\r", "e": "\x1b", "s": " ", "0": "\0"}

_LONGEST = 1 << 16
"""Characters of a line that is looked at; only lists of files are longer."""

_LONGEST_RELATION = 4096
_MOST = 1000


@dataclass(slots=True)
class Gemspec:
    """What the lines say; ``values`` are texts by attribute."""

    name: str = ""
    version: str = ""
    platform: str = ""
    values: dict[str, str] = field(default_factory=dict)
    licenses: list[str] = field(default_factory=list)
    executables: list[str] = field(default_factory=list)
    requires: list[str] = field(default_factory=list)


def parse(data: bytes) -> Gemspec:
    """Read a gemspec. Raises Unreadable: it says no name or no version."""
    found = Gemspec()
    older = False
    for line in data.decode("utf-8", "replace").split("\n"):
        line = line.strip()
        if len(line) > _LONGEST:
            continue
        if line == "else":
            # For a RubyGems of long ago, which knew no kinds of dependencies.
            older = True
        elif line.startswith("s.") and not (older and line.startswith("s.add_")):
            _statement(line, found)
        elif line.startswith("# stub:") and not found.name:
            stub = _STUB.fullmatch(line)
            if stub is not None:
                found.name, found.version, platform = stub.groups()
                found.platform = "" if platform == "ruby" else platform
    if not found.name or not found.version:
        raise Unreadable("its lines give no name or no version")
    return found


def _statement(line: str, found: Gemspec) -> None:
    needs = _NEEDS.fullmatch(line)
    if needs is not None:
        name, *bounds = strings(needs.group(1))[:_MOST] or [""]
        relation = f"{name} ({', '.join(bounds)})" if bounds and bounds != [">= 0"] else name
        if (
            name
            and len(relation) <= _LONGEST_RELATION
            and relation not in found.requires
            and len(found.requires) < _MOST
        ):
            found.requires.append(relation)
        return
    match = _LINE.fullmatch(line)
    if match is None:
        return
    attribute, value = match.groups()
    if attribute == "platform":
        platform = _PLATFORM.match(value)
        if platform is not None:
            # Gem::Platform.new(["x86_64", "linux"]) or of one text.
            parts = strings(platform.group(1) or f'"{platform.group(2)}"')
            found.platform = "" if parts == ["ruby"] else "-".join(parts)
    elif attribute == "licenses":
        found.licenses = strings(value)[:_MOST]
    elif attribute == "executables":
        found.executables = strings(value)[:_MOST]
    elif value.startswith(('"', "%q<")):
        first = strings(value, 1)
        if attribute == "name":
            found.name = first[0] if first else ""
        elif attribute == "version":
            found.version = first[0] if first else ""
        elif first:
            found.values[attribute] = first[0]


def strings(ruby: str, most: int = _MOST) -> list[str]:
    """The literal strings of a piece of Ruby, in order."""
    found = []
    for match in _STRING.finditer(ruby):
        double, angled = match.groups()
        found.append(angled if double is None else _ESCAPE.sub(_unescaped, double))
        if len(found) >= most:
            break
    return found


def _unescaped(match: re.Match[str]) -> str:
    said = match.group(1)
    if said[0] in "ux" and len(said) > 1:
        try:
            return "".join(chr(int(code, 16)) for code in said[1:].strip("{}").split())
        except (ValueError, OverflowError):
            return ""
    return _PLAIN.get(said, said)
