# SPDX-License-Identifier: Apache-2.0
"""stash, cherry-pick and revert on real mounts: metadata, links, directories, recorded runs."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import labs, scenarios
from tests.support.labs import Lab
from tests.support.scenarios import Shelf

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("overlay", "mountns", "trusted_xattr", "mknod"),
    pytest.mark.peer("git>=2.30"),
]


@pytest.fixture(scope="module")
def shelves(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[Shelf]]]:
    """Where the lab is, and the lab once it is built."""
    with labs.scratch(tmp_path_factory.mktemp("picks")) as place:
        yield place, []


@pytest.fixture
def lab(shelves: tuple[Path, list[Shelf]], hermetic: Path) -> Lab:
    """The lab of the scenarios, without uncommitted changes."""
    place, built = shelves
    if not built:
        built.append(Shelf(scenarios.build(place / "lab")))
        built[0].save()
    built[0].restore()
    return built[0].lab


def run(lab: Lab, *lines: str, status: int = 0) -> str:
    said = ""
    for line in lines:
        answer = lab.call(line.split())
        assert answer.status == status, f"{line}: {answer.status}\n{answer.said}"
        said += answer.said
    return said


def record(lab: Lab, word: str) -> None:
    """What ``run`` would have recorded with the uncommitted changes."""
    lab.open().worktree.append_run({"argv": [word], "exit_code": 0, "started": 1, "duration_ms": 2})


def recorded(lab: Lab, revision: str) -> list[str]:
    repository = lab.open()
    return [run.argv[0] for run in repository.git.metadata(repository.resolve(revision)).runs]


# -- stash ----------------------------------------------------------------------------------------


def test_all_that_is_uncommitted_comes_back(lab: Lab) -> None:
    """Every kind of change, through a stash and back, on HEAD, on another HEAD and as a branch."""
    clean = lab.photograph()
    scenarios.edit(lab, scenarios.dirty)
    dirty = lab.photograph()
    run(lab, "stash -q")
    assert lab.photograph() == clean
    run(lab, "stash apply -q")
    assert lab.photograph() == dirty
    run(lab, "stash -q", "stash drop -q stash@{1}", "gc -q", "stash pop -q")
    assert lab.photograph() == dirty
    run(lab, "stash -q", "cherry-pick side", "stash pop -q", "reset -q --soft main~1")
    both = lab.photograph()
    assert {path: both[path] for path in dirty if path} == {p: dirty[p] for p in dirty if p}
    assert b"srv/side" in both
    run(lab, "commit -q -m both")
    lab.fsck()


def test_push_costs_no_copy(lab: Lab) -> None:
    """The change set becomes the entry's layer: the same inodes, and back again no file is made."""
    scenarios.edit(lab, scenarios.dirty)
    repository = lab.open()
    upper = repository.store.upper_path(repository.worktree.state().changes)
    inode = os.stat(f"{upper}/etc/conf").st_ino
    run(lab, "stash -q")
    repository = lab.open()
    layer = repository.store.layer_path(repository.git.commit(repository.resolve("stash")).layer)
    assert os.stat(f"{layer}/etc/conf").st_ino == inode
    run(lab, "stash pop -q")
    repository = lab.open()
    assert not os.listdir(repository.store.upper_path(repository.worktree.state().changes))


def test_recorded_commands_travel(lab: Lab) -> None:
    scenarios.edit(lab, scenarios.dirty)
    record(lab, "first")
    run(lab, "stash -q")
    record(lab, "in between")
    assert recorded(lab, "stash") == ["first"]
    run(lab, "stash pop -q", "commit -q -m all")
    assert sorted(recorded(lab, "HEAD")) == ["first", "in between"]
    run(lab, "switch -q side", "cherry-pick main")
    assert sorted(recorded(lab, "HEAD")) == ["first", "in between"]
    run(lab, "revert --no-edit HEAD")
    assert recorded(lab, "HEAD") == []


def test_some_paths_are_put_away(lab: Lab) -> None:
    clean = lab.photograph()
    scenarios.edit(lab, scenarios.dirty)
    dirty = lab.photograph()
    run(lab, "stash push -q -- usr etc/link")
    left = lab.photograph()
    assert left[b"etc/link"] == clean[b"etc/link"]
    assert left[b"usr/lib/a"] == clean[b"usr/lib/a"]
    assert left[b"etc/conf"] == dirty[b"etc/conf"]
    assert b"usr/new" not in left
    run(lab, "stash pop -q")
    assert lab.photograph() == dirty
    lab.fsck()


