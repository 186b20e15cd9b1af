# SPDX-License-Identifier: Apache-2.0
"""What can be told of packages by paths alone, without loading what reads databases.

Most changes are of files that no package manager knows. To find that out must cost next to nothing:
`is_trace` tells a path that may be part of a database, and `marks` are what is remembered of the
files of all packages, to be asked by `has_marked`. Both may say yes too often, never too seldom.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from zlib import crc32

VERSION = 3
"""Part of every key of the cache: raised whenever reading the same bytes gives something else."""

# A name in the path of each file that a reader's units, their keys or lists of files are made of.
_TRACE = re.compile(
    rb"(?:^|/)(?:"
    rb"dpkg|extended_states|"
    rb"rpm|zypp|libdnf5|dnf|"
    rb"apk|pacman|conda-meta|specifications|"
    rb"node_modules|package\.json|"
    rb"\.crates2\.json|\.crates\.toml|"
    rb"[^/]*\.(?:dist-info|egg-info|egg|egg-link)"
    rb")(?:/|$)"
)


def is_trace(path: bytes) -> bool:
    """Whether a path may be part of what a package manager recorded."""
    return _TRACE.search(path) is not None


def marks(paths: Iterable[bytes]) -> bytes:
    """A mark of four bytes for each path, in order, as `has_marked` searches them."""
    return array("I", sorted(set(map(crc32, paths)))).tobytes()


def has_marked(data: bytes, paths: Iterable[bytes]) -> bool:
    """Whether any of these paths may have been marked."""
    known = memoryview(data).cast("I")
    for path in paths:
        mark = crc32(path)
        at = bisect_left(known, mark)
        if at < len(known) and known[at] == mark:
            return True
    return False
