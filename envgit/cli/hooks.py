# SPDX-License-Identifier: Apache-2.0
"""`hook`: which hooks there are, calling one, and installing those that come with envgit."""

from __future__ import annotations

import os

from envgit.cli.app import App
from envgit.cli.verb import Group, argument, flag, json_flag, value, verb
from envgit.errors import EnvgitError, Refused, UsageError
from envgit.porcelain import hookfiles
from envgit.porcelain.foundation.hooks import run_hook
from envgit.porcelain.foundation.repository import NotARepository, Repository


class NoSuchHook(Refused):
    """`hook run` was given a name that no hook has."""


@verb("hook list", "hook list [--json]")
@json_flag
def hook_list(app: App, as_json: bool) -> int:
    """List the hooks that envgit calls, and what can be installed.

    A hook is an executable file of that name in .envgit/hooks, or in the folder that core.hooksPath
    names.
    """
    states = hookfiles.list_hooks(app.repository)
    kits = list(hookfiles.KITS.values())
    if as_json:
        app.out.json({"hooks": states, "kits": kits})
        return 0
    width = max(len(state.name) for state in states)
    for state in states:
        what = state.when
        if not state.known:
            what = "never called: envgit has no hook of this name"
        elif state.installed:
            shown = os.path.relpath(state.path, app.repository.project)
            if shown.startswith(".."):
                shown = state.path
            what = shown if state.executable else f"{shown} (ignored: not executable)"
        mark = "*" if state.executable and state.known else " "
        app.out.line(f"{mark} {state.name:<{width}}  {what}")
    app.out.line("")
    app.out.line("to be installed with 'envgit hook install <name>':")
    for kit in kits:
        app.out.line(f"  {kit.name:<{width}}  {kit.about}")
    return 0


@verb(
    "hook run",
    "hook run [--ignore-missing] [--to-stdin=<path>] <hook-name> [-- <hook-args>]",
    dashes=True,
)
@flag("--ignore-missing", "silently ignore missing requested <hook-name>")
@value("--to-stdin <path>", "file to read into hooks' stdin", to="stdin")
@argument("name", metavar="<hook-name>", required=True)
def hook_run(
    app: App, ignore_missing: bool, stdin: str | None, name: str, paths: tuple[str, ...] | None
) -> int:
    """Call a hook as envgit would, and exit with its status.

    Its standard input is empty but for --to-stdin, and its output goes to standard error.
    """
    data = _contents(stdin) if stdin is not None else b""
    status = run_hook(app.repository, name, *(paths or ()), stdin=data)
    if status is not None:
        return status
    if ignore_missing:
        return 0
    raise NoSuchHook(f"cannot find a hook named {name}")


def _contents(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise EnvgitError(f"could not open '{path}' for reading: {error.strerror}") from error


@verb(
    "hook install",
    "hook install [--force] [--into=<folder>] (<name>... | --all)",
)
@flag("--all", "all that can be installed", to="everything")
@flag("-f, --force", "replace files that are there already")
@value("--into <folder>", "the git repository that 'git' is installed in")
@json_flag
@argument("names", nargs=-1)
def hook_install(
    app: App,
    everything: bool,
    force: bool,
    into: str | None,
    as_json: bool,
    names: tuple[str, ...],
) -> int:
    """Install hooks that come with envgit.

    git: into a git repository of sources (by default the one around the project folder); the
    environment then follows the commit that the branch's lock file names.

    shell: into your home directory; a prompt for bash and zsh.
    """
    if everything and names:
        raise UsageError("--all and names cannot be used together")
    if not (everything or names):
        raise UsageError("nothing to install", hint=f"name it: {', '.join(hookfiles.KITS)}")
    wanted = tuple(hookfiles.KITS) if everything else names
    done = hookfiles.install(
        _repository(app), wanted, into=into, force=force, data_home=_data_home(app)
    )
    if as_json:
        app.out.json(done)
        return 0
    for one in done:
        app.out.line(f"{'installed' if one.new else 'already there:'} {one.path}")
    for name in dict.fromkeys(one.kit for one in done):
        _say_how_to_go_on(app, name, [one.path for one in done if one.kit == name])
    return 0


def _repository(app: App) -> Repository | None:
    try:
        return app.repository
    except NotARepository:
        return None


def _data_home(app: App) -> str | None:
    home = app.environ.get("HOME")
    named = app.environ.get("XDG_DATA_HOME")
    return named or (os.path.join(home, ".local", "share") if home else None)


def _say_how_to_go_on(app: App, name: str, paths: list[str]) -> None:
    if name == "git":
        app.out.hint(
            "write the lock with 'envgit rev-parse HEAD > envgit.lock' and commit it to git"
        )
    else:
        app.out.hint(
            f"add to ~/.bashrc:  . '{paths[0]}'; PS1='\\w$(__envgit_ps1)\\$ '\n"
            f"or to ~/.zshrc:    . '{paths[0]}'; setopt PROMPT_SUBST; PS1='%~$(__envgit_ps1)%# '"
        )


hook = Group(
    "hook",
    [hook_list, hook_run, hook_install],
    help="""List, call and install hooks.

    Hooks are programs that envgit calls at certain points, with git's names and arguments.
    """,
)
