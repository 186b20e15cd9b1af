# SPDX-License-Identifier: Apache-2.0
"""One tree with every hard case goes through everything envgit does with trees, and stays itself.

Made on a real overlay, committed, changed in every way, committed, changed everywhere, rolled back,
undone, exported and imported again: content, metadata, sets of hard links and holes are compared
with what the kernel showed at the time.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from envgit.porcelain.init import init
from tests.support import hardcases, labs, scenarios
from tests.support.labs import Lab, Photograph
from tests.support.overlays import Shot, assert_same

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("overlay", "mountns", "mknod", "trusted_xattr", "user_xattr"),
    pytest.mark.peer("git>=2.30"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory on a real disk: holes and copies are the file system's business, too."""
    yield tmp_path_factory.mktemp("fidelity")


@pytest.fixture(scope="module")
def story(place: Path) -> tuple[Lab, list[Photograph]]:
    """The lab after three commits, and what was there before each of them."""
    lab = Lab(place / "lab")
    lab.project.mkdir(parents=True)
    init(str(lab.project), source="scratch", environ=lab.environ)
    shots = []
    for number, work in enumerate((hardcases.make, hardcases.change, everything)):
        lab.inside(lambda root, work=work: work(root))  # type: ignore[misc]
        shots.append(lab.photograph())
        lab.call(["commit", "-q", "-m", f"state {number}"]).ok()
        assert_same(lab.photograph(), shots[-1])
    return lab, shots


def everything(root: str) -> None:
    """Touch all there is: other owners, modes, times and content; one in five goes, some move."""
    number = 0
    for _, folders, files, fd in os.fwalk(os.fsencode(root), topdown=False):
        links = [name for name in folders if stat.S_ISLNK(_mode(name, fd))]
        for name in sorted(files + links):
            number += 1
            mode = _mode(name, fd)
            if number % 5 == 0:
                os.unlink(name, dir_fd=fd)
                continue
            os.chown(name, 100 + number, 70000 + number, dir_fd=fd, follow_symlinks=False)
            if stat.S_ISREG(mode):
                _append(name, fd)
            if not stat.S_ISLNK(mode):
                os.chmod(name, stat.S_IMODE(mode) ^ 0o020, dir_fd=fd)
            os.utime(name, ns=(0, number * 10**9 + number), dir_fd=fd, follow_symlinks=False)
            if number % 7 == 0:
                os.rename(name, name[:200] + b".moved", src_dir_fd=fd, dst_dir_fd=fd)
        if number % 3 == 0:
            os.mkdir(b"made-%d" % number, 0o2711, dir_fd=fd)


def _append(name: bytes, fd: int) -> None:
    file = os.open(name, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW, dir_fd=fd)
    try:
        os.write(file, b"more\n")
    finally:
        os.close(file)


def _mode(name: bytes, fd: int) -> int:
    return os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode


def test_each_commit_is_what_was_there(story: tuple[Lab, list[Photograph]]) -> None:
    lab, shots = story
    for back, shot in enumerate(reversed(shots)):
        assert_same(lab.photograph(f"HEAD~{back}"), shot)


def test_going_back_and_forth(story: tuple[Lab, list[Photograph]]) -> None:
    lab, shots = story
    first, second, third = shots
    for command, shot in (
        ("rollback", second),
        ("undo", third),
        ("rollback -n 2", first),
        ("undo", third),
        ("redo", first),
        ("undo", third),
        ("rollback --keep-history HEAD~2", first),
        ("undo", third),
        ("switch -c side HEAD~1", second),
        ("switch main", third),
        ("restore --source HEAD~2 .", first),
        ("undo", third),
        ("branch -D side", third),
    ):
        lab.call(command.split()).ok()
        assert_same(lab.photograph(), shot)


def test_uncommitted_changes_of_every_kind(story: tuple[Lab, list[Photograph]]) -> None:
    """The changes of the second commit, uncommitted over the first: parked, brought back, sealed
    in parts, amended."""
    lab, (first, second, third) = story
    lab.call(["switch", "-q", "-c", "again", "HEAD~2"]).ok()
    lab.inside(hardcases.change)
    dirty = lab.photograph()
    assert_same(_timeless(dirty), _timeless(second))
    for command, shot in (
        ("switch --discard-changes main", third),
        ("undo", dirty),
        ("reset --hard", first),
        ("undo", dirty),
        ("restore replace odd links", None),
        ("undo", dirty),
        ("commit -m part -- replace links", dirty),
        ("commit -m rest", dirty),
        ("reset --soft HEAD~2", dirty),
        ("commit -m whole", dirty),
        ("commit --amend -m amended", dirty),
    ):
        lab.call(command.split()).ok()
        if shot is not None:
            assert_same(lab.photograph(), shot)
    assert_same(lab.photograph("HEAD"), dirty)
    for command in ("switch main", "branch -D again"):
        lab.call(command.split()).ok()


