# SPDX-License-Identifier: Apache-2.0
"""We read settings files as git does: the same values, or the same word about the same line."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envgit.config_syntax import SettingsError, parse, parse_bool, parse_int
from envgit.settings import read_file

pytestmark = pytest.mark.peer("git>=2.30")

FILES = [
    b"",
    b"[a]\n\tb = c\n",
    b"[a]b=c",
    b'[a "x\\"y\\\\z\\q"]\nk\n',
    b'[a "x\ny"]\nk=1',
    b"[a.B.c]\nk=1",
    b"[a b]\nk=1",
    b'[a "b" ]k=1',
    b'[A.B "c"]\nK=1\n',
    b"[]\nk=1\n",
    b"[-a]\nk=1\n",
    b'["a"]k=1',
    b'[ "a"]k=1',
    b'[a ""]k=1',
    b'[a  "b"]k=1',
    b'[a\t"b"]k=1',
    b'[a."b"]k=1',
    b"[a",
    b'[a "b"',
    b'[a "b"\n',
    b'[a "b',
    b'[a "b\n',
    b'[a \n"b"]',
    b"[a\n",
    b'[a]\n k = "a;b" ; c\n',
    b"[a]\nk = a  b # x",
    b'[a]\nk= "  a  " b "',
    b"[a]\nk=a\\\n  b\n",
    b'[a]\nk=\\n\\t\\b\\\\\\"x\n',
    b"[a]\nk=\\q\n",
    b"k=1\n",
    b"[a]\n1k=1\n",
    b"[a]\nk1-x=1\n",
    b"[a]\nk_x=1\n",
    b"[a]\nk x=1\n",
    b"[a]\nk\t\n",
    b"[a]k # c\n",
    b"[a]k \\\n=1\n",
    b"\xef\xbb\xbf[a]k\n",
    b"\xef\xbb[a]k\n",
    b"[a]k=1\r\nj=2\r\n",
    b"[a]k=1\r",
    b"[a]k\r\n",
    b'[a]k="x\\\ny"\n',
    b"[a]k=x\\",
    b'[a]k="x\\',
    b"[a]k=x \\\n",
    b"[a]k=1 \\\n # x\n",
    b'[a]k=" x\n',
    b'[a]k=" x',
    b"[a]\nk=a#b\n",
    b"[a]\nk=a;b\n",
    b"#c\\\n[a]k=1",
    b"[a]k=   \n",
    b'[a]k=""\n',
    b'[a]k="" x',
    b'[a]k=  "" x',
    b"[a]\n\xc3\xa9=1\n",
    b"[a]k=\xff\xfe\n",
    b"[a]k= \x01\x7f\n",
    b"[a]k=a\0b\n",
    b'[a "b\0c"]k',
    b"\f[a]\v k=1\v\n",
    b"[a]k=\va\f\n",
    b'\n\n[a]\n\n#x\nk="\\\n\\\n\\y',
    b"[a]\nk=1\\\n2\nj k",
]

NUMBERS = [
    *("0", "1", "-1", "7k", "7K", "3m", "2g", "1g", "0x1F", "010", "08", "+5", "1kb", "k", "1.5"),
    *("true", "Yes", "ON", "no", "Off", "false", "truth", "00", "-0", "1_0", "- 1", "0x", "-2g"),
    *("9223372036854775807", "9223372036854775808", "99999999999g", "2147483647", "2147483648"),
]

# Before 2.45 git made each tab between words a space, against its own manual.
_BLANKS = bytes.maketrans(b"\t\r", b"  ")
_VALUES = st.lists(
    st.sampled_from(
        [
            "a",
            "B",
            "é",
            " ",
            "  ",
            '"',
            '"x\ty"',
            "\\\\",
            '\\"',
            "\\n",
            "\\t",
            "\\\n",
            ";",
            "#",
            "=",
            "\\",
            "[",
            "]",
        ]
    ),
    max_size=8,
).map("".join)
_HEADERS = st.sampled_from(
    ["[a]", "[A.b]", '[a "S.t"]', '[a "q\\"\\\\"]', '[a ""]', "[a", "[a b]", "[ a]", '[x-1 "é"]\t']
)
_KEYS = st.sampled_from(["k", "Key-1", "k ", "k\t", "1k", "k_", ""])
_LINES = st.one_of(
    _HEADERS,
    st.builds("{}={}".format, _KEYS, _VALUES),
    st.builds(" {} = {}".format, _KEYS, _VALUES),
    _KEYS,
    st.sampled_from(["", "  ", "# comment", "; x", "\\", "[a] k=v # c", "\r"]),
)
GENERATED = st.lists(_LINES, max_size=7).flatmap(
    lambda lines: st.sampled_from(["\n", "\r\n"]).map(
        lambda end: end.join(["[s]", *lines]).encode()
    )
)


def by_git(path: Path, *options: str) -> bytes | str:
    done = subprocess.run(
        ["git", "config", "--file", path.name, *options, "--list", "-z"],
        cwd=path.parent,
        capture_output=True,
        check=False,
    )
    if done.returncode == 0:
        return done.stdout
    return done.stderr.decode().strip().removeprefix("fatal: ")


def by_us(data: bytes) -> bytes | str:
    try:
        items = parse(data, "file config")
    except SettingsError as error:
        return error.message
    return b"".join(_line(item.name, item.value) for item in items)


def _line(name: str, value: str | None) -> bytes:
    text = name if value is None else f"{name}\n{value}"
    return text.encode("utf-8", "surrogateescape") + b"\0"


@pytest.mark.parametrize("data", FILES)
def test_odd_files(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "config").write_bytes(data)
    assert by_us(data) == by_git(tmp_path / "config")


@given(data=GENERATED)
def test_generated_files(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "config"
    path.write_bytes(data)
    assert by_us(data) == by_git(path)


@given(data=st.text(alphabet='[]ab="\\ #;\n.k\t\r', max_size=24).map(lambda text: text.encode()))
@settings(max_examples=150)
def test_line_noise(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "config"
    path.write_bytes(data)
    ours, theirs = by_us(data), by_git(path)
    if isinstance(ours, bytes) and isinstance(theirs, bytes):
        ours, theirs = (text.translate(_BLANKS) for text in (ours, theirs))
    assert ours == theirs


def test_includes(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "config").write_text(
        "[a] k = 1\n[include] path = sub/one\n[a] k = 4\n[include]\npath = ~/three\npath = none\n"
    )
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/one").write_text("[a] k = 2\n[include] path = ../two\n")
    (tmp_path / "two").write_text("[a] k = 3\n")
    (home / "three").write_text("[a] k = 5\n")
    done = subprocess.run(
        ["git", "config", "--file", "config", "--includes", "--list", "-z"],
        cwd=tmp_path,
        env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=True,
    )
    ours = read_file(str(tmp_path / "config"), {"HOME": str(home)})
    assert b"".join(_line(entry.name, entry.value) for entry in ours) == done.stdout


@pytest.mark.parametrize("kind", ["int", "bool"])
@pytest.mark.parametrize("text", NUMBERS)
def test_values(tmp_path: Path, kind: str, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(f'[a]\n\tk = "{text}"\n')
    done = subprocess.run(
        ["git", "config", "--file", str(path), "--type", kind, "a.k"],
        capture_output=True,
        text=True,
        check=False,
    )
    read: Callable[[str], int | bool | None] = parse_int if kind == "int" else parse_bool
    try:
        ours = read(text)
    except ValueError:
        ours = None
    expected = done.stdout.strip() if done.returncode == 0 else "None"
    assert str(ours).lower() == expected.lower()
