# SPDX-License-Identifier: Apache-2.0
"""What a commit and an annotated tag say, as values, and their bytes in git."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from envgit.errors import EnvgitError
from envgit.layers.ids import CommitId, LayerId, TreeId
from envgit.repo.signature import Signature
from envgit.repo.traversal import Point

ROOTFS = b"rootfs"
LAYER = b"layer"
_TIME = re.compile(rb"^(author|committer) .*> (\d+) ", re.MULTILINE)
NO_TREE = TreeId("")
NO_LAYER = LayerId("")


class ObjectMissing(EnvgitError):
    """An object that the history refers to is not in the repository."""


class ObjectCorrupt(EnvgitError):
    """An object's bytes are not what its id says."""


class NotAnEnvironment(EnvgitError):
    """A git commit that holds no environment (it was not made by envgit)."""


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit. ``rootfs`` and ``layer`` are empty strings when it holds no environment."""

    id: CommitId
    tree: TreeId
    parents: tuple[CommitId, ...]
    author: Signature
    committer: Signature
    message: str
    rootfs: TreeId = NO_TREE
    layer: LayerId = NO_LAYER

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
    headers, message = _split(data)
    parents: list[CommitId] = []
    values: dict[bytes, bytes] = {}
    for key, value in headers:
        if key == b"parent":
            parents.append(CommitId(value.decode()))
        else:
            values.setdefault(key, value)
    encoding = values.get(b"encoding", b"utf-8").decode("ascii", "replace")
    return Commit(
        id=CommitId(oid),
        tree=TreeId(values.get(b"tree", b"").decode()),
        parents=tuple(parents),
        author=Signature.parse(values.get(b"author", b"")),
        committer=Signature.parse(values.get(b"committer", b"")),
        message=_decode(message, encoding),
    )


def parse_point(oid: CommitId, data: bytes) -> Point:
    """What a walk needs of a raw commit, without looking at the rest."""
    parents: list[CommitId] = []
    at = data.find(b"\n") + 1
    while data.startswith(b"parent ", at):
        parents.append(CommitId(data[at + 7 : at + 47].decode()))
        at += 48
    author = _TIME.search(data, at)
    committer = _TIME.search(data, author.end()) if author else None
    return Point(
        oid,
        tuple(parents),
        int(committer[2]) if committer else 0,
        int(author[2]) if author else 0,
    )


def parse_tag(oid: str, data: bytes) -> Tag:
    """Read a raw tag object."""
    headers, message = _split(data)
    values = dict(headers)
    tagger = values.get(b"tagger")
    return Tag(
        id=oid,
        target=values.get(b"object", b"").decode(),
        kind=values.get(b"type", b"").decode(),
        name=values.get(b"tag", b"").decode("utf-8", "surrogateescape"),
        tagger=Signature.parse(tagger) if tagger is not None else None,
        message=_decode(message, "utf-8"),
    )


def _split(data: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """The header lines (continuation lines joined to theirs) and the message."""
    head, _, message = data.partition(b"\n\n")
    headers: list[tuple[bytes, bytes]] = []
    for line in head.split(b"\n"):
        if line.startswith(b" ") and headers:
            key, value = headers[-1]
            headers[-1] = (key, value + b"\n" + line[1:])
        else:
            key, _, value = line.partition(b" ")
            headers.append((key, value))
    return headers, message


def _decode(message: bytes, encoding: str) -> str:
    try:
        return message.decode(encoding, "surrogateescape")
    except LookupError:
        return message.decode("utf-8", "surrogateescape")
