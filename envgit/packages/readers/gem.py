# SPDX-License-Identifier: Apache-2.0
"""Reads the gems of Ruby: one specification each in a ``specifications`` directory.

Source: rubygems' Gem::BasicSpecification and Gem::Installer for what lies where; Debian's
rubygems-integration for the directories of its packages. ``place`` is what RubyGems calls a gem
repository. Several versions of a gem can be installed in one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from envgit.layers.entry import Directory, Kind, find_directory, find_entry, join
from envgit.packages.model import Files, Package, Shipped, Unit, key_of
from envgit.packages.readers import gemspec
from envgit.packages.readers.beneath import files_below
from envgit.packages.readers.carriers import system_manager
from envgit.packages.readers.jsontext import text

_FOLDER = b"specifications"
_LARGEST = 16 << 20


class Gem:
    """Gems, those that come with Ruby included."""

    name = "gem"

    def units(self, path: bytes, directory: Directory, names: Collection[bytes]) -> Iterable[Unit]:
        """Each specification, those of ``specifications/default`` too."""
        parts = path.rsplit(b"/", 2)
        if parts[-1] != _FOLDER and parts[-2:] != [_FOLDER, b"default"]:
            return
        for name in names:
            entry = directory.lookup(name) if name.endswith(b".gemspec") else None
            if entry is not None and entry.kind == Kind.FILE:
                yield Unit(self.name, join(path, name), key_of(entry))

    def read(self, unit: Unit, files: Files) -> Iterable[Package]:
        """The gem of a specification."""
        spec = gemspec.parse(files.read(unit.path, _LARGEST))
        place = unit.path.rpartition(_FOLDER)[0].rstrip(b"/")
        default = unit.path.rpartition(b"/")[0].endswith(b"/default")
        yield Package(
            manager=self.name,
            name=text(spec.name, 512),
            version=text(spec.version, 256),
            architecture=text(spec.platform, 256),
            place=place,
            unit=unit.path,
            state="default" if default else "installed",
            carried_by=_carrier(unit.path, place, files, default=default),
            summary=text(spec.values.get("summary")),
            license=" OR ".join(spec.licenses)[:1024],
            homepage=text(spec.values.get("homepage")),
            requires=tuple(spec.requires),
        )

    def manifest(self, package: Package, files: Files) -> Iterator[Shipped]:
        """Its directory, what was compiled for it, its programs and its part of the records."""
        yield Shipped(package.unit)
        if package.state == "default":
            # Its code lies in Ruby's own directories.
            return
        full = package.unit.rpartition(b"/")[2].removesuffix(b".gemspec")
        folders = [join(package.place, folder + full) for folder in (b"gems/", b"doc/")]
        # extensions/PLATFORM/RUBY/NAME-VERSION
        shelf = join(package.place, b"extensions")
        for platform in _names(files.tree, shelf):
            for ruby in _names(files.tree, join(shelf, platform)):
                folders.append(b"/".join((shelf, platform, ruby, full)))
        for folder in folders:
            yield from map(Shipped, files_below(files.tree, folder))
        for single in (b"cache/" + full + b".gem", b"build_info/" + full + b".info"):
            if find_entry(files.tree, join(package.place, single)) is not None:
                yield Shipped(join(package.place, single))
        yield from map(Shipped, _programs(package, files))


def _names(root: Directory, path: bytes) -> list[bytes]:
    directory = find_directory(root, path)
    return sorted(directory.names())[:100] if directory is not None else []


def _carrier(unit: bytes, place: bytes, files: Files, *, default: bool) -> str:
    """Who brought a gem of the distribution's directories: it, unless RubyGems installed it there.

    RubyGems keeps the archive that it installed, which packages of distributions leave out.
    """
    if not place.startswith((b"usr/lib", b"usr/share/")):
        return ""
    name = unit.rpartition(b"/")[2].removesuffix(b".gemspec")
    archive = b"/".join((place, b"cache", name + b".gem"))
    if not default and find_entry(files.tree, archive) is not None:
        return ""
    return system_manager(files)


def _programs(package: Package, files: Files) -> Iterator[bytes]:
    """The small programs that RubyGems writes, which name the gem that they start."""
    spec = gemspec.parse(files.read(package.unit, _LARGEST))
    called = package.name.encode("utf-8", "replace")
    for name in spec.executables:
        encoded = name.encode("utf-8", "replace")
        if not encoded or b"/" in encoded:
            continue
        for shelf in (join(package.place, b"bin"), b"usr/local/bin", b"usr/bin"):
            path = join(shelf, encoded)
            entry = find_entry(files.tree, path)
            if entry is not None and entry.kind == Kind.FILE and entry.size < 1 << 16:
                script = files.read(path, 1 << 16)
                if b"RubyGems" in script and called in script:
                    yield path
                    break
