# SPDX-License-Identifier: Apache-2.0
"""Root filesystems for tests: one of busybox in milliseconds, one of real Debian from a cache."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.support import gate, probes

Tree = Mapping[str, "str | bytes | Tree | None"]
"""A tree as a value: text or bytes are files, a mapping is a directory, None an empty directory.

A text that begins with ``->`` is a symbolic link to the rest.
"""

_PASSWD = """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
user:x:1000:1000:A User:/home/user:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/bin/false
"""
_GROUP = "root:x:0:\ndaemon:x:1:\nstaff:x:50:user\nuser:x:1000:\nnogroup:x:65534:\n"


def tree(root: str | os.PathLike[str], content: Tree) -> Path:
    """Make (or add to) the directory ``root`` what ``content`` describes."""
    top = Path(root)
    top.mkdir(parents=True, exist_ok=True)
    for name, value in content.items():
        path = top / name
        if value is None:
            path.mkdir(parents=True, exist_ok=True)
        elif isinstance(value, Mapping):
            tree(path, value)
        elif isinstance(value, str) and value.startswith("->"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(value[2:].strip())
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(value.encode() if isinstance(value, str) else value)
    return top


def rootfs(root: str | os.PathLike[str], extra: Tree | None = None) -> Path:
    """Make ``root`` a small root filesystem: one static busybox, its names, passwd and group.

    Skips the test (see `gate`) when there is no static busybox. Takes about 5 ms.
    """
    probes.require("busybox")
    source = probes.busybox_static()
    assert source is not None
    top = tree(
        root,
        {
            "bin": None,
            "dev": None,
            "etc": {"passwd": _PASSWD, "group": _GROUP, "hostname": "", "resolv.conf": ""},
            "home": {"user": None},
            "proc": None,
            "root": None,
            "run": None,
            "sbin": None,
            "sys": None,
            "tmp": None,
            "usr": {"bin": None, "lib": None, "share": None},
            "var": {"lib": None, "tmp": None},
        },
    )
    shutil.copyfile(source, top / "bin/busybox")
    (top / "bin/busybox").chmod(0o755)
    for applet in _applets(source):
        (top / "bin" / applet).symlink_to("busybox")
    for path in (top / "tmp", top / "var/tmp"):
        path.chmod(0o1777)
    (top / "root").chmod(0o700)
    os.chown(top / "home/user", 1000, 1000)
    if extra:
        tree(top, extra)
    return top


@functools.cache
def _applets(busybox: str) -> list[str]:
    listed = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split() if name != "busybox"]


def many_files(root: str | os.PathLike[str], count: int, *, per_directory: int = 100) -> Path:
    """``count`` small files below ``root``, each with content of its own."""
    top = Path(root)
    for number in range(count):
        if number % per_directory == 0:
            directory = top / f"{number // per_directory:04}"
            directory.mkdir(parents=True)
        (directory / f"f{number}").write_text(f"small file number {number}\n")
    return top


def cache_directory() -> Path:
    """Where what is expensive to make outlives a test run; never inside the project's folder."""
    chosen = os.environ.get("ENVGIT_TEST_CACHE")
    path = Path(chosen) if chosen else Path("/var/tmp", f"envgit-test-{os.getuid()}")
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def debian_tar(suite: str = "bookworm", packages: Sequence[str] = ()) -> Path:
    """A tar archive of a minimal Debian, bootstrapped once a week from this machine's mirrors.

    It has ``packages`` and what they depend on, without what they recommend. Skips the test (see
    `gate`) without root, mmdebstrap or a mirror.
    """
    from envgit.image import apt, debian

    probes.require("root", "mmdebstrap")
    sources = apt.sources_for(suite, apt.host_sources(), keyring=True)
    code = Path(debian.__file__).read_text()
    key = f"{suite} {int(time.time() // (7 * 86400))} {[s.stanza() for s in sources]} {code}"
    stem = "+".join(["debian", suite, *packages])
    name = f"{stem}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.tar"
    path = cache_directory() / name
    with open(path.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return path
        gate.demand("mirror", probes.why_not("mirror"))
        for old in path.parent.glob(f"{stem}-*.tar"):
            old.unlink()
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            made = f"{scratch}/rootfs"
            debian.bootstrap(suite, packages, made, environment=os.environ)
            subprocess.run(
                ["tar", "--xattrs", "--numeric-owner", "-C", made, "-cf", f"{scratch}/tar", "."],
                check=True,
            )
            os.rename(f"{scratch}/tar", path)
    return path


def debian_rootfs(root: str | os.PathLike[str], suite: str = "bookworm") -> Path:
    """Unpack `debian_tar` into ``root`` (about 6,700 files)."""
    archive = debian_tar(suite)
    top = Path(root)
    top.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["tar", "--xattrs", "--xattrs-include=*", "-C", str(top), "-xpf", str(archive)], check=False
    )
    if done.returncode != 0:
        pytest.fail(f"tar could not unpack {archive}")
    return top
