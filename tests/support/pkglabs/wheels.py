# SPDX-License-Identifier: Apache-2.0
"""Wheels made here: pip in an environment needs neither network nor index.

Source: the binary distribution format of packaging.python.org (PEP 427) and its RECORD file.
"""

from __future__ import annotations

import base64
import hashlib
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.pkglabs import kept


@dataclass(frozen=True)
class Wheel:
    """A distribution of pure Python. ``files`` are texts by path in site-packages; ``requires`` are
    requirements as in Requires-Dist; ``scripts`` are console scripts, ``name = module:function``.
    """

    name: str
    version: str = "1.0"
    files: Mapping[str, str] = field(default_factory=dict)
    requires: Sequence[str] = ()
    scripts: Sequence[str] = ()
    metadata: str = ""

    @property
    def stem(self) -> str:
        """The part of file names that tells name and version."""
        return f"{self.name.replace('-', '_').replace('.', '_')}-{self.version}"

    def build(self, folder: Path) -> Path:
        """Make the wheel in ``folder``."""
        info = f"{self.stem}.dist-info"
        required = "".join(f"Requires-Dist: {each}\n" for each in self.requires)
        files = dict(self.files) or {f"{self.name.replace('-', '_')}.py": f"V = {self.version!r}\n"}
        files[f"{info}/METADATA"] = (
            f"Metadata-Version: 2.1\nName: {self.name}\nVersion: {self.version}\n"
            f"Summary: distribution {self.name} of a lab\n{required}{self.metadata}"
        )
        files[f"{info}/WHEEL"] = (
            "Wheel-Version: 1.0\nGenerator: lab 1\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        if self.scripts:
            lines = "".join(f"{each}\n" for each in self.scripts)
            files[f"{info}/entry_points.txt"] = f"[console_scripts]\n{lines}"
        rows = []
        for path, text in files.items():
            digest = hashlib.sha256(text.encode()).digest()
            told = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            rows.append(f"{path},sha256={told},{len(text.encode())}\n")
        files[f"{info}/RECORD"] = "".join(rows) + f"{info}/RECORD,,\n"
        target = folder / f"{self.stem}-py3-none-any.whl"
        with zipfile.ZipFile(target, "w") as whole:
            for path, text in files.items():
                entry = zipfile.ZipInfo(path, (2024, 1, 1, 0, 0, 0))
                entry.external_attr = 0o100644 << 16
                whole.writestr(entry, text)
        return target


def wheelhouse(wheels: Sequence[Wheel]) -> Path:
    """A folder of these wheels for ``pip install --no-index --find-links FOLDER``; kept."""

    def build(made: Path) -> None:
        for wheel in wheels:
            wheel.build(made)

    return kept.kept("wheels", (wheels, kept.source(sys.modules[__name__])), build)


def library(count: int = 40, *, broken: Sequence[int] = (17,)) -> list[Wheel]:
    """``count`` distributions ``lab-py-000``…, each in versions 1.0 and 2.0.

    Each third requires the one before it. Number N is a package ``lab_py_N`` with ``old()``, which
    those of ``broken`` lack in 2.0: ``import lab_py_017; lab_py_017.old()`` fails from then on.
    Those that divide by 10 have a console script ``lab-py-N``.
    """
    made = []
    for version in ("1.0", "2.0"):
        for number in range(count):
            name = f"lab_py_{number:03}"
            gone = version == "2.0" and number in broken
            code = (
                f"V = {version!r}\n\n\ndef {'new' if gone else 'old'}():\n    return V\n"
                "\n\ndef main():\n    print(V)\n"
            )
            made.append(
                Wheel(
                    f"lab-py-{number:03}",
                    version,
                    {f"{name}/__init__.py": code, f"{name}/data/{version}.txt": f"{number}\n"},
                    (f"lab-py-{number - 1:03}>=1",) if number % 3 == 2 else (),
                    (f"lab-py-{number:03} = {name}:main",) if number % 10 == 0 else (),
                )
            )
    return made
