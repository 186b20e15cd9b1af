# SPDX-License-Identifier: Apache-2.0
"""What goes to stdout is data: quoting, colours and JSON as git users and scripts expect them."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envgit.cli import colour, editor
from envgit.cli.jsonify import dumps
from envgit.cli.output import Output
from envgit.cli.quoting import quote
from envgit.cli.suggest import similar
from envgit.settings import Entry, Settings


def output(environ: dict[str, str] | None = None, **values: str) -> tuple[Output, io.BytesIO]:
    """Output to a stream; ``values`` are settings, with ``_`` for the dot."""
    stream = io.BytesIO()
    entries = [
        Entry(name.replace("_", "."), value, "command", "command line:")
        for name, value in values.items()
    ]
    made = Output(
        stream,
        io.BytesIO(),
        environ=environ or {},
        settings=lambda: Settings(entries, {}),
    )
    return made, stream


@pytest.mark.parametrize(
    ("path", "quoted"),
    [
        (b"a b", "a b"),
        (b"tab\there", '"tab\\there"'),
        (b'q"uote\\', '"q\\"uote\\\\"'),
        (b"new\nline\x01", '"new\\nline\\001"'),
        ("ä".encode(), '"\\303\\244"'),
    ],
)
def test_paths_are_quoted_in_c_style(path: bytes, quoted: str) -> None:
    assert quote(path) == quoted


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@settings(max_examples=20, deadline=None)
@given(names=st.lists(st.binary(min_size=1, max_size=12), min_size=1, max_size=8))
def test_paths_are_quoted_as_git_does(
    names: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = os.fsencode(tmp_path_factory.mktemp("quote"))
    wanted = {name.replace(b"/", b"-").replace(b"\0", b"0") for name in names}
    wanted = {name for name in wanted if name not in (b".", b"..") and name[:4].lower() != b".git"}
    subprocess.run(["git", "init", "-q", folder], check=True)
    for name in wanted:
        with open(os.path.join(folder, name), "wb"):
            pass
    listed = subprocess.run(
        ["git", "ls-files", "-o"], cwd=folder, check=True, capture_output=True
    ).stdout
    assert sorted(listed.splitlines()) == sorted(os.fsencode(quote(name)) for name in wanted)


def test_unusual_bytes_pass_when_quotepath_is_off() -> None:
    out, _ = output(core_quotepath="false")
    assert out.path("ä\n".encode()) == '"ä\\n"'


@pytest.mark.parametrize(
    "words",
    ["red", "bold green", "normal red", "ul #12ff03 228", "nobold", "brightblue", "dim default"],
)
def test_colours_are_gits(words: str, tmp_path: Path) -> None:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    done = subprocess.run(
        ["git", "-c", f"color.x={words}", "config", "--get-color", "color.x"],
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    assert colour.escape(words) == done.stdout.decode()


@pytest.mark.parametrize("words", ["crimson", "red green blue", "#12", "300"])
def test_what_is_no_colour_is_refused(words: str) -> None:
    with pytest.raises(colour.ColourError):
        colour.escape(words)


def test_nothing_is_coloured_when_piped_unless_asked_for() -> None:
    out, _ = output({"TERM": "xterm"})
    assert out.paint("diff.old", "x") == "x"
    out.colour_for("diff", when="always")
    assert out.paint("diff.old", "x") == "\033[31mx\033[m"
    out, _ = output({"NO_COLOR": "1"}, color_ui="always")
    assert out.paint("diff.old", "x") == "x"
    out, _ = output(color_ui="always", color_diff_old="yellow")
    assert out.paint("diff.old", "x") == "\033[33mx\033[m"
    out, _ = output(color_ui="always", color_diff="never")
    out.colour_for("diff")
    assert out.paint("diff.old", "x") == "x"


class Kind(Enum):
    ONE = "one"


@dataclass(frozen=True, slots=True)
class Row:
    kind: Kind
    path: bytes
    rows: tuple[int, ...] = (1, 2)


def test_results_become_json() -> None:
    text = dumps([Row(Kind.ONE, "ä".encode()), {"x": None, "y": frozenset({2, 1})}])
    assert "ä" in text.decode()
    assert json.loads(text) == [
        {"kind": "one", "path": "ä", "rows": [1, 2]},
        {"x": None, "y": [1, 2]},
    ]


@given(st.binary())
def test_any_path_survives_json(path: bytes) -> None:
    read = json.loads(dumps({"path": path}))["path"]
    assert read.encode("utf-8", "surrogateescape") == path


def test_bytes_leave_as_they_came() -> None:
    out, stream = output()
    out.line(os.fsdecode(b"\xff\xfe"))
    out.close()
    assert stream.getvalue() == b"\xff\xfe\n"


@pytest.mark.parametrize(
    ("typed", "words"),
    [("sttaus", ["status"]), ("comit", ["commit"]), ("lo", ["log"]), ("zzzqqq", [])],
)
def test_likely_words_are_suggested(typed: str, words: list[str]) -> None:
    known = ["status", "commit", "log", "checkout", "completion", "mount"]
    assert similar(typed, known) == words


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("\n\nsubject  \n\n\n\nbody\n# no\n\n", "subject\n\nbody\n"),
        ("# only\n", ""),
        ("x\n# ------------------------ >8 ------------------------\ndiff", "x\n"),
    ],
)
def test_messages_are_cleaned_as_git_does(text: str, cleaned: str) -> None:
    assert editor.clean(text, comments=True) == cleaned
