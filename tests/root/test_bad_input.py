# SPDX-License-Identifier: Apache-2.0
"""What is damaged, missing or edited by hand: a sentence that names it, never a traceback.

Each damage is done to a whole lab. Then every verb is tried: it works, or says what is wrong and
changes nothing; and fsck names the culprit.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import scenarios
from tests.support.labs import Lab
from tests.support.overlays import assert_same

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("overlay", "mountns", "trusted_xattr", "mknod"),
    pytest.mark.peer("git>=2.30"),
]

VERBS = (
    "status",
    "log --oneline --graph --all",
    "log --stat",
    "show",
    "show HEAD:etc/conf",
    "diff",
    "diff HEAD~1 exp",
    "ls-tree HEAD",
    "rev-parse HEAD",
    "merge-base HEAD exp",
    "reflog",
    "branch -v",
    "tag -l -n",
    "op log",
    "op show",
    "du",
    "config --list",
    "export tar:-",
    "run --dry-run -- true",
    "run -- true",
    "run --at HEAD~1 -- true",
    "commit --allow-empty -q -m next",
    "commit -q -m part -- etc",
    "commit --amend -q -m amended",
    "tag new",
    "branch another",
    "branch -D exp",
    "restore etc",
    "switch -q --discard-changes side",
    "rollback -q",
    "rollback -q --keep-history HEAD~1",
    "reset -q --hard HEAD",
    "undo",
    "redo",
    "gc",
    "fsck",
)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Lab]]:
    """Gives the lab of the scenarios, with uncommitted changes, whole."""
    with scenarios.shelved(tmp_path_factory.mktemp("bad")) as fresh:
        yield fresh


@pytest.fixture
def lab(shelf: Callable[[], Lab], hermetic: Path) -> Lab:
    return shelf()


# -- the damages ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Damage:
    """How to do it, and what fsck (or, if ``by`` is given, that verb) must say."""

    name: str
    do: Callable[[Lab], None]
    named: str
    by: str = "fsck"

    def __str__(self) -> str:
        return self.name


def git_file(name: str, content: bytes | None) -> Callable[[Lab], None]:
    """Give a file of the repository this content, or remove it."""
    return lambda lab: put(lab.project / ".envgit" / name, content)


def put(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink()
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def state(lab: Lab) -> Path:
    return Path(lab.open().named_worktree().path, "state")


def edited(key: str, value: object) -> Callable[[Lab], None]:
    """Exchange one value of the worktree's state file."""

    def do(lab: Lab) -> None:
        record = json.loads(state(lab).read_bytes())
        record[key] = value
        state(lab).write_text(json.dumps(record))

    return do


def largest_pack(lab: Lab) -> Path:
    return max(
        (lab.project / ".envgit/objects/pack").glob("*.pack"), key=lambda p: p.stat().st_size
    )


