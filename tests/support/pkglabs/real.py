# SPDX-License-Identifier: Apache-2.0
"""Upgrades of real packages that break real programs, fetched once from the registries and kept.

Both kinds work on the Python of Debian bookworm. The upgrades of apt take packages of trixie that
need no newer Python or C library than bookworm's: their breakages are what backports bring.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cmp_to_key
from pathlib import Path

from tests.support import gate, probes
from tests.support.pkglabs import debs, kept


@dataclass(frozen=True)
class Breakage:
    """A program in Python that works with one version of a package and not with the next."""

    package: str
    old: str
    new: str
    program: str

    @property
    def command(self) -> tuple[str, ...]:
        """What to bisect with: fails after the upgrade."""
        return ("python3", "-c", self.program)


CIPHERS = "from urllib3.util.ssl_ import DEFAULT_CIPHERS"

# Flask 2.2.2 names werkzeug>=2.2.2 as its only need; werkzeug 3 took away what it imports.
WERKZEUG = Breakage("werkzeug", "2.2.2", "3.1.3", "import flask")
# botocore and others imported the list of ciphers that urllib3 2 no longer has.
URLLIB3 = Breakage("urllib3", "1.26.14", "2.5.0", CIPHERS)
PACKAGING = Breakage("packaging", "21.3", "25.0", "from packaging.version import LegacyVersion")
APT_URLLIB3 = Breakage("python3-urllib3", "1.26", "2.3", CIPHERS)
# Another project took over the name.
APT_MULTIPART = Breakage(
    "python3-multipart", "0.0.5", "1.2", "import multipart; multipart.QuerystringParser"
)
APT_MISTUNE = Breakage("python3-mistune", "2.0", "3.1", "import mistune; mistune.scanner")

# What stays as it is: the programs that break.
PIP_STEADY = (("flask", "2.2.2"),)

# Name, old version, new version: pure Python, and one works with the other's other version.
PIP_UPGRADES = tuple(
    (name, old, new)
    for name, old, new in (
        line.split()
        for line in """\
