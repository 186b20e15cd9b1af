# SPDX-License-Identifier: Apache-2.0
"""Names of images mean what they mean to docker."""

from __future__ import annotations

import pytest

from envgit.image.references import ImageNameError, parse_reference

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("debian", "docker.io/library/debian", "debian"),
        ("debian:12", "docker.io/library/debian:12", "debian"),
        ("library/debian", "docker.io/library/debian", "debian"),
        ("grafana/grafana", "docker.io/grafana/grafana", "grafana/grafana"),
        ("index.docker.io/debian", "docker.io/library/debian", "debian"),
        ("localhost/app", "localhost/app", "localhost/app"),
        ("localhost:5000/a/b_c:x", "localhost:5000/a/b_c:x", "localhost:5000/a/b_c"),
        ("quay.io/a/b@" + DIGEST, "quay.io/a/b@" + DIGEST, "quay.io/a/b"),
        ("quay.io/a/b:1@" + DIGEST, "quay.io/a/b:1@" + DIGEST, "quay.io/a/b"),
        ("[::1]:5000/a", "[::1]:5000/a", "[::1]:5000/a"),
        ("UPPER/app", "UPPER/app", "UPPER/app"),
        ("docker.io/library/a/b", "docker.io/library/a/b", "library/a/b"),
        ("a__b/c-----d", "docker.io/a__b/c-----d", "a__b/c-----d"),
    ],
)
def test_short_and_long_forms(text: str, full: str, familiar: str) -> None:
    reference = parse_reference(text)
    assert str(reference) == full
    assert reference.familiar_name == familiar
    assert parse_reference(str(reference)) == reference


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":tag",
        "Debian",
        "a:b:c",
        "a//b",
        "/a",
        "a/",
        "a@sha256:12",
        "a@md5:" + "0" * 32,
        "a:" + "t" * 129,
        "a:-x",
        "-a",
        "a..b",
        "a___b",
        "../x",
        "x" * 300,
        "0123456789abcdef" * 4,
        "host:port/x",
        "a\n",
    ],
)
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(ImageNameError):
        parse_reference(text)


def test_the_tag_that_counts() -> None:
    assert parse_reference("a").with_default_tag().tag == "latest"
    assert parse_reference("a").identifier == "latest"
    assert parse_reference("a:1@" + DIGEST).identifier == DIGEST
    assert parse_reference("a@" + DIGEST).with_default_tag().tag is None
    assert str(parse_reference("a:1").with_tag("2")) == "docker.io/library/a:2"
