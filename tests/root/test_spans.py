# SPDX-License-Identifier: Apache-2.0
"""The kernel agrees that spans mean what their layers mean: real mounts of both, compared whole."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from envgit.layers.ids import CommitId, LayerId
from envgit.store.store import Store

pytestmark = [pytest.mark.root, pytest.mark.needs("overlay", "mknod", "trusted_xattr")]

_OPTIONS = "index=off,metacopy=off,redirect_dir=off"


def commit(depth: int) -> CommitId:
    return CommitId(f"{depth:040x}")


def layer(depth: int) -> LayerId:
    return LayerId(f"{depth:039x}a")


def parent_of(oid: CommitId) -> tuple[CommitId | None, LayerId]:
    depth = int(oid, 16)
    return (commit(depth - 1) if depth > 1 else None), layer(depth)


@contextmanager
def mounted(store: Store, stack: tuple[str, ...], upper: str, work: str) -> Iterator[Path]:
    """The stack with ``upper`` on top. Relative names, for mount(2) takes one page of options."""
    with store.temporary("mount") as target:
        lower = ":".join(stack) or "tmp"
        options = f"lowerdir={lower},upperdir={upper},workdir={work},{_OPTIONS}"
        command = ["mount", "-t", "overlay", "test", "-o", options, target]
        subprocess.run(command, cwd=store.path, check=True)
        try:
            yield Path(target)
        finally:
            subprocess.run(["umount", target], check=True)


def seen(top: Path) -> dict[str, tuple[Any, ...]]:
    """Everything that a program could tell apart, by path; inode numbers only as link sets."""
    found: dict[str, tuple[Any, ...]] = {}
    inodes: dict[int, list[str]] = {}
    for folder, directories, files in os.walk(top):
        for name in (".", *directories, *files) if folder == str(top) else (*directories, *files):
            path = Path(folder, name)
            key = str(path.relative_to(top))
            st = path.lstat()
            kind = stat.S_IFMT(st.st_mode)
            attributes = {
                name: os.getxattr(path, name, follow_symlinks=False)
                for name in os.listxattr(path, follow_symlinks=False)
            }
            body: object = None
            if kind == stat.S_IFREG:
                body = (st.st_size, hashlib.sha256(path.read_bytes()).hexdigest())
                inodes.setdefault(st.st_ino, []).append(key)
            elif kind == stat.S_IFLNK:
                body = os.readlink(path)
            elif kind in (stat.S_IFCHR, stat.S_IFBLK):
                body = st.st_rdev
            time = None if kind == stat.S_IFDIR else st.st_mtime_ns
            found[key] = (st.st_mode, st.st_uid, st.st_gid, time, body, sorted(attributes.items()))
    for keys in inodes.values():
        for key in keys:
            found[key] += (tuple(sorted(keys)),)
    return found


class Vandal:
    """Does to a mounted tree what people and package managers do, by a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.count = 0

    def change(self, top: Path) -> None:
        """One command's worth of changes."""
        actions: list[Callable[[Path], None]] = [
            *[self.write] * 4,
            *[self.directory] * 4,
            self.delete,
            self.replace,
            self.recreate,
            self.link,
            self.metadata,
            self.special,
            self.rename,
        ]
        for _ in range(self.random.randint(2, 14)):
            self.random.choice(actions)(top)

    def pick(self, top: Path, *, directories: bool) -> Path:
        """Something that is there; the top itself only as a directory."""
        found = [top] if directories else []
        for folder, names, files in os.walk(top):
            chosen = names if directories else [*names, *files]
            found.extend(
                path for path in (Path(folder, name) for name in chosen) if not path.is_symlink()
            )
        return self.random.choice(found) if found else top

    def place(self, top: Path) -> Path:
        """A name in an existing directory; few names, so that they meet again and again."""
        return self.pick(top, directories=True) / self.random.choice("abcdef")

    def clear(self, path: Path) -> None:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def write(self, top: Path) -> None:
        path = self.place(top)
        self.clear(path)
        self.count += 1
        path.write_text(f"content {self.count}")

    def directory(self, top: Path) -> None:
        path = self.place(top)
        if not path.is_dir():
            self.clear(path)
            path.mkdir()
        for name in self.random.sample("abcdef", 2):
            if not (path / name).exists():
                (path / name).write_text(name)

    def delete(self, top: Path) -> None:
        path = self.pick(top, directories=False)
        if path != top:
            self.clear(path)

    def replace(self, top: Path) -> None:
        """A directory by a file, or a file by a directory, under the same name."""
        path = self.pick(top, directories=False)
        if path == top:
            return
        was_directory = path.is_dir()
        self.clear(path)
        if was_directory:
            path.symlink_to("/absolute/and/dangling")
        else:
            path.mkdir(mode=0o750)
            (path / "inner").write_text("x")

    def recreate(self, top: Path) -> None:
        """rm -r and mkdir: an opaque directory, empty or not."""
        path = self.pick(top, directories=True)
        if path != top:
            shutil.rmtree(path)
            path.mkdir()
            if self.random.random() < 0.6:
                (path / self.random.choice("abc")).write_text("again")

    def link(self, top: Path) -> None:
        source, target = self.pick(top, directories=False), self.place(top)
        if source.is_file() and not target.exists() and not target.is_symlink():
            os.link(source, target)

    def metadata(self, top: Path) -> None:
        path = self.pick(top, directories=False)
        os.chown(path, self.random.choice([0, 70000]), 5)
        os.chmod(path, self.random.choice([0o755, 0o4711, 0o1777, 0o600]))
        os.setxattr(path, "trusted.test", str(self.count).encode())
        if path.is_file():
            os.utime(path, ns=(5, self.random.randrange(10**18)))

    def special(self, top: Path) -> None:
        path = self.place(top)
        self.clear(path)
        if self.random.random() < 0.5:
            os.mkfifo(path)
        else:
            os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))

    def rename(self, top: Path) -> None:
        source, target = self.pick(top, directories=False), self.place(top)
        inside = source in (top, target) or source in target.parents
        if not inside and not source.is_dir() and not target.is_dir():
            os.rename(source, target)


