# SPDX-License-Identifier: Apache-2.0
"""``log -L`` follows lines through edits and renames as git does."""

from __future__ import annotations

import random

import pytest

from tests.interop.both import envgit
from tests.interop.test_git_diff import same
from tests.interop.twins import Tree, Twins, edit

pytestmark = pytest.mark.root

COMMITS = 9


@pytest.fixture(scope="module", params=range(4))
def twins(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Twins:
    """Two texts that change in each commit; one has another name from the middle on."""
    rng = random.Random(request.param)
    twins = Twins(tmp_path_factory.mktemp("lines"))
    text = b"".join(b"int f%d(void)\n{\n\treturn %d;\n}\n\n" % (n, n) for n in range(12))
    other = b"".join(b"line %d\n" % number for number in range(40))
    for number in range(COMMITS):
        name = "etc/conf" if number < COMMITS // 2 else "usr/share/conf"
        tree: Tree = {name: (text, 0o644), "other": (other, 0o644), "x": (b"%d" % number, 0o644)}
        twins.change_to(tree)
        twins.commit(f"state {number}")
        text = edit(rng, text) if rng.random() < 0.7 else text
        other = edit(rng, other)
    return twins


LINES = [
    "-L1,5:usr/share/conf", "-L 10,20:other", "-L10,+3:other", "-L /line.1/,/line.2/:other",
    "-L3,9:other -L15,18:other -1", "-L15,18:other -L3,9:usr/share/conf", "-L9:other", "-L,4:other",
    "-L:f5:usr/share/conf", "-L 5,8:other --oneline", "-L5,8:other -s", "-L5,8:other -n 2",
    "-L5,8:other --reverse", "-L5,8:other --skip=1 -2", "-L5,8:other --grep=3", "-L 1,30:other -1",
    "-L5,8:other --color=always", "-L 5,12:usr/share/conf --no-renames", "-L3,4:other HEAD~3",
    "-L3,6:etc/conf HEAD~6", "-L5,8:other HEAD~5..HEAD", "-L5,8:other --no-patch",
    "-L5,5:other --no-prefix",
]  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_lines(twins: Twins, line: str) -> None:
    for form in ("--format=%s", "--pretty=format:%s%n%b", "--format=%an%n%n%s"):
        argv = ["log", form, *line.split()]
        if "--oneline" in argv:
            argv.remove(form)
            argv[argv.index("--oneline")] = "--pretty=format:%s"
        same(twins, argv, argv)


@pytest.mark.parametrize(
    "line",
    ["-L5,8:nope", "-L500,501:other", "-L5,6", "-L5,6:other -- other", "-L5,6:other --stat",
     "-L5,6:other HEAD HEAD~1", "-Lx,y:other", "-L:nothing:other"],
)  # fmt: skip
def test_errors(twins: Twins, line: str) -> None:
    import subprocess

    argv = ["log", *line.split()]
    theirs = subprocess.run(["git", *argv], cwd=twins.plain, capture_output=True, check=False)
    status, out, said = envgit(twins.lab, *argv, env=twins.environ)
    assert (status, out) == (theirs.returncode, theirs.stdout)
    first = theirs.stderr.decode().splitlines()[0]
    if "dig from" not in first:
        assert said.decode().splitlines()[0] == first


def test_json(twins: Twins) -> None:
    status, out, _ = envgit(twins.lab, "log", "-L5,8:other", "--json", env=twins.environ)
    assert status == 0
    assert out.startswith(b"[")
