# SPDX-License-Identifier: Apache-2.0
"""Writes the reference pages that are made from the code, so that they cannot disagree with it.

``python docs/generate.py`` writes them, ``--check`` says which are stale (a test does that). They
are kept in git because people read them where nothing builds them.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

import envgit  # noqa: E402 - the path comes first, so that the checkout is documented
from envgit.errors import EnvgitError  # noqa: E402
from envgit.settings import KNOWN  # noqa: E402

NOTICE = ".. Made by docs/generate.py: change the code's docstrings instead.\n\n"


def error_classes() -> list[type[EnvgitError]]:
    """Every error that envgit raises on purpose, by exit status and name."""
    for module in pkgutil.walk_packages(envgit.__path__, "envgit."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found: set[type[EnvgitError]] = set()
    pending = [EnvgitError]
    while pending:
        cls = pending.pop()
        pending += cls.__subclasses__()
        if cls.__module__.startswith("envgit."):
            found.add(cls)
    return sorted(found, key=lambda cls: (cls.exit_code, cls.__name__, cls.__module__))


def first_sentence(text: str) -> str:
    """The first sentence of a docstring, on one line."""
    paragraph = " ".join(inspect.cleandoc(text).split("\n\n")[0].split())
    found = re.match(r".+?[.](?=\s|$)", paragraph)
    return found[0] if found else paragraph


ERRORS = """\
Errors
======

Whatever envgit refuses or fails to do, it says in one line that begins with ``error:`` or
``fatal:``, with a ``hint:`` where something helps. In the library the same is raised as an
exception; all of them derive from ``envgit.errors.EnvgitError``.

Exit statuses are git's: 1 refused (or differences, where asked), 128 fatal, 129 a command line that
makes no sense; and for ``run`` and ``shell`` docker's: 125 when envgit itself failed, 126 and 127
when the command cannot be run or found, 128+n when signal n ended it, else the command's own.

.. list-table::
   :header-rows: 1
   :widths: 8 34 58

   * - Status
     - Class
     - Meaning
"""

CONFIGURATION = """\
Configuration
=============

Settings are kept in files of git's syntax (git-config(1)) at git's levels, a later one going before
an earlier: ``/etc/envgitconfig``; ``$XDG_CONFIG_HOME/envgit/config`` and ``~/.envgitconfig``; the
repository's ``.envgit/config``; a linked worktree's ``.envgit/worktrees/NAME/config.worktree``; and
``-c name=value`` on the command line. ``user.*``, ``core.editor``, ``core.pager``, ``color.*`` and
``init.defaultBranch`` are taken from your git configuration when envgit's own files do not have
them. ``envgit config`` reads and writes them.

.. list-table::
   :header-rows: 1
   :widths: 25 10 15 50

   * - Name
     - Kind
     - Default
     - Meaning
"""


def row(*cells: str) -> str:
    """A row of a list-table."""
    text = "".join(f"     - {cell}".rstrip() + "\n" for cell in cells)
    return f"   * {text[5:]}"


def errors_page() -> str:
    """The page of errors: what each means and the exit status that it gives."""
    rows = []
    for cls in error_classes():
        # Docstrings name things in single or double backquotes; rst wants two for code.
        meaning = re.sub(r"`+", "``", first_sentence(cls.__doc__ or ""))
        rows.append(row(str(cls.exit_code), f"``{cls.__module__}.{cls.__qualname__}``", meaning))
    return NOTICE + ERRORS + "".join(rows)


def configuration_page() -> str:
    """The page of settings."""
    rows = [
        row(
            f"``{setting.name}``",
            setting.kind,
            f"``{setting.default}``" if setting.default is not None else "",
            " ".join(setting.doc.split()),
        )
        for setting in KNOWN
    ]
    return NOTICE + CONFIGURATION + "".join(rows)


def verbs_page() -> str:
    """The page of verbs."""
    import verb_pages

    return NOTICE + verb_pages.page()


PAGES = {
    "reference/verbs.rst": verbs_page,
    "reference/errors.rst": errors_page,
    "reference/configuration.rst": configuration_page,
}


def main(arguments: list[str]) -> int:
    """Write the pages, or with ``--check`` name those that are stale."""
    stale = []
    for name, make in PAGES.items():
        path, text = DOCS / name, make()
        if path.exists() and path.read_text() == text:
            continue
        stale.append(name)
        if "--check" not in arguments:
            path.write_text(text)
    for name in stale:
        print(f"docs/{name}", "is stale" if "--check" in arguments else "written")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
