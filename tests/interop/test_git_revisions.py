# SPDX-License-Identifier: Apache-2.0
"""The grammar of revisions, against git rev-parse on a history with merges, tags and a reflog."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from envgit.errors import EnvgitError
from envgit.layers.ids import CommitId
from envgit.repo.refs import HeadUpdate, RefUpdate
from envgit.repo.repository import GitRepository
from envgit.repo.revisions import resolve_object
from envgit.repo.selection import select
from tests.interop.dags import ENVIRONMENT, git, random_parents, write_history
from tests.support.history import CLOCK, History, who

pytestmark = pytest.mark.peer("git>=2.30")


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    """main: c0 c1 c2 M c3, side: s0 s1 merged into M; tags light and annotated, also of a tag."""
    made = History(tmp_path_factory.mktemp("revisions") / "r.git")
    repository = made.git
    first = made.commit({b"f": b"0"}, message="c0 start")
    made.commit({b"f": b"1"}, message="c1 fix: a thing")
    made.commit({b"s": b"0"}, branch="side", parents=[first], message="s0 on the side")
    side = made.commit({b"s": b"1"}, branch="side", message="s1 fix: another")
    tip = made.commit({b"f": b"2"}, message="c2 start over")
    made.commit({b"s": b"1"}, parents=[tip, side], message="Merge branch 'side'")
    last = made.commit({b"f": b"3"}, message="c3 [odd] .text")
    made.commit({b"x": b"0"}, branch="dir/topic-2-gabcdef", parents=[first], message="t0")
    with repository.writer() as writer:
        annotated = writer.add_tag(tip, "v1.0", who(), "one")
        twice = writer.add_tag(annotated, "v1.1", who(), "of a tag", kind="tag")
        of_tree = writer.add_tag(
            repository.git_commit(tip).tree, "tree", who(), "a tree", kind="tree"
        )
        writer.flush()
    refs = {"v1.0": annotated, "v1.1": twice, "light": side, "of-tree": of_tree, "main": first}
    repository.apply(
        [RefUpdate(f"refs/tags/{name}", None, oid) for name, oid in refs.items()], None, who()
    )
    repository.apply([RefUpdate("ORIG_HEAD", None, first)], None, who())
    moves = [("main", "side"), ("side", "dir/topic-2-gabcdef"), ("dir/topic-2-gabcdef", "main")]
    for number, (old, new) in enumerate(moves):
        update = HeadUpdate(
            f"ref: refs/heads/{old}",
            f"ref: refs/heads/{new}",
            f"checkout: moving from {old} to {new}",
        )
        repository.apply([], update, who(100 + number))
    assert repository.head().commit == last
    # git's :/text searches every ref; ours leaves the log of operations out.
    logged = repository.ref("refs/envgit/operations")
    repository.apply([RefUpdate("refs/envgit/operations", logged, None)], None, who())
    return made


# Not @{-3}: git takes the tag "main" there, although its manual speaks of branches.
_SPECS = """
HEAD @ main heads/main refs/heads/main side light v1.0 v1.1 tags/v1.0 refs/tags/v1.0 ORIG_HEAD
dir/topic-2-gabcdef HEAD~ HEAD~0 HEAD~1 HEAD~2 HEAD~3 HEAD~4 HEAD~5 HEAD^ HEAD^0 HEAD^1 HEAD^2
HEAD~^2 HEAD~1^2~1 HEAD^^ HEAD~1^1 HEAD^^2^ v1.0^0 v1.0^{} v1.0^{commit} v1.0^{tree} v1.0^{tag}
v1.1^{} v1.1^{tag} v1.1^{commit} v1.1~1 v1.0~1 of-tree of-tree^{tree} of-tree^{commit} of-tree^{}
HEAD^{object} HEAD^{tree} HEAD^{blob} HEAD^{tag} HEAD^{/fix} HEAD^{/s0} HEAD^{/nothing} v1.0^{/c1}
HEAD^{/!-c3} :/fix :/start :/Merge :/nothing :/^c2 :/!-c3 :/!!c3 :/[odd] @{0} @{1} @{2} @{3} @{4}
@{5} @{99} main@{0} main@{1} main@{4} main@{5} main@{6} main@{7} side@{1} side@{2} side@{3}
HEAD@{0} HEAD@{3} HEAD@{50} @{-1} @{-2} @{-4} @{-1}~1 @{-1}@{1} nope nope~1 HEAD~x HEAD^3
HEAD^{nope} HEAD^{ HEAD@{ HEAD@ @@ ~1 ^1 main~1~1 main^~ light@{0} v1.0@{0} refs/heads heads
HEAD:nope 0000 0123456 zzzz refs/heads/side~1 side^{/s0} HEAD@{1}~1 main@{1}^2 @~2 @^ @^2 @{u}
main@{upstream} side@{u} dir/topic main@{2024-01-01T01:00:03+01:00}
main@{2024-01-01T01:00:06+01:00} main@{1990-01-01} main@{now} HEAD@{2024-01-01T01:01:41+01:00}
side@{yesterday} main@{2030-01-01T00:00:00Z}
"""
SPECS = _SPECS.split()


def theirs(path: Path, spec: str) -> tuple[int, str, str]:
    result = subprocess.run(
        ["git", f"--git-dir={path}", "rev-parse", "--verify", "--end-of-options", spec],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    return result.returncode, result.stdout.strip(), result.stderr


@pytest.mark.parametrize("spec", SPECS)
def test_as_git(history: History, spec: str) -> None:
    status, expected, complaint = theirs(history.path, spec)
    try:
        found = resolve_object(history.git, spec)
    except EnvgitError as error:
        assert status != 0, f"git says {expected}"
        assert error.exit_code == 128
    else:
        assert status == 0, f"git says {complaint}"
        assert found == expected


def test_ids_and_prefixes(history: History) -> None:
    for line in git(history.path, "rev-list", "--objects", "--all").decode().splitlines():
        oid = line.split()[0]
        short = history.git.abbrev(oid, 4)
        assert oid.startswith(short)
        for spec in (oid, oid.upper(), oid[:12], short, f"v1-3-g{short}", f"{oid[:12]}^{{}}"):
            status, expected, _ = theirs(history.path, spec)
            if status == 0:
                assert resolve_object(history.git, spec) == expected
        shorter = short[:-1]
        if len(short) > 4:
            assert theirs(history.path, shorter)[0] != 0 or shorter != oid


RANGES = [
    ["main"], ["main..side"], ["side..main"], ["main...side"], ["..side"], ["side.."], ["...side"],
    ["^side", "main"], ["main", "--not", "side"], ["main^@"], ["HEAD~1^!"], ["HEAD~1^-"],
    ["HEAD~1^-2"], ["v1.0..main"], ["main", "side", "^light~1"], ["HEAD~1^2..HEAD"],
]  # fmt: skip


@pytest.mark.parametrize("specs", RANGES, ids=" ".join)
@pytest.mark.parametrize("order", ["default", "topo", "date", "author-date"])
def test_ranges(history: History, specs: list[str], order: str) -> None:
    # "main" is a tag too: git takes the tag, and so must we.
    flag = {"default": [], "topo": ["--topo-order"], "date": ["--date-order"]}
    flags = flag.get(order, ["--author-date-order"])
    chosen = select(history.git, specs)
    found = list(history.git.walk(chosen.include, chosen.exclude, order=order))
    assert found == git(history.path, "rev-list", *flags, *specs).decode().split()


def test_all(history: History) -> None:
    chosen = select(history.git, [], globs=["all"])
    expected = git(history.path, "rev-list", "--exclude=refs/tags/of-tree", "--all")
    assert set(history.git.walk(chosen.include)) == set(expected.decode().split())


def test_words(history: History) -> None:
    """What git says when it fails, but for the program's name in the hint."""
    for spec, words in {
        "nope": "ambiguous argument 'nope': unknown revision or path not in the working tree.",
        "HEAD@{77}": "log for 'HEAD' only has 8 entries",
        "main@{77}": "log for 'main' only has",
        "side@{u}": "no upstream configured for branch 'side'",
    }.items():
        with pytest.raises(EnvgitError) as caught:
            history.git.resolve(spec)
        assert caught.value.message.startswith(words)


@pytest.mark.parametrize("seed", range(12))
def test_merge_bases(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    path = tmp_path / "r.git"
    step = rng.choice([0, 60])
    ids = [CommitId(oid) for oid in write_history(path, random_parents(rng, 30), step=step)]
    repository = GitRepository.open(str(path))
    for _ in range(25):
        one, *others = rng.sample(ids, rng.choice([2, 2, 2, 3]))
        result = subprocess.run(
            ["git", f"--git-dir={path}", "merge-base", "--all", one, *others],
            env=ENVIRONMENT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert sorted(repository.merge_bases(one, *others)) == sorted(result.stdout.split())
        if len(others) == 1 and result.stdout:
            assert repository.merge_base(one, others[0]) in result.stdout.split()
        related = subprocess.run(
            ["git", f"--git-dir={path}", "merge-base", "--is-ancestor", one, others[0]],
            env=ENVIRONMENT, check=False,
        )  # fmt: skip
        assert repository.is_ancestor(one, others[0]) == (related.returncode == 0)
        left, right = git(
            path, "rev-list", "--left-right", "--count", f"{one}...{others[0]}"
        ).split()
        assert repository.ahead_behind(one, others[0]) == (int(left), int(right))


def test_clock_of_the_tests() -> None:
    assert who().time == CLOCK


@pytest.mark.parametrize("seed", range(4))
def test_which_tips_contain_a_commit(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "r.git"
    write_history(path, random_parents(random.Random(seed), 60, octopus=0.2))
    repository = GitRepository.open(str(path))
    ids = [CommitId(oid) for oid in git(path, "rev-list", "--all").decode().split()]
    for number, oid in enumerate(ids):
        git(path, "update-ref", f"refs/heads/at{number}", oid)
    for oid in ids[::7]:
        listed = git(path, "branch", "--format=%(objectname)", "--contains", oid).decode().split()
        assert repository.containing(oid, ids) == set(listed)
        listed = git(path, "branch", "--format=%(objectname)", "--merged", oid).decode().split()
        assert repository.ancestors(oid) == set(listed)


def test_tags_of_tags_contain_what_their_commits_do(history: History) -> None:
    repository = history.git
    first = repository.resolve("main")
    tags = {CommitId(oid): name for name, oid in repository.refs("refs/tags/").items()}
    found = {tags[oid] for oid in repository.containing(first, tags)}
    listed = git(Path(repository.path), "tag", "--contains", first).decode().split()
    assert found == {f"refs/tags/{name}" for name in listed}
    assert "refs/tags/v1.1" in found and "refs/tags/of-tree" not in found


def test_a_log_reads_no_tree(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = GitRepository.open(history.git.path)
    kinds = []
    read = GitRepository.read

    def counting(self: GitRepository, oid: str) -> tuple[str, bytes]:
        found = read(self, oid)
        kinds.append(found[0])
        return found

    monkeypatch.setattr(GitRepository, "read", counting)
    head = repository.resolve("HEAD")
    for oid in repository.walk([head]):
        assert repository.git_commit(oid).subject
    assert "tree" not in kinds
    assert repository.git_commit(head).rootfs
    assert "tree" in kinds
