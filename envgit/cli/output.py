# SPDX-License-Identifier: Apache-2.0
"""Owns standard output and error: bytes go out unharmed, coloured, paged or as JSON where wanted.

stdout is data, stderr is talk. Text is written with ``surrogateescape``, so a file name that is not
UTF-8 leaves as the bytes it came in.
"""

from __future__ import annotations

import os

from envgit.cli import colour, quoting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import BinaryIO

    from envgit.cli.pager import Pager
    from envgit.settings import Settings

_FLUSH_AT = 1 << 15


class Output:
    """What a verb prints with. Nothing is written before the first flush, so that a pager starts
    only when there is something to page."""

    def __init__(
        self,
        stdout: BinaryIO,
        stderr: BinaryIO,
        *,
        environ: Mapping[str, str],
        settings: Callable[[], Settings],
    ) -> None:
        self._stdout = stdout
        self._stderr = stderr
        self._environ = environ
        self._settings = settings
        self._pending: list[bytes] = []
        self._size = 0
        self._pager: Pager | None = None
        self._start_pager: Callable[[], Pager | None] | None = None
        self._when: str | None = None
        self._sections: tuple[str, ...] = ()
        self._colour: bool | None = None
        self._escapes: dict[str, str] = {}
        self._quote_all: bool | None = None

    # -- writing -----------------------------------------------------------------------------

    def write(self, text: str | bytes) -> None:
        """Write text or bytes as they are."""
        data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
        self._pending.append(data)
        self._size += len(data)
        if self._size >= _FLUSH_AT:
            self.flush()

    def line(self, text: str | bytes = "", *, end: str = "\n") -> None:
        """Write one line."""
        self.write(text)
        self.write(end)

    def json(self, value: object) -> None:
        """Write a value (frozen dataclasses, tuples, bytes, …) as one JSON document."""
        from envgit.cli.jsonify import dumps

        self.write(dumps(value))

    def flush(self) -> None:
        """Hand over what is pending, starting the pager first if one is wanted."""
        if self._start_pager is not None and self._pending:
            start, self._start_pager = self._start_pager, None
            self._pager = start()
        if not self._pending:
            return
        data, self._pending, self._size = b"".join(self._pending), [], 0
        stream = self._pager.stream if self._pager else self._stdout
        stream.write(data)
        stream.flush()

    def binary(self) -> BinaryIO:
        """Standard output itself, for a stream of bytes such as an archive."""
        self.flush()
        return self._stdout

    def close(self) -> None:
        """Write the rest and wait until the reader has left the pager."""
        try:
            self.flush()
        finally:
            if self._pager is not None:
                self._pager.close()
                self._pager = None

    def discard(self) -> None:
        """Forget pending output and any pager: the reader has gone."""
        self._pending, self._size, self._start_pager = [], 0, None
        if self._pager is not None:
            self._pager.close()
            self._pager = None

    # -- talk --------------------------------------------------------------------------------

    def note(self, text: str) -> None:
        """Tell the user something on stderr; what was printed before it stays before it."""
        self.flush()
        self._stderr.write(text.encode("utf-8", "surrogateescape") + b"\n")
        self._stderr.flush()

    def warning(self, text: str) -> None:
        """Warn on stderr in git's form."""
        self.note(f"warning: {text}")

    def hint(self, text: str) -> None:
        """Give advice on stderr, each line marked as git does."""
        for line in text.splitlines():
            self.note(f"hint: {line}".rstrip())

    @property
    def stdout_is_terminal(self) -> bool:
        """Whether a person reads stdout."""
        return is_terminal(self._stdout)

    @property
    def stderr_is_terminal(self) -> bool:
        """Whether a person reads stderr: progress is shown only then."""
        return is_terminal(self._stderr)

    # -- paging and colour -------------------------------------------------------------------

    def page_with(self, start: Callable[[], Pager | None] | None) -> None:
        """Ask for a pager, made by ``start`` when the first output is written; None: not paged."""
        self._start_pager = start

    def colour_for(self, *sections: str, when: str | None = None) -> None:
        """Say which `color.<section>` settings decide, and what `--color` said, if anything."""
        self._sections, self._when, self._colour = sections, when, None

    @property
    def colour(self) -> bool:
        """Whether to colour: `--color`, `color.<section>`, `color.ui`, NO_COLOR, TERM, terminal."""
        if self._colour is None:
            self._colour = self._decide()
        return self._colour

    def _decide(self) -> bool:
        when = self._when
        if when is None and self._environ.get("NO_COLOR"):
            return False
        if when is None:
            settings = self._settings()
            for name in (*(f"color.{section}" for section in self._sections), "color.ui"):
                when = settings.get(name)
                if when is not None:
                    break
        when = (when or "auto").lower()
        if when == "always":
            return True
        from envgit.config_syntax import parse_bool

        if when == "never" or parse_bool(when) is False:
            return False
        reader = self._pager is not None or self._start_pager is not None
        if self._environ.get("TERM", "dumb") == "dumb":
            return False
        return reader or self.stdout_is_terminal

    def escape(self, slot: str) -> str:
        """Return the escape sequence that starts a colour slot (``diff.old``); "" when plain."""
        if not self.colour:
            return ""
        found = self._escapes.get(slot)
        if found is None:
            chosen = self._settings().get(f"color.{slot}")
            found = colour.escape(colour.DEFAULTS.get(slot, "") if chosen is None else chosen)
            self._escapes[slot] = found
        return found

    def literal(self, words: str) -> str:
        """Return the escape sequence for a colour named in git's words; "" when plain."""
        return colour.escape(words) if self.colour else ""

    @property
    def reset(self) -> str:
        """The sequence that ends a colour; "" when plain."""
        return colour.RESET if self.colour else ""

    def paint(self, slot: str, text: str) -> str:
        """Colour a piece of a line by its slot (keys of ``colour.DEFAULTS``)."""
        start = self.escape(slot)
        return f"{start}{text}{colour.RESET}" if start and text else text

    # -- names -------------------------------------------------------------------------------

    def path(self, path: bytes) -> str:
        """Quote a path for a line of output, as `core.quotePath` says (not for ``-z``)."""
        if self._quote_all is None:
            self._quote_all = self._settings().get_bool("core.quotePath")
        return quoting.quote(path, non_ascii=self._quote_all)


def is_terminal(stream: BinaryIO) -> bool:
    """Whether the stream leads to a terminal."""
    try:
        return os.isatty(stream.fileno())
    except (OSError, ValueError):  # a closed stream, or a test's buffer without a descriptor
        return False
