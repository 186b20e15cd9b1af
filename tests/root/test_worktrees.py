# SPDX-License-Identifier: Apache-2.0
"""Several environments of one repository: at once, each for itself, found wherever they go."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import builders, cli, labs, linked
from tests.support.labs import Lab
from tests.support.linked import Linked
from tests.support.scenarios import Shelf

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("overlay", "mountns", "pidns", "trusted_xattr", "mknod", "busybox"),
    pytest.mark.peer("git>=2.30"),
]

PATIENCE = 30.0
EXACTLY = "uncommitted\n"


@pytest.fixture(scope="module")
def shelves(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Shelf]]:
    with labs.scratch(tmp_path_factory.mktemp("worktrees")) as place:
        builders.rootfs(place / "lab/rootfs")
        yield [Shelf(labs.make(place / "lab", {}))]


@pytest.fixture
def lab(shelves: list[Shelf], hermetic: Path) -> Lab:
    """An environment with a shell, and a linked worktree on the branch ``linked``."""
    if len(shelves) == 1:
        linked.link(shelves[0].lab)
        shelves[0].save()
        shelves.append(shelves[0])
    shelves[0].restore()
    return shelves[0].lab


@pytest.fixture
def there(lab: Lab) -> Linked:
    """The linked worktree."""
    return Linked(lab.top)


def read(lab: Lab, name: str) -> str:
    return lab.inside(lambda root: Path(root, name).read_text())


def at(folder: Path, lab: Lab, *args: str) -> labs.Answer:
    """Run ``envgit ARGS`` in a folder with the lab's store."""
    return labs.call(args, folder, lab.environ)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


# -- at once --------------------------------------------------------------------------------------


def test_both_run_at_once_and_see_only_their_own(lab: Lab, there: Linked, tmp_path: Path) -> None:
    """Each command waits for the other to have written: they are mounted at the same time."""
    env = {"ENVGIT_STORE": lab.environ["ENVGIT_STORE"]}
    share = tmp_path / "share"
    share.mkdir()
    script = "echo $1 > /etc/own; touch /share/$1; while [ ! -e /share/$2 ]; do sleep 0.01; done"
    script += "; cat /etc/own; hostname"
    started = [
        cli.start(
            ["run", "-v", f"{share}:/share", "sh", "-c", script, "-", mine, other],
            cwd=each.project,
            env=env,
        )
        for each, mine, other in ((lab, "main", "linked"), (there, "linked", "main"))
    ]
    said = [process.communicate(timeout=PATIENCE)[0].decode().split() for process in started]
    assert said == [["main", "project"], ["linked", "linked"]]
    assert (read(lab, "etc/own"), read(there, "etc/own")) == ("main\n", "linked\n")


def test_gc_keeps_what_another_worktree_has(lab: Lab, there: Linked, tmp_path: Path) -> None:
    """Uncommitted changes, parked ones, a detached HEAD on no branch, and what a command mounts."""
    linked.write(there, "etc/parked", EXACTLY)
    there.call(["rollback", "-q"]).ok()
    there.call(["switch", "-q", "--detach", "HEAD"]).ok()
    linked.write(there, "etc/loose", "on no branch\n")
    there.call(["commit", "-q", "-m", "loose"]).ok()
    linked.write(there, "etc/dirty", EXACTLY)
    share = tmp_path / "share"
    share.mkdir()
    script = "touch /share/up; while [ ! -e /share/end ]; do sleep 0.01; done; cat /etc/loose"
    process = cli.start(
        ["run", "-v", f"{share}:/share", "sh", "-c", script],
        cwd=there.project,
        env={"ENVGIT_STORE": lab.environ["ENVGIT_STORE"]},
    )
    until((share / "up").exists)
    lab.call(["gc", "-q"]).ok()
    lab.call(["gc", "-q", "--expire=now"]).ok()
    (share / "end").touch()
    assert process.communicate(timeout=PATIENCE)[0] == b"on no branch\n"
    assert read(there, "etc/dirty") == EXACTLY
    assert read(there, "etc/loose") == "on no branch\n"
    there.call(["commit", "-q", "-m", "later"]).ok()
    lab.fsck()


