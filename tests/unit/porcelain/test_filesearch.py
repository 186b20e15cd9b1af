# SPDX-License-Identifier: Apache-2.0
"""The files of a culprit, with predicates in place of commands."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from envgit.porcelain.foundation.inside.filesearch import Files, find_files
from envgit.porcelain.foundation.inside.isolation import Changes, Outcome

FAILS, PASSES, UNRESOLVED = Outcome.FAILS, Outcome.PASSES, Outcome.UNRESOLVED

NAMES = [(b"lib/%02d.py" % number, b"lib/__pycache__/%02d.pyc" % number) for number in range(60)]
ALL = frozenset(range(60))


def searched(
    predicate: Callable[[Changes], Outcome], output: bytes = b"", count: int = 60
) -> tuple[Files, list[Changes]]:
    asked: list[Changes] = []

    def test(sets: Sequence[Changes]) -> list[Outcome]:
        assert not set(sets) & set(asked)
        asked.extend(sets)
        return [predicate(each) for each in sets]

    return find_files(NAMES[:count], test, output, jobs=1), asked


def fails_with(*wanted: int) -> Callable[[Changes], Outcome]:
    return lambda changes: FAILS if changes.issuperset(wanted) else PASSES


def test_one_file_and_what_is_made_of_it() -> None:
    found, asked = searched(fails_with(41))
    assert found.causes == (NAMES[41],) and found.verified
    assert len(asked) <= 10


def test_what_the_output_names_comes_first() -> None:
    output = b'File "/lib/03.py", line 1\nFile "/lib/41.py", line 7\nImportError\n'
    found, asked = searched(fails_with(41), output)
    assert found.causes == (NAMES[41],)
    assert len(asked) <= 5


def test_files_that_are_needed_together() -> None:
    found, _ = searched(fails_with(7, 50))
    assert found.causes == (tuple(sorted((*NAMES[7], *NAMES[50]))),)


def test_files_that_do_it_each_by_itself() -> None:
    found, _ = searched(lambda each: FAILS if each & {7, 50} else PASSES)
    assert sorted(found.causes) == [NAMES[7], NAMES[50]]


def test_a_package_that_is_one_thing() -> None:
    """Every mixture fails otherwise."""
    whole = {ALL: FAILS, frozenset(): PASSES}
    found, asked = searched(lambda each: whole.get(each, UNRESOLVED))
    assert (found.causes, found.mending, found.verified) == ((), (), False)
    assert len(asked) < 20


def test_it_ends_where_ever_fewer_files_do_it() -> None:
    """As where nothing is told of why: all but one may be there, and then all but another."""
    found, asked = searched(lambda each: FAILS if len(each) > 31 else PASSES)
    assert not found.verified and len(asked) <= 20


def test_a_file_that_mends_it_alone() -> None:
    """The new 41 works with no old file beside it, the old one with all."""

    def predicate(changes: Changes) -> Outcome:
        if 41 not in changes:
            return PASSES
        return FAILS if changes == ALL else UNRESOLVED

    found, _ = searched(predicate)
    assert found.mending == NAMES[41] and not found.verified


@pytest.mark.parametrize("outcome", [FAILS, UNRESOLVED])
def test_what_the_database_says_is_enough(outcome: Outcome) -> None:
    found, asked = searched(lambda _: outcome)
    assert not found.verified and asked == [frozenset()]


def test_one_file_needs_no_search() -> None:
    found, asked = searched(fails_with(0), count=1)
    assert found.causes == (NAMES[0],) and asked == [frozenset()]
