# SPDX-License-Identifier: Apache-2.0
"""Imports point down. The matrix of docs/hacking.rst, as a table; exceptions carry their reason."""

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.arch.source import PACKAGE, ROOT, Import, Module, modules

SHARED = {"errors", "settings", "config_syntax"}
BELOW_PORCELAIN = {"repo", "layers", "store", "sandbox", "packages", "image", "fs"}

# Room -> rooms it may import besides itself.
MAY_IMPORT: dict[str, set[str]] = {
    "": {"porcelain", "errors"},
    "cli": {"porcelain", *SHARED},
    "porcelain": {*BELOW_PORCELAIN, *SHARED},
    "repo": {"layers", "fs", *SHARED},
    "store": {"layers", "fs", *SHARED},
    "image": {"layers", "fs", *SHARED},
    "packages": {"layers", "fs", *SHARED},
    "layers": {"fs", *SHARED},
    "sandbox": {"errors"},
    "fs": {"errors"},
    "settings": {"config_syntax", "errors"},
    "config_syntax": {"errors"},
    "errors": set(),
}

# Module prefix -> what it may import although its room may not, and why.
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("envgit.cli.main", "envgit.fs.crashpoint"): "installs the hook of the crash tests",
}

# Within porcelain: what verbs are built on. Every other module there is a verb or a family of them,
# and may import these alone; these may import one another, never a verb.
FOUNDATION = "envgit.porcelain.foundation"

# (verb, verb) -> what the first composes of the second.
COMPOSED = {
    ("init", "commit"): "the first commit is one like any other",
    ("bisectrun", "bisect"): "a run marks commits as a person would",
    ("bisectinside", "bisect"): "it names commands as a run does",
    ("bisectinside", "bisectrun"): "what is no verdict is the same error in both",
    ("run", "commit"): "run -m commits what the command changed",
    ("pick", "commit"): "--continue commits the step that stopped",
    ("stash", "moves"): "stash branch goes to a new branch",
}

# Fronts that import inside functions what imports them: their lazy imports make no cycle.
FRONTS = {
    "envgit.porcelain.foundation.facade": "the library's facade delegates each method to a module",
    "envgit.porcelain.foundation.repository": "its parts are made on demand",
    "envgit.cli.main": "loads verbs on demand",
}

# Names that only type checkers see cost nothing and call nothing: cli may name the values that
# porcelain hands it.
TYPES_FOR_CLI = {"layers", "packages", "repo", "store"}

# Foreign package -> the only modules (or rooms) that may import it.
WALLS: dict[str, tuple[str, ...]] = {
    "click": ("envgit.cli",),
    "rich": ("envgit.cli",),
    "pygit2": ("envgit.repo",),
    "pyroute2": ("envgit.sandbox.network",),
    "oras": ("envgit.image.registry",),
    "requests": ("envgit.image.registry",),
    "urllib3": ("envgit.image.registry",),
    "ctypes": ("envgit.sandbox.syscalls", "envgit.fs.syscalls"),
    "_ctypes": ("envgit.sandbox.syscalls", "envgit.fs.syscalls"),
    "zstandard": ("envgit.layers",),
    "zlib_ng": ("envgit.layers",),
    # An archive of an image holds blobs, no file tree.
    "tarfile": ("envgit.layers", "envgit.image.archive"),
    "asyncio": (),
    "logging": (),
    "pickle": (),
    "shelve": (),
    "marshal": (),
}

# What the way to `run` is made of, and what would make it slow (see test_startup for the proof).
CHEAP = ("envgit.sandbox", "envgit.store", "envgit.settings", "envgit.errors", "envgit.fs")
COSTLY = {"pathlib", "logging", "importlib.metadata", "typing_extensions", "asyncio", "inspect"}

FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}


