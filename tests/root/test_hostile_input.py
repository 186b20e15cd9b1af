# SPDX-License-Identifier: Apache-2.0
"""Archives, paths and arguments that are hostile or nonsense: refused by name, nothing touched."""

from __future__ import annotations

import io
import os
import re
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import scenarios
from tests.support.labs import Lab

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("overlay", "mountns", "trusted_xattr", "mknod"),
]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Lab]]:
    """Gives the lab of the scenarios, with uncommitted changes, whole."""
    with scenarios.shelved(tmp_path_factory.mktemp("bad")) as fresh:
        yield fresh


@pytest.fixture
def lab(shelf: Callable[[], Lab], hermetic: Path) -> Lab:
    return shelf()


def tar_of(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(b"x" * member.size))
    return path


def member(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 1
) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    info.size = size if kind == tarfile.REGTYPE else 0
    return info


SYM, HARD = tarfile.SYMTYPE, tarfile.LNKTYPE

HOSTILE = {
    "up": [member("../evil")],
    "absolute": [member("/evil")],
    "through a symlink": [member("s", SYM, "/tmp"), member("s/evil")],
    "a hard link out": [member("l", HARD, "../../../../etc/passwd")],
    "a hard link through a symlink": [member("s", SYM, "/etc"), member("l", HARD, "s/passwd")],
    # Unpacked, and refused only when it is to be committed.
    "deeper than git goes": [member("d/" * 2100 + "l")],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_leaves_nothing_behind(name: str, tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "a.tar", member("good"), *HOSTILE[name])
    refuse(tmp_path, f"tar:{archive}", r"evil|passwd|\bl\b|levels")


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz", ".zst"])
def test_a_truncated_archive_leaves_nothing_behind(
    suffix: str, lab: Lab, tmp_path: Path, effort: Callable[[int, int], int]
) -> None:
    whole = tmp_path / f"whole.tar{suffix}"
    lab.call(["export", f"tar:{whole}"]).ok()
    # An archive ends with zeros, some of which may be missing.
    data = whole.read_bytes().rstrip(b"\0")
    cut = tmp_path / "cut"
    for number in range(effort(4, 40)):
        cut.write_bytes(data[: len(data) * (2 * number + 1) // (2 * effort(4, 40))])
        refuse(tmp_path, f"tar:{cut}", "cut|archive")


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("tar:/nonexistent", "/nonexistent"),
        ("tar:/etc", "/etc"),
        ("tar:/etc/passwd", "archive"),
        ("rootfs:/nonexistent", "/nonexistent"),
        ("rootfs:/etc/passwd", "/etc/passwd"),
        ("nonsense", "nonsense"),
        ("tar:", "tar"),
        ("debian:", "debian"),
        ("debian:../../x", r"\.\./x"),
        ("docker://x", "docker"),
    ],
)
def test_a_bad_source(source: str, named: str, tmp_path: Path) -> None:
    refuse(tmp_path, source, named)


def refuse(place: Path, source: str, named: str) -> None:
    """``init --from SOURCE`` fails with a message that matches, and leaves nothing."""
    lab = Lab(place / "new")
    lab.project.mkdir(parents=True, exist_ok=True)
    answer = lab.call(["init", "--from", source])
    assert answer.status in (1, 128, 129), answer
    assert re.search(named, answer.said), answer
    assert list(lab.project.iterdir()) == []
    store = lab.top / "store"
    for part in ("changes", "layers", "worktrees", "repositories", "tmp", "trash"):
        assert not (store / part).exists() or list((store / part).iterdir()) == [], part


@pytest.mark.parametrize(
    "command",
    [
        "show HEAD:../../etc/passwd",
        "show HEAD:",
        "restore ../../etc/passwd",
        "restore /../../etc/passwd",
        "commit -m x -- ../../etc",
        "checkout HEAD~1 -- ../x",
        "cp :../../../../../../etc/hostname /dev/null",
        "cp :nowhere /dev/null",
        "mount /nonexistent/x",
        "umount /etc",
        "export tar:/nonexistent/x.tar",
        "export nonsense:x",
        "op restore zzzz",
        "op restore @~99",
        "undo 0",
        "undo -1",
        "undo x",
        "rollback -n 99",
        "rollback nope",
        "switch nope",
        "switch HEAD~1",
        "branch ..",
        "branch a..b",
        "branch HEAD",
        "branch -d nope",
        "tag -d nope",
        "tag @{",
        "commit -m x --date nonsense",
        "commit -m x --author nonsense",
        "log nope",
        "log HEAD...",
        "diff nope",
        "gc --expire=nonsense",
        "config a.b c d e",
        "config nosection",
    ],
)
def test_bad_arguments(command: str, lab: Lab) -> None:
    before = lab.sight()
    answer = lab.call(command.split(" "))
    assert answer.status in (0, 1, 128, 129), answer
    assert "root:x:0:0:root:/root:/bin/bash" not in answer.said
    if answer.status == 0:
        assert command in ("show HEAD:", "log HEAD...", "undo 0"), answer
    else:
        assert re.search("^(fatal|error|usage|hint)", answer.said, re.M), answer
    assert lab.sight() == before


def test_symlinks_that_lead_out_lead_back_in(lab: Lab, tmp_path: Path) -> None:
    """What an environment's links point at is looked for in the environment, never on the host."""
    secret = tmp_path / "secret"
    secret.write_text("the host's")

    def plant(root: str) -> None:
        os.symlink(str(secret), f"{root}/etc/leak")
        os.symlink(str(tmp_path), f"{root}/etc/leaks")
        os.symlink("../../../../../../../../" + str(secret), f"{root}/etc/up")

    scenarios.edit(lab, plant)
    lab.call(["commit", "-q", "-m", "leaky"]).ok()
    for path in ("etc/leak", "etc/leaks/secret", "etc/up"):
        for args in (["show", f"HEAD:{path}"], ["cp", f":/{path}", str(tmp_path / "out")]):
            answer = lab.call(args)
            assert "the host's" not in answer.said, (args, answer)
            out = tmp_path / "out"
            assert not out.is_file() or out.is_symlink() or out.read_text() != "the host's"
            scenarios.remove(out)
    target = tmp_path / "in"
    target.write_text("evil")
    lab.call(["cp", str(target), ":/etc/leaks/secret"])
    lab.call(["cp", str(target), ":/etc/up"])
    assert secret.read_text() == "the host's"
    assert sorted(os.listdir(tmp_path)) == ["in", "secret"]
