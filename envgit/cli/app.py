# SPDX-License-Identifier: Apache-2.0
"""Holds what one invocation of envgit knows: environment, settings, output, the repository.

Every verb receives it first. It opens the repository and reads settings only when asked to.
"""

from __future__ import annotations

from functools import cached_property

from envgit.cli.output import Output, is_terminal
from envgit.errors import EnvgitError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, BinaryIO

    from envgit.cli.verb import Verb
    from envgit.porcelain.foundation.repository import Repository
    from envgit.settings import Settings


class App:
    """One invocation. ``paginate``: True for ``-p``, False for ``--no-pager``, None to decide."""

    def __init__(
        self,
        *,
        environ: Mapping[str, str],
        stdout: BinaryIO,
        stderr: BinaryIO,
        stdin: BinaryIO | None,
        overrides: Sequence[tuple[str, str | None]] = (),
        paginate: bool | None = None,
        command: Sequence[str] = (),
    ) -> None:
        self.environ = environ
        self.overrides = tuple(overrides)
        self.paginate = paginate
        self.command = tuple(command)
        self._stdin = stdin
        self.stderr = stderr
        self.verb = ""
        self.failure_status: int | None = None
        """What to exit with when we fail ourselves, for verbs whose status is their command's."""
        self.out = Output(stdout, stderr, environ=environ, settings=lambda: self.settings)

    @property
    def stdin(self) -> BinaryIO:
        """Standard input. Raises EnvgitError when there is none."""
        if self._stdin is None:
            raise EnvgitError("standard input is closed")
        return self._stdin

    @property
    def stdin_is_terminal(self) -> bool:
        """Whether a person types into stdin."""
        return self._stdin is not None and is_terminal(self._stdin)

    @cached_property
    def repository(self) -> Repository:
        """The repository we are in. Raises NotARepository."""
        from envgit.porcelain.foundation.repository import Repository

        return Repository.open(
            ".",
            environ=self.environ,
            overrides=self.overrides,
            notify=self.out.note,
            command=self.command,
        )

    @cached_property
    def settings(self) -> Settings:
        """The settings in force: the repository's if we are in one, else the user's."""
        from envgit.porcelain.foundation.repository import NotARepository

        try:
            return self.repository.settings
        except NotARepository:
            return self.settings_outside()

    def settings_outside(self) -> Settings:
        """The system's and the user's settings, without any repository's."""
        from envgit.settings import Settings

        return Settings.load(environ=self.environ, repository=None, overrides=self.overrides)

    # -- paging ------------------------------------------------------------------------------

    def page(self, *, by_default: bool = True) -> None:
        """Page this verb's output if a person reads it and neither options nor settings object.

        Call it before the first output; the pager starts with the first output, so a verb that
        fails before has its error on the plain terminal.
        """
        if self.paginate is False or not self.out.stdout_is_terminal:
            return
        wanted: bool | str = by_default if self.paginate is None else True
        if self.paginate is None:
            wanted = _pager_setting(self.settings.get(f"pager.{self.verb}"), default=by_default)
        if wanted is False:
            return
        own = wanted if isinstance(wanted, str) else None
        self.out.page_with(lambda: self._start_pager(own))

    def _start_pager(self, own: str | None) -> Any:
        from envgit.cli import pager

        return pager.start(self.environ, own or self.settings.get("core.pager"))

    # -- help --------------------------------------------------------------------------------

    def show_help(self, command: Verb, *, long: bool) -> None:
        """Print a verb's short usage, or its manual through the pager."""
        if long:
            self.page()
            self.out.write(command.manual())
        else:
            self.out.line(command.short_usage())


def _pager_setting(setting: str | None, *, default: bool) -> bool | str:
    """``pager.<verb>``: a boolean, or the command to page it with."""
    if setting is None:
        return default
    from envgit.config_syntax import parse_bool

    switch = parse_bool(setting)
    return setting if switch is None else switch
