# SPDX-License-Identifier: Apache-2.0
"""What layers of images mean over what lies below: by the spec, umoci and the kernel.

Sections in quotes are those of the OCI image spec, layer.md.
"""

from __future__ import annotations

import io
import os
import subprocess
from itertools import permutations
from pathlib import Path

import pytest

from envgit.layers.decompression import ArchiveError
from envgit.layers.directory import verify
from envgit.layers.entry import walk
from envgit.layers.scan import scan
from tests.support import hardcases
from tests.support.layertars import DIR, LINK, REG, SYMLINK, Member, Stack, archive, member
from tests.support.overlays import assert_same, isolated, mounted, photograph

pytestmark = [pytest.mark.root, pytest.mark.needs("overlay", "mknod", "trusted_xattr")]

BASE = [
    member("a", DIR, mode=0o750, uid=10, gid=20, mtime=1_000_000_000),
    member("a/b", DIR, mode=0o711),
    member("a/b/c", DIR),
    member("a/b/c/bar", data=b"bar"),
    member("a/file", data=b"file"),
    member("usr", DIR),
    member("usr/lib", DIR, mode=0o751, pax_headers={"SCHILY.xattr.user.x": "y"}),
    member("usr/lib/libc", data=b"libc"),
    member("lib", SYMLINK, linkname="usr/lib"),
    member("one", data=b"linked", mode=0o4755),
    member("two", LINK, linkname="one"),
    member("usr/three", LINK, linkname="one"),
]


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    made = Stack(tmp_path)
    made.add(archive(*BASE))
    return made


def over(stack: Stack, *members: Member) -> dict[str, str]:
    """What a layer over the base changes: the paths that are new or other, None where gone."""
    before = stack.shows()
    stack.add(archive(*members))
    after = stack.shows()
    return {
        path: after.get(path, "gone")
        for path in sorted({*before, *after})
        if before.get(path) != after.get(path)
    }


def entry(stack: Stack, path: bytes) -> tuple[int, int, int]:
    assert stack.rootfs is not None
    node = stack.rootfs.find(path)
    assert node is not None
    return node.entry.mode, node.entry.uid, node.entry.gid


