# SPDX-License-Identifier: Apache-2.0
"""Images in and out; skopeo, umoci, podman and buildah as referees: equal trees and configs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from envgit import Repository
from envgit.layers.compare import changes
from envgit.layers.entry import Node, read_tree
from envgit.layers.scan import scan
from tests.support import builders, cli, gate, peers
from tests.support.layertars import archive, member
from tests.support.ociimages import INDEX, Layout
from tests.support.registries import registry

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("overlay"),
    pytest.mark.peer("skopeo"),
    pytest.mark.peer("umoci"),
]


def say(*words: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run([*map(str, words)], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


def skopeo(*words: str | Path) -> str:
    return say("skopeo", "--insecure-policy", *words)


def copy(source: str, dest: str) -> None:
    skopeo("copy", "-q", source, dest)


def config_of(image: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(skopeo("inspect", "--config", "--raw", image))
    return found


def unpacked(layout: Path, tag: str, place: Path) -> Node:
    """What umoci makes of an image."""
    say("umoci", "unpack", "--image", f"{layout}:{tag}", place)
    node = scan(os.fsencode(place / "rootfs"), overlay=False).node
    shutil.rmtree(place)
    return node


def tree_of(project: Path, revision: str = "HEAD") -> Node:
    git = Repository.open(str(project)).git
    return read_tree(git.rootfs(git.resolve(revision)))


def log(project: Path, form: str, *words: str) -> list[str]:
    return cli.run(["log", "--reverse", f"--format={form}", *words], cwd=project).ok().lines


@dataclass
class Made:
    """An image of three layers that umoci made, in a layout as ``v1``, and all that it holds."""

    layout: Path
    tree: Node
    config: dict[str, Any]

    @property
    def name(self) -> str:
        return f"oci:{self.layout}:v1"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    for name in ("skopeo", "umoci"):
        gate.demand(name, peers.Peer.parse(name).why_not())
    top = tmp_path_factory.mktemp("made")
    layout, bundle = top / "oci", top / "bundle"
    image = f"{layout}:v1"
    say("umoci", "init", "--layout", layout)
    say("umoci", "new", "--image", image)

    def repack(step: str) -> None:
        say("umoci", "repack", "--refresh-bundle", "--image", image,
            "--history.created_by", step, bundle)  # fmt: skip

    def config(step: str, *options: str) -> None:
        say("umoci", "config", "--image", image, "--history.created_by", step, *options)

    say("umoci", "unpack", "--image", image, bundle)
    root = builders.rootfs(
        bundle / "rootfs", {"data": {"one": "1", "two": "2"}, "keep": {"x": "x"}}
    )
    os.link(root / "etc/passwd", root / "etc/linked")
    os.chown(root / "data/one", 1234, 200000)
    os.chmod(root / "data/two", 0o4755)
    os.setxattr(root / "data/two", "user.note", b"\0\xff")
    os.mkfifo(root / "data/fifo")
    os.mknod(root / "data/null", 0o20666, os.makedev(1, 3))
    os.symlink("/etc/passwd", root / "data/absolute")
    (root / "data" / ("long" * 60)).write_text("long")
    repack("/bin/sh -c #(nop) ADD file:0123 in / ")
    config('/bin/sh -c #(nop)  CMD ["sh"]', "--config.cmd", "sh")
    shutil.rmtree(bundle)
    say("umoci", "unpack", "--image", image, bundle)
    (root / "data/one").unlink()
    shutil.rmtree(root / "keep")
    (root / "keep").mkdir()
    (root / "keep/y").write_text("y")
    (root / "etc/linked").write_text("changed")
    repack("RUN /bin/sh -c make # buildkit")
    (root / "data/two").unlink()
    (root / "data/two").mkdir()
    (root / "data/two/below").write_text("below")
    repack("COPY below /data/two # buildkit")
    config("LABEL a=b", "--config.label", "a=b", "--config.env", "A=1", "--config.user", "0:0",
           "--config.workingdir", "/data", "--config.exposedports", "80/tcp",
           "--config.volume", "/v", "--config.stopsignal", "SIGINT", "--config.entrypoint", "env",
           "--author", "A U Thor <author@example.org>", "--architecture", "amd64")  # fmt: skip
    return Made(layout, unpacked(layout, "v1", top / "look"), config_of(f"oci:{image}"))


def place_of(kind: str, place: Path, tag: str, name: str) -> str:
    return f"{kind}:{place}" + {"dir": "", "docker-archive": f":{name}"}.get(kind, f":{tag}")


def as_kind(made: Made, kind: str, place: Path) -> str:
    """The image in a place of that kind, put there by skopeo."""
    name = place_of(kind, place, "v1", "made/it:v1")
    copy(made.name, name)
    return name


KINDS = ("oci", "oci-archive", "docker-archive", "dir")


@pytest.mark.parametrize("kind", KINDS)
def test_what_others_write_we_read(made: Made, kind: str, tmp_path: Path) -> None:
    name = as_kind(made, kind, tmp_path / "image")
    lab = tmp_path / "lab"
    cli.run(["init", "--from", name, lab]).ok()
    assert changes(made.tree, tree_of(lab)) == []
    assert log(lab, "%s") == ["ADD file:0123 in /", "RUN make", "COPY below /data/two"]
    assert "CMD" in log(lab, "%b")[0]
    assert set(log(lab, "%an <%ae>")) == {"A U Thor <author@example.org>"}
    cli.run(["fsck"], cwd=lab).ok()
    # It runs, as the image says: a label and a user are no use without that.
    ran = cli.run(["run", "sh", "-c", "pwd; echo $A; cat two/below"], cwd=lab).ok()
    assert ran.lines == ["/data", "1", "below"]
    assert cli.run(["status", "-s"], cwd=lab).ok().stdout == ""
    # And back: the config is what it was, to the last word.
    cli.run(["export", f"oci:{tmp_path}/back:v1"], cwd=lab).ok()
    back = config_of(f"oci:{tmp_path}/back:v1")
    assert {**back, "rootfs": 0} == {**made.config, "rootfs": 0}
    assert changes(made.tree, unpacked(tmp_path / "back", "v1", tmp_path / "look")) == []


def test_layers_that_are_there_keep_their_digests(made: Made, tmp_path: Path) -> None:
    shutil.copytree(made.layout, tmp_path / "oci")
    lab = tmp_path / "lab"
    cli.run(["init", "-q", "--from", f"oci:{tmp_path}/oci:v1", lab]).ok()
    cli.run(["run", "-q", "-m", "Mine", "sh", "-c", "echo mine > /mine"], cwd=lab).ok()
    done = cli.run(["export", "--json", f"oci:{tmp_path}/oci:v2"], cwd=lab).ok()
    found = json.loads(done.stdout)
    assert (found["layers"], found["reused"]) == (4, 3)
    layers = json.loads(skopeo("inspect", f"oci:{tmp_path}/oci:v2"))["Layers"]
    assert layers[:3] == json.loads(skopeo("inspect", made.name))["Layers"]
    assert (
        config_of(f"oci:{tmp_path}/oci:v2")["rootfs"]["diff_ids"][:3]
        == (made.config["rootfs"]["diff_ids"])
    )
    entry = config_of(f"oci:{tmp_path}/oci:v2")["history"][-1]
    assert entry["comment"] == "Mine" and entry["created_by"] == "sh -c 'echo mine > /mine'"


@pytest.fixture
def lab(tmp_path_factory: pytest.TempPathFactory, made: Made) -> Path:
    """A repository on the image, with three commits of its own; the last changes no file."""
    project = tmp_path_factory.mktemp("lab") / "lab"
    cli.run(["init", "-q", "--from", made.name, project]).ok()
    script = "rm /etc/group /data/absolute; ln /data/fifo /f; mv /keep /kept; chown 7:8 /data"
    cli.run(["run", "-q", "-m", "Change", "sh", "-c", script], cwd=project).ok()
    cli.run(["run", "-q", "-m", "More", "sh", "-c", "echo x >> /etc/passwd"], cwd=project).ok()
    cli.run(["commit", "-q", "--allow-empty", "-m", "Nothing"], cwd=project).ok()
    return project


@pytest.mark.parametrize("options", [[], ["--squash"], ["--compression", "none"]])
@pytest.mark.parametrize("kind", KINDS)
def test_what_we_write_others_read(
    lab: Path, kind: str, options: list[str], tmp_path: Path
) -> None:
    name = place_of(kind, tmp_path / "i", "t", "a/b:t")
    cli.run(["export", "-q", *options, name], cwd=lab).ok()
    copy(name, f"oci:{tmp_path}/copy:t")  # reads and digests everything
    assert changes(tree_of(lab), unpacked(tmp_path / "copy", "t", tmp_path / "look")) == []
    said = config_of(name)
    squashed = "--squash" in options
    assert len(said["rootfs"]["diff_ids"]) == (1 if squashed else 5)
    assert sum(not entry.get("empty_layer") for entry in said["history"]) == (1 if squashed else 5)
    assert [e.get("comment") for e in said["history"]][5:8] == ["Change", "More", None]
    assert said["history"][7]["created_by"] == "Nothing"
    assert said["config"]["Labels"] == {"a": "b"} and said["config"]["WorkingDir"] == "/data"
    # And what we wrote we read, and would write again.
    cli.run(["init", "-q", "--from", name, tmp_path / "again"]).ok()
    assert changes(tree_of(lab), tree_of(tmp_path / "again")) == []
    cli.run(["export", "-q", f"oci:{tmp_path}/o"], cwd=tmp_path / "again").ok()
    if not squashed:
        assert skopeo("inspect", "--config", "--raw", f"oci:{tmp_path}/o") == (
            skopeo("inspect", "--config", "--raw", name)
        )
    if not squashed:
        subjects = ["ADD file:0123 in /", "RUN make", "COPY below /data/two", "Change", "More"]
        assert log(tmp_path / "again", "%s") == subjects


def test_zstd(lab: Path, tmp_path: Path) -> None:
    cli.run(["export", "-q", "--compression", "zstd", f"oci:{tmp_path}/i:t"], cwd=lab).ok()
    raw = json.loads(skopeo("inspect", "--raw", f"oci:{tmp_path}/i:t"))
    assert {each["mediaType"].rpartition("+")[2] for each in raw["layers"]} == {"zstd"}
    cli.run(["init", "-q", "--from", f"oci:{tmp_path}/i:t", tmp_path / "again"]).ok()
    assert changes(tree_of(lab), tree_of(tmp_path / "again")) == []
    skopeo("copy", "-q", "--dest-compress-format", "zstd", f"oci:{tmp_path}/i:t",
           f"dir:{tmp_path}/theirs")  # fmt: skip
    cli.run(["init", "-q", "--from", f"dir:{tmp_path}/theirs", tmp_path / "third"]).ok()
    assert changes(tree_of(lab), tree_of(tmp_path / "third")) == []


def test_dockers_media_types(lab: Path, tmp_path: Path) -> None:
    cli.run(["export", "-q", "--format", "docker", f"dir:{tmp_path}/i"], cwd=lab).ok()
    raw = json.loads(skopeo("inspect", "--raw", f"dir:{tmp_path}/i"))
    kinds = {raw["mediaType"], raw["config"]["mediaType"], *(x["mediaType"] for x in raw["layers"])}
    assert len(kinds) == 3 and all("docker" in kind for kind in kinds)
    cli.run(["init", "-q", "--from", f"dir:{tmp_path}/i", tmp_path / "again"]).ok()
    assert changes(tree_of(lab), tree_of(tmp_path / "again")) == []
    refused = cli.run(["export", "--format", "docker", "--compression", "zstd",
                       f"dir:{tmp_path}/i"], cwd=lab).exited(128)  # fmt: skip
    assert refused.stderr.startswith("fatal: docker's media types have none for zstd\nhint: ")
    cli.run(["export", "--format", "docker", f"oci:{tmp_path}/o"], cwd=lab).exited(128)
    assert sorted(os.listdir(tmp_path)) == ["again", "i"]


def test_equal_commits_give_equal_images(lab: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        cli.run(["export", "-q", f"oci-archive:{tmp_path}/{name}:t"], cwd=lab).ok()
        shutil.rmtree(Path(os.environ["ENVGIT_STORE"]) / "cache/blobs")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_source_date_epoch(tmp_path: Path) -> None:
    digests = set()
    for number in range(2):
        root = builders.tree(tmp_path / f"root{number}", {"a": "a", "d": {"b": "b"}})
        os.utime(root / "a", (2_000_000_000 + number, 2_000_000_000 + number))
        os.utime(root / "d/b", (5, 5))
        project = tmp_path / f"lab{number}"
        when = {"ENVGIT_AUTHOR_DATE": f"@{1_700_000_000 + number} +0000",
                "ENVGIT_COMMITTER_DATE": f"@{1_700_000_000 + number} +0000"}  # fmt: skip
        cli.run(["init", "-q", "-m", "x", "--from", f"rootfs:{root}", project], env=when).ok()
        done = cli.run(["export", "--json", f"oci-archive:{tmp_path}/i{number}:t"], cwd=project,
                       env={"SOURCE_DATE_EPOCH": "1600000000"}).ok()  # fmt: skip
        digests.add(json.loads(done.stdout)["digest"])
    assert len(digests) == 1
    assert config_of(f"oci-archive:{tmp_path}/i0:t")["created"] == "2020-09-13T12:26:40Z"
    cli.run(["init", "-q", "--from", f"oci-archive:{tmp_path}/i0:t", tmp_path / "again"]).ok()
    tree = tree_of(tmp_path / "again")
    times = [found.entry.mtime for name in (b"a", b"d/b") if (found := tree.find(name))]
    assert times == [1_600_000_000, 5]


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory with a short name: podman takes at most 50 characters."""
    with tempfile.TemporaryDirectory(prefix="eg-") as name:
        yield Path(name)


