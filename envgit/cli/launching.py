# SPDX-License-Identifier: Apache-2.0
"""Starts what `run` and `shell` were asked to, once their options are read.

Apart from running.py, which declares the options, because nothing here needs click: a command line
without an option goes straight here, and importing click would cost it more than all the rest.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from envgit.errors import EnvgitError

if TYPE_CHECKING:
    from envgit.cli.app import App
    from envgit.porcelain.run import Plan, RunOptions

OURS = 125  # what docker run, env and timeout exit with when the failure is their own


def plain_command(words: list[str]) -> tuple[str, ...] | None:
    """The command in ``run [--] COMMAND...`` without any option of ours; None for other lines."""
    command = words[1:] if words[:1] == ["--"] else words
    if not command or (command is words and command[0].startswith("-")):
        return None
    return tuple(command)


def launch(
    app: App,
    argv: tuple[str, ...],
    *,
    at: str | None = None,
    shell: bool = False,
    messages: tuple[str, ...] = (),
    wants_commit: bool = False,
    discard: bool = False,
    dry_run: bool = False,
    quiet: bool = False,
    **options: Any,
) -> int:
    """Run ``argv``, or with ``shell`` the user's shell, as the options say; its exit status."""
    from envgit.porcelain import run as porcelain

    app.failure_status = OURS
    throwing = "--rm" if discard else f"--at {at}" if at is not None else None
    if throwing and (messages or wants_commit):
        raise EnvgitError(f"{throwing} throws the changes away, so they cannot be committed")
    wanted = sandbox_options(app, **options)
    if shell:
        argv, wanted = _as_shell(app, wanted, at)
    result = porcelain.run(
        app.repository,
        argv,
        options=wanted,
        message=_message(messages),
        auto=wants_commit and not messages,
        discard=discard,
        revision=at,
        prepare=_describe(app) if dry_run else None,
    )
    if result.commit is not None:
        from envgit.cli import summary

        # stdout belongs to the command, so what we have to say about the commit goes to stderr.
        if not quiet:
            summary.write(app, result.commit, talk=True)
        summary.warn_skipped(app, result.commit.skipped)
    return result.exit_code


def sandbox_options(
    app: App,
    *,
    env: tuple[str, ...] = (),
    env_files: tuple[str, ...] = (),
    volumes: tuple[str, ...] = (),
    network: str | None = None,
    tty: bool | None = None,
    **options: Any,
) -> RunOptions:
    """The options as the sandbox takes them: variables read, host paths absolute, tty decided."""
    from envgit.porcelain.run import RunOptions

    if network not in (None, "host", "none"):
        raise EnvgitError(f"unknown network '{network}'", hint="'host' and 'none' can be had")
    if tty is None:
        tty = app.out.stdout_is_terminal and app.stdin_is_terminal and _in_foreground()
    return RunOptions(
        env=tuple(environment(env, env_files, app.environ).items()),
        volumes=tuple(_absolute(volume) for volume in volumes),
        network=network or "",
        tty=tty,
        term=app.environ.get("TERM"),
        **options,
    )


def _in_foreground() -> bool:
    """Whether the terminal is ours: a command behind ``&`` that touched it would be stopped."""
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


def _absolute(volume: str) -> str:
    """A volume whose host side is absolute: relative to where we are, with ``~`` expanded."""
    source, colon, rest = volume.partition(":")
    if not colon or not source or not rest.startswith("/"):
        raise EnvgitError(f"invalid volume '{volume}': it is not <src>:<dst>[:ro]")
    return f"{os.path.abspath(os.path.expanduser(source))}:{rest}"


def _message(messages: tuple[str, ...]) -> str | None:
    return "\n\n".join(messages) if messages else None


def _describe(app: App) -> Callable[[Plan], bool]:
    def show(plan: Plan) -> bool:
        app.out.line(plan.describe())
        return False

    return show


def _as_shell(app: App, options: RunOptions, at: str | None) -> tuple[tuple[str, ...], RunOptions]:
    """The user's shell as the command, and variables for a prompt that tells where it is."""
    from envgit.porcelain.shell import login_shell, place

    program = login_shell(app.repository, options.user, at)
    if at is not None:
        label = at
    else:
        here = place(app.repository)
        label = f"{here.name}{'*' if here.dirty else ''}"
    label = re.sub(r"[^\w*./@{}^~+-]", "?", label)
    given = {name for name, _ in options.env}
    prompt = tuple(pair for pair in _prompt(label) if pair[0] not in given)
    return (program,), options._replace(env=(*prompt, *options.env), entrypoint="")


def _prompt(label: str) -> tuple[tuple[str, str], ...]:
    """PS1 for a plain sh. bash sets its own from its start-up files, so there the label is put
    before that, once, by the first PROMPT_COMMAND, which then removes itself."""
    return (
        ("PS1", f"({label}) $ "),
        ("ENVGIT_PLACE", label),
        ("PROMPT_COMMAND", f'PS1="({label}) ${{PS1#"({label}) "}}"; unset PROMPT_COMMAND'),
    )


def environment(
    given: tuple[str, ...], files: tuple[str, ...], host: Mapping[str, str]
) -> dict[str, str]:
    """The variables of ``--env-file`` and ``-e``, later ones winning (docker-run(1)).

    A bare name takes the host's value, and is left out when the host has none.
    """
    found: dict[str, str] = {}
    for path in files:
        for line in _lines(path):
            _set(found, line, host, where=f"in {path}")
    for text in given:
        _set(found, text, host, where="for -e")
    return found


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            text = file.read()
    except OSError as error:
        raise EnvgitError(f"cannot read '{path}': {error.strerror}") from error
    lines = (line.lstrip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _set(found: dict[str, str], text: str, host: Mapping[str, str], *, where: str) -> None:
    name, equals, content = text.partition("=")
    if not name or re.search(r"\s|\0", name):
        raise EnvgitError(f"invalid variable {where}: '{text}'")
    if equals:
        found[name] = content
    elif name in host:
        found[name] = host[name]
