# SPDX-License-Identifier: Apache-2.0
"""Plans are values: what they hold, and what makes no sense, is known without root."""

from __future__ import annotations

from typing import Any

import pytest

from envgit.sandbox.failure import SandboxError
from envgit.sandbox.mounts import Bind, Filesystem, ReadOnlyRoot, WorkingDirectory
from envgit.sandbox.plan import JoinRoot, OverlayRoot, Plan, RunOptions, make_plan
from envgit.sandbox.syscalls import CLONE_NEWNET, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_RDONLY

ROOT = OverlayRoot(("/store/b", "/store/a"), "/store/upper", "/store/work", True)


def plan(config: dict[str, Any] | None = None, **options: Any) -> Plan:
    options.setdefault("argv", ("true",))
    return make_plan(ROOT, RunOptions(**options), config or {})


def test_describe_says_it_all() -> None:
    text = plan(
        argv=("sh", "-c", "echo it's"), env=(("A", "b"),), volumes=("/srv:/data:ro",), user="me"
    ).describe()
    for words in (
        "namespaces  mount pid ipc uts cgroup\n",
        "overlay of 2 layers, changes in /store/upper, volatile\n",
        "proc     /proc (nosuid,nodev,noexec)",
        "sysfs    /sys (ro,nosuid,nodev,noexec)",
        "bind     /data from /srv (ro)",
        "user        me, from the environment's /etc/passwd",
        "seccomp     default profile",
        "env         A=b",
        """command     sh -c 'echo it'"'"'s'""",
    ):
        assert words in text
    assert "process 77" in make_plan(JoinRoot(77), RunOptions(argv=("x",)), {}).describe()


def test_commands_as_in_docker() -> None:
    config = {"Entrypoint": ["/entry"], "Cmd": ["a", "b"]}
    assert plan(config, argv=()).argv == ("/entry", "a", "b")
    assert plan(config, argv=("c",)).argv == ("/entry", "c")
    assert plan(config, argv=(), entrypoint="/other").argv == ("/other",)
    assert plan(config, argv=("c",), entrypoint="").argv == ("c",)
    with pytest.raises(SandboxError, match="no command"):
        plan(argv=())
    with pytest.raises(SandboxError, match="NUL"):
        plan(argv=("a\0b",))


def test_later_variables_win() -> None:
    made = plan({"Env": ["A=1", "B=2", "PATH=/x"]}, env=(("B", "3"), ("C", "")))
    env = dict(made.env)
    assert (env["A"], env["B"], env["C"], env["PATH"]) == ("1", "3", "", "/x")
    assert "TERM" not in env and "HOME" not in env
    assert dict(plan(tty=True).env)["TERM"] == "xterm"
    assert dict(plan(tty=True, term="screen").env)["TERM"] == "screen"
    for name in ("", "A=B"):
        with pytest.raises(SandboxError, match="environment variable"):
            plan(env=((name, "x"),))


def test_networks() -> None:
    assert not plan().namespaces & CLONE_NEWNET
    made = plan(network="none")
    assert made.namespaces & CLONE_NEWNET
    assert not any(isinstance(m, Bind) for m in made.mounts)
    with pytest.raises(SandboxError, match="unknown network"):
        plan(network="bridge")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/a:/b", Bind("/a", "/b")),
        ("/a:/b:ro", Bind("/a", "/b", True)),
        ("/a:/b/../c//d/:rw,z", Bind("/a", "/c/d")),
        ("/a:/../b", Bind("/a", "/b")),
    ],
)
def test_volumes(text: str, expected: Bind) -> None:
    assert expected in plan(volumes=(text,)).mounts


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/a", "not a volume"),
        ("/a:/b:ro:x", "not a volume"),
        ("name:/b", "absolute path on the host"),
        ("/a:b", "not an absolute path"),
        ("/a:/", "hide the whole environment"),
        ("/a:/b/..", "hide the whole environment"),
        ("/a:/b:rx", "unknown option 'rx'"),
    ],
)
def test_volumes_that_make_no_sense(text: str, words: str) -> None:
    with pytest.raises(SandboxError, match=words):
        plan(volumes=(text,))


def test_tmpfs() -> None:
    made = [
        m
        for m in plan(tmpfs=("/a:size=1m,mode=0700,exec,ro",)).mounts
        if isinstance(m, Filesystem) and m.target == "/a"
    ]
    assert made[0].options == (("size", "1m"), ("mode", "0700"))
    assert not made[0].attributes & MOUNT_ATTR_NOEXEC
    assert made[0].attributes & MOUNT_ATTR_RDONLY
    with pytest.raises(SandboxError, match="unknown option 'quick'"):
        plan(tmpfs=("/a:quick",))


def test_outer_mounts_come_first() -> None:
    made = plan(volumes=("/x:/a/b/c", "/y:/a"), tmpfs=("/a/b",))
    targets = [getattr(m, "target", "") for m in made.mounts]
    assert targets.index("/a") < targets.index("/a/b") < targets.index("/a/b/c")


def test_working_directory_and_read_only() -> None:
    made = plan({"WorkingDir": "/srv/app/"}, read_only=True)
    assert made.cwd == "/srv/app"
    assert WorkingDirectory("/srv/app") in made.mounts
    assert isinstance(made.mounts[-1], ReadOnlyRoot)
    assert plan({"WorkingDir": "/x"}, workdir="/y").cwd == "/y"
    with pytest.raises(SandboxError, match="not an absolute path"):
        plan(workdir="relative")


@pytest.mark.parametrize("name", ["a/b", "x" * 65, "a\nb"])
def test_host_names(name: str) -> None:
    with pytest.raises(SandboxError, match="host name"):
        plan(hostname=name)