def flip_pack(lab: Lab) -> None:
    pack = largest_pack(lab)
    data = bytearray(pack.read_bytes())
    for at in range(len(data) // 3, len(data) // 3 + 40):
        data[at] ^= 0xFF
    pack.chmod(0o644)
    pack.write_bytes(data)


def cut_pack(lab: Lab) -> None:
    pack = largest_pack(lab)
    pack.chmod(0o644)
    os.truncate(pack, pack.stat().st_size // 2)


def lose_pack(lab: Lab) -> None:
    pack = largest_pack(lab)
    pack.unlink()
    pack.with_suffix(".idx").unlink()


def layer(lab: Lab, revision: str) -> Path:
    repository = lab.open()
    commit = repository.git.commit(repository.git.resolve(revision))
    return Path(repository.store.layer_path(commit.layer))


def lose_layer(revision: str) -> Callable[[Lab], None]:
    return lambda lab: scenarios.remove(layer(lab, revision))


def in_layer(revision: str, change: Callable[[Path], object]) -> Callable[[Lab], None]:
    def do(lab: Lab) -> None:
        change(layer(lab, revision))

    return do


def rewrite(path: Path) -> None:
    """Other content of the same size, with the same times."""
    status = path.stat()
    path.write_bytes(b"x" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def link_away(path: Path) -> None:
    """Put a symlink out of the layer in the place of a directory."""
    scenarios.remove(path)
    path.symlink_to("/etc")


def store_file(name: str, content: bytes) -> Callable[[Lab], None]:
    return lambda lab: put(lab.top / "store" / name, content)


def in_changes(name: str, content: bytes) -> Callable[[Lab], None]:
    """Give a file beside the uncommitted changes this content."""
    return lambda lab: put(
        lab.top / "store/changes" / lab.open().worktree.state().changes / name, content
    )


def lose_changes(lab: Lab) -> None:
    repository = lab.open()
    scenarios.remove(repository.store.changes_path(repository.worktree.state().changes))


def foreign_commit(content: dict[str, bytes]) -> Callable[[Lab], None]:
    """Point main at a commit that plain git made of these files."""

    def do(lab: Lab) -> None:
        git = ["git", f"--git-dir={lab.project}/.envgit"]
        environ = {**lab.environ, "GIT_INDEX_FILE": str(lab.top / "index")}

        def run(*words: str, data: bytes = b"") -> str:
            done = subprocess.run(
                [*git, *words], input=data, env=environ, capture_output=True, check=True
            )
            return done.stdout.decode().strip()

        for name, data in content.items():
            blob = run("hash-object", "-w", "--stdin", data=data)
            run("update-index", "--add", "--cacheinfo", f"100644,{blob},{name}")
        tree = run("write-tree")
        commit = run("commit-tree", tree, "-p", "main", "-m", "by hand")
        run("update-ref", "refs/heads/main", commit)
        (lab.top / "index").unlink()

    return do


POINTER = b"envgit-pointer 1\ntype file\nmode 0644\nowner 0:0\nmtime 0\nsize 0\nsha256 " + b"0" * 64
JUNK_RUNS = b'junk\n{"argv": 1}\n[]\n\xff\n{"argv": [1], "exit_code": "x"}\n'
JSON = b'{"config": {}, "format": 1, "runs": []}\n'

DAMAGES = (
    Damage("a flipped byte in a pack", flip_pack, r"[0-9a-f]{40}|\.pack"),
    Damage("a cut pack", cut_pack, r"[0-9a-f]{40}|\.pack"),
    Damage("a lost pack", lose_pack, r"[0-9a-f]{40}"),
    Damage("an empty ref", git_file("refs/heads/main", b""), "refs/heads/main"),
    Damage("a ref of junk", git_file("refs/heads/exp", b"\0\xffjunk\n"), "refs/heads/exp"),
    Damage(
        "a ref to nothing", git_file("refs/heads/exp", b"1" * 40 + b"\n"), "1{40}|refs/heads/exp"
    ),
    Damage("an empty HEAD", git_file("HEAD", b""), "HEAD"),
    Damage("a HEAD of junk", git_file("HEAD", b"junk\n"), "HEAD"),
    Damage("no HEAD", git_file("HEAD", None), "not an envgit repository"),
    Damage("an empty operation log", git_file("refs/envgit/operations", b""), "operations"),
    Damage("operations that are none", lambda lab: _operations_are_a_commit(lab), "operation"),
    Damage("a reflog of junk", git_file("logs/HEAD", b"junk\n\0\xff\n"), "", by="reflog"),
    Damage("a config of junk", git_file("config", b"[core\nx = \xff"), r"config"),
    Damage("a config without worktree", git_file("config", b"[core]\n\tbare = true\n"), "worktree"),
    Damage(
        "a worktree that is a path",
        git_file("config", b"[core]\n\tbare = true\n[envgit]\n\tworktree = ../../etc\n"),
        "envgit.worktree",
    ),
    Damage("a lost root layer", lose_layer("v1"), "layer .* is missing"),
    Damage("a lost top layer", lose_layer("main"), "layer .* is missing"),
    Damage("another content", in_layer("v2", lambda top: rewrite(top / "usr/lib/c")), "usr/lib/c"),
    Damage("another mode", in_layer("v2", lambda top: (top / "bin/tool").chmod(0o700)), "bin/tool"),
    Damage("a lost file", in_layer("v1", lambda top: (top / "etc/conf").unlink()), "etc/conf"),
    Damage("a file too many", in_layer("v1", lambda top: put(top / "evil", b"")), "evil"),
    Damage(
        "a symlink for a directory",
        in_layer("v1", lambda top: link_away(top / "etc")),
        "etc",
    ),
    Damage("a state of junk", lambda lab: put(state(lab), b"\xff{"), "/state"),
    Damage("an empty state", lambda lab: put(state(lab), b""), "/state"),
    Damage("a lost state", lambda lab: put(state(lab), None), "/state"),
    Damage("a state that leads out", edited("stack", ["../../../etc"]), "/state"),
    Damage("a state of another type", edited("depth", "deep"), "/state"),
    Damage("a state of the future", edited("format", 99), "/state"),
    Damage("a state at nothing", edited("base", "1" * 40), "1{40}"),
    Damage("a state without layers", edited("stack", ["layers/" + "1" * 40]), "layers/1{40}"),
    Damage("a state with other changes", edited("changes", "1" * 32), "1{32}"),
    Damage("lost changes", lose_changes, "uncommitted changes .* are gone"),
    Damage("a journal of junk", lambda lab: put(state(lab).with_name("journal"), b"{"), "journal"),
    Damage("an empty journal", lambda lab: put(state(lab).with_name("journal"), b""), "journal"),
    Damage("a store of the future", store_file("format", b"envgit-store 99\n"), "format 99"),
    Damage("a store that is none", store_file("format", b"junk"), "format"),
    Damage(
        "registrations of junk",
        store_file("repositories/" + "1" * 32, b"junk"),
        "repositories/1{32}",
        by="gc",
    ),
    Damage("a stat cache of junk", in_changes("hashes", b"junk"), "", by="status"),
    Damage("runs of junk", in_changes("runs", JUNK_RUNS), "", by="status"),
    Damage("a commit without layer", foreign_commit({"rootfs/x": b"x"}), "[0-9a-f]{40}"),
    Damage(
        "a pointer of junk",
        foreign_commit({"rootfs/x": b"junk", "layer/x": b"junk", "envgit.json": JSON}),
        r"\bx\b|[0-9a-f]{40}",
    ),
    Damage(
        "metadata of junk",
        foreign_commit({"rootfs/x": POINTER, "layer/x": POINTER, "envgit.json": b"{"}),
        "envgit.json|[0-9a-f]{40}",
    ),
    Damage("a branch of plain git", foreign_commit({"README": b"hello\n"}), "[0-9a-f]{40}"),
)


def _operations_are_a_commit(lab: Lab) -> None:
    main = lab.open().git.ref("refs/heads/main")
    put(lab.project / ".envgit/refs/envgit/operations", f"{main}\n".encode())


@pytest.mark.parametrize("damage", DAMAGES, ids=str)
def test_every_verb_copes(damage: Damage, lab: Lab, effort: Callable[[int, int], int]) -> None:
    damage.do(lab)
    named = lab.call(damage.by.split())
    assert re.search(damage.named, named.said), named
    # Another part of the verbs for each damage.
    step = effort(4, 1)
    for verb in VERBS[DAMAGES.index(damage) % step :: step]:
        answer = lab.call(verb.split())  # which fails for a traceback
        if answer.status > 0 and not verb.startswith(("run", "fsck", "config")):
            assert answer.status in (1, 128, 129), (verb, answer)
            assert re.search(r"(^|\0)(fatal|error|hint|warning|On branch)", answer.said, re.M), (
                verb,
                answer,
            )


@pytest.mark.parametrize("damage", [d for d in DAMAGES if " state" in d.name], ids=str)
def test_repair_of_a_state(damage: Damage, lab: Lab) -> None:
    """fsck --repair, which the message names, gives a worktree at HEAD; undo still works."""
    damage.do(lab)
    assert "/state" not in damage.named or "--repair" in lab.call(["run", "--", "true"]).said
    before = lab.open().git.refs("refs/heads/")
    lab.call(["fsck", "--repair"]).ok()
    assert lab.call(["status", "--short"]).ok().said == ""
    assert lab.open().git.refs("refs/heads/") == before
    lab.call(["undo", "-q"]).ok()
    lab.fsck()


def test_repair_leaves_alone_what_is_well(lab: Lab) -> None:
    before = lab.sight()
    lab.call(["fsck", "--repair"]).ok()
    assert lab.sight() == before


def test_the_way_out_of_lost_changes(lab: Lab) -> None:
    """What the message advises works."""
    lose_changes(lab)
    assert "reset --hard" in lab.call(["run", "--", "true"]).said
    lab.call(["reset", "-q", "--hard"]).ok()
    assert_same(lab.photograph(), lab.photograph("HEAD"))
    lab.fsck()


def test_a_hand_edited_stack_mounts_nothing_foreign(lab: Lab) -> None:
    """The state names what root mounts: it can name nothing outside of the store."""
    for value in ("../../../../etc", "/etc", "layers/../../../etc", "layers", "changes/x", ""):
        edited("stack", [value])(lab)
        answer = lab.call(["run", "--", "true"])
        assert answer.status == 125 and "/state" in answer.said, (value, answer)


def test_the_undamaged_lab_is_whole(lab: Lab) -> None:
    """What the damaged ones must fail."""
    lab.fsck()
    assert lab.call(["fsck"]).ok().said == ""
