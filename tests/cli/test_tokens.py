# SPDX-License-Identifier: Apache-2.0
"""The command line is split by git's rules, in git's words when it cannot be."""

from __future__ import annotations

import pytest

from envgit.cli.errors import UsageProblem
from envgit.cli.tokens import NONE, OPTIONAL, VALUE, AskedForHelp, Line, Spelling, split

SPELLINGS = {
    spelling.text: spelling
    for spelling in (
        Spelling("--all", "all", NONE),
        Spelling("-a", "all", NONE),
        Spelling("--no-all", "all", NONE, bare="flag", negation=True),
        Spelling("--amend", "amend", NONE),
        Spelling("--message", "message", VALUE),
        Spelling("-m", "message", VALUE),
        Spelling("--no-message", "message", NONE, negation=True),
        Spelling("--color", "color", OPTIONAL, bare="always"),
        Spelling("-U", "unified", OPTIONAL, bare="3"),
        Spelling("--max-count", "max_count", VALUE),
    )
}


def parse(*arguments: str, interspersed: bool = True) -> Line:
    return split(arguments, SPELLINGS, interspersed=interspersed, number="--max-count")


@pytest.mark.parametrize(
    ("arguments", "tokens", "positionals", "after"),
    [
        (["x", "-a", "y"], ["-a"], ["x", "y"], None),
        (["-am", "text"], ["-a", "-m", "text"], [], None),
        (["-mtext"], ["-m", "text"], [], None),
        (["-m", "-a"], ["-m", "-a"], [], None),
        (["-m", ""], ["-m", ""], [], None),
        (["--mess", "t"], ["--message=t"], [], None),
        (["--message=--all"], ["--message=--all"], [], None),
        (["--message", "--", "x"], ["--message=--"], ["x"], None),
        (["--color", "main"], ["--color=always"], ["main"], None),
        (["--color=never"], ["--color=never"], [], None),
        (["-U5", "-U", "6"], ["-U", "5", "-U", "3"], ["6"], None),
        (["-12", "HEAD"], ["--max-count=12"], ["HEAD"], None),
        (["a", "--", "-a", "--"], [], ["a"], ["-a", "--"]),
        (["--"], [], [], []),
        (["-", "^x"], [], ["-", "^x"], None),
        (["-m", "x", "--no-message", "-a"], ["-a"], [], None),
        (["-a", "--no-all"], ["--no-all"], [], None),
    ],
)
def test_lines_are_split(
    arguments: list[str], tokens: list[str], positionals: list[str], after: list[str] | None
) -> None:
    line = parse(*arguments)
    assert line.tokens() == tokens
    assert line.positionals == positionals
    assert line.after == after


def test_the_first_positional_ends_the_options_of_run() -> None:
    line = parse("-a", "ls", "-a", "--", "x", interspersed=False)
    assert (line.tokens(), line.positionals, line.after) == (["-a"], ["ls"], ["-a", "--", "x"])


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--foo", "unknown option `foo'"),
        ("-Y", "unknown switch `Y'"),
        ("-aY", "unknown switch `Y'"),
        ("-m", "switch `m' requires a value"),
        ("--message", "option `message' requires a value"),
        ("--amend=3", "option `amend' takes no value"),
        ("--a", "ambiguous option: a (could be --all or --amend)"),
    ],
)
def test_mistakes_are_named_in_gits_words(argument: str, message: str) -> None:
    with pytest.raises(UsageProblem) as caught:
        parse(argument)
    assert caught.value.message == message
    assert caught.value.exit_code == 129


@pytest.mark.parametrize(("argument", "long"), [("-h", False), ("--help", True), ("--hel", True)])
def test_help_is_asked_for(argument: str, long: bool) -> None:
    with pytest.raises(AskedForHelp) as caught:
        parse("x", argument)
    assert caught.value.long is long
