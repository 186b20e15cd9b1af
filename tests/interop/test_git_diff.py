# SPDX-License-Identifier: Apache-2.0
"""``envgit diff`` and ``log -p`` print what git prints for equal trees, but for content ids."""

from __future__ import annotations

import random
import re

import pytest

from tests.interop.both import envgit
from tests.interop.twins import Twins, evolve, random_text

pytestmark = pytest.mark.root

FORMS = [
    [], ["--stat"], ["--numstat"], ["--shortstat"], ["--summary"], ["--name-only"],
    ["--name-status"], ["--patch-with-stat"], ["-p", "--stat", "--summary"], ["--no-renames"],
    ["--no-renames", "--stat"], ["-M90%", "--name-status"], ["-M100%", "--summary", "--stat"],
    ["-U0"], ["-U1"], ["-U10"], ["-w"], ["-b", "--stat"], ["-R"], ["-R", "--name-status"],
    ["--diff-filter=AD", "--name-only"], ["--diff-filter=r", "--name-status"], ["--color=always"],
    ["--color=always", "--stat"], ["-z", "--name-status"], ["-z", "--numstat"], ["--stat=50"],
    ["--stat=60,20"], ["--stat=80,30,2"], ["--no-prefix"], ["-a", "--stat"], ["--patience"],
    ["--word-diff"], ["--word-diff=porcelain"], ["--word-diff=color"], ["--color-words"],
    ["--word-diff", "--color=always"], ["--word-diff-regex=[a-z]+|[0-9]"], ["--color-words=."],
    ["--word-diff", "-U0", "--stat", "-p"], ["--word-diff=none"], ["--word-diff", "-w"],
    ["--numstat", "--summary", "--", "usr"], ["--name-only", "--", "*.txt"],
    ["--name-only", "--", ":(glob)*.txt"], ["--name-only", "--", ":(glob)**/*.txt"],
    ["--name-only", "--", ":!usr", "."], ["--name-status", "--", "*s*/f*", ":(exclude)*.so"],
    ["--name-only", "--", ":(icase)USR"], ["--name-only", "--", "etc/", "lib"],
    ["--name-only", "--", "file[0-9]*"], ["--name-only", "--", ":(literal)*"],
]  # fmt: skip


def normal(data: bytes) -> str:
    """Without content ids: git's are of blobs, ours of contents."""
    text = data.decode("utf-8", "surrogateescape")
    return re.sub(r"(?m)(index )[0-9a-f]{7,}\.\.[0-9a-f]{7,}", r"\1_.._", text)


@pytest.fixture(scope="module", params=[1, 2, 3])
def twins(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Twins:
    """A few commits of random trees, and uncommitted changes on top."""
    rng = random.Random(request.param)
    twins = Twins(tmp_path_factory.mktemp("twins"))
    tree: dict[str, tuple[bytes | str, int]] = {
        f"{folder}file{index}": (random_text(rng, rng.randint(3, 60)), 0o644)
        for index, folder in enumerate(["usr/lib/", "usr/lib/", "etc/", "", "usr/share/a b/", "ä/"])
    }
    for number in range(6):
        twins.change_to(tree)
        twins.commit(f"state {number}")
        tree = evolve(rng, tree)
    twins.change_to(tree)
    return twins


def divided(form: list[str]) -> tuple[list[str], list[str]]:
    """The options and the paths with their ``--``."""
    at = form.index("--") if "--" in form else len(form)
    return form[:at], form[at:]


def same(twins: Twins, git: list[str], ours: list[str]) -> None:
    status, got, said = envgit(twins.lab, *ours, env=twins.environ)
    assert status in (0, 1), said.decode()
    assert normal(got) == normal(twins.git(*git))


@pytest.mark.parametrize("form", FORMS, ids=" ".join)
def test_between_commits(twins: Twins, form: list[str]) -> None:
    options, paths = divided(form)
    for pair in (["HEAD~3", "HEAD"], ["HEAD", "HEAD~1"], ["HEAD~5..HEAD~2"]):
        same(twins, ["diff", *options, *pair, *paths], ["diff", *options, *pair, *paths])


@pytest.mark.parametrize("form", FORMS, ids=" ".join)
def test_uncommitted(twins: Twins, form: list[str]) -> None:
    options, paths = divided(form)
    same(twins, ["diff", *options, "HEAD", *paths], ["diff", *options, *paths])
    same(twins, ["diff", *options, "HEAD~2", *paths], ["diff", *options, "HEAD~2", *paths])


@pytest.mark.parametrize(
    "options",
    [["-p"], ["--stat"], ["--name-status"], ["-p", "--stat"], ["--shortstat"], ["--numstat"],
     ["--stat", "--graph"], ["-p", "--graph"], ["--name-only", "--topo-order"], ["--summary", "-2"],
     ["--", "usr"], ["--no-merges", "--", "etc", "ä"], ["--graph", "--", "*.txt"],
     ["-z", "--name-only"],
     ["--stat", "--", "usr/lib"], ["-p", "-1", "--full-diff", "--", "etc"], ["--diff-filter=D",
     "--name-status"], ["--stat", "--color=always", "--graph"], ["--follow", "--name-status", "--",
     "usr/lib/file0"], ["--reverse", "--name-only", "--", "usr"], ["--raw", "-s"]],
    ids=" ".join,
)  # fmt: skip
def test_log(twins: Twins, options: list[str]) -> None:
    for form in ("--format=%s%n", "--format=format:%s", "--format="):
        same(twins, ["log", form, *options], ["log", form, *options])


@pytest.mark.parametrize(
    "options", [["-s"], ["--porcelain"], ["--short", "-b"], ["-z"], ["--porcelain", "-z"]],
    ids=" ".join,
)  # fmt: skip
def test_status(twins: Twins, options: list[str]) -> None:
    """All is staged in git, which is what everything is here."""
    argv = ["status", "-uall", "--no-renames", *options]
    same(twins, argv, argv)


def test_exit_code(twins: Twins) -> None:
    for options, expected in ((["--quiet"], 1), (["--exit-code"], 1), ([], 0)):
        assert envgit(twins.lab, "diff", *options, env=twins.environ)[0] == expected
    assert envgit(twins.lab, "diff", "--quiet", "HEAD", "HEAD", env=twins.environ)[0] == 0
    status, _, said = envgit(twins.lab, "diff", "--cached", env=twins.environ)
    assert status == 128 and b"staging area" in said
