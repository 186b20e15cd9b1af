# SPDX-License-Identifier: Apache-2.0
"""A full disk at any point: a sentence that says so, nothing lost, and it works when there is room.

The lab lies on a small ext4 of its own that is filled before each command but for so many bytes:
from none, where the first write fails, to where the last one does.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import faults, labs, scenarios
from tests.support.labs import Lab, Sight
from tests.support.scenarios import SCENARIOS, Scenario, Shelf

pytestmark = [
    pytest.mark.crash,
    pytest.mark.root,
    pytest.mark.needs("overlay", "mountns", "trusted_xattr", "mknod", "loop"),
]

# Bytes left. A block has 1024 of them on a file system this small.
LEVELS = (0, 1 << 10, 3 << 10, 6 << 10, 10 << 10, 16 << 10, 24 << 10, 36 << 10, 56 << 10, 96 << 10)

FEW = ("commit_-m_new", "rollback_dirty", "switch_--discard-changes_exp", "restore_etc_usr", "gc")

Effort = Callable[[int, int], int]


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system with room for a lab and its copies."""
    with faults.small_filesystem(tmp_path_factory.mktemp("disk"), 48) as mounted:
        yield mounted


@pytest.fixture(scope="module")
def base(disk: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Shelf]:
    """The lab of all scenarios, kept elsewhere; built on demand."""
    return []


@pytest.fixture
def shelf(
    disk: Path, base: list[Shelf], tmp_path_factory: pytest.TempPathFactory, fixed_clock: int
) -> Callable[[Scenario], Shelf]:
    """Gives the lab in which a scenario is about to happen, saved on another disk."""
    elsewhere = tmp_path_factory.mktemp("saved")

    def start(scenario: Scenario) -> Shelf:
        if not base:
            built = Shelf(scenarios.build(disk / "lab"), elsewhere / "base")
            built.save()
            base.append(built)
        base[0].restore()
        scenarios.prepare(base[0].lab, scenario)
        prepared = Shelf(base[0].lab, elsewhere / "prepared")
        prepared.save()
        return prepared

    return start


@pytest.mark.parametrize("scenario", [each for each in SCENARIOS if not each.runs], ids=str)
def test_full(
    scenario: Scenario, shelf: Callable[[Scenario], Shelf], effort: Effort, disk: Path
) -> None:
    if scenario.name not in FEW and not effort(0, 1):
        pytest.skip("with --thorough")
    place = shelf(scenario)
    lab = place.lab
    allowed = _outcomes(place, scenario)
    failed = 0
    for leave in LEVELS[:: effort(3, 1)]:
        place.restore()
        with faults.filled(disk, leave=leave):
            answer = lab.call(scenario.args)
            # Reading needs no room.
            lab.call(["log", "--oneline"]).ok()
        where = f"{leave} bytes left: {answer}"
        if answer.status != 0:
            failed += 1
            assert answer.status in (1, 128), where
            assert "No space left on device" in answer.said, where
        if scenario.name == "repair":
            lab.call(["fsck", "--repair"]).ok()
        sight = _look(lab, scenario)
        matching = [name for name, state in allowed.items() if state == sight]
        assert matching, where
        lab.fsck()
        if matching == ["old"]:
            lab.call(scenario.args).ok()
            assert _look(lab, scenario) == allowed["new"], where
    # gc makes its own room.
    assert failed or scenario.args[0] == "gc", "no level was low enough"


@pytest.mark.parametrize("part", ["project", "store"])
def test_only_one_of_the_two_is_full(
    part: str, disk: Path, tmp_path: Path, fixed_clock: int
) -> None:
    """The repository and the store may lie on different disks."""
    lab = Lab(tmp_path / "lab")
    lab.top.mkdir()
    (disk / part).mkdir()
    (lab.top / part).symlink_to(disk / part)
    lab = labs.make(lab.top)
    for leave in (0, 2 << 10, 8 << 10, 20 << 10, 64 << 10):
        lab.inside(lambda root, leave=leave: _grow(root, leave))  # type: ignore[misc]
        before = lab.sight()
        with faults.filled(disk, leave=leave):
            answer = lab.call(["commit", "-q", "-m", f"with {leave}"])
        if answer.status:
            assert "No space left on device" in answer.said
            after = lab.sight()
            assert after.files == before.files
            if after.refs == before.refs:
                lab.call(["commit", "-q", "-m", f"with {leave}"]).ok()
        lab.fsck()
    (lab.top / part).unlink()


