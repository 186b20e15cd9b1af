# SPDX-License-Identifier: Apache-2.0
"""Describing a directory on disk as a tree of entries, reading each file once and altering nothing.

What is scanned is hostile: every step goes through directory descriptors with ``O_NOFOLLOW``, only
regular files are opened, and whatever cannot be kept is named in `Scan.skipped`, never dropped in
silence. docs/design/layers.rst lists what a scan leaves out. Memory follows the number of files,
not their size.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Protocol

from envgit.errors import EnvgitError
from envgit.layers.entry import Entry, Kind, Node, Xattrs, is_overlay_xattr, join
from envgit.layers.hashing import Hasher

# Git refuses trees deeper than 2048 levels (core.maxTreeDepth in git-config(1)), so a commit of
# such a directory could not be read by it; paths beneath layer/ and rootfs/ have one level more.
MAX_DEPTH = 2000

# Ancestors of the directory being read that stay open; the usual limit is 1024 a process.
_KEPT = 200

# Names that may turn into something else while a scan goes on, before it gives up: a guess.
_MAX_MOVED = 100

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK, because what was a file a moment ago may be a fifo now; O_NOATIME, because a scan
# alters nothing.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

# Attributes that belong to the host, not the file: SELinux labels come from its policy, and
# EVM's HMAC is made with the host's key over the inode number. No other machine could use either.
HOST_XATTRS = frozenset({"security.selinux", "security.evm"})


class ScanError(EnvgitError):
    """A directory that cannot be described: unreadable, changing while read, or too deep."""


class HashCache(Protocol):
    """Hashes known from before, as git's index has them; see store/hashes.py."""

    def get(self, st: os.stat_result) -> str | None:
        """The sha256 of the file with this status if it is certain, else None."""

    def put(self, st: os.stat_result, sha256: str) -> None:
        """Remember; ``st`` was taken before the file was read."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something on disk that the tree leaves out, and why, in words for the user."""

    path: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Scan:
    """A directory as a tree; ``files`` counts everything seen but directories."""

    node: Node
    skipped: tuple[Skipped, ...]
    files: int
    bytes_hashed: int


Progress = Callable[[int, int], None]
"""Called now and then with the files seen and the bytes hashed so far."""


def scan(
    root: bytes,
    *,
    overlay: bool,
    hashes: HashCache | None = None,
    excluded: Collection[bytes] = (),
    threads: int | None = None,
    progress: Progress | None = None,
) -> Scan:
    """Describe the directory ``root``.

    ``overlay``: it is an upper directory or a layer, so whiteouts and opaque marks are understood
    (linux/Documentation/filesystems/overlayfs.rst); otherwise it is a plain root filesystem, where
    a character device 0:0 cannot be kept. ``excluded`` paths are skipped where they are empty files
    or empty directories. ``threads`` hash large files, by default one for each processor. Raises
    `ScanError`, and `OSError` for what the filesystem itself cannot do.
    """
    with Hasher(threads=threads, cache=hashes) as hasher:
        scanner = _Scanner(hasher, overlay=overlay, excluded=excluded, progress=progress)
        node = scanner.tree(root)
        hasher.finish()
    scanner.link()
    scanner.exclude(node)
    return Scan(node, tuple(scanner.skipped), scanner.files, hasher.bytes_hashed)


class _Level:
    """A directory that is being read: what is left of its sub-directories, and its descriptor."""

    __slots__ = ("children", "fd", "identity", "path", "pending")

    def __init__(self, path: bytes, fd: int, identity: tuple[int, int]) -> None:
        self.path = path
        self.fd = fd
        self.identity = identity
        self.children: dict[bytes, Node] = {}
        self.pending: list[str] = []


