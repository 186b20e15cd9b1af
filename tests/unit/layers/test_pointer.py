# SPDX-License-Identifier: Apache-2.0
"""Whoever reads a pointer rejects what it does not know."""

from __future__ import annotations

import pytest

from envgit.layers.entry import Entry, PointerError

SHA = "a" * 64
OWNED = "owner 0:0\nmtime 1\n"
GOOD = f"envgit-pointer 1\ntype file\nmode 0644\nowner 0:0\nmtime 1\nsize 2\nsha256 {SHA}\n"

BAD = {
    "empty": "",
    "another version": GOOD.replace("pointer 1", "pointer 2"),
    "another format": "version https://git-lfs.github.com/spec/v1\n",
    "no final newline": GOOD[:-1],
    "an unknown key": GOOD + "colour blue\n",
    "a key twice": GOOD.replace("size 2\n", "size 2\nsize 2\n"),
    "another order": GOOD.replace("mtime 1\nsize 2\n", "size 2\nmtime 1\n"),
    "a missing key": GOOD.replace("mtime 1\n", ""),
    "an unknown type": GOOD.replace("type file", "type door"),
    "a key of another type": GOOD + "target x\n",
    "opaque on a file": GOOD + "opaque\n",
    "a value after opaque": "envgit-pointer 1\ntype dir\nmode 0755\nowner 0:0\nopaque yes\n",
    "a short mode": GOOD.replace("0644", "644"),
    "a mode too large": GOOD.replace("0644", "10644"),
    "a negative owner": GOOD.replace("0:0", "-1:0"),
    "owner minus one": GOOD.replace("0:0", "4294967295:0"),
    "a plus": GOOD.replace("size 2", "size +2"),
    "an underscore": GOOD.replace("size 2", "size 1_0"),
    "white space": GOOD.replace("size 2", "size 2 "),
    "a carriage return": GOOD.replace("\n", "\r\n"),
    "upper-case sha256": GOOD.replace("a" * 64, "A" * 64),
    "a short sha256": GOOD.replace("a" * 64, "a" * 63),
    "attributes out of order": GOOD + "xattr user.b \nxattr user.a \n",
    "an attribute twice": GOOD + "xattr user.a \nxattr user.a \n",
    "overlayfs's attribute": GOOD + "xattr trusted.overlay.opaque eQ==\n",
    "bad base64": GOOD + "xattr user.a e\n",
    "base64 with spare bits": GOOD + "xattr user.a eR==\n",
    "links out of order": GOOD + "hardlink b\nhardlink a\n",
    "a link upwards": GOOD + "hardlink ../a\n",
    "an absolute link": GOOD + "hardlink /a\n",
    "needless escape": GOOD + "hardlink %61\n",
    "lower-case escape": GOOD + "hardlink %0a\n",
    "unescaped percent": GOOD + "hardlink 100%\n",
    "a whiteout with a mode": "envgit-pointer 1\ntype whiteout\nmode 0000\n",
    "a symlink to nothing": f"envgit-pointer 1\ntype symlink\nmode 0777\n{OWNED}target \n",
    "a whiteout as a device": f"envgit-pointer 1\ntype char\nmode 0600\n{OWNED}device 0:0\n",
    "an impossible device": (
        "envgit-pointer 1\ntype block\nmode 0600\nowner 0:0\nmtime 1\ndevice 4096:0\n"
    ),
    "a linked directory": "envgit-pointer 1\ntype dir\nmode 0755\nowner 0:0\nhardlink a\n",
}


def test_the_good_one_is_good() -> None:
    assert Entry.parse(GOOD.encode()).pointer() == GOOD.encode()


@pytest.mark.parametrize("what", BAD)
def test_everything_else_is_refused(what: str) -> None:
    with pytest.raises(PointerError):
        Entry.parse(BAD[what].encode())


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(PointerError):
        Entry.parse(b"\xff\xfe" + GOOD.encode())
