# SPDX-License-Identifier: Apache-2.0
"""The source code as data for the other tests here: modules, their imports, tracked files."""

from __future__ import annotations

import ast
import functools
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "envgit"


@dataclass(frozen=True, slots=True)
class Import:
    """An import statement's target.

    ``typing_only`` when it stands under ``if TYPE_CHECKING``, ``lazy`` when inside a function.
    """

    target: str
    line: int
    typing_only: bool
    lazy: bool


@dataclass(frozen=True)
class Module:
    """One file of the package; ``room`` is its first folder, or its own name at the top level."""

    name: str
    path: Path

    @property
    def room(self) -> str:
        parts = self.name.split(".")
        return parts[1] if len(parts) > 1 else ""

    @functools.cached_property
    def text(self) -> str:
        return self.path.read_text()

    @functools.cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, str(self.path))

    def where(self, line: int) -> str:
        """``path:line`` for a message."""
        return f"{self.path.relative_to(ROOT)}:{line}"

    def imports(self) -> Iterator[Import]:
        """Every import anywhere in the module, inside functions too, absolute names."""
        typing: set[int] = set()
        lazy: set[int] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                typing |= {id(inner) for part in node.body for inner in ast.walk(part)}
            elif isinstance(node, ast.FunctionDef):
                lazy |= {id(inner) for inner in ast.walk(node)}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                targets = [f"{self._absolute(node)}.{alias.name}" for alias in node.names]
            else:
                continue
            for target in targets:
                yield Import(target, node.lineno, id(node) in typing, id(node) in lazy)

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]
        for _ in range(node.level - 1):
            package = package.rpartition(".")[0]
        return f"{package}.{node.module}" if node.module else package


@functools.cache
def modules() -> tuple[Module, ...]:
    """The package's modules, sorted by name."""
    found = []
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        found.append(Module(".".join(parts), path))
    return tuple(found)


@functools.cache
def python_files() -> tuple[Path, ...]:
    """All Python files of the project, tests and documentation included."""
    return tuple(
        path
        for folder in (PACKAGE, "tests", "docs")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "_build" not in path.parts
    )


@functools.cache
def tracked_files() -> tuple[Path, ...]:
    """What git tracks; empty outside a git checkout (an unpacked release)."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=False
    )
    return tuple(
        ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()
    )
