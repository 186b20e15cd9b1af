# SPDX-License-Identifier: Apache-2.0
"""The way in: reads git's global options, finds the verb, and answers for the exit status.

Imports as little as it can: click comes with the verb, pygit2 only with verbs that need git.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys

from envgit.cli import errors
from envgit.cli.app import App
from envgit.cli.errors import UsageProblem
from envgit.errors import EnvgitError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import MutableMapping, Sequence
    from typing import NoReturn

    from envgit.cli.verb import Verb

USAGE = """\
usage: envgit [-v | --version] [-h | --help] [-C <path>] [-c <name>=<value>]
              [-p | --paginate | -P | --no-pager] [--envgit-dir=<path>]
              <verb> [<args>]
"""


def entry() -> NoReturn:
    """The installed command: ``main``, and an end without the interpreter's own.

    By then everything is written and closed, and taking all modules apart would cost each command
    6 ms more.
    """
    status = main()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(status)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one envgit command line (default: this process's) and return its exit status."""
    if arguments is None:
        # What start-up allocates, it keeps: looking for cycles in it costs 3 ms of a `run`, and
        # 6 ms of whatever imports pygit2. Collections still come, only later.
        gc.set_threshold(100_000)
        _open_closed_streams()
    command = list(sys.argv[1:] if arguments is None else arguments)
    app = App(
        environ=os.environ,
        stdout=sys.stdout.buffer,
        stderr=sys.stderr.buffer,
        stdin=sys.stdin.buffer if sys.stdin is not None else None,
        command=["envgit", *command],
    )
    try:
        _install_crash_hook(os.environ)
        status = _dispatch(app, command)
        app.out.close()
    except BaseException as error:
        return _fail(app, error)
    return status


def _open_closed_streams() -> None:
    """Put /dev/null where a standard stream was closed, as git does (setup.c, sanitize_stdfds).

    Else the next file to be opened would take the number, and be written to as if it were stdout.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number: fd
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def _fail(app: App, error: BaseException) -> int:
    if isinstance(error, BrokenPipeError):
        app.out.discard()
    elif isinstance(error, (GeneratorExit, SystemExit)):
        raise error
    else:
        try:
            app.out.close()
        except OSError:
            app.out.discard()
    _forget_unwritten()
    status = errors.report(error, environ=app.environ, stderr=app.stderr)
    if app.failure_status is not None and status in (1, 128):
        return app.failure_status
    # 125 tells the command's own status from ours: only run and shell need that, not cp or mount.
    return 128 if app.failure_status is None and status == 125 else status


def _forget_unwritten() -> None:
    """Keep Python, which flushes stdout once more as it ends, from complaining about it then."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _dispatch(app: App, command: list[str]) -> int:
    rest = _global_options(app, command, os.environ)
    if not rest:
        from envgit.cli.helping import overview

        app.out.write(overview())
        return 1
    if rest[0] in ("--help", "-h", "--version", "-v"):
        rest = ["help", *rest[1:]] if rest[0] in ("--help", "-h") else ["version", *rest[1:]]
    from envgit.cli.table import verbs

    target = verbs().get(rest[0])
    if target is None:
        from envgit.cli.alias import expand

        outcome = expand(app, rest)
        if isinstance(outcome, int):
            return outcome
        rest, target = outcome
    app.verb = rest[0]
    if rest[0] == "run":
        from envgit.cli.launching import launch, plain_command

        command_only = plain_command(rest[1:])
        if command_only is not None:
            return launch(app, command_only)
    from envgit.cli.verb import execute

    return execute(load(target), rest[1:], app)


def load(target: str) -> Verb:
    """Import the verb that the table names, ``module:attribute`` beneath ``envgit.cli``."""
    module, _, attribute = target.partition(":")
    name = f"envgit.cli.{module}"
    __import__(name)
    found: Verb = getattr(sys.modules[name], attribute)
    return found


def _global_options(app: App, command: list[str], environ: MutableMapping[str, str]) -> list[str]:
    """Obey what stands before the verb, as git.c's handle_options does; return the rest."""
    rest = list(command)
    while rest and rest[0].startswith("-"):
        option = rest[0]
        if option in ("--help", "-h", "--version", "-v"):
            return rest
        name, equals, value = option.partition("=")
        if option == "-C":
            if len(rest) < 2:
                raise UsageProblem("no directory given for '-C' option", usage=USAGE)
            _change_directory(rest.pop(1))
        elif option == "-c":
            if len(rest) < 2:
                raise UsageProblem("-c expects a configuration string", usage=USAGE)
            app.overrides = (*app.overrides, _override(rest.pop(1)))
        elif option in ("-p", "--paginate"):
            app.paginate = True
        elif option in ("-P", "--no-pager"):
            app.paginate = False
        elif name == "--envgit-dir":
            if not equals and len(rest) < 2:
                raise UsageProblem("no directory given for '--envgit-dir' option", usage=USAGE)
            environ["ENVGIT_DIR"] = value if equals else rest.pop(1)
        else:
            raise UsageProblem(f"unknown option: {option}", usage=USAGE)
        rest.pop(0)
    return rest


def _change_directory(path: str) -> None:
    if not path:
        return  # git: -C "" leaves the directory as it is
    try:
        os.chdir(path)
    except OSError as error:
        raise EnvgitError(f"cannot change to '{path}': {error.strerror}") from error


def _override(text: str) -> tuple[str, str | None]:
    name, equals, value = text.partition("=")
    if "." not in name.strip("."):
        raise EnvgitError(f"error: key does not contain a section: {name}")
    return name, value if equals else None


def _install_crash_hook(environ: MutableMapping[str, str]) -> None:
    """``ENVGIT_TEST_CRASH=name[:n]``: die as by a power cut the nth time a durable step is reached.

    The crash tests use it; see ``envgit.fs.crashpoint``.
    """
    wanted = environ.get("ENVGIT_TEST_CRASH")
    if not wanted:
        return
    import signal

    from envgit.fs import crashpoint

    name, _, number = wanted.rpartition(":")
    if not name or not number.isdigit():
        name, number = wanted, "1"
    left = [int(number)]

    def hook(reached: str) -> None:
        if reached == name:
            left[0] -= 1
            if left[0] <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    crashpoint.install(hook)


if __name__ == "__main__":
    sys.exit(main())
