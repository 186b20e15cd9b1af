# SPDX-License-Identifier: Apache-2.0
"""What apt did since the last commit, from the record that the hook inside the environment keeps.

``hooks/apt/apt-record`` writes the record; its format is described there. Whatever runs in the
environment may write it, too: only so much of it is read, only what looks like package names and
versions is believed, and it is used for the draft of a message alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import IO, NamedTuple

from envgit.errors import EnvgitError
from envgit.layers.compare import Change
from envgit.porcelain.foundation.contents import open_file
from envgit.porcelain.foundation.repository import Repository

RECORD = b"var/lib/envgit/apt-transactions"

_LARGEST = 1 << 20
"""Bytes of the record that are read, from its end: some 20,000 packages."""

# deb-version(7) and Debian Policy 5.6.1 and 5.6.12.
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]{0,99}")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+:~-]{0,99}")
_ARCHITECTURE = re.compile(r"[a-z0-9][a-z0-9-]{0,29}")
_APART = re.compile(r"[^a-z0-9+.-]+")
_TRANSACTION = re.compile(r"transaction [0-9]{1,12}\.[0-9]{1,8}")


class Step(NamedTuple):
    """What became of one package: ``old`` and ``new`` are versions, None where it was not there;
    ``down`` says that the newer version is lower."""

    name: str
    architecture: str
    old: str | None
    new: str | None
    down: bool = False

    def __str__(self) -> str:
        if self.old is None:
            return f"install {self.name} {self.new}"
        if self.new is None:
            return f"remove {self.name} {self.old}"
        verb = "downgrade" if self.down else "upgrade"
        return f"{verb} {self.name} {self.old} -> {self.new}"


def since_head(repository: Repository, changed: Iterable[Change]) -> list[Step]:
    """What apt did since HEAD, if ``changed`` (what is to be committed) holds its record."""
    if not any(change.path == RECORD and change.new is not None for change in changed):
        return []
    head = "HEAD" if repository.git.head().commit else None
    known = {mark for mark, _ in _transactions(_read(repository, head))} if head else set()
    return folded(
        step
        for mark, steps in _transactions(_read(repository, None))
        if mark not in known
        for step in steps
    )


def folded(steps: Iterable[Step]) -> list[Step]:
    """The steps with one for each package, from what it was first to what it is at last."""
    found: dict[tuple[str, str], Step] = {}
    for step in steps:
        key = (step.name, step.architecture)
        before = found.pop(key, None)
        if before is not None:
            step = step._replace(old=before.old)
        if step.old != step.new:
            found[key] = step
    return list(found.values())


def message(steps: Sequence[Step], words: Iterable[str] = ()) -> str:
    """A message that names ``steps``, those first that ``words`` (of a command line) mention."""
    # A whole script may be one word, as for `sh -c`.
    asked = {part for word in words for part in _APART.split(word)}
    ordered = sorted(steps, key=lambda step: step.name not in asked)
    subject = f"apt: {ordered[0]}"
    if len(ordered) == 1:
        return subject + "\n"
    return f"{subject}, +{len(ordered) - 1} more\n\n" + "".join(f"{step}\n" for step in ordered)


def _read(repository: Repository, revision: str | None) -> str:
    try:
        with open_file(repository, RECORD, revision) as file:
            return _tail(file).decode("ascii", "replace")
    except (OSError, EnvgitError):
        return ""


def _tail(file: IO[bytes]) -> bytes:
    size = file.seek(0, 2)
    file.seek(max(0, size - _LARGEST))
    return file.read(_LARGEST)


def _transactions(text: str) -> list[tuple[str, list[Step]]]:
    """Each transaction's mark and steps. Lines that say nothing we know are passed over."""
    found: list[tuple[str, list[Step]]] = []
    for line in text.split("\n"):
        if _TRANSACTION.fullmatch(line):
            found.append((line, []))
            continue
        step = parse(line)
        if step is not None and found:
            found[-1][1].append(step)
    return found


def parse(line: str) -> Step | None:
    """One line of the record, or None."""
    verb, *rest = line.split(" ")
    if len(rest) != (4 if verb in ("upgrade", "downgrade") else 3):
        return None
    name, architecture, *versions = rest
    if not (_NAME.fullmatch(name) and _ARCHITECTURE.fullmatch(architecture)):
        return None
    if not all(_VERSION.fullmatch(version) for version in versions):
        return None
    if verb == "install":
        return Step(name, architecture, None, versions[0])
    if verb == "remove":
        return Step(name, architecture, versions[0], None)
    if verb in ("upgrade", "downgrade"):
        return Step(name, architecture, versions[0], versions[1], down=verb == "downgrade")
    return None
