# SPDX-License-Identifier: Apache-2.0
"""What overlayfs writes into a layer to say that something below does not show through.

Source: linux/Documentation/filesystems/overlayfs.rst, "Whiteouts and opaque directories".
"""

from __future__ import annotations

import errno
import os
import stat

OPAQUE = "trusted.overlay.opaque"
"""The mark of a directory that hides what is below it (value ``y``)."""

OPAQUE_NAMES = (OPAQUE, "user.overlay.opaque")
"""Under both names that overlayfs knows: the latter is for mounts in a user namespace."""

ORIGIN = "trusted.overlay.origin"
"""Where a directory was copied up from; empty means "from somewhere unknown".

A directory that no other layer has is listed by the kernel as it is, with the whiteouts in it as
names that cannot be opened, unless it bears this mark (fs/overlayfs/inode.c, ovl_get_inode). In a
span that happens: one member makes a directory with a file, a later one deletes that file.
"""


def is_whiteout(st: os.stat_result) -> bool:
    """Whether the file with this status is a whiteout: a character device 0:0."""
    return stat.S_ISCHR(st.st_mode) and st.st_rdev == 0


def is_opaque(directory: int | str) -> bool:
    """Whether a directory (open, or by a path that ends in no symlink) is marked as opaque."""
    for name in OPAQUE_NAMES:
        try:
            if os.getxattr(directory, name, follow_symlinks=isinstance(directory, int)) == b"y":
                return True
        except OSError as error:
            if error.errno not in (errno.ENODATA, errno.ENOTSUP):
                raise
    return False
