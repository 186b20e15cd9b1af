# SPDX-License-Identifier: Apache-2.0
"""Lists what lies in a package's directory, however deep it is and however much there is."""

from __future__ import annotations

from envgit.layers.entry import Directory, find_directory, join

_MOST = 100_000
"""Files of one package that count; the number is a guess at what nobody has."""


def files_below(root: Directory, path: bytes, *, skip: bytes | None = None) -> list[bytes]:
    """The files in a directory and all beneath it, in no order; ``_MOST`` at most.

    Directories called ``skip`` are left out, with all that is in them.
    """
    found: list[bytes] = []
    stack = [(path, find_directory(root, path))]
    while stack and len(found) < _MOST:
        folder, directory = stack.pop()
        if directory is None:
            continue
        for name in directory.names():
            if name == skip:
                continue
            below = directory.directory(name)
            if below is not None:
                stack.append((join(folder, name), below))
            else:
                found.append(join(folder, name))
    return found[:_MOST]
