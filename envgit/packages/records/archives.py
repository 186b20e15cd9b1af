# SPDX-License-Identifier: Apache-2.0
"""Archives and bundles of entries: apk's ``scripts.tar`` and bundles of certificates (PEM)."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Sequence

from envgit.packages.records.model import (
    Clash,
    Decide,
    Declined,
    Format,
    Record,
    Taken,
    lines_of,
    numbered,
    undecided,
)

_BLOCK = 512
_GZIP = 31
"""zlib's window bits for gzip (zlib manual, inflateInit2)."""
# apk-tools, src/database.c: NAME-VERSION-rN.CHECKSUM.KIND
_SCRIPT = re.compile(rb"\A(.+)-[^-]+-r[0-9]+\.[^.]+\.[a-z-]+\Z", re.DOTALL)
_BEGIN, _END = b"-----BEGIN ", b"-----END "


class Tar(Format):
    """An uncompressed archive, a record a member; its end is a record of its own.

    Only what apk writes: ustar headers, names of up to 100 bytes.
    """

    end = b""
    noun = "the script"

    def split(self, data: bytes) -> list[Record]:
        """See `Format.split`."""
        found: list[Record] = []
        start = 0
        while start + _BLOCK <= len(data) and data[start] != 0:
            header = data[start : start + _BLOCK]
            if header[257:262] != b"ustar" or header[156:157] not in (b"0", b"\0"):
                raise Declined("a member is no plain file")
            try:
                size = int(header[124:136].rstrip(b"\0 ") or b"0", 8)
            except ValueError as error:
                raise Declined("a member has no size") from error
            stop = start + _BLOCK + -(-size // _BLOCK) * _BLOCK
            if size < 0 or stop > len(data):
                raise Declined("the archive is cut short")
            name = header[:100].rstrip(b"\0")
            script = _SCRIPT.match(name)
            owner = script[1].decode("utf-8", "replace") if script is not None else ""
            found.append(Record(name, data[start:stop], (owner,)))
            start = stop
        if data[start:].strip(b"\0"):
            raise Declined("something follows the end of the archive")
        if found or data:
            found.append(Record(b"\xff", data[start:]))
        return found

    def join(self, records: Sequence[Record]) -> bytes:
        """The members, and one end."""
        members = [record.data for record in records if record.key != b"\xff"]
        ends = [record.data for record in records if record.key == b"\xff"]
        return b"".join([*members, *ends])


class CompressedTar(Tar):
    """The same in gzip, as apk has it since 3.0. What is merged is compressed anew; a side that is
    taken as it is stays as it is."""

    def merge(
        self,
        base: bytes | None,
        ours: bytes,
        theirs: bytes,
        decide: Decide = undecided,
        favour: str | None = None,
    ) -> tuple[bytes, tuple[Clash, ...]]:
        """See `Format.merge`."""
        before, here, there = (self._opened(data) for data in (base or b"", ours, theirs))
        merged, clashes = super().merge(before, here, there, decide, favour)
        known = {here: ours, there: theirs}
        return known.get(merged) or _packed(merged), clashes

    def compose(self, base: bytes, other: bytes, taken: Taken) -> bytes:
        """See `Format.compose`."""
        here, there = self._opened(base), self._opened(other)
        made = super().compose(here, there, taken)
        if made == there:
            return other
        return base if made == here else _packed(made)

    def _opened(self, data: bytes) -> bytes:
        if not data:
            return b""
        try:
            opened = zlib.decompressobj(wbits=_GZIP)
            found = opened.decompress(data, self.limit)
        except zlib.error as error:
            raise Declined("it is not compressed by gzip") from error
        if opened.unconsumed_tail or not opened.eof or opened.unused_data:
            raise Declined("it is too large, cut short, or something follows")
        return found


def _packed(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


class Certificates(Format):
    """PEM blocks (RFC 7468) with the lines before each; a certificate is a set's member."""

    noun = "a certificate"

    def split(self, data: bytes) -> list[Record]:
        """See `Format.split`."""
        found: list[Record] = []
        chunk: list[bytes] = []
        body: list[bytes] = []
        inside = False
        for line in lines_of(data):
            chunk.append(line)
            inside = inside or line.startswith(_BEGIN)
            if inside:
                body.append(line.strip())
            if inside and line.startswith(_END):
                found.append(Record(b"".join(body), b"".join(chunk)))
                chunk, body, inside = [], [], False
        if chunk:
            found.append(Record(b"\xff", b"".join(chunk)))
        return numbered(found)
