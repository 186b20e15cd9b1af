# SPDX-License-Identifier: Apache-2.0
"""What an image's history tells: which step made which layer, in which words, with which config.

Source: image-spec 1.1, config.md (``history``). Entries without a layer (``empty_layer``) belong to
the layer before them, the first of all to the first layer. The steps are worded by docker's classic
builder (``/bin/sh -c #(nop) CMD ...``), BuildKit (``RUN /bin/sh -c ... # buildkit``) or buildah.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

Entry = Mapping[str, Any]

_NOP = re.compile(r"/bin/sh -c #\(nop\)\s*")
_SHELL = re.compile(r"(?:\|\d+ .*? )?/bin/(?:ba)?sh -o?e?c\s+")
_BUILDKIT = re.compile(r"\s*# buildkit\s*\Z")
_INSTRUCTION = re.compile(r"([A-Z]+)\s+(.*)", re.DOTALL)
_MAX_SUBJECT = 200

# An instruction -> the key of the config that it sets whole.
_KEYS = {
    "CMD": "Cmd",
    "ENTRYPOINT": "Entrypoint",
    "WORKDIR": "WorkingDir",
    "USER": "User",
    "STOPSIGNAL": "StopSignal",
    "SHELL": "Shell",
    "HEALTHCHECK": "Healthcheck",
}
_LISTS = frozenset({"Cmd", "Entrypoint", "Shell"})
_WORDS = frozenset({"WorkingDir", "User", "StopSignal"})


def divide(history: Sequence[Entry], layers: int) -> list[tuple[Entry, ...]] | None:
    """The entries of each layer, or None when the history is not one of so many layers."""
    if sum(1 for entry in history if not entry.get("empty_layer")) != layers or not layers:
        return None
    groups: list[list[Entry]] = []
    leading: list[Entry] = []
    for entry in history:
        if entry.get("empty_layer"):
            (groups[-1] if groups else leading).append(entry)
        else:
            groups.append([*leading, entry])
            leading = []
    return [tuple(group) for group in groups]


def step(entry: Entry) -> str:
    """An entry's instruction as a Dockerfile would have it; empty if it does not say."""
    text = str(entry.get("created_by") or "").replace("\0", "")
    text = _BUILDKIT.sub("", text).strip()
    if matched := _NOP.match(text):
        return text[matched.end() :].strip()
    if matched := _SHELL.match(text):
        return f"RUN {text[matched.end() :].strip()}"
    if matched := re.match(r"RUN (?:\|\d+ .*? )?/bin/sh -c\s+", text, re.DOTALL):
        return f"RUN {text[matched.end() :].strip()}"
    return text


def message(entries: Sequence[Entry], otherwise: str) -> str:
    """The message of a layer's commit: comment and step, then the steps without a layer."""
    main = next((entry for entry in entries if not entry.get("empty_layer")), None)
    words = step(main) if main is not None else ""
    comment = str((main or {}).get("comment") or "").replace("\0", "").strip()
    if comment.startswith("buildkit."):
        comment = ""
    # What a person wrote (docker commit -m, envgit) comes first; buildah's comments name the base.
    if comment and not (words and comment.startswith("FROM ")):
        words, comment = comment, "" if words in comment else words
    subject, _, rest = (words or otherwise).partition("\n")
    parts = []
    if len(subject) > _MAX_SUBJECT:
        subject, rest = subject[: _MAX_SUBJECT - 3].rstrip() + "...", words
    parts.append(subject.rstrip())
    if rest.strip():
        parts.append(rest.strip("\n"))
    if comment:
        parts.append(comment)
    others = [step(entry) for entry in entries if entry is not main]
    if listed := [other for other in others if other]:
        parts.append("\n".join(listed))
    return "\n\n".join(parts) + "\n"


