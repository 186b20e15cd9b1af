# SPDX-License-Identifier: Apache-2.0
"""A project with a store of its own, in which package managers are let work."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import builders, cli

ENVIRONMENT = {
    "GIT_AUTHOR_NAME": "Ada Tester",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada Tester",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
    "GIT_CONFIG_NOSYSTEM": "1",
    "LC_ALL": "C.UTF-8",
    "ENVGIT_PAGER": "cat",
}

# dpkg flushes each file, apt checks archives that the tests made a moment ago, pip compiles.
_QUICK: Mapping[str, str] = {
    "etc/dpkg/dpkg.cfg.d/lab": "force-unsafe-io\n",
    "etc/apt/apt.conf.d/99lab": (
        'APT::Install-Recommends "false";\nAPT::Sandbox::User "root";\n'
        'Acquire::Languages "none";\nDPkg::Use-Pty "false";\n'
    ),
}

_APT = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y")
_PIP = (
    *("env", "PIP_DISABLE_PIP_VERSION_CHECK=1", "PIP_ROOT_USER_ACTION=ignore"),
    *("PIP_NO_CACHE_DIR=1", "pip"),
)


@dataclass(frozen=True)
class Environment:
    """``top/project`` and ``top/store``."""

    top: Path

    @property
    def project(self) -> Path:
        """The project's folder."""
        return self.top / "project"

    @property
    def env(self) -> dict[str, str]:
        """What envgit gets beside the test's environment."""
        return {**ENVIRONMENT, "ENVGIT_STORE": str(self.top / "store")}

    def envgit(self, *words: str, stdin: str = "") -> cli.Result:
        """Run ``envgit WORDS`` in the project."""
        return cli.run(words, cwd=self.project, env=self.env, stdin=stdin)

    def json(self, *words: str) -> Any:
        """The JSON that a command prints; it must succeed."""
        return json.loads(self.envgit(*words).ok().stdout)

    def init(self, source: str) -> Environment:
        """Make the project from a source (``tar:…``, ``rootfs:…``)."""
        self.top.mkdir(parents=True, exist_ok=True)
        cli.run(["init", "-q", self.project, "--from", source], env=self.env).ok()
        return self

    def run(self, *words: str, message: str = "") -> cli.Result:
        """Run a command inside that must succeed; with ``message`` commit what it did."""
        options = ("-m", message) if message else ()
        return self.envgit("run", *options, "--", *words).ok()

    def sh(self, script: str, message: str = "") -> str:
        """What a shell script inside prints."""
        return self.run("sh", "-ec", script, message=message).stdout

    def tries(self, *words: str) -> bool:
        """Whether a command inside succeeds."""
        return self.envgit("run", "--", *words).status == 0

    def apt(self, *words: str, message: str = "") -> cli.Result:
        """``apt-get -y WORDS`` inside."""
        return self.run(*_APT, *words, message=message)

    def pip(self, *words: str, message: str = "") -> cli.Result:
        """``pip WORDS`` inside, for the whole system; ``install`` takes wheels from /wheels."""
        if words[0] == "install":
            words = ("install", "-q", *_INSTALL, *words[1:])
        return self.run(*_PIP, *words, message=message)

    def volume(self, host: Path, inside: str) -> Environment:
        """Show a folder of this machine inside, read-only; it is in no commit."""
        self.envgit("config", "--add", "run.volume", f"{host}:{inside}:ro").ok()
        return self

    def head(self, revision: str = "HEAD") -> str:
        """The id of a commit."""
        return self.envgit("rev-parse", revision).ok().stdout.strip()


_INSTALL = ("--break-system-packages", "--no-index", "--find-links", "/wheels")


def debian(
    top: Path,
    *packages: str,
    archive: Path | None = None,
    wheels: Path | None = None,
    sources: Sequence[str] = (),
) -> Environment:
    """An environment of Debian bookworm with ``packages`` (from this machine's mirrors, kept).

    ``archive`` (`debs.archive`) is shown at /archive and is apt's only source unless ``sources``
    are given; ``wheels`` (`wheels.wheelhouse`) is shown at /wheels. About 4 s with python3-pip.
    """
    made = Environment(top).init(f"tar:{builders.debian_tar('bookworm', packages)}")
    lines = list(sources)
    if archive is not None:
        made.volume(archive, "/archive")
        lines.insert(0, "deb [trusted=yes] file:/archive ./")
    if wheels is not None:
        made.volume(wheels, "/wheels")
    script = "".join(f"cat > /{path} <<'END'\n{text}END\n" for path, text in _QUICK.items())
    if lines:
        script += f"cat > /etc/apt/sources.list <<'END'\n{chr(10).join(lines)}\nEND\n"
        script += "rm -rf /etc/apt/sources.list.d/* /var/lib/apt/lists/*\napt-get -q update\n"
    made.sh(script, message="set up the lab")
    return made


def system(top: Path, root: Path) -> Environment:
    """An environment of a tree on this machine, whatever it holds."""
    return Environment(top).init(f"rootfs:{root}")


def lines_of(*words: str, env: Mapping[str, str] | None = None) -> list[str]:
    """What a program of this machine prints; it must succeed."""
    return subprocess.run(
        words, check=True, capture_output=True, text=True, env=env
    ).stdout.splitlines()
