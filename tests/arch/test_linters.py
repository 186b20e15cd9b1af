# SPDX-License-Identifier: Apache-2.0
"""Linters and types are tests, so that one command says whether a change is fit to commit."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.arch.source import ROOT, tracked_files


def _program(name: str) -> str:
    """The program of the running Python's environment, else of PATH."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name) or name


def _passes(*command: str) -> None:
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode != 0:
        pytest.fail(f"$ {' '.join(command)}\n{done.stdout}", pytrace=False)


def test_ruff_check() -> None:
    _passes(_program("ruff"), "check", "--no-cache", ".")


def test_ruff_format() -> None:
    _passes(_program("ruff"), "format", "--no-cache", "--check", ".")


@pytest.mark.slow
def test_mypy() -> None:
    _passes(_program("mypy"), "--strict", "--package", "envgit", "--package", "tests")


def test_codespell() -> None:
    _passes(_program("codespell"), *(str(p.relative_to(ROOT)) for p in tracked_files()))


def test_shell_scripts() -> None:
    """dash reads them (that is sh on Debian); shellcheck too, where it is installed."""
    scripts = [
        path
        for path in tracked_files()
        if path.suffix == ".sh" or path.read_bytes().startswith(b"#!/bin/sh")
    ]
    for script in scripts:
        _passes("sh", "-n", str(script))
    if scripts and shutil.which("shellcheck"):
        _passes("shellcheck", *map(str, scripts))