@pytest.mark.peer("podman")
@pytest.mark.peer("buildah")
def test_podman_and_buildah(lab: Path, tmp_path: Path, short: Path) -> None:
    place = [f"--root={tmp_path}/c", f"--runroot={short}", "--storage-driver=vfs"]
    cli.run(["export", "-q", f"docker-archive:{tmp_path}/i.tar:a/b:t"], cwd=lab).ok()
    assert "a/b:t" in say("podman", *place, "load", "-q", "-i", tmp_path / "i.tar")
    inspected = json.loads(say("podman", *place, "image", "inspect", "a/b:t"))[0]
    assert inspected["Config"]["Labels"] == {"a": "b"} and inspected["Architecture"] == "amd64"
    container = say("buildah", *place, "from", "--pull-never", "a/b:t").strip()
    mounted = say("buildah", *place, "mount", container).strip()
    try:
        # podman's vfs driver copies layers, and breaks hard links of fifos by that.
        found = changes(tree_of(lab), scan(os.fsencode(mounted), overlay=False).node)
        assert [c for c in found if c.path not in (b"data/fifo", b"f")] == []
        assert all(c.old and c.new and c.old.same_but_links(c.new) for c in found)
        Path(mounted, "by-buildah").write_text("x")
        Path(mounted, "kept/y").unlink()
        say("buildah", *place, "config", "--cmd", "env", container)
        say("buildah", *place, "commit", "-q", container, f"oci:{tmp_path}/theirs:t")
    finally:
        say("buildah", *place, "rm", "-a")
    cli.run(["init", "-q", "--from", f"oci:{tmp_path}/theirs:t", tmp_path / "again"]).ok()
    paths = {c.path for c in changes(tree_of(lab), tree_of(tmp_path / "again"))}
    assert paths - {b"", b"data/fifo", b"f"} == {b"by-buildah", b"kept/y"}
    git = Repository.open(str(tmp_path / "again")).git
    assert git.metadata(git.resolve("HEAD")).config["Cmd"] == ["env"]


