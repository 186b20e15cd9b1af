# SPDX-License-Identifier: Apache-2.0
"""Asks the user for a message in their editor."""

from __future__ import annotations

import os

from envgit.cli.app import App
from envgit.errors import EnvgitError
from envgit.porcelain.foundation.messages import clean

__all__ = ["EditorError", "clean", "command", "default_path", "edit", "read_message"]


class EditorError(EnvgitError):
    """There is no editor to be had, or it failed."""

    exit_code = 1
    prefix = "error"


def command(app: App) -> str | None:
    """Choose the editor: ENVGIT_EDITOR, core.editor, VISUAL, EDITOR, vi (git-var(1), GIT_EDITOR);
    None without any of them where vi could not be used."""
    environ = app.environ
    dumb = environ.get("TERM", "dumb") == "dumb"
    chosen = environ.get("ENVGIT_EDITOR") or app.settings.get("core.editor")
    if not chosen and not dumb:
        chosen = environ.get("VISUAL")
    chosen = chosen or environ.get("EDITOR")
    # git starts vi even when nobody sits there, which then waits for ever or fails oddly.
    if not chosen and not dumb and app.out.stdout_is_terminal:
        chosen = "vi"
    return chosen


def edit(app: App, path: str, text: str) -> str:
    """Let the user edit ``text`` in the file ``path``; return what they left. Raises EditorError.

    The file stays afterwards (git keeps COMMIT_EDITMSG too): a message is not lost when the commit
    fails.
    """
    import signal
    import subprocess

    chosen = command(app)
    if chosen is None:
        raise EditorError("no terminal for an editor, and EDITOR is not set")
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
    if chosen != ":":
        app.out.flush()
        if app.out.stderr_is_terminal and app.environ.get("TERM", "dumb") == "dumb":
            app.out.note("hint: Waiting for your editor to close the file...")
        # Ctrl-C is for the editor; git ignores it meanwhile as well (editor.c).
        previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            done = subprocess.run(
                ["sh", "-c", f'{chosen} "$@"', chosen, path],
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
        finally:
            signal.signal(signal.SIGINT, previous)
        if done.returncode != 0:
            raise EditorError(f"There was a problem with the editor '{chosen}'.")
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def read_message(app: App, file: str) -> str:
    """The text of ``-F``: a file, or standard input for ``-``."""
    if file == "-":
        return app.stdin.read().decode("utf-8", "surrogateescape")
    try:
        with open(file, encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read()
    except OSError as error:
        raise EnvgitError(f"could not read log file '{file}': {error.strerror}") from error


def default_path(app: App, name: str) -> str:
    """The file a message is edited in, beside the repository's other state."""
    return os.path.join(app.repository.path, name)
