# SPDX-License-Identifier: Apache-2.0
"""Reads a command line the way git does, before click sees it.

git takes unique prefixes of long options, ``--no-X``, optional values only when they are attached
(``--color=always``), ``-5`` for a number of commits, and remembers where ``--`` stood. click does
none of these. So the line is split here by git's rules (parse-options.c) into options in their full
form and positional arguments; click then converts, validates and calls.
"""

from __future__ import annotations

from typing import NamedTuple

from envgit.cli.errors import UsageProblem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

NONE, VALUE, OPTIONAL, LAST = "none", "value", "optional", "last"


class Spelling(NamedTuple):
    """One way to write an option: ``--quiet`` or ``-q``.

    ``takes`` says whether a value follows (NONE, VALUE, OPTIONAL: only when attached, LAST: unless
    nothing follows); ``bare`` is the value an OPTIONAL or LAST option has when none is. ``owner``
    is the parameter's name, ``negation`` marks ``--no-X``. One ``in_place`` stays where it stands
    among the positionals.
    """

    text: str
    owner: str
    takes: str
    bare: str = ""
    negation: bool = False
    in_place: bool = False


class Line:
    """A command line taken apart: option tokens for click, positionals, and what follows ``--``.

    (No dataclass, and no ``collections.abc`` at run time: `run` pays for both at each start.)
    """

    __slots__ = ("after", "options", "positionals")

    def __init__(self) -> None:
        self.options: list[tuple[str, list[str]]] = []
        self.positionals: list[str] = []
        self.after: list[str] | None = None

    def tokens(self) -> list[str]:
        """The options in full form, one after another."""
        return [token for _, tokens in self.options for token in tokens]


class AskedForHelp(Exception):
    """``-h`` or ``--help`` was given; ``long`` tells which."""

    def __init__(self, *, long: bool) -> None:
        super().__init__()
        self.long = long


def split(
    arguments: Sequence[str],
    spellings: dict[str, Spelling],
    *,
    interspersed: bool = True,
    number: str | None = None,
) -> Line:
    """Split a command line by git's rules.

    ``interspersed=False`` ends the options at the first positional (``run`` hands the rest to the
    command). ``number`` names the option that ``-5`` stands for. Raises UsageProblem in git's
    words, AskedForHelp for ``-h`` and ``--help``.
    """
    line = Line()
    queue = list(arguments)
    queue.reverse()
    while queue:
        token = queue.pop()
        if token == "--":
            line.after = queue[::-1]
            return line
        if not token.startswith("-") or token == "-":
            line.positionals.append(token)
            if not interspersed:
                line.after = queue[::-1]
                return line
        elif token.startswith("--"):
            _long(token, queue, spellings, line)
        elif number is not None and token[1:].isdigit():
            line.options.append((spellings[number].owner, [f"{number}={token[1:]}"]))
        else:
            _short(token, queue, spellings, line)
    return line


def _long(token: str, queue: list[str], spellings: dict[str, Spelling], line: Line) -> None:
    name, equals, attached = token.partition("=")
    value: str | None = attached
    spelling = spellings.get(name) or _abbreviated(name, spellings)
    if spelling is None:
        raise UsageProblem(f"unknown option `{token[2:]}'", usage="short")
    if spelling.takes == NONE:
        if equals:
            raise UsageProblem(f"option `{spelling.text[2:]}' takes no value")
        _emit(spelling, None, line)
        return
    if not equals:
        if spelling.takes == OPTIONAL:
            value = spelling.bare if not spelling.in_place else None
        elif queue:
            value = queue.pop()
        elif spelling.takes == LAST:
            value = spelling.bare
        else:
            raise UsageProblem(f"option `{spelling.text[2:]}' requires a value")
    _emit(spelling, value, line)


def _abbreviated(name: str, spellings: dict[str, Spelling]) -> Spelling | None:
    if name == "--help":
        raise AskedForHelp(long=True)
    matches = [spelling for text, spelling in spellings.items() if text.startswith(name)]
    if len({(match.owner, match.negation) for match in matches}) > 1:
        first, second = matches[0].text, matches[1].text
        raise UsageProblem(
            f"ambiguous option: {name[2:]} (could be {first} or {second})", usage="short"
        )
    if matches:
        return matches[0]
    if len(name) > 2 and "--help".startswith(name):
        raise AskedForHelp(long=True)
    return None


def _short(token: str, queue: list[str], spellings: dict[str, Spelling], line: Line) -> None:
    rest = token[1:]
    while rest:
        letter, rest = rest[0], rest[1:]
        spelling = spellings.get(f"-{letter}")
        if spelling is None:
            if letter == "h":
                raise AskedForHelp(long=False)
            raise UsageProblem(f"unknown switch `{letter}'", usage="short")
        if spelling.takes == NONE:
            _emit(spelling, None, line)
            continue
        if rest or spelling.takes == OPTIONAL:
            _emit(spelling, rest or spelling.bare, line)
        elif queue:
            _emit(spelling, queue.pop(), line)
        elif spelling.takes == LAST:
            _emit(spelling, spelling.bare, line)
        else:
            raise UsageProblem(f"switch `{letter}' requires a value")
        return


def _emit(spelling: Spelling, value: str | None, line: Line) -> None:
    if spelling.takes == NONE and spelling.negation and value is None:
        # `--no-author`: what was given before is forgotten; a flag's own `--no-x` goes to click.
        line.options = [pair for pair in line.options if pair[0] != spelling.owner]
        if spelling.bare != "flag":
            return
    if spelling.in_place:
        line.positionals.append(spelling.text if value is None else f"{spelling.text}={value}")
        return
    if value is None:
        tokens = [spelling.text]
    elif spelling.text.startswith("--"):
        tokens = [f"{spelling.text}={value}"]
    else:
        tokens = [spelling.text, value]
    line.options.append((spelling.owner, tokens))
