# SPDX-License-Identifier: Apache-2.0
"""Explains envgit: the overview, one verb's manual, the version."""

from __future__ import annotations

import os

import envgit
from envgit.cli import table
from envgit.cli.app import App
from envgit.cli.errors import UsageProblem
from envgit.cli.verb import argument, flag, verb


def overview() -> str:
    """The text of `envgit --help`, in git's layout; imports no verb."""
    from envgit.cli.main import USAGE

    width = max(len(name) for _, rows in table.GROUPS for name, _, _ in rows)
    lines = [USAGE, "These are the verbs of envgit:"]
    for title, rows in table.GROUPS:
        lines += ["", title]
        lines += [f"   {name:<{width}}  {line}" for name, _, line in rows]
    lines += [
        "",
        "'envgit help <verb>' explains one of them, 'envgit <verb> -h' lists its options.",
        "",
    ]
    return "\n".join(lines)


@verb("help", "help [-a] [<verb>]")
@flag("-a, --all", "list all verbs and the aliases", to="everything")
@argument("name")
def help_verb(app: App, everything: bool, name: str | None) -> int:
    """Show help about a verb.

    Without a verb, list them all.
    """
    if name is None:
        app.out.write(overview())
        if everything:
            _list_aliases(app)
        return 0
    from envgit.cli.main import load

    target = table.verbs().get(name)
    if target is None:
        alias = app.settings.get(f"alias.{name}")
        if alias is None:
            raise UsageProblem(f"no verb is called '{name}'", hint="'envgit help' lists them")
        app.out.line(f"'{name}' is aliased to '{alias}'")
        return 0
    app.show_help(load(target), long=True)
    return 0


def _list_aliases(app: App) -> None:
    from envgit.cli.alias import aliases

    found = aliases(app)
    if found:
        app.out.write("\nCommand aliases\n")
        for name, text in sorted(found.items()):
            app.out.line(f"   {name:<11} {text}")


@verb("version", "version [--build-options]", hidden=True)
@flag("--build-options", "also show what it is built on")
def version_verb(app: App, build_options: bool) -> int:
    """Show the version."""
    app.out.line(f"envgit version {envgit.__version__}")
    if build_options:
        from importlib.metadata import version

        release = os.uname()
        app.out.line(f"kernel: {release.sysname} {release.release} {release.machine}")
        for name in ("click", "pygit2", "pyroute2", "rich", "zstandard"):
            app.out.line(f"{name}: {version(name)}")
    return 0
