# SPDX-License-Identifier: Apache-2.0
"""Change settings in one of their files, as `git config` does; reading them is settings.py's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import ClassVar

from envgit.errors import EnvgitError
from envgit.settings import SettingsError, canonical, global_files, read_file, system_file


class InvalidKey(EnvgitError):
    """A name that is no setting's (git config: status 1)."""

    exit_code: ClassVar[int] = 1
    prefix: ClassVar[str] = "error"


class SeveralValues(EnvgitError):
    """A setting has more values than one, or none, where one was meant (git config: status 5)."""

    exit_code: ClassVar[int] = 5
    prefix: ClassVar[str] = "warning"


class NoSuchSection(EnvgitError):
    """There is no section of that name."""


def file_of(scope: str, environ: Mapping[str, str], repository: str | None) -> str:
    """The file that a scope's settings are written to.

    ``repository`` is the ``.envgit`` folder, None outside one. Raises EnvgitError when the scope
    has no file.
    """
    if scope == "local":
        if repository is None:
            raise EnvgitError("not in an envgit repository")
        return os.path.join(repository, "config")
    if scope == "system":
        path = system_file(environ)
        if path is None:
            raise EnvgitError("the system's settings are switched off (ENVGIT_CONFIG_NOSYSTEM)")
        return path
    files = global_files(environ)
    if not files:
        raise EnvgitError("$HOME not set")
    # git writes ~/.gitconfig, or the XDG file when only that exists.
    existing = [path for path in files if os.path.exists(path)]
    return existing[-1] if existing else files[-1]


def check_key(name: str) -> str:
    """The canonical form of a setting's name. Raises InvalidKey in git's words."""
    if "." not in name.strip("."):
        raise InvalidKey(f"key does not contain a section: {name}")
    try:
        return canonical(name)
    except SettingsError as error:
        raise InvalidKey(f"invalid key: {name}") from error


def set_value(path: str, name: str, value: str, *, replace_all: bool = False) -> None:
    """Set a setting. Raises SeveralValues when it has several, unless ``replace_all``."""
    from envgit.repo import config

    key = check_key(name)
    _prepare(path)
    present = _values(path, key)
    if len(present) > 1:
        if not replace_all:
            raise SeveralValues(
                f"{name} has multiple values\n"
                "error: cannot overwrite multiple values with a single value\n"
                f"       Use --add or --replace-all to change {name}."
            )
        config.unset(path, key)
    config.set_value(path, key, value)


def add_value(path: str, name: str, value: str) -> None:
    """Give a setting one more value."""
    from envgit.repo import config

    key = check_key(name)
    _prepare(path)
    config.add_value(path, key, value)


def unset(path: str, name: str, *, every: bool = False) -> bool:
    """Remove a setting; return whether it was there. Raises SeveralValues unless ``every``."""
    from envgit.repo import config

    key = check_key(name)
    present = _values(path, key)
    if len(present) > 1 and not every:
        raise SeveralValues(f"{name} has multiple values")
    if present:
        config.unset(path, key)
    return bool(present)


def rename_section(path: str, old: str, new: str | None) -> None:
    """Rename a section, or remove it with all its settings (``new`` None)."""
    from envgit.repo import config

    if not config.rename_section(path, old, new):
        raise NoSuchSection(f"no such section: {old}")


def _values(path: str, key: str) -> list[str | None]:
    return [entry.value for entry in read_file(path, {}) if entry.name == key]


def _prepare(path: str) -> None:
    folder = os.path.dirname(path)
    if folder:
        os.makedirs(folder, exist_ok=True)
