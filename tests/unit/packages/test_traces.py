# SPDX-License-Identifier: Apache-2.0
"""Paths that may be part of a database are told from all others by name, never one too few."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.packages.readers import apk, cargo, conda, dpkg, gem, npm, pacman, pip, rpm, rpm_reasons
from envgit.packages.traces import has_marked, is_trace, marks

PYTHON = b"usr/lib/python3/dist-packages"

# What each reader's units, their keys and lists of files are made of.
READ = [
    dpkg._STATUS,
    dpkg._DISTROLESS + b"/base-files",
    dpkg._DIVERSIONS,
    b"var/lib/dpkg/info/libc6:amd64.list",
    b"var/lib/dpkg/updates/0001",
    b"var/lib/apt/extended_states",
    *(place + b"/rpmdb.sqlite-wal" for place in rpm._PLACES),
    *rpm_reasons.RECORDS,
    *apk._PLACES,
    apk._WORLD,
    pacman._LOCAL + b"/bash-5.2-1/desc",
    conda._META + b"/numpy-2.0-0.json",
    b"opt/conda/" + conda._META + b"/history",
    *(b"%b/some%b/RECORD" % (PYTHON, kind) for kind in pip._UNITS),
    *(b"%b/some%b" % (PYTHON, kind) for kind in pip._UNITS),
    b"opt/app/" + npm._JSON,
    b"opt/app/node_modules/" + npm._LOCK,
    b"opt/app/node_modules/@scope/name/package.json",
    b"var/lib/gems/3.1.0/" + gem._FOLDER + b"/default/json-2.6.gemspec",
    b"root/.cargo/" + cargo._NEW,
    b"root/.cargo/" + cargo._OLD,
]


@pytest.mark.parametrize("path", READ)
def test_what_is_read_of_databases_is_told_by_its_name(path: bytes) -> None:
    assert is_trace(path)


@pytest.mark.parametrize(
    "path", [b"", b"etc/motd", b"usr/bin/dpkg-deb", b"srv/rpms/a.rpm", b"home/me/notes.egg.txt"]
)
def test_what_people_work_on_is_no_trace(path: bytes) -> None:
    assert not is_trace(path)


@given(st.sets(st.binary(max_size=20)), st.sets(st.binary(max_size=20)))
def test_what_was_marked_is_found_again(marked: set[bytes], others: set[bytes]) -> None:
    data = marks(marked)
    assert all(has_marked(data, [path]) for path in marked)
    assert not has_marked(data, [])
    if marked & others:
        assert has_marked(data, others)
