# SPDX-License-Identifier: Apache-2.0
"""The base of every error that envgit raises on purpose, so that one function can report them all.

Subclasses live beside the code that raises them. Only ``cli`` turns an error into text and an exit
status; exit statuses are git's (1 refused, 128 fatal, 129 usage), and 125 for the sandbox as in
``docker run``.
"""

from __future__ import annotations

from typing import ClassVar


class EnvgitError(Exception):
    """Something the user can be told in one sentence, with at most one hint on what helps.

    ``message`` and ``hint`` are plain text without a prefix or a final full stop being required;
    ``prefix`` is the word printed before the message (``fatal`` or ``error``) and ``exit_code`` the
    process's exit status.
    """

    exit_code: ClassVar[int] = 128
    prefix: ClassVar[str] = "fatal"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Refused(EnvgitError):
    """The request was understood and turned down; nothing changed (git: ``error:``, status 1)."""

    exit_code = 1
    prefix = "error"


class UsageError(EnvgitError):
    """The command line makes no sense (git: status 129)."""

    exit_code = 129
    prefix = "error"
