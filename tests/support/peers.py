# SPDX-License-Identifier: Apache-2.0
"""Foreign programs that our results are checked against, with the least version that will do."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from dataclasses import dataclass

# How each program tells its version; all others are asked with --version.
_ASK = {
    "podman": ("podman", "--version"),
    "ostree": ("ostree", "--version"),
    "mmdebstrap": ("mmdebstrap", "--version"),
}

NAMES = frozenset(
    {
        "apk",
        "apt-get",
        "bash",
        "bwrap",
        "buildah",
        "cargo",
        "createrepo_c",
        "crun",
        "dnf",
        "docker-registry",
        "dpkg",
        "dpkg-deb",
        "gem",
        "git",
        "gpg",
        "mmdebstrap",
        "npm",
        "pacman",
        "podman",
        "rpm",
        "rpmbuild",
        "runc",
        "shellcheck",
        "skopeo",
        "strace",
        "tar",
        "umoci",
        "vercmp",
        "zsh",
        "zstd",
    }
)


@dataclass(frozen=True, slots=True)
class Peer:
    """A requirement such as ``git>=2.30``; ``least`` is empty when any version will do."""

    name: str
    least: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> Peer:
        """Read a requirement; an unknown name is a ValueError, so that typing errors are found."""
        name, _, version = text.partition(">=")
        if name not in NAMES:
            raise ValueError(f"unknown peer {name!r}: add it to tests/support/peers.py")
        return cls(name, _numbers(version))

    def why_not(self) -> str:
        """An empty string if the peer is there and new enough, else the reason."""
        found = version(self.name)
        if found is None:
            return f"{self.name} is not installed"
        if found < self.least:
            return f"{self.name} {_dotted(found)} is older than {_dotted(self.least)}"
        return ""


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(str(number) for number in numbers)


@functools.cache
def version(name: str) -> tuple[int, ...] | None:
    """The version of an installed program, or None when it is not installed."""
    if shutil.which(name) is None:
        return None
    command = _ASK.get(name, (name, "--version"))
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"\d+(?:\.\d+)+", said.stdout + said.stderr)
    return _numbers(found[0]) if found else ()
