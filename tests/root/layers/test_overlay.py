# SPDX-License-Identifier: Apache-2.0
"""Layers against the kernel: what overlayfs shows is what entries say, in every hard case."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import pytest

from envgit.fs import durable
from envgit.layers import directory
from envgit.layers.apply import apply
from envgit.layers.compare import Normalized, changes, difference, normalize
from envgit.layers.entry import Node, walk
from envgit.layers.merge import merge
from envgit.layers.scan import scan
from envgit.layers.view import Overlay
from tests.support import hardcases
from tests.support.overlays import Shots, assert_same, isolated, mounted, photograph

pytestmark = [pytest.mark.root, pytest.mark.needs("overlay", "mknod", "trusted_xattr")]


@dataclass
class State:
    """A sealed layer on top of others, with all that is known about it."""

    stack: list[str]
    layer: Node
    rootfs: Node
    shot: Shots


class Bench:
    """Commits in the way envgit does, with nothing but this room, in a scratch directory."""

    def __init__(self, scratch: Path, *, seconds: bool = False) -> None:
        self.scratch = str(scratch)
        # What was made again within the same second is no change, so its nanoseconds go back.
        self.seconds = seconds
        self.count = 0

    def directory(self, what: str) -> str:
        self.count += 1
        path = f"{self.scratch}/{what}{self.count}"
        os.mkdir(path)
        return path

    def shoot(self, stack: Sequence[str]) -> Shots:
        with mounted(f"{self.scratch}/mnt", stack) as mnt:
            return photograph(mnt, seconds=self.seconds)

    def commit(self, base: State | None, work: Callable[[str], None]) -> State:
        upper = self.directory("layer")
        lowers = base.stack if base else [self.directory("nothing")]
        with mounted(f"{self.scratch}/mnt", lowers, upper, f"{self.scratch}/work") as mnt:
            work(mnt)
            shot = photograph(mnt, seconds=self.seconds)
            seen = scan(os.fsencode(mnt), overlay=False).node
            self.check_live_copy(base, upper, shot)
        normalized = normalize(
            scan(os.fsencode(upper), overlay=True).node, base.rootfs if base else None
        )
        directory.settle(upper, normalized)
        assert list(directory.verify(upper, normalized.layer, content=True)) == []
        stack = [upper, *(base.stack if base else [])]
        rootfs = apply(base.rootfs if base else None, normalized.layer)
        sealed = self.shoot(stack)
        assert_same(without_links(sealed), without_links(shot))
        # Links that copying up had broken come back where the copy was no change.
        for path, entry in shot.items():
            assert set(entry.links) <= set(sealed[path].links), path
        with mounted(f"{self.scratch}/mnt", stack) as mnt:
            assert_same(dict(walk(scan(os.fsencode(mnt), overlay=False).node)), dict(walk(rootfs)))
        assert {p for p, _ in walk(seen)} == {p for p, _ in walk(rootfs)}
        self.check_changes(base, normalized, rootfs)
        return State(stack, normalized.layer, rootfs, sealed)

    def check_changes(self, base: State | None, normalized: Normalized, rootfs: Node) -> None:
        assert normalized.changes == changes(base.rootfs if base else None, rootfs)

    def check_live_copy(self, base: State | None, upper: str, shot: Shots) -> None:
        """A commit while mounted: copies, and nothing changes for who looks on."""
        node = normalize(
            scan(os.fsencode(upper), overlay=True).node, base.rootfs if base else None
        ).layer
        copy = self.directory("copy")
        directory.copy(copy, node, upper)
        assert list(directory.verify(copy, node, content=True)) == []
        stack = [copy, *(base.stack if base else [])]
        with mounted(f"{self.scratch}/mnt-copy", stack) as mnt:
            assert_same(without_links(photograph(mnt, seconds=self.seconds)), without_links(shot))

    def check_difference(self, one: State, other: State) -> None:
        """The layer from one state to another, made of the other's files, over the first."""
        layer = difference(one.rootfs, other.rootfs)
        dest = self.directory("built")
        with Overlay(other.stack) as view:
            directory.build(dest, layer, view.find)
        assert list(directory.verify(dest, layer, content=True)) == []
        assert_same(self.shoot([dest, *one.stack]), other.shot)
        assert apply(one.rootfs, layer) == other.rootfs


