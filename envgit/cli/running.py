# SPDX-License-Identifier: Apache-2.0
"""`run` and `shell`: options as `docker run` has them, handed to the sandbox through porcelain.

Only the declarations are here; launching.py does what they ask for.
"""

from __future__ import annotations

from typing import Any

from envgit.cli.app import App
from envgit.cli.launching import launch
from envgit.cli.verb import Function, argument, flag, section, value, verb

_ENVIRONMENT = "Environment options"
_SANDBOX = "Sandbox options"
_AFTER = "What becomes of the changes"


def environment_options(function: Function) -> Function:
    """What a command sees: for every verb that runs one in an environment."""
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
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def _shared(function: Function) -> Function:
    """The options that `run` and `shell` have in common."""
    options = (
        section(
            _SANDBOX,
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
            flag("-q, --quiet", "suppress the summary of that commit"),
        ),
    )
    for option in reversed(options):
        function = option(function)
    return environment_options(function)


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
    return launch(app, argv, at=at, **options)


@verb("shell", "shell [<options>] [<commit>]")
@_shared
@argument("at", metavar="<commit>")
def shell(app: App, at: str | None, **options: Any) -> int:
    """Open a shell in the worktree, or in a commit.

    The shell is the one that the environment's passwd file names for the user; its prompt shows
    branch and uncommitted changes. With a commit, the changes are thrown away at the end.
    """
    return launch(app, (), at=at, shell=True, **options)
