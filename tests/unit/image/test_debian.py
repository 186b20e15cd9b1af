# SPDX-License-Identifier: Apache-2.0
"""How mmdebstrap is called and how its failures are told, with a fake in its place."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from envgit.image import debian


@pytest.fixture
def on_path(tmp_path: Path) -> dict[str, str]:
    """An environment whose PATH has programs named mmdebstrap and apt-config that do nothing."""
    for name in ("mmdebstrap", "apt-config"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    return {"PATH": str(tmp_path), "http_proxy": "http://proxy:3128", "SECRET": "x"}


class Fake:
    """Stands for mmdebstrap: makes a tree as it would, says its lines, ends with its status."""

    def __init__(self, said: Sequence[str] = (), status: int = 0) -> None:
        self.said, self.status = said, status

    def __call__(
        self, arguments: Sequence[str], env: Mapping[str, str], heard: Callable[[str], None]
    ) -> int:
        self.arguments, self.environment = list(arguments), dict(env)
        self.listed = Path(arguments[-1]).read_text()
        for line in self.said:
            heard(line)
        if self.status == 0:
            dest = Path(arguments[-2])
            for name in ("dev/pts", "etc/apt/apt.conf.d", "etc/apt/sources.list.d"):
                (dest / name).mkdir(parents=True)
            (dest / "dev/null").touch()
            (dest / "etc/resolv.conf").write_text("nameserver 192.0.2.1\n")
            (dest / "etc/hostname").symlink_to("/etc/passwd")
            (dest / "etc/apt/sources.list.d/0000debian.sources").write_text(self.listed)
        return self.status


def test_the_machine_stays_outside(tmp_path: Path, on_path: dict[str, str]) -> None:
    heard: list[str] = []
    fake, dest = Fake(["I: installing"]), tmp_path / "dest"
    debian.bootstrap(
        "bookworm", ["git"], str(dest), environment=on_path, progress=heard.append, run=fake
    )
    assert heard == ["installing"]
    assert "--include=git" in fake.arguments
    assert fake.environment["http_proxy"] == "http://proxy:3128"
    assert "SECRET" not in fake.environment
    assert os.listdir(dest / "dev") == []
    assert (dest / "etc/resolv.conf").read_text() == ""
    assert not (dest / "etc/hostname").is_symlink()
    assert "localhost" in (dest / "etc/hosts").read_text()
    assert os.listdir(dest / "etc/apt/sources.list.d") == ["debian.sources"]
    assert "bookworm" in (dest / "etc/apt/sources.list.d/debian.sources").read_text()


def test_source_date_epoch_bounds_times(tmp_path: Path, on_path: dict[str, str]) -> None:
    dest = tmp_path / "dest"
    environment = on_path | {"SOURCE_DATE_EPOCH": "1000"}
    debian.bootstrap("bookworm", [], str(dest), environment=environment, run=Fake())
    times = [os.lstat(path).st_mtime for path in dest.rglob("*")]
    assert times and max(times) <= 1000


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("E: Temporary failure resolving 'deb.debian.org'", "mirror cannot be reached"),
        ("E: The repository 'x' does not have a Release file.", "no such suite"),
        ("E: Unable to locate package nosuch", "package is not in this suite .*nosuch"),
        ("W: GPG error: NO_PUBKEY 0123", "signature cannot be verified"),
        ("E: write failed (28: No space left on device)", "disk is full"),
        ("E: something odd", "mmdebstrap failed: something odd"),
        ("I: nothing", "mmdebstrap failed: exit status 7"),
    ],
)
def test_failures_are_explained(
    tmp_path: Path, on_path: dict[str, str], line: str, said: str
) -> None:
    with pytest.raises(debian.BootstrapError, match=said) as caught:
        debian.bootstrap(
            "bookworm", [], str(tmp_path / "dest"), environment=on_path, run=Fake([line], 7)
        )
    assert caught.value.log == (line,)


def test_mmdebstrap_missing(tmp_path: Path) -> None:
    with pytest.raises(debian.BootstrapError, match="not installed") as caught:
        debian.bootstrap("bookworm", [], str(tmp_path), environment={"PATH": str(tmp_path)})
    assert caught.value.hint == "apt-get install mmdebstrap"


def test_only_options_about_reaching_mirrors_are_taken() -> None:
    assert debian.pick_options(
        [
            'Acquire::http::Proxy "http://proxy:3128/";',
            'Acquire::https::CAInfo "/etc/ssl/ours.pem";',
            'Acquire::Check-Valid-Until "false";',
            'Acquire::http "";',
            'APT::Install-Recommends "0";',
            'Acquire::Languages:: "none";',
        ]
    ) == {
        "Acquire::http::Proxy": "http://proxy:3128/",
        "Acquire::https::CAInfo": "/etc/ssl/ours.pem",
        "Acquire::Check-Valid-Until": "false",
    }
