# SPDX-License-Identifier: Apache-2.0
"""The real envgit as a process of its own, and what it said."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support import builders

# How long any one command of a test may take, in seconds: a hang must not become a silent CI.
TIMEOUT = 300.0

# These run commands inside, too, whose failures are what is looked for.
_TRIALS = (["bisect", "run"], ["bisect", "inside"])


def program() -> list[str]:
    """The command line of the envgit that belongs to the running Python."""
    script = Path(sys.executable).with_name("envgit")
    return [str(script)] if script.exists() else [sys.executable, "-m", "envgit.cli"]


@dataclass(frozen=True, slots=True)
class Result:
    """How a process ended; ``status`` is negative for a signal, as in subprocess."""

    args: tuple[str, ...]
    status: int
    stdout_bytes: bytes
    stderr_bytes: bytes

    @property
    def stdout(self) -> str:
        """Standard output as text; odd bytes become surrogates."""
        return os.fsdecode(self.stdout_bytes)

    @property
    def stderr(self) -> str:
        """Standard error as text; odd bytes become surrogates."""
        return os.fsdecode(self.stderr_bytes)

    @property
    def lines(self) -> list[str]:
        """The lines of standard output."""
        return self.stdout.splitlines()

    def ok(self) -> Result:
        """This result, or a failure that shows the whole conversation."""
        return self.exited(0)

    def exited(self, status: int) -> Result:
        """This result if the exit status is ``status``, else a failure that shows everything."""
        assert self.status == status, self.describe(f"exit status {status}")
        return self

    def describe(self, expected: str) -> str:
        """The conversation, for a message."""
        return (
            f"\n$ envgit {' '.join(self.args)}\n(exit status {self.status}, expected {expected})"
            f"\n--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"
        )


def run(
    args: Sequence[str | os.PathLike[str]],
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes | str = b"",
    timeout: float = TIMEOUT,
) -> Result:
    """Run ``envgit ARGS`` to its end; ``env`` is added to the test's environment.

    A traceback on standard error is a bug whatever the test looks for, so it fails here.
    """
    words = [os.fspath(word) for word in args]
    done = subprocess.run(
        [*program(), *words],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        input=os.fsencode(stdin) if isinstance(stdin, str) else stdin,
        capture_output=True,
        timeout=timeout,
        check=False,
    )
    result = Result(tuple(words), done.returncode, done.stdout, done.stderr)
    # A command that runs inside an environment may print a traceback of its own.
    if words[:1] not in (["run"], ["shell"]) and words[:2] not in _TRIALS:
        assert b"Traceback (most recent call last)" not in done.stderr, result.describe(
            "no traceback"
        )
    return result


def start(
    args: Sequence[str | os.PathLike[str]],
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start ``envgit ARGS`` with pipes on all three streams; the caller waits for it."""
    return subprocess.Popen(
        [*program(), *(os.fspath(word) for word in args)],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell that starts the tests in the background has them, and all below, ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def normalise(text: str, **replacements: str) -> str:
    """Text for a comparison: ids become ``<id>``; each ``NAME=text`` in it becomes ``<NAME>``."""
    for name, value in replacements.items():
        text = text.replace(value, f"<{name}>")
    text = re.sub(r"\b[0-9a-f]{40}\b", "<id>", text)
    return re.sub(r"\b(?=[0-9a-f]*\d)[0-9a-f]{7,12}\b", "<id>", text)


def changed_project(folder: Path) -> Path:
    """A repository with a small root filesystem and an uncommitted file, in ``folder``."""
    project = folder / "project"
    builders.rootfs(folder / "rootfs")
    run(["init", "-q", project, "--from", f"rootfs:{folder}/rootfs"]).ok()
    run(["run", "sh", "-c", "echo new > /etc/new"], cwd=project).ok()
    return project
