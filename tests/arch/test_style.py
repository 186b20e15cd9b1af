# SPDX-License-Identifier: Apache-2.0
"""Sizes, headers, ambient state: what a linter has no rule for."""

from __future__ import annotations

import ast
import os
import re
import sys
from pathlib import Path

import pytest

from tests.arch.source import ROOT, Module, modules, python_files, tracked_files

SPDX = "# SPDX-License-Identifier: Apache-2.0"
MODULE_LINES = 500
FUNCTION_LINES = 60

# Attribute of a module -> why nobody below cli may touch it.
AMBIENT = {
    "os.environ": "the environment is an argument",
    "os.environb": "the environment is an argument",
    "os.getenv": "the environment is an argument",
    "os.putenv": "the environment is an argument",
    "os.chdir": "the working directory belongs to the caller",
    "os.umask": "the umask belongs to the caller",
    "sys.exit": "errors are raised, cli exits",
    "sys.argv": "arguments are arguments",
    "sys.stdout": "results are returned, cli prints",
    "sys.stderr": "results are returned, cli prints",
}
AMBIENT_CALLS = {"print": "results are returned, cli prints", "input": "cli asks", "exit": "raise"}

# Module -> ambient names it may use, with the reason.
AMBIENT_EXCEPTIONS: dict[str, tuple[set[str], str]] = {
    "envgit.sandbox": (
        {"os.chdir", "os.umask"},
        "the child process that becomes the command has these of its own",
    ),
    "envgit.fs.crashpoint": ({"global"}, "the one hook, installed by tests alone"),
    "envgit.porcelain.foundation.repository": (
        {"os.environ"},
        "the default of the library's callers, who have no cli to read it for them",
    ),
}

# cli owns the process.
BELOW_CLI = [module for module in modules() if module.room != "cli"]


def _ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", python_files(), ids=_ids)
def test_one_spdx_line_then_a_sentence_that_says_why(path: Path) -> None:
    text = path.read_text()
    if not text and path.name == "__init__.py" and "tests" in path.parts:
        return  # nothing in it needs a licence
    assert text.splitlines()[:1] == [SPDX], "the first line is the licence"
    docstring = ast.get_docstring(ast.parse(text)) or ""
    first = re.split(r"(?<=[.!?])(?:\s|$)|\n\n", docstring.strip())[0]
    assert len(first.split()) >= 3, "the module docstring says why the module exists"


@pytest.mark.parametrize("path", python_files(), ids=_ids)
def test_files_and_functions_are_small(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MODULE_LINES
    wrong = [
        f"{_ids(path)}:{node.lineno}: {node.name} has {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 >= FUNCTION_LINES
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("module", BELOW_CLI, ids=lambda module: module.name)
def test_no_ambient_state_below_cli(module: Module) -> None:
    allowed = {
        name
        for prefix, (names, _) in AMBIENT_EXCEPTIONS.items()
        if module.name == prefix or module.name.startswith(f"{prefix}.")
        for name in names
    }
    wrong = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute):
            name = ast.unparse(node)
            if name in AMBIENT and name not in allowed:
                wrong.append(f"{module.where(node.lineno)}: {name}: {AMBIENT[name]}")
        if isinstance(node, ast.Global) and "global" not in allowed:
            wrong.append(f"{module.where(node.lineno)}: global: state is passed, not kept")
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in AMBIENT_CALLS
        ):
            wrong.append(f"{module.where(node.lineno)}: {node.func.id}() is for cli")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.name)
def test_except_names_what_it_catches(module: Module) -> None:
    wrong = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            wrong.append(f"{module.where(node.lineno)}: bare except")
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            wrong.append(f"{module.where(node.lineno)}: star import")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.name)
def test_what_is_public_is_documented(module: Module) -> None:
    wrong = []
    for node in module.tree.body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        if not ast.get_docstring(node):
            wrong.append(f"{module.where(node.lineno)}: {node.name} has no docstring")
    assert not wrong, "\n".join(wrong)


def _machine_words() -> list[str]:
    """Paths and names that only this machine has; found out, so that none stands here."""
    words = {str(ROOT), sys.prefix, sys.exec_prefix, os.path.expanduser("~/.")}
    if ROOT.parent not in (Path("/"), Path.home(), Path("/srv"), Path("/usr/src")):
        words |= {str(path) for path in ROOT.parent.iterdir()}
    for name, value in os.environ.items():
        if name.lower().endswith("_proxy") or name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
            words |= set(re.findall(r"://(?:[^@/]*@)?([^/:]+)", value))
    usual = {"/usr", "/usr/local", "/root/.", "localhost", "127.0.0.1", "pypi.org"}
    return sorted(word for word in words - usual if len(word) > 4)


def test_no_tracked_file_names_this_machine() -> None:
    wrong = []
    pattern = re.compile(
        "|".join(rf"(?<![\w.]){re.escape(word)}(?![\w-])" for word in _machine_words())
    )
    for path in tracked_files():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if found := pattern.search(line):
                wrong.append(f"{_ids(path)}:{number}: {found[0]}")
    assert not wrong, "\n".join(wrong)
