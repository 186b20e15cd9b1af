# SPDX-License-Identifier: Apache-2.0
"""Reading a tar stream header by header: pure parsing, no file is touched.

All forms in use: POSIX.1-1988 ustar, POSIX.1-2017 pax, GNU tar's (long names, base-256 numbers,
sparse files in all of its four ways; GNU tar manual, "Tar Internals"), star's prefix and v7. Names
are bytes as they stand. What is hostile ends here: sizes, owners, times and devices that no
filesystem has, sparse maps that do not fit, headers that would fill the memory, damage.

Python's tarfile is not used: it reads names as text, times as floats and any header whole, takes
damage for the end, and needs three times as long for a small file as making that file does.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from envgit.layers.decompression import CHUNK, ArchiveError, Readable
from envgit.layers.entry import Kind

# A pax header holds attributes, which Linux limits to 64 kB each, and paths; it is in memory whole.
MAX_HEADER = 16 << 20
# Global headers count for each member again; git archive's comment is what they are used for.
_MAX_GLOBALS = 1 << 16
# Pieces of a sparse file. Each is 16 bytes at least in the archive, so this is a big database.
_MAX_PIECES = 1 << 20
PIECE = 1 << 18
"""Content comes in pieces of at most this many bytes, each but a last one of just so many."""

_BLOCK = 512
_ZERO_BLOCK = bytes(_BLOCK)

HARD_LINK = "link"
"""A `Member.kind` of its own: another name of what ``target`` names in the archive."""

_KINDS = {
    b"0": Kind.FILE,
    b"\0": Kind.FILE,
    b"7": Kind.FILE,
    b"S": Kind.FILE,
    b"1": HARD_LINK,
    b"2": Kind.SYMLINK,
    b"3": Kind.CHAR,
    b"4": Kind.BLOCK,
    b"5": Kind.DIR,
    b"6": Kind.FIFO,
}
_DEVICES = frozenset({Kind.CHAR, Kind.BLOCK})
_GNU_SPARSE = b"S"
_LONG_NAME, _LONG_LINK = b"L", b"K"
_PAX, _PAX_SOLARIS, _PAX_GLOBAL = b"x", b"X", b"g"
_PREFIXING = frozenset({_LONG_NAME, _LONG_LINK, _PAX, _PAX_SOLARIS, _PAX_GLOBAL})

_DECIMAL = re.compile(rb"(-?)([0-9]{1,18})(?:\.([0-9]*))?")
_XATTR = b"SCHILY.xattr."
_XATTR_BSD = b"LIBARCHIVE.xattr."
_ACL = b"SCHILY.acl."

Records = list[tuple[bytes, bytes]]


class Member:
    """One entry of an archive, with the attributes that `Entry` has for the same things.

    ``kind`` is one of `Kind` or `HARD_LINK`; ``name`` and ``target`` are as the archive has them.
    ``size`` is that of the file in bytes, ``stored`` what of it is in the archive, which
    ``pieces`` (offset, length) tells where to put, or None for all of it from the start.
    ``mtime_ns`` is nanoseconds since 1970; ``xattrs`` are unsorted and unfiltered, ``acl`` tells
    of ACLs in GNU tar's text form, which are not read.
    """

    __slots__ = (
        "acl",
        "gid",
        "kind",
        "mode",
        "mtime_ns",
        "name",
        "pieces",
        "rdev",
        "size",
        "stored",
        "target",
        "uid",
        "xattrs",
    )

    def __init__(self, kind: str, name: bytes) -> None:
        self.kind = kind
        self.name = name
        self.target = b""
        self.mode = self.uid = self.gid = self.size = self.stored = self.mtime_ns = 0
        self.rdev = (0, 0)
        self.pieces: list[tuple[int, int]] | None = None
        self.xattrs: list[tuple[bytes, bytes]] = []
        self.acl = False

    def __str__(self) -> str:
        return repr(os.fsdecode(self.name[:200]))


class Reader:
    """The members of a tar stream, one after the other. Raises `ArchiveError` throughout."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._data = b""
        self._at = 0
        # The offset in the archive of what is in `_data`.
        self._base = 0
        # Bytes of the current member that are still to come, with its padding.
        self._left = 0
        self._padding = 0
        self._globals: Records = []
        self._member_now = Member(Kind.FILE, b"")

    def next(self) -> Member | None:
        """The next member, or None at the end; what of the current one was not read is passed."""
        records: Records = []
        name = target = None
        while True:
            self._skip(self._left + self._padding)
            self._left = self._padding = 0
            start = self._base + self._at
            block = self._take(_BLOCK, start)
            if block == _ZERO_BLOCK:
                if records or name is not None or target is not None:
                    raise _cut(start)
                return None
            _check_sum(block, start)
            flag = block[156:157]
            if flag not in _PREFIXING:
                return self._member(block, flag, records, name, target, start)
            size = _field(block[124:136], start)
            if size > MAX_HEADER:
                raise ArchiveError(f"the archive has a header of {size} bytes")
            data = self._take(size, start)
            self._padding = -size % _BLOCK
            if flag == _LONG_NAME:
                name = data.partition(b"\0")[0]
            elif flag == _LONG_LINK:
                target = data.partition(b"\0")[0]
            elif flag == _PAX_GLOBAL:
                changed = list(_pax(data, start))
                keys = {key for key, _ in changed}
                self._globals = [r for r in self._globals if r[0] not in keys] + changed
                if sum(len(key) + len(value) for key, value in self._globals) > _MAX_GLOBALS:
                    raise ArchiveError(f"the archive has global headers of {size} bytes")
            else:
                records = list(_pax(data, start))

    def content(self) -> Iterator[tuple[int, bytes]]:
        """The current member's content in pieces, each with the offset it has in the file."""
        member = self._member_now
        for offset, length in member.pieces or ((0, member.stored),):
            position, end = offset, offset + length
            while position < end:
                size = min(PIECE, end - position)
                data = self._some(size)
                self._left -= size
                yield position, data
                position += size

    def _member(
        self,
        block: bytes,
        flag: bytes,
        records: Records,
        name: bytes | None,
        target: bytes | None,
        start: int,
    ) -> Member:
        kind = _KINDS.get(flag)
        if name is None:
            name = _name(block)
        if kind is None:
            shown = os.fsdecode(name[:200])
            raise ArchiveError(f"{shown!r} is of a type unknown here: {flag!r}")
        if flag == b"\0" and name.endswith(b"/"):
            kind = Kind.DIR  # as v7 wrote directories
        member = Member(kind, name)
        member.target = target if target is not None else block[157:257].partition(b"\0")[0]
        # The bits of the type that some writers put there, too, are none of ours.
        member.mode = _field(block[100:108], start) & 0o7777
        member.uid = _field(block[108:116], start, signed=True)
        member.gid = _field(block[116:124], start, signed=True)
        stored = _field(block[124:136], start, signed=True)
        member.mtime_ns = _field(block[136:148], start, signed=True) * 1_000_000_000
        if kind in _DEVICES:
            rdev = (_field(block[329:337], start), _field(block[337:345], start))
            member.rdev = rdev
        sparse: Records = []
        if self._globals:
            records = [r for r in self._globals if not r[0].startswith(b"GNU.sparse.")] + records
        for key, value in records:
            if key == b"size" and value:
                stored = _integer(value, member)
            elif key.startswith(b"GNU.sparse."):
                sparse.append((key[11:], value))
            else:
                _apply(member, key, value)
        if stored < 0:
            raise ArchiveError(f"{member} has an impossible size: {stored}")
        if kind != Kind.FILE:
            stored = 0  # only files have content, whatever the header says (POSIX.1-2017, pax)
        self._left, self._padding = stored, -stored % _BLOCK
        member.size = member.stored = stored
        if flag == _GNU_SPARSE:
            self._old_sparse(block, member, start)
        elif sparse and kind == Kind.FILE:
            self._pax_sparse(sparse, member, start)
        _check(member)
        self._member_now = member
        return member

    def _old_sparse(self, block: bytes, member: Member, start: int) -> None:
        """GNU tar's old way: the map is in the header and in blocks that follow it."""
        pieces: list[tuple[int, int]] = []
        _map_fields(block[386:482], pieces, start)
        more = block[482]
        while more:
            extension = self._take(_BLOCK, start)
            _map_fields(extension[:504], pieces, start)
            more = extension[504]
            if len(pieces) > _MAX_PIECES:
                raise ArchiveError(f"{member} is sparse in more than {_MAX_PIECES} pieces")
        member.size = _field(block[483:495], start)
        member.pieces = pieces

    def _pax_sparse(self, records: Records, member: Member, start: int) -> None:
        """GNU tar's ways in pax: pairs of records (0.0), one list (0.1), before the data (1.0)."""
        fields = dict(records)
        if fields.get(b"name"):
            member.name = fields[b"name"]
        size = fields.get(b"realsize", fields.get(b"size"))
        if size is not None:
            member.size = _integer(size, member)
        if fields.get(b"major") == b"1":
            member.pieces = self._map_in_data(member, start)
            return
        if b"map" in fields:
            numbers = [_integer(text, member) for text in fields[b"map"].split(b",") if text]
        else:
            numbers = [_integer(v, member) for k, v in records if k in (b"offset", b"numbytes")]
        if len(numbers) % 2 or len(numbers) > 2 * _MAX_PIECES:
            raise ArchiveError(f"{member} has an impossible sparse map")
        member.pieces = list(zip(numbers[::2], numbers[1::2], strict=True))

    def _map_in_data(self, member: Member, start: int) -> list[tuple[int, int]]:
        text = b""
        wanted: int | None = None
        numbers: list[int] = []
        while wanted is None or len(numbers) < wanted:
            if member.stored < _BLOCK or len(text) > _BLOCK:
                raise ArchiveError(f"{member} has an impossible sparse map")
            lines = (text + self._take(_BLOCK, start)).split(b"\n")
            member.stored -= _BLOCK
            self._left -= _BLOCK
            text = lines.pop()
            values = [_integer(line, member) for line in lines if line.strip(b"\0")]
            if wanted is None and values:
                wanted = 2 * values.pop(0)
                if wanted > 2 * _MAX_PIECES:
                    raise ArchiveError(f"{member} is sparse in more than {_MAX_PIECES} pieces")
            numbers.extend(values)
        return list(zip(numbers[0:wanted:2], numbers[1:wanted:2], strict=True))

    def _fill(self) -> bool:
        self._base += len(self._data)
        self._data = self._stream.read(CHUNK)
        self._at = 0
        return bool(self._data)

    def _take(self, size: int, start: int) -> bytes:
        """Just ``size`` bytes of headers; ``start`` is where the member begins, for the error."""
        end = self._at + size
        if end <= len(self._data):
            data = self._data[self._at : end]
            self._at = end
            return data
        data = self._some(size)
        if len(data) < size:
            raise _cut(start)
        return data

    def _some(self, size: int) -> bytes:
        """Just ``size`` bytes of content."""
        end = self._at + size
        if end <= len(self._data):
            data = self._data[self._at : end]
            self._at = end
            return data
        parts = []
        left = size
        while left:
            if self._at >= len(self._data) and not self._fill():
                raise _cut(self._base + self._at)
            part = self._data[self._at : self._at + left]
            self._at += len(part)
            left -= len(part)
            parts.append(part)
        return b"".join(parts)

    def _skip(self, size: int) -> None:
        while size:
            if self._at >= len(self._data) and not self._fill():
                raise _cut(self._base + self._at)
            step = min(size, len(self._data) - self._at)
            self._at += step
            size -= step


