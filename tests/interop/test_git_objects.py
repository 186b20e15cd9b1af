# SPDX-License-Identifier: Apache-2.0
"""Real git reads what we write, to the byte, and finds nothing wrong with it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envgit.layers.entry import is_name
from envgit.repo.escape import escape
from envgit.repo.maintenance import repack
from envgit.repo.pack import BLOB, COMMIT, TREE, PackWriter, object_id
from envgit.repo.repository import GitRepository
from envgit.repo.verify import verify_objects
from tests.interop.dags import ENVIRONMENT, git
from tests.support.history import CLOCK, WHITEOUT, History, who

pytestmark = pytest.mark.peer("git>=2.30")

NASTY = [
    b".git", b".GIT", b".Git", b"git~1", b"GIT~1", b".git ", b".git.", b".git...", b"git~1 ",
    b".git::$INDEX_ALLOCATION", b".gitmodules", b".GITMODULES", b".gitattributes", b".gitignore",
    b".mailmap", b"gitmod~1", b"GITMOD~4", b"gi7eba~1", b"gi7d29~9", b"gi250a~1", b"maba30~1",
    b"~1234567", b"g~123456", b"git~2", b".gi\xe2\x80\x8ct", b"\xe2\x80\x8d.git",
    b".g\xef\xbb\xbfit", b"\xff\xfe", b"a\\b", b"\\.git", b"new\nline", b"\x01\x1b[31m", b"\x7f",
    b"%dir", b"%2Egit", b"%", b" ", b"-", b"--", b"con", b"aux.txt", b"x:y", b'"quoted"',
    b"x" * 255, b"\xff" * 255,
    "käse".encode(), b".wh.x", b"tab\tname", b"*", b"?", b"[", b"HEAD", b"@{0}", b"a" * 8 + b"~1",
]  # fmt: skip
NAMES = st.one_of(
    st.binary(min_size=1, max_size=20),
    st.text(".gitGIT~1234 %\\\u200c\u200d\ufeff:7eba2509mod", min_size=1, max_size=12).map(
        str.encode
    ),
).filter(is_name)


def fsck(path: Path) -> str:
    """What git fsck --strict has to say; nothing, it is hoped."""
    result = subprocess.run(
        ["git", f"--git-dir={path}", "fsck", "--strict", "--full", "--no-dangling"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout + result.stderr + (f"exit {result.returncode}" * bool(result.returncode))


def test_nasty_names(tmp_path: Path) -> None:
    history = History(tmp_path / "r.git")
    files = dict.fromkeys(NASTY, b"x")
    history.commit({**files, b"in": {name: {name: b"y", b"z": b""} for name in NASTY}})
    history.commit({b"in": dict.fromkeys(NASTY, WHITEOUT)}, message="gone")
    assert fsck(history.path) == ""
    listed = git(history.path, "ls-tree", "-z", "--name-only", "main~1:rootfs").split(b"\0")
    assert {escape(name) for name in NASTY} <= set(listed)
    rootfs = history.git.rootfs(history.git.resolve("main~1"))
    assert sorted(rootfs.names()) == sorted([*NASTY, b"in"])
    assert list(verify_objects(history.git)) == []


@settings(max_examples=15)
@given(st.lists(NAMES, unique=True, max_size=30))
def test_any_names(tmp_path_factory: pytest.TempPathFactory, names: list[bytes]) -> None:
    history = History(tmp_path_factory.mktemp("names") / "r.git")
    history.commit(
        {name: ({b"f": b""} if number % 3 else b"x") for number, name in enumerate(names)}
    )
    assert fsck(history.path) == ""


@given(NAMES)
def test_libgit2_takes_the_names(tmp_path: Path, name: bytes) -> None:
    import pygit2

    path = tmp_path / "libgit2.git"
    fresh = not path.exists()
    repository = pygit2.init_repository(str(path), bare=True)
    if fresh:
        repository.create_blob(b"")
    builder = repository.TreeBuilder()
    builder.insert(escape(name).decode(), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", 0o100644)
    assert len(builder) == 1


@given(st.lists(st.binary(max_size=5000), unique=True, max_size=20), st.booleans())
@settings(max_examples=20)
def test_packs(tmp_path_factory: pytest.TempPathFactory, blobs: list[bytes], many: bool) -> None:
    path = tmp_path_factory.mktemp("pack") / "r.git"
    GitRepository.create(str(path))
    with PackWriter(str(path / "objects/pack"), many=many) as writer:
        for data in blobs:
            writer.add(object_id(BLOB, data), BLOB, data)
        name = writer.publish()
    assert (name is None) == (not blobs)
    if name is None:
        return
    git(path, "verify-pack", name + ".idx")
    theirs = Path(name + ".git.idx")
    git(path, "index-pack", "-o", str(theirs), name + ".pack")
    assert theirs.read_bytes() == Path(name + ".idx").read_bytes()
    for data in blobs:
        assert git(path, "cat-file", "blob", object_id(BLOB, data).hex()) == data


def test_log_and_clone(tmp_path: Path) -> None:
    history = History(tmp_path / "r.git")
    history.commit({b"etc": {b"hosts": b"1", b"passwd": b"2"}}, message="first\n\nwith a body")
    second = history.commit({b"etc": {b"hosts": b"changed"}, b"new": b""}, message="second")
    log = git(
        history.path, "log", "--stat", "--format=%H %an <%ae> %aI %s", "-1", "main", "--", "rootfs"
    )
    head, *rest = log.decode().splitlines()
    assert head == f"{second} Ada Tester <ada@example.org> 2024-01-01T01:00:02+01:00 second"
    assert [line.split("|")[0].strip() for line in rest if "|" in line] == [
        "rootfs/etc/hosts",
        "rootfs/new",
    ]
    reflog = git(history.path, "reflog", "--format=%gd %gs").decode().splitlines()
    assert reflog == ["HEAD@{0} commit: second", "HEAD@{1} commit: first with a body"]
    clone = tmp_path / "clone.git"
    subprocess.run(
        ["git", "clone", "-q", "--mirror", str(history.path), str(clone)],
        env=ENVIRONMENT,
        check=True,
    )
    assert fsck(clone) == ""
    copy = GitRepository.open(str(clone))
    assert copy.refs() == history.git.refs()
    assert [each.description for each in copy.operations()] == ["second", "first\n\nwith a body"]


def test_gc_of_git_keeps_what_undo_needs(tmp_path: Path) -> None:
    """A branch that only the operation log remembers survives git gc --prune=now."""
    from envgit.repo.operations import Operation
    from envgit.repo.refs import RefUpdate

    history = History(tmp_path / "r.git")
    history.commit({b"a": b"1"})
    lost = history.commit({b"b": b"2"}, branch="doomed")
    record = Operation(
        verb="branch", command=(), time=CLOCK, offset=0, worktree="w",
        refs=(("refs/heads/doomed", lost, None),),
    )  # fmt: skip
    with history.git.writer() as writer:
        _, update = history.git.append_operation(writer, record, who())
        writer.flush()
    history.git.apply([update, RefUpdate("refs/heads/doomed", lost, None)], None, who())
    git(history.path, "reflog", "expire", "--expire=now", "--all")
    git(history.path, "gc", "-q", "--prune=now")
    again = GitRepository.open(str(history.path))
    assert again.commit(lost).id == lost
    assert lost in again.reachable_environments()
    assert fsck(history.path) == ""


def test_many_commits_leave_few_packs(tmp_path: Path) -> None:
    history = History(tmp_path / "r.git")
    wide = {b"file%04d" % number: b"%d" % number for number in range(400)}
    history.commit({b"d": wide, b"e": wide})
    tips = []
    for number in range(120):
        # States that come back, and a second branch: deltas must not go in circles.
        name = b"file%04d" % (number % 7)
        content = b"%d" % (number % 3)
        branch = "main" if number % 5 else "side"
        tips.append(history.commit({b"d": {name: content}}, branch=branch))
    packs = list((history.path / "objects/pack").glob("*.pack"))
    assert len(packs) < 30
    assert fsck(history.path) == ""
    size = sum(pack.stat().st_size for pack in packs)
    fresh = GitRepository.open(str(history.path))
    for tip in tips:
        fresh.rootfs(tip).names()
    before = git(history.path, "rev-list", "--objects", "--all")
    result = repack(fresh, prune_before=None)
    assert result.pruned == 0
    assert fsck(history.path) == ""
    assert git(history.path, "rev-list", "--objects", "--all") == before
    [one] = (history.path / "objects/pack").glob("*.pack")
    assert one.stat().st_size < size
    assert list(verify_objects(GitRepository.open(str(history.path)))) == []
    git(history.path, "gc", "-q")
    assert fsck(history.path) == ""
    history.commit({b"d": {b"more": b""}})
    assert fsck(history.path) == ""


def test_repack_prunes_the_old_and_keeps_the_young(tmp_path: Path) -> None:
    history = History(tmp_path / "r.git")
    history.commit({b"a": b"1"})
    repository = history.git
    for number, age in enumerate((CLOCK, CLOCK + 1000)):
        with repository.writer() as writer:
            writer.add_blob(b"orphan %d" % number)
            writer.flush()
        newest = max(
            (history.path / "objects/pack").glob("*.pack"), key=lambda p: p.stat().st_mtime_ns
        )
        os.utime(newest, (age, age))
    loose = (
        git(history.path, "hash-object", "-w", "--stdin", stdin=b"loose and young").decode().strip()
    )
    orphans = [object_id(BLOB, b"orphan %d" % number).hex() for number in range(2)]
    result = repack(repository, prune_before=CLOCK + 500)
    fresh = GitRepository.open(str(history.path))
    assert (result.pruned, result.kept) == (1, 2)
    assert [fresh.exists(oid) for oid in (*orphans, loose)] == [False, True, True]
    assert not list((history.path / "objects").glob("??"))
    result = repack(fresh, prune_before=CLOCK + 500)
    assert (result.pruned, result.kept) == (0, 2)
    assert fsck(history.path) == ""


def test_corruption_is_found(tmp_path: Path) -> None:
    history = History(tmp_path / "r.git")
    for number in range(3):
        history.commit({b"a": b"%d" % number * 3000})
    pack = max((history.path / "objects/pack").glob("*.pack"), key=lambda p: p.stat().st_size)
    data = bytearray(pack.read_bytes())
    data[len(data) // 2] ^= 0xFF
    pack.chmod(0o644)
    pack.write_bytes(data)
    problems = list(verify_objects(GitRepository.open(str(history.path))))
    assert any(problem.severity == "error" and pack.stem in problem.text for problem in problems)
    for suffix in (".pack", ".idx"):
        pack.with_suffix(suffix).unlink()
    problems = list(verify_objects(GitRepository.open(str(history.path))))
    assert any(problem.severity == "error" for problem in problems)


def test_kinds_have_git_numbers(tmp_path: Path) -> None:
    history = History(tmp_path / "r.git")
    commit = history.commit({b"a": b"1"})
    for kind, number in (("commit", COMMIT), ("tree", TREE)):
        name = commit if kind == "commit" else history.git.commit(commit).rootfs
        data = git(history.path, "cat-file", kind, name)
        assert object_id(number, data).hex() == name
        assert history.git.read(name) == (kind, data)
