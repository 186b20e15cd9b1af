# SPDX-License-Identifier: Apache-2.0
"""gc: nothing that anything reaches goes, what goes was foretold, and it expires what git does."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from envgit.porcelain.maintenance import GcResult, gc
from envgit.repo.signature import Signature
from tests.support import faults, labs, scenarios
from tests.support.labs import Lab

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("overlay", "mountns", "trusted_xattr", "mknod"),
]

DAY = 86400


@pytest.fixture
def lab(tmp_path: Path, hermetic: Path) -> Lab:
    """A lab with one commit."""
    return labs.make(tmp_path / "lab")


# -- the prediction -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An ext4 of its own, on which every block that is given back can be counted."""
    with faults.small_filesystem(tmp_path_factory.mktemp("gc"), 220) as mounted:
        yield mounted


@pytest.mark.needs("loop")
@pytest.mark.parametrize("case", ["links", "sparse", "many", "objects", "nothing"])
def test_what_is_foretold_is_freed(case: str, disk: Path, hermetic: Path) -> None:
    """Of what the file system itself counts, within 1 %, and to the byte of what gc counts."""
    scenarios.remove(disk / "lab")
    (disk / "lab").mkdir()
    lab = labs.make(disk / "lab")
    for number in range(26 if case == "links" else 2):
        lab.inside(lambda root, number=number: _fill(root, case, number))  # type: ignore[misc]
        lab.call(["commit", "-q", "--allow-empty", "-m", f"{case} {number}"]).ok()
    if case != "nothing":
        lab.call(["reset", "-q", "--hard", "HEAD~1" if case != "links" else "HEAD~20"]).ok()
        lab.call(["tag", "t"]).ok()  # the newest operation stays: let it be another
        lab.inside(lambda root: Path(root, "parked").write_bytes(os.urandom(3 << 20)) and None)
        lab.call(["rollback", "-q", "HEAD"]).ok()
        lab.call(["tag", "-d", "t"]).ok()
    _drop(lab, "ORIG_HEAD")
    lab.call(["tag", "last"]).ok()
    foretold = gc(lab.open(), dry_run=True, expire=0)
    again = gc(lab.open(), dry_run=True, expire=0)
    assert foretold == again, "a prediction changes nothing"
    told: list[GcResult] = []
    free = _free(disk)
    done = gc(lab.open(), expire=0, announce=told.append)
    gone = _free(disk) - free
    assert [each.predicted for each in told] == [foretold.predicted] == [done.predicted]
    if case != "nothing":
        assert foretold.predicted.total > 1 << 20
    assert done.freed == foretold.predicted.total
    # A block is more than 1 % of nothing: the commit's own directories, the file system's journal.
    assert abs(gone - foretold.predicted.total) <= max(foretold.predicted.total // 100, 32 << 10)
    lab.fsck()


def _free(disk: Path) -> int:
    subprocess.run(["sync", "-f", str(disk)], check=True)
    found = os.statvfs(disk)
    return found.f_bfree * found.f_frsize


def _fill(root: str, case: str, number: int) -> None:
    top = Path(root, "data")
    top.mkdir(exist_ok=True)
    if case == "sparse":
        with open(top / f"sparse{number}", "wb") as file:
            file.truncate(1 << 30)
            for place in range(20):
                file.seek(place * 50 << 20)
                file.write(os.urandom(100_000))
    elif case == "many":
        for name in range(3000):
            folder = top / f"{number}-{name // 100}"
            folder.mkdir(exist_ok=True)
            (folder / str(name)).write_text(f"{number} {name}\n" * (name % 9 + 1))
    elif case == "objects":
        for name in range(400):
            (top / f"{name:03}-{number}").symlink_to(f"target {number} {name}")
        (top / "large").write_bytes(os.urandom(2 << 20))
    elif case == "links":
        (top / f"one{number}").write_bytes(os.urandom(200_000))
        os.link(top / f"one{number}", top / f"two{number}")


# -- what stays -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "refs/stash",
        "refs/envgit/stash/00000001",
        "refs/bisect/bad",
        "refs/bisect/good-0123",
        "refs/worktree/mine",
        "ORIG_HEAD",
        "MERGE_HEAD",
        "CHERRY_PICK_HEAD",
        "REVERT_HEAD",
        "BISECT_HEAD",
        "FETCH_HEAD",
        "worktrees/other/HEAD",
        "worktrees/other/ORIG_HEAD",
        "worktrees/other/refs/bisect/bad",
        "worktrees/other/logs/HEAD",
        "logs/refs/heads/main",
    ],
)
def test_what_a_ref_of_any_kind_reaches_stays(name: str, lab: Lab) -> None:
    """Only the named file leads to the commit, and gc that forgets all it may keeps it."""
    lab.inside(lambda root: Path(root, "kept").write_text("kept") and None)
    lab.call(["commit", "-q", "-m", "kept"]).ok()
    repository = lab.open()
    oid, old = repository.git.resolve("HEAD"), repository.git.resolve("HEAD~1")
    layer = repository.git.commit(oid).layer
    lab.call(["reset", "-q", "--hard", "HEAD~1"]).ok()
    lab.call(["tag", "later"]).ok()
    _drop(lab, "ORIG_HEAD")
    folder = lab.project / ".envgit"
    shutil.rmtree(folder / "logs")
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    if "logs" in name:
        who = Signature("A", "a@b", int(time.time()), 0).encode().decode()
        file.write_text(f"{old} {oid} {who}\tcommit: kept\n")
    else:
        file.write_text(f"{oid}\t\tbranch 'main' of elsewhere\n" if "FETCH" in name else f"{oid}\n")
    # The operation log forgets all it may; the reflogs keep all.
    never = [f"gc.*.{key}=never" for key in ("reflogExpire", "reflogExpireUnreachable")]
    settings = [word for pair in ("gc.reflogExpire=now", *never) for word in ("-c", pair)]
    lab.call([*settings, "gc", "-q", "--prune=now"]).ok()
    assert lab.open().store.has_layer(layer)
    assert lab.open().git.commit(oid).message == "kept\n"
    _drop(lab, name)
    lab.call(["gc", "-q", "--expire=now"]).ok()
    assert not lab.open().store.has_layer(layer)
    assert not lab.open().git.exists(oid)
    lab.fsck()


