# SPDX-License-Identifier: Apache-2.0
"""What merges changed is shown as git shows it: combined, from each parent, or from the first."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from tests.interop import both
from tests.interop.dags import random_parents
from tests.interop.texts import Texts, Tree
from tests.interop.twins import Twins, edit, random_text

pytestmark = [pytest.mark.root, pytest.mark.peer("git>=2.36")]

SHOWN = range(38, 45)
FILES = (b"f", b"dir/g", b"dir/a b", b"only")


def _evolve(rng: random.Random, parents: list[Tree]) -> Tree:
    """Of each parent something, and edits besides; files come, go, move and become binary."""
    if not parents:
        return {name: random_text(rng, 24) for name in FILES}
    tree = dict(parents[0])
    for other in parents[1:]:
        for path, content in other.items():
            mine = tree.get(path, b"")
            choice = rng.random()
            if choice < 0.3:
                tree[path] = content
            elif choice < 0.7:
                half = len(content) // 2
                tree[path] = content[:half] + mine[half:]
    for path in list(tree):
        choice = rng.random()
        if choice < 0.5:
            tree[path] = edit(rng, tree[path])
        elif choice < 0.55:
            tree[path] = b"\0" + rng.randbytes(20)
        elif choice < 0.6 and path == b"only":
            # Never renamed: git leaves a last line without its newline out of the similarity.
            tree[path] = tree[path].rstrip(b"\n")
        elif choice < 0.65 and len(tree) > 2 and path != b"only":
            content = tree.pop(path)
            if rng.random() < 0.6:
                tree[b"moved%d" % rng.randint(0, 20)] = edit(rng, content)
    for path in FILES[: rng.randint(0, 3)]:
        if path not in tree and rng.random() < 0.4:
            tree[path] = random_text(rng, 10)
    return tree


@pytest.fixture(scope="module", params=[1, 2])
def texts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Texts:
    """A history with many merges, some of them of three and more."""
    rng = random.Random(request.param)
    texts = Texts(tmp_path_factory.mktemp("combined"))
    texts.grow(rng, random_parents(rng, 45, octopus=0.15), _evolve)
    for number in SHOWN:
        texts.set_tag(f"c{number}", number)
    return texts


def _said(texts: Texts, data: bytes) -> str:
    return _plain(texts.numbered(data))


def _plain(data: bytes) -> str:
    """Without the ids of contents."""
    text = data.decode("utf-8", "surrogateescape")
    text = re.sub(r"(?m)^((?:\x1b\[[0-9;]*m|[|\\/ *])*index )[0-9a-f,]+\.\.[0-9a-f]+", r"\1", text)
    text = re.sub(r"(?m)^([|\\/ *]*:+(?:[0-7]{6} )+)(?:[0-9a-f]{7,} )+", r"\1", text)
    # git forgets the graph (before names, too) and the colour before these lines.
    text = re.sub(
        r"(?m)^(?:\x1b\[[0-9;]*m|[|\\/ *])*(mode [0-7]{6},|Binary files differ)", r"\1", text
    )
    # git's count of lines underflows where only the end of a text is shown.
    return text.replace("18446744073709551615", "0")


def _same(texts: Texts, *argv: str) -> None:
    plain = texts.lab.parent / "git"
    plain.mkdir(exist_ok=True)
    if not (plain / ".envgit").exists():
        (plain / ".envgit").symlink_to(texts.plain)
    theirs = both.git(plain, *argv)
    ours = both.envgit(texts.lab, *argv, env=texts.environ)
    assert ours[0] == theirs[0], ours[2].decode()
    assert _said(texts, ours[1]) == _said(texts, theirs[1])


FORMS = [
    "--cc", "-c", "-m -p", "-m", "-p", "--diff-merges=cc", "--diff-merges=c", "--diff-merges=m",
    "--diff-merges=on --stat", "--diff-merges=off -p", "--diff-merges=none -p", "--diff-merges=1",
    "--diff-merges=first-parent --name-status", "--diff-merges=separate", "--no-diff-merges -p",
    "--diff-merges=combined --name-status", "--diff-merges=dense-combined --name-only",
    "--first-parent -p", "--first-parent -m -p", "--first-parent -m --stat", "--first-parent --cc",
    "--first-parent --diff-merges=separate", "--cc -m -p", "-m --cc", "-c --cc", "--cc -c",
    "--cc --stat", "-c --stat -p", "--cc --name-status", "-c --raw", "--cc --numstat",
    "--cc --shortstat --summary", "--cc --patch-with-stat", "-c --no-renames", "--cc --no-renames",
    "--cc -U0", "--cc -U1", "-c -U0", "-c -U8", "--cc --full-index", "--cc -w", "-c -b",
    "--cc -a", "-c --no-prefix", "--cc --graph", "-c --graph --stat",
    "--cc --oneline", "--cc --color=always", "-c --color=always --graph", "--cc --merges",
    "--cc --format=%s", "--cc --format=", "--cc --format=format:%h", "-c --raw --format=%h",
    "--cc -s", "--cc --no-patch", "--cc --diff-filter=M", "--cc --patience", "--cc --reverse",
    "-m --name-status --no-diff-merges", "-m --oneline -p",
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_log(texts: Texts, form: str) -> None:
    _same(texts, "log", *form.split())
    _same(texts, "log", "-12", *form.split(), "main", "--", "dir", "f")


LIMITING = ("--graph", "--merges", "--reverse")


@pytest.mark.parametrize(
    "form", ["", *(form for form in FORMS if not any(word in form for word in LIMITING))]
)
def test_show(texts: Texts, form: str) -> None:
    for number in SHOWN:
        _same(texts, "show", *form.split(), f"c{number}")


def test_words_that_are_none(texts: Texts) -> None:
    plain = texts.lab.parent / "git"
    for form in ("--diff-merges=x", "--diff-merges=", "--diff-merges=On"):
        theirs = both.git(plain, "log", form)
        ours = both.envgit(texts.lab, "log", form, env=texts.environ)
        assert ours[0] == theirs[0] and ours[2] == theirs[2]


def test_modes_symlinks_and_what_git_does_not_know(tmp_path: Path) -> None:
    twins = Twins(tmp_path)
    base: dict[str, tuple[bytes | str, int]] = {
        "bin/x": (b"1\n2\n3\n", 0o644), "gone": (b"g\n", 0o644), "link": ("a", 0o777),
        "mode": (b"m\n", 0o644),
    }  # fmt: skip
    both_of = {**base, "bin/x": (b"1\n2\n3\n4\n", 0o755), "link": ("c", 0o777)}
    sides = ({**base, "bin/x": (b"1\nother\n3\n", 0o644), "link": ("b", 0o777)},
             {**base, "gone": (b"h\n", 0o644), "mode": (b"m\n", 0o755)})  # fmt: skip
    result = {**both_of, "new": (b"n\n", 0o644), "mode": ("m", 0o777)}
    del result["gone"]
    twins.change_to(base)
    twins.commit("base")
    for argv in (["switch", "-q", "-c", "side"],):
        twins.git(*argv)
        assert both.envgit(twins.lab, *argv, env=twins.environ)[0] == 0
    twins.change_to(sides[1])
    twins.commit("side")
    twins.git("switch", "-q", "main")
    assert both.envgit(twins.lab, "switch", "-q", "main", env=twins.environ)[0] == 0
    twins.now = dict(base)
    twins.change_to(sides[0])
    twins.commit("main")
    argv = ["merge", "-q", "--no-commit", "-s", "ours", "side"]
    twins.git(*argv)
    status, _, said = both.envgit(twins.lab, *argv, env=twins.environ)
    assert status == 0, said.decode()
    twins.change_to(result)
    twins.commit("merge")
    for form in ("--cc", "-c", "-c --raw", "--cc --name-status", "-m", "--cc --stat --summary"):
        theirs = twins.git("show", "--format=%s", *form.split())
        ours = both.envgit(twins.lab, "show", "--format=%s", *form.split(), env=twins.environ)
        assert _plain(ours[1]) == _plain(theirs)