def test_a_parked_change_of_another_worktree_outlives_gc(lab: Lab, there: Linked) -> None:
    linked.write(there, "etc/parked", EXACTLY)
    there.call(["rollback", "-q"]).ok()
    lab.call(["gc", "-q"]).ok()
    there.call(["undo", "-q"]).ok()
    assert read(there, "etc/parked") == EXACTLY


def test_plain_git_gc_keeps_a_detached_linked_head(lab: Lab, there: Linked) -> None:
    there.call(["switch", "-q", "--detach", "HEAD"]).ok()
    linked.write(there, "etc/loose", "on no branch\n")
    there.call(["commit", "-q", "-m", "loose"]).ok()
    commit = there.open().git.head().commit
    git = ["git", f"--git-dir={lab.project}/.envgit"]
    subprocess.run([*git, "gc", "--quiet", "--prune=now"], check=True)
    assert there.open().git.commit(str(commit)).subject == "loose"
    lab.fsck()


# -- each for itself ------------------------------------------------------------------------------


def test_undo_is_of_this_worktree(lab: Lab, there: Linked) -> None:
    linked.write(lab, "etc/a", "a\n")
    lab.call(["commit", "-q", "-m", "in main"]).ok()
    linked.write(there, "etc/b", "b\n")
    there.call(["commit", "-q", "-m", "in linked"]).ok()
    lab.call(["undo", "-q"]).ok()
    assert "A  etc/a" in lab.call(["status", "-s"]).ok().said
    assert there.call(["log", "-1", "--format=%s"]).ok().said == "in linked\n"
    there.call(["undo", "-q"]).ok()
    lab.call(["redo", "-q"]).ok()
    assert lab.call(["log", "-1", "--format=%s"]).ok().said == "in main\n"
    assert "A  etc/b" in there.call(["status", "-s"]).ok().said
    there.call(["redo", "-q"]).ok()
    assert there.call(["undo", "9"]).ok().said.count("Undid") == 1
    said = lab.call(["op", "log"]).ok().said
    assert "[linked] commit: in linked" in said
    assert "[main worktree] commit: in main" in said


def test_undo_refuses_what_another_worktree_moved(lab: Lab, there: Linked) -> None:
    lab.call(["branch", "shared"]).ok()
    there.call(["branch", "-f", "shared", "HEAD"]).ok()
    there.call(["commit", "-q", "--allow-empty", "-m", "more"]).ok()
    there.call(["branch", "-f", "shared", "HEAD"]).ok()
    answer = lab.call(["undo"])
    assert answer.status == 1
    assert "refs/heads/shared was moved since by another worktree" in answer.said


def test_undo_takes_no_branch_from_another_worktree(lab: Lab, there: Linked) -> None:
    lab.call(["branch", "new"]).ok()
    there.call(["switch", "-q", "new"]).ok()
    answer = lab.call(["undo"])
    assert answer.status == 1
    assert f"Cannot delete branch 'new' checked out at '{there.project}'" in answer.said
    lab.call(["switch", "-q", "linked"]).ok()
    lab.call(["switch", "-q", "main"]).ok()
    there.call(["switch", "-q", "linked"]).ok()
    answer = lab.call(["undo"])
    assert answer.status == 128
    assert "'linked' is already checked out" in answer.said


def test_op_restore_leaves_other_worktrees_alone(lab: Lab, there: Linked) -> None:
    there.call(["switch", "-q", "--detach", "HEAD"]).ok()
    linked.write(there, "etc/b", EXACTLY)
    before = there.sight()
    lab.call(["op", "restore", "@~2"]).ok()
    assert there.sight().head == before.head
    assert read(there, "etc/b") == EXACTLY
    lab.fsck()