def _cut(at: int) -> ArchiveError:
    # A missing end looks like any other cut, so it cannot be let pass.
    return ArchiveError(f"the archive is cut short or damaged at byte {at}")


def _check_sum(block: bytes, start: int) -> None:
    """Reject a header whose checksum is wrong, whether its bytes were summed unsigned or signed."""
    # The checksum's own field counts as spaces.
    total = sum(block) - sum(block[148:156]) + 256
    told = _field(block[148:156], start)
    if told != total:
        signed = total - 256 * sum(byte > 127 for byte in block[:148] + block[156:])
        if told != signed:
            raise _cut(start)


def _field(field: bytes, start: int, *, signed: bool = False) -> int:
    """A number in a header: octal, or base 256 where the first bit is set, as GNU tar writes."""
    if field[0] & 0x80:
        bits = 8 * len(field) - 1
        value = int.from_bytes(field, "big") & ((1 << bits) - 1)
        if field[0] & 0x40:
            value -= 1 << bits
    else:
        text = field.partition(b"\0")[0].strip()
        try:
            value = int(text, 8) if text else 0
        except ValueError:
            raise _cut(start) from None
    if value < 0 and not signed:
        raise _cut(start)
    return value


def _name(block: bytes) -> bytes:
    name = block[:100].partition(b"\0")[0]
    prefix = b""
    if block[257:263] == b"ustar\0":
        # star has times in what POSIX gives to a longer prefix, and says so at the end.
        end = 476 if block[508:512] == b"tar\0" else 500
        prefix = block[345:end].partition(b"\0")[0]
    return prefix + b"/" + name if prefix else name


