# SPDX-License-Identifier: Apache-2.0
"""What a status says of packages without looking at them is what it says when it looks."""

from __future__ import annotations

import pytest

import envgit
from envgit.porcelain.foundation import snapshot
from envgit.porcelain.foundation.packages.history import History
from envgit.porcelain.foundation.packages.uncommitted import uncommitted
from tests.support.pkglabs import chains, debs, place
from tests.support.pkglabs.place import Environment

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("overlay", "mountns", "trusted_xattr", "mknod"),
]


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    top = tmp_path_factory.mktemp("debian")
    env = place.debian(top, *chains.PYTHON, archive=debs.archive(debs.library(4)))
    env.apt("install", "lab-000=1.0", message="lab 1.0")
    return env


def said(env: Environment) -> list[tuple[str, str]]:
    """Kinds and names, the same whether or not it was looked at."""
    repository = envgit.Repository.open(str(env.project), environ=env.env)
    current = snapshot.describe(repository)
    found = uncommitted(repository, current, current.changes)
    assert found == History(repository).uncommitted(current, current.changes)
    return [(one.kind, one.package.name) for one in found.changes]


def owned_file(env: Environment) -> str:
    listed = env.sh("dpkg -L lab-000").splitlines()
    return next(path for path in listed if path.startswith("/usr/lib/lab/"))


def test_a_status_that_does_not_look_says_what_one_says_that_does(debian: Environment) -> None:
    file = owned_file(debian)
    debian.sh("echo mine > /opt/mine")
    assert said(debian) == []
    assert said(debian) == []  # the second does not look
    debian.sh(f"echo broken >> {file}")
    assert said(debian) == [("modified", "lab-000")]
    debian.envgit("restore", file.lstrip("/")).ok()
    assert said(debian) == []
    debian.envgit("commit", "-q", "-m", "mine").ok()
    # The next commit inherits what is known of the one before.
    debian.sh("echo more > /opt/mine")
    assert said(debian) == []
    debian.sh(f"echo broken >> {file}")
    assert said(debian) == [("modified", "lab-000")]
    debian.envgit("commit", "-q", "-m", "broken").ok()
    debian.apt("install", "lab-001=1.0")
    assert said(debian) == [("added", "lab-001")]
    debian.envgit("commit", "-q", "-m", "lab-001").ok()
    # A database changed: what was known is not inherited.
    debian.sh("f=$(dpkg -L lab-001 | grep ^/usr/lib/lab/ | head -n 1); echo broken >> $f")
    assert said(debian) == [("modified", "lab-001")]