def test_removed_and_got_back(lab: Lab, there: Linked) -> None:
    linked.write(there, "etc/b", EXACTLY)
    answer = lab.call(["worktree", "remove", "linked"])
    assert answer.status == 128
    assert "'linked' contains modified or untracked files, use --force to delete it" in answer.said
    before = there.sight()
    lab.call(["worktree", "remove", "-f", "linked"]).ok()
    assert not there.project.exists()
    assert len(lab.open().store.all_worktrees()) == 1
    lab.call(["gc", "-q"]).ok()
    lab.call(["undo", "-q"]).ok()
    assert there.sight() == before
    lab.call(["redo", "-q"]).ok()
    assert list(linked.paths(lab)) == [""]
    lab.call(["undo", "-q", "2"]).ok()  # and the add before it
    assert list(linked.paths(lab)) == [""]
    assert "linked" not in lab.call(["branch"]).ok().said
    lab.call(["redo", "-q", "2"]).ok()
    lab.call(["undo", "-q"]).ok()
    assert there.sight() == before
    lab.fsck()


def test_nothing_is_removed_while_something_runs_there(lab: Lab, there: Linked) -> None:
    process = cli.start(
        ["run", "sleep", "1000"],
        cwd=there.project,
        env={"ENVGIT_STORE": lab.environ["ENVGIT_STORE"]},
    )
    try:
        worktree = there.open().worktree
        until(lambda: any(each.info.get("mounted") for each in worktree.running()))
        answer = lab.call(["worktree", "remove", "-f", "-f", "linked"])
        assert answer.status == 1
        assert "in use by `sleep 1000`" in answer.said
        assert lab.call(["undo"]).status == 1  # of the add
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)
    assert there.project.exists()


def test_removing_the_worktree_one_is_in(lab: Lab, there: Linked) -> None:
    there.call(["worktree", "remove", "."]).ok()
    assert list(linked.paths(lab)) == [""]
    lab.call(["undo", "-q"]).ok()
    assert "linked" in linked.paths(lab)


def test_what_is_not_ours_stays_in_the_folder(lab: Lab, there: Linked) -> None:
    (there.project / "notes").write_text("mine")
    lab.call(["worktree", "remove", "linked"]).ok()
    assert os.listdir(there.project) == ["notes"]


def test_what_is_half_done_comes_back_as_well(lab: Lab, there: Linked) -> None:
    """Refs of its own: those of a merge that stopped."""
    for each, text in ((lab, "ours\n"), (there, "theirs\n")):
        linked.write(each, "etc/same", text)
        each.call(["commit", "-q", "-m", text]).ok()
    assert there.call(["merge", "main"]).status == 1
    merging = there.call(["rev-parse", "MERGE_HEAD"]).ok().said
    lab.call(["worktree", "remove", "-f", "linked"]).ok()
    lab.call(["gc", "-q"]).ok()
    lab.call(["undo", "-q"]).ok()
    assert there.call(["rev-parse", "MERGE_HEAD"]).ok().said == merging
    there.call(["merge", "--abort"]).ok()
    assert read(there, "etc/same") == "theirs\n"


# -- moved, copied, deleted -----------------------------------------------------------------------


def test_moved_by_hand(lab: Lab, there: Linked) -> None:
    linked.write(there, "etc/b", EXACTLY)
    moved = lab.top / "elsewhere"
    there.project.rename(moved)
    assert "prunable" in lab.call(["worktree", "list"]).ok().said
    assert "A  etc/b" in at(moved, lab, "status", "-s").ok().said
    assert linked.paths(lab)["linked"] == str(moved)
    lab.call(["worktree", "move", str(moved), str(there.project)]).ok()
    assert read(there, "etc/b") == EXACTLY
    shutil.rmtree(there.project)


def test_copied(lab: Lab, there: Linked) -> None:
    linked.write(there, "etc/b", EXACTLY)
    copy = lab.top / "copy"
    shutil.copytree(there.project, copy)
    said = at(copy, lab, "status").ok().said
    assert "is a copy" in said
    assert "HEAD detached" in said
    assert set(linked.paths(lab)) == {"", "linked", "copy"}
    at(copy, lab, "switch", "-q", "-c", "copied").ok()
    assert "nothing to commit" in at(copy, lab, "status").ok().said
    assert read(there, "etc/b") == EXACTLY
    ids = {each.worktree.id for each in (lab.open(), there.open())}
    assert len(lab.open().store.all_worktrees()) == 3 > len(ids)
    lab.call(["worktree", "remove", str(copy)]).ok()
    lab.fsck()


