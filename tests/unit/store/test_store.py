# SPDX-License-Identifier: Apache-2.0
"""Opening a store, and bringing things into it and out of it by one rename."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from envgit.layers.ids import ChangesId, LayerId, WorktreeId
from envgit.store.failures import StoreFull, StoreNotWritable, explained
from envgit.store.store import DIRECTORIES, ForeignStore, MissingChanges, MissingLayer, Store
from envgit.store.usage import Meter
from tests.support.builders import tree

LAYER = LayerId("1" * 40)


def test_a_new_store_is_ours_alone_and_opens_again(store: Path) -> None:
    Store.open(str(store))
    assert (store.stat().st_mode & 0o7777, sorted(os.listdir(store))) == (
        0o700,
        sorted([*DIRECTORIES, "format"]),
    )
    assert (store / "format").read_text() == "envgit-store 1\n"
    assert Store.open(str(store), create=False).path == str(store)


def test_no_store_is_made_unasked(store: Path) -> None:
    with pytest.raises(ForeignStore, match="there is no store"):
        Store.open(str(store), create=False)
    assert not store.exists()


def test_making_one_goes_on_where_a_crash_ended_it(store: Path) -> None:
    for name in DIRECTORIES[:3]:
        (store / name).mkdir(parents=True)
    assert Store.open(str(store)).all_layers() == []


def test_a_directory_with_other_files_is_left_alone(store: Path) -> None:
    tree(store, {"thesis.tex": "x"})
    with pytest.raises(ForeignStore, match=r"thesis\.tex"):
        Store.open(str(store))
    assert os.listdir(store) == ["thesis.tex"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("envgit-store 2\n", "format 2"),
        ("envgit-store 1\nrequires chunks\n", "requires chunks"),
        ("", "damaged"),
        ("\0\0\0", "damaged"),
        ("borg 1\n", "damaged"),
    ],
)
def test_what_we_do_not_know_we_do_not_touch(store: Path, text: str, says: str) -> None:
    Store.open(str(store))
    (store / "format").write_text(text)
    with pytest.raises(ForeignStore, match=says) as caught:
        Store.open(str(store))
    assert str(store) in caught.value.message
    assert caught.value.hint


def test_a_file_is_no_store(store: Path) -> None:
    store.write_text("")
    with pytest.raises(Exception, match=str(store)):
        Store.open(str(store))


@pytest.mark.root
def test_somebody_elses_store_is_refused(store: Path) -> None:
    Store.open(str(store))
    os.chown(store, 1234, 1234)
    with pytest.raises(ForeignStore, match="belongs to user 1234"):
        Store.open(str(store))


def test_sealing_is_one_rename_and_leaves_nothing_of_the_change_set(opened: Store) -> None:
    changes = opened.new_changes()
    upper = opened.upper_path(changes)
    tree(upper, {"etc": {"hosts": "x"}})
    inode = os.stat(upper).st_ino
    assert not opened.has_layer(LAYER)
    path = opened.adopt_layer(upper, LAYER)
    assert (path, os.stat(path).st_ino) == (opened.layer_path(LAYER), inode)
    assert opened.all_layers() == [LAYER]
    assert opened.all_changes() == []


def test_the_second_to_seal_a_layer_changes_nothing(opened: Store) -> None:
    for content in ("first", "second"):
        with opened.temporary("import") as made:
            tree(made, {"layer": {"file": content}})
            opened.adopt_layer(f"{made}/layer", LAYER)
    assert Path(opened.layer_path(LAYER), "file").read_text() == "first"
    assert len(opened.names("trash")) == 1
    opened.empty_trash()
    assert opened.names("trash") == opened.names("tmp") == []


def test_missing_things_are_named(opened: Store) -> None:
    with pytest.raises(MissingLayer, match="layers/" + LAYER):
        opened.stack_paths([f"layers/{LAYER}"])
    with pytest.raises(MissingChanges, match="f" * 32):
        opened.require_changes(ChangesId("f" * 32))


def test_an_empty_change_set_has_the_modes_overlayfs_wants(opened: Store) -> None:
    changes = opened.new_changes()
    folder = opened.require_changes(changes)
    modes = {name: os.stat(f"{folder}/{name}").st_mode & 0o7777 for name in os.listdir(folder)}
    assert modes == {"upper": 0o755, "work": 0o700}
    assert opened.changes_exist(changes)
    opened.delete_changes(changes)
    opened.delete_changes(changes)
    assert not opened.changes_exist(changes)


def test_temporaries_go_whatever_happens_unless_they_were_renamed(opened: Store) -> None:
    with pytest.raises(KeyError), opened.temporary("span") as made:
        tree(made, {"a": {"b": "c"}})
        raise KeyError
    with opened.temporary("span") as made:
        os.rename(made, f"{opened.path}/spans/x")
    assert (opened.names("tmp"), opened.names("spans")) == ([], ["x"])


def test_trash_takes_anything_once(opened: Store) -> None:
    path = f"{opened.path}/tmp/{'long' * 60}"
    os.mkdir(path)
    opened.trash(path)
    opened.trash(path)
    assert len(opened.names("trash")) == 1
    occupied = Meter().measure(f"{opened.path}/trash").disk
    freed = opened.empty_trash()
    assert freed == occupied - Meter().measure(f"{opened.path}/trash").disk
    assert opened.empty_trash() == 0


def test_repositories_register_once_and_survive_odd_names(opened: Store) -> None:
    path = os.fsdecode(b"/odd \xff\n/.envgit")
    one, two = WorktreeId("1" * 16), WorktreeId("2" * 16)
    opened.register(path, [two, one, two])
    opened.register("/a/.envgit", [])
    assert [(entry.path, entry.worktrees) for entry in opened.repositories()] == [
        ("/a/.envgit", ()),
        (path, (one, two)),
    ]


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, StoreFull),
        (errno.EDQUOT, StoreFull),
        (errno.EROFS, StoreNotWritable),
        (errno.EACCES, StoreNotWritable),
    ],
)
def test_the_kernels_no_becomes_a_sentence(number: int, kind: type[Exception]) -> None:
    with (
        pytest.raises(kind, match="cannot seal it: /store/x: ") as caught,
        explained("seal it", "/store/x"),
    ):
        raise OSError(number, os.strerror(number))
    assert caught.value.hint  # type: ignore[attr-defined]
