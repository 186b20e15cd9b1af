# SPDX-License-Identifier: Apache-2.0
"""Resolves a word that is no verb: an alias from the settings, or git's "did you mean"."""

from __future__ import annotations

from envgit.cli import table
from envgit.cli.app import App
from envgit.errors import EnvgitError


class UnknownVerb(EnvgitError):
    """The word is neither a verb nor an alias."""

    exit_code = 1
    prefix = ""


class BadAlias(EnvgitError):
    """An alias cannot be used: it is empty, misquoted, or leads back to itself."""


def aliases(app: App) -> dict[str, str]:
    """Every alias of the settings by name."""
    found = {}
    for name in app.settings.names():
        if name.startswith("alias."):
            text = app.settings.get(name)
            if text is not None:
                found[name.removeprefix("alias.")] = text
    return found


def expand(app: App, words: list[str]) -> tuple[list[str], str] | int:
    """Replace aliases until a verb stands first; return the line and the verb's target.

    A shell alias (``!command``) is run, and its exit status returned. Raises UnknownVerb with the
    verbs that are spelled most alike, BadAlias.
    """
    seen: list[str] = []
    known = table.verbs()
    while words[0] not in known:
        name = words[0]
        if name in seen:
            raise BadAlias(_loop(seen, name))
        text = app.settings.get(f"alias.{name}")
        if text is None:
            raise _unknown(app, name)
        seen.append(name)
        if text.startswith("!"):
            return _run_shell(app, text[1:], words[1:])
        words = [*_words(name, text), *words[1:]]
    return words, known[words[0]]


def _words(name: str, text: str) -> list[str]:
    import shlex

    try:
        found = shlex.split(text)
    except ValueError as error:
        raise BadAlias(f"bad alias.{name} string: {error}") from error
    if not found:
        raise BadAlias(f"empty alias for {name}")
    return found


def _loop(seen: list[str], name: str) -> str:
    lines = [f"alias loop detected: expansion of '{seen[0]}' does not terminate:"]
    for word in seen:
        mark = " <==" if word == name else " ==>" if word == seen[-1] else ""
        lines.append(f"  {word}{mark}")
    return "\n".join(lines)


def _run_shell(app: App, command: str, arguments: list[str]) -> int:
    """Run a shell alias as git does: in the project folder, ENVGIT_PREFIX telling where we were."""
    import os
    import subprocess

    from envgit.porcelain.foundation.repository import NotARepository

    environ, folder = dict(app.environ), None
    try:
        folder = app.repository.project
    except NotARepository:
        pass
    else:
        prefix = os.path.relpath(os.getcwd(), folder)
        environ["ENVGIT_PREFIX"] = "" if prefix == "." else prefix + "/"
    app.out.flush()
    script = f'{command} "$@"' if arguments else command
    status = subprocess.run(["sh", "-c", script, command, *arguments], env=environ, cwd=folder)
    return status.returncode if status.returncode >= 0 else 128 - status.returncode


def _unknown(app: App, name: str) -> UnknownVerb:
    from envgit.cli.suggest import similar

    message = f"envgit: '{name}' is not an envgit command. See 'envgit --help'."
    visible = [*table.summaries(), *aliases(app)]
    found = similar(name, visible)
    if found:
        head = "command is" if len(found) == 1 else "commands are"
        message += f"\n\nThe most similar {head}\n" + "\n".join(f"\t{word}" for word in found)
    return UnknownVerb(message)