def _drop(lab: Lab, name: str) -> None:
    """Let a ref be gone, also where it was packed."""
    folder = lab.project / ".envgit"
    (folder / name).unlink(missing_ok=True)
    packed = folder / "packed-refs"
    if packed.exists():
        lines = packed.read_text().splitlines(keepends=True)
        packed.write_text("".join(line for line in lines if not line.endswith(f" {name}\n")))


def test_what_an_unfinished_merge_returns_to_stays(lab: Lab) -> None:
    """The change set that only a record beneath refs/worktree/envgit names."""
    lab.inside(lambda root: Path(root, "parked").write_text("parked") and None)
    repository = lab.open()
    changes = repository.worktree.state().changes
    lab.call(["rollback", "-q", "HEAD"]).ok()
    lab.call(["tag", "later"]).ok()
    git = repository.git
    with git.writer() as writer:
        record = f'{{"before": {{"base": null, "changes": "{changes}"}}}}'.encode()
        tree = writer.add_tree({b"record.json": (False, bytes.fromhex(writer.add_blob(record)))})
        who = repository.signature()
        from envgit.repo.commits import encode_commit

        commit = writer.add_commit(encode_commit(tree, [], who, who, "pending"))
        writer.flush()
    file = lab.project / ".envgit/refs/worktree/envgit/pending"
    file.parent.mkdir(parents=True)
    file.write_text(f"{commit}\n")
    lab.call(["gc", "-q", "--expire=now"]).ok()
    assert lab.open().store.changes_exist(changes)
    os.unlink(file)
    lab.call(["gc", "-q", "--expire=now"]).ok()
    assert not lab.open().store.changes_exist(changes)


def test_a_young_object_keeps_what_it_needs(lab: Lab) -> None:
    """git-prune(1): what is reachable from an unreachable object that is too young stays, too."""
    lab.inside(lambda root: Path(root, "new").write_text("new") and None)
    lab.call(["commit", "-q", "-m", "gone"]).ok()
    oid = lab.open().git.resolve("HEAD")
    lab.call(["reset", "-q", "--hard", "HEAD~1"]).ok()
    lab.call(["tag", "later"]).ok()
    _drop(lab, "ORIG_HEAD")
    lab.call(["gc", "-q", "--expire=now", "--prune=1.day.ago"]).ok()
    assert lab.open().git.metadata(oid)
    lab.fsck()
    for pack in (lab.project / ".envgit/objects/pack").glob("*.pack"):
        os.utime(pack, (time.time() - 2 * DAY,) * 2)
    lab.call(["gc", "-q", "--expire=now", "--prune=1.day.ago"]).ok()
    assert not lab.open().git.exists(oid)
    lab.fsck()


