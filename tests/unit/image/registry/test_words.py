# SPDX-License-Identifier: Apache-2.0
"""What servers and environments say: challenges, proxies, waits, errors."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.image.registry.challenges import Challenge, choose, parse
from envgit.image.registry.errors import from_answer, printable, said
from envgit.image.registry.proxies import ProxyError, is_loopback, proxy_for, shown
from envgit.image.registry.retries import retry_after


def test_challenges() -> None:
    bearer = Challenge(
        "bearer",
        {"realm": "https://auth.example/t?a=1,2", "service": "r", "scope": "x:y:pull,push"},
    )
    text = 'Bearer realm="https://auth.example/t?a=1,2",service="r",scope="x:y:pull,push"'
    assert parse(text) == [bearer]
    assert parse(text.replace(",s", " , \t s")) == [bearer]
    basic = Challenge("basic", {"realm": 'the "r" \\'})
    assert parse('BASIC Realm="the \\"r\\" \\\\"') == [basic]
    assert parse(f'Basic realm="the \\"r\\" \\\\", {text}') == [basic, bearer]
    assert choose(f"Negotiate, Basic realm=x, {text}") == bearer
    assert choose("Negotiate, Basic realm=x") == Challenge("basic", {"realm": "x"})
    assert choose("Basic") == Challenge("basic", {})
    for none in ("", "Negotiate abc==", "=", ",,,", '"', "Digest realm=x"):
        assert choose(none) is None


@given(st.text(max_size=200))
def test_any_challenge_is_read(text: str) -> None:
    parse(text)
    parse(f"Bearer {text}")


def test_challenges_take_linear_time() -> None:
    for text in ("a=" * 50_000, "Bearer " * 20_000, 'Bearer a="' + "\\" * 90_000, ", " * 90_000):
        parse(text)


ENVIRON = {"https_proxy": "http://p.example:3128", "HTTP_PROXY": "p2.example:8080"}


@pytest.mark.parametrize(
    ("url", "no_proxy", "direct"),
    [
        ("https://a.example/v2/", "", False),
        ("https://a.example/v2/", "b.example", False),
        ("https://a.example/v2/", "a.example", True),
        ("https://x.a.example/v2/", "a.example", True),
        ("https://xa.example/v2/", "a.example", False),
        ("https://x.a.example/v2/", " .a.example , c", True),
        ("https://x.a.example/v2/", "*.a.example", True),
        ("https://a.example:5000/v2/", "a.example:5000", True),
        ("https://a.example:5000/v2/", "a.example:443", False),
        ("https://a.example/v2/", "a.example:443", True),
        ("https://A.Example/v2/", "a.EXAMPLE", True),
        ("https://a.example/v2/", "*", True),
        ("https://10.1.2.3/v2/", "10.0.0.0/8", True),
        ("https://11.1.2.3/v2/", "10.0.0.0/8", False),
        ("https://[fd00::1]:5000/v2/", "fd00::/16", True),
        ("https://[fd00::1]:5000/v2/", "[fd00::1]:5000", True),
        ("https://localhost:5000/v2/", "", True),
        ("https://127.0.0.9/v2/", "", True),
        ("https://[::1]/v2/", "", True),
        ("https://a.example/v2/", "/,:,::/x,[", False),
    ],
)
def test_proxies(url: str, no_proxy: str, direct: bool) -> None:
    found = proxy_for(url, {**ENVIRON, "NO_PROXY": no_proxy})
    assert found == ("" if direct else "http://p.example:3128")


def test_proxies_by_scheme() -> None:
    assert proxy_for("http://a.example/", ENVIRON) == "http://p2.example:8080"
    assert proxy_for("http://a.example/", {"all_proxy": "http://q"}) == "http://q"
    assert proxy_for("http://a.example/", {}) == ""
    with pytest.raises(ProxyError, match="socks5"):
        proxy_for("http://a.example/", {"ALL_PROXY": "socks5://q:1080"})
    assert shown("http://ada:secret@p.example:3128/") == "p.example:3128"
    assert [is_loopback(h) for h in ("localhost", "x.localhost", "127.1.1.1", "::1")] == [True] * 4
    assert not any(is_loopback(h) for h in ("localhost.example", "128.0.0.1", "", "local"))


def test_waits() -> None:
    soon = datetime.now(UTC) + timedelta(seconds=30)
    assert 25 < (retry_after({"Retry-After": format_datetime(soon, usegmt=True)}) or 0) <= 30
    assert retry_after({"Retry-After": "Mon, 01 Jan 2001 00:00:00 GMT"}) == 0
    assert retry_after({"Retry-After": "12"}) == 12
    for none in ({}, {"Retry-After": "soon"}, {"Retry-After": "-5"}, {"Retry-After": "²"}):
        assert retry_after(none) is None


def test_words_are_one_line_that_moves_no_cursor() -> None:
    assert printable("a\x1b[2Jb\r\nc\t d\u202e") == "a?[2Jb c d?"
    assert len(printable("x" * 10_000)) == 300
    body = {"errors": [{"code": "DENIED", "message": "no\x1b]0;x", "detail": "quota\n1"}]}
    assert said(json.dumps(body).encode()) == ("DENIED", "no?]0;x: quota 1")


@given(
    st.binary(max_size=100)
    | st.from_regex(r'\{"errors":\[?(\{\}|5|"x"|null)?\]?\}').map(str.encode)
)
def test_any_answer_makes_an_error(body: bytes) -> None:
    for status in (400, 401, 403, 404, 405, 413, 418, 429, 500, 507):
        error = from_answer(status, body, doing="cannot x", host="reg.example")
        assert error.message.startswith("cannot x") and error.message.isprintable()