class TestWhiteouts:
    """ "Whiteouts" and "Opaque Whiteout"."""

    def test_a_name_is_deleted(self, stack: Stack) -> None:
        assert over(stack, member("a/.wh.file")) == {"a/file": "gone"}
        assert entry(stack, b"a") == (0o750, 10, 20)

    def test_a_directory_is_deleted_with_all_in_it(self, stack: Stack) -> None:
        gone = dict.fromkeys(["a/b", "a/b/c", "a/b/c/bar"], "gone")
        assert over(stack, member("a/.wh.b")) == gone
        assert stack.top.find(b"a/b/c") is None

    @pytest.mark.parametrize("order", list(permutations(range(5))))
    def test_the_example_of_the_spec_in_any_order(
        self, order: tuple[int, ...], stack: Stack
    ) -> None:
        members = [
            member("a", DIR, mode=0o700),
            member("a/.wh..wh..opq"),
            member("a/b", DIR),
            member("a/b/c", DIR),
            member("a/b/c/foo", data=b"foo"),
        ]
        stack.add(archive(*(members[number] for number in order)))
        shown = {p: what for p, what in stack.shows().items() if p.startswith("a/")}
        assert shown == {"a/b": "dir", "a/b/c": "dir", "a/b/c/foo": "= foo"}
        assert entry(stack, b"a")[0] == 0o700 and entry(stack, b"a/b")[0] == 0o755

    @pytest.mark.parametrize("order", list(permutations(range(3))))
    def test_only_lower_layers_are_hidden(self, order: tuple[int, ...], stack: Stack) -> None:
        members = [member("a/.wh.b"), member("a/b/new", data=b"1"), member("a/b", DIR, mode=0o701)]
        changed = over(stack, *(members[number] for number in order))
        assert changed == {"a/b/c": "gone", "a/b/c/bar": "gone", "a/b/new": "= 1"}
        assert entry(stack, b"a/b")[0] == 0o701
        node = stack.top.find(b"a/b")
        assert node is not None and node.entry.opaque

    @pytest.mark.parametrize("order", list(permutations(range(2))))
    def test_a_parent_that_is_only_implied_is_new_where_it_was_deleted(
        self, order: tuple[int, ...], stack: Stack
    ) -> None:
        members = [member(".wh.a"), member("a/b/new", data=b"1")]
        over(stack, *(members[number] for number in order))
        assert [p for p in stack.shows() if p.startswith("a")] == ["a", "a/b", "a/b/new"]
        assert entry(stack, b"a") == entry(stack, b"a/b") == (0o755, 0, 0)

    @pytest.mark.parametrize("order", list(permutations(range(2))))
    def test_a_file_of_the_same_layer_stays(self, order: tuple[int, ...], stack: Stack) -> None:
        members = [member("a/.wh.file"), member("a/file", data=b"new")]
        assert over(stack, *(members[number] for number in order)) == {"a/file": "= new"}

    def test_the_root_can_be_opaque(self, stack: Stack) -> None:
        stack.add(archive(member("a/x", data=b"1"), member(".wh..wh..opq"), member("n")))
        assert stack.shows() == {"a": "dir", "a/x": "= 1", "n": "= "}
        assert not stack.top.entry.opaque

    def test_nothing_is_made_to_hide_nothing(self, stack: Stack) -> None:
        stack.add(archive(member("a/.wh.x"), member("no/.wh.y"), member("n/.wh..wh..opq")))
        assert [p for p, _ in walk(stack.top)] in ([b""], [b"", b"a"])

    def test_whatever_the_whiteout_is_its_name_counts(self, stack: Stack) -> None:
        changed = over(
            stack,
            member("a/.wh.file", data=b"content"),
            member("usr/lib/.wh.libc", SYMLINK, linkname="/x"),
            member(".wh.one", DIR),
        )
        assert changed == {"a/file": "gone", "usr/lib/libc": "gone", "one": "gone"}

    def test_whiteouts_are_found_through_symlinks(self, stack: Stack) -> None:
        assert over(stack, member("lib/.wh.libc")) == {"usr/lib/libc": "gone"}

    @pytest.mark.parametrize("order", list(permutations(range(2))))
    def test_whiteouts_do_not_follow_symlinks_of_their_own_layer(
        self, order: tuple[int, ...], stack: Stack
    ) -> None:
        members = [member("a/b", SYMLINK, linkname="/usr"), member("a/b/.wh.lib")]
        changed = over(stack, *(members[number] for number in order), member("a/file/.wh.x"))
        assert changed == {"a/b": "-> /usr", "a/b/c": "gone", "a/b/c/bar": "gone"}

    def test_a_deleted_symlink_leads_nowhere(self, stack: Stack) -> None:
        assert over(stack, member(".wh.lib"), member("lib/x", data=b"1")) == {
            "lib": "dir",
            "lib/x": "= 1",
        }

    def test_three_layers_deep(self, stack: Stack) -> None:
        stack.add(archive(member("a/.wh.b"), member("a/n/x")))
        stack.add(archive(member("a/b/c/new", data=b"1"), member("a/n/.wh.x")))
        assert {p for p in stack.shows() if p.startswith("a/")} == {
            "a/b",
            "a/b/c",
            "a/b/c/new",
            "a/file",
            "a/n",
        }


