# SPDX-License-Identifier: Apache-2.0
"""Edits of config files leave git with the same settings as git's own edits do."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envgit.config_syntax import SettingsError
from envgit.repo import config
from tests.interop.dags import ENVIRONMENT

pytestmark = pytest.mark.peer("git>=2.30")

START = r"""# a comment
[core]
	bare = true ; why
	multi = one\
 two
[user] name = Ada ; in the header's line
[branch "x\"y\\z.w"]
	remote = origin
; the end
[core]
	other = "a ; b" # c
[empty]
[user]
	email = ada@example.org"""

NAMES = [
    "core.bare", "core.multi", "core.other", "user.name", "user.email", "new.key", "empty.x",
    'branch.x"y\\z.w.remote', 'branch.x"y\\z.w.merge', "branch.a b.c", "a.b.c.d",
]  # fmt: skip
VALUES = st.text(
    st.characters(min_codepoint=1, max_codepoint=0x17F, exclude_characters="\r"), max_size=12
)


def listed(path: Path) -> list[str]:
    text = subprocess.run(
        ["git", "config", "-f", str(path), "-z", "--list"],
        env=ENVIRONMENT, stdout=subprocess.PIPE, check=True,
    ).stdout.decode()  # fmt: skip
    return sorted(text.split("\0"))


def git(path: Path, *arguments: str) -> int:
    argv = ["git", "config", "-f", str(path), *arguments]
    return subprocess.run(argv, env=ENVIRONMENT, check=False, capture_output=True).returncode


EDITS = st.lists(
    st.tuples(st.sampled_from(["set", "add", "unset"]), st.sampled_from(NAMES), VALUES), max_size=8
)


@settings(max_examples=40)
@given(EDITS, st.booleans())
def test_same_settings(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[str, str, str]], empty: bool
) -> None:
    folder = tmp_path_factory.mktemp("config")
    ours, theirs = folder / "ours", folder / "theirs"
    for path in (ours, theirs):
        path.write_text("" if empty else START)
    for action, name, value in edits:
        if action == "set":
            # git refuses to set one of several values; ours sets the last, which is in force.
            values = [line for line in listed(ours) if line.startswith(f"{name}\n")]
            if len(values) > 1:
                continue
            config.set_value(str(ours), name, value)
            assert git(theirs, name, value) == 0
        elif action == "add":
            config.add_value(str(ours), name, value)
            assert git(theirs, "--add", name, value) == 0
        else:
            assert config.unset(str(ours), name) == (git(theirs, "--unset-all", name) == 0)
        assert listed(ours) == listed(theirs)
    if not empty:
        text = ours.read_text()
        assert text.startswith("# a comment\n") and "; the end\n" in text


@pytest.mark.parametrize(
    ("old", "new"),
    [("core", "kern"), ('branch.x"y\\z.w', "branch.plain"), ("user", "user.sub"),
     ("empty", None), ("core", None), ('branch.x"y\\z.w', None), ("nope", "x"), ("nope", None)],
)  # fmt: skip
def test_sections(tmp_path: Path, old: str, new: str | None) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for path in (ours, theirs):
        path.write_text(START)
    arguments = ("--remove-section", old) if new is None else ("--rename-section", old, new)
    assert config.rename_section(str(ours), old, new) == (git(theirs, *arguments) == 0)
    assert listed(ours) == listed(theirs)


def test_files_around(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    link.symlink_to("real")
    config.set_value(str(link), "user.name", "Ada")
    assert link.is_symlink() and real.read_text() == "[user]\n\tname = Ada\n"
    real.chmod(0o600)
    config.set_value(str(link), "user.name", "Bea")
    assert real.stat().st_mode & 0o777 == 0o600
    (tmp_path / "real.lock").touch()
    with pytest.raises(config.ConfigError):
        config.set_value(str(link), "user.name", "Cid")
    assert "Bea" in real.read_text()
    (tmp_path / "real.lock").unlink()
    real.write_text("[broken\n")
    with pytest.raises(SettingsError):
        config.set_value(str(link), "user.name", "Dan")
    assert real.read_text() == "[broken\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]


def test_upstream(tmp_path: Path) -> None:
    path = str(tmp_path / "config")
    assert config.upstream(str(tmp_path), "main") is None
    config.set_value(path, "branch.main.remote", "origin")
    config.set_value(path, "branch.main.merge", "refs/heads/trunk")
    assert config.upstream(str(tmp_path), "main") == "refs/remotes/origin/trunk"
    config.set_value(path, "branch.main.remote", ".")
    assert config.upstream(str(tmp_path), "main") == "refs/heads/trunk"
