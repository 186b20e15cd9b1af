# SPDX-License-Identifier: Apache-2.0
"""Accounts that come along with files, and where the links of alternatives lead."""

from __future__ import annotations

from envgit.packages.following import links, with_accounts
from envgit.packages.records.accounts import PASSWD, SHADOW
from envgit.packages.records.alternatives import parse

ROOT = b"root:x:0:0:root:/root:/bin/sh\n"
SVC = b"svc:x:101:101::/var/lib/svc:/bin/false\n"
OTHER = b"other:x:102:102::/:/bin/false\n"

ONE = b"auto\n/usr/bin/vi\nvi.1\n/usr/share/man/vi.1\n\n/usr/bin/nvi\n10\n/usr/share/man/nvi.1\n\n"
TWO = (
    b"auto\n/usr/bin/vi\nvi.1\n/usr/share/man/vi.1\n\n/usr/bin/nvi\n10\n/usr/share/man/nvi.1\n"
    b"/usr/bin/vim\n30\n\n\n"
)


def test_an_account_comes_by_its_number_or_its_name() -> None:
    assert with_accounts(PASSWD, ROOT, ROOT + SVC + OTHER, {b"101"}, ()) == (
        ROOT + SVC,
        SVC.strip(),
    )
    assert with_accounts(PASSWD, ROOT, ROOT + SVC + OTHER, (), {b"other"})[0] == ROOT + OTHER
    shadow = b"root:*:1::::::\n", b"root:*:1::::::\nsvc:!:19000::::::\n"
    assert with_accounts(SHADOW, *shadow, (), {b"svc"})[0] == shadow[1]


def test_a_name_or_a_number_that_is_there_stays() -> None:
    mine = b"mine:x:101:101::/:/bin/sh\n"
    assert with_accounts(PASSWD, ROOT + mine, ROOT + SVC, {b"101"}, ()) == (ROOT + mine,)
    theirs = SVC.replace(b":101:", b":201:", 1)
    assert with_accounts(PASSWD, ROOT + SVC, ROOT + theirs, {b"201"}, ()) == (ROOT + SVC,)


def test_links_lead_to_the_best_and_slaves_that_it_lacks_go() -> None:
    both, alone = parse(TWO), parse(ONE)
    best = links(b"vi", both, [both, alone], None)
    assert best[b"/etc/alternatives/vi"] == b"/usr/bin/vim"
    assert best[b"/etc/alternatives/vi.1"] is None and best[b"/usr/share/man/vi.1"] is None
    left = links(b"vi", alone, [both, alone], b"/usr/bin/vim")
    assert left == {
        b"/etc/alternatives/vi": b"/usr/bin/nvi",
        b"/usr/bin/vi": b"/etc/alternatives/vi",
        b"/etc/alternatives/vi.1": b"/usr/share/man/nvi.1",
        b"/usr/share/man/vi.1": b"/etc/alternatives/vi.1",
    }


def test_a_choice_made_by_hand_stays_while_it_is_there() -> None:
    both = parse(TWO.replace(b"auto", b"manual"))
    kept = links(b"vi", both, [both], b"/usr/bin/nvi")
    assert kept[b"/etc/alternatives/vi"] == b"/usr/bin/nvi"
    gone = links(b"vi", parse(ONE.replace(b"auto", b"manual")), [both], b"/usr/bin/vim")
    assert gone[b"/etc/alternatives/vi"] == b"/usr/bin/nvi"


def test_of_an_alternative_that_is_gone_no_link_is_left() -> None:
    assert set(links(b"vi", None, [parse(ONE)], b"/usr/bin/nvi").values()) == {None}
