# SPDX-License-Identifier: Apache-2.0
"""Copying the content of one file: shared where that can be, else with its holes."""

from __future__ import annotations

import errno
import fcntl
import os

# _IOW(0x94, 9, int) of linux/fs.h: share all blocks of the file whose descriptor is the argument.
FICLONE = 0x40049409

_CHUNK = 1 << 24
_BUFFER = 1 << 20
# Below this one read and one write cost less than asking for anything cleverer.
_SMALL = 1 << 16

# What says "not on these files" rather than "something broke": btrfs and XFS refuse to share across
# filesystems (EXDEV), others do not know the request (EOPNOTSUPP, ENOTTY, EINVAL, ENOSYS).
_CANNOT = frozenset(
    {errno.EXDEV, errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.ENOSYS, errno.EPERM}
)


class Copier:
    """Copies files from one filesystem to one other, and remembers what these two cannot do."""

    def __init__(self) -> None:
        self._clones = True

    def copy(self, source: int, target: int, st: os.stat_result) -> None:
        """Make the empty file ``target`` equal to ``source``, whose status is ``st``, holes too.

        Raises `OSError` (EIO) when ``source`` turns out to be shorter than that.
        """
        size = st.st_size
        if self._clones and size:
            try:
                fcntl.ioctl(target, FICLONE, source)
                return
            except OSError as error:
                if error.errno not in _CANNOT:
                    raise
                self._clones = False
        # st_blocks counts 512 bytes each whatever the block size (stat(2)).
        if st.st_blocks * 512 >= size:
            _copy_range(source, target, 0, size)
            return
        os.ftruncate(target, size)
        position = 0
        while position < size:
            try:
                position = os.lseek(source, position, os.SEEK_DATA)
            except OSError as error:
                # Nothing but a hole is left (lseek(2)).
                if error.errno == errno.ENXIO:
                    return
                raise
            end = min(os.lseek(source, position, os.SEEK_HOLE), size)
            _copy_range(source, target, position, end)
            position = end


def _copy_range(source: int, target: int, start: int, end: int) -> None:
    while start < end:
        count = _copy_some(source, target, start, min(end - start, _CHUNK))
        if count == 0:
            raise OSError(errno.EIO, "a file became shorter while it was copied")
        start += count


def _copy_some(source: int, target: int, start: int, count: int) -> int:
    if count > _SMALL:
        try:
            return os.copy_file_range(source, target, count, start, start)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
    return os.pwrite(target, os.pread(source, min(count, _BUFFER), start), start)
