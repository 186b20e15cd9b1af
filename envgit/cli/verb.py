# SPDX-License-Identifier: Apache-2.0
"""Makes click's commands behave like git's verbs: parsing, usage text, help and exit statuses.

A verb's module declares it with ``@verb``, ``@flag``, ``@value``, ``@section`` and ``@argument``;
the function receives the ``App`` first and returns an exit status (None is 0).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import click

from envgit.cli import tokens
from envgit.cli.errors import UsageProblem
from envgit.cli.tokens import AskedForHelp, Spelling

Function = Callable[..., Any]

# git's usage text (parse-options.c, USAGE_OPTS_WIDTH); git itself never breaks a line.
_INDENT, _COLUMN, _WIDTH = 4, 26, 100


class Option(click.Option):
    """An option with what git's usage text and parsing need besides.

    ``optional`` is the value it has when none is attached (``--color`` = ``--color=always``),
    ``last`` the value it has when nothing follows (``--merged`` = ``--merged HEAD``);
    ``section`` the heading it is listed under; ``hint`` how its value is shown (``<msg>``). One
    ``in_place`` is not passed to the function: it stays among the positionals, where its order
    counts.
    """

    def __init__(
        self,
        *args: Any,
        optional: str | None = None,
        last: str | None = None,
        section: str = "",
        hint: str = "",
        in_place: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, expose_value=not in_place, **kwargs)
        self.in_place = in_place
        self.optional = optional
        self.last = last
        self.section = section
        self.hint = hint

    def spellings(self) -> list[Spelling]:
        """Every way to write this option, ``--no-X`` of options with a value included."""
        owner = self.name or ""
        if self.is_flag or self.count:
            here = self.in_place
            listed = [Spelling(text, owner, tokens.NONE, in_place=here) for text in self.opts]
            if here:
                return listed
            return listed + [
                Spelling(text, owner, tokens.NONE, bare="flag", negation=True)
                for text in self.secondary_opts
            ]
        takes, bare = tokens.VALUE, ""
        if self.optional is not None:
            takes, bare = tokens.OPTIONAL, self.optional
        elif self.last is not None:
            takes, bare = tokens.LAST, self.last
        here = self.in_place
        listed = [Spelling(text, owner, takes, bare=bare, in_place=here) for text in self.opts]
        if here:
            return listed
        return listed + [
            Spelling(f"--no-{text[2:]}", owner, tokens.NONE, negation=True)
            for text in self.opts
            if text.startswith("--") and not text.startswith("--no-")
        ]

    def spelled(self) -> str:
        """The option as help shows it: ``-F, --file <file>``."""
        names = ", ".join(self.opts)
        if self.is_flag or self.count:
            return names
        if self.last is not None:
            return f"{names} [{self.hint}]"
        if self.optional is not None:
            return (
                f"{names}[={self.hint}]"
                if self.opts[-1].startswith("--")
                else f"{names}[{self.hint}]"
            )
        return f"{names} {self.hint}"


class Verb(click.Command):
    """A verb of envgit. ``usage`` lists its synopses without the program's name.

    ``dashes``: what follows ``--`` is passed as ``paths`` (None when there was no ``--``).
    ``command_follows``: options end at the first positional, as for ``run``. ``number`` names the
    option that ``-5`` means.
    """

    def __init__(
        self,
        *args: Any,
        usage: Sequence[str] = (),
        dashes: bool = False,
        command_follows: bool = False,
        number: str | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs["add_help_option"] = False  # -h and --help are git's, see ``parse_args``
        super().__init__(*args, **kwargs)
        self.usage = tuple(usage)
        self.dashes = dashes
        self.command_follows = command_follows
        self.number = number

    def options(self) -> list[Option]:
        """The verb's options in the order they were declared."""
        return [param for param in self.params if isinstance(param, Option)]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Split the line by git's rules and let click convert the result."""
        if not self.command_follows and args == ["-h"]:
            raise AskedForHelp(long=False)
        listed = [one for option in self.options() for one in option.spellings()]
        listed.sort(key=lambda one: not one.negation)  # a declared --no-merged beats a derived one
        spellings = {one.text: one for one in listed}
        line = tokens.split(
            args, spellings, interspersed=not self.command_follows, number=self.number
        )
        positionals = line.positionals
        if self.dashes:
            ctx.params["paths"] = None if line.after is None else tuple(line.after)
        elif line.after is not None:
            positionals = [*positionals, *line.after]
        return super().parse_args(ctx, [*line.tokens(), "--", *positionals])

    # -- text --------------------------------------------------------------------------------

    def short_usage(self) -> str:
        """The usage text that ``-h`` and usage errors print, in git's layout."""
        lines = []
        for number, synopsis in enumerate(self.usage or (self.name or "",)):
            start = "usage: " if number == 0 else "   or: "
            lines.extend(_synopsis(f"{start}envgit ", synopsis))
        section = None
        for option in self.options():
            if option.hidden:
                continue
            if option.section != section:
                section = option.section
                lines.append("")
                if section:
                    lines.append(section)
            lines.extend(_option_lines(option))
        return "\n".join(lines) + "\n"

    def manual(self) -> str:
        """The longer text that ``--help`` and ``help VERB`` print."""
        body = _paragraphs(self.help or "")
        return f"{self.short_usage()}\n{body}\n" if body else self.short_usage()