class _Scanner:
    def __init__(
        self,
        hasher: Hasher,
        *,
        overlay: bool,
        excluded: Collection[bytes],
        progress: Progress | None,
    ) -> None:
        self.hasher = hasher
        self.overlay = overlay
        self.excluded = frozenset(excluded)
        self.progress = progress
        self.skipped: list[Skipped] = []
        self.files = 0
        self.moved = 0
        # All paths of each inode that has several names, with the nodes, to find hard links.
        self.inodes: dict[tuple[int, int], list[tuple[bytes, Node]]] = {}

    def tree(self, root: bytes) -> Node:
        """Read everything; nodes of large files get their hashes when `Hasher.finish` returns."""
        stack: list[_Level] = []
        try:
            fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            top = self._enter(stack, b"", fd)
            while stack:
                level = stack[-1]
                if not level.pending:
                    self._leave(stack)
                    continue
                name = level.pending.pop()
                path = join(level.path, os.fsencode(name))
                try:
                    fd = os.open(name, _DIRECTORY, dir_fd=level.fd)
                except OSError as error:
                    self._moved(level, name, error)
                    continue
                level.children[os.fsencode(name)] = self._enter(stack, path, fd)
                if self.progress is not None:
                    self.progress(self.files, self.hasher.bytes_hashed)
        finally:
            for level in stack:
                if level.fd >= 0:
                    os.close(level.fd)
        return top

    def _enter(self, stack: list[_Level], path: bytes, fd: int) -> Node:
        """Read one directory's names and files and put it on the stack, which owns ``fd``."""
        st = os.fstat(fd)
        level = _Level(path, fd, (st.st_dev, st.st_ino))
        stack.append(level)
        if len(stack) > MAX_DEPTH + 1:
            raise ScanError(
                f"directories are nested more than {MAX_DEPTH} levels deep at {path[:60]!r}...",
                hint="git itself refuses deeper trees; remove or archive that directory",
            )
        if len(stack) > _KEPT and stack[-_KEPT].fd >= 0:
            os.close(stack[-_KEPT].fd)
            stack[-_KEPT].fd = -1
        xattrs, marks = self._xattrs(path, fd, follow=True)
        if "redirect" in marks:
            raise ScanError(
                f"{path!r} was renamed by overlayfs with redirect_dir=on, which no layer can hold",
                hint="mount with redirect_dir=off",
            )
        opaque = marks.get("opaque") == b"y" and path != b""
        mode = stat.S_IMODE(st.st_mode)
        entry = Entry(Kind.DIR, mode, st.st_uid, st.st_gid, xattrs=xattrs, opaque=opaque)
        with os.scandir(fd) as names:
            for item in names:
                if item.is_dir(follow_symlinks=False):
                    level.pending.append(item.name)
                elif item.is_file(follow_symlinks=False):
                    self._file(level, item.name)
                else:
                    self._special(level, item.name)
        return Node(entry, level.children)

    def _leave(self, stack: list[_Level]) -> None:
        """Go back to the directory above, opening it again if it had to be closed."""
        level = stack.pop()
        above = stack[-1] if stack else None
        try:
            if above is not None and above.fd < 0:
                above.fd = os.open("..", _DIRECTORY, dir_fd=level.fd)
                st = os.fstat(above.fd)
                if (st.st_dev, st.st_ino) != above.identity:
                    raise ScanError(f"{level.path!r} was moved while it was read")
        finally:
            os.close(level.fd)

    def _moved(self, level: _Level, name: str, error: OSError) -> None:
        """Deal with a name that is no longer what it was when its directory was listed.

        What is gone is gone; what became something else is described as that.
        """
        if error.errno == errno.ENOENT:
            return
        if error.errno not in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
            raise error
        self.moved += 1
        if self.moved > _MAX_MOVED:
            path = os.fsdecode(join(level.path, os.fsencode(name)))
            raise ScanError(
                f"{path!r} keeps changing while it is read",
                hint="stop the program that changes it",
            )
        try:
            st = os.stat(name, dir_fd=level.fd, follow_symlinks=False)
        except FileNotFoundError:
            return
        if stat.S_ISDIR(st.st_mode):
            level.pending.append(name)
        elif stat.S_ISREG(st.st_mode):
            self._file(level, name)
        else:
            self._special(level, name)

    def _file(self, level: _Level, name: str) -> None:
        """Describe a regular file."""
        try:
            try:
                fd = os.open(name, _FILE | os.O_NOATIME, dir_fd=level.fd)
            except PermissionError:
                # Only a file's owner and CAP_FOWNER may ask for O_NOATIME (open(2)).
                fd = os.open(name, _FILE, dir_fd=level.fd)
        except OSError as error:
            self._moved(level, name, error)
            return
        ours = True
        try:
            st = os.fstat(fd)
            encoded = os.fsencode(name)
            path = join(level.path, encoded)
            if not stat.S_ISREG(st.st_mode):
                self._moved(level, name, OSError(errno.ENXIO, "no regular file", path))
                return
            xattrs: Xattrs = ()
            if listed := os.listxattr(fd):
                xattrs, marks = self._kept_xattrs(path, fd, listed, follow=True)
                if marks and self._is_whiteout(path, st, marks):
                    level.children[encoded] = Node(Entry(Kind.WHITEOUT))
                    return
            self.files += 1
            node = Node(_EMPTY)
            seen = st.st_nlink > 1 and self._linked(st, path, node)
            sha256 = "" if seen else self.hasher.at_once(fd, st)
            mtime = st.st_mtime_ns // 1_000_000_000
            node.entry = Entry(
                Kind.FILE, st.st_mode & 0o7777, st.st_uid, st.st_gid, mtime, st.st_size, sha256,
                b"", (0, 0), xattrs,
            )  # fmt: skip
            level.children[encoded] = node
            if not sha256 and not seen:
                ours = False
                self.hasher.later(fd, st, node)
        finally:
            if ours:
                os.close(fd)

    def _is_whiteout(self, path: bytes, st: os.stat_result, marks: dict[str, bytes]) -> bool:
        """Whether overlayfs's own attributes make a regular file a whiteout (Linux 6.7)."""
        if "whiteout" in marks and st.st_size == 0:
            return True
        if "metacopy" in marks or "redirect" in marks:
            raise ScanError(
                f"{os.fsdecode(path)!r} has no content: it was copied up with metacopy=on",
                hint="mount with metacopy=off",
            )
        return False

    def _special(self, level: _Level, name: str) -> None:
        """Describe what is neither file nor directory, without opening it."""
        try:
            self._special_now(level, name)
        except FileNotFoundError:
            # Gone since its directory was listed.
            self.files -= 1

    def _special_now(self, level: _Level, name: str) -> None:
        encoded = os.fsencode(name)
        path = join(level.path, encoded)
        self.files += 1
        st = os.stat(name, dir_fd=level.fd, follow_symlinks=False)
        kind = SPECIAL_KINDS.get(stat.S_IFMT(st.st_mode))
        if kind is None:
            what = "a socket" if stat.S_ISSOCK(st.st_mode) else "of unknown type"
            self.skipped.append(Skipped(path, f"{what}: only a running program can make one"))
            return
        rdev = (0, 0)
        if kind in (Kind.CHAR, Kind.BLOCK):
            rdev = (os.major(st.st_rdev), os.minor(st.st_rdev))
            if kind == Kind.CHAR and rdev == (0, 0):
                if self.overlay:
                    level.children[encoded] = Node(Entry(Kind.WHITEOUT))
                else:
                    reason = "a character device 0:0, which overlayfs takes for a deleted file"
                    self.skipped.append(Skipped(path, reason))
                return
        target = os.fsencode(os.readlink(name, dir_fd=level.fd)) if kind == Kind.SYMLINK else b""
        # These cannot be opened (fgetxattr refuses O_PATH), and the calls that take a directory
        # descriptor exist since Linux 6.13 only: the last component is not followed here.
        xattrs, _ = self._xattrs(path, f"/proc/self/fd/{level.fd}/{name}", follow=False)
        entry = Entry(
            kind,
            st.st_mode & 0o7777,
            st.st_uid,
            st.st_gid,
            st.st_mtime_ns // 1_000_000_000,
            target=target,
            rdev=rdev,
            xattrs=xattrs,
        )
        node = Node(entry)
        level.children[encoded] = node
        if st.st_nlink > 1:
            self._linked(st, path, node)

    def _linked(self, st: os.stat_result, path: bytes, node: Node) -> bool:
        """Note one name of an inode that has several; whether another name was seen before."""
        names = self.inodes.setdefault((st.st_dev, st.st_ino), [])
        names.append((path, node))
        return len(names) > 1

    def _xattrs(
        self, path: bytes, file: int | str, *, follow: bool
    ) -> tuple[Xattrs, dict[str, bytes]]:
        try:
            listed = os.listxattr(file, follow_symlinks=follow)
        except OSError as error:
            # Filesystems without extended attributes say ENOTSUP (listxattr(2)).
            if error.errno != errno.ENOTSUP:
                raise
            return (), {}
        return self._kept_xattrs(path, file, listed, follow=follow) if listed else ((), {})

    def _kept_xattrs(
        self, path: bytes, file: int | str, listed: list[str], *, follow: bool
    ) -> tuple[Xattrs, dict[str, bytes]]:
        """The attributes to keep, sorted, and overlayfs's own ones by their last word."""
        kept: list[tuple[bytes, bytes]] = []
        marks: dict[str, bytes] = {}
        for name in listed:
            if name in HOST_XATTRS:
                continue
            encoded = os.fsencode(name)
            if is_overlay_xattr(encoded):
                if not self.overlay:
                    continue
                word = name.split(".", 2)[2]
                marks[word] = os.getxattr(file, name, follow_symlinks=follow)
                continue
            try:
                kept.append((encoded, os.getxattr(file, name, follow_symlinks=follow)))
            except OSError as error:
                # ENODATA: removed since it was listed. ENOTSUP: listed by a filesystem that cannot
                # read it back for us (system.nfs4_acl), so that nobody could restore it either.
                if error.errno not in (errno.ENODATA, errno.ENOTSUP):
                    raise
                if error.errno == errno.ENOTSUP:
                    self.skipped.append(Skipped(path, f"its attribute {name} cannot be read"))
        kept.sort()
        return tuple(kept), marks

    def link(self) -> None:
        """Name, in each entry of an inode with several paths, the other paths of the set."""
        for names in self.inodes.values():
            if len(names) < 2:
                continue
            names.sort(key=lambda item: item[0])
            first, first_node = names[0]
            sha256 = next((n.entry.sha256 for _, n in names if n.entry.sha256), "")
            others = tuple(path for path, _ in names[1:])
            first_node.entry = replace(first_node.entry, sha256=sha256, hardlinks=others)
            for _, node in names[1:]:
                node.entry = replace(node.entry, sha256=sha256, hardlinks=(first,))

    def exclude(self, root: Node) -> None:
        """Take out the excluded paths that are empty; the deepest first, for they may nest."""
        for path in sorted(self.excluded, reverse=True):
            above, _, name = path.rpartition(b"/")
            parent, node = root.find(above), root.find(path)
            if node is None or parent is None or not parent.children or not path:
                continue
            entry = node.entry
            if not node.children and (
                entry.kind == Kind.DIR or (entry.kind == Kind.FILE and entry.size == 0)
            ):
                del parent.children[name]
                self.skipped.append(Skipped(path, "a mount point made by envgit"))


# Stands in for a file's entry until all of it is known.
_EMPTY = Entry(Kind.FILE)

SPECIAL_KINDS = {
    stat.S_IFLNK: Kind.SYMLINK,
    stat.S_IFIFO: Kind.FIFO,
    stat.S_IFCHR: Kind.CHAR,
    stat.S_IFBLK: Kind.BLOCK,
}
"""The kinds without content, by what stat(2) calls their format."""
