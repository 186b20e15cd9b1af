# SPDX-License-Identifier: Apache-2.0
"""kill -9 at every named step and at random instants: the old state or the new one, never a third.

"Old" and "new" are what a user sees: HEAD, every ref, every file of the worktree with all its
metadata. After each kill the repository is opened anew, found whole by git and by envgit down to
the bytes of its layers, and used again.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import envgit
from tests.support import builders, labs, scenarios
from tests.support.labs import Answer, Lab, Sight
from tests.support.scenarios import SCENARIOS, Scenario, Shelf

pytestmark = [
    pytest.mark.crash,
    pytest.mark.root,
    pytest.mark.needs("overlay", "mountns", "trusted_xattr", "mknod"),
    pytest.mark.peer("git>=2.30"),
]

Effort = Callable[[int, int], int]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where labs are."""
    with labs.scratch(tmp_path_factory.mktemp("kill")) as made:
        yield made


@pytest.fixture(scope="module")
def templates() -> dict[bool, Shelf]:
    """Built labs that scenarios are copied from, with and without a busybox; filled on demand."""
    return {}


@pytest.fixture
def shelf(
    templates: dict[bool, Shelf], place: Path, fixed_clock: int
) -> Callable[[Scenario], Shelf]:
    """Gives the lab in which a scenario is about to happen, saved."""

    def start(scenario: Scenario) -> Shelf:
        base = templates.get(scenario.runs)
        if base is None:
            top = place / ("busybox" if scenario.runs else "plain")
            top.mkdir()
            base = Shelf(scenarios.build(top / "lab", busybox=scenario.runs))
            base.save()
            templates[scenario.runs] = base
        base.restore()
        scenarios.prepare(base.lab, scenario)
        prepared = Shelf(base.lab, base.lab.top.with_name("lab.prepared"))
        prepared.save()
        return prepared

    return start


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_at_each_step(
    scenario: Scenario, shelf: Callable[[Scenario], Shelf], effort: Effort
) -> None:
    place = shelf(scenario)
    lab = place.lab
    names, allowed = _outcomes(place, scenario)
    assert names, "no step was reached"
    for number in _chosen(names, effort(2, len(names)), scenario.name):
        place.restore()
        answer = lab.call(scenario.args, _killer(number))
        # gc takes a step more or less with the time it is, so the last may not be reached.
        assert answer.status in (0, -signal.SIGKILL), f"step {number} {names[number]}: {answer}"
        assert number > len(names) // 2 or answer.status
        _check(lab, scenario, allowed, f"killed at step {number}, {names[number]}")


def test_in_the_recovery(shelf: Callable[[Scenario], Shelf], effort: Effort) -> None:
    """A kill in the middle of making good for a kill."""
    scenario = next(each for each in SCENARIOS if each.name == "commit_-m_new_--_etc_usr/new")
    place = shelf(scenario)
    names, allowed = _outcomes(place, scenario)
    decided = names.index("publish:journal")
    for number in range(decided, len(names), effort(8, 1)):
        for again in range(0, len(names) - number, effort(7, 1)):
            place.restore()
            place.lab.call(scenario.args, _killer(number))
            place.lab.call(["branch", "later"], _killer(again))
            where = f"killed at {names[number]}, then at step {again}"
            _check(place.lab, scenario, allowed, where, "later")


def test_at_random_instants(shelf: Callable[[Scenario], Shelf], effort: Effort) -> None:
    dice = random.Random(20240101)
    wanted = effort(10, 320)
    chosen = [SCENARIOS[number % len(SCENARIOS)] for number in range(wanted)]
    tally: dict[str, int] = {}
    for scenario in sorted(set(chosen), key=lambda each: each.name):
        place = shelf(scenario)
        _, allowed = _outcomes(place, scenario)
        place.restore()
        begun = time.monotonic()
        place.lab.call(scenario.args)
        duration = time.monotonic() - begun
        for _ in range(chosen.count(scenario)):
            place.restore()
            delay = dice.uniform(0, duration)
            ended = _kill_after(place.lab, scenario, delay)
            seen = _check(place.lab, scenario, allowed, f"killed after {delay * 1000:.1f} ms")
            tally[f"{ended}, {seen} state"] = tally.get(f"{ended}, {seen} state", 0) + 1
    print(f"\n{wanted} kills: {tally}")
    assert any("killed" in text for text in tally)


def test_no_step_is_left_out(shelf: Callable[[Scenario], Shelf]) -> None:
    """Every durable step that the code names is one at which some scenario is killed."""
    reached: set[str] = set()
    for scenario in SCENARIOS:
        place = shelf(scenario)
        place.restore()
        reached.update(_record(place.lab, scenario.args))
    sources = Path(envgit.__file__).parent.rglob("*.py")
    text = "".join(path.read_text() for path in sources if path.name != "crashpoint.py")
    named = set(re.findall(r'reach\("([^"]+)"\)', text))
    # What init reaches, test_init is about.
    named -= {"init:begun", "init:made", "init:published", "store:create", "worktree:create"}
    assert named - reached == set()