def test_copied_where_a_copy_was_deleted(lab: Lab, there: Linked) -> None:
    copy = lab.top / "copy"
    for _ in range(2):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(there.project, copy)
        assert "is a copy" in at(copy, lab, "status").ok().said
    lines = lab.call(["worktree", "list"]).ok().said.splitlines()
    assert [line.split()[-1] for line in lines if line.startswith(f"{copy} ")] == [
        "prunable",
        "HEAD)",
    ]
    said = lab.call(["worktree", "prune", "-v"]).ok().said
    assert said == "Removing worktrees/copy: duplicate entry\n"
    assert "nothing to commit" in at(copy, lab, "status").ok().said
    shutil.rmtree(copy)
    shutil.copytree(there.project, copy)
    at(copy, lab, "status").ok()
    lab.call(["worktree", "remove", str(copy)]).ok()
    assert not copy.exists()
    lab.fsck()


def test_inside_the_repository(lab: Lab) -> None:
    before = sorted(os.listdir(lab.project / ".envgit"))
    for inside in ("", "worktrees/linked/x", "refs/heads/x"):
        answer = lab.call(["worktree", "add", "-q", f".envgit/{inside}"])
        assert answer.status == 128
        assert "lies inside the repository" in answer.said or "already exists" in answer.said
    assert sorted(os.listdir(lab.project / ".envgit")) == before
    assert set(linked.paths(lab)) == {"", "linked"}


def test_a_fifo_is_no_gitfile(lab: Lab, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".envgit")
    answer = at(tmp_path, lab, "status")
    assert answer.status == 128
    assert "(or any of the parent directories)" in answer.said
    (tmp_path / ".envgit").unlink()
    (tmp_path / ".envgit").write_text("gitdir: " + "a" * 100_000)
    answer = at(tmp_path, lab, "status")
    assert answer.said == f"fatal: invalid gitfile format: {tmp_path}/.envgit\n"


def test_files_of_a_place_that_are_none(lab: Lab, there: Linked) -> None:
    place = lab.project / ".envgit/worktrees/linked"
    (place / "gitdir").unlink()
    os.mkfifo(place / "gitdir")
    assert "prunable" in lab.call(["worktree", "list"]).ok().said
    (place / "locked").mkdir()
    assert "locked" in lab.call(["worktree", "list"]).ok().said
    lab.call(["worktree", "prune"]).ok()
    assert place.exists()
    (place / "commondir").write_bytes(b"a\0b")
    assert there.call(["status"]).status == 128


def test_files_that_name_no_repository(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / ".envgit").write_text("nonsense\n")
    answer = at(tmp_path, lab, "status")
    assert (answer.status, answer.said) == (
        128,
        f"fatal: invalid gitfile format: {tmp_path}/.envgit\n",
    )
    (tmp_path / ".envgit").write_text("gitdir: /nowhere\n")
    answer = at(tmp_path, lab, "status")
    assert answer.status == 128
    assert "not an envgit repository: /nowhere" in answer.said
    # That of somebody else could lead to a repository of anybody's.
    (tmp_path / ".envgit").write_text(f"gitdir: {lab.project}/.envgit/worktrees/linked\n")
    os.chown(tmp_path / ".envgit", 12345, 12345)
    answer = at(tmp_path, lab, "status")
    assert answer.status == 128
    assert "dubious ownership" in answer.said


def test_one_that_is_broken_breaks_no_other(lab: Lab) -> None:
    (lab.project / ".envgit/worktrees/linked/HEAD").write_text("nonsense\n")
    for line in ("branch -v", "switch -c more", "worktree list", "gc -q", "undo"):
        lab.call(line.split()).ok()


def test_one_that_is_broken_is_pruned_with_the_others(lab: Lab, there: Linked) -> None:
    lab.call(["worktree", "add", "-q", "gone"]).ok()
    linked.write(there, "etc/b", EXACTLY)
    for name in ("gone", "linked"):
        shutil.rmtree(lab.project / name)
    (lab.project / ".envgit/worktrees/linked/HEAD").write_text("")
    lab.call(["worktree", "prune"]).ok()
    assert set(linked.paths(lab)) == {""}
    lab.call(["undo"]).ok()
    assert read(there, "etc/b") == EXACTLY
    lab.fsck()


