# SPDX-License-Identifier: Apache-2.0
"""What every test gets: a home of its own, gates on what the machine can do, checks for leaks."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from envgit.fs.durable import remove_tree
from tests.support import gate, leaks, peers, probes

# 1 January 2024, so that dates in expected output never change.
CLOCK = 1704067200

_GITCONFIG = """\
[user]
	name = Ada Tester
	email = ada@example.org
[init]
	defaultBranch = main
[gc]
	auto = 0
[core]
	pager = cat
	editor = true
[advice]
	detachedHead = true
"""

# Nothing that a developer has set may change what a test sees. Proxies and certificates stay: the
# few tests with a real network need the machine's own way out.
_REMOVED = ("GIT_", "ENVGIT_", "PYTHON", "XDG_", "LC_", "LESS")
_REMOVED_NAMES = (
    "COLUMNS",
    "EDITOR",
    "EMAIL",
    "LANG",
    "LANGUAGE",
    "LINES",
    "NO_COLOR",
    "CLICOLOR_FORCE",
    "FORCE_COLOR",
    "PAGER",
    "SOURCE_DATE_EPOCH",
    "VISUAL",
)
_KEPT = ("ENVGIT_TEST_",)
_FAILED = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--thorough",
        action="store_true",
        help="crash, fuzz and slow tests with their full effort instead of a fixed slice",
    )
    parser.addoption(
        "--glance",
        action="store_true",
        help="little effort and few generated examples: for what another run has tested in earnest",
    )


def pytest_configure(config: pytest.Config) -> None:
    known = probes.NAMES | peers.NAMES
    if unknown := gate.required() - known:
        raise pytest.UsageError(
            f"ENVGIT_TEST_REQUIRE names {', '.join(sorted(unknown))}; "
            f"known are {', '.join(sorted(known))}"
        )
    profiles = [name for name in ("glance", "thorough") if config.getoption(f"--{name}")]
    _hypothesis(*profiles)


def _hypothesis(profile: str = "slice") -> None:
    """The default run draws the same examples every time; --thorough draws many new ones."""
    import hypothesis

    slow = [hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture]
    hypothesis.settings.register_profile(
        "slice", derandomize=True, max_examples=60, deadline=None, suppress_health_check=slow
    )
    hypothesis.settings.register_profile(
        "glance", hypothesis.settings.get_profile("slice"), max_examples=6
    )
    hypothesis.settings.register_profile(
        "thorough", max_examples=3000, deadline=None, suppress_health_check=slow, print_blob=True
    )
    hypothesis.settings.load_profile(profile)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, or fail, a test whose markers ask for what is not there."""
    for marker in item.iter_markers("slow"):
        if marker.kwargs.get("thorough") and not item.config.getoption("--thorough"):
            pytest.skip("with --thorough")
    for marker in item.iter_markers("root"):
        assert not marker.args, "root takes no arguments"
        gate.demand("root", probes.why_not("root"))
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            gate.demand(name, probes.why_not(name))
    for marker in item.iter_markers("peer"):
        for text in marker.args:
            peer = peers.Peer.parse(text)
            gate.demand(peer.name, peer.why_not())


@pytest.fixture(scope="session", autouse=True)
def nothing_left_behind(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Fail the run if a mount or a process that began in it is still there at its end."""
    mark = uuid.uuid4().hex
    os.environ[leaks.MARK] = mark
    where = str(tmp_path_factory.getbasetemp())
    before = leaks.mounts(where)
    yield
    assert leaks.mounts(where) == before, "mounts left behind"
    assert leaks.processes(mark) == [], "processes left behind"
    if not request.session.testsfailed:
        # pytest deletes old folders by recursion, for which some trees here are too deep.
        remove_tree(where)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
    return report


@pytest.fixture(autouse=True)
def no_mounts_left(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Take down what a test left mounted, before pytest deletes its folder through the mount."""
    where = str(tmp_path_factory.getbasetemp())
    before = leaks.mounts(where)
    yield
    if left := [line for line in leaks.mounts(where) if line not in before]:
        for line in reversed(left):
            subprocess.run(["umount", "-l", line.split()[4]], check=False)
        pytest.fail("mounts left behind:\n" + "\n".join(left))


@pytest.fixture(autouse=True)
def hermetic(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    no_mounts_left: None,
) -> Iterator[Path]:
    """A home, a store and a git configuration that nobody else has; the value is the home."""
    for name in list(os.environ):
        if name.startswith(_KEPT):
            continue
        if name.startswith(_REMOVED) or name in _REMOVED_NAMES:
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home", numbered=True)
    (home / ".gitconfig").write_text(_GITCONFIG)
    for name, value in {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / ".local/share"),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_STATE_HOME": str(home / ".local/state"),
        "ENVGIT_STORE": str(home / "store"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
        "LC_ALL": "C.UTF-8",
        "TERM": "dumb",
        "TZ": "UTC",
    }.items():
        monkeypatch.setenv(name, value)
    yield home
    # Stores hold whole root filesystems: only a failed test's may be worth a look.
    if not request.node.stash.get(_FAILED, False) and not leaks.mounts(str(home)):
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def store(hermetic: Path) -> Path:
    """Where this test's store is (or will be)."""
    return hermetic / "store"


@pytest.fixture
def fixed_clock(monkeypatch: pytest.MonkeyPatch) -> int:
    """Dates of commits that never change: git's own variables and envgit's; seconds since 1970."""
    for who in ("AUTHOR", "COMMITTER"):
        for program in ("GIT", "ENVGIT"):
            monkeypatch.setenv(f"{program}_{who}_DATE", f"{CLOCK} +0000")
    return CLOCK


@pytest.fixture
def effort(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """``effort(20, 500)``: the first number in the default run, the second with --thorough."""
    if request.config.getoption("--thorough"):
        return lambda little, much: much
    if request.config.getoption("--glance"):
        return lambda little, much: max(1, little // 10)
    return lambda little, much: little