# -- expiry, as git's ------------------------------------------------------------------------------


@pytest.mark.peer("git>=2.30")
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"gc.reflogExpire": "40.days.ago"},
        {"gc.reflogExpireUnreachable": "never"},
        {"gc.reflogExpire": "never", "gc.reflogExpireUnreachable": "10.days.ago"},
        {"gc.refs/heads/*.reflogExpire": "5.days.ago"},
        {
            "gc.refs/heads/x*.reflogExpireUnreachable": "now",
            "gc.refs/heads/x*.reflogExpire": "never",
        },
    ],
    ids=lambda settings: ",".join(f"{name}={value}" for name, value in settings.items()) or "plain",
)
def test_reflogs_expire_as_in_git(settings: dict[str, str], lab: Lab, tmp_path: Path) -> None:
    lab.inside(lambda root: Path(root, "a").write_text("a") and None)
    lab.call(["commit", "-q", "-m", "second"]).ok()
    lab.call(["branch", "xyz"]).ok()
    lab.call(["commit", "-q", "--amend", "-m", "reworded"]).ok()
    git = lab.open().git
    ids = [git.resolve("main"), git.resolve("main~1"), git.resolve("xyz")]
    folder = lab.project / ".envgit"
    now = int(time.time())
    for name in ("HEAD", "refs/heads/main", "refs/heads/xyz"):
        text, old = "", "0" * 40
        for number, age in enumerate((200, 95, 85, 45, 35, 25, 12, 8, 3, 1)):
            new = ids[number % 3]
            text += f"{old} {new} A U Thor <a@b> {now - age * DAY} +0000\tentry {number}\n"
            old = new
        (folder / "logs" / name).write_text(text)
    # git's refs alone: the operation log would make everything reachable to it.
    (folder / "packed-refs").unlink(missing_ok=True)
    copied = tmp_path / "git"
    subprocess.run(["cp", "-a", str(folder), str(copied)], check=True)
    subprocess.run(["rm", "-rf", str(copied / "refs/envgit")], check=True)
    options = [word for pair in settings.items() for word in ("-c", "=".join(pair))]
    base = ["git", f"--git-dir={copied}", *options]
    subprocess.run([*base, "reflog", "expire", "--all"], check=True)
    lab.call([*options, "gc", "-q"]).ok()
    for name in ("HEAD", "refs/heads/main", "refs/heads/xyz"):
        ours, theirs = ((at / "logs" / name).read_text() for at in (folder, copied))
        assert ours == theirs, name


def test_auto_does_nothing_while_there_is_little(lab: Lab) -> None:
    for name in "abc":
        lab.call(["tag", name]).ok()
    before = sorted(os.listdir(lab.project / ".envgit/objects/pack"))
    assert lab.call(["gc", "--auto"]).ok().said == ""
    assert sorted(os.listdir(lab.project / ".envgit/objects/pack")) == before
    said = lab.call(["-c", "gc.autoPackLimit=1", "gc", "--auto"]).ok().said
    assert said.startswith("Auto packing the repository for optimum performance.\n")
    assert lab.call(["-c", "gc.autoPackLimit=1", "gc", "--auto"]).ok().said == ""


@pytest.mark.peer("git>=2.30")
def test_count_objects_as_git(lab: Lab) -> None:
    folder = lab.project / ".envgit"
    subprocess.run(
        ["git", f"--git-dir={folder}", "hash-object", "-w", "--stdin"],
        input=b"loose",
        check=True,
        capture_output=True,
    )
    (folder / "objects/pack/tmp_pack_x").write_bytes(b"left over")
    for options in ([], ["-v"], ["-H"], ["-v", "-H"]):
        theirs = subprocess.run(
            ["git", f"--git-dir={folder}", "count-objects", *options],
            capture_output=True,
            text=True,
            check=True,
        )
        assert lab.call(["count-objects", *options]).ok().said == theirs.stdout


def test_between_two_trials(lab: Lab) -> None:
    """What bisect run keeps from one trial for the next may be taken: it makes it anew."""
    from envgit.porcelain.foundation.trials import Trials

    repository = lab.open()
    commit = repository.git.resolve("HEAD")
    with Trials(repository, ["sh", "-c", '[ -e "$ENVGIT_ROOT/etc/conf" ]'], host=True) as trials:
        for _ in range(3):
            (trial,) = trials.run([commit])
            assert trial.exit_code == 0
            lab.call(["gc", "-q", "--expire=now"]).ok()
