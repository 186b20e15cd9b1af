# SPDX-License-Identifier: Apache-2.0
"""Turns whatever went wrong into a sentence and an exit status, in one place.

git's statuses: 1 refused, 128 fatal, 129 usage; 130 for an interrupt and 141 for a closed pipe, as
a shell would report the signals. A traceback is shown only when ``ENVGIT_TRACE`` asks for it.
"""

from __future__ import annotations

import errno
import os

from envgit.errors import EnvgitError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import BinaryIO

INTERRUPTED = 130
BROKEN_PIPE = 141

# Where the kernel's word alone would leave the user guessing.
REMEDIES: dict[int, str] = {
    errno.ENOSPC: "free some space, for instance with `envgit gc`, and run the command again; "
    "nothing that was committed is lost",
    errno.EDQUOT: "your disk quota is used up; free some space and run the command again",
    errno.EPERM: "this needs root, or a privilege that is missing here; `envgit doctor` says which",
    errno.EACCES: "check who owns it; a repository belongs to the user who made it",
    errno.EROFS: "the filesystem is mounted read-only",
    errno.EMFILE: "raise the limit of open files (`ulimit -n`)",
    errno.EIO: "the disk reports an error; run `envgit fsck` when it is readable again",
}


class UsageProblem(UsageError):
    """A usage error that is followed by the verb's short usage, as git prints it."""

    def __init__(self, message: str, *, usage: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.usage = usage


class Quiet(EnvgitError):
    """Carries an exit status only: what there was to say has been printed."""

    def __init__(self, exit_code: int) -> None:
        super().__init__("")
        self.status = exit_code


def report(error: BaseException, *, environ: Mapping[str, str], stderr: BinaryIO) -> int:
    """Write the error for a reader and return the exit status that goes with it."""
    if environ.get("ENVGIT_TRACE") not in (None, "", "0", "false"):
        _trace(error, stderr)
    if isinstance(error, Quiet):
        return error.status
    if isinstance(error, KeyboardInterrupt):
        _say(stderr, "")  # the terminal has echoed ^C on a line of its own
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):
        return BROKEN_PIPE
    if isinstance(error, EnvgitError):
        _report_ours(error, stderr)
        return error.exit_code
    if isinstance(error, OSError):
        _say(stderr, f"fatal: {sentence(error)}")
        _say_hint(stderr, REMEDIES.get(error.errno or 0))
    elif isinstance(error, MemoryError):
        _say(stderr, "fatal: out of memory")
    elif isinstance(error, RecursionError):
        _say(stderr, "fatal: something is nested too deeply to be followed")
    else:
        _say(stderr, f"fatal: envgit has a bug here: {type(error).__name__}: {error}")
        _say_hint(stderr, "run it again with ENVGIT_TRACE=1 and report what that prints")
    return 128


def sentence(error: OSError) -> str:
    """Put an OSError into words: what it concerns, what the kernel says, without numbers."""
    reason = error.strerror or str(error) or type(error).__name__
    names = [_name(name) for name in (error.filename, error.filename2) if name is not None]
    call = getattr(error, "syscall", None)
    subject = " -> ".join(f"'{name}'" for name in names)
    if call and subject:
        return f"{call} {subject}: {reason}"
    return f"{subject or call}: {reason}" if subject or call else reason


def _report_ours(error: EnvgitError, stderr: BinaryIO) -> None:
    if error.message:
        # git prints further lines of a message as they are: lists of files, advice.
        _say(stderr, f"{error.prefix}: {error.message}" if error.prefix else error.message)
    usage = getattr(error, "usage", "")
    if usage:
        _say(stderr, usage)
    _say_hint(stderr, error.hint)


def _say_hint(stderr: BinaryIO, hint: str | None) -> None:
    for line in (hint or "").splitlines():
        _say(stderr, f"hint: {line}".rstrip())


def _say(stderr: BinaryIO, text: str) -> None:
    try:
        stderr.write(text.encode("utf-8", "surrogateescape") + b"\n")
        stderr.flush()
    except OSError:
        pass  # nobody is left to be told


def _name(name: object) -> str:
    return os.fsdecode(name) if isinstance(name, (str, bytes)) else str(name)


def _trace(error: BaseException, stderr: BinaryIO) -> None:
    import traceback

    _say(stderr, "".join(traceback.format_exception(error)).rstrip())
