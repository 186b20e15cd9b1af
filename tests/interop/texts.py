# SPDX-License-Identifier: Apache-2.0
"""Histories of text files, merges among them, in an environment and in git, told by numbers.

Layers are written straight into a store, so that hundreds of commits take seconds and no mount.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from envgit.layers.compare import difference
from envgit.layers.entry import Kind, Node, walk
from envgit.layers.ids import CommitId
from envgit.layers.marks import OPAQUE
from envgit.porcelain.foundation.repository import Repository
from envgit.repo.metadata import Metadata
from envgit.repo.refs import RefUpdate
from envgit.repo.repository import GitRepository
from envgit.repo.signature import Signature
from tests.interop.dags import ENVIRONMENT, git
from tests.support.history import Shape, layer

Tree = Mapping[bytes, bytes]
"""Path -> content."""

PEOPLE = (("Ada Ä", "ada@example.org", 60), ("Bob", "b@x", -330), ("Cid C", "cid@example.net", 0))
CLOCK = 1_700_000_000


class Texts:
    """``lab`` is the environment's project folder (needs root), ``plain`` a bare git repository."""

    def __init__(self, folder: Path) -> None:
        self.lab, self.plain = folder / "lab", folder / "plain.git"
        self.lab.mkdir()
        self.environ = {**ENVIRONMENT, "ENVGIT_STORE": str(folder / "store")}
        self.git = GitRepository.create(str(self.lab / ".envgit"))
        self.repository = Repository(str(self.lab / ".envgit"), environ=self.environ)
        subprocess.run(
            ["git", "init", "-q", "--bare", "-b", "main", self.plain], env=ENVIRONMENT, check=True
        )
        self.ours: list[CommitId] = []
        self.theirs: list[str] = []
        self.trees: list[Tree] = []
        self._nodes: list[Node] = []

    def commit(
        self, tree: Tree, parents: Sequence[int] = (), *, when: int | None = None, message: str = ""
    ) -> int:
        """Commit ``tree`` in both; the number of the commit."""
        number = len(self.ours)
        seconds = CLOCK + 60 * number if when is None else when
        name, mail, offset = PEOPLE[number % len(PEOPLE)]
        who = Signature(name, mail, seconds, offset)
        message = message or f"commit {number}\n"
        self._ours(tree, parents, who, message)
        self._theirs(tree, parents, who, message)
        self.trees.append(dict(tree))
        return number

    def grow(self, rng: random.Random, parents: Sequence[Sequence[int]], evolve: object) -> None:
        """A commit for each of ``parents``, its tree made by ``evolve(rng, parents' trees)``."""
        for ancestors in parents:
            tree = evolve(rng, [self.trees[index] for index in ancestors])  # type: ignore[operator]
            self.commit(tree, ancestors)

    def _ours(self, tree: Tree, parents: Sequence[int], who: Signature, message: str) -> None:
        new = layer(_nested(tree))
        old = self._nodes[parents[0]] if parents else None
        changed = difference(old, new) if old is not None else new
        base = self.git.commit(self.ours[parents[0]]).rootfs if parents else None
        tip = self.git.ref("refs/heads/main")
        with self.git.writer() as writer:
            layer_id = writer.write_layer(changed)
            oid = writer.write_commit(
                writer.write_rootfs(base, changed), layer_id, Metadata(),
                [self.ours[index] for index in parents], who, who, message,
            )  # fmt: skip
            writer.flush()
        self.git.apply([RefUpdate("refs/heads/main", tip, oid, "x")], None, who)
        self._write(self.repository.store.layer_path(layer_id), changed, tree)
        self.ours.append(oid)
        self._nodes.append(new)

    def _write(self, root: str, changed: Node, tree: Tree) -> None:
        if os.path.isdir(root):
            return
        for path, entry in walk(changed):
            place = os.path.join(os.fsencode(root), path)
            if entry.kind == Kind.DIR:
                os.makedirs(place, exist_ok=True)
                if entry.opaque:
                    os.setxattr(place, OPAQUE, b"y")
            elif entry.kind == Kind.WHITEOUT:
                os.mknod(place, 0o020000, 0)
            else:
                Path(os.fsdecode(place)).write_bytes(tree[path])

    def _theirs(self, tree: Tree, parents: Sequence[int], who: Signature, message: str) -> None:
        env = {"GIT_INDEX_FILE": str(self.plain / "index")}
        env |= {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in
                (("NAME", who.name), ("EMAIL", who.email),
                 ("DATE", f"{who.time} {_zone(who.offset)}"))}  # fmt: skip
        lines = []
        for path, content in tree.items():
            blob = git(self.plain, "hash-object", "-w", "--stdin", stdin=content).strip()
            lines.append(b"100644 %b\t%b\0" % (blob, path))
        git(self.plain, "read-tree", "--empty", env=env)
        git(self.plain, "update-index", "-z", "--index-info", stdin=b"".join(lines), env=env)
        written = git(self.plain, "write-tree", env=env).decode().strip()
        said = [word for index in parents for word in ("-p", self.theirs[index])]
        oid = git(
            self.plain, "commit-tree", *said, written, stdin=message.encode(), env=env
        ).decode().strip()  # fmt: skip
        git(self.plain, "update-ref", "refs/heads/main", oid)
        self.theirs.append(oid)

    def numbered(self, output: bytes) -> bytes:
        """Output with every id, whole or short, replaced by the number of its commit."""
        known = {
            oid[:7]: index for ids in (self.ours, self.theirs) for index, oid in enumerate(ids)
        }

        def number(found: re.Match[bytes]) -> bytes:
            index = known.get(found[0][:7].decode())
            # As wide as the id was, for columns count.
            return found[0] if index is None else b"<%0*d>" % (len(found[0]), index)

        return re.sub(
            rb"(?<![0-9a-zA-Z_])[0-9a-f]{7,40}\b|(?<=\x1b\[3[0-9]m)[0-9a-f]{7,40}", number, output
        )

    def set_tag(self, name: str, number: int) -> None:
        """A light tag in both."""
        who = Signature("T", "t@x", CLOCK, 0)
        self.git.apply([RefUpdate(f"refs/tags/{name}", None, self.ours[number], "x")], None, who)
        git(self.plain, "update-ref", f"refs/tags/{name}", self.theirs[number])


def _nested(tree: Tree) -> Shape:
    root: dict[bytes, Any] = {}
    for path, content in tree.items():
        *above, name = path.split(b"/")
        here = root
        for part in above:
            here = here.setdefault(part, {})
        here[name] = content
    return root


def _zone(offset: int) -> str:
    hours, minutes = divmod(abs(offset), 60)
    return f"{'-' if offset < 0 else '+'}{hours:02}{minutes:02}"