# -- the verb import ------------------------------------------------------------------------------


def test_import_makes_a_branch(made: Made, tmp_path: Path) -> None:
    project = tmp_path / "lab"
    cli.run(["init", "-q", "--from", "scratch", project]).ok()
    done = json.loads(cli.run(["import", "--json", made.name], cwd=project).ok().stdout)
    assert (done["branch"], done["checked_out"], len(done["commits"])) == ("v1", False, 3)
    assert cli.run(["branch", "--format=%(refname:short)"], cwd=project).ok().lines == [
        "main",
        "v1",
    ]
    again = cli.run(["import", made.name], cwd=project).exited(1)
    assert again.stderr == (
        "error: a branch named 'v1' already exists\nhint: give another name with -b\n"
    )
    said = cli.run(["import", "--squash", "-b", "flat", "-m", "All", made.name], cwd=project).ok()
    assert said.lines[0].endswith("] All") and said.lines[1:] == [" 1 commit imported"]
    assert changes(tree_of(project, "v1"), tree_of(project, "flat")) == []
    assert cli.run(["diff", "v1", "flat"], cwd=project).ok().stdout == ""
    cli.run(["switch", "-q", "v1"], cwd=project).ok()
    assert cli.run(["run", "cat", "two/below"], cwd=project).ok().stdout == "below"
    cli.run(["switch", "-q", "main"], cwd=project).ok()
    cli.run(["branch", "-q", "-D", "v1"], cwd=project).ok()
    cli.run(["undo"], cwd=project).ok()
    assert changes(made.tree, tree_of(project, "v1")) == []
    cli.run(["fsck"], cwd=project).ok()


