# SPDX-License-Identifier: Apache-2.0
"""Reads which programs ``cargo install`` put below a root: ``.crates2.json`` or ``.crates.toml``.

Source: cargo's ``ops/common_for_install_and_uninstall.rs`` (InstallTracker). Both files have the
same packages; the newer has more about each. All were asked for: what they need is linked in.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator

from envgit.layers.entry import Directory, Kind, find_entry, join
from envgit.packages.model import Files, Package, Shipped, Unit, Unreadable, key_of
from envgit.packages.readers.jsontext import load_object, table, text, texts

_NEW = b".crates2.json"
_OLD = b".crates.toml"
_LARGEST = 8 << 20
_MOST = 100_000

# "ripgrep 13.0.0 (registry+https://github.com/rust-lang/crates.io-index)"
_NAMED = re.compile(r"(\S{1,256}) (\S{1,256})(?: \((\S*)\))?")

_TEXT = re.compile(r'"([^"]*)"')


class Cargo:
    """Programs written in Rust, installed from their sources."""

    name = "cargo"

    def units(self, path: bytes, directory: Directory, names: Collection[bytes]) -> Iterable[Unit]:
        """The newer of the two files."""
        for name in (_NEW, _OLD):
            entry = directory.lookup(name) if name in names else None
            if entry is not None and entry.kind == Kind.FILE:
                yield Unit(self.name, join(path, name), key_of(entry))
                return

    def read(self, unit: Unit, files: Files) -> Iterator[Package]:
        """The crates of a root."""
        for said, (_, target) in _installed(unit.path, files).items():
            match = _NAMED.fullmatch(said)
            if match is not None:
                name, version, _ = match.groups()
                yield Package(
                    manager=self.name,
                    name=name,
                    version=version,
                    architecture=target,
                    place=unit.path.rpartition(b"/")[0],
                    unit=unit.path,
                    reason="manual",
                )

    def manifest(self, package: Package, files: Files) -> Iterator[Shipped]:
        """Its programs. The files that list it list the others, too."""
        for said, (programs, _) in _installed(package.unit, files).items():
            match = _NAMED.fullmatch(said)
            if match is None or match.groups()[:2] != (package.name, package.version):
                continue
            for program in programs:
                path = join(join(package.place, b"bin"), program.encode("utf-8", "replace"))
                if find_entry(files.tree, path) is not None:
                    yield Shipped(path)


def _installed(unit: bytes, files: Files) -> dict[str, tuple[list[str], str]]:
    """Names of programs and the target, by how cargo names the crate. Raises Unreadable."""
    data = files.read(unit, _LARGEST)
    if unit.endswith(_NEW):
        rows = table(load_object(data).get("installs"))
        found = {
            said: (texts(table(row).get("bins")), text(table(row).get("target"), 128))
            for said, row in rows.items()
        }
    else:
        found = {said: (programs, "") for said, programs in _of_toml(data).items()}
    if len(found) > _MOST:
        raise Unreadable(f"more than {_MOST} crates")
    return found


def _of_toml(data: bytes) -> dict[str, list[str]]:
    """The lists of ``[v1]``, as cargo writes them: one or several lines each.

    tomllib takes time by the square of the parts of a dotted key: a minute for 200 KB of them.
    """
    found: dict[str, list[str]] = {}
    section = ""
    current: list[str] | None = None
    for line in data.decode("utf-8", "replace").splitlines():
        line = line.strip()
        if current is None and line.startswith("["):
            section = line
        elif current is None and section == "[v1]" and line.startswith('"'):
            name, between, line = line[1:].partition('" = [')
            current = found.setdefault(name, []) if between else None
        if current is not None:
            current += _TEXT.findall(line)
            if line.endswith("]"):
                current = None
    return found
