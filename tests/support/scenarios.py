# SPDX-License-Identifier: Apache-2.0
"""Every verb that writes, each in a situation in which it has something to do.

The crash tests kill them, the disk-full tests starve them. All begin in one and the same lab, which
has branches, tags, history, an operation to redo and uncommitted changes of every kind.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from envgit.repo.packindex import MANY_PACKS
from envgit.store.spans import TARGET
from tests.support import builders, labs, probes
from tests.support.labs import Lab


@dataclass(frozen=True)
class Scenario:
    """A command line and what comes before it.

    ``prepare`` are command lines run first; ``clean`` says that there are no uncommitted changes;
    ``runs`` that an environment in which commands can run is needed. ``between`` are the command
    lines that lead to what may be seen on the way. ``fill`` names what there is as much of as may
    be before upkeep is due: ``layers`` or ``packs``. ``writes`` are paths that the command writes
    while it goes on, as a program would: they may be in any state when it is killed.
    """

    name: str
    args: tuple[str, ...]
    prepare: tuple[tuple[str, ...], ...] = ()
    clean: bool = False
    runs: bool = False
    between: tuple[tuple[str, ...], ...] = ()
    fill: str = ""
    writes: tuple[bytes, ...] = ()

    def __str__(self) -> str:
        return self.name


def _scenario(
    command: str,
    *prepare: str,
    name: str = "",
    clean: bool = False,
    runs: bool = False,
    between: Sequence[str] = (),
    fill: str = "",
    writes: tuple[bytes, ...] = (),
) -> Scenario:
    words, *before = (tuple(line.split(" ")) for line in (command, *prepare))
    on_the_way = tuple(tuple(line.split(" ")) for line in between)
    name = name or command.replace(" ", "_")
    return Scenario(name, words, tuple(before), clean, runs, on_the_way, fill, writes)


_BY_SCRIPT = (b"etc/ran", b"bin/tool")

# Commands after which main and exp have each changed one file in their own way.
_CLASHING = (
    "switch -q exp",
    "cp /proc/version :/usr/share/doc/x",
    "commit -q -m clashing",
    "switch -q main",
)

SCENARIOS = (
    _scenario("commit -m new"),
    _scenario("commit -m new -- etc usr/new"),
    _scenario("commit --amend -m amended"),
    _scenario("commit --amend -m reworded", clean=True, name="reword"),
    _scenario("commit --allow-empty -m empty", clean=True),
    _scenario("commit -m again", "reset -q --soft HEAD~1", name="commit_after_soft"),
    _scenario("rollback", name="rollback_dirty"),
    _scenario("rollback", clean=True, name="rollback_clean"),
    _scenario("rollback -n 2"),
    _scenario("rollback --keep-history HEAD~1"),
    _scenario("rollback --package demo", name="rollback_package"),
    _scenario("rollback --package demo -m back", name="rollback_package_to_a_commit"),
    _scenario("reset --hard HEAD~1"),
    _scenario("reset --soft HEAD~1"),
    _scenario("switch exp", clean=True),
    _scenario("switch --discard-changes exp"),
    _scenario("switch side", name="switch_carrying"),
    _scenario("switch -c fresh HEAD~1", clean=True),
    _scenario("switch -q --detach HEAD~1", clean=True),
    _scenario("checkout -f exp"),
    _scenario("checkout HEAD~1 -- etc/conf"),
    _scenario("restore etc usr"),
    _scenario("branch another"),
    _scenario("branch -D exp"),
    _scenario("branch -m main trunk"),
    _scenario("tag v3"),
    _scenario("tag -a -m annotated v4"),
    _scenario("tag -d v1 v2"),
    _scenario("undo", "rollback", name="undo_rollback"),
    _scenario("undo", "commit -m new", name="undo_commit"),
    _scenario("undo 3", "rollback", between=("undo", "undo 2")),
    _scenario("redo", "rollback", "undo"),
    _scenario("op restore @~3"),
    _scenario("gc"),
    _scenario("gc --expire=now", "rollback", "tag -d v1"),
    _scenario("config core.editor nano"),
    _scenario("fsck --repair", name="repair"),
    _scenario("commit -m new", name="commit_and_merge_layers", fill="layers"),
    _scenario("commit -m new", name="commit_and_merge_packs", fill="packs"),
    _scenario("branch -D exp", "gc", name="delete_a_packed_branch"),
    _scenario("cp /proc/version :/etc/copied", name="cp", writes=(b"etc/copied",)),
    _scenario("run -m ran -- /bin/script", name="run_and_commit", runs=True, writes=_BY_SCRIPT),
    _scenario("run --rm -- /bin/script", name="run_aside", runs=True),
    _scenario("merge side", name="merge_fast_forward"),
    _scenario("merge --no-ff side", name="merge_with_changes"),
    _scenario("merge exp", clean=True),
    _scenario("merge --squash exp", clean=True),
    _scenario("merge --abort", *_CLASHING, "merge --no-ff --no-commit exp", clean=True),
    _scenario("merge --continue", "merge --no-ff --no-commit side"),
    _scenario("add usr", *_CLASHING, "merge -q exp", clean=True),
    _scenario("restore --theirs usr", *_CLASHING, "merge -q exp", clean=True),
    _scenario("undo", *_CLASHING, "merge -q exp", clean=True, name="undo_merge_in_conflict"),
    _scenario("stash"),
    _scenario("stash push -- etc usr/new"),
    _scenario("stash pop", "stash -q"),
    _scenario("stash pop", "stash -q", "cherry-pick side", name="stash_pop_merging"),
    _scenario("stash apply", "stash -q"),
    _scenario("stash drop", "stash -q"),
    _scenario("stash clear", "stash -q"),
    _scenario("stash branch fresh", "stash -q"),
    _scenario("undo", "stash -q", "stash pop -q", name="undo_stash_pop"),
    _scenario("cherry-pick exp", clean=True),
    _scenario("cherry-pick side", name="pick_beside_changes"),
    _scenario("cherry-pick -n side", name="pick_onto_changes"),
    _scenario("undo 2", "cherry-pick side exp", clean=True, between=("undo",), name="undo_picks"),
    _scenario("cherry-pick --skip", *_CLASHING, "cherry-pick exp", clean=True),
    _scenario("cherry-pick --abort", *_CLASHING, "cherry-pick side exp side", clean=True),
    # The package that it brought has another version since.
    _scenario("revert -X ours main~1", clean=True),
    _scenario("revert main", name="revert_beside_changes"),
    _scenario("worktree add linked"),
    _scenario("worktree remove -f linked", "worktree add linked"),
    _scenario("undo", "worktree add linked", name="undo_worktree_add"),
    _scenario("branch -m linked renamed", "worktree add linked"),
    _scenario("bisect start main v1", clean=True),
    _scenario("bisect start --no-checkout main v1", name="bisect_no_checkout"),
    _scenario("bisect good", "bisect start side v1", clean=True),
    _scenario("bisect skip", "bisect start side v1", clean=True),
    _scenario("bisect bad", "bisect start main v1", clean=True, name="bisect_found"),
    _scenario("bisect reset", "bisect start main v1", clean=True),
    _scenario("undo", "bisect start side v1", "bisect good", clean=True, name="undo_bisect_good"),
    _scenario(
        "bisect run rm /bin/tool", "bisect start main v1", clean=True, runs=True, name="bisect_run"
    ),
)


# What `run` scenarios have besides, so that the sandbox need not make mount points.
_RUNNABLE: builders.Tree = {
    "bin": {
        "tool": "#!/bin/sh\n",
        **dict.fromkeys(("sh", "rm", "touch"), "-> busybox"),
        "script": "#!/bin/sh\necho > /etc/ran\ntouch -d @1000 /etc/ran\nrm /bin/tool\n",
    },
    "etc": {
        **dict.fromkeys(("hostname", "hosts", "resolv.conf", "conf"), "one\n"),
        "passwd": "root:x:0:0:root:/root:/bin/sh\n",
        "link": "-> conf",
    },
    **dict.fromkeys(("dev", "proc", "sys")),
}


def build(top: Path, *, busybox: bool = False) -> Lab:
    """The lab that every scenario starts from."""
    content = dict(labs.CONTENT)
    if busybox:
        probes.require("busybox")
        source = probes.busybox_static()
        assert source is not None
        content = {**content, **_RUNNABLE}
        shutil.copy(source, builders.tree(top / "rootfs", content) / "bin/busybox")
        (top / "rootfs/bin/script").chmod(0o755)
        content = {}
    lab = labs.make(top, content)
    call(lab, ("tag", "v1"))
    edit(lab, lambda root: _second(root))
    call(lab, ("commit", "-q", "-m", "second"), ("tag", "-a", "-m", "the second", "v2"))
    call(lab, ("switch", "-q", "-c", "exp"))
    edit(lab, lambda root: _write(f"{root}/usr/lib/exp", "experiment\n"))
    call(lab, ("commit", "-q", "-m", "experiment"), ("switch", "-q", "main"))
    edit(lab, lambda root: _third(root))
    call(lab, ("commit", "-q", "-m", "third"), ("switch", "-q", "-c", "side"))
    edit(lab, lambda root: builders.tree(f"{root}/srv", {"side": "elsewhere\n"}))
    call(lab, ("commit", "-q", "-m", "side"), ("switch", "-q", "main"))
    return lab


def dirty(root: str) -> None:
    """Uncommitted changes: written, new, gone, replaced, opaque, linked, owned, with an xattr."""
    _write(f"{root}/bin/tool", "#!/bin/sh\nexit 1\n")
    _write(f"{root}/etc/conf", "changed\n")
    os.makedirs(f"{root}/usr/new/deep")
    _write(f"{root}/usr/new/deep/file", "new\n")
    os.link(f"{root}/usr/new/deep/file", f"{root}/usr/new/link")
    os.chown(f"{root}/usr/new/deep/file", 70000, 70001)
    os.unlink(f"{root}/etc/link")
    os.mkdir(f"{root}/etc/link")
    shutil.rmtree(f"{root}/usr/lib")
    os.mkdir(f"{root}/usr/lib")
    _write(f"{root}/usr/lib/only", "all that is left\n")
    os.setxattr(f"{root}/usr/lib/only", "user.note", b"kept")
    os.mkfifo(f"{root}/var/empty/fifo")


def prepare(lab: Lab, scenario: Scenario) -> None:
    """Bring a new lab to where ``scenario`` starts."""
    _fill(lab, scenario.fill)
    if not scenario.clean:
        edit(lab, dirty)
    call(lab, *scenario.prepare)
    if scenario.name == "repair":
        worktree = lab.open().worktree
        Path(worktree.path, "state").write_text("{ not a state")


def _fill(lab: Lab, what: str) -> None:
    """Commit until one more layer, or one more pack, makes upkeep due."""
    number = 0
    while what == "layers" and len(lab.open().worktree.state().stack) < TARGET:
        number += 1
        edit(lab, lambda root, number=number: _write(f"{root}/usr/lib/{number % 5}", str(number)))  # type: ignore[misc]
        call(lab, ("commit", "-q", "-m", f"filling {number}"))
    packs = lab.project / ".envgit/objects/pack"
    while what == "packs" and len(list(packs.glob("*.idx"))) < MANY_PACKS - 1:
        number += 1
        call(lab, ("tag", f"filling{number}"))


def edit(lab: Lab, function: Callable[[str], object]) -> None:
    """Change files of the worktree."""
    lab.inside(lambda root: function(root) and None)


def remove(path: str | Path) -> None:
    """Whatever is there, if anything is."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def call(lab: Lab, *commands: Sequence[str]) -> None:
    """Run commands that must work; a merge that stops in conflict has."""
    for command in commands:
        answer = lab.call(command)
        if "CONFLICT (" not in answer.said:
            answer.ok()


