# SPDX-License-Identifier: Apache-2.0
"""Settings of Sphinx, which builds these pages: sphinx-build -W docs docs/_build."""

from __future__ import annotations

import tomllib
from pathlib import Path

_project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]

project = "envgit"
author = "the envgit authors"
project_copyright = author
version = release = _project["version"]

extensions: list[str] = []
exclude_patterns = ["_build", "performance-table.rst"]
html_theme = "alabaster"
html_theme_options = {
    "description": _project["description"],
    "fixed_sidebar": True,
    "page_width": "70rem",
}
highlight_language = "text"
nitpicky = True
# The manual shows shell sessions and file formats; quotes and dashes must stay what was typed.
smartquotes = False
