# SPDX-License-Identifier: Apache-2.0
"""`for-each-ref`, `show-ref`, `symbolic-ref` and `check-ref-format`: refs, for scripts."""

from __future__ import annotations

import re
from collections.abc import Sequence

from envgit.cli.app import App
from envgit.cli.errors import UsageProblem
from envgit.cli.verb import argument, flag, json_flag, value, verb
from envgit.errors import EnvgitError


@verb("for-each-ref", "for-each-ref [<options>] [<pattern>...]")
@flag("-s, --shell", "quote for shells", to="quote", flag_value="shell")
@flag("-p, --perl", "quote for perl", to="quote", flag_value="perl")
@flag("--python", "quote for python", to="quote", flag_value="python")
@flag("--tcl", "quote for Tcl", to="quote", flag_value="tcl")
@value("--count <n>", "show at most so many", type=int, default=0)
@value("--format <format>", "format to use for the output", to="template")
@value("--color[=<when>]", "use colored output", bare="always")
@value("--sort <key>", "field to sort by; - before it reverses", to="keys", multiple=True)
@flag("--ignore-case", "sorting and filtering are case insensitive")
@value("--points-at <object>", "print only those of the object", multiple=True)
@value(
    "--contains [<commit>]", "print only those that contain the commit", bare="HEAD", multiple=True
)
@value(
    "--no-contains [<commit>]",
    "print only those that do not",
    to="no_contains",
    bare="HEAD",
    multiple=True,
)
@value("--merged [<commit>]", "print only those that are merged", bare="HEAD", multiple=True)
@value(
    "--no-merged [<commit>]",
    "print only those that are not",
    to="no_merged",
    bare="HEAD",
    multiple=True,
)
@json_flag
@argument("patterns", nargs=-1)
def for_each_ref(
    app: App,
    quote: str | None,
    count: int,
    template: str | None,
    color: str | None,
    keys: tuple[str, ...],
    ignore_case: bool,
    as_json: bool,
    patterns: tuple[str, ...],
    **filters: Sequence[str],
) -> int:
    """Print each ref in a format of one's own."""
    from envgit.cli.foreachref import DEFAULT, Fields
    from envgit.porcelain import refs

    if count < 0:
        raise UsageProblem(f"invalid --count argument: `{count}'")
    app.out.colour_for("branch", when=color or "never")
    found = refs.select(app.repository, patterns=patterns, ignore_case=ignore_case, **filters)
    fields = Fields(app, quote=quote)
    found = fields.sort(found, keys, fold=ignore_case)
    found = found[:count] if count else found
    if as_json:
        app.out.json(
            [
                {"ref": one.ref, "object": one.object, "type": one.kind, "commit": one.commit}
                for one in found
            ]
        )
        return 0
    for one in found:
        app.out.line(fields.expand(template if template is not None else DEFAULT, one))
    return 0


@verb(
    "show-ref",
    "show-ref [<options>] [--] [<pattern>...]",
    "show-ref --verify [<options>] [--] <ref>...",
)
@flag("--tags", "only show tags (can be combined with heads)")
@flag("--heads", "only show heads (can be combined with tags)")
@flag("--verify", "stricter reference checking, requires exact ref path")
@flag("--head", "show the HEAD reference, even if it would be filtered out")
@flag("-d, --dereference", "dereference tags into object IDs")
@value("-s, --hash[=<n>]", "only show SHA1 hash using <n> digits", to="digits", bare="40", type=int)
@value("--abbrev[=<n>]", "use <n> digits to display object names", bare="7", type=int)
@flag("-q, --quiet", "do not print results to stdout (useful with --verify)")
@argument("patterns", nargs=-1)
def show_ref(
    app: App,
    tags: bool,
    heads: bool,
    verify: bool,
    head: bool,
    dereference: bool,
    digits: int | None,
    abbrev: int | None,
    quiet: bool,
    patterns: tuple[str, ...],
) -> int:
    """List refs with the ids of what they name."""
    from envgit.porcelain import refs
    from envgit.porcelain.foundation.naming import refs_of

    git = app.repository.git
    length = abbrev if digits is None or digits == 40 else digits

    def show(ref: str, oid: str) -> None:
        if quiet:
            return
        app.out.line(_shown(app, oid, length) + ("" if digits is not None else f" {ref}"))
        if dereference and (tag := git.tag(oid)) is not None:
            app.out.line(f"{_shown(app, tag.target, length)} {ref}^{{}}")

    if verify:
        if not patterns:
            raise EnvgitError("--verify requires a reference")
        for name in patterns:
            oid = git.head().commit if name == "HEAD" else git.ref(name)
            if oid is None or not (name == "HEAD" or refs.is_ref_name(name)):
                if quiet:
                    return 1
                raise EnvgitError(f"'{name}' - not a valid ref")
            show(name, oid)
        return 0
    found = list(refs_of(app.repository, "all").items())
    if tags or heads:
        kept = (*(["refs/heads/"] if heads else []), *(["refs/tags/"] if tags else []))
        found = [(ref, oid) for ref, oid in found if ref.startswith(kept)]
    if patterns:
        found = [(ref, oid) for ref, oid in found if _ends(ref, patterns)]
    at = git.head().commit
    if head and at is not None:
        found.insert(0, ("HEAD", at))
    for ref, oid in found:
        show(ref, oid)
    return 0 if found else 1


def _shown(app: App, oid: str, length: int | None) -> str:
    return oid if length is None else app.repository.git.abbrev(oid, max(length, 4))


def _ends(ref: str, patterns: Sequence[str]) -> bool:
    """Whether a pattern is the name's last parts."""
    return any(ref == pattern or ref.endswith(f"/{pattern}") for pattern in patterns)


@verb("symbolic-ref", "symbolic-ref [-q] [--short] <name>")
@flag("-q, --quiet", "suppress error message for non-symbolic (detached) refs")
@flag("--short", "shorten ref output")
@argument("name", metavar="<name>", required=True)
def symbolic_ref(app: App, quiet: bool, short: bool, name: str) -> int:
    """Print the ref that a symbolic ref such as HEAD leads to."""
    from envgit.porcelain import refs

    found = refs.symbolic(app.repository, name)
    if found is None:
        if quiet:
            return 1
        raise EnvgitError(f"ref {name} is not a symbolic ref")
    app.out.line(refs.short_name(app.repository, found) if short else found)
    return 0


@verb(
    "check-ref-format",
    "check-ref-format [--normalize] [<options>] <refname>",
    "check-ref-format --branch <branchname-shorthand>",
)
@flag("--normalize", "print the name without needless slashes")
@flag("--allow-onelevel", "accept a name without a slash")
@flag("--branch", "check the name of a branch, and print it")
@argument("name", metavar="<refname>", required=True)
def check_ref_format(
    app: App, normalize: bool, allow_onelevel: bool, branch: bool, name: str
) -> int:
    """Say by the exit status whether a ref may have a name."""
    from envgit.porcelain import refs

    if branch:
        found = refs.expanded(app.repository, name)
        app.out.line(refs.check_branch(found).removeprefix("refs/heads/"))
        return 0
    if normalize:
        name = re.sub("/+", "/", name).removeprefix("/")
    if not refs.is_ref_name(name, one_level=allow_onelevel):
        return 1
    if normalize:
        app.out.line(name)
    return 0