class Group(Verb):
    """A verb of verbs (``op log``): the first word picks one; ``default`` is taken without any."""

    def __init__(self, name: str, verbs: Sequence[Verb], *, default: str = "", help: str) -> None:
        self.verbs = {one.name or "": one for one in verbs}
        usage = [synopsis for one in verbs for synopsis in one.usage]
        super().__init__(name, usage=usage, command_follows=True, help=help)
        self.default = default

    def run(self, words: Sequence[str], app: Any) -> int:
        """Hand the line on to the verb that its first word names."""
        first = words[0] if words else self.default
        if first in ("-h", "--help"):
            app.show_help(self, long=first == "--help")
            return 129 if first == "-h" else 0
        chosen = self.verbs.get(f"{self.name} {first}")
        if chosen is None:
            said = f"unknown subcommand: `{first}'" if first else "need a subcommand"
            raise UsageProblem(said, usage=self.short_usage())
        return execute(chosen, words[1:], app)


def verb(name: str, *usage: str, **options: Any) -> Callable[[Function], Verb]:
    """Declare a verb. The function's docstring is its manual, the first sentence its one line."""

    def decorate(function: Function) -> Verb:
        made = click.command(name, cls=Verb, usage=usage or (name,), **options)(
            click.pass_obj(function)
        )
        assert isinstance(made, Verb)
        return made

    return decorate


_SPEC = re.compile(
    r"(?P<names>-[^ ,=\[]*(?:, -[^ ,=\[]*)*)"
    r"(?:\[=?(?P<optional>[^]]*)\]| \[(?P<last>[^]]*)\]| (?P<value>\S.*))?"
)


class Declared:
    """A declared option: a decorator that ``section`` can still put under a heading."""

    def __init__(self, names: Sequence[str], attributes: dict[str, Any]) -> None:
        self.names = tuple(names)
        self.attributes = attributes

    def __call__(self, function: Function) -> Function:
        return click.option(*self.names, cls=Option, **self.attributes)(function)


def flag(spec: str, help: str, *, to: str | None = None, **options: Any) -> Declared:
    """A switch, ``spec`` as help shows it: ``-q, --quiet``. Its first long name can be negated.

    ``to`` names the function's parameter; by default that is the long name. With ``flag_value``
    several switches set one parameter, the last one winning.
    """
    names = _SPEC.fullmatch(spec)["names"].split(", ")  # type: ignore[index]
    long = next((name for name in names if name.startswith("--")), None)
    if long is not None and not long.startswith("--no-") and "flag_value" not in options:
        names[names.index(long)] = f"{long}/--no-{long[2:]}"
        options.setdefault("default", False)
    else:
        options.setdefault("is_flag", True)
        options.setdefault("default", None if "flag_value" in options else False)
    return Declared((*names, to or _parameter(long or names[0])), {"help": help, **options})


def count(spec: str, help: str, *, to: str | None = None, **options: Any) -> Declared:
    """A switch that may be repeated; its value is how often."""
    return Declared(
        (*spec.split(", "), to or _parameter(spec.split(", ")[-1])),
        {"help": help, "count": True, **options},
    )


def value(
    spec: str, help: str, *, to: str | None = None, bare: str | None = None, **options: Any
) -> Declared:
    """An option with a value, ``spec`` as help shows it.

    ``-F, --file <file>``: the value is needed; ``--color[=<when>]``: only taken when attached,
    ``bare`` otherwise; ``--merged [<commit>]``: ``bare`` when nothing follows.
    """
    parts = _SPEC.fullmatch(spec)
    if parts is None:
        raise ValueError(f"not the text of an option: {spec}")
    names = parts["names"].split(", ")
    long = next((name for name in names if name.startswith("--")), names[0])
    hint = parts["optional"] or parts["last"] or parts["value"] or ""
    if not hint or (bare is None) != (parts["value"] is not None):
        raise ValueError(f"a value that may be left out needs to say what it then is: {spec}")
    options["optional" if parts["optional"] else "last"] = bare
    return Declared((*names, to or _parameter(long)), {"help": help, "hint": hint, **options})