class TestReplacing:
    """ "Changeset over existing files"."""

    def test_attributes_of_a_directory_are_replaced_wherever_its_entry_is(
        self, stack: Stack
    ) -> None:
        changed = over(stack, member("a/n", data=b"1"), member("a", DIR, mode=0o700, uid=7))
        assert changed == {"a/n": "= 1"}
        assert entry(stack, b"a") == (0o700, 7, 0)
        stack.add(archive(member("usr/lib", DIR, mode=0o755)))
        assert stack.rootfs is not None
        node = stack.rootfs.find(b"usr/lib")
        assert node is not None and node.entry.xattrs == ()

    def test_directories_without_an_entry_stay_as_they_are(self, stack: Stack) -> None:
        stack.add(archive(member("a/b/x"), member("usr/lib/y")))
        assert entry(stack, b"a") == (0o750, 10, 20) and entry(stack, b"a/b")[0] == 0o711
        st = os.stat(f"{stack.dirs[0]}/a")
        assert st.st_mtime == 1_000_000_000
        node = stack.top.find(b"usr/lib")
        assert node is not None and node.entry.xattrs == ((b"user.x", b"y"),)

    @pytest.mark.parametrize("late", [False, True])
    def test_types_take_each_others_place(self, late: bool, stack: Stack) -> None:
        members = [member("a/file", DIR), member("a/file/x", data=b"1")]
        changed = over(
            stack,
            *(members[::-1] if late else members),
            member("a/b", data=b"now a file"),
            member("usr/lib/libc", SYMLINK, linkname="x"),
            member("lib", DIR),
        )
        assert changed == {
            "a/b": "= now a file",
            "a/b/c": "gone",
            "a/b/c/bar": "gone",
            "a/file": "dir",
            "a/file/x": "= 1",
            "lib": "dir",
            "usr/lib/libc": "-> x",
        }

    def test_what_a_file_took_the_place_of_does_not_come_back(self, stack: Stack) -> None:
        changed = over(stack, member("a/b", data=b"1"), member("a/b", DIR), member("a/b/n"))
        assert changed == {"a/b/c": "gone", "a/b/c/bar": "gone", "a/b/n": "= "}

    def test_symlinks_of_below_are_followed(self, stack: Stack) -> None:
        assert over(stack, member("lib/new", data=b"1")) == {"usr/lib/new": "= 1"}
        assert entry(stack, b"usr/lib")[0] == 0o751

    def test_a_layer_can_go_on_in_a_directory_it_has_replaced(self, stack: Stack) -> None:
        changed = over(
            stack,
            member("lib/x", data=b"1"),
            member("lib", DIR),
            member("lib/x", data=b"2"),
        )
        assert changed == {"lib": "dir", "lib/x": "= 2", "usr/lib/x": "= 1"}