def test_sparse_files_stay_sparse(story: tuple[Lab, list[Photograph]]) -> None:
    lab, _ = story
    for revision in ("HEAD~2", "HEAD~1"):
        assert lab.at(revision, holes) > 0.8


def holes(root: str) -> float:
    """How much of the sparse file takes no place on the disk, at most 1."""
    status = os.stat(f"{root}/sparse")
    return 1 - status.st_blocks * 512 / status.st_size


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tar.xz", "a.tar.zst"])
def test_export_and_import(
    name: str, story: tuple[Lab, list[Photograph]], place: Path, effort: Callable[[int, int], int]
) -> None:
    lab, shots = story
    revisions = ("HEAD~2", "HEAD~1", "HEAD") if name == "a.tar" else ("HEAD~1",)
    for revision in revisions:
        archive = place / name
        lab.call(["export", revision, f"tar:{archive}"]).ok()
        other = Lab(place / f"import-{name}-{revision}")
        other.project.mkdir(parents=True)
        other.call(["init", "--from", f"tar:{archive}"]).ok()
        number = int(revision.partition("~")[2] or 0)
        expected = _in_seconds(shots[-1 - number])
        assert_same(_in_seconds(other.photograph()), expected)
        assert_same(_in_seconds(other.photograph("HEAD")), expected)
        assert rootfs(other, "HEAD") == rootfs(lab, revision)
        if revision != "HEAD":
            assert other.at("HEAD", holes) > 0.8
        other.fsck()


def test_import_of_a_directory(story: tuple[Lab, list[Photograph]], place: Path) -> None:
    """The same tree made outside any overlay is the same tree."""
    lab, shots = story
    plain = place / "plain"
    plain.mkdir()
    hardcases.make(str(plain))
    other = Lab(place / "import-rootfs")
    other.project.mkdir(parents=True)
    other.call(["init", "--from", f"rootfs:{plain}"]).ok()
    assert_same(other.photograph(), shots[0] | {b"": other.photograph()[b""]})
    assert rootfs(other, "HEAD") == rootfs(lab, "HEAD~2")
    other.fsck()


def test_all_is_whole_and_stays_whole_after_gc(story: tuple[Lab, list[Photograph]]) -> None:
    lab, shots = story
    lab.fsck()
    lab.call(["gc", "-q"]).ok()
    lab.fsck()
    test_each_commit_is_what_was_there(story)
    lab.call(["gc", "-q", "--expire=now"]).ok()
    lab.fsck()
    test_each_commit_is_what_was_there(story)
    assert_same(lab.photograph(), shots[-1])


def test_a_long_chain_shows_the_same_through_spans(place: Path) -> None:
    """Merged layers of a long history: deletions, opaque directories, links and types that change
    come out as if each layer had been mounted for itself."""
    lab = labs.make(place / "long")
    for number in range(24):
        lab.inside(lambda root, number=number: _turn(root, number))  # type: ignore[misc]
        lab.call(["commit", "-q", "-m", f"turn {number}"]).ok()
    assert lab.open().store.all_spans()
    for back in (0, 1, 7, 8, 15, 20):
        expected = lab.photograph(f"HEAD~{back}")
        lab.call(["switch", "-q", "--detach", f"main~{back}" if back else "main"]).ok()
        assert_same(lab.photograph(), expected)
        lab.call(["switch", "-q", "main"]).ok()
    lab.fsck()


def _turn(root: str, number: int) -> None:
    path = f"{root}/turn{number % 5}"
    scenarios.remove(path)
    if number % 3 == 0:
        os.makedirs(f"{path}/below/{number}")
        Path(path, "file").write_text(f"{number}\n")
        os.link(f"{path}/file", f"{path}/link")
    elif number % 3 == 1:
        os.symlink(f"turn{(number + 1) % 5}", path)
    else:
        Path(path).write_text(f"{number}\n")
        os.chown(path, number, 70000 + number)
    scenarios.remove(f"{root}/usr/share/doc")
    os.mkdir(f"{root}/usr/share/doc")
    Path(f"{root}/usr/share/doc/{number % 2}").write_text(f"{number}\n")


def rootfs(lab: Lab, revision: str) -> str:
    """The id of a commit's file system."""
    git = lab.open().git
    return git.commit(git.resolve(revision)).rootfs


def _in_seconds(shots: Photograph) -> Photograph:
    """Times as pointers and archives have them."""
    return {path: _changed(shot, _seconds(shot.mtime)) for path, shot in shots.items()}


def _timeless(shots: Photograph) -> Photograph:
    return {path: _changed(shot, None) for path, shot in shots.items()}


def _seconds(mtime: int | None) -> int | None:
    return None if mtime is None else mtime // 10**9


def _changed(shot: Shot, mtime: int | None) -> Shot:
    return Shot(**{**shot.__dict__, "mtime": mtime})
