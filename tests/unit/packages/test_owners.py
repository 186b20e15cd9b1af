# SPDX-License-Identifier: Apache-2.0
"""Tables of owners: whoever asks for few files is told the same as whoever asks for many."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from envgit.packages import owners
from envgit.packages.model import Shipped

NAMES = [b"a", b"a/b", b"a/#1", b"#0", b"b", *(b"c%d" % number for number in range(30))]
PATHS = st.sampled_from(NAMES)


@given(st.lists(st.lists(PATHS)), st.one_of(st.sets(PATHS), st.just(set(NAMES))))
def test_a_file_is_the_first_packages_that_has_it(
    manifests: list[list[bytes]], asked: set[bytes]
) -> None:
    table = owners.table([list(map(Shipped, paths)) for paths in manifests])
    expected = {
        path: next(number for number, paths in enumerate(manifests) if path in paths)
        for path in asked
        if any(path in paths for paths in manifests)
    }
    assert dict(owners.look_up(table, asked)) == expected
    singly = {path: number for one in asked for path, number in owners.look_up(table, [one])}
    assert singly == expected


@given(st.lists(st.lists(PATHS)))
def test_rows_are_what_tables_are_joined_of(manifests: list[list[bytes]]) -> None:
    table = owners.table([list(map(Shipped, paths)) for paths in manifests])
    assert owners.join(owners.rows(table)) == table
    assert owners.unpacked(owners.packed(table)) == table