def test_nothing_takes_an_entry_away_but_drop(lab: Lab) -> None:
    scenarios.edit(lab, scenarios.dirty)
    dirty = lab.photograph()
    run(lab, "stash -q", "gc -q --expire=now")
    subprocess.run(
        ["git", f"--git-dir={lab.project}/.envgit", "gc", "-q", "--prune=now"], check=True
    )
    run(lab, "stash apply -q")
    assert lab.photograph() == dirty
    run(lab, "rollback -q", "stash clear", "undo -q", "stash pop -q")
    assert lab.photograph() == dirty
    lab.fsck()


def test_while_something_runs(lab: Lab) -> None:
    """A mounted change set can be neither put away nor exchanged."""
    scenarios.edit(lab, scenarios.dirty)
    run(lab, "stash -q")
    scenarios.edit(lab, lambda root: Path(root, "etc/other").write_text("more"))
    worktree = lab.open().worktree
    child = subprocess.Popen(["sleep", "600"])
    try:
        with worktree.register({"command": "sleep 600", "init_pid": child.pid}):
            for line in ("stash", "stash pop", "cherry-pick side", "revert main"):
                answer = lab.call(line.split())
                assert answer.status in (1, 128), answer
                assert "in use by" in answer.said, answer
            run(lab, "stash list", "stash show")
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()


def test_conflicts_of_a_stash(lab: Lab) -> None:
    scenarios.edit(lab, lambda root: Path(root, "etc/conf").write_text("mine\n"))
    run(lab, "stash -q")
    scenarios.edit(lab, lambda root: Path(root, "etc/conf").write_text("theirs\n"))
    run(lab, "commit -q -m other")
    before = lab.sight()
    said = run(lab, "stash pop", status=1)
    assert "CONFLICT (content): Merge conflict in etc/conf" in said
    assert "The stash entry is kept in case you need it again." in said
    run(lab, "commit -q -m early", "stash", status=128)
    run(lab, "stash pop", status=128)
    scenarios.edit(lab, lambda root: Path(root, "etc/conf").write_text("both\n"))
    run(lab, "add etc/conf", "commit -q -m resolved", "stash drop", "undo -q 3")
    assert lab.sight() == before
    lab.fsck()


# -- cherry-pick and revert -----------------------------------------------------------------------


def test_a_pick_is_the_change_and_nothing_else(lab: Lab) -> None:
    """Metadata, links, new and opaque directories, devices; reverted, it is as before."""
    before = lab.photograph()
    scenarios.edit(lab, scenarios.dirty)
    run(lab, "commit -q -m everything", "switch -q side")
    base = lab.photograph()
    run(lab, "cherry-pick main")
    picked, main = lab.photograph(), lab.photograph("main")
    changed = {path for path in {*main, *before} if main.get(path) != before.get(path)}
    for path in {*picked, *base}:
        wanted = main if path in changed else base
        assert picked.get(path) == wanted.get(path), path
    run(lab, "revert --no-edit HEAD")
    assert lab.photograph() == base
    run(lab, "switch -q main", "revert HEAD")
    assert lab.photograph() == before
    assert run(lab, "diff HEAD~2") == ""
    lab.fsck()


def test_only_what_differs_is_made(lab: Lab) -> None:
    run(lab, "cherry-pick exp")
    repository = lab.open()
    layer = repository.git.layer(repository.resolve("HEAD"))
    names = [path for path, _ in labs_walk(layer)]
    assert names == [b"", b"usr", b"usr/lib", b"usr/lib/exp"]


def labs_walk(node: object) -> list[tuple[bytes, object]]:
    from envgit.layers.entry import walk

    return list(walk(node))  # type: ignore[arg-type]


def test_beside_uncommitted_changes(lab: Lab) -> None:
    """What a pick does not touch stays uncommitted, also when it stops and is aborted."""
    scenarios.edit(lab, scenarios.dirty)
    record(lab, "kept")
    before = lab.sight()
    run(lab, "cherry-pick side")
    files = lab.photograph()
    assert files[b"etc/conf"] == before.files[b"etc/conf"]
    assert b"srv/side" in files
    said = run(lab, "cherry-pick main exp", status=1)
    assert "now empty" in said
    run(lab, "cherry-pick --abort")
    assert lab.photograph() == files
    said = run(lab, "revert main~2", status=128)
    assert "would be overwritten by merge" in said
    assert lab.photograph() == files
    run(lab, "undo -q 3")
    assert lab.sight() == before
    run(lab, "commit -q -m later")
    assert recorded(lab, "HEAD") == ["kept"]
    lab.fsck()