attrs 22.2.0 25.3.0
blinker 1.5 1.9.0
boltons 23.0.0 25.0.0
cachetools 5.3.0 6.1.0
certifi 2022.12.7 2025.8.3
chardet 5.1.0 5.2.0
click 8.1.3 8.2.1
colorama 0.4.4 0.4.6
decorator 5.1.0 5.2.1
filelock 3.9.0 3.19.1
h11 0.14.0 0.16.0
idna 3.4 3.10
iniconfig 1.1.1 2.1.0
itsdangerous 2.1.2 2.2.0
jinja2 3.1.2 3.1.6
jmespath 1.0.0 1.0.1
markdown 3.4.1 3.8.2
mdurl 0.1.1 0.1.2
more-itertools 9.0.0 10.7.0
mypy-extensions 0.4.3 1.1.0
oauthlib 3.2.0 3.3.1
packaging 21.3 25.0
pathspec 0.10.3 0.12.1
platformdirs 2.6.2 4.3.8
pluggy 1.0.0 1.6.0
pyasn1 0.4.8 0.6.1
pyjwt 2.6.0 2.10.1
pyparsing 3.0.9 3.2.3
python-dateutil 2.8.2 2.9.0.post0
requests 2.28.2 2.32.4
sniffio 1.2.0 1.3.1
soupsieve 2.3.2 2.7
tabulate 0.8.10 0.9.0
termcolor 2.1.1 3.1.0
tomlkit 0.11.6 0.13.3
typing-extensions 4.4.0 4.14.1
urllib3 1.26.14 2.5.0
wcwidth 0.2.5 0.2.13
werkzeug 2.2.2 3.1.3
zipp 3.11.0 3.23.0
""".splitlines()
    )
)

_BACKPORTS = """
aiofiles anyio apipkg attr blessed blinker bracex cachetools cfgv colored constantly cssselect
cycler decorator editorconfig filelock idna ifaddr importlib-metadata itsdangerous jsbeautifier
json-pointer jwt latexcodec leather markdown memcache mistune multipart mypy-extensions packaging
parse-type parso pathspec platformdirs pluggy prettytable pyasn1 pyasn1-modules pyotp rsa scantree
schedule semver shellingham shortuuid six sniffio soupsieve tabulate termcolor texttable tomlkit
toolz typing-inspect unidiff urllib3 wcwidth webcolors zipp
"""
APT_UPGRADES = tuple(f"python3-{name}" for name in _BACKPORTS.split())

# Not upgraded, but needed by some of those above.
_APT_STEADY = ("python3-parse", "python3-typing-extensions", "python3-more-itertools")

_PURE = ("--platform", "any", "--implementation", "py", "--abi", "none", "--python-version", "3.11")


def wheels(pinned: Sequence[tuple[str, str]]) -> Path:
    """A folder of these wheels (name, version) from PyPI, without what they need; kept.

    Skips the test (see `gate`) where PyPI is not reached.
    """

    def build(made: Path) -> None:
        gate.demand("pypi", probes.why_not("pypi"))
        # One version of a name at a time: pip resolves even what it shall only fetch.
        rounds: list[dict[str, str]] = []
        for name, version in pinned:
            free = next((each for each in rounds if name not in each), None)
            if free is None:
                rounds.append(free := {})
            free[name] = version
        for versions in rounds:
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps"]
            options = ["--only-binary", ":all:", *_PURE, "-d", str(made)]
            wanted = [f"{name}=={version}" for name, version in versions.items()]
            subprocess.run([*command, *options, *wanted], check=True)

    return kept.kept("pypi", sorted(pinned), build)


def upgrades() -> Path:
    """The wheels of all of `PIP_UPGRADES` in both versions, and of `PIP_STEADY`; 6 MB."""
    both = [(name, version) for name, *versions in PIP_UPGRADES for version in versions]
    return wheels([*PIP_STEADY, *both])


def backports(names: Sequence[str] = APT_UPGRADES) -> Path:
    """An archive (`debs.archive`) of these packages as in bookworm and as in trixie; kept."""

    def build(made: Path) -> None:
        gate.demand("mirror", probes.why_not("mirror"))
        with tempfile.TemporaryDirectory() as scratch:
            apt = _apt(Path(scratch))
            subprocess.run([*apt, "update"], check=True, stdout=subprocess.DEVNULL)
            wanted = [f"{name}/{suite}" for name in names for suite in ("bookworm", "trixie")]
            wanted += [f"{name}/bookworm" for name in _APT_STEADY]
            subprocess.run([*apt, "download", *wanted], check=True, cwd=made)
        debs.index(made, {path: debs.control_of(path) for path in sorted(made.glob("*.deb"))})

    return kept.kept("backports", (sorted(names), _APT_STEADY, kept.week()), build)


def versions(archive: Path) -> dict[str, tuple[str, ...]]:
    """The versions of each package of an archive, the oldest first."""
    found: dict[str, list[str]] = {}
    for stanza in (archive / "Packages").read_text().split("\n\n"):
        told = dict(line.split(": ", 1) for line in stanza.splitlines() if re.match(r"\w+: ", line))
        found.setdefault(told["Package"], []).append(told["Version"])
    return {name: tuple(sorted(each, key=cmp_to_key(_older))) for name, each in found.items()}


def _older(one: str, other: str) -> int:
    done = subprocess.run(["dpkg", "--compare-versions", one, "lt", other], check=False)
    return -1 if done.returncode == 0 else 1


def _apt(folder: Path) -> list[str]:
    """apt-get with this machine's mirrors, two suites, and nothing else of this machine's."""
    from envgit.image import apt

    for name in ("lists/partial", "cache/archives/partial", "parts"):
        (folder / name).mkdir(parents=True)
    stanzas = [
        source.stanza()
        for suite in ("bookworm", "trixie")
        for source in apt.sources_for(suite, apt.host_sources(), keyring=True)
    ]
    (folder / "lab.sources").write_text("\n".join(stanzas))
    (folder / "status").touch()
    options = {
        "Dir::Etc::sourcelist": folder / "lab.sources",
        "Dir::Etc::sourceparts": folder / "parts",
        "Dir::Etc::preferencesparts": folder / "parts",
        "Dir::State::lists": folder / "lists",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "Acquire::Languages": "none",
        "APT::Sandbox::User": "root",
    }
    words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    return ["env", f"LC_ALL={os.environ.get('LC_ALL', 'C')}", "apt-get", "-q", *words]
