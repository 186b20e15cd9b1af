# SPDX-License-Identifier: Apache-2.0
"""The laws of files of entries, on generated files of every format."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.packages.records import Declined, format_for
from envgit.packages.records.model import Format

_NAMES = st.sampled_from(["alpha", "beta", "gamma", "delta", "epsilon"])
_VALUES = st.integers(1, 4)


def _each(line: str, end: str = "") -> st.SearchStrategy[bytes]:
    """Files with a line, or lines, for each of some names; ``{v}`` differs."""
    return st.dictionaries(_NAMES, _VALUES).map(
        lambda found: "".join(
            line.format(n=name, v=value) + end for name, value in found.items()
        ).encode()
    )


_FILES: dict[bytes, st.SearchStrategy[bytes]] = {
    b"var/lib/dpkg/status": _each(
        "Package: {n}\nStatus: install ok installed\nArchitecture: all\nVersion: {v}\n", "\n"
    ),
    b"var/lib/apt/extended_states": _each(
        "Package: {n}\nArchitecture: all\nAuto-Installed: {v}\n", "\n"
    ),
    b"var/cache/debconf/config.dat": _each("Name: {n}/ask\nValue: {v}\nOwners: {n}\n", "\n"),
    b"var/lib/dpkg/diversions": _each("/bin/{n}\n/bin/{n}.{v}\n{n}\n"),
    b"var/lib/dpkg/statoverride": _each("root root 475{v} /usr/lib/{n}\n"),
    b"var/lib/dpkg/triggers/File": _each("/usr/{n} pkg{v}/noawait\n"),
    b"lib/apk/db/installed": _each("P:{n}\nV:{v}-r0\nF:usr\nR:{n}\n", "\n"),
    b"etc/apk/world": _each("{n}={v}\n"),
    b"etc/passwd": _each("{n}:x:{v}00:{v}00::/home/{n}:/bin/sh\n"),
    b"etc/shadow": _each("{n}:!:1990{v}:0:99999:7:::\n"),
    b"etc/group": _each("{n}:x:{v}00:alpha\n"),
    b"etc/gshadow": _each("{n}:!:{v}:\n"),
    b"etc/subuid": _each("{n}:{v}00000:65536\n"),
    b"etc/shells": _each("/bin/{n}{v}\n"),
    b"etc/ssl/certs/ca-certificates.crt": _each(
        "-----BEGIN CERTIFICATE-----\n{n}{v}\n-----END CERTIFICATE-----\n"
    ),
}


@st.composite
def files(draw: st.DrawFn, count: int) -> tuple[Format, list[bytes]]:
    path = draw(st.sampled_from(sorted(_FILES)))
    form = format_for(path)
    assert form is not None
    return form, [draw(_FILES[path]) for _ in range(count)]


def entries(form: Format, data: bytes) -> list[bytes]:
    return sorted(record.content for record in form.split(data))


@given(files(1))
def test_taken_apart_and_put_together(found: tuple[Format, list[bytes]]) -> None:
    form, (data,) = found
    assert form.join(form.split(data)) == data
    assert form.join(form.split(data[:-1])) == data[:-1]


@given(files(3))
def test_merged(found: tuple[Format, list[bytes]]) -> None:
    form, (base, ours, theirs) = found
    assert form.merge(base, ours, base) == (ours, ())
    assert form.merge(base, base, theirs) == (theirs, ())
    assert form.merge(base, ours, ours) == (ours, ())
    merged, clashes = form.merge(base, ours, theirs)
    other, others = form.merge(base, theirs, ours)
    assert bool(clashes) == bool(others)
    if not clashes:
        assert entries(form, merged) == entries(form, other)
        # Whoever merges again has nothing left to merge.
        assert entries(form, form.merge(base, merged, theirs)[0]) == entries(form, merged)
    for clash in clashes:
        assert "HEAD" in clash.what.format(ours="HEAD", theirs="topic")


@given(files(3), st.sampled_from(["ours", "theirs"]))
def test_merged_for_one_side(found: tuple[Format, list[bytes]], side: str) -> None:
    """Where an owner is decided on, all of its entries are that side's."""
    form, (base, ours, theirs) = found
    merged, clashes = form.merge(base, ours, theirs, lambda _: side)
    assert entries(form, merged) == entries(form, ours if side == "ours" else theirs)
    assert all("uid" in clash.what or "gid" in clash.what for clash in clashes)


@given(files(2), st.sets(_NAMES))
def test_composed(found: tuple[Format, list[bytes]], names: set[str]) -> None:
    form, (base, other) = found
    assert form.compose(base, other, lambda _: True) == other or base == other
    assert form.compose(base, other, lambda _: False) == base
    made = set(entries(form, form.compose(base, other, lambda owner: owner in names)))
    assert made <= {*entries(form, base), *entries(form, other)}


@pytest.mark.parametrize("path", sorted(_FILES))
@given(data=st.binary(max_size=300))
def test_anything_else_is_declined_or_kept(path: bytes, data: bytes) -> None:
    form = format_for(path)
    assert form is not None
    try:
        assert form.join(form.split(data)) == data
    except Declined:
        return
