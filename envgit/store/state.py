# SPDX-License-Identifier: Apache-2.0
"""What a worktree shows: the one record that ``run`` reads instead of opening git.

The format is in docs/design/store.rst. Who reads it believes nothing: the file may be damaged or
edited by hand, and what it names is mounted as root.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from envgit.layers.ids import ChangesId, CommitId
from envgit.store.failures import StoreError

FORMAT = 1
_HEX = frozenset("0123456789abcdef")


class StateError(StoreError):
    """A worktree's state or journal is damaged, or was edited into something impossible."""


class State(NamedTuple):
    """What is mounted, and on whose behalf.

    ``repository`` is the ``.envgit`` directory (absolute). ``base`` is the commit whose chain is
    mounted (None: nothing committed yet) and ``depth`` its distance from the root commit, which
    has 1 (0 without a base). ``stack`` names the lower directories relative to the store, top
    first. ``config`` is the base's OCI image config. ``changes`` is the upper directory.
    ``boot_id`` is the boot in which the changes were begun while they may be unflushed, else None.
    ``mountpoints`` are paths that the sandbox made in the upper directory to mount something on
    (relative, ``/`` between components, surrogateescape for odd bytes): no change of the user's.
    ``committed_runs`` counts the recorded runs of ``changes`` that a commit made while something
    was running has taken up already.
    """

    repository: str
    changes: ChangesId
    base: CommitId | None = None
    depth: int = 0
    stack: tuple[str, ...] = ()
    config: dict[str, Any] = {}  # noqa: RUF012  (never changed in place)
    boot_id: str | None = None
    mountpoints: tuple[str, ...] = ()
    committed_runs: int = 0

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values, in the order of the file."""
        return {
            "format": FORMAT,
            "repository": self.repository,
            "base": self.base,
            "depth": self.depth,
            "stack": list(self.stack),
            "config": self.config,
            "changes": self.changes,
            "boot_id": self.boot_id,
            "mountpoints": list(self.mountpoints),
            "committed_runs": self.committed_runs,
        }

    def serialize(self) -> bytes:
        """The bytes of the ``state`` file."""
        return (json.dumps(self.to_json(), indent=1) + "\n").encode()


_KEYS = {
    "format",
    "repository",
    "base",
    "depth",
    "stack",
    "config",
    "changes",
    "boot_id",
    "mountpoints",
    "committed_runs",
}


def from_json(record: object) -> State:
    """The State in ``record``; the inverse of ``to_json``. Raises ValueError saying what is off."""
    if not isinstance(record, dict):
        raise ValueError("it is not a JSON object")
    if record.get("format") != FORMAT:
        raise ValueError(f"its format is {record.get('format')!r}, not {FORMAT}")
    for key in _KEYS ^ record.keys():
        raise ValueError(f"'{key}' is {'missing' if key in _KEYS else 'unknown'}")
    base, depth, boot = record["base"], record["depth"], record["boot_id"]
    _need(_is_path(record["repository"]), "'repository' is not an absolute path")
    _need(base is None or is_hex(base, 40), "'base' is not a commit id")
    _need(type(depth) is int and depth >= 0, "'depth' is not a count")
    _need((base is None) == (depth == 0), "'depth' does not fit 'base'")
    _need(_is_texts(record["stack"]), "'stack' is not a list of directories")
    for name in record["stack"]:
        _need(is_stack_name(name), f"'stack' names {name!r}, which is no layer or span")
    _need((base is None) == (not record["stack"]), "'stack' does not fit 'base'")
    _need(isinstance(record["config"], dict), "'config' is not an object")
    _need(is_hex(record["changes"], 32), "'changes' is not the name of a change set")
    _need(boot is None or (isinstance(boot, str) and 0 < len(boot) <= 64), "'boot_id' is no id")
    _need(_is_texts(record["mountpoints"]), "'mountpoints' is not a list of paths")
    for name in record["mountpoints"]:
        _need(is_inside(name), f"'mountpoints' names {name!r}, which is no path inside")
    taken = record["committed_runs"]
    _need(type(taken) is int and taken >= 0, "'committed_runs' is not a count")
    return State(
        repository=record["repository"],
        changes=record["changes"],
        base=base,
        depth=depth,
        stack=tuple(record["stack"]),
        config=record["config"],
        boot_id=boot,
        mountpoints=tuple(record["mountpoints"]),
        committed_runs=taken,
    )


def parse(data: bytes) -> State:
    """The State in a ``state`` file's bytes. Raises ValueError saying what is off."""
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    return from_json(record)


def is_hex(value: object, digits: int) -> bool:
    """Whether ``value`` is text of exactly so many lower-case hexadecimal digits."""
    return isinstance(value, str) and len(value) == digits and _HEX.issuperset(value)


def is_stack_name(name: str) -> bool:
    """Whether ``name`` is ``layers/<layer id>`` or ``spans/<commit id>.<level>/tree``."""
    kind, _, rest = name.partition("/")
    if kind == "layers":
        return is_hex(rest, 40)
    commit, dot, tail = rest.partition(".")
    level, slash, leaf = tail.partition("/")
    digits = level.isascii() and level.isdigit() and len(level) <= 2
    return (
        kind == "spans"
        and is_hex(commit, 40)
        and bool(dot and slash)
        and digits
        and (leaf == "tree")
    )


def is_inside(name: str) -> bool:
    """Whether ``name`` is a relative path that stays where it is: no empty, ``.``, ``..`` part."""
    return "\0" not in name and all(part not in ("", ".", "..") for part in name.split("/"))


def _is_path(value: object) -> bool:
    return isinstance(value, str) and value.startswith("/") and "\0" not in value


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _need(condition: bool, fault: str) -> None:
    if not condition:
        raise ValueError(fault)