class TestHardLinks:
    """ "Hardlinks": across layers they are what they are in one filesystem."""

    def test_to_a_file_of_below_takes_its_whole_set(self, stack: Stack) -> None:
        assert over(stack, member("lib/four", LINK, linkname="two")) == {"usr/lib/four": "= linked"}
        assert stack.rootfs is not None
        paths = [b"one", b"two", b"usr/lib/four", b"usr/three"]
        first = stack.rootfs.find(b"one")
        assert first is not None and first.entry.hardlinks == tuple(paths[1:])
        assert first.entry.mode == 0o4755
        # Not copied: one more name of what is below.
        assert os.stat(f"{stack.dirs[0]}/one").st_ino == os.stat(f"{stack.dirs[1]}/one").st_ino

    @pytest.mark.parametrize("order", list(permutations(range(3))))
    def test_with_members_that_the_layer_changes(
        self, order: tuple[int, ...], stack: Stack
    ) -> None:
        members = [
            member("four", LINK, linkname="two"),
            member("one", data=b"other"),
            member("usr/.wh.three"),
        ]
        changed = over(stack, *(members[number] for number in order))
        assert changed == {"four": "= linked", "one": "= other", "usr/three": "gone"}
        assert stack.rootfs is not None
        four = stack.rootfs.find(b"four")
        assert four is not None and four.entry.hardlinks == (b"two",)
        with open(f"{stack.dirs[1]}/one") as below:
            assert below.read() == "linked"

    @pytest.mark.parametrize("order", list(permutations(range(2))))
    def test_below_a_directory_that_becomes_opaque(
        self, order: tuple[int, ...], stack: Stack
    ) -> None:
        members = [member("four", LINK, linkname="one"), member("usr/.wh..wh..opq")]
        over(stack, *(members[number] for number in order))
        assert "usr/three" not in stack.shows()
        assert stack.rootfs is not None
        four = stack.rootfs.find(b"four")
        assert four is not None and four.entry.hardlinks == (b"one", b"two")

    def test_to_what_was_deleted_is_an_error(self, stack: Stack) -> None:
        with pytest.raises(ArchiveError, match="neither in the layer before nor below"):
            stack.add(archive(member(".wh.one"), member("x", LINK, linkname="one")))

    def test_attributes_of_a_link_do_not_touch_what_is_below(self, stack: Stack) -> None:
        before = os.stat(f"{stack.dirs[0]}/one")
        stack.add(archive(member("x", LINK, linkname="one", mode=0o600, uid=5, mtime=1)))
        after = os.stat(f"{stack.dirs[1]}/one")
        assert (after.st_mode, after.st_uid, after.st_mtime) == (
            before.st_mode,
            before.st_uid,
            before.st_mtime,
        )

    def test_to_itself_is_nothing(self, stack: Stack) -> None:
        assert over(stack, member("one", LINK, linkname="./one")) == {}


@isolated
def shown_by_the_kernel(stack: Stack, scratch: Path) -> None:
    assert stack.rootfs is not None
    with mounted(f"{scratch}/mnt", stack.dirs) as mnt:
        seen = scan(os.fsencode(mnt), overlay=False).node
        assert_same(dict(walk(seen)), dict(walk(stack.rootfs)))


def test_the_kernel_shows_the_same(stack: Stack, tmp_path: Path) -> None:
    stack.add(
        archive(
            member("lib/new", data=b"1"),
            member("a/.wh.b"),
            member("a/b/n"),
            member("usr/.wh..wh..opq"),
            member("usr/bin/x"),
            member("four", LINK, linkname="one"),
        )
    )
    stack.add(archive(member("usr/bin/.wh.x"), member("a/.wh.b"), member("d/e")))
    shown_by_the_kernel(stack, tmp_path)
    for dest in stack.dirs:
        assert list(verify(dest, stack.layer(dest), content=True)) == []


UMOCI = {
    "whiteouts": [member("a/.wh.b"), member("a/b/n", data=b"1"), member("a/x/.wh.y")],
    # With entries for all directories: those without one umoci leaves as they are below or makes
    # new, by whether they or the mark come first.
    "opaque": [
        member("a/b/c/foo", data=b"1"),
        member("a/.wh..wh..opq"),
        member("a", DIR),
        member("a/b/c", DIR, mode=0o700),
        member("a/b", DIR, mode=0o705),
    ],
    "opaque root": [member(".wh..wh..opq"), member("n", data=b"1")],
    "symlinks": [
        member("lib/new", data=b"1"),
        member("s", SYMLINK, linkname="/lib/../lib"),
        member("s/more", data=b"2"),
        member("up", SYMLINK, linkname="../../../usr/new"),
        member("up/x", data=b"3"),
    ],
    "a directory for a symlink": [member("lib", DIR), member("lib/x", data=b"1")],
    "types": [
        member("a/file", DIR),
        member("a/file/x", data=b"1"),
        member("a/b", data=b"f"),
        member("one", SYMLINK, linkname="x"),
    ],
    "links": [member("lib/four", LINK, linkname="/two"), member("one", data=b"other")],
    "links to links": [member("l", LINK, linkname="lib"), member("l/x", data=b"1")],
    "twice": [member("x", data=b"1"), member("x", data=b"2"), member("a/b", REG)],
    "names": [member("/abs", data=b"1"), member("a/b/../../top", data=b"2")],
    "long": [member("n" * 200, data=b"1"), member("d/" * 90 + "f", data=b"2")],
}


