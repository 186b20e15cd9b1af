# SPDX-License-Identifier: Apache-2.0
"""``--from``: what is understood, and what the refusals suggest."""

from __future__ import annotations

import pytest

from envgit.image.source import Source, SourceError, parse_source


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("scratch", Source("scratch")),
        ("debian:bookworm", Source("debian", "bookworm")),
        ("debian:stable+python3,git", Source("debian", "stable", ("python3", "git"))),
        ("debian:sid+g++,libc6:i386", Source("debian", "sid", ("g++", "libc6:i386"))),
        (
            "debian:bookworm+git=1:2.39.5-0+deb12u2",
            Source("debian", "bookworm", ("git=1:2.39.5-0+deb12u2",)),
        ),
        ("tar:base.tar.xz", Source("tar", "base.tar.xz")),
        ("tar:-", Source("tar", "-")),
        ("tar:a:b+c", Source("tar", "a:b+c")),
        ("rootfs:/srv/root fs", Source("rootfs", "/srv/root fs")),
        ("docker://debian:12", Source("docker", "debian:12")),
        ("docker://localhost:5000/a/b", Source("docker", "localhost:5000/a/b")),
        ("oci:layout", Source("oci", "layout")),
        ("oci:layout:a/b:1", Source("oci", "layout", name="a/b:1")),
        ("oci-archive:a.tar:1.0", Source("oci-archive", "a.tar", name="1.0")),
        ("docker-archive:a.tar:debian:12", Source("docker-archive", "a.tar", name="debian:12")),
        ("dir:/srv/a:b", Source("dir", "/srv/a:b")),
    ],
)
def test_understood_and_written_back(text: str, source: Source) -> None:
    assert parse_source(text) == source
    assert str(source) == text


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("", "unknown source ''", "scratch"),
        ("debian", "unknown source", "debian:bookworm"),
        ("debian:", "not the name of a Debian suite", "debian:bookworm"),
        ("debian:Book worm", "not the name of a Debian suite", "debian:bookworm"),
        ("debian:../x", "not the name of a Debian suite", "debian:bookworm"),
        ("debian:sid+", "no package is named", "PACKAGE"),
        ("debian:sid+-o", "cannot be the name of a Debian package", None),
        ("debian:sid+a;b", "cannot be the name of a Debian package", None),
        ("tar:", "needs a file", "tar:FILE"),
        ("rootfs:", "needs a directory", "rootfs:DIR"),
        ("docker:debian", "needs // behind the colon", "docker://debian"),
        ("docker:", "needs // behind the colon", "docker://debian:12"),
        ("oci:", "needs a directory", "oci:DIR"),
        ("oci:layout:", "no name stands behind", "oci:DIR"),
        ("oci-archive::x", "needs a file", "oci-archive:FILE"),
        ("base.tar.gz", "unknown source", "tar:base.tar.gz"),
        ("./root", "unknown source", "rootfs:./root"),
        ("scratch:x", "unknown source", "scratch"),
    ],
)
def test_refused_with_a_hint(text: str, said: str, hint: str | None) -> None:
    with pytest.raises(SourceError, match=said) as caught:
        parse_source(text)
    assert hint is None or hint in (caught.value.hint or "")
