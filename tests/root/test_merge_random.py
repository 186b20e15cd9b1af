# SPDX-License-Identifier: Apache-2.0
"""Random environments with links, owners and attributes: merged, resolved, undone, always sound."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import labs

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("overlay", "mountns", "trusted_xattr", "mknod"),
]


def _mutate(seed: float) -> Callable[[str], None]:
    """Some random changes; those that cannot be made where they fall are left out."""

    def change(root: str) -> None:
        rng = random.Random(seed)
        for _ in range(rng.randint(2, 7)):
            files = [os.path.join(top, name) for top, _, names in os.walk(root) for name in names]
            folders = [top for top, _, _ in os.walk(root)]
            if files:
                with contextlib.suppress(OSError):
                    _change(rng, rng.choice(files), rng.choice(folders))

    return change


def _change(rng: random.Random, file: str, folder: str) -> None:
    number = rng.randint(0, 3)
    what = rng.choice(["write", "link", "unlink", "mode", "own", "xattr", "mkdir", "symlink", "rm"])
    if what in ("write", "mode", "xattr") and os.path.islink(file):
        return
    if what == "write":
        with open(file, "ab") as stream:
            stream.write(b"%d\n" % number)
    elif what == "link":
        os.link(file, f"{folder}/link{number}", follow_symlinks=False)
    elif what == "unlink":
        os.unlink(file)
    elif what == "mode":
        os.chmod(file, rng.choice([0o600, 0o644, 0o4755]))
    elif what == "own":
        os.lchown(file, number, 0)
    elif what == "xattr":
        os.setxattr(file, "user.a", b"%d" % number)
    elif what == "mkdir":
        os.mkdir(f"{folder}/folder{number}")
    elif what == "symlink":
        os.symlink(f"target{number}", f"{folder}/symlink{number}")
    else:
        os.rmdir(folder)


@pytest.mark.parametrize("seed", range(16))
def test_any_two_environments(seed: int, tmp_path: Path) -> None:
    with labs.scratch(tmp_path) as top:
        lab = labs.make(top)
        for branch in (["switch", "-qC", "exp"], ["switch", "-q", "main"], None):
            seed += 1000
            lab.inside(_mutate(seed))
            lab.call(["commit", "-q", "--allow-empty", "-m", f"{seed}"]).ok()
            if branch is not None:
                lab.call(branch).ok()
        before = lab.sight()
        answer = lab.call(["merge", "--no-ff", "exp"])
        lab.fsck()
        unmerged = lab.open().status().unmerged
        assert answer.status == (1 if unmerged else 0), answer
        if not unmerged:
            lab.call(["undo", "-q"]).ok()
            assert lab.sight() == before
            return
        side = "--ours" if seed % 2 else "--theirs"
        for one in unmerged:
            path = os.fsdecode(one.conflict.path) or "."
            if lab.call(["restore", side, "--", path]).status:
                lab.call(["add", path]).ok()
        lab.fsck()
        lab.call(["commit", "-q", "--no-edit"]).ok()
        lab.fsck()
        assert lab.call(["status", "-s"]).said == ""