def _within(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def _room(target: str) -> str | None:
    """The room of an import target, None if it is not ours; the package itself has the room ""."""
    parts = target.split(".")
    if parts[0] != PACKAGE:
        return None
    known = {module.room for module in modules()}
    return parts[1] if len(parts) > 1 and parts[1] in known else ""


def _excepted(module: Module, target: str) -> bool:
    return any(
        _within(module.name, (who,)) and _within(target, (what,)) for who, what in EXCEPTIONS
    )


def _allowed(module: Module, imported: Import) -> bool:
    room = _room(imported.target)
    if room is None or room == module.room or _excepted(module, imported.target):
        return True
    if module.room == "cli" and imported.typing_only and room in TYPES_FOR_CLI:
        return True
    # `import envgit` for its version is fine for whoever may be imported by nobody.
    return room in MAY_IMPORT[module.room] or (room == "" and module.room == "cli")


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.name)
def test_imports_point_down(module: Module) -> None:
    assert module.room in MAY_IMPORT, f"{module.room} is a new room: give it a row in the matrix"
    wrong = [
        f"{module.where(imported.line)}: {module.name} must not import {imported.target}"
        for imported in module.imports()
        if not _allowed(module, imported)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "module",
    [module for module in modules() if module.name.startswith("envgit.porcelain.")],
    ids=lambda module: module.name,
)
def test_verbs_do_not_import_one_another(module: Module) -> None:
    mine = module.name.rpartition(".")[2]
    wrong = []
    for imported in module.imports():
        other = imported.target.removeprefix("envgit.porcelain.").partition(".")[0]
        if (
            not imported.target.startswith("envgit.porcelain.")
            or _within(imported.target, (FOUNDATION,))
            or (mine, other) in COMPOSED
            or module.name in FRONTS
        ):
            continue
        wrong.append(f"{module.where(imported.line)}: {mine} must not import {other}")
    assert not wrong, "\n".join(wrong)


def test_compositions_are_of_verbs_that_exist() -> None:
    names = {module.name.rpartition(".")[2] for module in modules() if module.room == "porcelain"}
    assert names >= {verb for pair in COMPOSED for verb in pair}


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.name)
def test_one_wall_per_foreign_thing(module: Module) -> None:
    wrong = [
        f"{module.where(imported.line)}: only {', '.join(homes) or 'nobody'} may import {foreign}"
        for imported in module.imports()
        for foreign, homes in WALLS.items()
        if _within(imported.target, (foreign,)) and not _within(module.name, homes)
    ]
    assert not wrong, "\n".join(wrong)


# Chosen with the design for bridges and veth pairs; ``envgit.sandbox.network`` is not there yet.
AHEAD = {"pyroute2"}


def test_dependencies_are_what_is_imported() -> None:
    homes = packages_distributions()
    imported = {one.target.split(".")[0] for module in modules() for one in module.imports()}
    foreign = imported - {PACKAGE, "__future__", *sys.stdlib_module_names}
    used = {canonicalize_name(home) for name in foreign for home in homes.get(name, [name])}
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {canonicalize_name(Requirement(one).name) for one in declared} == used | AHEAD


@pytest.mark.parametrize(
    "module",
    [module for module in modules() if _within(module.name, CHEAP)],
    ids=lambda module: module.name,
)
def test_the_way_to_run_is_cheap(module: Module) -> None:
    wrong = [
        f"{module.where(imported.line)}: {imported.target} costs milliseconds of every run"
        for imported in module.imports()
        if not imported.typing_only and _within(imported.target, tuple(COSTLY))
    ]
    assert not wrong, "\n".join(wrong)


def test_there_are_no_cycles_between_modules() -> None:
    """Imports inside functions count too: a cycle that is dodged is still one."""
    names = {module.name for module in modules()}
    graph: dict[str, set[str]] = {}
    for module in modules():
        targets = set()
        for imported in module.imports():
            if imported.typing_only or (imported.lazy and module.name in FRONTS):
                continue
            for candidate in (imported.target, imported.target.rpartition(".")[0]):
                if candidate in names:
                    targets.add(candidate)
                    break
        graph[module.name] = targets - {module.name}
    # A package's __init__ that re-exports is imported by its own modules only as a name.
    cycles = [cycle for cycle in _cycles(graph) if len(cycle) > 1]
    assert not cycles, "\n".join(" -> ".join(cycle) for cycle in cycles)


def _cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Strongly connected components (Tarjan) with more than one member."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            position = stack.index(node)
            component = stack[position:]
            del stack[position:]
            if len(component) > 1:
                found.append(sorted(component))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def test_names_say_what_is_inside() -> None:
    wrong = [
        module.name for module in modules() if module.name.rpartition(".")[2] in FORBIDDEN_NAMES
    ]
    assert not wrong