def _map_fields(data: bytes, pieces: list[tuple[int, int]], start: int) -> None:
    for at in range(0, len(data), 24):
        entry = data[at : at + 24]
        if entry[0] == 0:
            return
        pieces.append((_field(entry[:12], start), _field(entry[12:], start)))


def _pax(data: bytes, start: int) -> Iterator[tuple[bytes, bytes]]:
    """The records of a pax header: ``"%d %s=%s\\n"``, where the number counts the whole."""
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + 20)
        digits = data[at:space]
        if space < 0 or not digits.isdigit():
            if not data[at:].strip(b"\0"):
                return
            raise _cut(start)
        end = at + int(digits)
        if end <= space or end > len(data) or data[end - 1] != 0x0A:
            raise _cut(start)
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not equals or not key:
            raise _cut(start)
        yield key, value
        at = end


def _apply(member: Member, key: bytes, value: bytes) -> None:
    """Let one pax record have its say about a member."""
    if key.startswith(_XATTR):
        # GNU tar writes "=", at which a keyword ends, as %3D and "%" as %25.
        name = key[len(_XATTR) :].replace(b"%3D", b"=").replace(b"%25", b"%")
        _attribute(member, name, value)
    elif key.startswith(_XATTR_BSD):
        # As bsdtar writes them: the name percent-encoded, the value in base 64 unpadded.
        try:
            data = base64.b64decode(value + b"=" * (-len(value) % 4))
        except (binascii.Error, ValueError):
            raise ArchiveError(f"{member} has a damaged attribute") from None
        _attribute(member, unquote_to_bytes(key[len(_XATTR_BSD) :]), data)
    elif key.startswith(_ACL):
        member.acl = True
    elif not value:
        return  # an empty value means that the header's own counts (POSIX.1-2017, pax)
    elif key == b"path":
        member.name = value
    elif key == b"linkpath":
        member.target = value
    elif key == b"uid":
        member.uid = _integer(value, member)
    elif key == b"gid":
        member.gid = _integer(value, member)
    elif key == b"mtime":
        member.mtime_ns = _nanoseconds(value, member)


