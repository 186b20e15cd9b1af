# SPDX-License-Identifier: Apache-2.0
"""Which lines match, and how they are shown, as `git grep` has it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from envgit.porcelain.foundation import chain
from envgit.porcelain.foundation.patterns import BadPattern
from envgit.porcelain.grep import Finder, Search, grep
from tests.interop import both
from tests.interop.dags import random_parents
from tests.interop.texts import Texts, Tree
from tests.interop.twins import Twins, edit, random_text

pytestmark = pytest.mark.peer("git>=2.30")

LINES = """\
abc
a.c aabbcc
ab ab  abab
foo(bar) [x] {1} a+b a*c a?b
Über Straße äöü ÄÖÜ
\ttab and  spaces\t
0123 45_67 -8
x^y$z |pipe| back\\slash
aaa
AbC aBc
word words sword_ word-s

end""".encode()

ATOMS = (
    "a", "b", "c", "ab", ".", "[ab]", "[^a]", "[a-c]", "[[:alpha:]]", "[[:space:]]", "[^[:digit:]]",
    "[]x]", "[^]]", "[a-]", "\\.", "x", "ü", "[äö]", "[^ä]", "0", "\\w", "\\W", "\\s",
    "[[:digit:]_]", "[.$]", "-", "$", "^", "[\\]", "A", "{", "}", "|", "+", "?", "(", ")", "\\S",
    "[[:punct:]]",
)  # fmt: skip
GLUE = {
    "basic": ("", "", "", "*", "\\+", "\\?", "\\|", "\\{1,2\\}", "\\{2\\}", "\\{,2\\}", "\\<",
              "\\>", "\\b"),
    "extended": ("", "", "", "*", "+", "?", "|", "{1,2}", "{2}", "{,2}", "\\<", "\\>", "\\b"),
}  # fmt: skip
GROUPS = {"basic": ("\\(", "\\)"), "extended": ("(", ")")}


def _pattern(rng: random.Random, syntax: str) -> str:
    parts = []
    for _ in range(rng.randint(1, 4)):
        atom = rng.choice(ATOMS)
        if rng.random() < 0.2:
            start, end = GROUPS[syntax]
            atom = start + rng.choice(ATOMS) + rng.choice(GLUE[syntax][:6]) + end
            if rng.random() < 0.3:
                atom += "\\1"
        parts.append(atom + rng.choice(GLUE[syntax]))
    text = "".join(parts)
    return rng.choice(["", "", "", "^"]) + text + rng.choice(["", "", "", "$"])


def _repository(folder: Path) -> Path:
    """A plain git repository whose worktree's one file holds LINES."""
    import subprocess

    from tests.interop.dags import ENVIRONMENT

    plain = folder / "plain"
    plain.mkdir()
    subprocess.run(["git", "init", "-q", plain], env=ENVIRONMENT, check=True)
    (plain / "f").write_bytes(LINES)
    (plain / ".envgit").symlink_to(".git")
    subprocess.run(["git", "add", "f"], cwd=plain, env=ENVIRONMENT, check=True)
    return plain


def _grep(plain: Path, *argv: str) -> tuple[int, bytes, bytes]:
    return both.git(plain, f"--work-tree={plain}", "grep", *argv)


@pytest.mark.parametrize("syntax", ["basic", "extended"])
@pytest.mark.parametrize("options", [(), ("-i",), ("-w",), ("-v",)], ids=str)
def test_random_patterns_match_the_same_lines(
    tmp_path: Path, syntax: str, options: tuple[str, ...]
) -> None:
    plain = _repository(tmp_path)
    rng = random.Random(f"{syntax}{options}")
    wrong = []
    for _ in range(60):
        pattern = _pattern(rng, syntax)
        status, stdout, stderr = _grep(
            plain, "-n", "-h", *options, "-G" if syntax == "basic" else "-E", "-e", pattern
        )
        try:
            search = Search(
                (pattern,), syntax, ignore_case="-i" in options, word="-w" in options,
                invert="-v" in options,
            )  # fmt: skip
            finder = Finder(search)
            found = list(finder.lines(LINES))
            assert finder.any(LINES) == bool(found), pattern
            ours = b"".join(b"%d:%b\n" % (hit.number, LINES[hit.start : hit.end]) for hit in found)
        except BadPattern as error:
            ours = f"fatal: {error.message}\n".encode("utf-8", "surrogateescape")
        said = stdout if status <= 1 else stderr
        if ours != said:
            wrong.append((pattern, ours, said))
    assert not wrong, f"{len(wrong)}: {wrong[:3]}"


