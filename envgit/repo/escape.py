# SPDX-License-Identifier: Apache-2.0
"""Writes any file name as one that git and libgit2 accept in a tree, and reads it back.

Linux allows every byte but NUL and ``/`` in a name. git's ``fsck --strict`` and libgit2 refuse, or
give a meaning to, names that are ``.git`` in some spelling: other case, code points that HFS+
ignores, the 8.3 short names of NTFS. People who look at a repository with git want to see UTF-8.
Hence the rules, each of which writes a byte as ``%`` and two upper-case hexadecimal digits:

1. ``%``, ``\\``, bytes below 0x20, 0x7f, and bytes that are not part of valid UTF-8, anywhere;
2. the dot of a name that begins with ``.git`` in any case once the code points that HFS+ ignores
   are dropped (git's utf8.c, ``next_hfs_char``);
3. the ``~`` of a name that could be the short name of such a file on NTFS: ``git~1``, and what
   git's path.c, ``is_ntfs_dot_generic``, takes for ``.gitmodules``, ``.gitattributes``,
   ``.gitignore`` and ``.mailmap`` (``gitmod~1``, ``gi7eba~1``, ``~1234567``).

Laws, tested as properties: ``unescape(escape(name)) == name``; an escaped name is valid UTF-8 that
git and libgit2 accept; ``unescape`` takes nothing that ``escape`` does not produce, so that equal
trees have equal ids. :data:`DIRECTORY_ENTRY` is no escaped name: ``di`` are not hexadecimal digits.
"""

from __future__ import annotations

import re

from envgit.errors import EnvgitError

DIRECTORY_ENTRY = b"%dir"
"""The entry in each tree that holds the pointer of the directory itself."""

# Names that need a closer look. Everything else, which is nearly every name, is its own escape.
_SUSPICIOUS = re.compile(rb"[\x00-\x1f%\\\x7f-\xff]|~|\A\.[gG]")
_ALWAYS = re.compile(rb"[\x00-\x1f%\\\x7f]")
_NTFS_SHORT = re.compile(rb"\A(?:g[a-z0-9]{0,5}|ma[a-z0-9]{0,4})?~[0-9]", re.IGNORECASE)
_HFS_IGNORED = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
_NOT_UTF8 = re.compile("[\udc80-\udcff]")
_CODE = re.compile(rb"%([0-9A-F]{2})")


class EscapeError(EnvgitError):
    """A name in a git tree that envgit cannot have written."""


def escape(name: bytes) -> bytes:
    """The git-safe form of a file name. ``name`` is one component, without ``/`` and NUL."""
    if _SUSPICIOUS.search(name) is None:
        return name
    name = _ALWAYS.sub(_percent, name)
    text = name.decode("utf-8", "surrogateescape")
    if _HFS_IGNORED.sub("", text)[:4].lower() == ".git":
        text = text.replace(".", "%2E", 1)
    elif _NTFS_SHORT.match(name):
        text = text.replace("~", "%7E", 1)
    return _NOT_UTF8.sub(_percent_surrogate, text).encode()


def unescape(name: bytes) -> bytes:
    """The file name that ``name`` stands for; raises EscapeError for what escape() never writes."""
    plain = _CODE.sub(_byte, name) if b"%" in name else name
    if (_SUSPICIOUS.search(name) is not None or plain in (b"", b".", b"..")) and (
        plain in (b"", b".", b"..") or b"/" in plain or b"\0" in plain or escape(plain) != name
    ):
        raise EscapeError(f"not a name that envgit writes into a tree: {name!r}")
    return plain


def _percent(match: re.Match[bytes]) -> bytes:
    return b"%%%02X" % match[0][0]


def _percent_surrogate(match: re.Match[str]) -> str:
    return f"%{ord(match[0]) - 0xDC00:02X}"


def _byte(match: re.Match[bytes]) -> bytes:
    return bytes([int(match[1], 16)])