def test_import_into_an_empty_repository(made: Made, tmp_path: Path) -> None:
    project = tmp_path / "lab"
    cli.run(["init", "-q", project]).ok()
    done = json.loads(cli.run(["import", "--json", made.name], cwd=project).ok().stdout)
    assert (done["branch"], done["checked_out"]) == ("main", True)
    assert cli.run(["run", "cat", "two/below"], cwd=project).ok().stdout == "below"
    cli.run(["undo"], cwd=project).ok()
    assert cli.run(["log"], cwd=project).exited(128).stderr.startswith("fatal: ")
    cli.run(["redo"], cwd=project).ok()
    assert changes(made.tree, tree_of(project)) == []


def test_import_other_sources(tmp_path: Path) -> None:
    root = builders.rootfs(tmp_path / "root")
    project = tmp_path / "lab"
    cli.run(["init", "-q", "--from", "scratch", project]).ok()
    cli.run(["import", f"rootfs:{root}", "-m", "Mine"], cwd=project).ok()
    with tarfile.open(tmp_path / "root.tar", "w") as file:
        file.add(root, "./")
    data = (tmp_path / "root.tar").read_bytes()
    cli.run(["import", "tar:-", "-b", "tarred"], cwd=project, stdin=data).ok()
    assert changes(tree_of(project, "root"), tree_of(project, "tarred")) == []
    wrong = cli.run(["import", "--squash", "tar:x"], cwd=project).exited(128)
    assert "those of an image" in wrong.stderr