def without_links(shots: Shots) -> Shots:
    return {path: replace(shot, links=()) for path, shot in shots.items()}


@isolated
def test_hard_cases_survive_commits(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    first = bench.commit(None, hardcases.make)
    second = bench.commit(first, hardcases.change)
    for path, shot in first.shot.items():
        if shot.content is not None and not path.startswith(b"deep/"):
            with Overlay(first.stack) as view, view.open(path) as file:
                assert len(file.read()) == shot.size
    bench.check_difference(second, first)
    bench.check_difference(first, second)
    bench.check_difference(second, second)


@isolated
def test_sparse_files_stay_sparse(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    first = bench.commit(None, hardcases.make)
    upper = first.stack[0]
    copy = bench.directory("copy")
    directory.copy(copy, first.layer, upper)
    for where in (upper, copy):
        assert os.stat(f"{where}/sparse").st_size == 8 << 20
        assert os.stat(f"{where}/sparse").st_blocks * 512 < 1 << 20


@isolated
def test_unchanged_copies_and_needless_marks_are_no_change(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    first = bench.commit(None, hardcases.make)

    def touch(root: str) -> None:
        for path in ("bin/su", "etc/acl", "links/first", "null"):
            mode = os.stat(f"{root}/{path}").st_mode & 0o7777
            os.chmod(f"{root}/{path}", 0o777)
            os.chmod(f"{root}/{path}", mode)
        os.mkdir(f"{root}/empty/gone")
        os.rmdir(f"{root}/empty/gone")
        with open(f"{root}/replace/tmp", "w"):
            os.unlink(f"{root}/replace/tmp")

    second = bench.commit(first, touch)
    assert list(walk(second.layer)) == [(b"", first.layer.entry)]
    assert os.listdir(second.stack[0]) == []
    assert_same(second.shot, first.shot)


@isolated
def test_a_directory_restored_to_what_it_was_is_no_change(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    first = bench.commit(None, hardcases.make)

    def restore(root: str) -> None:
        os.rename(f"{root}/replace/dir-a/below/file", f"{root}/moved")
        os.rmdir(f"{root}/replace/dir-a/below")
        os.rmdir(f"{root}/replace/dir-a")
        os.makedirs(f"{root}/replace/dir-a/below")
        os.rename(f"{root}/moved", f"{root}/replace/dir-a/below/file")

    second = bench.commit(first, restore)
    assert [path for path, _ in walk(second.layer)] == [b""]


@isolated
def test_spans_mean_the_same_as_their_layers(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    states = [bench.commit(None, hardcases.make)]
    states.append(bench.commit(states[-1], hardcases.change))

    def again(root: str) -> None:
        os.unlink(f"{root}/replace/dir-a")
        os.mkdir(f"{root}/replace/dir-a")
        with open(f"{root}/replace/dir-a/fresh", "w") as file:
            file.write("a directory again: nothing of the first one may show")
        os.unlink(f"{root}/replace/a/new")
        os.rmdir(f"{root}/replace/a")
        with open(f"{root}/replace/a", "w") as file:
            file.write("a file again")
        os.unlink(f"{root}/opaque/only")
        os.rmdir(f"{root}/opaque/inner")
        os.rmdir(f"{root}/opaque")

    def third(root: str) -> None:
        os.mkdir(f"{root}/opaque")
        os.mkdir(f"{root}/opaque/inner")
        os.chown(f"{root}/opaque", 5, 6)
        os.setxattr(f"{root}/opaque", "user.merged", b"1")
        os.unlink(f"{root}/links/first")

    states.append(bench.commit(states[-1], again))
    states.append(bench.commit(states[-1], third))
    for start in range(len(states)):
        for end in range(start + 1, len(states) + 1):
            stack = states[end - 1].stack
            members = [os.fsencode(state.stack[0]) for state in states[start:end]]
            for keep in (True, False) if start == 0 else (True,):
                span = bench.directory("span")
                merge(span, members, keep_whiteouts=keep)
                rest = stack[end - start :]
                assert_same(bench.shoot([span, *rest]), states[end - 1].shot)
                if not keep:
                    found = scan(os.fsencode(span), overlay=True).node
                    assert not [e for _, e in walk(found) if e.kind == "whiteout" or e.opaque]
                    assert_same(dict(walk(found)), dict(walk(states[end - 1].rootfs)))


@isolated
def test_a_view_shows_what_a_mount_shows(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    first = bench.commit(None, hardcases.make)
    second = bench.commit(first, hardcases.change)
    everywhere = {*first.shot, *second.shot}
    with Overlay(second.stack) as view:
        for path in everywhere:
            shot, st = second.shot.get(path), view.stat(path)
            assert (shot is None) == (st is None), path
            if shot is None or st is None:
                continue
            assert st.st_mode == shot.mode
            if shot.target is not None:
                assert view.readlink(path) == shot.target
        assert view.resolve(b"replace/dir-b/below/file") == b"replace/dir-c/below/file"
        assert view.resolve(b"links/upwards") == b"etc/shadow"


NAMES = ("a", "b", "c", "d")


def stir(root: str, random: Random) -> None:
    """Do something at random to a few names; what cannot be done is left undone."""

    def path() -> str:
        return "/".join([root, *(random.choice(NAMES) for _ in range(random.choice([1, 1, 2, 3])))])

    def write(where: str) -> None:
        # Without O_NONBLOCK a fifo of that name would wait for a reader for ever.
        with open(where, random.choice("wa"), opener=lambda p, f: os.open(p, f | 0o4000)) as file:
            file.write(random.choice(["", "one", "two"]))
        if random.random() < 0.7:
            os.utime(where, (1, 1))

    actions: list[Callable[[], object]] = [
        lambda: write(path()),
        lambda: write(path()),
        lambda: os.makedirs(path()),
        lambda: os.mkdir(path()),
        lambda: os.symlink(random.choice(NAMES), path()),
        lambda: os.mkfifo(path()),
        lambda: os.link(path(), path(), follow_symlinks=False),
        lambda: os.link(path(), path(), follow_symlinks=False),
        lambda: os.rename(path(), path()),
        lambda: os.rename(path(), path()),
        lambda: os.unlink(path()),
        lambda: os.unlink(path()),
        lambda: durable.remove_tree(path()),
        lambda: os.chmod(path(), random.choice([0o644, 0o755])),
        lambda: os.chown(path(), random.choice([0, 7]), 0, follow_symlinks=False),
        lambda: os.setxattr(path(), "user.x", random.choice([b"", b"1"])),
    ]
    for _ in range(random.randrange(1, 25)):
        with suppress(OSError):
            random.choice(actions)()


@pytest.mark.fuzz
@pytest.mark.parametrize("seed", range(6))
@isolated
def test_random_histories(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    bench = Bench(tmp_path, seconds=True)
    states: list[State] = []
    for _ in range(5):
        states.append(bench.commit(states[-1] if states else None, lambda root: stir(root, random)))
    for one in states:
        bench.check_difference(one, random.choice(states))
    for start in range(1, 4):
        for end in range(start + 2, 6):
            span = bench.directory("span")
            members = [os.fsencode(state.stack[0]) for state in states[start:end]]
            merge(span, members, keep_whiteouts=True)
            rest = states[end - 1].stack[end - start :]
            assert_same(bench.shoot([span, *rest]), states[end - 1].shot)
