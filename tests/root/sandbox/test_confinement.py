# SPDX-License-Identifier: Apache-2.0
"""What a command must not be able to do, and what a hostile environment must not make us do."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from envgit.sandbox import capabilities
from tests.support import sandboxed
from tests.support.sandboxed import Box

pytestmark = [pytest.mark.root, pytest.mark.needs("overlay")]

# System calls by their number on x86_64.
_CALL = """
def call(number, *arguments):
    result = libc.syscall(number, *arguments)
    return os.strerror(ctypes.get_errno()) if result < 0 else "works"
"""


def test_no_mount_of_the_host_is_left(box: Box) -> None:
    lines = box.run("cat", "/proc/self/mountinfo").out.splitlines()
    roots = {line.split()[4] for line in lines}
    assert roots == {
        "/", "/proc", "/sys", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue",
        "/etc/hosts", "/etc/hostname", "/etc/resolv.conf",
    } | {f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty")} | {
        root for root in roots if root.startswith(("/proc/", "/sys/"))
    }  # fmt: skip
    assert " / / rw,nodev" in lines[0]


def test_capabilities_are_dockers(box: Box) -> None:
    def held(**options: Any) -> set[str]:
        done = box.run("grep", "CapBnd", "/proc/self/status", **options)
        return set(capabilities.names(int(done.out.split()[1], 16)))

    assert held() == capabilities.DEFAULT
    assert held(cap_drop=["ALL"]) == set()
    assert held(cap_drop=["all"], cap_add=["cap_kill"]) == {"KILL"}
    assert held(cap_add=["SYS_PTRACE"]) == capabilities.DEFAULT | {"SYS_PTRACE"}
    assert box.run("true", cap_add=["FLY"]).status == 125


_REFUSED = {
    "keyctl": (250, 0, 0), "add_key": (248, 0, 0), "mount": (165, 0, 0, 0, 0, 0),
    "unshare": (272, 0x10000000), "setns": (308, 0, 0), "bpf": (321, 0, 0, 0),
    "userfaultfd": (323, 0), "io_uring_setup": (425, 1, 0), "kexec_load": (246, 0, 0, 0, 0),
    "init_module": (175, 0, 0, 0), "open_by_handle_at": (304, 0, 0, 0), "reboot": (169, 0, 0, 0),
    "clone newuser": (56, 0x10000000 | 17, 0, 0, 0, 0), "pivot_root": (155, 0, 0),
    "vsock": (41, 40, 1, 0), "swapon": (167, 0, 0), "mount_setattr": (442, 0, 0, 0, 0, 0),
}  # fmt: skip
_ABSENT = {"clone3": (435, 0, 0), "unknown": (999,), "x32 getppid": (0x40000000 + 110,)}
_ALLOWED = {"getppid": (110,), "personality": (135, 0xFFFFFFFF), "socket": (41, 2, 1, 0)}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86_64")
def test_system_calls_are_filtered(box: Box) -> None:
    calls = {**_REFUSED, **_ABSENT, **_ALLOWED}
    code = f"{_CALL}\nfor name, numbers in {calls!r}.items(): print(name, call(*numbers), sep=': ')"
    done = sandboxed.python(box, code)
    answers = dict(line.split(": ") for line in done.out.splitlines())
    assert answers == {
        **dict.fromkeys(_REFUSED, os.strerror(errno.EPERM)),
        **dict.fromkeys(_ABSENT, os.strerror(errno.ENOSYS)),
        **dict.fromkeys(_ALLOWED, "works"),
    }, done.err


def test_nobody_types_on_a_terminal(box: Box) -> None:
    code = (
        _CALL
        + """
import fcntl
for request in (0x5412, 0x541C, 0x5412 | 1 << 32):
    byte = ctypes.create_string_buffer(b"x")
    libc.ioctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p)
    print(libc.ioctl(0, request, ctypes.addressof(byte)), ctypes.get_errno())