@pytest.mark.peer("umoci>=0.4")
@pytest.mark.parametrize("case", UMOCI)
def test_umoci_unpacks_to_the_same(case: str, stack: Stack, tmp_path: Path) -> None:
    layer = archive(*UMOCI[case])
    stack.add(layer)
    (tmp_path / "0.tar").write_bytes(archive(*BASE))
    (tmp_path / "1.tar").write_bytes(layer)
    unpacked = umoci(tmp_path, ["0.tar", "1.tar"])
    theirs = {p: what for p, what in photograph(unpacked, seconds=True).items() if p}
    ours = kernels(stack, tmp_path)
    assert_same(without_known_differences(ours), without_known_differences(theirs))  # type: ignore[arg-type]


def umoci(scratch: Path, archives: list[str]) -> str:
    commands = [
        ["init", "--layout", "image"],
        ["new", "--image", "image:x"],
        *(["raw", "add-layer", "--image", "image:x", name] for name in archives),
        ["unpack", "--image", "image:x", "bundle"],
    ]
    for command in commands:
        subprocess.run(["umoci", *command], cwd=scratch, check=True, capture_output=True)
    return f"{scratch}/bundle/rootfs"


def kernels(stack: Stack, scratch: Path) -> dict[bytes, object]:
    """A photograph of the mounted layers, which must be taken in a namespace of its own."""
    merged = scratch / "merged"
    merged.mkdir()

    @isolated
    def copy() -> None:
        with mounted(f"{scratch}/mnt", stack.dirs) as mnt:
            subprocess.run(["cp", "-a", f"{mnt}/.", str(merged)], check=True)

    copy()
    return {p: what for p, what in photograph(str(merged), seconds=True).items() if p}


def without_known_differences(shots: dict[bytes, object]) -> dict[bytes, object]:
    # umoci makes directories for whiteouts of what is not there.
    return {path: shot for path, shot in shots.items() if path != b"a/x"}


@pytest.mark.peer("tar>=1.30")
@pytest.mark.parametrize("form", ["pax", "gnu"])
def test_every_hard_case_as_gnu_tar_packs_it(form: str, tmp_path: Path) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    hardcases.make(str(root))
    for name in os.listdir(root / "odd"):
        if name.startswith(".wh."):
            subprocess.run(["rm", "-r", str(root / "odd" / name)], check=True)
    os.unlink(root / "null2")  # GNU tar does not see that two names are one device
    command = ["tar", "--numeric-owner", f"--format={form}", "--sparse", "-C", str(root)]
    if form == "pax":
        command += ["--xattrs", "--xattrs-include=*"]
    packed = subprocess.run([*command, "-c", "."], capture_output=True, check=True)
    stack = Stack(tmp_path)
    done = stack.add(packed.stdout)
    assert done.skipped == ()
    expected = dict(walk(scan(os.fsencode(root), overlay=False).node))
    found = dict(walk(stack.top))
    if form == "pax":
        assert_same(found, expected)
        sparse = os.stat(f"{stack.dirs[0]}/sparse")
        assert sparse.st_blocks * 512 < 1 << 20
        assert sparse.st_mtime_ns == (root / "sparse").stat().st_mtime_ns
    else:
        assert set(found) == set(expected)
        for path, entry_ in found.items():
            assert (entry_.kind, entry_.uid, entry_.sha256, entry_.mtime) == (
                expected[path].kind,
                expected[path].uid,
                expected[path].sha256,
                expected[path].mtime,
            ), path


def test_an_empty_layer(stack: Stack) -> None:
    assert over(stack) == {}
    assert stack.top.entry == stack.layer(stack.dirs[1]).entry
    assert io.BytesIO(archive()).read(512) == bytes(512)
