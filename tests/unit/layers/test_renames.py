# SPDX-License-Identifier: Apache-2.0
"""Changes are named as git names them, and renames found by content and similarity."""

from __future__ import annotations

import hashlib

from envgit.layers.compare import Change
from envgit.layers.entry import Entry
from envgit.layers.renames import FileChange, classify, detect


def file(data: bytes, mode: int = 0o644) -> Entry:
    return Entry("file", mode, size=len(data), sha256=hashlib.sha256(data).hexdigest())


DIRECTORY = Entry("dir", 0o755)


def shown(changes: list[FileChange]) -> list[tuple[str, bytes, bytes]]:
    return [(change.status, change.old_path, change.path) for change in changes]


def test_letters() -> None:
    link = Entry("symlink", 0o777, target=b"x")
    changes = [
        Change(b"a", None, file(b"1")),
        Change(b"b", file(b"1"), None),
        Change(b"c", file(b"1"), file(b"2")),
        Change(b"d", file(b"1"), link),
    ]
    assert [change.status for change in classify(changes)] == ["A", "D", "M", "T"]


def test_directories_that_come_with_files_are_left_out() -> None:
    changes = [
        Change(b"empty", None, DIRECTORY),
        Change(b"full", None, DIRECTORY),
        Change(b"full/x", None, file(b"1")),
        Change(b"gone", DIRECTORY, None),
        Change(b"gone/y", file(b"1"), None),
        Change(b"kept", DIRECTORY, Entry("dir", 0o700)),
    ]
    assert [change.path for change in classify(changes)] == [
        b"empty",
        b"full/x",
        b"gone/y",
        b"kept",
    ]


def test_a_file_replaced_by_a_directory_is_deleted() -> None:
    changes = [Change(b"p", file(b"1"), DIRECTORY), Change(b"p/x", None, file(b"2"))]
    assert [(c.status, c.path) for c in classify(changes)] == [("D", b"p"), ("A", b"p/x")]


def test_the_root_of_a_new_environment_is_no_change() -> None:
    assert classify([Change(b"", None, DIRECTORY)]) == []
    assert len(classify([Change(b"", DIRECTORY, Entry("dir", 0o700))])) == 1


def test_equal_content_is_a_rename_and_the_same_name_is_preferred() -> None:
    changes = classify(
        [
            Change(b"a/one", file(b"same"), None),
            Change(b"a/two", file(b"same"), None),
            Change(b"b/two", None, file(b"same", 0o755)),
        ]
    )
    found = detect(changes)
    assert shown(found) == [("D", b"a/one", b"a/one"), ("R", b"a/two", b"b/two")]
    assert found[1].score == 100


def test_similar_content_is_a_rename_from_the_threshold_on() -> None:
    old = b"".join(b"line %d\n" % number for number in range(10))
    new = old.replace(b"line 3\n", b"other\n")
    contents = {b"x": old, b"y": new}
    changes = classify([Change(b"x", file(old), None), Change(b"y", None, file(new))])

    def read(change: FileChange, new: bool) -> bytes:
        return contents[change.path]

    found = detect(changes, read=read)
    assert shown(found) == [("R", b"x", b"y")] and found[0].score == 90
    assert len(detect(changes, read=read, threshold=95)) == 2
    assert len(detect(changes)) == 2, "nothing is read without a reader"
