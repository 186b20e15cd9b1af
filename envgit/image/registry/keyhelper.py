# SPDX-License-Identifier: Apache-2.0
"""Docker's credential helpers: programs ``docker-credential-NAME`` that keep passwords.

Protocol (docker/docker-credential-helpers, README): ``get`` with the server's address on standard
input answers ``{"ServerURL", "Username", "Secret"}``; a status other than 0 with a message on
standard output says that there is none, or what failed.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping

from envgit.image.registry.errors import printable

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_NONE = "credentials not found"
_MOST = 1 << 20
TIMEOUT = 60.0
"""Seconds: a helper may ask its user to unlock a keyring, but must not hang a script for ever."""


class HelperFailed(Exception):
    """A helper is missing or failed; the text says which and why, and never a secret."""


def ask(
    name: str, server: str, environ: Mapping[str, str], *, timeout: float = TIMEOUT
) -> tuple[str, str] | None:
    """User and secret for ``server``, None when the helper has none. Raises `HelperFailed`."""
    if not _NAME.fullmatch(name):
        raise HelperFailed(f"'{printable(name, 60)}' is not the name of a credential helper")
    program = f"docker-credential-{name}"
    path = shutil.which(program, path=environ.get("PATH", ""))
    if path is None:
        raise HelperFailed(f"the credential helper {program} is not installed")
    # It keeps the terminal and the process group: helpers ask for passphrases, and get Ctrl-C.
    with subprocess.Popen(
        [path, "get"],
        env=dict(environ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            out, err = process.communicate(server.encode(), timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise HelperFailed(f"{program} did not answer within {timeout:.0f} seconds") from None
        except BaseException:
            process.kill()
            raise
        status = process.returncode
    if status != 0:
        words = printable((out.strip() or err.strip()).decode("utf-8", "replace"))
        if _NONE in words.lower():
            return None
        raise HelperFailed(f"{program} failed: {words or f'exit status {status}'}")
    return _answer(program, out)


def _answer(program: str, out: bytes) -> tuple[str, str]:
    try:
        found = json.loads(out[:_MOST])
        user, secret = found["Username"], found["Secret"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise HelperFailed(f"{program} answers what no credential helper does") from None
    if not isinstance(user, str) or not isinstance(secret, str):
        raise HelperFailed(f"{program} answers what no credential helper does")
    return user, secret