"""
    )
    done = sandboxed.python(box, code)
    assert done.out == f"-1 {errno.EPERM}\n" * 3, done


def test_the_filter_is_cached_and_mended(box: Box) -> None:
    assert box.run("true").status == 0
    (file,) = (box.top / "cache").iterdir()
    content = file.read_bytes()
    file.write_bytes(content[:-100])
    assert box.run("grep", "Seccomp:", "/proc/self/status").out == "Seccomp:\t2\n"
    assert file.read_bytes() == content
    assert box.run("grep", "Seccomp:", "/proc/self/status", seccomp=False).out == "Seccomp:\t0\n"


def test_devices_do_not_work(box: Box) -> None:
    script = """
    for dir in / /dev /tmp /dev/shm; do
        mknod $dir/disk b 254 0 && head -c 1 $dir/disk; mknod $dir/null c 1 3; echo x >$dir/null
    done
    echo fine >/dev/null && head -c 4 /dev/urandom | wc -c
    """
    done = box.run("sh", "-c", script)
    assert done.out == "4\n"
    assert done.err.count("Permission denied") + done.err.count("can't create") >= 8 - 1


def test_kernel_paths_are_masked(box: Box) -> None:
    script = """
    for file in /proc/kcore /proc/keys /proc/timer_list /proc/interrupts; do cat $file; done
    ls -A /proc/acpi /proc/scsi /sys/firmware
    for file in /proc/sys/vm/swappiness /proc/sysrq-trigger /sys/kernel/mm/ksm/run; do
        echo 1 >$file && echo wrote $file
    done
    """
    done = box.run("sh", "-c", script)
    assert [line for line in done.out.splitlines() if line and not line.endswith(":")] == []
    assert done.err.count("Read-only file system") >= 2


def test_pid_1_tells_nothing(box: Box) -> None:
    done = box.run("sh", "-c", "cat /proc/1/cmdline; ls /proc/1/fd /proc/1/root/ /proc/1/cwd/; ps")
    assert done.out.startswith("envgit-init")
    assert "python" not in done.out and sandboxed.PROJECT not in done.out
    assert done.err.count("Permission denied") >= 2
    done = box.run("/proc/self/exe")
    assert done.status == 126 and "leads out of the environment" in done.err


def test_links_for_mount_points_stay_inside(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    box = sandboxed.box(
        tmp_path,
        {
            "evil": f"-> {outside}",
            "up": "-> ../../../../../..",
            "loop": "-> loop",
        },
    )
    (box.lower / "etc/resolv.conf").unlink()
    (box.lower / "etc/resolv.conf").symlink_to("../run/systemd/resolve/stub.conf")
    done = box.run(
        "sh", "-c", "cat /etc/resolv.conf | wc -c; ls /up | head -1",
        volumes=[f"{outside}:/evil/sub", f"{outside}:/up/host2"],
    )  # fmt: skip
    assert done.status == 0, done.err
    assert int(done.out.split()[0]) == len(Path("/etc/resolv.conf").read_bytes())
    inner = str(outside).lstrip("/")
    assert "run/systemd/resolve/stub.conf" in done.created
    assert f"{inner}/sub" in done.created and "host2" in done.created
    assert list(outside.iterdir()) == []
    done = box.run("true", volumes=[f"{outside}:/loop/x"])
    assert done.status == 125 and "symbolic links" in done.err


@pytest.mark.parametrize("name", ["proc", "sys", "dev"])
def test_kernel_file_systems_want_real_directories(tmp_path: Path, name: str) -> None:
    box = sandboxed.box(tmp_path)
    (box.lower / name).rmdir()
    (box.lower / name).symlink_to("tmp")
    done = box.run("true")
    assert done.status == 125 and f"/{name}" in done.err, done.err


def test_passwd_may_be_anything(tmp_path: Path) -> None:
    box = sandboxed.box(tmp_path)
    passwd = box.lower / "etc/passwd"
    host = tmp_path / "passwd"
    host.write_text("intruder:x:0:0::/:/bin/sh\n")
    makers: tuple[Callable[[], object], ...] = (
        lambda: None,
        lambda: os.mkfifo(passwd),
        lambda: passwd.symlink_to(host),
        lambda: passwd.symlink_to("/proc/1/root/../passwd"),
        lambda: passwd.write_bytes(b"\xff\0::\nintruder:x:-1:99999999999:a:b:c\n"),
    )
    for make in makers:
        passwd.unlink(missing_ok=True)
        make()
        assert box.run("echo", "fine").out == "fine\n"
        done = box.run("true", user="intruder")
        assert done.status == 125 and "no user" in done.err