BAD = (
    "[", "\\", "a\\{", "\\(", "\\)", "[[:foo:]]", "[z-a]", "a\\{2,1\\}", "\\1", "a**", "\\{1\\}",
    "a\\{x\\}", "[[.foo.]]", "a\\{99999\\}",
)  # fmt: skip
BAD_EXTENDED = ("*a", "+a", "a{", "a{x}", "a{1", "(a", "[", "{1}", "(*a)", "a|*b", "^*", "(a)\\2")


@pytest.mark.parametrize("extended", [False, True])
def test_bad_patterns_are_refused_in_the_same_words(tmp_path: Path, extended: bool) -> None:
    plain = _repository(tmp_path)
    for pattern in BAD_EXTENDED if extended else BAD:
        said = _grep(plain, "-E" if extended else "-G", "-e", pattern)
        with pytest.raises(BadPattern) as caught:
            Finder(Search((pattern,), "extended" if extended else "basic"))
        assert (said[0], said[2].decode()) == (128, f"fatal: {caught.value.message}\n"), pattern


def _evolve(rng: random.Random, parents: list[Tree]) -> Tree:
    if not parents:
        tree = {b"d/%c%d" % (97 + n % 7, n): random_text(rng, 12) for n in range(12)}
        tree |= {b"d-x": LINES, b"d.y": LINES + b"\n", b"a/b/c/deep": LINES, b"empty": b""}
        return tree | {b"bin": b"alpha\0beta\nalpha\n", b'odd "\xc3\xa4\n': b"alpha\n"}
    tree = dict(parents[0])
    path = rng.choice(sorted(path for path in tree if path.startswith(b"d/")))
    tree[path] = edit(rng, tree[path])
    return tree


# With several threads git 2.39 drops the first line of output before context and --break.
ONE = ("-c", "grep.threads=1")
FORMS = (
    ["alpha"], ["-n", "alpha"], ["-c", "alpha"], ["-l", "alpha"], ["-L", "alpha"], ["-h", "alpha"],
    ["-o", "a[lb]"], ["-on", "--column", "a[lb]"], ["-n", "-C1", "delta"], ["-A2", "delta"],
    ["-B1", "-n", "delta"], ["-2", "new"], ["--heading", "--break", "-n", "delta"], ["-z", "alpha"],
    ["-lz", "alpha"], ["-v", "a"], ["-ov", "a"], ["-cv", "a"], ["-w", "word"], ["-i", "ABC"],
    ["-F", "a.c"], ["-F", "a.c\naaa"], ["-m", "1", "-n", "alpha"], ["-m1", "-c", "alpha"],
    ["-a", "alpha"], ["-I", "alpha"], ["-q", "alpha"], ["-q", "zzz"], ["zzz"],
    ["--max-depth=0", "a"], ["--max-depth=1", "a"], ["-e", "alpha", "-e", "abc", "--column"],
    ["-E", "^(a|b)b?c"],
    ["--color=always", "-n", "-C1", "-e", "delta", "-e", "alpha"], ["--color=always", "-l", "a"],
    ["-n", ""], ["-L", "-v", "a"], ["-o", "x*"], ["-H", "-h", "aaa"], ["["], ["-c", "-h", "a"],
    ["--color=always", "-o", "-w", "word"], ["-zn", "alpha"], ["-zc", "alpha"], ["-C0", "-n", "a"],
    ["--break", "alpha"], ["--heading", "-c", "alpha"], ["-I", "-L", "alpha"],
    ["-a", "-C1", "alpha"],
)  # fmt: skip


