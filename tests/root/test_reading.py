# SPDX-License-Identifier: Apache-2.0
"""What git has no words for: owners, whole modes, attributes, directories, special files."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.interop.both import envgit
from tests.interop.twins import Twins

pytestmark = [pytest.mark.root, pytest.mark.needs("overlay")]

DIFF = """\
diff --git a/etc/ b/etc/
old owner 0:0
new owner 7:8
diff --git a/etc/conf b/etc/conf
old mode 100644
new mode 104755
old xattr user.note unset
new xattr user.note 0x01
diff --git a/etc/time b/etc/time
old mtime 2023-11-14 22:13:20 +0000
new mtime 2023-11-14 22:15:00 +0000
diff --git a/new/ b/new/
new file mode 040755
diff --git a/pipe b/pipe
new file mode 010600
new file owner 0:5
"""

STATUS = """\
On branch main
Changes to be committed:
  (use "envgit restore <path>..." to discard changes)
	modified:   etc/ (owner)
	modified:   etc/conf (mode, attributes)
	modified:   etc/time (time)
	new file:   new/
	new file:   pipe

"""


@pytest.fixture
def lab(tmp_path: Path) -> Twins:
    """One commit, and on top of it changes of metadata alone."""
    twins = Twins(tmp_path)
    twins.change_to({"etc/conf": (b"text\n", 0o644), "etc/time": (b"x\n", 0o644)})
    twins.commit("first")
    repository = twins.repository()
    upper = Path(repository.store.upper_path(repository.worktree.state().changes))
    (upper / "etc").mkdir()
    os.chown(upper / "etc", 7, 8)
    for name, data in (("conf", b"text\n"), ("time", b"x\n")):
        (upper / "etc" / name).write_bytes(data)
        os.utime(upper / "etc" / name, (1_700_000_000, 1_700_000_000))
    os.chmod(upper / "etc/conf", 0o4755)
    os.setxattr(upper / "etc/conf", "user.note", b"\x01")
    os.utime(upper / "etc/time", (1_700_000_100, 1_700_000_100))
    (upper / "new").mkdir(mode=0o755)
    os.mkfifo(upper / "pipe", 0o600)
    os.chown(upper / "pipe", 0, 5)
    return twins


def say(twins: Twins, *argv: str) -> str:
    status, out, err = envgit(twins.lab, *argv, env=twins.environ)
    assert status == 0, err.decode()
    return out.decode()


def test_metadata_is_shown_in_the_style_of_modes(lab: Twins) -> None:
    assert say(lab, "diff") == DIFF
    assert say(lab, "status") == STATUS
    assert say(lab, "status", "-s").splitlines() == (
        ["M  etc/", "M  etc/conf", "M  etc/time", "A  new/", "A  pipe"]
    )
    assert " mode change 100644 => 104755 etc/conf\n" in say(lab, "diff", "--summary")
    assert " owner change 0:0 => 7:8 etc/\n" in say(lab, "diff", "--summary")


def test_paths_need_no_dashes_where_they_exist(lab: Twins) -> None:
    """Also where they are not committed yet; anything else is no revision."""
    assert say(lab, "diff", "--name-only", "pipe", "/etc/time") == "etc/time\npipe\n"
    status, _, said = envgit(lab.lab, "diff", "nothing", env=lab.environ)
    assert status == 128 and said.startswith(b"fatal: ambiguous argument 'nothing'")


def test_what_was_committed_reads_the_same(lab: Twins) -> None:
    lab.repository().commit("second")
    assert say(lab, "diff", "HEAD~1", "HEAD") == DIFF
    assert say(lab, "show", "--format=") == DIFF
    assert say(lab, "status").endswith("nothing to commit, working tree clean\n")
    assert say(lab, "show", "HEAD:etc/conf") == say(lab, "show", "HEAD~1:/etc/conf") == "text\n"
    assert "7:8\tetc" in say(lab, "ls-tree", "-l", "HEAD")
    found = json.loads(say(lab, "log", "--json", "--name-status", "-1"))
    assert [change["path"] for change in found[0]["changes"]] == (
        ["etc", "etc/conf", "etc/time", "new", "pipe"]
    )


def test_a_history_without_its_layers_can_be_read(lab: Twins) -> None:
    repository = lab.repository()
    repository.commit("second")
    layers = Path(repository.store.path) / "layers"
    for layer in layers.iterdir():
        layer.rename(layer.with_name(f"gone-{layer.name}"))
    assert "etc/conf | Bin 0 -> 5 bytes" in say(lab, "log", "--stat", "--reverse")
    assert "Binary files /dev/null and b/etc/conf differ" in say(lab, "show", "HEAD~1")
