# SPDX-License-Identifier: Apache-2.0
"""What a command finds when it starts, and what its end means to who started it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import sandboxed
from tests.support.sandboxed import Box

pytestmark = [pytest.mark.root, pytest.mark.needs("overlay")]


@pytest.mark.parametrize(
    ("script", "status", "signal"),
    [("exit 0", 0, None), ("exit 3", 3, None), ("exit 255", 255, None), ("kill -9 $$", 137, 9)],
)
def test_the_status_is_the_commands(box: Box, script: str, status: int, signal: int | None) -> None:
    done = box.run("sh", "-c", script)
    assert (done.status, done.facts["signal"]) == (status, signal)


def test_not_found_and_not_executable_are_a_shells(box: Box) -> None:
    (box.lower / "script").write_text("#!/nowhere/python\n")
    (box.lower / "script").chmod(0o755)
    (box.lower / "plain").write_text("text\n")
    (box.lower / "garbage").write_bytes(b"\x00\x01")
    (box.lower / "garbage").chmod(0o755)
    for argv, status, word in [
        ("nonesuch", 127, "not found"),
        ("/no/such", 127, "no such file"),
        ("/plain", 126, "Permission denied"),
        ("/etc", 126, "is a directory"),
        ("/script", 126, "/nowhere/python"),
        ("/garbage", 126, "no program for this machine"),
    ]:
        done = box.run(argv)
        assert (done.status, done.out) == (status, ""), done.err
        assert done.err.startswith(f"fatal: {argv}: ") and word in done.err


def test_standard_streams_are_passed_on(box: Box) -> None:
    done = box.run("sh", "-c", "cat; echo err >&2", stdin="hi\n" * 100_000)
    assert (done.status, done.out, done.err) == (0, "hi\n" * 100_000, "err\n")
    assert box.run("cat", stdin="hi", interactive=False).out == ""


def test_closed_standard_streams_are_harmless(box: Box) -> None:
    shell = " ".join(
        f"'{word}'" for word in box.command("sh", "-c", "echo x >/file; ls /proc/$$/fd")
    )
    done = subprocess.run(["sh", "-c", f"exec {shell} <&- >&- 2>&-"], cwd=sandboxed.PROJECT)
    assert done.returncode == 0
    assert (box.upper / "file").read_text() == "x\n"


def test_nothing_of_the_host_is_inherited(box: Box) -> None:
    leak = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(leak, True)
    try:
        done = subprocess.run(
            box.command("sh", "-c", "ls /proc/self/fd; env; ulimit -c; umask; cat /proc/1/environ"),
            cwd=sandboxed.PROJECT,
            env={**os.environ, "SECRET": "leaked", "LD_PRELOAD": ""},
            close_fds=False,
            capture_output=True,
            text=True,
        )
    finally:
        os.close(leak)
    lines = done.stdout.splitlines()
    assert lines[:4] == ["0", "1", "2", "3"]  # 3 is ls's own
    assert "leaked" not in done.stdout
    assert sorted(line.split("=")[0] for line in lines if "=" in line) == [
        "HOME", "HOSTNAME", "PATH", "PWD", "SHLVL",
    ]  # fmt: skip
    assert lines[-1] == "0022"
    assert "/proc/1/environ': Permission denied" in done.stderr


def test_signals_are_at_their_defaults(box: Box) -> None:
    shell = " ".join(f"'{word}'" for word in box.command("grep", "Sig", "/proc/self/status"))
    done = subprocess.run(
        ["sh", "-c", f"trap '' HUP INT QUIT TERM; exec {shell}"],
        cwd=sandboxed.PROJECT, capture_output=True, text=True,
    )  # fmt: skip
    masks = dict(line.split(":\t") for line in done.stdout.splitlines() if "SigQ" not in line)
    assert set(masks.values()) == {"0" * 16}, masks


def test_environment_and_entrypoint_as_in_docker(box: Box) -> None:
    box.config = {
        "Env": ["A=image", "B=image", "PATH=/bin"],
        "Entrypoint": ["/bin/echo", "entry"],
        "Cmd": ["cmd"],
        "WorkingDir": "/srv",
    }
    assert box.run().out == "entry cmd\n"
    assert box.run("mine").out == "entry mine\n"
    done = box.run("-c", "echo $A $B $C $PWD", entrypoint="sh", env=[("B", "user"), ("C", "x y")])
    assert done.out == "image user x y /srv\n"


def test_users_are_the_environments_own(box: Box) -> None:
    show = "id -u; id -g; id -G; echo $HOME"
    for user, expected in [
        ("", "0 0 0 /root"),
        ("user", "1000 1000 1000 50 /home/user"),
        ("user:nogroup", "1000 65534 65534 /home/user"),
        ("4711", "4711 0 0 /"),
        ("4711:4712", "4711 4712 4712 /"),
    ]:
        assert box.run("sh", "-c", show, user=user).out.split() == expected.split(), user
    done = box.run("true", user="messagebus")
    assert done.status == 125 and "no user 'messagebus'" in done.err
    done = box.run("cat", "/proc/self/status", user="user")
    assert "CapEff:\t0000000000000000" in done.out


def test_the_working_directory_is_made(box: Box) -> None:
    done = box.run("pwd", workdir="/srv/deep/er")
    assert (done.out, done.created) == ("/srv/deep/er\n", ["srv", "srv/deep", "srv/deep/er"])
    done = box.run("pwd", workdir="/root", user="user")
    assert done.status == 126 and "Permission denied" in done.err


def test_hostname_hosts_and_resolver(box: Box) -> None:
    done = box.run(
        "sh", "-c", "hostname; cat /etc/hostname; grep -c lab /etc/hosts", hostname="lab"
    )
    assert done.out == "lab\nlab\n1\n"
    assert box.run("cat", "/etc/resolv.conf").out == Path("/etc/resolv.conf").read_text()
    assert box.run("sh", "-c", "echo >/etc/resolv.conf").status == 1
    assert not (box.upper / "etc").exists() or not any((box.upper / "etc").iterdir())


def test_no_network_is_only_loopback(box: Box) -> None:
    done = box.run("sh", "-c", "cat /proc/net/dev; ip link show lo", network="none")
    assert [line.split(":")[0].strip() for line in done.out.splitlines()[2:3]] == ["lo"]
    assert "UP" in done.out


def test_mount_points_of_an_empty_environment_are_made_and_told(tmp_path: Path) -> None:
    box = sandboxed.box(tmp_path)
    for name in ("dev", "proc", "sys", "etc"):
        subprocess.run(["rm", "-r", str(box.lower / name)], check=True)
    done = box.run("true")
    assert done.created == [
        "proc", "sys", "dev", "etc", "etc/hostname", "etc/hosts", "etc/resolv.conf",
    ]  # fmt: skip
    assert box.run("true").created == []


def test_volumes_and_tmpfs(box: Box, tmp_path: Path) -> None:
    host = tmp_path / "host"
    (host / "sub").mkdir(parents=True)
    (host / "file").write_text("from the host\n")
    done = box.run(
        "sh",
        "-c",
        "cat /v/file; echo x >/v/new; echo y >/r/new; echo z >/t/new; ls /one",
        volumes=[f"{host}:/v", f"{host}:/r:ro", f"{host}/file:/one"],
        tmpfs=["/t:size=1m"],
    )
    assert done.out == "from the host\n/one\n"
    assert "/r/new: Read-only file system" in done.err
    assert (host / "new").read_text() == "x\n"
    assert sorted(done.created) == ["one", "r", "t", "v"]
    assert list((box.upper / "t").iterdir()) == []
    done = box.run("true", volumes=["/no/such:/x"])
    assert (done.status, done.created) == (125, []) and "the host has no such file" in done.err


def test_read_only(box: Box) -> None:
    done = box.run(
        "sh", "-c", "echo x >/file; echo y >/dev/shm/file && cat /dev/shm/file", read_only=True
    )
    assert done.out == "y\n" and "/file: Read-only file system" in done.err


def test_a_layer_path_may_be_long_and_odd(tmp_path: Path) -> None:
    place = tmp_path / ("x" * 200) / "a:b,c\\d" / ("y" * 200)
    place.mkdir(parents=True)
    box = sandboxed.box(place)
    assert box.run("sh", "-c", "echo x >/file").status == 0
    assert (box.upper / "file").exists()


def test_libraries_callers_process_is_left_alone(box: Box) -> None:
    code = f"""
import os, signal, sys, threading
sys.path.insert(0, {sandboxed.PROJECT!r})
from envgit.sandbox.plan import OverlayRoot, RunOptions, make_plan
from envgit.sandbox.supervisor import run
def facts():
    ns = [os.readlink(f"/proc/self/ns/{{n}}") for n in ("pid", "pid_for_children", "mnt", "uts")]
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    return ns, blocked, sorted(os.listdir("/proc/self/fd")), os.getcwd()
plan = make_plan(OverlayRoot(*{list(box.overlay)!r}), RunOptions(argv=("true",)), {{}})
before = facts()
for turn in range(3):
    thread = threading.Thread(target=run, args=(plan,))
    thread.start(); thread.join()
    assert run(plan).exit_code == 0
assert facts() == before, (before, facts())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
