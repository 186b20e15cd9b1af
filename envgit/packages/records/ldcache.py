# SPDX-License-Identifier: Apache-2.0
"""``etc/ld.so.cache`` of glibc, by entry (sysdeps/generic/dl-cache.h and elf/cache.c of glibc).

::

    char magic[20] = "glibc-ld.so.cache1.1"
    u32 entries, u32 bytes of strings, u8 byte order (2: little endian), u8 pad[3],
    u32 offset of the extensions or 0, u32 unused[3]
    entry: s32 flags, u32 offset of the name, u32 offset of the path, u32 unused, u64 hwcap
    extensions: u32 0xEAA42174, u32 count, sections of u32 tag, u32 flags, u32 offset, u32 size
    tag 0: what made it; tag 1: offsets of the names of glibc-hwcaps directories

Offsets count from the magic. Before glibc 2.32 an older cache stood before it, which no glibc since
2.2 needs: what is written here is without one. Entries are in the order that the loader's binary
search expects; ``hwcap`` with bit 62 holds an index of the names of tag 1.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cmp_to_key
from typing import NamedTuple

from envgit.packages.records.model import Declined, Format, Record

MAGIC = b"glibc-ld.so.cache1.1"
_OLD = b"ld.so-1.7.0\0"
_HEAD = struct.Struct("<20sIIB3xI12x")
_ENTRY = struct.Struct("<iIIIQ")
_EXTENSIONS, _SECTION = struct.Struct("<II"), struct.Struct("<IIII")
_EXTENSION_MAGIC = 0xEAA42174
_GENERATOR, _HWCAPS = 0, 1
_BY_NAME = 1 << 62
_LITTLE = 2
_MOST = 1 << 20


class Library(NamedTuple):
    """A library in the cache; ``hwcap`` is bits, or the name of a directory of glibc-hwcaps."""

    name: bytes
    flags: int
    hwcap: int | bytes
    path: bytes
    unused: int


def read(data: bytes) -> tuple[list[Library], bytes]:
    """The libraries, and who made the cache. Raises Declined."""
    start = 0
    if data.startswith(_OLD):
        start = data.find(MAGIC)
    if data[start : start + len(MAGIC)] != MAGIC or start < 0:
        raise Declined("it is no cache of glibc's")
    data = data[start:]
    try:
        return _read(data)
    except (struct.error, IndexError, ValueError) as error:
        raise Declined("the cache is damaged") from error


def _read(data: bytes) -> tuple[list[Library], bytes]:
    _, count, _, order, extensions = _HEAD.unpack_from(data)
    if order not in (0, _LITTLE) or count > _MOST:
        raise Declined("the cache is of another byte order")
    generator, directories = b"", []
    if extensions:
        magic, sections = _EXTENSIONS.unpack_from(data, extensions)
        if magic != _EXTENSION_MAGIC or sections > 64:
            raise Declined("the cache's extensions are not known")
        for number in range(sections):
            place = extensions + _EXTENSIONS.size + number * _SECTION.size
            tag, _, offset, size = _SECTION.unpack_from(data, place)
            if offset + size > len(data):
                raise Declined("the cache is cut short")
            if tag == _GENERATOR:
                generator = data[offset : offset + size]
            elif tag == _HWCAPS:
                places = struct.unpack_from(f"<{size // 4}I", data, offset)
                directories = [_string(data, at) for at in places[:4096]]
            else:
                raise Declined("the cache has an extension that is not known")
    found = []
    for number in range(count):
        flags, name, path, unused, bits = _ENTRY.unpack_from(
            data, _HEAD.size + number * _ENTRY.size
        )
        hwcap: int | bytes = bits
        if bits & _BY_NAME and bits >> 32 == _BY_NAME >> 32:
            hwcap = directories[bits & 0xFFFFFFFF]
        found.append(Library(_string(data, name), flags, hwcap, _string(data, path), unused))
    return found, generator


def write(libraries: Sequence[Library], generator: bytes) -> bytes:
    """A cache of these libraries."""
    ordered = sorted(libraries, key=_ORDER)
    directories = sorted({one.hwcap for one in ordered if isinstance(one.hwcap, bytes)})
    strings = bytearray()
    places: dict[bytes, int] = {}
    start = _HEAD.size + len(ordered) * _ENTRY.size

    def place(text: bytes) -> int:
        if text not in places:
            places[text] = start + len(strings)
            strings.extend(text + b"\0")
        return places[text]

    entries = []
    for one in ordered:
        bits = one.hwcap
        if isinstance(bits, bytes):
            bits = _BY_NAME | directories.index(bits)
        entries.append(_ENTRY.pack(one.flags, place(one.name), place(one.path), one.unused, bits))
    named = [place(name) for name in directories]
    size = len(strings)
    extensions = -(-(start + size) // 4) * 4 if generator or named else 0
    head = _HEAD.pack(MAGIC, len(ordered), size, _LITTLE, extensions)
    body = head + b"".join(entries) + bytes(strings)
    if not extensions:
        return body
    return body.ljust(extensions, b"\0") + _sections(extensions, generator, named)


def _sections(start: int, generator: bytes, named: Sequence[int]) -> bytes:
    wanted = [(_GENERATOR, generator)] if generator else []
    if named:
        wanted.append((_HWCAPS, struct.pack(f"<{len(named)}I", *named)))
    # The array of offsets is aligned, so that it goes first.
    wanted.sort(key=lambda one: one[0] != _HWCAPS)
    offset = start + _EXTENSIONS.size + len(wanted) * _SECTION.size
    rows, bodies = [], b""
    for tag, body in wanted:
        rows.append((tag, _SECTION.pack(tag, 0, offset + len(bodies), len(body))))
        bodies += body
    rows.sort()
    head = _EXTENSIONS.pack(_EXTENSION_MAGIC, len(rows))
    return head + b"".join(row for _, row in rows) + bodies


class LoaderCache(Format):
    """The cache as a file of entries."""

    noun = "the library"

    def split(self, data: bytes) -> list[Record]:
        """An entry each, and who made the cache; not the bytes of the file."""
        if not data:
            return []
        libraries, generator = read(data)
        found: dict[bytes, Record] = {b"": Record(b"", generator)}
        for one in libraries:
            hwcap = one.hwcap if isinstance(one.hwcap, bytes) else b"%d" % one.hwcap
            key = b"\0".join((one.name, b"%d" % one.flags, hwcap, one.path))
            owner = one.path.decode("utf-8", "surrogateescape")
            found[key] = Record(key, repr(tuple(one)).encode(), (owner,))
        return list(found.values())

    def join(self, records: Sequence[Record]) -> bytes:
        """A cache with these entries."""
        libraries, generator = [], b""
        for record in records:
            if not record.key:
                generator = record.data
                continue
            name, flags, hwcap, path = record.key.split(b"\0")
            bits: int | bytes = int(hwcap) if hwcap.isdigit() else hwcap
            libraries.append(Library(name, int(flags), bits, path, 0))
        return write(libraries, generator)


def _string(data: bytes, start: int) -> bytes:
    end = data.index(b"\0", start, start + 65536)
    return data[start:end]


def _compare_names(one: bytes, other: bytes) -> int:
    """glibc's _dl_cache_libcmp: digits by their number, and a digit after what is none."""
    left, right = 0, 0
    while left < len(one):
        mine = one[left : left + 1]
        its = other[right : right + 1]
        if mine.isdigit():
            if not its.isdigit():
                return 1
            first, second = left, right
            while left < len(one) and one[left : left + 1].isdigit():
                left += 1
            while right < len(other) and other[right : right + 1].isdigit():
                right += 1
            numbers = int(one[first:left][:400]), int(other[second:right][:400])
            if numbers[0] != numbers[1]:
                return 1 if numbers[0] > numbers[1] else -1
        elif its.isdigit():
            return -1
        elif mine != its:
            return 1 if mine > its else -1
        else:
            left, right = left + 1, right + 1
    return -1 if right < len(other) else 0


def _compare(one: Library, other: Library) -> int:
    """elf/cache.c, compare(): names backwards, then flags, directories of glibc-hwcaps, bits."""
    names = _compare_names(other.name, one.name)
    if names:
        return names
    if one.flags != other.flags:
        return 1 if one.flags < other.flags else -1
    mine, its = one.hwcap, other.hwcap
    if isinstance(mine, bytes) != isinstance(its, bytes):
        return -1 if isinstance(mine, bytes) else 1
    if mine == its:
        return 0
    if isinstance(mine, bytes) and isinstance(its, bytes):
        return -1 if mine < its else 1
    assert isinstance(mine, int) and isinstance(its, int)
    return -1 if mine > its else 1


_ORDER = cmp_to_key(_compare)
