# SPDX-License-Identifier: Apache-2.0
"""What a commit and an annotated tag say, as values, and their bytes in git."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from envgit.errors import EnvgitError
from envgit.layers.ids import CommitId, LayerId, TreeId
from envgit.repo.signature import Signature
from envgit.repo.traversal import Point

ROOTFS = b"rootfs"
LAYER = b"layer"
_TIME = re.compile(rb"^(author|committer) .*> (\d+) ", re.MULTILINE)


class ObjectMissing(EnvgitError):
    """An object that the history refers to is not in the repository."""


class ObjectCorrupt(EnvgitError):
    """An object's bytes are not what its id says."""


class NotAnEnvironment(EnvgitError):
    """A git commit that holds no environment (it was not made by envgit)."""


Environment = tuple[TreeId, LayerId]
NO_ENVIRONMENT: Environment = (TreeId(""), LayerId(""))


class Commit:
    """A commit, of which only what is asked for is read: a log goes through thousands.

    ``rootfs`` and ``layer`` are empty strings when it holds no environment; ``environment`` finds
    them by the id of the commit's tree.
    """

    __slots__ = ("_environment", "_find", "_head", "_text", "_values", "id", "parents", "tree")

    def __init__(
        self,
        oid: str,
        data: bytes,
        environment: Callable[[TreeId], Environment] = lambda _: NO_ENVIRONMENT,
    ) -> None:
        self.id = CommitId(oid)
        self.tree = TreeId(data[5:45].decode() if data.startswith(b"tree ") else "")
        self.parents = _parents(data)
        self._head, _, self._text = data.partition(b"\n\n")
        self._values: dict[bytes, bytes] | None = None
        self._environment: Environment | None = None
        self._find = environment

    def __repr__(self) -> str:
        return f"Commit({self.id})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Commit) and (self.id, self.tree) == (other.id, other.tree)

    def __hash__(self) -> int:
        return hash(self.id)

    def _header(self, name: bytes) -> bytes:
        if self._values is None:
            self._values = {}
            for key, value in _headers(self._head):
                self._values.setdefault(key, value)
        return self._values.get(name, b"")

    @property
    def author(self) -> Signature:
        """Who made the change."""
        return Signature.parse(self._header(b"author"))

    @property
    def committer(self) -> Signature:
        """Who recorded it."""
        return Signature.parse(self._header(b"committer"))

    @property
    def message(self) -> str:
        """The whole message."""
        known = b"\nencoding " in self._head
        encoding = self._header(b"encoding").decode("ascii", "replace") if known else "utf-8"
        return _decode(self._text, encoding)

    @property
    def rootfs(self) -> TreeId:
        """The tree of its root filesystem."""
        return self._environment_ids()[0]

    @property
    def layer(self) -> LayerId:
        """The tree of its layer."""
        return self._environment_ids()[1]

    def _environment_ids(self) -> Environment:
        if self._environment is None:
            self._environment = self._find(self.tree)
        return self._environment

    @property
    def subject(self) -> str:
        """The first paragraph in one line, as ``%s`` of git."""
        return subject_of(self.message)

    @property
    def body(self) -> str:
        """What follows the first paragraph, as ``%b`` of git."""
        lines = self.message.split("\n")
        return "\n".join(lines[_skip(lines, _first_paragraph(lines)[1], blank=True) :])


def subject_of(message: str) -> str:
    """The first paragraph of a message in one line."""
    lines = message.split("\n")
    start, end = _first_paragraph(lines)
    return " ".join(line.rstrip() for line in lines[start:end])


def _first_paragraph(lines: list[str]) -> tuple[int, int]:
    start = _skip(lines, 0, blank=True)
    return start, _skip(lines, start, blank=False)


def _skip(lines: list[str], at: int, *, blank: bool) -> int:
    while at < len(lines) and bool(lines[at].strip()) != blank:
        at += 1
    return at


@dataclass(frozen=True, slots=True)
class Tag:
    """An annotated tag: ``target`` is the id of what it marks, ``kind`` that object's kind."""

    id: str
    target: str
    kind: str
    name: str
    tagger: Signature | None
    message: str


def encode_commit(
    tree: str,
    parents: Sequence[str],
    author: Signature,
    committer: Signature,
    message: str,
) -> bytes:
    """The raw commit object. The message gets a final newline, as git's cleanup gives it."""
    text = message.replace("\0", "").encode("utf-8", "surrogateescape")
    if text and not text.endswith(b"\n"):
        text += b"\n"
    return b"".join(
        (
            b"tree %b\n" % tree.encode(),
            *[b"parent %b\n" % parent.encode() for parent in parents],
            b"author %b\n" % author.encode(),
            b"committer %b\n" % committer.encode(),
            b"\n",
            text,
        )
    )


def encode_tag(target: str, kind: str, name: str, tagger: Signature, message: str) -> bytes:
    """The raw object of an annotated tag."""
    text = message.replace("\0", "").encode("utf-8", "surrogateescape")
    if text and not text.endswith(b"\n"):
        text += b"\n"
    head = f"object {target}\ntype {kind}\ntag {name}\n".encode("utf-8", "surrogateescape")
    return b"%btagger %b\n\n%b" % (head, tagger.encode(), text)


def parse_commit(oid: str, data: bytes) -> Commit:
    """Read a raw commit; rootfs and layer are left empty."""
    return Commit(oid, data)


def parse_point(oid: CommitId, data: bytes) -> Point:
    """What a walk needs of a raw commit, without looking at the rest."""
    parents = _parents(data)
    author = _TIME.search(data, 46 + 48 * len(parents))
    committer = _TIME.search(data, author.end()) if author else None
    return Point(
        oid,
        parents,
        int(committer[2]) if committer else 0,
        int(author[2]) if author else 0,
    )


def parse_tag(oid: str, data: bytes) -> Tag:
    """Read a raw tag object."""
    head, _, message = data.partition(b"\n\n")
    values = dict(_headers(head))
    tagger = values.get(b"tagger")
    return Tag(
        id=oid,
        target=values.get(b"object", b"").decode(),
        kind=values.get(b"type", b"").decode(),
        name=values.get(b"tag", b"").decode("utf-8", "surrogateescape"),
        tagger=Signature.parse(tagger) if tagger is not None else None,
        message=_decode(message, "utf-8"),
    )


def _parents(data: bytes) -> tuple[CommitId, ...]:
    """They follow the line of the tree, 48 bytes each."""
    at = 46
    if not data.startswith(b"parent ", at):
        return ()
    found = []
    while data.startswith(b"parent ", at):
        found.append(CommitId(data[at + 7 : at + 47].decode()))
        at += 48
    return tuple(found)


def _headers(head: bytes) -> list[tuple[bytes, bytes]]:
    """The header lines, continuation lines joined to theirs."""
    found: list[tuple[bytes, bytes]] = []
    for line in head.split(b"\n"):
        if line.startswith(b" ") and found:
            key, value = found[-1]
            found[-1] = (key, value + b"\n" + line[1:])
        else:
            key, _, value = line.partition(b" ")
            found.append((key, value))
    return found


def _decode(message: bytes, encoding: str) -> str:
    try:
        return message.decode(encoding, "surrogateescape")
    except LookupError:
        return message.decode("utf-8", "surrogateescape")
