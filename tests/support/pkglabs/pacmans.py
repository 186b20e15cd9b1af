# SPDX-License-Identifier: Apache-2.0
"""Packages for pacman(8), and trees into which it installed them.

Source: a package is a compressed tar archive that begins with ``.PKGINFO`` and ``.MTREE``
(PKGBUILD(5), makepkg(8); mtree(5) in its full form).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.pkglabs import kept

_TIME = 1704067200


@dataclass(frozen=True)
class Pac:
    """A package; ``files`` are texts by path, those of ``backup`` are meant to be edited."""

    name: str
    version: str = "1.0-1"
    files: Mapping[str, str] = field(default_factory=dict)
    backup: Sequence[str] = ()
    depends: Sequence[str] = ()

    def build(self, folder: Path) -> Path:
        """Make the package in ``folder``."""
        told = [
            ("pkgname", self.name),
            ("pkgbase", self.name),
            ("pkgver", self.version),
            ("pkgdesc", "a package of a lab"),
            ("url", "https://example.org"),
            ("builddate", str(_TIME)),
            ("packager", "Ada Tester <ada@example.org>"),
            ("size", str(sum(len(text.encode()) for text in self.files.values()))),
            ("arch", "any"),
            ("license", "MIT"),
            *(("depend", each) for each in self.depends),
            *(("backup", each) for each in self.backup),
        ]
        info = "".join(f"{key} = {value}\n" for key, value in told).encode()
        target = folder / f"{self.name}-{self.version}-any.pkg.tar.gz"
        with tarfile.open(target, "w:gz") as whole:
            _add(whole, ".PKGINFO", info)
            _add(whole, ".MTREE", gzip.compress(self._mtree(info).encode(), mtime=0))
            for directory in sorted(_above(self.files)):
                entry = tarfile.TarInfo(directory)
                entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, 0o755, _TIME
                whole.addfile(entry)
            for path, text in sorted(self.files.items()):
                _add(whole, path, text.encode())
        return target

    def _mtree(self, info: bytes) -> str:
        lines = ["#mtree", "/set type=file uid=0 gid=0 mode=644"]
        for path, data in [
            (".PKGINFO", info),
            *((path, text.encode()) for path, text in sorted(self.files.items())),
        ]:
            md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
            lines.append(
                f"./{path} time={_TIME}.0 size={len(data)} md5digest={md5} "
                f"sha256digest={hashlib.sha256(data).hexdigest()}"
            )
        for directory in sorted(_above(self.files)):
            lines.append(f"./{directory} time={_TIME}.0 mode=755 type=dir")
        return "\n".join(lines) + "\n"


def built(packages: Sequence[Pac]) -> Path:
    """A folder with these packages; kept."""

    def build(made: Path) -> None:
        for package in packages:
            package.build(made)

    return kept.kept("pacman", (packages, kept.source(sys.modules[__name__])), build)


def pacman(root: Path, *words: str) -> str:
    """``pacman WORDS`` on the tree ``root``."""
    (root / "var/lib/pacman").mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as configuration:
        configuration.write("[options]\nArchitecture = auto\nSigLevel = Never\n")
        configuration.flush()
        places = (f"--root={root}", f"--dbpath={root}/var/lib/pacman", f"--cachedir={root}/var/c")
        done = subprocess.run(
            ["pacman", "--config", configuration.name, "--noconfirm", *places, *words],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, f"pacman {' '.join(words)}\n{done.stdout}{done.stderr}"
    return done.stdout


def install(root: Path, files: Sequence[Path], *, automatic: bool = False) -> None:
    """Install packages, or upgrade to them."""
    pacman(root, "-U", *(("--asdeps",) if automatic else ()), *map(str, files))


def library(count: int = 12) -> list[Pac]:
    """``count`` packages ``lab-N`` in versions 1.0-1 and 2.0-1; each third depends on the one
    before, those that divide by 4 have a file to be edited."""
    made = []
    for version in ("1.0-1", "2.0-1"):
        for number in range(count):
            files = {f"usr/share/lab/{number:03}": f"{version} of {number}\n"}
            edited = f"etc/lab/{number:03}.conf"
            if number % 4 == 0:
                files[edited] = f"value = {version}\n"
            made.append(
                Pac(
                    f"lab-{number:03}",
                    version,
                    files,
                    (edited,) if edited in files else (),
                    (f"lab-{number - 1:03}>=1.0",) if number % 3 == 2 else (),
                )
            )
    return made


def _add(whole: tarfile.TarFile, path: str, data: bytes) -> None:
    entry = tarfile.TarInfo(path)
    entry.size, entry.mtime = len(data), _TIME
    whole.addfile(entry, io.BytesIO(data))


def _above(paths: Mapping[str, str]) -> set[str]:
    return {str(parent) for path in paths for parent in Path(path).parents if parent.name}
