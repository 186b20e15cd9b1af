# SPDX-License-Identifier: Apache-2.0
"""``-S`` and ``-G`` choose the commits and files that git chooses."""

from __future__ import annotations

import random

import pytest

from tests.interop.both import envgit
from tests.interop.test_git_diff import divided, normal, same
from tests.interop.twins import Twins, evolve, random_text

pytestmark = pytest.mark.root

FORMS = [
    "-Salpha --oneline", "-S changed --name-status", "-Gchanged.[0-9] --name-only",
    "-G^new --format=%s", "-S(new|changed) --pickaxe-regex --name-status", "-SALPHA -i --name-only",
    "-GNEW.[1-5] -i -p", "-Sgamma --pickaxe-all --name-status", "-Galpha --pickaxe-all --stat",
    "-Sbeta -p", "-Salpha -n2 --format=%s", "-Gchanged -1 --reverse", "-Snothing", "-Sdelta -- etc",
    "-Gdelta --graph --oneline -- usr", "-Salpha --no-renames --name-status", "-Gepsilon --stat -R",
    "-Salpha --diff-filter=D --name-status", "-Sx --skip=2 --format=%s", "--diff-filter=D -n1",
]  # fmt: skip


@pytest.fixture(scope="module", params=[4, 5])
def twins(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Twins:
    """A few commits of random trees, and uncommitted changes on top."""
    rng = random.Random(request.param)
    twins = Twins(tmp_path_factory.mktemp("pickaxe"))
    tree: dict[str, tuple[bytes | str, int]] = {
        f"{folder}file{index}": (random_text(rng, rng.randint(3, 40)), 0o644)
        for index, folder in enumerate(["usr/lib/", "etc/", "", "usr/share/a b/"])
    }
    for number in range(6):
        twins.change_to(tree)
        twins.commit(f"state {number}")
        tree = evolve(rng, tree)
    twins.change_to(tree)
    return twins


@pytest.mark.parametrize("form", FORMS)
def test_log(twins: Twins, form: str) -> None:
    options, paths = divided(form.split())
    argv = ["log", "--format=%s", *options, *paths]
    if "--oneline" in options:
        argv = ["log", "--format=%s", *[word for word in options if word != "--oneline"], *paths]
    same(twins, argv, argv)


@pytest.mark.parametrize(
    "form", [["-Salpha"], ["-Gnew", "--name-status"], ["-Gnew", "--pickaxe-all"]], ids=" ".join
)
def test_diff(twins: Twins, form: list[str]) -> None:
    same(twins, ["diff", *form, "HEAD~3", "HEAD"], ["diff", *form, "HEAD~3", "HEAD"])
    same(twins, ["diff", *form, "HEAD"], ["diff", *form])


def test_binary_files_are_counted_in_and_have_no_lines(twins: Twins) -> None:
    twins.change_to({**twins.now, "usr/binary": (b"\0needle\n", 0o644)})
    twins.commit("a needle")
    for option in ("-Sneedle", "-Gneedle"):
        argv = ["log", option, "--format=%s", "--name-only"]
        same(twins, argv, argv)


@pytest.mark.parametrize(
    "options", [["-Sa", "-Gb"], ["-Ga", "--pickaxe-regex"], ["-S"], ["-G("]], ids=" ".join
)
def test_errors(twins: Twins, options: list[str]) -> None:
    status, out, said = envgit(twins.lab, "log", *options, env=twins.environ)
    assert (status in (128, 129), normal(out)) == (True, "")
    assert said.startswith((b"fatal: ", b"error: "))


def test_layers_that_are_not_in_the_store_are_said(twins: Twins) -> None:
    environ = {**twins.environ, "ENVGIT_STORE": str(twins.lab.parent / "another")}
    status, out, said = envgit(twins.lab, "log", "-Salpha", "--format=%s", env=environ)
    assert (status, out) == (0, b"")
    assert b"could not be searched" in said
