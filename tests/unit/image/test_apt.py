# SPDX-License-Identifier: Apache-2.0
"""sources.list(5) in both forms, and which of its entries make a Debian of another suite."""

from __future__ import annotations

from pathlib import Path

from envgit.image import apt
from envgit.image.apt import AptSource

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

DEB822 = f"""\
# the archive
Types: deb deb-src
URIs: https://mirror.example/debian
Suites: bookworm bookworm-updates bookworm-backports
Components: main non-free-firmware
Signed-By: {KEYRING}

Types: deb
URIs: https://mirror.example/debian-security
Suites: bookworm-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
URIs: https://packages.example/apt
Suites: bookworm
Components: main
Signed-By: /etc/apt/keyrings/example.gpg

Enabled: no
Types: deb
URIs: https://mirror.example/debian
Suites: sid
Components: main

Types: deb-src
URIs: https://mirror.example/debian
Suites: sid
Components: main
"""

ONE_LINE = """\
# comment
deb http://deb.example/debian bookworm main contrib # trailing
deb-src http://deb.example/debian bookworm main
deb [ arch=amd64,i386 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg lang+=de ] \
http://deb.example/debian bookworm-updates main
deb [trusted=yes] file:/srv/flat ./
deb https://download.docker.example/linux/debian bookworm stable
"""


def suites(sources: list[AptSource]) -> list[tuple[str, ...]]:
    return [source.suites for source in sources]


def test_deb822_keeps_options_and_passes_over_what_is_disabled() -> None:
    first, second, third = apt.parse_deb822(DEB822)
    assert first.uris == ("https://mirror.example/debian",)
    assert first.signed_by == KEYRING
    assert (second.signed_by or "").startswith("\n -----BEGIN PGP")
    assert third.components == ("main",)


def test_a_stanza_parses_to_itself() -> None:
    for source in apt.parse_deb822(DEB822):
        assert list(apt.parse_deb822(source.stanza())) == [source]


def test_one_line_options_become_fields() -> None:
    found = list(apt.parse_one_line(ONE_LINE))
    assert suites(found) == [("bookworm",), ("bookworm-updates",), ("./",), ("bookworm",)]
    assert found[0].components == ("main", "contrib")
    assert found[1].options == (
        ("Architectures", "amd64 i386"),
        ("Signed-By", KEYRING),
        ("Languages-Add", "de"),
    )
    assert found[1].signed_by == KEYRING


def test_third_parties_are_no_part_of_debian() -> None:
    assert [apt.is_debian(source) for source in apt.parse_deb822(DEB822)] == [True, True, False]
    assert [apt.is_debian(source) for source in apt.parse_one_line(ONE_LINE)] == [
        True,
        True,
        False,
        False,
    ]


def test_own_suite_is_taken_as_it_is() -> None:
    found = apt.sources_for("bookworm", apt.parse_deb822(DEB822), keyring=True)
    assert suites(found) == [
        ("bookworm", "bookworm-updates", "bookworm-backports"),
        ("bookworm-security",),
    ]


def test_another_suite_comes_from_the_same_mirrors() -> None:
    trixie = apt.sources_for("trixie", apt.parse_deb822(DEB822), keyring=True)
    assert suites(trixie) == [("trixie", "trixie-updates"), ("trixie-security",)]
    assert trixie[0].uris == ("https://mirror.example/debian",)


def test_rolling_and_old_suites_lack_some_pockets_and_components() -> None:
    assert suites(apt.sources_for("sid", apt.parse_deb822(DEB822), keyring=True)) == [("sid",)]
    buster = apt.sources_for("buster", apt.parse_deb822(DEB822), keyring=True)
    assert suites(buster) == [("buster", "buster-updates"), ("buster/updates",)]
    assert buster[0].components == ("main",)


def test_a_machine_without_debian_sources_uses_the_public_mirror() -> None:
    found = apt.sources_for("trixie", [], keyring=True)
    assert suites(found) == [("trixie", "trixie-updates"), ("trixie-security",)]
    assert found[0].signed_by == KEYRING
    assert apt.sources_for("trixie", [], keyring=False)[0].signed_by is None


def test_mirror_files_are_replaced_by_what_they_list(tmp_path: Path) -> None:
    (tmp_path / "mirrors").write_text("# ours\nhttps://a.example/debian\thigh\nhttp://b/debian\n")
    (tmp_path / "sources.list").write_text(
        f"deb mirror+file://{tmp_path}/mirrors bookworm main\n"
        "deb cdrom:[Debian 12]/ bookworm main\n"
        "deb mirror+file:///nowhere bookworm main\n"
    )
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d/b.sources").write_text(DEB822)
    (tmp_path / "sources.list.d/a.list.save").write_text("deb http://saved bookworm main\n")
    found = apt.host_sources(str(tmp_path))
    assert found[0].uris == ("https://a.example/debian", "http://b/debian")
    assert len(found) == 4


def test_nothing_there_is_no_error(tmp_path: Path) -> None:
    assert apt.host_sources(str(tmp_path / "missing")) == []