@pytest.mark.parametrize("source", ["scratch", "rootfs"])
def test_init(source: str, place: Path, effort: Effort, fixed_clock: int) -> None:
    """A killed init leaves no repository, or the whole one; the next init works in any case."""
    top = place / source
    content = top / "rootfs"
    builders.tree(content, labs.CONTENT)
    args = ["init", "--from", source if source == "scratch" else f"rootfs:{content}"]
    lab = Lab(top / "lab")
    lab.project.mkdir(parents=True)
    names = _record(lab, args)
    expected = lab.sight()
    for number in _chosen(names, effort(8, len(names)), source):
        for path in (lab.project, lab.top / "store"):
            subprocess.run(["rm", "-rf", str(path)], check=True)
        lab.project.mkdir()
        assert lab.call(args, _killer(number)).status == -signal.SIGKILL
        where = f"killed at step {number}, {names[number]}"
        if not (lab.project / ".envgit").exists():
            lab.call(args).ok()
        assert lab.sight() == expected, where
        assert sorted(os.listdir(lab.project)) == [".envgit"], where
        lab.fsck()


def _outcomes(place: Shelf, scenario: Scenario) -> tuple[list[str], dict[str, Sight]]:
    """The steps that the command reaches, and what may be seen if it is killed."""
    lab = place.lab
    allowed: dict[str, Sight] = {}
    if scenario.name != "repair":
        allowed["old"] = _look(lab, scenario)
    place.restore()
    names = _record(lab, scenario.args)
    allowed["new"] = _look(lab, scenario)
    for args in scenario.between:
        place.restore()
        lab.call(args).ok()
        allowed[" ".join(args)] = _look(lab, scenario)
    return names, allowed


def _look(lab: Lab, scenario: Scenario) -> Sight:
    """What there is to see, but for what a command that ran is answerable for itself."""
    sight = lab.sight()
    for path in scenario.writes:
        sight.files.pop(path, None)
    return sight


def _record(lab: Lab, args: list[str] | tuple[str, ...]) -> list[str]:
    log = lab.top / "steps"
    log.unlink(missing_ok=True)
    fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    lab.call(args, lambda name: _note(fd, name)).ok()
    os.close(fd)
    return log.read_text().split()


def _note(fd: int, name: str) -> None:
    os.write(fd, f"{name}\n".encode())


def _killer(number: int) -> Callable[[str], None]:
    left = [number]

    def hook(name: str) -> None:
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1

    return hook


def _chosen(names: list[str], count: int, seed: str) -> list[int]:
    """``count`` of the steps, always the same ones for one ``seed``."""
    return sorted(random.Random(seed).sample(range(len(names)), min(count, len(names))))


def _kill_after(lab: Lab, scenario: Scenario, delay: float) -> str:
    reader, pid = labs.start(scenario.args, lab.project, lab.environ)
    time.sleep(delay)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with open(reader, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, -signal.SIGKILL), Answer(code, said.decode())
    return "ended" if code == 0 else "killed"


def _check(
    lab: Lab, scenario: Scenario, allowed: dict[str, Sight], where: str, *ignored: str
) -> str:
    """Open, look, verify, go on; which of the allowed states it is."""
    if "old" not in allowed and not _readable(lab):
        lab.call(["fsck", "--repair"]).ok()
    _check_reading(lab, where)
    sight = _look(lab, scenario)
    for name in ignored:
        sight.refs.pop(f"refs/heads/{name}", None)
    matching = [name for name, state in allowed.items() if state == sight]
    if not matching:
        pytest.fail(f"{where}: neither of {list(allowed)}\n{_difference(sight, allowed)}")
    try:
        lab.fsck()
        lab.call(["add", "-A"]).ok()  # of a merge in conflict, which would refuse
        lab.call(["commit", "--allow-empty", "-q", "-m", "next"]).ok()
    except AssertionError as problem:
        raise AssertionError(f"{where} ({matching[0]} state)") from problem
    return matching[0]


def _check_reading(lab: Lab, where: str) -> None:
    """Verbs that only read see none of what is half done, though they take no lock."""
    reading = lab.open()
    before = (reading.git.head(), reading.git.refs("refs/"), reading.worktree.state())
    locking = lab.open()
    with locking.locked("looking"):
        after = (locking.git.head(), locking.git.refs("refs/"), locking.worktree.state())
    assert before == after, where


def _readable(lab: Lab) -> bool:
    state = Path(lab.open().named_worktree().path, "state")
    return state.read_text().endswith("}\n")


def _difference(sight: Sight, allowed: dict[str, Sight]) -> str:
    lines = []
    for name, state in allowed.items():
        lines.append(f"-- against {name}")
        if sight.head != state.head:
            lines.append(f"HEAD {sight.head}, not {state.head}")
        for ref in sorted({*sight.refs, *state.refs}):
            if sight.refs.get(ref) != state.refs.get(ref):
                lines.append(f"{ref} {sight.refs.get(ref)}, not {state.refs.get(ref)}")
        for path in sorted({*sight.files, *state.files}):
            if sight.files.get(path) != state.files.get(path):
                lines.append(f"{path!r} {sight.files.get(path)}, not {state.files.get(path)}")
    return "\n".join(lines[:40])
