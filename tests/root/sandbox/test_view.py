# SPDX-License-Identifier: Apache-2.0
"""Environments seen from the host; and what is said when one cannot be mounted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from envgit.errors import Refused
from envgit.sandbox import probes, roots, view
from envgit.sandbox.failure import SandboxError, explain
from envgit.sandbox.roots import OverlayRoot
from envgit.sandbox.view import FailedInside, Inside, call_inside
from tests.support.sandboxed import Box

pytestmark = [pytest.mark.root, pytest.mark.needs("overlay")]


def test_mounting_on_the_host(box: Box, tmp_path: Path) -> None:
    place = tmp_path / "a place"
    place.mkdir()
    view.mount_at(box.overlay, str(place), read_only=False)
    try:
        (place / "etc/motd").write_text("from the host\n")
        assert (box.upper / "etc/motd").read_text() == "from the host\n"
        options = next(
            line.split()[5]
            for line in Path("/proc/self/mountinfo").read_text().splitlines()
            if line.split()[4] == str(place).replace(" ", "\\040")
        )
        assert {"nosuid", "nodev"} <= set(options.split(","))
        with open(place / "etc/motd"), pytest.raises(SandboxError, match="busy") as caught:
            view.unmount(str(place))
        assert str(os.getpid()) in (caught.value.hint or "")
    finally:
        view.unmount(str(place))
    assert list(place.iterdir()) == []
    with pytest.raises(SandboxError, match="not the mount point"):
        view.unmount(str(place))


def test_mounting_read_only(box: Box, tmp_path: Path) -> None:
    for root in (box.overlay, OverlayRoot((str(box.lower),))):
        place = tmp_path / "place"
        place.mkdir(exist_ok=True)
        view.mount_at(root, str(place), read_only=True)
        try:
            with pytest.raises(OSError, match="Read-only"):
                (place / "file").write_text("x")
        finally:
            view.unmount(str(place))


def test_paths_inside_mean_inside(box: Box, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("host\n")
    (box.lower / "out").symlink_to(tmp_path)
    (box.lower / "etc/motd").write_text("inside\n")
    (box.lower / "link").symlink_to("/etc/motd")

    def read(inside: Inside) -> bytes:
        fds = [inside.open(path, os.O_RDONLY) for path in ("link", b"/../../etc/motd")]
        return b"".join(os.read(fd, 100) for fd in fds)

    assert call_inside(box.overlay, read) == b"inside\n" * 2
    with pytest.raises(FileNotFoundError):
        call_inside(box.overlay, lambda inside: bytes(inside.open("out/secret")))


def test_failures_inside_come_out(box: Box) -> None:
    def refuse(_: Inside) -> bytes:
        raise Refused("no", hint="try yes")

    def die(_: Inside) -> bytes:
        os.kill(os.getpid(), 9)
        return b""

    with pytest.raises(FailedInside, match="no") as caught:
        call_inside(box.overlay, refuse)
    assert caught.value.hint == "try yes"
    with pytest.raises(FailedInside, match="ZeroDivisionError"):
        call_inside(box.overlay, lambda inside: bytes(1 // 0))
    with pytest.raises(OSError, match="Bad file descriptor"):
        call_inside(box.overlay, lambda inside: repr(os.listdir(inside.open("."))).encode())
    with pytest.raises(SandboxError, match="was killed"):
        call_inside(box.overlay, die)


def test_what_is_wrong_with_an_overlay_is_named(box: Box, tmp_path: Path) -> None:
    lower, upper, work = str(box.lower), str(box.upper), str(tmp_path / "work")
    file = str(box.lower / "etc/passwd")
    for root, words in [
        (OverlayRoot((lower, f"{lower}/gone"), upper, work), "/lower/gone is missing"),
        (OverlayRoot((lower, file), upper, work), "passwd is not a directory"),
        (OverlayRoot((lower,), upper, f"{work}/gone"), "work/gone is missing"),
        (OverlayRoot((lower,), "/dev/shm", work), "different disks"),
        (OverlayRoot((lower,), upper, f"{upper}"), "fsconfig"),
    ]:
        with pytest.raises(SandboxError, match="mounting the environment") as caught:
            call_inside(root, lambda inside: b"")
        assert words in caught.value.message, caught.value.message


def test_many_and_no_layers(box: Box, tmp_path: Path) -> None:
    layers = []
    for number in range(200):
        layer = tmp_path / f"layer{number}"
        layer.mkdir()
        (layer / f"file{number}").write_text(str(number))
        layers.append(str(layer))
    root = OverlayRoot((*layers, str(box.lower)), str(box.upper), str(tmp_path / "work"))
    count = call_inside(
        root, lambda inside: str(len(os.listdir(inside.open(".", os.O_RDONLY)))).encode()
    )
    assert int(count) >= 200
    nothing = OverlayRoot((), str(box.upper), str(tmp_path / "work"))
    assert (
        call_inside(
            nothing, lambda inside: repr(os.listdir(inside.open(".", os.O_RDONLY))).encode()
        )
        == b"[]"
    )


def test_kernels_without_lowerdir_plus(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(22, "fsconfig lowerdir+: Invalid argument")

    monkeypatch.setattr(roots, "_lowers_one_by_one", refuse)
    root = box.overlay._replace(lowers=(str(box.lower), str(box.top / "cache")))
    (box.top / "cache").mkdir()
    before = os.getcwd()
    assert b"busybox" in call_inside(
        root, lambda inside: repr(os.listdir(inside.open("bin", os.O_RDONLY))).encode()
    )
    assert os.getcwd() == before


def test_a_volatile_mark_does_not_stop_the_next_mount(box: Box) -> None:
    for _ in range(2):
        call_inside(box.overlay, lambda inside: b"")
        assert (box.top / "work/work/incompat/volatile").exists()
    call_inside(box.overlay._replace(volatile=False), lambda inside: b"")


def test_probes_try_and_explain(tmp_path: Path) -> None:
    found = {probe.name: probe for probe in probes.examine(str(tmp_path), (("nonesuch", "no x"),))}
    assert not found["nonesuch"].ok and not found["nonesuch"].needed
    assert found["overlay"].ok and found["namespaces"].ok and found["root"].ok
    assert all(probe.detail for probe in found.values())
    assert all(probe.remedy for probe in found.values() if not probe.ok)
    assert list(tmp_path.iterdir()) == []
    shared_memory = probes.examine("/proc")
    wrong = next(probe for probe in shared_memory if probe.name == "overlay")
    assert not wrong.ok and "core.store" in wrong.remedy


def test_misleading_errors_are_explained() -> None:
    full = OSError(28, "unshare: No space left on device")
    assert "namespaces" in (explain(full, "making the namespaces").hint or "")
