# SPDX-License-Identifier: Apache-2.0
"""What is expensive to make is made once per machine, whoever asks first: other workers wait."""

from __future__ import annotations

import fcntl
import hashlib
import inspect
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from tests.support import builders

# Seconds after which what nobody asked for is thrown away.
_UNUSED = 14 * 86400


def kept(name: str, key: object, build: Callable[[Path], None]) -> Path:
    """The directory ``name`` that ``build`` filled for ``key``: not to be written to.

    ``key`` must tell (by its repr) whatever the result depends on; what ``build`` needs of the
    code around it is best put there with `source`.
    """
    home = builders.cache_directory() / "labs"
    home.mkdir(exist_ok=True)
    path = home / f"{name}-{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}"
    with open(path.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            _forget_old(home)
            with tempfile.TemporaryDirectory(dir=home, prefix="making-") as scratch:
                made = Path(scratch, "made")
                made.mkdir()
                build(made)
                made.chmod(0o755)
                os.rename(made, path)
        os.utime(path)
    return path


def week() -> int:
    """A part of the key of what the registries change: made anew each week."""
    return int(time.time() // (7 * 86400))


def source(*modules: ModuleType) -> str:
    """The text of modules, as part of a key."""
    return "".join(inspect.getsource(module) for module in modules)


def _forget_old(home: Path) -> None:
    for entry in home.iterdir():
        if entry.is_dir() and time.time() - entry.stat().st_mtime > _UNUSED:
            shutil.rmtree(entry, ignore_errors=True)