def _attribute(member: Member, name: bytes, value: bytes) -> None:
    if not 0 < len(name) <= 255 or b"\0" in name or len(value) > 1 << 16:
        raise ArchiveError(f"{member} has an impossible attribute {name[:60]!r}")
    member.xattrs.append((name, value))


def _integer(text: bytes, member: Member) -> int:
    match = _DECIMAL.fullmatch(text)
    if match is None:
        shown = text[:60].decode("utf-8", "backslashreplace")
        raise ArchiveError(f"{member} has an impossible number: {shown!r}")
    return -int(match[2]) if match[1] else int(match[2])


def _nanoseconds(text: bytes, member: Member) -> int:
    match = _DECIMAL.fullmatch(text)
    if match is None:
        shown = text[:60].decode("utf-8", "backslashreplace")
        raise ArchiveError(f"{member} has an impossible time: {shown!r}")
    fraction = int(((match[3] or b"") + b"000000000")[:9])
    value = int(match[2]) * 1_000_000_000 + fraction
    return -value if match[1] else value


def _check(member: Member) -> None:
    """Reject values that no filesystem holds, before they reach a system call."""
    for number in (member.uid, member.gid):
        # (uid_t)-1 means "leave it alone" to chown(2) and is no owner.
        if not 0 <= number < 2**32 - 1:
            raise ArchiveError(f"{member} has an impossible owner: {number}")
    if not -(10**27) < member.mtime_ns < 10**27:
        raise ArchiveError(f"{member} has an impossible time: {member.mtime_ns // 10**9}")
    if member.size < 0 or member.size >= 2**63:
        raise ArchiveError(f"{member} has an impossible size: {member.size}")
    if member.kind == Kind.SYMLINK and (not member.target or b"\0" in member.target):
        raise ArchiveError(f"{member} is a symlink to nothing")
    if member.kind in _DEVICES:
        # A 12-bit major and a 20-bit minor (linux/kdev_t.h).
        major, minor = member.rdev
        if not (0 <= major < 2**12 and 0 <= minor < 2**20):
            raise ArchiveError(f"{member} is an impossible device: {major}:{minor}")
    if member.pieces is not None:
        end = total = 0
        for offset, length in member.pieces:
            if offset < end or length < 0:
                raise ArchiveError(f"{member} has an impossible sparse map")
            end = offset + length
            total += length
        if end > member.size or total != member.stored:
            raise ArchiveError(f"{member} has an impossible sparse map")