def clash(lab: Lab) -> None:
    """``exp`` and main have each changed one file in their own way; exp has two more commits."""
    run(lab, "switch -q exp")
    scenarios.edit(lab, lambda root: Path(root, "usr/share/doc/x").write_text("exp\n"))
    run(lab, "commit -q -m clashing", "switch -q main")


def test_abort_goes_back_over_finished_steps(lab: Lab) -> None:
    """With what was uncommitted before the first of them."""
    clash(lab)
    scenarios.edit(lab, lambda root: Path(root, "var/empty/mine").write_text("uncommitted\n"))
    before = lab.sight()
    run(lab, "cherry-pick side exp~1 exp", status=1)
    assert run(lab, "rev-parse HEAD~2") == run(lab, "rev-parse main@{2}")
    run(lab, "cherry-pick --abort")
    assert lab.sight() == before
    run(lab, "undo -q")
    assert "pending" in lab.sight().refs
    run(lab, "redo -q")
    assert lab.sight() == before
    lab.fsck()


def test_quit_and_moved_head(lab: Lab) -> None:
    clash(lab)
    run(lab, "cherry-pick exp side", status=1)
    run(lab, "cherry-pick --quit")
    assert "pending" not in lab.sight().refs
    run(lab, "rollback -q")
    run(lab, "cherry-pick exp side", status=1)
    scenarios.edit(lab, lambda root: Path(root, "usr/share/doc/x").write_text("both\n"))
    run(lab, "commit -q --no-edit")
    said = run(lab, "cherry-pick --abort")
    assert "You seem to have moved HEAD" in said
    assert "pending" not in lab.sight().refs


@pytest.mark.parametrize("end", ["--continue", "--skip", "--abort"])
def test_undo_and_redo_of_how_it_ended(lab: Lab, end: str) -> None:
    clash(lab)
    clean = lab.sight()
    run(lab, "cherry-pick exp", status=1)
    stopped = lab.sight()
    if end == "--continue":
        scenarios.edit(lab, lambda root: Path(root, "usr/share/doc/x").write_text("both\n"))
        stopped = lab.sight()
    run(lab, f"cherry-pick {end}")
    ended = lab.sight()
    run(lab, "undo -q")
    assert lab.sight() == stopped
    run(lab, "redo -q")
    assert lab.sight() == ended
    run(lab, "undo -q 2")
    if end != "--continue":
        assert lab.sight() == clean
    lab.fsck()


def test_killed_amid_a_sequence(lab: Lab) -> None:
    """At every named step: what is there can be continued to the same end, or aborted."""
    shelf = Shelf(lab, lab.top.with_name("amid"))
    shelf.save()
    before = lab.sight()
    names: list[str] = []
    log = lab.top / "steps"

    def note(name: str) -> None:
        with open(log, "a") as file:
            file.write(f"{name}\n")

    lab.call(["cherry-pick", "side", "exp"], note).ok()
    names = log.read_text().split()
    after = lab.sight()
    for number in range(0, len(names), max(1, len(names) // 24)):
        for end in ("--continue", "--abort"):
            shelf.restore()
            left = [number]

            def kill(name: str, left: list[int] = left) -> None:
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left[0] -= 1

            lab.call(["cherry-pick", "side", "exp"], kill)
            sight = lab.sight()
            where = f"{names[number]} ({number}), {end}"
            if "pending" in sight.refs:
                run(lab, f"cherry-pick {end}")
                sight = lab.sight()
                assert sight == (after if end == "--continue" else before), where
            else:
                assert sight in (before, after), where
            lab.fsck()


def test_every_worktree_sees_the_stash(lab: Lab) -> None:
    scenarios.edit(lab, scenarios.dirty)
    run(lab, "stash -q", "worktree add -q linked side")
    listed = lab.call(["-C", "linked", "stash", "list"]).ok().said
    assert listed == run(lab, "stash list")
    lab.call(["-C", "linked", "stash", "pop", "-q"]).ok()
    assert run(lab, "stash list") == ""