def configs(final: Mapping[str, Any], groups: Sequence[Sequence[Entry]]) -> list[dict[str, Any]]:
    """The config after each layer, as far as the steps tell; the last one is ``final``.

    What no step sets was there from the start. What a later step sets is left out before it, or
    has what the last step before that says, where that can be read.
    """
    steps = [[_read(step(entry)) for entry in group] for group in groups]
    found = []
    for number in range(len(groups)):
        if number == len(groups) - 1:
            found.append(dict(final))
            break
        before = [each for group in steps[: number + 1] for each in group]
        after = [each for group in steps[number + 1 :] for each in group]
        found.append(_rewound(final, before, after))
    return found


_Step = tuple[str, Any]


def _read(words: str) -> _Step:
    """An instruction and what it sets: a value, names of variables, or None if it is unclear."""
    matched = _INSTRUCTION.match(words)
    if matched is None:
        return "", None
    name, rest = matched[1], matched[2].strip()
    if name in ("ENV", "LABEL"):
        return name, _assignments(rest)
    if name in ("EXPOSE", "VOLUME"):
        return name, _names(rest)
    key = _KEYS.get(name, "")
    if key in _LISTS:
        return name, _json_list(rest)
    return name, rest if key in _WORDS else None


def _json_list(text: str) -> list[str] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    good = isinstance(value, list) and all(isinstance(word, str) for word in value)
    return value if good else None


def _assignments(text: str) -> dict[str, str] | None:
    name, equals, value = text.partition("=")
    if not equals or re.search(r"\s", name):
        return None
    # The classic builder writes one unquoted assignment, in which blanks are the value's.
    if not re.search(r"\s[\w.-]+=", value) and value[:1] not in ("'", '"'):
        return {name: value}
    try:
        words = [word.partition("=") for word in shlex.split(text)]
    except ValueError:
        return None
    return {name: value for name, equals, value in words} if all(w[1] for w in words) else None


def _names(text: str) -> list[str]:
    listed = _json_list(text)
    if listed is None:
        # BuildKit writes VOLUME [/data], the classic builder EXPOSE map[80/tcp:{}].
        if text.startswith("map["):
            return re.findall(r"([^\s\[\]:]+):\{\}", text)
        listed = text.strip("[]").split()
    return listed


def _rewound(
    final: Mapping[str, Any], before: Sequence[_Step], after: Sequence[_Step]
) -> dict[str, Any]:
    """``final`` without what only the steps ``after`` set."""
    config = dict(final)
    for name, key in _KEYS.items():
        if not any(each[0] == name for each in after) or key not in config:
            continue
        values = [value for other, value in before if other == name]
        if values and values[-1] is not None:
            config[key] = values[-1]
        elif not values:
            del config[key]
    if isinstance(config.get("Env"), list):
        config["Env"] = _rewound_env(config["Env"], before, after)
    if isinstance(config.get("Labels"), dict):
        pairs = [f"{name}={value}" for name, value in config["Labels"].items()]
        kept = _rewound_env(pairs, before, after, "LABEL")
        config["Labels"] = dict(pair.split("=", 1) for pair in kept)
    for name, key in (("EXPOSE", "ExposedPorts"), ("VOLUME", "Volumes")):
        if isinstance(config.get(key), dict):
            later = _mentioned(after, name) - _mentioned(before, name)
            config[key] = {
                each: value
                for each, value in config[key].items()
                if each not in later and each.removesuffix("/tcp") not in later
            }
    return {
        key: value for key, value in config.items() if value not in ({}, []) or final[key] == value
    }


def _mentioned(steps: Sequence[_Step], name: str) -> set[str]:
    return {each for other, value in steps if other == name and value for each in value}


def _rewound_env(
    pairs: Sequence[str], before: Sequence[_Step], after: Sequence[_Step], word: str = "ENV"
) -> list[str]:
    set_before: dict[str, str] = {}
    for name, value in before:
        if name == word and isinstance(value, dict):
            set_before |= value
    later = _mentioned(after, word)
    kept = []
    for pair in pairs:
        name = pair.partition("=")[0]
        if name not in later:
            kept.append(pair)
        elif name in set_before:
            kept.append(f"{name}={set_before[name]}")
    return kept
