# SPDX-License-Identifier: Apache-2.0
"""The options that ``diff``, ``show`` and ``log`` share, and the output they choose.

Source: git-diff(1), "OPTIONS". The parts come in git's order whatever the order of the options:
lists, numbers, bars, summary, patch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from envgit.cli import packageview
from envgit.cli.verb import flag, section, value
from envgit.config_syntax import parse_bool
from envgit.errors import EnvgitError, UsageError

if TYPE_CHECKING:
    from envgit.cli import patch
    from envgit.cli.app import App
    from envgit.layers.renames import FileChange
    from envgit.porcelain.difference import Difference, Merged
    from envgit.porcelain.foundation.comparing import Choice, Pickaxe, TextOptions
    from envgit.settings import Settings

LISTS = ("raw", "name_status", "name_only")
SUMMARIES = ("numstat", "stat", "shortstat", "summary")
PACKAGES = "packages"


@dataclass(frozen=True, slots=True)
class DiffView:
    """What is written about a difference.

    ``parts`` are among PACKAGES, LISTS, SUMMARIES and ``patch``. ``widths``: of --stat in all, of
    its names, and how many files; 0 is git's own choice. ``null``: records end with NUL and names
    are not quoted (-z). ``words``: the mode of --word-diff and the regular expression of a word.
    """

    parts: frozenset[str]
    text: TextOptions
    choice: Choice
    widths: tuple[int, int, int] = (0, 0, 0)
    null: bool = False
    full_index: bool = False
    prefixes: tuple[str, str] = ("a/", "b/")
    words: tuple[str, str | None] | None = None

    def __bool__(self) -> bool:
        return bool(self.parts)

    def shows(self, difference: Difference, merged: Merged | None = None) -> bool:
        """Whether there is anything to write; where a merge is shown, its head is."""
        if self.parts - {PACKAGES} and (difference or merged is not None):
            return True
        if PACKAGES not in self.parts:
            return False
        return bool(difference.packages if merged is None else merged.packages)

    def write(
        self,
        app: App,
        difference: Difference,
        *,
        merged: Merged | None = None,
        prefix: Callable[[], str] | None = None,
    ) -> None:
        """Write all parts; ``prefix`` gives what precedes each line (the log's graph).

        Of a merge, names and patches are of what it ``merged`` itself.
        """
        before = prefix or (lambda: "")
        changes = difference.changes if merged is None else merged.paths
        written = False
        if PACKAGES in self.parts:
            found = difference.packages if merged is None else merged.packages
            for line in packageview.lines(app, found.changes):
                app.out.write(f"{before()}{line}\n")
                written = True
            if written and changes and self.parts - {PACKAGES, "patch"}:
                app.out.write(before() + "\n")
        for line in (
            self._lists(app, difference.changes)
            if merged is None
            else (self._combined_lists(app, merged))
        ):
            app.out.write(before() + line)
            written = True
        lead = before() if prefix is not None else ""
        for line in self._summaries(app, difference, width=len(lead)):
            app.out.write(before() + line)
            written = True
        if "patch" not in self.parts:
            return
        if written and changes:
            app.out.write(before() + "\n")
        for line in self._patches(app, difference, merged):
            app.out.write(before() + line)

    def _patches(self, app: App, difference: Difference, merged: Merged | None) -> Iterable[str]:
        from envgit.cli import combinedview, patch

        style = self._style(app)
        if merged is not None:
            for one in merged.paths:
                yield from combinedview.patch(merged, one, self.text, style)
            return
        for change in difference.changes:
            yield from patch.write(change, self._texts(difference), style)

    def _lists(self, app: App, changes: Iterable[FileChange]) -> Iterable[str]:
        from envgit.cli import patch, stat

        quote = app.out.path
        for change in changes:
            if "raw" in self.parts:

                def identify(entry: Any) -> str:
                    return patch.identify(entry, full=self.full_index)

                yield stat.raw(change, quote=quote, null=self.null, identify=identify)
            elif "name_status" in self.parts:
                yield stat.name_status(change, quote=quote, null=self.null)
            elif "name_only" in self.parts:
                yield stat.name_only(change, quote=quote, null=self.null)

    def _combined_lists(self, app: App, merged: Merged) -> Iterable[str]:
        from envgit.cli import combinedview

        quote, null = app.out.path, self.null
        for one in merged.paths:
            if "raw" in self.parts:
                yield combinedview.raw(one, quote=quote, null=null, full=self.full_index)
            elif "name_status" in self.parts:
                yield combinedview.name_status(one, quote=quote, null=null)
            elif "name_only" in self.parts:
                yield combinedview.name_only(one, quote=quote, null=null)

    def _summaries(self, app: App, difference: Difference, *, width: int) -> Iterable[str]:
        from envgit.cli import stat

        changes = difference.changes
        quote = app.out.path
        counted = self.parts & {"numstat", "stat", "shortstat"}
        stats = [difference.stat(change, self.text) for change in changes] if counted else []
        if "numstat" in self.parts:
            for change, counts in zip(changes, stats, strict=True):
                yield stat.numstat(change, counts, quote=quote, null=self.null)
        if "stat" in self.parts and changes:
            total, name, count = self.widths
            widths = stat.Widths(total or terminal_width(app) - width, name, count)
            lines = stat.stat(changes, stats, quote=quote, palette=app.out, widths=widths)
            yield from (line + "\n" for line in lines)
        if "shortstat" in self.parts and changes:
            yield stat.shortstat(stats) + "\n"
        if "summary" in self.parts:
            for change in changes:
                yield from (line + "\n" for line in stat.summary(change, quote=quote))

    def _style(self, app: App) -> patch.Style:
        from envgit.cli import patch

        old, new = (text.encode("utf-8", "surrogateescape") for text in self.prefixes)
        if self.choice.reverse:
            old, new = new, old
        words = None
        if self.words is not None:
            from envgit.porcelain.words import word_pattern

            words = patch.Words(self.words[0], word_pattern(self.words[1]))
        return patch.Style(app.out, app.out.path, old, new, self.full_index, words)

    def _texts(self, difference: Difference) -> Callable[[FileChange], Any]:
        return lambda change: difference.text(change, self.text)


def terminal_width(app: App) -> int:
    """``COLUMNS``, else the terminal's, else 80, as git."""
    columns = app.environ.get("COLUMNS", "")
    if columns.isdigit() and int(columns) > 0:
        return int(columns)
    if not app.out.stdout_is_terminal:
        return 80
    import shutil

    return shutil.get_terminal_size((80, 24)).columns


diff_options = section(
    "Differences",
    flag("-p, -u, --patch", "show the changes of text files line by line"),
    flag("-s, --no-patch", "show no differences"),
    flag("--packages", "show which packages came, went, were upgraded or modified",
         to="package_lines"),
    value("--stat[=<width,name,count>]", "show how many lines changed in each file",
          bare=""),
    flag("--numstat", "the same in numbers, for programs"),
    flag("--shortstat", "show only the last line of --stat"),
    flag("--summary", "show created, deleted and renamed files and changed modes"),
    flag("--patch-with-stat", "the same as -p --stat"),
    flag("--name-only", "show only the names of changed files"),
    flag("--name-status", "show names and A, D, M, R or T"),
    flag("--raw", "show modes, ids, status and names"),
    flag("-z", "end records with NUL and do not quote names", to="null"),
    value("-U, --unified <n>", "lines of context", to="context", type=int),
    value("--inter-hunk-context <n>", "join hunks that are nearer than this", to="interhunk",
          type=int, default=0),
    value("-M, --find-renames[=<n>]", "find renames, at least so similar (default 50%)",
          to="renames", bare="50%"),
    flag("--no-renames", "do not look for renames"),
    flag("-w, --ignore-all-space", "ignore white space", to="ignore_all"),
    flag("-b, --ignore-space-change", "ignore its amount", to="ignore_change"),
    flag("--ignore-space-at-eol", "ignore it at line ends", to="ignore_eol"),
    flag("--patience", "use the patience algorithm"),
    flag("--minimal", "spend time to find the smallest difference"),
    flag("-a, --text", "treat all files as text"),
    flag("-R", "swap the two sides", to="reverse_sides"),
    value("--diff-filter <kinds>", "show only changes of these kinds (small letters: not these)",
          to="letters", default=""),
    value("-S <string>", "show changes of the number of times a string occurs", to="pick_string"),
    value("-G <regex>", "show changes with an added or removed line that matches",
          to="pick_lines"),
    flag("--pickaxe-regex", "the string of -S is a regular expression", to="pick_regex"),
    flag("--pickaxe-all", "with these, show all changes of the commit", to="pick_all"),
    value("--word-diff[=<mode>]", "show changed words: plain, color, porcelain or none",
          bare="plain"),
    value("--word-diff-regex <regex>", "what is a word", to="word_regex"),
    value("--color-words[=<regex>]", "the same as --word-diff=color --word-diff-regex=<regex>",
          bare=""),
    flag("--full-index", "show whole ids on index lines"),
    flag("--no-prefix", "write no a/ and b/ before names"),
    value("--color[=<when>]", "always, never or auto", bare="always"),
)  # fmt: skip
"""The shared options; the verb passes them on to ``view_of`` as keywords, but for ``color``."""


def view_of(
    options: dict[str, Any], settings: Settings, *, default: Iterable[str] = ()
) -> DiffView:
    """Build the view from the keywords of ``diff_options``, taking them out of ``options``.

    ``default`` are the parts shown when none is asked for.
    """
    from envgit.porcelain.foundation.comparing import Choice, TextOptions

    taken = {name: options.pop(name) for name in _NAMES}
    context = taken["context"]
    parts = {name for name in (*LISTS, "numstat", "shortstat", "summary") if taken[name]}
    if taken["stat"] is not None:
        parts.add("stat")
    if taken["package_lines"]:
        parts.add(PACKAGES)
    if taken["patch_with_stat"]:
        parts |= {"patch", "stat"}
    worded = taken["word_diff"] or taken["word_regex"] or taken["color_words"] is not None
    if taken["patch"] or ((context is not None or worded) and not parts):
        parts.add("patch")
    if (
        len(parts & {"name_only", "name_status"}) + bool(taken["no_patch"] and parts & set(LISTS))
        > 1
    ):
        raise EnvgitError(
            "options '--name-only', '--name-status', and '-s' cannot be used together"
        )
    if taken["no_patch"]:
        parts.clear()
    elif not parts:
        parts = set(default)
    whitespace = next((key for key in ("all", "change", "eol") if taken[f"ignore_{key}"]), None)
    algorithm = next((key for key in ("patience", "minimal") if taken[key]), None)
    if context is None:
        context = settings.get_int("diff.context")
    text = TextOptions(context, taken["interhunk"], whitespace, algorithm, taken["text"])
    renames = taken["renames"] is not None or detects_renames(settings)
    choice = Choice(
        _percent(taken["renames"]) if renames and not taken["no_renames"] else None,
        taken["letters"],
        taken["reverse_sides"],
        _pickaxe(taken, ignore_case=bool(options.get("ignore_case"))),
        tuple(options.pop("of_packages", ())),
    )
    prefixes = ("", "") if taken["no_prefix"] else ("a/", "b/")
    return DiffView(
        frozenset(parts), text, choice, _widths(taken["stat"]), taken["null"],
        taken["full_index"], prefixes, _words(taken),
    )  # fmt: skip


def asks_for_parts(options: dict[str, Any]) -> bool:
    """Whether a form of differences, or none with -s, is asked for."""
    named = ("patch", "no_patch", "patch_with_stat", "package_lines", *LISTS, *SUMMARIES)
    return bool(
        any(options[name] not in (None, False) for name in named)
        or options["context"] is not None
        or options["word_diff"]
        or options["word_regex"]
        or options["color_words"] is not None
    )


_NAMES = (
    "patch", "no_patch", "stat", "numstat", "shortstat", "summary", "patch_with_stat", "name_only",
    "name_status", "raw", "null", "context", "interhunk", "renames", "no_renames", "ignore_all",
    "ignore_change", "ignore_eol", "patience", "minimal", "text", "reverse_sides", "letters",
    "full_index", "no_prefix", "pick_string", "pick_lines", "pick_regex", "pick_all",
    "word_diff", "word_regex", "color_words", "package_lines",
)  # fmt: skip


def _words(taken: dict[str, Any]) -> tuple[str, str | None] | None:
    mode, regex = taken["word_diff"], taken["word_regex"]
    if taken["color_words"] is not None:
        mode, regex = mode or "color", taken["color_words"] or regex
    if mode not in (None, "plain", "color", "porcelain", "none"):
        raise UsageError(f"bad --word-diff argument: {mode}")
    if mode is None:
        mode = "plain" if regex is not None else "none"
    return None if mode == "none" else (mode, regex)


def asks_for_colour(options: dict[str, Any]) -> str | None:
    """The value of --color; words in colour are asked for with colour."""
    given: str | None = options.pop("color")
    by_words = options["color_words"] is not None or options["word_diff"] == "color"
    return "always" if given is None and by_words else given


def _pickaxe(taken: dict[str, Any], *, ignore_case: bool) -> Pickaxe | None:
    """``-S`` and ``-G``; the same words in git for what does not go together."""
    from envgit.porcelain.foundation.comparing import Pickaxe

    text, lines = taken["pick_string"], taken["pick_lines"]
    if text is not None and lines is not None:
        raise EnvgitError("options '-G', '-S', and '--find-object' cannot be used together")
    if lines is not None and taken["pick_regex"]:
        raise EnvgitError(
            "options '-G' and '--pickaxe-regex' cannot be used together,"
            " use '--pickaxe-regex' with '-S'"
        )
    if text is None and lines is None:
        return None
    if not (text or lines):
        raise UsageError(f"switch `{'S' if lines is None else 'G'}' requires a value")
    return Pickaxe(
        text or lines,
        lines=lines is not None,
        regex=taken["pick_regex"],
        ignore_case=ignore_case,
        every=taken["pick_all"],
    )


def detects_renames(settings: Settings) -> bool:
    """``diff.renames``; git's word "copies" asks for renames, too."""
    return parse_bool(settings.get_text("diff.renames")) is not False


def _percent(text: str | None) -> int:
    """``-M90%`` is 90; digits alone are a fraction, as in git (``-M9`` is 90 %, ``-M05`` 5 %)."""
    if text is None:
        return 50
    digits = text.removesuffix("%")
    if not digits.isdigit():
        raise UsageError(f"invalid argument to find-renames: {text}")
    share = int(digits) / 100 if text.endswith("%") else int(digits) / 10 ** len(digits)
    return min(round(share * 100), 100)


def _widths(text: str | None) -> tuple[int, int, int]:
    """``--stat=width,name,count``; 0 is git's own choice."""
    numbers = (text or "").split(",")
    if not all(number.isdigit() or not number for number in numbers) or len(numbers) > 3:
        raise UsageError(f"invalid --stat value: {text}")
    total, name, count = ([int(number or 0) for number in numbers] + [0, 0, 0])[:3]
    return total, name, count