def _grow(root: str, number: int) -> None:
    for name in range(30):
        Path(root, f"{number}-{name}").write_text("grown")


def test_gc_makes_room_on_a_full_disk(shelf: Callable[[Scenario], Shelf], disk: Path) -> None:
    """What the message of a full disk advises must work on a full disk."""
    lab = shelf(SCENARIOS[0]).lab
    (lab.top / "store/tmp/left").mkdir()
    (lab.top / "store/tmp/left/over").write_bytes(os.urandom(2 << 20))
    with faults.filled(disk):
        answer = lab.call(["gc", "-q"])
        left = os.statvfs(disk)
        assert left.f_bavail * left.f_frsize > 1 << 20, answer
        lab.call(["commit", "-q", "-m", "now there is room"]).ok()
    lab.fsck()


def test_out_of_inodes(shelf: Callable[[Scenario], Shelf], disk: Path) -> None:
    lab = shelf(SCENARIOS[0]).lab
    before = lab.sight()
    with _no_inodes(disk):
        answer = lab.call(["commit", "-m", "new"])
        assert answer.status != 0
        assert "No space left on device" in answer.said
    assert lab.sight() == before
    lab.fsck()
    lab.call(["commit", "-m", "new"]).ok()


@contextlib.contextmanager
def _no_inodes(disk: Path) -> Iterator[None]:
    ballast = disk / "inodes"
    ballast.mkdir()
    try:
        with contextlib.suppress(OSError):
            for number in range(1 << 20):
                (ballast / str(number)).touch()
        yield
    finally:
        scenarios.remove(ballast)


def _outcomes(place: Shelf, scenario: Scenario) -> dict[str, Sight]:
    allowed = {}
    if scenario.name != "repair":
        allowed["old"] = _look(place.lab, scenario)
    for name, args in [("new", scenario.args), *((" ".join(a), a) for a in scenario.between)]:
        place.restore()
        place.lab.call(args).ok()
        allowed[name] = _look(place.lab, scenario)
    return allowed


def _look(lab: Lab, scenario: Scenario) -> Sight:
    sight = lab.sight()
    for path in scenario.writes:
        sight.files.pop(path, None)
    return sight


@pytest.mark.needs("strace")
@pytest.mark.parametrize("call", ["fsync", "syncfs", "rename", "write", "unlink", "mkdir"])
def test_a_disk_that_fails(
    call: str, shelf: Callable[[Scenario], Shelf], effort: Effort, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EIO of any call on the way: said, and the old state or the new one is there."""
    scenario = SCENARIOS[0]
    place = shelf(scenario)
    lab = place.lab
    allowed = _outcomes(place, scenario)
    monkeypatch.setenv("ENVGIT_STORE", lab.environ["ENVGIT_STORE"])
    for when in range(1, effort(3, 14) + 1):
        place.restore()
        inject = f"{call}:error=EIO:when={when}"
        done = faults.failing_call(inject, scenario.args, lab.project)
        said = done.stdout + done.stderr
        assert "Traceback" not in said and "has a bug" not in said, (inject, said)
        if done.returncode == 0:
            # Nothing failed, or nothing that matters (a cache that could not be written).
            assert lab.sight() == allowed["new"], (inject, said)
            continue
        assert done.returncode in (1, 128), (inject, said)
        assert "Input/output error" in said, (inject, said)
        assert lab.sight() in allowed.values(), (inject, said)
        lab.fsck()