def test_platforms(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "oci")
    images = []
    for arch, variant in (("amd64", ""), ("arm", "v6"), ("arm", "v7")):
        layer = archive(member("arch", data=f"{arch}{variant}".encode()))
        platform = {
            "os": "linux",
            "architecture": arch,
            **({"variant": variant} if variant else {}),
        }
        images.append({**layout.manifest([layer], platform), "platform": platform})
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": images}
    layout.name(layout.blob(json.dumps(index).encode(), INDEX), "t")
    for number, (wanted, found) in enumerate((("arm64", ""), ("linux/arm", "armv7"),
                                              ("linux/arm/v6", "armv6"))):  # fmt: skip
        project = tmp_path / f"lab{number}"
        done = cli.run(
            ["init", "-q", "--platform", wanted, "--from", f"oci:{tmp_path}/oci:t", project]
        )
        if not found:
            assert done.exited(128).stderr == (
                "fatal: there is no image for linux/arm64, only for linux/amd64, linux/arm/v6,"
                " linux/arm/v7\n"
            )
            assert not project.exists()
            continue
        done.ok()
        git = Repository.open(str(project)).git
        config = git.metadata(git.resolve("HEAD")).config
        assert config["Architecture"] + config["Variant"] == found
        cli.run(["export", "-q", f"oci:{tmp_path}/back{number}"], cwd=project).ok()
        assert config_of(f"oci:{tmp_path}/back{number}")["variant"] == found[3:]


# -- registries -----------------------------------------------------------------------------------


@pytest.mark.peer("docker-registry")
def test_registries(lab: Path, made: Made, tmp_path: Path) -> None:
    with registry(tmp_path / "registry") as running:
        base = f"docker://{running.host}"
        cli.run(["export", "-q", f"{base}/team/lab:1"], cwd=lab).ok()
        skopeo("copy", "-q", "--src-tls-verify=false", f"{base}/team/lab:1", f"oci:{tmp_path}/o:t")
        assert changes(tree_of(lab), unpacked(tmp_path / "o", "t", tmp_path / "look")) == []
        skopeo("copy", "-q", "--dest-tls-verify=false", made.name, f"{base}/team/made:v1")
        project = tmp_path / "lab"
        cli.run(["init", "-q", "--from", f"{base}/team/made:v1", project]).ok()
        assert changes(made.tree, tree_of(project)) == []
        # What is in another repository of the registry is mounted, not sent.
        done = cli.run(["export", "--json", f"{base}/other/made"], cwd=project).ok()
        assert json.loads(done.stdout)["reused"] == 3
        done = cli.run(["import", "--json", f"{base}/team/lab:1"], cwd=project).ok()
        assert json.loads(done.stdout)["branch"] == "lab-1"
        assert changes(tree_of(lab), tree_of(project, "lab-1")) == []
        missing = cli.run(["import", f"{base}/team/none"], cwd=project).exited(128)
        assert "team/none" in missing.stderr
