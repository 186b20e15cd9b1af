# SPDX-License-Identifier: Apache-2.0
"""Merges three texts line by line, as git does (libgit2's xdiff, git2/merge.h).

libgit2 compares with Myers' algorithm, as ``git merge-file`` and ``merge -s recursive`` do; git's
own default for merges (histogram) is not among its choices. The texts are not in the repository's
object store and never enter it: libgit2 reads them from one in memory. Bytes that are no UTF-8 are
bytes like any other, because no string is made of them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from envgit.repo.libgit2 import native

STYLES = ("merge", "diff3", "zdiff3")
"""What ``merge.conflictStyle`` may be (git-config(1))."""

# git2/merge.h
_FAVOURS = {None: 0, "ours": 1, "theirs": 2}
_FLAGS = {"merge": 1, "diff3": 2, "zdiff3": 1 << 8}
_SIMPLIFY_ALNUM = 4
_VERSION = 1
_BLOB = 3
_MARKER_SIZE = 7


@dataclass(frozen=True, slots=True)
class TextMerge:
    """The merged text; with ``clean`` False it holds conflict markers."""

    content: bytes
    clean: bool


class _Memory(native.OdbBackend):
    """An object store of a few blobs."""

    def __init__(self) -> None:
        super().__init__()
        self.blobs: dict[str, bytes] = {}

    def add(self, content: bytes) -> bytes:
        oid = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
        self.blobs[oid.hexdigest()] = content
        return oid.digest()

    def read_cb(self, oid: object) -> tuple[int, bytes]:
        return _BLOB, self.blobs[str(oid)]

    def exists_cb(self, oid: object) -> bool:
        return str(oid) in self.blobs


class TextMerger:
    """Merges texts; one serves any number of them.

    ``labels`` name base, ours and theirs in conflict markers; ``style`` is one of `STYLES`;
    ``favour`` (``ours``, ``theirs``) settles each conflict for that side; ``extra`` makes markers
    longer, for merges of merge bases; ``simplify`` does as ``git merge-file`` does and makes one
    conflict of two that only lines without letters and digits part.
    """

    def __init__(
        self,
        labels: tuple[str, str, str],
        *,
        style: str = "merge",
        favour: str | None = None,
        extra: int = 0,
        simplify: bool = False,
    ) -> None:
        from pygit2._libgit2 import ffi, lib  # type: ignore[import-not-found]

        self._ffi: Any = ffi
        self._lib: Any = lib
        self._memory = _Memory()
        odb = native.Odb()
        odb.add_backend(self._memory, 1)
        self._repository = native.Repository()
        self._repository.set_odb(odb)
        pointer = ffi.new("git_repository **")
        ffi.buffer(pointer)[:] = self._repository._pointer[:]  # type: ignore[attr-defined]
        self._pointer = pointer[0]
        # libgit2 keeps pointers only: the strings must live as long as the options.
        self._labels = [ffi.new("char[]", label.encode()) for label in labels]
        self._name = ffi.new("char[]", b"f")
        options = self._options = ffi.new("git_merge_file_options *")
        options.version = _VERSION
        options.ancestor_label, options.our_label, options.their_label = self._labels
        options.favor = _FAVOURS[favour]
        options.flags = _FLAGS[style] | (_SIMPLIFY_ALNUM if simplify else 0)
        options.marker_size = _MARKER_SIZE + extra

    def merge(self, base: bytes | None, ours: bytes, theirs: bytes) -> TextMerge:
        """Merge three texts; without a base (added on both sides) an empty one is assumed."""
        entries = [self._entry(text) for text in (base or b"", ours, theirs)]
        result = self._ffi.new("git_merge_file_result *")
        code = self._lib.git_merge_file_from_index(result, self._pointer, *entries, self._options)
        self._memory.blobs.clear()
        if code:
            raise ValueError(f"libgit2 cannot merge: error {code}")
        try:
            content = bytes(self._ffi.buffer(result.ptr, result.len)) if result.len else b""
            clean = bool(result.automergeable)
        finally:
            self._lib.git_merge_file_result_free(result)
        if not clean:
            content = self._named(content, base or b"", ours, theirs)
        return TextMerge(content, clean)

    def _named(self, content: bytes, base: bytes, ours: bytes, theirs: bytes) -> bytes:
        """Put the labels in that libgit2 leaves out of the markers of an empty text.

        There is one conflict then, for the whole of the other texts: ours opens the file, theirs
        ends it, and the base's marker stands right above the one that begins theirs.
        """
        size = self._options.marker_size
        label = [b" " + self._ffi.string(one) for one in self._labels]
        if not ours:
            content = content[:size] + label[1] + content[size:]
        if not theirs:
            body = content.rstrip(b"\r\n")
            content = body + label[2] + content[len(body) :]
        if not base:
            for end in (b"\n", b"\r\n"):
                bare, middle = b"|" * size + end, b"=" * size + end
                before, found, after = content.rpartition(bare + middle)
                if found:
                    content = before + b"|" * size + label[0] + end + middle + after
        return content

    def _entry(self, content: bytes) -> Any:
        entry = self._ffi.new("git_index_entry *")
        self._ffi.buffer(self._ffi.addressof(entry, "id"))[:] = self._memory.add(content)
        entry.path = self._name
        entry.mode = 0o100644
        return entry
