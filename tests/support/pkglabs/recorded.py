# SPDX-License-Identifier: Apache-2.0
"""Python packages as small as can be, without pip: records and files that a shell can compare."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

SITE = "usr/lib/python3.11/site-packages"

# Each state that is tried is whole: the version that pip's record of a package tells is that of its
# file, there is no second record, and what a package needs is there.
WHOLE = f"""
cd /{SITE}
for file in *.py; do
    name=${{file%.py}}
    set -- $name-*.dist-info
    [ "$*" = "$name-$(cat $file).dist-info" ] || {{ echo "broken: $*"; exit 99; }}
    while read need version; do
        [ "$(cat $need.py)" -ge "$version" ] || {{ echo "$name lacks $need"; exit 99; }}
    done < $1/needs
done
"""


def install(root: str, name: str, version: int, needs: Mapping[str, int] | None = None) -> None:
    """As pip would: ``name.py`` has the version, ``name/a`` and ``name/b`` more; and the record."""
    site = Path(root, SITE)
    for old in site.glob(f"{name}-*.dist-info"):
        shutil.rmtree(old)
    info = site / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (site / name).mkdir(exist_ok=True)
    files = {
        f"{name}.py": f"{version}\n",
        f"{name}/a": f"a{version}\n",
        f"{name}/b": f"b{version}\n",
    }
    for path, text in files.items():
        (site / path).write_text(text)
    required = "".join(f"Requires-Dist: {one}>={least}\n" for one, least in (needs or {}).items())
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{required}"
    )
    (info / "needs").write_text("".join(f"{one} {n}\n" for one, n in (needs or {}).items()))
    listed = [*files, *(f"{info.name}/{one}" for one in ("METADATA", "needs", "RECORD"))]
    (info / "RECORD").write_text("".join(f"{path},,\n" for path in listed))


NAMES = [f"p{number:02}" for number in range(24)]
NEEDS = {"p10": {"p20": 2}, "p20": {"p21": 2}, "p03": {"p04": 2}, "p04": {"p03": 2}}
"""What the second versions need: a chain, and two that need one another."""


def upgrade(root: str) -> None:
    """All packages, and some loose files, in their second versions."""
    for name in NAMES:
        install(root, name, 2, NEEDS.get(name))
    Path(root, "etc/one.conf").write_text("new\n")
    Path(root, "etc/two.conf").unlink()
    Path(root, "srv/data").mkdir()
    Path(root, "srv/data/x").write_text("x\n")


def simply(*names: str) -> str:
    """A script that fails where all these packages are new."""
    new = " && ".join(f"grep -q 2 /{SITE}/{name}.py" for name in names)
    return f"! {{ {new}; }}"


def fails_with(*names: str) -> str:
    """The same, but it checks what it is tried in, too."""
    return f"{WHOLE}\n{simply(*names)}"
