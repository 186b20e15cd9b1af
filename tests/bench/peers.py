# SPDX-License-Identifier: Apache-2.0
"""podman, buildah and git on a plain tree, with storage of their own below the benchmark's folder.

podman and buildah run in a mount namespace of their own: their stores mount over themselves, and
crun before 1.9 refuses machines with both versions of cgroups, so version 2 is hidden there.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.bench.measure import Command, say
from tests.bench.place import Place, scrub

CLONE_NEWNS = 0x00020000
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)

STORAGE = """\
[storage]
driver = "overlay"
runroot = "{root}/run"
graphroot = "{root}/graph"
"""

# Limits no higher than any machine has: raising them is refused in some virtual machines.
CONTAINERS = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
"""


class Namespace:
    """A private mount namespace, kept alive by a process that sleeps in it."""

    def __init__(self) -> None:
        hide = "umount /sys/fs/cgroup/unified 2>/dev/null; exec sleep infinity"
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", hide],
            stdin=subprocess.DEVNULL,
            # It ends with us, however we end.
            preexec_fn=lambda: _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL),
        )
        own = os.stat("/proc/self/ns/mnt").st_ino
        path = f"/proc/{self._holder.pid}/ns/mnt"
        while os.stat(path).st_ino == own or Path(f"/proc/{self._holder.pid}/comm").read_text() != (
            "sleep\n"
        ):
            if self._holder.poll() is not None:
                raise OSError("unshare --mount failed")
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def enter(self) -> None:
        """For a forked child, before it becomes the program."""
        if _libc.setns(self._fd, CLONE_NEWNS) != 0:
            raise OSError(ctypes.get_errno(), "setns")

    def mounts(self) -> list[str]:
        """Lines of its /proc/mounts."""
        return Path(f"/proc/{self._holder.pid}/mounts").read_text().splitlines()

    def close(self) -> None:
        os.close(self._fd)
        self._holder.terminate()
        self._holder.wait()


class Containers:
    """podman and buildah over one store that holds the base image ``base:v1``."""

    def __init__(self, place: Place) -> None:
        self.root = place.root / "containers"
        self.root.mkdir(exist_ok=True)
        (self.root / "storage.conf").write_text(STORAGE.format(root=self.root))
        (self.root / "containers.conf").write_text(CONTAINERS)
        self.env = scrub(os.environ) | {
            "CONTAINERS_STORAGE_CONF": str(self.root / "storage.conf"),
            "CONTAINERS_CONF": str(self.root / "containers.conf"),
            "BUILDAH_ISOLATION": "oci",
            "HOME": str(self.root),
        }
        self.namespace = Namespace()
        if self.has("podman"):
            say("podman import of the root filesystem")
            self.podman("import", str(place.base_tar()), "base:v1")

    @staticmethod
    def has(program: str) -> bool:
        return shutil.which(program) is not None and (
            program != "podman" or shutil.which("crun") is not None
        )

    def command(self, *argv: str) -> Command:
        """A command line in the namespace, to be timed."""
        return Command(argv, "/", self.env, self.namespace.enter)

    def _output(self, *argv: str) -> str:
        done = subprocess.run(
            argv,
            cwd="/",
            env=self.env,
            preexec_fn=self.namespace.enter,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise OSError(f"{' '.join(argv[:3])}: {done.stderr.strip()[-300:]}")
        return done.stdout.strip()

    def podman(self, *args: str) -> str:
        return self._output("podman", "--runtime", "crun", *args)

    def buildah(self, *args: str) -> str:
        return self._output("buildah", *args)

    def podman_run(self, image: str = "base:v1") -> Command:
        """``podman run --rm IMAGE true`` with crun."""
        options = ("run", "--rm", "--net=none", "--cgroups=disabled")
        return self.command("podman", "--runtime", "crun", *options, f"localhost/{image}", "true")

    def podman_container(self) -> tuple[str, str]:
        """A new container: its id and the host path of its upper directory."""
        name = self.podman("create", "--net=none", "--cgroups=disabled", "base:v1", "true")
        return name, self.podman("inspect", "-f", "{{.GraphDriver.Data.UpperDir}}", name)

    def buildah_container(self) -> tuple[str, str]:
        """The same of buildah, found through the mount that it makes."""
        name = self.buildah("from", "localhost/base:v1")
        merged = self.buildah("mount", name)
        line = next(line for line in self.namespace.mounts() if f" {merged} " in line)
        upper = next(o for o in line.split()[3].split(",") if o.startswith("upperdir="))
        self.buildah("umount", name)
        path = upper.removeprefix("upperdir=")
        return name, path if path.startswith("/") else str(self.root / "graph/overlay" / path)

    def close(self) -> None:
        """Unmount by ending the namespace; the store goes with the benchmark's folder."""
        self.namespace.close()


class GitTree:
    """git on a copy of the root filesystem: what it keeps is less, what it does is alike."""

    def __init__(self, place: Place) -> None:
        self.tree = place.root / "git"
        self.env = scrub(os.environ) | {
            **{f"GIT_{who}_NAME": "Bench" for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_EMAIL": "bench@example.org" for who in ("AUTHOR", "COMMITTER")},
            "GIT_CONFIG_NOSYSTEM": "1",
            "HOME": str(place.root),
        }
        if not self.tree.exists():
            say("git add of the root filesystem")
            subprocess.run(["cp", "-a", str(place.base), str(self.tree)], check=True)
            for args in (
                ("init", "-q", "-b", "main"),
                ("config", "gc.auto", "0"),
                ("add", "-A"),
                ("commit", "-qm", "base"),
                ("tag", "base"),
            ):
                self.git(*args)

    def git(self, *args: str) -> None:
        subprocess.run(["git", *args], cwd=self.tree, env=self.env, check=True, capture_output=True)

    def commit(self) -> Command:
        """``git add -A && git commit``."""
        return Command(["sh", "-c", "git add -A && git commit -qm x"], str(self.tree), self.env)

    def forget(self) -> None:
        """Back to the base, with none of the later objects left."""
        self.git("reset", "-q", "--hard", "base")
        self.git("clean", "-fdxq")
        self.git("reflog", "expire", "--expire=now", "--all")
        self.git("prune", "--expire=now")


def hasher(change: Path) -> Callable[[int], Command]:
    """The floor of a commit: SHA-256 of every file on all cores, then one syncfs."""
    script = (
        'find "$1" -type f -print0 | xargs -0 -r -n 200 -P "$(nproc)" sha256sum >/dev/null'
        ' && sync -f "$1"'
    )
    if sum(1 for _ in change.rglob("*")) < 200:
        script = script.replace("-n 200", "-n 1")
    return lambda _: Command(["sh", "-c", script, "sh", str(change)])
