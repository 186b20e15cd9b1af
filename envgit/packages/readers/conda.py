# SPDX-License-Identifier: Apache-2.0
"""Reads conda's environments: one record a package in ``conda-meta``.

Source: conda's "Conda package specification" and rattler's PrefixRecord, which both write
``conda-meta/NAME-VERSION-BUILD.json``. ``place`` is the environment, ``architecture`` the subdir.
The build, which conda shows beside the version, is in the exact specification
``NAME=VERSION=BUILD`` that ``provides`` has; ``conflicts`` are what conda calls ``constrains``:
what a package has to be like, if it is there at all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from envgit.layers.entry import Directory, Kind, join
from envgit.packages.model import Files, Package, Shipped, Unit, Unreadable, key_of
from envgit.packages.paths import resolver
from envgit.packages.readers.jsontext import load_object, table, text, texts

_META = b"conda-meta"
_LARGEST = 48 << 20
_MOST_FILES = 1_000_000


class Conda:
    """Packages of conda, mamba, micromamba and pixi."""

    name = "conda"

    def units(self, path: bytes, directory: Directory, names: Collection[bytes]) -> Iterable[Unit]:
        """Each record. An environment has a ``history`` beside them, which pixi leaves out."""
        if path != _META and not path.endswith(b"/" + _META):
            return
        for name in names:
            entry = directory.lookup(name) if name.endswith(b".json") else None
            # NAME-VERSION-BUILD.json; what is called otherwise is no record.
            if entry is not None and entry.kind == Kind.FILE and name.count(b"-") >= 2:
                yield Unit(self.name, join(path, name), key_of(entry))

    def read(self, unit: Unit, files: Files) -> Iterable[Package]:
        """The package of a record."""
        said = load_object(files.read(unit.path, _LARGEST))
        name, version = text(said.get("name"), 512), text(said.get("version"), 256)
        if not name or not version:
            raise Unreadable("it names no package or no version")
        build = text(said.get("build"), 256) or text(said.get("build_string"), 256)
        size = said.get("size")
        specs = [*texts(said.get("requested_specs")), text(said.get("requested_spec"))]
        paths = table(said.get("paths_data")).get("paths")
        installed = [
            row["size_in_bytes"]
            for row in (paths if isinstance(paths, list) else ())
            if isinstance(row, dict) and isinstance(row.get("size_in_bytes"), int)
        ]
        if installed:
            size = sum(installed)
        yield Package(
            manager=self.name,
            name=name,
            version=version,
            architecture=text(said.get("subdir"), 64) or text(said.get("arch"), 64),
            place=unit.path.rpartition(_META)[0].rstrip(b"/"),
            unit=unit.path,
            size=size if isinstance(size, int) and 0 <= size < 1 << 62 else None,
            reason="manual" if any(one and one != "None" for one in specs) else "automatic",
            license=text(said.get("license")),
            summary=text(said.get("summary")),
            homepage=text(said.get("home")),
            requires=tuple(texts(said.get("depends"))),
            provides=(f"{name}={version}={build}",) if build else (),
            conflicts=tuple(texts(said.get("constrains"))),
        )

    def manifest(self, package: Package, files: Files) -> Iterator[Shipped]:
        """The paths of its record, with their digests, and the record."""
        said = load_object(files.read(package.unit, _LARGEST))
        digests: dict[str, str] = {}
        rows = table(said.get("paths_data")).get("paths")
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, dict) and isinstance(row.get("_path"), str):
                # Where a prefix is written into a file, the digest of what came of that counts.
                digest = row.get("sha256_in_prefix") or row.get("sha256") or ""
                digests[row["_path"]] = digest if isinstance(digest, str) else ""
        known = resolver(files)
        for path in texts(said.get("files"), _MOST_FILES) or list(digests)[:_MOST_FILES]:
            there = known.resolve(join(package.place, path.encode("utf-8", "replace")))
            if there is not None:
                digest = digests.get(path, "")
                yield Shipped(there, f"sha256:{digest}" if len(digest) == 64 else "")
        yield Shipped(package.unit)
