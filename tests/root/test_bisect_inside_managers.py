# SPDX-License-Identifier: Apache-2.0
"""bisect inside with apt and pip themselves, which look at each state that is tried."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.pkglabs import chains, debs, place, real, wheels
from tests.support.pkglabs.place import Environment

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("overlay", "mountns", "trusted_xattr", "mknod"),
]


def titles(told: Any) -> list[list[str]]:
    return [[piece["title"] for piece in one["changes"]] for one in told["culprits"]]


CONSISTENT = """
pip check >&2 || exit 99
[ -z "$(dpkg --audit)" ] && apt-get -q check >&2 || exit 99
python3 - <<'END' || exit 99
import importlib.metadata as m, importlib, sys
for number in range(40):
    name = f"lab_py_{number:03}"
    if importlib.import_module(name).V != m.version(name): sys.exit(name)
END
for number in $(seq -w 0 59); do
    installed=$(dpkg-query -W -f '${Version}' lab-0$number)
    [ "$(tail -n 1 /usr/lib/lab/0$number)" = $installed ] || exit 99
done
"""


@pytest.fixture(scope="module")
def managed(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """A Debian; ``forty`` upgrades 40 of pip's packages at once, ``sixty`` 60 of apt's."""
    env = place.debian(
        tmp_path_factory.mktemp("managed"),
        *chains.PYTHON,
        archive=debs.archive(debs.library(60)),
        wheels=wheels.wheelhouse(wheels.library(40)),
    )
    names = [f"lab-{number:03}" for number in range(60)]
    libraries = [f"lab-py-{number:03}" for number in range(40)]
    env.apt("install", *(f"{name}=1.0" for name in names))
    env.pip("install", *(f"{name}==1.0" for name in libraries), message="old")
    env.pip("install", *(f"{name}==2.0" for name in libraries), message="pip")
    env.envgit("tag", "forty").ok()
    env.apt("install", *(f"{name}=2.0" for name in names), message="apt")
    env.envgit("tag", "sixty").ok()
    return env


@pytest.mark.slow
@pytest.mark.parametrize(
    ("revision", "script", "wanted", "files"),
    [
        (
            "forty",
            "python3 -c 'import lab_py_017; lab_py_017.old()'",
            "pip: lab-py-017 1.0 -> 2.0",
            "usr/local/lib/python3.11/dist-packages/lab_py_017/__init__.py",
        ),
        ("sixty", "grep -q one /usr/lib/lab/017", "apt: lab-017 1.0 -> 2.0", "usr/lib/lab/017"),
    ],
)
def test_every_candidate_is_consistent(
    revision: str, script: str, wanted: str, files: str, managed: Environment
) -> None:
    """pip and apt themselves look at each state that is tried, and find nothing to complain of."""
    script = f"{CONSISTENT}\n{script} || exit 1"
    answer = managed.envgit(
        "bisect", "inside", "--json", "--no-files", revision, "sh", "-c", script
    ).ok()
    told = json.loads(answer.stdout)
    assert titles(told) == [[wanted]] and told["verified"]
    assert {trial["exit_code"] for trial in told["trials"]} == {0, 1}, told["trials"]
    assert len(told["trials"]) < 15
    script = script.removeprefix(CONSISTENT)
    told = managed.json("bisect", "inside", "--json", revision, "sh", "-c", script)
    assert files in told["culprits"][0]["files"]["causes"][0]


@pytest.mark.slow(thorough=True)
def test_real_upgrades(tmp_path: Path) -> None:
    """40 packages of pip, of which werkzeug took away what Flask imports; 60 of apt."""
    steps = [
        chains.Step("pip: 40", "pip", tuple(name for name, *_ in real.PIP_UPGRADES)),
        chains.Step("apt: 60", "apt", real.APT_UPGRADES),
    ]
    env = chains.make(tmp_path, steps)
    for revision, breakage in (
        ("HEAD~1", real.WERKZEUG),
        ("HEAD~1", real.URLLIB3),
        ("HEAD~1", real.PACKAGING),
        ("HEAD", real.APT_MULTIPART),
        ("HEAD", real.APT_MISTUNE),
    ):
        told = env.json("bisect", "inside", "--json", "--no-files", revision, *breakage.command)
        assert told["verified"] and len(told["trials"]) < 15, breakage
        ((piece,),) = (one["changes"] for one in told["culprits"])
        assert piece["name"].lower() == breakage.package
        assert piece["old"].startswith(breakage.old) and piece["new"].startswith(breakage.new)
