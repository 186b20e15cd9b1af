# SPDX-License-Identifier: Apache-2.0
"""RPM packages made by rpmbuild(8), and trees into which rpm(8) installed them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import builders
from tests.support.pkglabs import kept

DATABASE = "/usr/lib/sysimage/rpm"
"""Where Fedora and openSUSE keep it."""


@dataclass(frozen=True)
class Rpm:
    """A package; ``files`` are texts by path, those of ``config`` are ``%config(noreplace)``."""

    name: str
    version: str = "1.0"
    release: str = "1"
    epoch: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    config: Sequence[str] = ()
    requires: Sequence[str] = ()
    header: str = ""

    def spec(self) -> str:
        """Its spec file; the sources are beneath ``%{_sourcedir}``."""
        listed = "".join(
            f"{'%config(noreplace) ' if path in self.config else ''}/{path}\n"
            for path in self.files
        )
        return "\n".join(
            [
                f"Name: {self.name}",
                f"Version: {self.version}",
                f"Release: {self.release}",
                f"Epoch: {self.epoch}" if self.epoch else "",
                "Summary: a package of a lab",
                "License: MIT",
                "BuildArch: noarch",
                "AutoReqProv: no",
                *(f"Requires: {each}" for each in self.requires),
                self.header,
                "%description",
                "A package of a lab.",
                "%install",
                f"mkdir -p %{{buildroot}}; cp -a %{{_sourcedir}}/{self.name}/. %{{buildroot}}/",
                "%files",
                listed,
            ]
        )


def built(packages: Sequence[Rpm]) -> Path:
    """A folder with these packages as ``NAME-VERSION-RELEASE.noarch.rpm``; kept. 0.2 s each."""

    def build(made: Path) -> None:
        for package in packages:
            with tempfile.TemporaryDirectory() as scratch:
                builders.tree(Path(scratch, "sources", package.name), package.files)
                spec = Path(scratch, "x.spec")
                spec.write_text(package.spec())
                where = {
                    "_topdir": f"{scratch}/top",
                    "_sourcedir": f"{scratch}/sources",
                    "_rpmdir": str(made),
                    "_rpmfilename": "%{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm",
                    "source_date_epoch_from_changelog": "0",
                    "_buildhost": "lab",
                }
                _run(["rpmbuild", "-bb", *_defines(where), str(spec)])

    return kept.kept("rpms", (packages, kept.source(sys.modules[__name__])), build)


def rpm(root: Path, *words: str) -> str:
    """``rpm --root ROOT WORDS``, with a database of sqlite: Debian's rpm writes no other kind."""
    where = {"_dbpath": DATABASE, "_db_backend": "sqlite"}
    return _run(["rpm", "--root", str(root), *_defines(where), *words])


def install(root: Path, files: Sequence[Path]) -> None:
    """Install packages, or upgrade to them."""
    options = ("--upgrade", "--oldpackage", "--nosignature", "--nodeps")
    rpm(root, *options, *map(str, files))


def library(count: int = 12) -> list[Rpm]:
    """``count`` packages ``lab-N`` in versions 1.0-1 and 2.0-1; each third requires the one before.

    Number 3 has an epoch, those that divide by 4 a configuration file.
    """
    made = []
    for version in ("1.0", "2.0"):
        for number in range(count):
            files = {f"usr/share/lab/{number:03}": f"{version} of {number}\n"}
            config = ()
            if number % 4 == 0:
                files[f"etc/lab/{number:03}.conf"] = f"value = {version}\n"
                config = (f"etc/lab/{number:03}.conf",)  # type: ignore[assignment]
            made.append(
                Rpm(
                    f"lab-{number:03}",
                    version,
                    "1",
                    "2" if number == 3 else "",
                    files,
                    config,
                    (f"lab-{number - 1:03} >= 1.0",) if number % 3 == 2 else (),
                )
            )
    return made


def _defines(values: Mapping[str, str]) -> list[str]:
    return [word for key, value in values.items() for word in ("--define", f"{key} {value}")]


def _run(words: Sequence[str]) -> str:
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SOURCE_DATE_EPOCH": "1704067200", "LC_ALL": "C.UTF-8"},
    )
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}{done.stderr}"
    return done.stdout
