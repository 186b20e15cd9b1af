# SPDX-License-Identifier: Apache-2.0
"""Makes things go wrong on purpose: kills at any step or time, full disks, failing calls."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.support import cli, probes


def kill_at(
    point: str, args: Sequence[str], cwd: str | os.PathLike[str], *, nth: int = 1
) -> cli.Result:
    """Run ``envgit ARGS`` with a SIGKILL to itself the ``nth`` time it reaches ``point``.

    The points are those that the code passes to ``envgit.fs.crashpoint.reach``. A status of
    -SIGKILL says that the point was reached.
    """
    return cli.run(args, cwd=cwd, env={"ENVGIT_TEST_CRASH": f"{point}:{nth}"})


def kill_after(
    seconds: float, args: Sequence[str], cwd: str | os.PathLike[str]
) -> tuple[bool, bytes]:
    """Run ``envgit ARGS``, SIGKILL it after ``seconds``; whether it was killed, its stderr."""
    process = cli.start(args, cwd=cwd)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    _, stderr = process.communicate(timeout=cli.TIMEOUT)
    return process.returncode == -signal.SIGKILL, stderr


@contextlib.contextmanager
def small_filesystem(where: str | os.PathLike[str], megabytes: int) -> Iterator[Path]:
    """A loop-mounted ext4 of that size at ``where``/mounted, unmounted whatever happens."""
    probes.require("root", "loop")
    directory = Path(where)
    directory.mkdir(parents=True, exist_ok=True)
    image, mounted = directory / "image", directory / "mounted"
    with open(image, "wb") as file:
        file.truncate(megabytes << 20)
    # No reserved blocks: root would otherwise fill the last five per cent without noticing.
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
    mounted.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(mounted)], check=True)
    try:
        yield mounted
    finally:
        if subprocess.run(["umount", str(mounted)], check=False).returncode != 0:
            subprocess.run(["umount", "-l", str(mounted)], check=True)
        image.unlink()


@contextlib.contextmanager
def filled(directory: Path, *, leave: int = 0) -> Iterator[None]:
    """Leave only ``leave`` bytes free on the filesystem of ``directory`` while in the block."""
    ballast = directory / ".ballast"
    try:
        with contextlib.suppress(OSError), open(ballast, "wb", buffering=0) as file:
            while True:
                free = os.statvfs(directory)
                rest = free.f_bavail * free.f_frsize - leave
                if rest <= 0:
                    break
                file.write(b"\0" * min(rest, 1 << 20))
        yield
    finally:
        ballast.unlink(missing_ok=True)


def failing_call(
    inject: str, args: Sequence[str], cwd: str | os.PathLike[str]
) -> subprocess.CompletedProcess[str]:
    """Run ``envgit ARGS`` under ``strace -e inject=INJECT``, as in ``fsync:error=EIO:when=2``."""
    probes.require("strace")
    return subprocess.run(
        ["strace", "-f", "-qq", "-o", os.devnull, f"--inject={inject}", *cli.program(), *args],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=cli.TIMEOUT,
        check=False,
    )
