# SPDX-License-Identifier: Apache-2.0
"""Settings: which level wins, what values mean, and errors that name file and line."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit import settings
from envgit.config_syntax import SettingsError, canonical, parse, parse_age, parse_bool, parse_int
from envgit.settings import KNOWN, Settings


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "home").mkdir()
    return {"HOME": str(tmp_path / "home"), "ENVGIT_CONFIG_SYSTEM": str(tmp_path / "system")}


def load(
    environ: Mapping[str, str], text: str = "", *overrides: tuple[str, str | None]
) -> Settings:
    file = Path(environ["HOME"], "repository-config")
    file.write_text(text)
    return Settings.load(environ=environ, repository=str(file), overrides=overrides)


def test_levels_rise_from_git_to_the_command_line(environ: dict[str, str]) -> None:
    home = Path(environ["HOME"])
    (home / ".config/git").mkdir(parents=True)
    (home / ".config/envgit").mkdir()
    files = [
        home / ".config/git/config",
        home / ".gitconfig",
        Path(environ["ENVGIT_CONFIG_SYSTEM"]),
        home / ".config/envgit/config",
        home / ".envgitconfig",
    ]
    for number, file in enumerate(files):
        file.write_text(f"[user]\n\tname = {number}\n")
    found = load(environ, "[User]NAME = 5", ("user.Name", "6"))
    assert found.get_all("user.name") == list("0123456")
    assert found.get("user.name") == "6"
    assert [entry.level for entry in found.entries] == [
        *["git"] * 2,
        "system",
        *["global"] * 2,
        "local",
        "command",
    ]
    assert [entry.origin for entry in found.entries] == [
        *[f"file:{file}" for file in files],
        f"file:{home}/repository-config",
        "command line:",
    ]


def test_from_git_comes_who_you_are_and_nothing_that_runs(environ: dict[str, str]) -> None:
    Path(environ["HOME"], ".gitconfig").write_text(
        "[user] name = Ada\n email = a@b\n signingkey = k\n[alias] x = !rm\n"
        "[core] editor = ed\n pager = p\n hooksPath = /evil\n fsmonitor = evil\n"
        "[init] defaultBranch = trunk\n templateDir = t\n[color] ui = never\n"
        '[color "diff"] old = red\n[include] path = more\n[safe] directory = *\n'
    )
    Path(environ["HOME"], "more").write_text("[user] email = c@d\n[core] store = /x\n")
    assert load(environ).names() == [
        "color.diff.old",
        "color.ui",
        "core.editor",
        "core.pager",
        "init.defaultbranch",
        "user.email",
        "user.name",
    ]
    assert load(environ).get("user.email") == "c@d"


def test_levels_can_be_pointed_elsewhere(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "system").write_text("[a] k = system")
    (tmp_path / "chosen").write_text("[a] k = chosen")
    Path(environ["HOME"], ".envgitconfig").write_text("[a] k = home")
    chosen = environ | {"ENVGIT_CONFIG_GLOBAL": str(tmp_path / "chosen")}
    assert load(chosen).get_all("a.k") == ["system", "chosen"]
    none = chosen | {"ENVGIT_CONFIG_GLOBAL": "", "ENVGIT_CONFIG_NOSYSTEM": "1"}
    assert load(none).entries == ()


def test_without_a_home_there_is_nothing_to_read() -> None:
    assert Settings.load(environ={"ENVGIT_CONFIG_NOSYSTEM": "1"}).entries == ()


# -- includes --------------------------------------------------------------------------------


def test_includes_are_read_where_they_stand(environ: dict[str, str]) -> None:
    home = Path(environ["HOME"])
    (home / "sub").mkdir()
    (home / "sub/one").write_text("[a] k = 2\n[include] path = two")
    (home / "sub/two").write_text("[a] k = 3")
    (home / "three").write_text("[a] k = 5")
    text = "[a] k = 1\n[include] path = sub/one\n[a] k = 4\n[include] path = ~/three\npath = none"
    assert load(environ, text).get_all("a.k") == list("12345")
    absolute = ("include.path", str(home / "three"))
    assert load(environ, "", absolute).get_all("a.k") == ["5"]


def test_bad_includes_are_named(environ: dict[str, str]) -> None:
    home = Path(environ["HOME"])
    (home / "loop").write_text("[include] path = loop")
    for text, says in [
        ("[include] path = loop", "exceeded maximum include depth"),
        ("\n[include] path", "missing value for 'include.path'.*line 2"),
        ("[include] path = ~nobody-of-that-name/x", "failed to expand user dir"),
        ("[include] path = .", "Is a directory"),
    ]:
        with pytest.raises(SettingsError, match=says):
            load(environ, text)
    with pytest.raises(SettingsError, match="must come from files"):
        load(environ, "", ("include.path", "loop"))


# -- errors ----------------------------------------------------------------------------------


def test_a_bad_line_is_named_as_git_names_it(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load(environ, "[a]\nk = v\nwhat is this?\n")
    assert caught.value.message == f"bad config line 3 in file {environ['HOME']}/repository-config"
    assert caught.value.exit_code == 128


def test_bad_values_are_named_with_their_place(environ: dict[str, str]) -> None:
    found = load(environ, "[core] volatile = maybe\n maxdepth = 7x\n[user] name", ("a.n", "9999g"))
    place = f"in file {environ['HOME']}/repository-config"
    cases: list[tuple[Callable[[], object], str]] = [
        (lambda: found.get_bool("core.volatile"), f"bad boolean .*'maybe' .*volatile' {place}"),
        (lambda: found.get_int("core.maxDepth"), f"bad numeric .*'7x' .* {place}: invalid unit"),
        (lambda: found.get("user.name"), f"missing value for 'user.name' {place}"),
        (lambda: found.get_expiry("core.volatile"), f"'maybe' for 'core.volatile' {place}"),
    ]
    for read, says in cases:
        with pytest.raises(SettingsError, match=says):
            read()
    assert found.get_int("a.n") == 9999 << 30


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("name", "does not contain a section: name"),
        (".name", "does not contain a section"),
        ("a.", "does not contain variable name"),
        ("a.b_c", "invalid key: a.b_c"),
        ("a.1c", "invalid key"),
        ("a\n.b.c", "invalid key"),
        ("a.x\ny.c", "invalid key"),
    ],
)
def test_bad_names_are_refused(environ: dict[str, str], name: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        load(environ, "", (name, "x"))


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"unable to access '{tmp_path}'"):
        settings.read_file(str(tmp_path), {})
    missing = str(tmp_path / "x")
    assert settings.read_file(missing, {}) == []
    with pytest.raises(SettingsError, match="unable to read config file"):
        settings.read_file(missing, {}, missing_ok=False)


# -- values ----------------------------------------------------------------------------------


def test_typed_values_fall_back_to_the_table(environ: dict[str, str]) -> None:
    found = load(environ)
    assert (found.get("core.maxdepth"), found.get_int("core.maxdepth")) == (None, 64)
    assert found.get_bool("core.volatile") is True
    assert found.get_bool("no.such") is False
    assert found.get_text("color.ui") == "auto"
    assert found.get_expiry("gc.reflogExpire") == 90 * 86400
    assert found.get_path("core.store") is None
    set_ = load(environ, "[core] store = ~/s\n volatile\n[gc] reflogExpire = never")
    assert set_.get_path("core.store") == environ["HOME"] + "/s"
    assert set_.get_bool("core.volatile") is True
    assert set_.get("core.volatile") == "true"
    assert set_.get_expiry("gc.reflogexpire") is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("-1k", -1024),
        ("+2M", 2 << 20),
        ("3g", 3 << 30),
        ("0x10", 16),
        ("010", 8),
        (" 7", 7),
        ("", None),
        ("k", None),
        ("1kb", None),
        ("1 k", None),
        ("1.5", None),
        ("9223372036854775807", (1 << 63) - 1),
        ("9223372036854775808", None),
        ("9g" + "0", None),
        ("٣", None),
    ],
)
def test_numbers(text: str, value: int | None) -> None:
    if value is None:
        with pytest.raises(ValueError, match=r"invalid unit|out of range"):
            parse_int(text)
    else:
        assert parse_int(text) == value


def test_switches() -> None:
    assert [parse_bool(word) for word in (None, "TRUE", "yes", "On", "1", "-3", "2k")] == [True] * 7
    assert [parse_bool(word) for word in ("", "False", "no", "OFF", "0", "00")] == [False] * 6
    assert [parse_bool(word) for word in ("y", "enabled", "truth", "1.0")] == [None] * 4


def test_ages() -> None:
    assert parse_age("90.days.ago") == parse_age("90 days") == 90 * 86400
    assert (parse_age("2.weeks"), parse_age("1 hour ago")) == (14 * 86400, 3600)
    assert (parse_age("now"), parse_age("all"), parse_age("never")) == (0, 0, None)
    for word in ("", "soon", "-1 day", "days", "1 fortnight"):
        with pytest.raises(ValueError, match="not an age"):
            parse_age(word)


# -- properties ------------------------------------------------------------------------------


@given(st.binary(max_size=200))
def test_any_bytes_are_settings_or_a_settings_error(data: bytes) -> None:
    try:
        items = parse(data, "file x")
    except SettingsError as error:
        assert error.message.startswith("bad config line ")
    else:
        assert all(item.name and item.line >= 1 for item in items)


@given(st.text(st.characters(exclude_characters="\0\n", codec="utf-8"), max_size=40))
def test_a_value_written_in_quotes_is_read_back(value: str) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    data = f'[a "s"]\n\tk = "{quoted}" ; comment\n'.replace("\r\n", "").encode()
    if "\r\n" not in f'{quoted}"' and not value.endswith("\r"):
        assert [(item.name, item.value) for item in parse(data, "x")] == [("a.s.k", value)]


def test_the_table_is_fit_to_be_printed() -> None:
    names = [setting.name for setting in KNOWN]
    assert names == sorted(names, key=str.lower), "in order, once each"
    assert len({name.lower() for name in names}) == len(names)
    for setting in KNOWN:
        assert setting.doc.endswith(".")
        assert setting.kind in {"bool", "int", "path", "text", "expiry", "colour", "list"}
        if setting.default is not None and "<" not in setting.name:
            assert canonical(setting.name) == setting.name.lower()
            checks: dict[str, Callable[[str], object]] = {
                "bool": parse_bool,
                "int": parse_int,
                "expiry": parse_age,
            }
            assert checks.get(setting.kind, str)(setting.default) is not None


def test_reading_does_not_touch_the_environment(environ: dict[str, str]) -> None:
    before = dict(os.environ)
    load(environ, "[include] path = ~/x")
    assert dict(os.environ) == before
