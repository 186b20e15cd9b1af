# SPDX-License-Identifier: Apache-2.0
"""Whether changes can be of no package, told by their paths and by what is remembered of a state.

Most commits are of files that no package manager knows, and so is most of what is edited. What is
asked for then is not worth a look into databases.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from envgit.layers.entry import Entry, Kind
from envgit.packages import traces

if TYPE_CHECKING:
    from envgit.layers.compare import Change


def leaves_databases(changes: Iterable[Change]) -> bool:
    """Whether both states have the same databases, and the same packages own the same files."""
    return not any(traces.is_trace(one.path) or _moves_all(one) for one in changes)


def leaves_files(changes: Iterable[Change], marks: bytes) -> bool:
    """Whether none of the changes is of a file of a package; ``marks`` are those of the state
    before. What Python compiled says nothing."""
    paths = (one.path for one in changes if not one.path.endswith(b".pyc"))
    return not traces.has_marked(marks, paths)


def _moves_all(change: Change) -> bool:
    """Whether it is a link in the root directory: of ``lib`` depends where packages' files are."""
    return b"/" not in change.path and (_is_link(change.old) or _is_link(change.new))


def _is_link(entry: Entry | None) -> bool:
    return entry is not None and entry.kind == Kind.SYMLINK
