# SPDX-License-Identifier: Apache-2.0
"""Fills in the fields of `for-each-ref`. Source: git-for-each-ref(1), "FIELD NAMES"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from envgit.cli.dates import DateStyle
from envgit.cli.entries import sanitize
from envgit.errors import EnvgitError
from envgit.porcelain import refs
from envgit.porcelain.refs import Named

if TYPE_CHECKING:
    from envgit.cli.app import App
    from envgit.repo.signature import Signature

DEFAULT = "%(objectname) %(objecttype)\t%(refname)"
_FIELD = re.compile(r"%\(([^)]*)\)|%%|%([0-9a-fA-F]{2})")
_PEOPLE = ("author", "committer", "tagger", "creator")


class FieldError(EnvgitError):
    """A format or sort key asks for what there is not."""


class Fields:
    """The fields of refs; ``quote`` makes a string of another language of each."""

    def __init__(self, app: App, *, quote: str | None = None) -> None:
        self._app = app
        self._git = app.repository.git
        self._quote = quote
        self._now = _now()

    def expand(self, template: str, one: Named) -> str:
        """``template`` with the fields of one ref filled in."""

        def fill(match: re.Match[str]) -> str:
            if match[0] == "%%":
                return "%"
            if match[2] is not None:
                return chr(int(match[2], 16))
            return quoted(self.field(one, match[1]), self._quote)

        return _FIELD.sub(fill, template)

    def sort(self, found: Sequence[Named], keys: Sequence[str], *, fold: bool) -> list[Named]:
        """By the keys, the last of which comes first; ``-`` before one reverses it."""
        result = list(found)
        for key in keys:
            name = key.removeprefix("-")

            def value(one: Named, name: str = name) -> tuple[object, ...]:
                return self._key(one, name, fold=fold)

            result.sort(key=value, reverse=key.startswith("-"))
        return result

    def _key(self, one: Named, name: str, *, fold: bool) -> tuple[object, ...]:
        base = name.lstrip("*").partition(":")[0]
        if base.endswith("date") and base[:-4] in _PEOPLE:
            who = self._who(one, base[:-4], deref=name.startswith("*"))
            return (who.time if who else 0,)
        if base in ("version", "v"):
            parts = re.split(r"(\d+)", self.field(one, name.partition(":")[2]))
            return tuple((int(part), "") if part.isdigit() else (-1, part) for part in parts)
        text = self.field(one, name)
        if base in ("objectsize", "numparent"):
            return (int(text or 0),)
        return (text.lower() if fold else text,)

    def field(self, one: Named, field: str) -> str:
        """The text of one field; empty where the object has no such thing."""
        deref = field.startswith("*")
        name, _, modifier = field.removeprefix("*").partition(":")
        if deref and one.tag is None:
            self._of_object(Named(one.ref, one.object, "commit"), name, modifier, field)
            return ""
        if not deref and name in ("refname", "symref", "upstream", "HEAD", "color"):
            return self._of_ref(one, name, modifier, field)
        if deref:
            assert one.tag is not None
            one = Named(one.ref, one.tag.target, one.tag.kind)
        return self._of_object(one, name, modifier, field)

    def _of_ref(self, one: Named, name: str, modifier: str, field: str) -> str:
        repository = self._app.repository
        if name == "HEAD":
            return "*" if self._git.head().symbolic == one.ref else " "
        if name == "color":
            out = self._app.out
            return out.reset if modifier == "reset" else out.literal(modifier)
        ref: str | None = one.ref
        if name == "symref":
            ref = refs.symbolic(repository, one.ref)
        elif name == "upstream":
            branch = one.ref.removeprefix("refs/heads/")
            ref = self._git.upstream(branch) if branch != one.ref else None
        if ref is None:
            return ""
        if not modifier:
            return ref
        if modifier == "short":
            return refs.short_name(repository, ref)
        found = re.fullmatch(r"(l?strip|rstrip)=(-?\d+)", modifier)
        if found is None:
            raise FieldError(f"unrecognized %({name}) argument: {modifier}")
        return _stripped(ref, int(found[2]), left=found[1] != "rstrip")

    def _of_object(self, one: Named, name: str, modifier: str, field: str) -> str:
        if name == "objectname":
            if not modifier:
                return one.object
            found = re.fullmatch(r"short(?:=(\d+))?", modifier)
            if found is None:
                raise FieldError(f"unrecognized %(objectname) argument: {modifier}")
            return self._git.abbrev(one.object, int(found[1]) if found[1] else None)
        if name == "objecttype":
            return one.kind
        if name == "objectsize":
            return str(len(self._git.read(one.object)[1]))
        if name in ("tag", "type", "object"):
            tag = one.tag
            return "" if tag is None else {"tag": tag.name, "type": tag.kind}.get(name, tag.target)
        if name in ("tree", "parent", "numparent"):
            if one.kind != "commit":
                return ""
            commit = self._git.git_commit(one.object)
            values = {"tree": str(commit.tree), "parent": " ".join(commit.parents)}
            return values.get(name, str(len(commit.parents)))
        if name in ("subject", "body", "contents"):
            return self._message(one, name, modifier)
        for role in _PEOPLE:
            if name.startswith(role) and name[len(role) :] in ("", "name", "email", "date"):
                return self._person(self._who(one, role), name[len(role) :], modifier)
        raise FieldError(f"unknown field name: {field}")

    def _who(self, one: Named, role: str, *, deref: bool = False) -> Signature | None:
        if deref and one.tag is not None:
            one = Named(one.ref, one.tag.target, one.tag.kind)
        if one.tag is not None:
            return one.tag.tagger if role in ("tagger", "creator") else None
        if one.kind != "commit" or role == "tagger":
            return None
        commit = self._git.git_commit(one.object)
        return commit.author if role == "author" else commit.committer

    def _person(self, who: Signature | None, part: str, modifier: str) -> str:
        if who is None:
            return ""
        if part == "name":
            return who.name
        if part == "email":
            known = {"": f"<{who.email}>", "trim": who.email}
            known["localpart"] = who.email.partition("@")[0]
            if modifier not in known:
                raise FieldError(f"unrecognized email option: {modifier}")
            return known[modifier]
        if part == "date":
            style = DateStyle.parse(modifier or "default", now=self._now)
            return style.show(who.time, who.offset)
        sign = "-" if who.offset < 0 else "+"
        hours, minutes = divmod(abs(who.offset), 60)
        return f"{who.name} <{who.email}> {who.time} {sign}{hours:02}{minutes:02}"

    def _message(self, one: Named, name: str, modifier: str) -> str:
        if one.tag is not None:
            message = one.tag.message
        elif one.kind == "commit":
            message = self._git.git_commit(one.object).message
        else:
            return ""
        subject, _, body = message.lstrip("\n").partition("\n\n")
        subject = " ".join(subject.rstrip("\n").split("\n"))
        body = body.lstrip("\n")
        if name == "subject" or modifier == "subject":
            if name == "subject" and modifier not in ("", "sanitize"):
                raise FieldError(f"unrecognized %(subject) argument: {modifier}")
            return sanitize(subject) if modifier == "sanitize" else subject
        if name == "body" or modifier == "body":
            return body
        if modifier == "size":
            return str(len(message.encode("utf-8", "surrogateescape")))
        found = re.fullmatch(r"lines=(\d+)", modifier)
        if found is not None:
            lines = message.rstrip("\n").split("\n")[: int(found[1])]
            return "\n    ".join(lines)
        if modifier:
            raise FieldError(f"unrecognized %(contents) argument: {modifier}")
        return message


def quoted(text: str, language: str | None) -> str:
    """A string of ``shell``, ``perl``, ``python`` or ``tcl``; as it is for None."""
    if language == "shell":
        return "'" + re.sub(r"(['!])", r"'\\\1'", text) + "'"
    if language in ("perl", "python"):
        text = re.sub(r"([\\'])", r"\\\1", text)
        return "'" + (text.replace("\n", "\\n") if language == "python" else text) + "'"
    if language == "tcl":
        text = re.sub(r"([\[\]{}$\\\"])", r"\\\1", text)
        for char, name in (("\f", "f"), ("\r", "r"), ("\n", "n"), ("\t", "t"), ("\v", "v")):
            text = text.replace(char, f"\\{name}")
        return f'"{text}"'
    return text


def _stripped(ref: str, count: int, *, left: bool) -> str:
    """Without ``count`` parts at an end; a negative number says how many stay."""
    parts = ref.split("/")
    gone = count if count >= 0 else max(len(parts) + count, 0)
    return "/".join(parts[gone:] if left else parts[: max(len(parts) - gone, 0)])


def _now() -> int:
    import time

    return int(time.time())
