# SPDX-License-Identifier: Apache-2.0
"""Users are found as Docker finds them, in text that nobody has checked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.sandbox.failure import SandboxError
from envgit.sandbox.users import User, find

PASSWD = """\
root:x:0:0:root:/root:/bin/sh
broken line
ada:x:1000:100:Ada:/home/ada:/bin/sh
twin:x:1000:7:Twin:/home/twin:/bin/sh
1001:x:5:6:a name of digits:/five:/bin/sh
homeless:x:9:9:::
"""
GROUP = "root:x:0:\nusers:x:100:\nwheel:x:10:root,ada\nstaff:x:50:ada\nbad:x:-1:ada\nshort:x\n"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("", User(0, 0, (0, 10), "/root", "root")),
        ("ada", User(1000, 100, (10, 50, 100), "/home/ada", "ada")),
        ("1000", User(1000, 100, (10, 50, 100), "/home/ada", "ada")),
        ("ada:wheel", User(1000, 10, (), "/home/ada", "ada")),
        ("ada:", User(1000, 100, (10, 50, 100), "/home/ada", "ada")),
        (":staff", User(0, 50, (), "/root", "root")),
        ("77", User(77, 0, (0,), "/", "")),
        ("77:78", User(77, 78, (), "/", "")),
        ("1001", User(5, 6, (6,), "/five", "1001")),
        ("homeless", User(9, 9, (9,), "/", "homeless")),
    ],
)
def test_users(spec: str, expected: User) -> None:
    assert find(spec, PASSWD, GROUP) == expected


@pytest.mark.parametrize("spec", ["bob", "ada:nogroup", "-1", "4294967295", "99999999999", "1:-1"])
def test_unknown_users(spec: str) -> None:
    with pytest.raises(SandboxError, match=r"no (user|group)"):
        find(spec, PASSWD, GROUP)


@given(st.text(max_size=20), st.text(max_size=200), st.text(max_size=200))
def test_any_text_gives_a_user_or_an_error(spec: str, passwd: str, group: str) -> None:
    try:
        user = find(spec, passwd, group)
    except SandboxError:
        return
    assert all(0 <= number < 2**32 - 1 for number in (user.uid, user.gid, *user.groups))
