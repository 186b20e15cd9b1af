# SPDX-License-Identifier: Apache-2.0
"""Who acts and when: git's rules for identities and dates, under our own variable names."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from envgit.errors import EnvgitError
from envgit.porcelain.foundation.repository import Repository

if TYPE_CHECKING:
    from envgit.repo.signature import Signature


class IdentityError(EnvgitError):
    """No usable name and e-mail, or a date nobody can read."""


_AUTHOR = re.compile(r"^(?P<name>[^<>]*?)\s*<(?P<email>[^<>]*)>$")


def signature(
    repository: Repository, role: str, *, author: str | None = None, date: str | None = None
) -> Signature:
    """The signature for ``role`` (``AUTHOR`` or ``COMMITTER``).

    ``author`` is ``Name <email>`` and ``date`` any form that git's ``--date`` takes. Without
    them: ``ENVGIT_<role>_*``, then ``GIT_<role>_*``, then ``user.name``/``user.email``, then the
    account's own name as git guesses it. ``SOURCE_DATE_EPOCH`` stands in for the present.
    Raises IdentityError.
    """
    from envgit.repo.signature import Signature, clean

    environ = repository.environ
    name = _first(environ.get(f"ENVGIT_{role}_NAME"), environ.get(f"GIT_{role}_NAME"))
    email = _first(environ.get(f"ENVGIT_{role}_EMAIL"), environ.get(f"GIT_{role}_EMAIL"))
    if author is not None:
        match = _AUTHOR.match(author.strip())
        if match is None:
            raise IdentityError(
                f"--author '{author}' is not 'Name <email>' and matches no existing author"
            )
        name, email = match["name"], match["email"]
    name = name or repository.settings.get("user.name") or _account_name()
    email = email if email is not None else repository.settings.get("user.email")
    if email is None:
        email = environ.get("EMAIL") or _account_email()
    name = clean(name)
    if not name:
        raise IdentityError(
            f"empty ident name (for <{email}>) not allowed",
            hint='envgit config --global user.name "Your Name"',
        )
    seconds, offset = _when(repository, role, date)
    return Signature(name=name, email=clean(email), time=seconds, offset=offset)


def _when(repository: Repository, role: str, date: str | None) -> tuple[int, int]:
    environ = repository.environ
    text = date or environ.get(f"ENVGIT_{role}_DATE") or environ.get(f"GIT_{role}_DATE")
    if text:
        from envgit.repo.dates import parse_date

        try:
            return parse_date(text)
        except ValueError as error:
            raise IdentityError(f"invalid date format: {text}") from error
    epoch = environ.get("SOURCE_DATE_EPOCH")
    if epoch is not None:
        if not epoch.isdigit():
            raise IdentityError(f"SOURCE_DATE_EPOCH is not a number of seconds: {epoch}")
        return int(epoch), 0
    seconds = int(time.time())
    return seconds, time.localtime(seconds).tm_gmtoff // 60


def _first(*values: str | None) -> str | None:
    return next((value for value in values if value), None)


def _account_name() -> str:
    import os
    import pwd

    try:
        account = pwd.getpwuid(os.geteuid())
    except KeyError:
        return ""
    return account.pw_gecos.split(",")[0].replace("&", account.pw_name) or account.pw_name


def _account_email() -> str:
    import os
    import pwd
    import socket

    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        user = str(os.geteuid())
    return f"{user}@{socket.gethostname()}"
