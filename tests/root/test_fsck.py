# SPDX-License-Identifier: Apache-2.0
"""fsck names each damaged file and object, and who needs it; its exit status tells what kind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from envgit.errors import EnvgitError
from envgit.layers.ids import CommitId
from envgit.porcelain.foundation import workers
from envgit.porcelain.fsck import Problem, fsck
from tests.support import labs
from tests.support.labs import Lab

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("overlay", "mountns", "trusted_xattr", "mknod"),
]


@pytest.fixture
def lab(tmp_path: Path, hermetic: Path) -> Lab:
    """Four commits: two write etc/conf, one usr/lib/a; a tag on the second, a branch on the third
    of them."""
    lab = labs.make(tmp_path / "lab")
    for number, path in enumerate(("etc/conf", "usr/lib/a", "etc/conf")):
        lab.inside(lambda root, p=path, n=number: Path(root, p).write_text(f"{n}\n") and None)  # type: ignore[misc]
        lab.call(["commit", "-q", "-m", f"{number}: {path}"]).ok()
    lab.call(["tag", "-a", "-m", "one", "v1", "HEAD~2"]).ok()
    lab.call(["branch", "side", "HEAD~1"]).ok()
    lab.fsck()
    return lab


def layer(lab: Lab, revision: str) -> Path:
    """The sealed layer of a commit."""
    repository = lab.open()
    commit = repository.git.commit(repository.git.resolve(revision))
    return Path(repository.store.layer_path(commit.layer))


def errors(lab: Lab, *args: str) -> tuple[int, list[dict[str, Any]]]:
    """The exit status, and the problems as JSON, the same whether or not work is shared."""
    answer = lab.call(["fsck", "--json", "-q", *args])
    found = json.loads(answer.said)
    shared = fsck(lab.open(), workers=2, connectivity="--connectivity-only" in args)
    assert sorted(each["text"] for each in found) == sorted(each.text for each in shared)
    return answer.status, found


def ids(lab: Lab, *revisions: str) -> list[str]:
    git = lab.open().git
    return [git.resolve(revision) for revision in revisions]


# -- files of layers ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda file: file.write_text("x\n"), "has other content"),
        (lambda file: file.write_text("longer\n"), "bytes instead of"),
        (lambda file: file.chmod(0o4755), "has mode 4755 instead of 0644"),
        (lambda file: os.chown(file, 5, 6), "belongs to 5:6 instead of 0:0"),
        (lambda file: os.utime(file, (1, 1)), "was modified at 1 instead of"),
        (lambda file: os.setxattr(file, "user.x", b"y"), "has other extended attributes"),
        (lambda file: os.link(file, f"{file}.link"), "has other hard links"),
        (lambda file: file.unlink(), "is missing"),
    ],
    ids=["content", "size", "mode", "owner", "mtime", "xattr", "links", "gone"],
)
def test_a_damaged_file_and_who_needs_it(
    damage: Callable[[Path], object], words: str, lab: Lab
) -> None:
    file = layer(lab, "HEAD~2") / "etc/conf"
    before = os.stat(file)
    damage(file)
    if words == "has other content":
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    status, found = errors(lab)
    assert status == 1
    (problem,) = (each for each in found if words in each["text"] and each["path"] == "/etc/conf")
    # What HEAD shows there is a later layer's.
    assert problem["commits"] == ids(lab, "HEAD~1", "HEAD~2")
    assert problem["needed_by"] == ["side", "tag v1"]
    assert problem["text"].endswith("; needed by side, tag v1")


def test_a_lost_layer(lab: Lab) -> None:
    layer(lab, "HEAD~1").rename(lab.top / "store/layers" / ("0" * 40))
    for args in ([], ["--connectivity-only"]):
        status, found = errors(lab, *args)
        assert status & 2
        (problem,) = (each for each in found if each["kind"] == "missing")
        assert problem["commits"] == ids(lab, "HEAD", "HEAD~1")
        assert problem["needed_by"] == ["main", "side"]


def test_a_commit_that_no_ref_points_at_is_named_by_its_way(lab: Lab) -> None:
    lab.call(["tag", "-d", "v1"]).ok()
    lab.call(["branch", "-D", "side"]).ok()
    os.chmod(layer(lab, "HEAD~2") / "etc/conf", 0o600)
    _, (problem,) = errors(lab)
    assert problem["needed_by"] == ["main~1", "main~2"]


def test_names_of_any_bytes(lab: Lab) -> None:
    name = b"etc/\xff\nname"
    lab.inside(lambda root: open(os.fsencode(root) + b"/" + name, "wb").close())
    lab.call(["commit", "-q", "-m", "odd"]).ok()
    os.chmod(os.fsencode(layer(lab, "HEAD")) + b"/" + name, 0o600)
    (problem,) = fsck(lab.open())
    assert problem.path == "/" + os.fsdecode(name)
    assert problem.needed_by == ("main",)
    assert "\\xff" in problem.text


def test_no_full_does_not_read_contents(lab: Lab) -> None:
    file = layer(lab, "HEAD") / "etc/conf"
    before = os.stat(file)
    file.write_text("X\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert lab.call(["fsck", "--no-full"]).status == 0
    assert lab.call(["fsck"]).status == 1


# -- objects, as git's fsck -----------------------------------------------------------------------


@pytest.fixture
def loose(lab: Lab) -> Lab:
    """The same with every object in a file of its own."""
    folder = lab.project / ".envgit"
    packs = [pack.rename(lab.top / pack.name) for pack in (folder / "objects/pack").glob("*.pack")]
    for index in (folder / "objects/pack").iterdir():
        index.unlink()
    for pack in packs:
        with open(pack, "rb") as file:
            git(lab, "unpack-objects", "-q", stdin=file)
        pack.unlink()
    return lab


def git(lab: Lab, *args: str, stdin: Any = None) -> tuple[int, str]:
    done = subprocess.run(
        ["git", f"--git-dir={lab.project}/.envgit", *args],
        stdin=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def object_file(lab: Lab, oid: str) -> Path:
    return lab.project / ".envgit/objects" / oid[:2] / oid[2:]


@pytest.mark.peer("git>=2.30")
@pytest.mark.parametrize("what", ["pointer", "tree", "commit", "parent"])
@pytest.mark.parametrize("how", ["missing", "damaged"])
def test_objects_as_git(what: str, how: str, loose: Lab) -> None:
    repository = loose.open()
    parent = repository.git.commit(repository.git.resolve("HEAD~1"))
    usr = repository.git.rootfs(parent.id).directory(b"usr")
    assert usr is not None
    oid = {
        "pointer": usr.raw[b"%dir"][1].hex(),
        "tree": parent.rootfs,
        "commit": repository.git.resolve("HEAD"),
        "parent": parent.id,
    }[what]
    file = object_file(loose, oid)
    file.chmod(0o644)
    if how == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-6] + b"garble")
    theirs, said = git(loose, "fsck", "--full")
    answer = loose.call(["fsck"])
    assert theirs != 0 and oid in said
    assert answer.status & 3 and oid in answer.said, answer
    if how == "missing" and what != "commit":
        assert answer.status & 2 == theirs & 2 == 2
    if what in ("pointer", "tree"):
        named = next(each for each in fsck(loose.open()) if each.object == oid)
        assert parent.id in named.commits and "side" in named.needed_by


@pytest.mark.peer("git>=2.30")
def test_dangling_and_unreachable_as_git(lab: Lab) -> None:
    lab.inside(lambda root: Path(root, "lost").write_text("lost") and None)
    lab.call(["commit", "-q", "-m", "lost"]).ok()
    lost = lab.open().git.resolve("HEAD")
    lab.call(["reset", "-q", "--hard", "HEAD~1"]).ok()
    lab.call(["tag", "later"]).ok()
    (lab.project / ".envgit/ORIG_HEAD").unlink(missing_ok=True)
    lab.call(["gc", "-q", "--expire=now", "--no-prune"]).ok()
    for options in (["--dangling"], ["--unreachable"], ["--no-dangling"]):
        theirs, said = git(lab, "fsck", *options)
        answer = lab.call(["fsck", *options])
        assert answer.status == theirs == 0
        pattern = re.compile(r"^(?:dangling|unreachable) .*$", re.MULTILINE)
        wanted = set(pattern.findall(said))
        if options == ["--unreachable"]:  # git does not list those twice, either
            wanted = {line.replace("dangling", "unreachable") for line in wanted}
        ours = (
            {line.replace("dangling", "unreachable") for line in pattern.findall(answer.said)}
            if options == ["--unreachable"]
            else set(pattern.findall(answer.said))
        )
        assert ours == wanted, options
    # The old operation log, which mentions the commit that was lost.
    assert f"unreachable commit {lost}\n" in lab.call(["fsck", "--unreachable"]).said
    lost = CommitId(lab.call(["fsck"]).ok().said.split()[-1])
    assert lab.call(["fsck", "-q"]).said == ""
    lab.call(["fsck", "--lost-found"]).ok()
    found = lab.project / ".envgit/lost-found/commit" / lost
    assert found.read_text() == f"{lost}\n"


def test_a_damaged_pack_or_ref_has_a_bit_of_its_own(lab: Lab) -> None:
    folder = lab.project / ".envgit"
    (folder / "refs/heads/bad").write_text("not an id\n")
    assert lab.call(["fsck"]).status & 8
    (folder / "refs/heads/bad").write_text("1" * 40 + "\n")
    assert lab.call(["fsck"]).status & 8
    (folder / "refs/heads/bad").unlink()
    for end in ("pack", "idx"):
        (folder / f"objects/pack/pack-{'1' * 40}.{end}").write_bytes(b"neither pack nor index")
    answer = lab.call(["fsck"])
    assert answer.status & 4 and f"pack-{'1' * 40}.idx" in answer.said


def test_records_and_worktrees(lab: Lab) -> None:
    oid = lab.open().git.resolve("HEAD")
    file = lab.project / ".envgit/refs/worktree/envgit/pending"
    file.parent.mkdir(parents=True)
    file.write_text(f"{oid}\n")
    (problem,) = (each for each in fsck(lab.open()) if each.severity == "error")
    assert problem.kind == "operation" and "refs/worktree/envgit/pending" in problem.text
    file.unlink()
    Path(lab.open().worktree.path, "state").write_text("?")
    answer = lab.call(["fsck"])
    assert answer.status == 1 and "worktree" in answer.said


# -- work that is shared ---------------------------------------------------------------------------


def _numbers(first: int, tick: workers.Tick) -> Iterator[Any]:
    for number in range(first, first + 3):
        tick("files", 1, 10)
        yield number


def _failing(tick: workers.Tick) -> Iterable[Any]:
    raise EnvgitError("as a job said")


def _dying(tick: workers.Tick) -> Iterable[Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    return []


def test_results_come_in_order_and_ticks_add_up() -> None:
    from functools import partial

    for count in (1, 2, 5):
        sums = [0, 0]

        def tick(kind: str, files: int, size: int, sums: list[int] = sums) -> None:
            sums[0] += files
            sums[1] += size

        jobs = [partial(_numbers, number * 10) for number in range(40)]
        found = workers.work(jobs, workers=count, tick=tick)
        assert found == [[number * 10, number * 10 + 1, number * 10 + 2] for number in range(40)]
        assert sums == [120, 1200]


def test_what_a_worker_meets_is_raised_here() -> None:
    def tick(*_: object) -> None: ...

    with pytest.raises(EnvgitError, match="as a job said"):
        workers.work([_failing, _failing], workers=2, tick=tick)
    with pytest.raises(workers.WorkerLost):
        workers.work([_dying, _dying], workers=2, tick=tick)


def test_problems_are_values() -> None:
    assert Problem("error", "text") == Problem("error", "text")
