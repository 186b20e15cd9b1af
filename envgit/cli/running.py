# SPDX-License-Identifier: Apache-2.0
"""`run` and `shell`: options as `docker run` has them, handed to the sandbox through porcelain.

Nothing here may import pygit2, pyroute2 or rich: what `run -- true` costs is mostly imports.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from envgit.cli.app import App
from envgit.cli.verb import Function, argument, flag, section, value, verb
from envgit.errors import EnvgitError

if TYPE_CHECKING:
    from envgit.porcelain.run import Plan, RunOptions

OURS = 125  # what docker run, env and timeout exit with when the failure is their own

_ENVIRONMENT = "Environment options"
_SANDBOX = "Sandbox options"
_AFTER = "What becomes of the changes"


def _shared(function: Function) -> Function:
    """The options that `run` and `shell` have in common."""
    options = (
        section(
            _ENVIRONMENT,
            value(
                "-e, --env <key>=<value>",
                "set a variable; without =, take it from here",
                to="env",
                multiple=True,
            ),
            value("--env-file <file>", "read variables from a file", to="env_files", multiple=True),
            value("-w, --workdir <dir>", "working directory inside"),
            value("-u, --user <user>[:<group>]", "run as this user of the environment"),
            value("--hostname <name>", "host name inside"),
        ),
        section(
            _SANDBOX,
            value(
                "-v, --volume <src>:<dst>[:ro]",
                "mount a host directory or file inside",
                to="volumes",
                multiple=True,
            ),
            value("--tmpfs <dir>[:<options>]", "mount a fresh tmpfs inside", multiple=True),
            value("--network, --net <mode>", "host (default) or none", to="network"),
            flag("--read-only", "make the environment's root read-only"),
            value(
                "--cap-add <capability>", "add a capability to Docker's default set", multiple=True
            ),
            value("--cap-drop <capability>", "drop a capability (ALL: every one)", multiple=True),
            flag("-i, --interactive", "keep stdin connected (the default)", default=True),
            flag(
                "-t, --tty",
                "a terminal inside; by default if stdin and stdout are terminals",
                default=None,
            ),
            value("--entrypoint <command>", "instead of the environment's own; empty for none"),
            flag("--dry-run", "print what would be done, and do nothing"),
        ),
        section(
            _AFTER,
            flag("--rm", "throw the changes away", to="discard"),
            flag(
                "--commit",
                "commit if the command exits 0, with a drafted message",
                to="wants_commit",
            ),
            value(
                "-m, --message <message>",
                "commit if the command exits 0, with this message",
                to="messages",
                multiple=True,
            ),
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


@verb(
    "run",
    "run [<options>] [--] <command> [<args>...]",
    "run [<options>] --at <commit> [--] <command> [<args>...]",
    command_follows=True,
)
@_shared
@section(
    _AFTER,
    value("--at <commit>", "run in this commit, throwing the changes away"),
)
@argument("argv", nargs=-1)
def run(app: App, at: str | None, argv: tuple[str, ...], **options: Any) -> int:
    """Run a command in the worktree; its changes stay uncommitted.

    The command sees the environment's files, its own processes and host name, the host's network,
    and Docker's default capabilities and seccomp filter. Two runs in one worktree share its files.

    The exit status is the command's; 125 if envgit itself fails, 126 if the command cannot be
    executed, 127 if there is none, 128+n if signal n ended it.
    """
    return _run(app, argv, at=at, shell=False, **options)


@verb("shell", "shell [<options>] [<commit>]")
@_shared
@argument("at", metavar="<commit>")
def shell(app: App, at: str | None, **options: Any) -> int:
    """Open a shell in the worktree, or in a commit.

    The shell is the one that the environment's passwd file names for the user; its prompt shows
    branch and uncommitted changes. With a commit, the changes are thrown away at the end.
    """
    return _run(app, (), at=at, shell=True, **options)


def _run(
    app: App,
    argv: tuple[str, ...],
    *,
    at: str | None,
    shell: bool,
    messages: tuple[str, ...],
    wants_commit: bool,
    discard: bool,
    dry_run: bool,
    **options: Any,
) -> int:
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
        summary.write(app, result.commit, talk=True)
        summary.warn_skipped(app, result.commit.skipped)
    return result.exit_code


def sandbox_options(
    app: App,
    *,
    env: tuple[str, ...],
    env_files: tuple[str, ...],
    volumes: tuple[str, ...],
    network: str | None,
    tty: bool | None,
    **options: Any,
) -> RunOptions:
    """The options as the sandbox takes them: variables read, host paths absolute, tty decided."""
    from envgit.porcelain.run import RunOptions

    if network not in (None, "host", "none"):
        raise EnvgitError(f"unknown network '{network}'", hint="'host' and 'none' can be had")
    if tty is None:
        tty = app.out.stdout_is_terminal and app.stdin_is_terminal
    return RunOptions(
        env=tuple(environment(env, env_files, app.environ).items()),
        volumes=tuple(_absolute(volume) for volume in volumes),
        network=network or "",
        tty=tty,
        term=app.environ.get("TERM"),
        **options,
    )


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
