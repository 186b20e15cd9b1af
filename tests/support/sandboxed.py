# SPDX-License-Identifier: Apache-2.0
"""Runs a plan in a process of its own, as the command line would: tests see streams and statuses.

As a program it takes one JSON object and turns a ``SandboxError`` into text and its exit status.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envgit.sandbox.failure import SandboxError
from envgit.sandbox.plan import JoinRoot, OverlayRoot, RunOptions, make_plan
from envgit.sandbox.supervisor import run

if TYPE_CHECKING:
    from tests.support import builders

PROJECT = str(Path(__file__).parents[2])


@dataclass
class Box:
    """A small environment: one layer, an upper directory, and ways to run in it."""

    top: Path
    lower: Path
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def upper(self) -> Path:
        """Where changes land."""
        return self.top / "upper"

    @property
    def overlay(self) -> OverlayRoot:
        """A fresh mount of it."""
        return OverlayRoot((str(self.lower),), str(self.upper), str(self.top / "work"), True)

    def command(self, *argv: str, join: int | None = None, **options: Any) -> list[str]:
        """The command line of a process that runs ``argv`` in the box."""
        words = {
            "root": None if join is not None else list(self.overlay),
            "join": join,
            "options": {"argv": argv, **options},
            "config": self.config,
            "cache": str(self.top / "cache"),
            "report": str(self.top / "report"),
        }
        return [sys.executable, "-m", "tests.support.sandboxed", json.dumps(words)]

    def run(self, *argv: str, stdin: str = "", **options: Any) -> Done:
        """Run to the end, in a process of its own."""
        (self.top / "report").unlink(missing_ok=True)
        done = subprocess.run(
            self.command(*argv, **options),
            input=stdin,
            capture_output=True,
            text=True,
            cwd=PROJECT,
            timeout=60,
        )
        report = self.top / "report"
        facts = json.loads(report.read_text()) if report.exists() else {}
        return Done(done.returncode, done.stdout, done.stderr, facts)

    def start(self, *argv: str, **options: Any) -> subprocess.Popen[str]:
        """Start it; ``init_pid`` tells the host's number of PID 1."""
        (self.top / "report").unlink(missing_ok=True)
        return subprocess.Popen(
            self.command(*argv, **options),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=PROJECT,
        )

    def init_pid(self) -> int:
        """PID 1 of the run that was started last, which must have written something by now."""
        return int(json.loads((self.top / "report").read_text())["init"])


@dataclass(frozen=True)
class Done:
    """How a run ended. ``facts`` is what the harness reported: init, created, signal."""

    status: int
    out: str
    err: str
    facts: dict[str, Any]

    @property
    def created(self) -> list[str]:
        """The mount points made."""
        created: list[str] = self.facts["created"]
        return created


def box(top: Path, extra: builders.Tree | None = None) -> Box:
    """An environment of busybox below ``top``."""
    from tests.support import builders  # pytest, which the harness need not load

    for name in ("upper", "work"):
        (top / name).mkdir()
    whole = {"etc": {"hosts": ""}, **(extra or {})}  # nothing that a run has to make
    return Box(top, builders.rootfs(top / "lower", whole))


def with_python(box: Box) -> dict[str, Any]:
    """Options that make the host's Python usable inside, to try system calls with."""
    folders = {"/usr", "/lib", "/lib64", sys.base_prefix}
    wanted = sorted(path for path in folders if os.path.isdir(path))
    if sys.base_prefix.startswith("/usr/"):
        wanted.remove(sys.base_prefix)
    return {"volumes": [f"{path}:{path}:ro" for path in wanted]}


def python(box: Box, code: str, **options: Any) -> Done:
    """Run ``code`` with the host's Python in the box; ``libc`` and ``os`` are there."""
    start = "import ctypes, os; libc = ctypes.CDLL(None, use_errno=True)\n"
    binary = os.path.realpath(sys.executable)
    return box.run(binary, "-S", "-c", start + code, **{**with_python(box), **options})


def main(text: str) -> int:
    """The harness."""
    words = json.loads(text)
    options: dict[str, Any] = {
        key: tuple(map(tuple, value)) if key in ("env", "rlimits") else value
        for key, value in words["options"].items()
    }
    facts: dict[str, Any] = {}

    def report() -> None:
        temporary = words["report"] + ".new"
        Path(temporary).write_text(json.dumps(facts))
        os.replace(temporary, words["report"])

    def mounted(pid: int, created: tuple[bytes, ...]) -> None:
        facts.update(init=pid, created=[os.fsdecode(path) for path in created])
        report()

    if words["root"] is None:
        root: OverlayRoot | JoinRoot = JoinRoot(words["join"])
    else:
        lowers, *rest = words["root"]
        root = OverlayRoot(tuple(lowers), *rest)
    try:
        plan = make_plan(root, RunOptions(**options), words["config"], seccomp_cache=words["cache"])
        outcome = run(plan, on_mounted=mounted, warn=lambda text: print(text, file=sys.stderr))
    except SandboxError as error:
        print(f"fatal: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        facts.update(created=[os.fsdecode(path) for path in error.created])
        report()
        return error.exit_code
    facts.update(signal=outcome.signal)
    report()
    return outcome.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
