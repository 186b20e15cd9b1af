# SPDX-License-Identifier: Apache-2.0
"""The one place that makes things last: write, sync, then publish by a rename.

What a function here returned from, a power cut does not take away, if the disk tells the truth.
The order is always: data, fsync of the data, rename, fsync of the directory (see the orderings in
docs/design/repository.rst).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from envgit.fs import crashpoint

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@contextmanager
def _opened(path: str | bytes, flags: int) -> Iterator[int]:
    fd = os.open(path, flags)
    try:
        yield fd
    finally:
        os.close(fd)


def write_file(path: str, data: bytes, *, mode: int = 0o644) -> None:
    """Replace the file ``path`` by ``data``: whoever reads sees the old bytes or the new, whole.

    ``mode`` is exact, whatever the umask. Raises `OSError`; then the old file is untouched and no
    temporary file is left.
    """
    # Random, for one that was killed may have left a file, and process ids come round again.
    temporary = f"{path}.{os.urandom(4).hex()}.new"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            os.fchmod(fd, mode)
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            crashpoint.reach("fs:file-written")
            os.fsync(fd)
        finally:
            os.close(fd)
        crashpoint.reach("fs:file-synced")
        os.rename(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    crashpoint.reach("fs:file-renamed")
    sync_directory(os.path.dirname(path) or ".")


def sync_directory(path: str | bytes) -> None:
    """Make the names in a directory last."""
    with _opened(path, _DIRECTORY) as fd:
        os.fsync(fd)


def sync_filesystem(path: str | bytes) -> None:
    """Make everything last that was written to the filesystem of the directory ``path``.

    One syncfs(2) for many files costs less than an fsync each; since Linux 5.8 it also reports
    earlier write errors on that filesystem, as `OSError`.
    """
    # ctypes takes 8 ms to load, which commands that flush nothing must not pay.
    from envgit.fs import syscalls

    with _opened(path, _DIRECTORY) as fd:
        syscalls.syncfs(fd)


def blocks(path: str | bytes) -> int:
    """The bytes that one file or directory takes on disk, 0 if it is not there."""
    try:
        return os.lstat(path).st_blocks * 512
    except (FileNotFoundError, NotADirectoryError):
        return 0


def remove_tree(path: str | bytes) -> int:
    """Remove a directory with all that is in it, or a single file; nothing there is fine.

    Returns the bytes on disk that this gave back: those of files whose last name it was.

    No symlink is followed, other filesystems mounted within are not entered (`OSError` EBUSY or
    EXDEV instead), and depth and path length do not matter.
    """
    try:
        root = os.open(path, _DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return 0
    except (NotADirectoryError, OSError) as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        with suppress(FileNotFoundError):
            st = os.lstat(path)
            os.unlink(path)
            return st.st_blocks * 512 if st.st_nlink == 1 else 0
        return 0
    try:
        freed = _empty(root, os.fstat(root).st_dev)
    finally:
        os.close(root)
    os.rmdir(path)
    return freed


# A directory this many levels down is moved up beside its ancestors and emptied from there, so that
# the number of open descriptors stays below any usual limit however deep the tree is.
_LEVELS = 200


def _empty(root: int, device: int) -> int:
    """Remove everything in the directory ``root`` is open on; the bytes of all that and its own."""
    moved = 0
    directories, freed = _sweep(root)
    # A level: its descriptor, the directories still in it, its own name in the level above.
    stack: list[tuple[int, list[str], str]] = [(root, directories, "")]
    try:
        while True:
            fd, directories, name = stack[-1]
            if not directories:
                if fd == root:
                    return freed
                stack.pop()
                os.close(fd)
                os.rmdir(name, dir_fd=stack[-1][0])
                continue
            child = directories.pop()
            if len(stack) > _LEVELS:
                moved += 1
                shallow = f".removing-{os.getpid()}-{moved}"
                os.rename(child, shallow, src_dir_fd=fd, dst_dir_fd=root)
                stack[0][1].append(shallow)
                continue
            below = _enter(fd, child)
            stack.append((below, [], child))
            if os.fstat(below).st_dev != device:
                raise OSError(errno.EXDEV, "another filesystem is mounted here", child)
            found, size = _sweep(below)
            stack[-1][1].extend(found)
            freed += size
    finally:
        for fd, _, _ in stack[1:]:
            os.close(fd)


def _enter(parent: int, name: str) -> int:
    try:
        return os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    except PermissionError:
        # An owner without CAP_DAC_OVERRIDE may have locked himself out of his own directory.
        os.chmod(name, 0o700, dir_fd=parent)
        return os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)


def _sweep(fd: int) -> tuple[list[str], int]:
    """Unlink what is no directory; the names of the directories, and the bytes given back, those of
    the directory itself included."""
    with os.scandir(fd) as scan:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in scan]
    status = os.fstat(fd)
    freed = status.st_blocks
    if found and status.st_mode & 0o300 != 0o300:
        os.fchmod(fd, 0o700)
    for name, is_directory in found:
        if not is_directory:
            st = os.stat(name, dir_fd=fd, follow_symlinks=False)
            os.unlink(name, dir_fd=fd)
            freed += st.st_blocks if st.st_nlink == 1 else 0
    return [name for name, is_directory in found if is_directory], freed * 512