def section(title: str, *declared: Declared) -> Callable[[Function], Function]:
    """List options under a heading of their own in help."""

    def decorate(function: Function) -> Function:
        for one in reversed(declared):
            one.attributes["section"] = title
            function = one(function)
        return function

    return decorate


def _parameter(name: str) -> str:
    return name.lstrip("-").replace("-", "_")


def argument(name: str, **options: Any) -> Callable[[Function], Function]:
    """A positional argument; ``nargs=-1`` for any number."""
    options.setdefault("required", False)
    return click.argument(name, **options)


def json_flag(function: Function) -> Function:
    """The ``--json`` of every verb that prints a table or a fact."""
    return flag("--json", "print the result as JSON", to="as_json")(function)


def execute(command: Verb, arguments: Sequence[str], app: Any) -> int:
    """Parse ``arguments`` and call the verb. Raises UsageProblem in git's words, and the verb's
    own errors; returns its exit status."""
    if isinstance(command, Group):
        return command.run(arguments, app)
    try:
        with command.make_context(command.name, list(arguments), obj=app) as context:
            status = command.invoke(context)
    except AskedForHelp as asked:
        app.show_help(command, long=asked.long)
        return 0 if asked.long else 129
    except UsageProblem as problem:
        if problem.usage == "short":
            problem.usage = command.short_usage()
        raise
    except click.ClickException as error:
        raise _in_gits_words(command, error) from error
    except click.exceptions.Exit as left:
        return left.exit_code
    except click.Abort as aborted:
        raise KeyboardInterrupt from aborted
    return int(status or 0)


def _in_gits_words(command: Verb, error: click.ClickException) -> UsageProblem:
    param = getattr(error, "param", None)
    usage = command.short_usage()
    if isinstance(error, click.MissingParameter):
        name = param.human_readable_name.lower().strip("<>") if param is not None else "argument"
        return UsageProblem(f"missing argument: <{name}>", usage=usage)
    if isinstance(error, click.BadParameter) and isinstance(param, Option):
        name = max(param.opts, key=len).lstrip("-")
        if isinstance(param.type, click.Choice):
            choices = [f'"{choice}"' for choice in param.type.choices]
            listed = ", ".join(choices[:-1]) + (f", or {choices[-1]}" if choices[1:] else "")
            return UsageProblem(f"option `{name}' expects {listed or choices[0]}")
        if isinstance(param.type, (click.types.IntParamType, click.IntRange)):
            return UsageProblem(f"option `{name}' expects a numerical value")
        return UsageProblem(f"option `{name}': {error.message}")
    extra = "Got unexpected extra argument"
    if error.message.startswith(extra):
        words = error.message[len(extra) :].lstrip("s").strip(" ()")
        return UsageProblem(f"unexpected argument: {words}", usage=usage)
    return UsageProblem(error.message[:1].lower() + error.message[1:].rstrip("."), usage=usage)


def _synopsis(start: str, synopsis: str) -> list[str]:
    """Break a synopsis at 79 columns, continuation lines beneath the first word after the verb."""
    words = synopsis.split(" ")
    indent = " " * (len(start) + len(words[0]) + 1)
    lines, current = [], start + words[0]
    for word in words[1:]:
        if len(current) + 1 + len(word) > 79 and current.strip() != start.strip():
            lines.append(current)
            current = indent + word
        else:
            current += " " + word
    return [*lines, current]


def _option_lines(option: Option) -> list[str]:
    import textwrap

    left = " " * _INDENT + option.spelled()
    first, *more = textwrap.wrap(option.help or "", _WIDTH - _COLUMN) or [""]
    rest = [" " * _COLUMN + line for line in more]
    if len(left) < _COLUMN:
        return [f"{left:<{_COLUMN}}{first}".rstrip(), *rest]
    return [left, " " * _COLUMN + first, *rest]


def _paragraphs(text: str) -> str:
    """Fill paragraphs to 79 columns; an indented one, or one after ``\\b``, stays as it is."""
    import inspect
    import textwrap

    blocks = []
    for block in inspect.cleandoc(text).split("\n\n"):
        lines = block.strip("\n").splitlines()
        if lines and lines[0].strip() == "\b":
            blocks.append("\n".join(lines[1:]))
        elif all(line.startswith("    ") for line in lines):
            blocks.append("\n".join(lines))
        else:
            blocks.append(textwrap.fill(" ".join(lines), 79))
    return "\n\n".join(blocks)