@pytest.mark.root
def test_output_of_commits(tmp_path: Path) -> None:
    rng = random.Random(3)
    texts = Texts(tmp_path)
    texts.grow(rng, random_parents(rng, 8, octopus=0), _evolve)
    plain = tmp_path / "git"
    plain.mkdir()
    (plain / ".envgit").symlink_to(texts.plain)
    wrong = []
    for argv in FORMS:
        for numbers, paths in (([7], []), ([3, 7], []), ([5], ["d"]), ([5], ["a", "d.y"])):
            ours = both.envgit(
                texts.lab, "grep", *argv, *(texts.ours[n] for n in numbers), "--", *paths,
                env=texts.environ,
            )  # fmt: skip
            said = both.git(
                plain, *ONE, "grep", *argv, *(texts.theirs[n] for n in numbers), "--", *paths
            )
            pair = [
                (one[0], texts.numbered(one[1]), texts.numbered(one[2])) for one in (ours, said)
            ]
            if pair[0] != pair[1]:
                wrong.append((argv, paths, pair))
    assert not wrong, f"{len(wrong)}: {[one[0] for one in wrong]} {wrong[0]}"


@pytest.mark.root
def test_the_worktree_with_what_is_uncommitted(tmp_path: Path) -> None:
    twins = Twins(tmp_path)
    tree: dict[str, tuple[bytes | str, int]] = {
        "etc/a": (b"alpha\nbeta\n", 0o644), "etc/b": (b"alpha\n", 0o644),
        "usr/lib/c": (b"alpha\n", 0o644), "link": ("etc/a", 0o777),
    }  # fmt: skip
    twins.change_to(tree)
    twins.commit("one")
    del tree["etc/b"]
    tree["etc/a"] = (b"beta alpha\n", 0o644)
    tree["new/d"] = (b"alpha new\n", 0o644)
    del tree["usr/lib/c"]
    twins.change_to(tree)
    for argv in (["alpha"], ["-n", "alpha"], ["-l", "alpha", "--", "etc"], ["alpha", "etc"]):
        ours = both.envgit(twins.lab, "grep", *argv, env=twins.environ)
        assert ours == (0, twins.git("grep", *argv), b""), argv


@pytest.mark.root
def test_helpers_find_what_one_process_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = Texts(tmp_path)
    texts.grow(random.Random(8), random_parents(random.Random(8), 9, octopus=0), _evolve)

    def found(pattern: str) -> list[tuple[str | None, bytes, int]]:
        hits = grep(texts.repository, Search((pattern,)), texts.ours[-3:])
        return [(one.revision, one.path, len(one.hits)) for one in hits]

    alone = {pattern: found(pattern) for pattern in ("alpha", "abc", "zzz", "")}
    monkeypatch.setattr("envgit.porcelain.grep._MANY", 1)
    monkeypatch.setattr("envgit.porcelain.grep.processors", lambda: 3)
    assert {pattern: found(pattern) for pattern in alone} == alone


def _shuffle(rng: random.Random, parents: list[Tree]) -> Tree:
    """Files come and go; directories become files and files directories."""
    tree = dict(rng.choice(parents)) if parents else {}
    for _ in range(rng.randint(1, 4)):
        path = b"/".join(rng.choice([b"a", b"b", b"c"]) for _ in range(rng.randint(1, 3)))
        for other in list(tree):
            if other.startswith(path + b"/") or path.startswith(other + b"/"):
                del tree[other]
        if rng.random() < 0.3:
            tree.pop(path, None)
        else:
            tree[path] = b"%d\n" % rng.randint(0, 99) * rng.randint(1, 3)
    return tree or {b"one": b"1\n"}


@pytest.mark.root
def test_a_stack_of_layers_shows_the_files_of_the_commit(tmp_path: Path) -> None:
    rng = random.Random(12)
    texts = Texts(tmp_path)
    texts.grow(rng, random_parents(rng, 60, octopus=0), _shuffle)
    repository = texts.repository
    for merged in (False, True):
        for number in range(0, 60, 3):
            commit = texts.ours[number]
            if merged:  # with the spans that a mount would make
                with repository.store.lock(exclusive=False, what="a test", on_wait=print):
                    chain.resolve(repository, commit)
            found = {
                one.path: one.data for one in grep(repository, Search(("",)), [commit])
            }  # fmt: skip
            assert found == texts.trees[number], number
