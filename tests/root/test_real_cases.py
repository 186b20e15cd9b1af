# SPDX-License-Identifier: Apache-2.0
"""Real upgrades of real packages, one of which breaks a real program: found, named and mended.

The short history has six commits after Debian's own; the full one more than thirty, and upgrades
40 pip and 60 apt packages. Both are made of packages from the registries, fetched once a machine.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.pkglabs import chains, place, real
from tests.support.pkglabs.place import Environment
from tests.support.pkglabs.real import Breakage

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("overlay", "mountns", "trusted_xattr", "mknod", "pypi", "mirror"),
]

# What pip needs of the machine to reach its index from inside.
NETWORK = (
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
    *("PIP_CERT", "SSL_CERT_FILE", "PIP_INDEX_URL", "PIP_TRUSTED_HOST"),
)

PIPS = "/usr/local/lib/python3.11/dist-packages"

# How many states the command is tried in until the package is named and proven, at most.
TRIALS = 15


def name_of(name: str) -> str:
    """A name of pip, whichever way it is spelt."""
    return name.lower().replace("_", "-")


def installed(env: Environment) -> dict[str, str]:
    """What pip (of what it installed itself) and dpkg say, by name."""
    said = json.loads(env.pip("list", "--path", PIPS, "--format=json").stdout)
    found = {name_of(one["name"]): one["version"] for one in said}
    shown = env.run("dpkg-query", "-W", "-f=${Package}\\t${Version}\\n").stdout
    return found | dict(line.split("\t") for line in shown.splitlines())


def found_by(env: Environment, breakage: Breakage, good: str) -> str:
    """The subject of the first bad commit; leaves the bisection under way."""
    env.envgit("bisect", "start", "HEAD", good).ok()
    told = env.json("bisect", "run", "--json", *breakage.command)
    subject: str = told["first_bad"]["subject"]
    return subject


def inside(env: Environment, breakage: Breakage, *words: str) -> dict[str, Any]:
    """The only change that ``bisect inside`` names."""
    told = env.json("bisect", "inside", "--json", *words, *breakage.command)
    assert told["verified"]
    assert told["without"] == "good"
    (culprit,) = told["culprits"]
    assert culprit["minimal"]
    (change,) = culprit["changes"]
    of_files = sum(one["files"]["trials"] for one in told["culprits"] if one["files"])
    assert len(told["trials"]) - of_files <= TRIALS
    assert isinstance(change, dict)
    return change


def prove(env: Environment, breakage: Breakage, subject: str) -> None:
    """From "it fails now" to "it works again", as a user would."""
    assert not env.tries(*breakage.command)
    assert found_by(env, breakage, "old") == subject
    change = inside(env, breakage)
    assert name_of(change["name"]) == breakage.package
    assert change["kind"] == "upgraded"
    assert change["old"].startswith(breakage.old)
    assert change["new"].startswith(breakage.new)
    env.envgit("bisect", "reset").ok()

    before = installed(env)
    env.envgit("rollback", "--package", breakage.package, "old").ok()
    after = installed(env)
    assert after[breakage.package].startswith(breakage.old)
    assert {name for name in before if before[name] != after.get(name)} == {breakage.package}
    assert before.keys() == after.keys()
    assert env.tries(*breakage.command)
    assert env.sh("dpkg --audit; apt-get -qq check") == ""
    env.envgit("fsck").ok()
    env.envgit("undo").ok()
    assert installed(env) == before


def test_a_broken_program_is_mended(tmp_path: Path) -> None:
    env = chains.make(tmp_path, chains.short())
    prove(env, real.WERKZEUG, chains.PIP_BREAKS)
    prove(env, real.APT_MULTIPART, chains.APT_BREAKS)
    told = env.json("log", "--json", "--package", "werkzeug")
    assert [one["subject"] for one in told] == [chains.PIP_BREAKS, chains.OLD]
    (brought,) = env.json("blame", "--json", "--package", "python3-multipart")
    assert brought["subject"] == chains.APT_BREAKS


@pytest.mark.slow(thorough=True)
def test_in_a_long_history(tmp_path: Path) -> None:
    env = chains.make(tmp_path, chains.full())
    assert len(env.envgit("log", "--format=%H").ok().lines) > 30
    prove(env, real.WERKZEUG, chains.PIP_BREAKS)
    prove(env, real.APT_MULTIPART, chains.APT_BREAKS)
    # All that happened in the whole history, as if it had been one commit.
    for breakage in (real.WERKZEUG, real.URLLIB3, real.APT_MULTIPART, real.APT_MISTUNE):
        change = inside(env, breakage, "--no-files", "old..main", "--")
        assert name_of(change["name"]) == breakage.package


@pytest.mark.slow(thorough=True)
def test_from_the_network(tmp_path: Path) -> None:
    """As a user would do it, with apt and pip reaching their registries from inside."""
    env = place.debian(tmp_path, *chains.PYTHON, sources=())
    for name in NETWORK:
        env.envgit("config", "--add", "run.env", name).ok()
    certificates = Path("/etc/ssl/certs/ca-certificates.crt")
    if certificates.exists():
        env.volume(certificates, str(certificates))
    env.apt("update", message="lists")
    env.apt("install", "python3-six", message="six")
    words = ("pip", "install", "-q", "--break-system-packages", "--no-deps", "iniconfig==2.0.0")
    env.run(*words, message="iniconfig")
    for revision, name in (("HEAD", "iniconfig"), ("HEAD~1", "python3-six")):
        (change,) = env.json("diff", "--packages", "--json", f"{revision}~1", revision)["packages"]
        assert (change["kind"], change["name"]) == ("added", name)
