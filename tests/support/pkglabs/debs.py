# SPDX-License-Identifier: Apache-2.0
"""Debian packages and archives of them, made here: apt in an environment needs no network.

The packages are built by dpkg-deb(1); the index is written as Debian's "RepositoryFormat" has it:
the control files, with file name, size and digest.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.pkglabs import kept


@dataclass(frozen=True)
class Deb:
    """A package. ``files`` are texts by path (``-> x`` is a symbolic link); ``scripts`` are
    maintainer scripts by name; ``fields`` are further ones of its control file."""

    name: str
    version: str = "1.0"
    files: Mapping[str, str] = field(default_factory=dict)
    conffiles: Sequence[str] = ()
    depends: str = ""
    scripts: Mapping[str, str] = field(default_factory=dict)
    triggers: str = ""
    architecture: str = "all"
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def filename(self) -> str:
        """What dpkg-name(1) would call it."""
        return (
            f"{self.name}_{self.version.partition(':')[2] or self.version}_{self.architecture}.deb"
        )

    def control(self) -> str:
        """Its control file."""
        told = {
            "Package": self.name,
            "Version": self.version,
            "Architecture": self.architecture,
            "Maintainer": "Ada Tester <ada@example.org>",
            "Depends": self.depends,
            "Description": f"package {self.name} of a lab",
            **self.fields,
        }
        return "".join(f"{key}: {value}\n" for key, value in told.items() if value)

    def build(self, folder: Path) -> Path:
        """Make the .deb in ``folder``, in about 30 ms."""
        target = folder / self.filename
        with tempfile.TemporaryDirectory() as scratch:
            top = Path(scratch)
            top.chmod(0o755)
            listed = dict(self.files)
            listed.setdefault(f"usr/share/doc/{self.name}/copyright", "Public domain.\n")
            for path, text in listed.items():
                _write(top / path, text)
            _write(top / "DEBIAN/control", self.control())
            if self.conffiles:
                _write(top / "DEBIAN/conffiles", "".join(f"/{path}\n" for path in self.conffiles))
            if self.triggers:
                _write(top / "DEBIAN/triggers", self.triggers)
            for name, text in self.scripts.items():
                _write(top / "DEBIAN" / name, f"#!/bin/sh\nset -e\n{text}\n")
                (top / "DEBIAN" / name).chmod(0o755)
            # As debhelper does; dpkg computes none by itself at that place.
            sums = "".join(
                f"{hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()}  {path}\n"
                for path, text in sorted(listed.items())
                if path not in self.conffiles and not text.startswith("->")
            )
            _write(top / "DEBIAN/md5sums", sums)
            subprocess.run(
                ["dpkg-deb", "-Znone", "--root-owner-group", "--build", str(top), str(target)],
                check=True,
                capture_output=True,
                env={**os.environ, "SOURCE_DATE_EPOCH": "1704067200"},
            )
        return target


def archive(debs: Sequence[Deb]) -> Path:
    """A folder with these packages that apt reads as ``deb [trusted=yes] file:FOLDER ./``; kept."""

    def build(made: Path) -> None:
        index(made, {deb.build(made): deb.control() for deb in debs})

    return kept.kept("archive", (debs, kept.source(sys.modules[__name__])), build)


def index(folder: Path, controls: Mapping[Path, str]) -> None:
    """Write the ``Packages`` of .deb files in ``folder``, whose control files are given."""
    stanzas = []
    for path, control in controls.items():
        data = path.read_bytes()
        stanzas.append(
            f"{control.rstrip()}\nFilename: ./{path.name}\nSize: {len(data)}\n"
            f"SHA256: {hashlib.sha256(data).hexdigest()}\n"
        )
    (folder / "Packages").write_text("\n".join(stanzas))


def control_of(path: Path) -> str:
    """The control file of any .deb."""
    return subprocess.run(
        ["dpkg-deb", "--field", str(path)], check=True, capture_output=True, text=True
    ).stdout


def library(count: int = 60, *, broken: Sequence[int] = (17,)) -> list[Deb]:
    """``count`` packages ``lab-000``…, each in versions 1.0 and 2.0.

    Each third depends on the one before it. Package N has ``/usr/lib/lab/N`` with the word ``one``
    and its version, a configuration file if N divides by 10, an alternative of ``lab-tool`` if N
    is 5 or 6, and a trigger on ``/usr/lib/lab`` if N is 7. In 2.0 the packages ``broken`` lack the
    word: ``grep -q one /usr/lib/lab/017`` fails from then on.
    """
    made = []
    for version in ("1.0", "2.0"):
        for number in range(count):
            name = f"{number:03}"
            word = "two" if version == "2.0" and number in broken else "one"
            files = {f"usr/lib/lab/{name}": f"{word}\n{version}\n"}
            more: dict[str, str] = {}
            scripts: dict[str, str] = {}
            if number % 10 == 0:
                files[f"etc/lab/{name}.conf"] = f"# of {version}\nvalue = {number}\n"
            if number in (5, 6):
                files[f"usr/lib/lab/tool-{name}"] = f"#!/bin/sh\necho {name} {version}\n"
                scripts["postinst"] = (
                    "update-alternatives --install /usr/bin/lab-tool lab-tool "
                    f"/usr/lib/lab/tool-{name} {number}"
                )
                scripts["prerm"] = (
                    '[ "$1" = upgrade ] || '
                    f"update-alternatives --remove lab-tool /usr/lib/lab/tool-{name}"
                )
            if number == 7:
                scripts["postinst"] = "mkdir -p /var/lib/lab; ls /usr/lib/lab > /var/lib/lab/index"
                more = {"triggers": "interest-noawait /usr/lib/lab\n"}
            made.append(
                Deb(
                    f"lab-{name}",
                    version,
                    files,
                    tuple(path for path in files if path.startswith("etc/")),
                    f"lab-{number - 1:03}" if number % 3 == 2 else "",
                    scripts,
                    more.get("triggers", ""),
                    fields={"Installed-Size": str(number + 1), "Section": "misc"},
                )
            )
    return made


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if text.startswith("->"):
        path.symlink_to(text[2:].strip())
        return
    path.write_text(text)
    path.chmod(0o755 if text.startswith("#!") else 0o644)
