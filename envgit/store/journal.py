# SPDX-License-Identifier: Apache-2.0
"""The record of a change of state that is decided but perhaps not carried out yet.

Writing the journal is the moment at which a change happens: before, nothing is visible; after, it
will be carried out by whoever locks the worktree next, even if the writer dies at once. The room
``porcelain`` carries it out, since that takes git; every step does nothing when it is already done.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any, NamedTuple

from envgit.fs import crashpoint, durable
from envgit.layers.ids import ChangesId, LayerId
from envgit.store.failures import explained, translate
from envgit.store.state import State, StateError, from_json, is_hex

FORMAT = 1


class Record(NamedTuple):
    """What is to be carried out, in this order.

    ``seals`` pairs change sets with the layers that their upper directories become; ``state`` is
    the worktree's next state (None: it stays); ``refs`` are (name, old id, new id, reflog message)
    with None for "absent"; ``head`` is (old, new, reflog message) of HEAD, whose values are an id
    or ``ref: refs/heads/...``; ``discards`` are change sets that are done with. ``signature`` is
    (name, e-mail, seconds since the epoch, offset in minutes) for the reflogs.
    """

    seals: tuple[tuple[ChangesId, LayerId], ...] = ()
    state: State | None = None
    refs: tuple[tuple[str, str | None, str | None, str], ...] = ()
    head: tuple[str, str, str] | None = None
    discards: tuple[ChangesId, ...] = ()
    signature: tuple[str, str, int, int] = ("", "", 0, 0)


class Journal:
    """The journal file at ``path``. All methods are called with the worktree's lock held."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path

    def pending(self) -> bool:
        """Whether a change waits to be carried out. Costs one system call."""
        return os.path.exists(self.path)

    def write(self, record: Record) -> None:
        """Decide: durable when this returns. Everything that ``record`` names must be by now."""
        data = (json.dumps(_to_json(record), indent=1) + "\n").encode()
        with explained("write the journal", self.path):
            durable.write_file(self.path, data)
        crashpoint.reach("journal:written")

    def read(self) -> Record | None:
        """What waits to be carried out, or None. Raises StateError naming the file."""
        try:
            with open(self.path, "rb") as stream:
                data = stream.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise translate(error, "read the journal", self.path) from error
        try:
            return _from_json(data)
        except ValueError as fault:
            raise StateError(
                f"the journal {self.path} is damaged: {fault}",
                hint="it names a change that was decided but not finished; restore the file, or "
                "move it away to give that change up, then run envgit fsck",
            ) from None

    def clear(self) -> None:
        """All is carried out and durable: forget the journal, durably.

        Without the sync a power cut could bring it back after later changes, and it would be
        carried out again over them.
        """
        crashpoint.reach("journal:clear")
        with explained("clear the journal", self.path):
            try:
                os.unlink(self.path)
            except FileNotFoundError:
                return
            durable.sync_directory(os.path.dirname(self.path))


def _to_json(record: Record) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "seals": [list(pair) for pair in record.seals],
        "state": None if record.state is None else record.state.to_json(),
        "refs": [list(update) for update in record.refs],
        "head": None if record.head is None else list(record.head),
        "discards": list(record.discards),
        "signature": list(record.signature),
    }


def _from_json(data: bytes) -> Record:
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise ValueError(f"it is not a journal of format {FORMAT}")
    keys = {"format", "seals", "state", "refs", "head", "discards", "signature"}
    for key in keys ^ record.keys():
        raise ValueError(f"'{key}' is {'missing' if key in keys else 'unknown'}")
    for key in ("seals", "refs", "discards", "signature"):
        if not isinstance(record[key], list):
            raise ValueError(f"'{key}' is not a list")
    head, state = record["head"], record["state"]
    if not all(map(_is_seal, record["seals"])):
        raise ValueError("'seals' has something else than pairs of change set and layer")
    if not all(map(_is_ref, record["refs"])):
        raise ValueError("'refs' has something else than ref, old id, new id, message")
    if head is not None and not _is_head(head):
        raise ValueError("'head' is not old value, new value, message")
    if not all(is_hex(name, 32) for name in record["discards"]):
        raise ValueError("'discards' has something else than change sets")
    if [type(item) for item in record["signature"]] != [str, str, int, int]:
        raise ValueError("'signature' is not name, e-mail, time, offset")
    return Record(
        seals=tuple((changes, layer) for changes, layer in record["seals"]),
        state=None if state is None else from_json(state),
        refs=tuple((name, old, new, text) for name, old, new, text in record["refs"]),
        head=None if head is None else (head[0], head[1], head[2]),
        discards=tuple(record["discards"]),
        signature=tuple(record["signature"]),
    )


def _is_seal(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and is_hex(value[0], 32)
        and is_hex(value[1], 40)
    )


# ``ORIG_HEAD``, ``MERGE_HEAD``: gitrevisions(7); no path, wherever a damaged journal comes from.
_PSEUDO = re.compile(r"\A[A-Z][A-Z_]*\Z")
# HEAD of another worktree, whose branch is renamed; its value is a branch, not an id.
_OTHER_HEAD = re.compile(r"\A(?:main-worktree|worktrees/(?!\.\.?/)[^/\0]+)/HEAD\Z")


def _is_ref(value: object) -> bool:
    if isinstance(value, list) and _is_other_head(value):
        return True
    return (
        isinstance(value, list)
        and len(value) == 4
        and isinstance(value[0], str)
        and (value[0].startswith("refs/") or _PSEUDO.match(value[0]) is not None)
        and all(oid is None or is_hex(oid, 40) for oid in value[1:3])
        and isinstance(value[3], str)
    )


def _is_other_head(value: list[object]) -> bool:
    return (
        len(value) == 4
        and all(isinstance(text, str) for text in value)
        and _OTHER_HEAD.match(str(value[0])) is not None
        and all(str(text).startswith("ref: refs/heads/") for text in value[1:3])
    )


def _is_head(value: object) -> bool:
    return (
        isinstance(value, list) and len(value) == 3 and all(isinstance(part, str) for part in value)
    )