def test_init_in_one(lab: Lab, there: Linked) -> None:
    said = there.call(["init"]).ok().said
    place = f"{lab.project}/.envgit/worktrees/linked/"
    assert said == f"Reinitialized existing envgit repository in {place}\n"


def test_settings_and_hooks_are_shared(lab: Lab, there: Linked) -> None:
    there.call(["config", "diff.context", "7"]).ok()
    assert lab.call(["config", "diff.context"]).ok().said == "7\n"
    assert there.call(["config", "envgit.worktree"]).ok().said.strip() == there.open().worktree.id


def test_deleted_and_pruned(lab: Lab, there: Linked) -> None:
    linked.write(there, "etc/b", EXACTLY)
    shutil.rmtree(there.project)
    lab.call(["gc", "-q"]).ok()
    said = lab.call(["worktree", "prune", "-n"]).ok().said
    assert said == "Removing worktrees/linked: gitdir file points to non-existent location\n"
    assert "linked" in linked.paths(lab)
    assert lab.call(["worktree", "prune", "--expire=1 hour", "-v"]).ok().said == ""
    lab.call(["worktree", "prune"]).ok()
    assert list(linked.paths(lab)) == [""]
    lab.call(["undo", "-q"]).ok()
    assert read(there, "etc/b") == EXACTLY


def test_a_locked_one_is_not_pruned(lab: Lab, there: Linked) -> None:
    lab.call(["worktree", "lock", "--reason", "on a disk", "linked"]).ok()
    shutil.rmtree(there.project)
    assert lab.call(["worktree", "prune", "-v"]).ok().said == ""
    answer = lab.call(["worktree", "remove", "-f", "linked"])
    assert answer.status == 128
    assert "lock reason: on a disk" in answer.said


def test_the_main_one_moved(lab: Lab) -> None:
    outside = lab.top / "outside"
    lab.call(["worktree", "add", "-q", str(outside)]).ok()
    moved = lab.top / "moved"
    lab.project.rename(moved)
    assert at(outside, lab, "status").status == 128
    at(moved, lab, "worktree", "repair").ok()
    assert "On branch outside" in at(outside, lab, "status").ok().said
    # The one within moved along, and is told where it is.
    at(moved, lab, "worktree", "repair", "linked").ok()
    assert "On branch linked" in at(moved / "linked", lab, "status").ok().said
    at(moved, lab, "gc", "-q").ok()
    moved.rename(lab.project)
    lab.call(["worktree", "repair", "linked"]).ok()
    lab.fsck()
    shutil.rmtree(outside)


def test_the_main_one_copied(lab: Lab, there: Linked) -> None:
    linked.write(there, "etc/b", EXACTLY)
    outside = lab.top / "outside"
    lab.call(["worktree", "add", "-q", str(outside)]).ok()
    copy = lab.top / "copy"
    shutil.copytree(lab.project, copy, symlinks=True)
    assert "is a copy" in at(copy, lab, "status").ok().said
    at(copy, lab, "gc", "-q").ok()
    # The copy's linked folder still names the original's, and becomes one of its own there.
    assert set(linked.paths(lab)) == {"", "linked", "outside"}
    assert read(there, "etc/b") == EXACTLY
    at(copy, lab, "undo").ok()
    lab.call(["gc", "-q"]).ok()
    lab.fsck()
    for folder in (copy, outside):
        shutil.rmtree(folder)


# -- cost -----------------------------------------------------------------------------------------


def test_adding_copies_nothing(lab: Lab) -> None:
    """Not one file more in the store for it than state, lock and an empty change set."""
    store = Path(lab.environ["ENVGIT_STORE"])

    def count() -> int:
        return sum(len(files) for _, _, files in os.walk(store))

    before = count()
    lab.call(["worktree", "add", "-q", "--detach", str(lab.project / "more")]).ok()
    assert count() - before <= 3
    assert sorted(os.listdir(lab.project / "more")) == [".envgit"]
