# SPDX-License-Identifier: Apache-2.0
"""Histories of real upgrades with a real breakage somewhere in the middle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.pkglabs import place, real
from tests.support.pkglabs.place import Environment

PYTHON = ("python3", "python3-pip", "python3-markupsafe")

PIP_BREAKS = "pip: the web stack and what it needs"
APT_BREAKS = "apt: a day's backports"
OLD = "everything as it was"


@dataclass(frozen=True)
class Step:
    """A commit: these packages of one manager go from their old version to the new one."""

    subject: str
    manager: str
    names: tuple[str, ...]


def short() -> list[Step]:
    """Four upgrades, the third of pip and the fourth of apt break something."""
    web = ("blinker", "click", "itsdangerous", "jinja2", "werkzeug")
    return [
        Step("pip: idna", "pip", ("idna",)),
        Step("apt: six", "apt", ("python3-six",)),
        Step(PIP_BREAKS, "pip", web),
        Step(APT_BREAKS, "apt", ("python3-cfgv", "python3-multipart", "python3-pyotp")),
    ]


def full() -> list[Step]:
    """Thirty-two upgrades, of 40 pip and 60 apt packages in all."""
    pip = [name for name, *_ in real.PIP_UPGRADES]
    web = pip[::2]
    for name in ("werkzeug", "click", "jinja2", "blinker", "itsdangerous", "urllib3"):
        if name not in web:
            web.append(name)
    singles = iter([name for name in pip if name not in web])
    apt = list(real.APT_UPGRADES)
    bad = apt[::3]
    if real.APT_MULTIPART.package not in bad:
        bad.append(real.APT_MULTIPART.package)
    others = [name for name in apt if name not in bad]
    groups = iter(tuple(others[at : at + 3]) for at in range(0, len(others), 3))

    def some(count: int) -> Iterator[Step]:
        for _ in range(count):
            if (name := next(singles, None)) is not None:
                yield Step(f"pip: {name}", "pip", (name,))
            if (group := next(groups, None)) is not None:
                yield Step(f"apt: {', '.join(group)}", "apt", group)

    return [
        *some(6),
        Step(PIP_BREAKS, "pip", tuple(web)),
        *some(4),
        Step(APT_BREAKS, "apt", tuple(bad)),
        *some(40),
    ]


def make(top: Path, steps: Sequence[Step]) -> Environment:
    """A Debian with everything in its old version, tagged ``old``, and a commit for each step."""
    wheels, archive = real.upgrades(), real.backports()
    made = place.debian(top, *PYTHON, archive=archive, wheels=wheels)
    debian = real.versions(archive)
    pip = {name: (old, new) for name, old, new in real.PIP_UPGRADES}
    used = {name for step in steps for name in step.names}
    made.apt("install", *(f"{name}={debian[name][0]}" for name in sorted(used & set(debian))))
    pinned = [f"{name}=={pip[name][0]}" for name in sorted(used & set(pip))]
    steady = [f"{name}=={version}" for name, version in real.PIP_STEADY]
    made.pip("install", "--no-deps", *pinned, *steady, message=OLD)
    made.envgit("tag", "old").ok()
    for step in steps:
        if step.manager == "pip":
            wanted = [f"{name}=={pip[name][1]}" for name in step.names]
            made.pip("install", "--no-deps", *wanted, message=step.subject)
        else:
            wanted = [f"{name}={debian[name][-1]}" for name in step.names]
            made.apt("install", *wanted, message=step.subject)
    return made