def history(store: Store, seed: int, length: int) -> list[dict[str, tuple[Any, ...]]]:
    """Seal ``length`` layers made by real mounts; what was seen after each."""
    vandal = Vandal(seed)
    states = []
    stack: tuple[str, ...] = ()
    for depth in range(1, length + 1):
        changes = store.new_changes()
        folder = f"changes/{changes}"
        with mounted(store, stack, f"{folder}/upper", f"{folder}/work") as top:
            vandal.change(top)
            states.append(seen(top))
        store.adopt_layer(store.upper_path(changes), layer(depth))
        stack = (f"layers/{layer(depth)}", *stack)
    return states


def look(store: Store, stack: tuple[str, ...]) -> dict[str, tuple[Any, ...]]:
    """What a mount of the stack shows; on an upper directory that is as the topmost one's."""
    changes = store.new_changes()
    upper, top = store.upper_path(changes), os.path.join(store.path, stack[0])
    st = os.lstat(top)
    os.chown(upper, st.st_uid, st.st_gid)
    os.chmod(upper, stat.S_IMODE(st.st_mode))
    if "trusted.test" in os.listxattr(top):
        os.setxattr(upper, "trusted.test", os.getxattr(top, "trusted.test"))
    folder = f"changes/{changes}"
    with mounted(store, stack, f"{folder}/upper", f"{folder}/work") as mount:
        return seen(mount)


@pytest.mark.parametrize("seed", range(6))
def test_a_mount_of_spans_shows_what_a_mount_of_all_layers_shows(
    opened: Store, seed: int, effort: Callable[[int, int], int]
) -> None:
    length = effort(30, 66)
    states = history(opened, seed, length)
    whole = tuple(f"layers/{layer(depth)}" for depth in range(length, 0, -1))
    assert look(opened, whole) == states[-1], "the layers alone"
    for depth in (length, length - 1, length - length % 8 + 1, 17, 10, 9):
        stack, found = opened.spans.resolve(commit(depth), parent_of, target=1)
        assert found == depth
        assert len(stack) <= 1 + depth // 8 + 7
        assert look(opened, stack) == states[depth - 1]


def test_the_sealed_layers_are_not_altered_by_merging(opened: Store) -> None:
    states = history(opened, 99, 26)
    opened.spans.resolve(commit(26), parent_of, target=1)
    whole = tuple(f"layers/{layer(depth)}" for depth in range(26, 0, -1))
    assert look(opened, whole) == states[-1]


@pytest.fixture
def opened(store: Path) -> Store:
    return Store.open(str(store))
