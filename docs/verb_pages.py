# SPDX-License-Identifier: Apache-2.0
"""Turns the verbs' own declarations into the reference page; ``generate.py`` writes it."""

from __future__ import annotations

import inspect
import re

from envgit.cli import table
from envgit.cli.main import load
from envgit.cli.verb import Group, Verb

PAGE = """\
Verbs
=====

Where git has the verb, its options, output, exit statuses and messages are git's; the differences
are named below. ``envgit help <verb>`` prints the same texts, ``envgit <verb> -h`` the options.

Options come before or after other arguments, and ``--`` ends them. Long options may be shortened as
far as they stay unique, and ``--no-`` before an option's name takes it back. ``--json`` prints the
result for programs: one document, stable names; bytes that are not UTF-8 become lone surrogates
``\\udcXX``.

Before the verb:

``-C <path>``
   Act as if started in that directory; repeated, each is relative to the one before.
``-c <name>=<value>``
   Set a setting for this command alone.
``-p``, ``--paginate``; ``-P``, ``--no-pager``
   Page the output, or do not. By default the verbs that print much are paged on a terminal.
``--envgit-dir=<path>``
   The repository itself (the ``.envgit`` folder), instead of searching upwards.
``--version``, ``--help``
   What it says.

"""


def page() -> str:
    """The page of all verbs, in the groups of ``envgit --help``."""
    parts = [PAGE]
    targets = table.verbs()
    for title, rows in table.GROUPS:
        heading = title[0].upper() + title[1:]
        parts.append(f"{heading}\n{'-' * len(heading)}\n\n")
        for name, _, _ in rows:
            parts.append(_section(name, load(targets[name])))
    return "".join(parts)


def _section(name: str, verb: Verb) -> str:
    text = f".. _verb-{name}:\n\n{name}\n{'~' * len(name)}\n\n"
    text += "::\n\n" + "".join(f"   envgit {synopsis}\n" for synopsis in verb.usage) + "\n"
    text += _body(verb.help or "")
    if isinstance(verb, Group):
        for part in verb.verbs.values():
            text += f"**{part.name}**: {_body(part.help or '')}{_options(part)}"
    return text + _options(verb)


def _body(help_text: str) -> str:
    """The manual as rst: paragraphs that click leaves alone become literal blocks."""
    blocks = inspect.cleandoc(help_text).split("\n\n")
    parts = []
    for block in blocks:
        lines = block.splitlines()
        if lines and lines[0].strip() == "\b":
            parts.append("::\n\n" + "".join(f"   {line}\n" for line in lines[1:]))
        elif lines and all(line.startswith("    ") for line in lines):
            parts.append("::\n\n" + "".join(f"{line}\n" for line in lines))
        else:
            parts.append("\n".join(_escaped(line) for line in lines) + "\n")
    return "\n".join(parts) + "\n"


def _escaped(line: str) -> str:
    """The line as plain text: what rst would take for markup is escaped."""
    line = re.sub(r"([*`|\\])", r"\\\1", line)
    return f"\\{line}" if line.startswith("-") else line


def _options(verb: Verb) -> str:
    text, heading = "", ""
    for option in verb.options():
        if option.hidden:
            continue
        if option.section != heading:
            heading = option.section
            text += f"*{heading or 'Other options'}*\n\n"
        text += f"``{option.spelled()}``\n   {_escaped(option.help or '')}\n\n"
    return text