class Shelf:
    """Keeps a lab as it is and puts it back, at the very same place, as often as is wanted."""

    def __init__(self, lab: Lab, saved: Path | None = None) -> None:
        self.lab = lab
        self._saved = saved or lab.top.with_name(f"{lab.top.name}.saved")

    def save(self) -> None:
        """Remember the lab as it is now."""
        self._copy(self.lab.top, self._saved)

    def restore(self) -> None:
        """Bring the lab back to what ``save`` saw."""
        self._copy(self._saved, self.lab.top)

    @staticmethod
    def _copy(source: Path, target: Path) -> None:
        target.mkdir(exist_ok=True)
        for name in ("project", "store"):
            subprocess.run(["rm", "-rf", str(target / name)], check=True)
        # One command for both, for layers and spans share inodes.
        subprocess.run(
            ["cp", "-a", str(source / "project"), str(source / "store"), f"{target}/"], check=True
        )


def _second(root: str) -> None:
    _write(f"{root}/usr/lib/c", "library c\n")
    os.unlink(f"{root}/usr/lib/b")
    os.link(f"{root}/usr/lib/c", f"{root}/usr/lib/c.link")
    os.chmod(f"{root}/bin/tool", 0o4755)
    _package(root, "1")


def _third(root: str) -> None:
    _write(f"{root}/usr/share/doc/x", "third\n")
    _package(root, "2")


def _package(root: str, version: str) -> None:
    """A package of Python that one can roll back."""
    place = f"{root}/opt/site-packages"
    shutil.rmtree(place, ignore_errors=True)
    metadata = f"Metadata-Version: 2.1\nName: demo\nVersion: {version}\n"
    info = {"METADATA": metadata, "RECORD": "demo.py,,\n", "INSTALLER": "pip\n"}
    builders.tree(place, {"demo.py": version, f"demo-{version}.dist-info": info})


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


@contextmanager
def shelved(folder: Path) -> Iterator[Callable[[], Lab]]:
    """Gives the lab of the scenarios, with uncommitted changes, whole again at each call."""
    built: list[Shelf] = []
    with labs.scratch(folder) as place:

        def fresh() -> Lab:
            if not built:
                lab = build(place / "lab")
                lab.call(["rollback", "-q"]).ok()
                lab.call(["undo", "-q"]).ok()
                edit(lab, dirty)
                built.append(Shelf(lab))
                built[0].save()
            built[0].restore()
            return built[0].lab

        yield fresh
