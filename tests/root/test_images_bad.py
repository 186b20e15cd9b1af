# SPDX-License-Identifier: Apache-2.0
"""Images that are damaged, forged or impossible are refused, and nothing of them is left."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import builders, cli
from tests.support.layertars import DIR, LINK, archive, member
from tests.support.ociimages import Layout

pytestmark = [pytest.mark.root, pytest.mark.needs("overlay")]


@pytest.fixture
def store() -> Iterator[Path]:
    """The test's store; afterwards nothing half-made may be in it."""
    place = Path(os.environ["ENVGIT_STORE"])
    place.parent.mkdir(parents=True, exist_ok=True)
    before = inventory(place)
    yield place
    assert inventory(place) == before


def inventory(place: Path) -> dict[str, set[str]]:
    kinds = ("layers", "changes", "tmp", "trash", "worktrees")
    return {k: set(os.listdir(place / k)) if (place / k).exists() else set() for k in kinds}


GOOD = archive(member("d", DIR), member("d/a", data=b"a"), member("d/b", LINK, linkname="d/a"))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("flip", "is damaged"),
        ("cut", "cut short"),
        ("diff-id", "a layer is damaged"),
        ("garbage", "layer sha256:"),
        ("missing", "is not whole"),
        ("outside", "layer sha256:"),
        ("count", "the config"),
        ("artifact", "no container image"),
        ("windows", "not for Linux"),
    ],
)
def test_bad_images_leave_nothing(damage: str, said: str, tmp_path: Path, store: Path) -> None:
    second = archive(member("e", data=b"e"))
    config: dict[str, Any] = {}
    fields: dict[str, Any] = {}
    if damage == "garbage":
        second = b"no archive at all" * 100
    elif damage == "outside":
        second = archive(member("../../evil", data=b"e"))
    elif damage == "artifact":
        fields = {"artifactType": "application/vnd.example"}
    elif damage == "windows":
        config = {"os": "windows"}
    elif damage == "diff-id":
        config = {"rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64] * 2}}
    elif damage == "count":
        config = {"rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]}}
    layout = Layout(tmp_path / "oci")
    layout.name(layout.manifest([GOOD, second], config, **fields), "t")
    with open(tmp_path / "oci/index.json") as file:
        digest = json.load(file)["manifests"][0]["digest"]
    manifest = json.loads((tmp_path / "oci/blobs/sha256" / digest[7:]).read_text())
    blob = tmp_path / "oci/blobs/sha256" / manifest["layers"][1]["digest"][7:]
    data = blob.read_bytes()
    if damage == "flip":
        blob.write_bytes(data[:20] + bytes([data[20] ^ 1]) + data[21:])
    elif damage == "cut":
        blob.write_bytes(data[:-9])
    elif damage == "missing":
        blob.unlink()
    before = inventory(store)
    failed = cli.run(["init", "--from", f"oci:{tmp_path}/oci:t", tmp_path / "lab"]).exited(128)
    assert failed.stderr.startswith("fatal: ")
    assert said in failed.stderr or "damaged" in failed.stderr
    assert not (tmp_path / "lab").exists() and not (tmp_path / "evil").exists()
    assert inventory(store) == before


def test_an_export_that_fails_leaves_nothing(tmp_path: Path) -> None:
    root = builders.tree(tmp_path / "root", {".wh.name": "x"})
    project = tmp_path / "lab"
    cli.run(["init", "-q", "--from", f"rootfs:{root}", project]).ok()
    for dest in (f"oci:{tmp_path}/new/o:t", f"oci-archive:{tmp_path}/a", f"dir:{tmp_path}/d"):
        refused = cli.run(["export", dest], cwd=project).exited(128)
        assert ".wh." in refused.stderr
    assert sorted(os.listdir(tmp_path)) == ["lab", "root"]
    cli.run(["export", f"oci:{tmp_path}/root"], cwd=project).exited(128)
    cli.run(["export", f"docker-archive:{tmp_path}/x:No"], cwd=project).exited(128)
    cli.run(["export", f"oci-archive:{tmp_path}/none/x"], cwd=project).exited(128)
    cli.run(["export", "--compression", "lz4", f"oci:{tmp_path}/x"], cwd=project).exited(129)
    cli.run(["export", "--squash", f"tar:{tmp_path}/x"], cwd=project).exited(129)
    assert sorted(os.listdir(tmp_path)) == ["lab", "root"]
