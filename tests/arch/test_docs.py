# SPDX-License-Identifier: Apache-2.0
"""The documentation builds without a warning, and its generated pages match the code."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from envgit.settings import KNOWN
from tests.arch.source import ROOT, modules


def test_generated_pages_are_fresh() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs/generate.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\nrun: python docs/generate.py"


@pytest.mark.slow
def test_the_documentation_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("sphinx")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html"),
            *("-d", str(tmp_path / "trees"), str(ROOT / "docs"), str(tmp_path / "html")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "html/index.html").exists()


def test_the_readme_is_valid_rst() -> None:
    docutils = pytest.importorskip("docutils.core")
    text = (ROOT / "README.rst").read_text()
    settings = {"halt_level": 2, "report_level": 2, "raw_enabled": False}
    docutils.publish_string(text, writer="html", settings_overrides=settings)


def test_every_setting_that_code_reads_is_in_the_table() -> None:
    """The table is what the reference lists and what defaults come from."""
    known = [re.sub(r"<[^>]*>", "*", setting.name).lower() for setting in KNOWN]
    wrong = []
    for module in modules():
        for node in ast.walk(module.tree):
            name = _setting(node)
            if name is not None and not any(
                re.fullmatch(re.escape(one).replace(r"\*", ".+"), name.lower()) for one in known
            ):
                wrong.append(f"{module.where(getattr(node, 'lineno', 0))}: {name}")
    assert not wrong, "\n".join(wrong)


def test_every_setting_in_the_table_is_read() -> None:
    code = "\n".join(
        line for module in modules() for line in module.text.splitlines() if "Setting(" not in line
    ).lower()
    unread = [
        setting.name
        for setting in KNOWN
        if code.count(setting.name.split("<")[0].lower()) - (f'"{setting.name.lower()}",' in code)
        < 1
    ]
    assert not unread


def _setting(node: ast.AST) -> str | None:
    """The name that a call of a reading method of Settings asks for; None for other nodes."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
        return None
    if not node.func.attr.startswith("get") or "settings" not in ast.unparse(node.func.value):
        return None
    name = node.args[0]
    if isinstance(name, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else "x" for part in name.values
        )
    return name.value if isinstance(name, ast.Constant) and isinstance(name.value, str) else None
