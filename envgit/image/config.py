# SPDX-License-Identifier: Apache-2.0
"""An image's config and what a commit says of it, both ways and without loss.

Source: image-spec 1.1, config.md, and what docker adds (Healthcheck, Shell, OnBuild, ArgsEscaped).
A commit's ``config`` is the image's ``config`` object with ``Architecture``, ``Os``, ``Variant``,
``OsVersion`` and ``OsFeatures`` beside its keys, which no image uses; whatever else an image says
of itself (its creation time, author, history) is the commit's *origin*: see `origin_of`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from envgit.image.descriptors import ImageError, Platform, check_digest
from envgit.image.manifest import MAX_LAYERS, dump, load_object
from envgit.image.transport import MAX_CONFIG

_LISTS = frozenset({"Env", "Cmd", "Entrypoint", "Shell", "OnBuild"})
_TEXTS = frozenset({"User", "WorkingDir", "StopSignal"})
_MAPS = frozenset({"Labels", "ExposedPorts", "Volumes"})
# Top-level fields with a place of their own; the others are kept as they are.
_PLACED = frozenset(
    {
        "architecture",
        "os",
        "variant",
        "os.version",
        "os.features",
        "created",
        "author",
        "config",
        "rootfs",
        "history",
    }
)
_ENTRY = ("created", "created_by", "author", "comment", "empty_layer")
_PLATFORM = ("Architecture", "Os", "Variant", "OsVersion", "OsFeatures")
# RFC 3339, section 5.6, as Go writes it: up to nine digits of a second.
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.\d{1,12})?(?:[Zz]|([+-])(\d\d):(\d\d))"
)


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What an image says of itself. ``history`` is its entries, the oldest first."""

    platform: Platform
    config: Mapping[str, Any] = field(default_factory=dict, hash=False)
    diff_ids: tuple[str, ...] = ()
    history: tuple[Mapping[str, Any], ...] = ()
    created: str = ""
    author: str = ""
    others: Mapping[str, Any] = field(default_factory=dict, hash=False)


def parse_config(data: bytes) -> ImageConfig:
    """Read an image's config. Raises `ImageError` for what could not be run or written again."""
    document = load_object(data, "the image's config", MAX_CONFIG)
    rootfs = document.get("rootfs")
    if not isinstance(rootfs, dict) or rootfs.get("type", "layers") != "layers":
        raise ImageError("the image's config does not say what its layers are")
    diff_ids = rootfs.get("diff_ids") or []
    if not isinstance(diff_ids, list) or len(diff_ids) > MAX_LAYERS:
        raise ImageError("the image's config has impossible layers")
    config = document.get("config")
    if config is None:
        config = {}
    _check_config(config)
    history = document.get("history") or []
    if not isinstance(history, list) or not all(isinstance(entry, dict) for entry in history):
        raise ImageError("the image's config has an impossible history")
    for entry in history:
        _check_texts(entry, ("created", "created_by", "author", "comment"), "the image's history")
    _check_texts(document, ("created", "author"), "the image's config")
    platform = Platform.from_json(
        {key: document.get(key) for key in ("os", "architecture", "variant", "os.version")}
        | {"os.features": document.get("os.features")}
    )
    assert platform is not None
    return ImageConfig(
        platform,
        config,
        tuple(check_digest(diff_id) for diff_id in diff_ids),
        tuple(history),
        document.get("created") or "",
        document.get("author") or "",
        {key: value for key, value in document.items() if key not in _PLACED},
    )


def _check_config(config: object) -> None:
    if not isinstance(config, dict):
        raise ImageError("the image's config is not an object")
    for key, value in config.items():
        if value is None:
            continue
        wrong = (
            (key in _LISTS and not _is_texts(value))
            or (key in _TEXTS and not isinstance(value, str))
            or (key in _MAPS and not isinstance(value, dict))
            or (key in ("Labels",) and not all(isinstance(v, str) for v in value.values()))
        )
        if wrong:
            raise ImageError(f"the image's config has an impossible {key}")
        if key in _LISTS and any("\0" in text for text in value):
            raise ImageError(f"the image's config has a NUL byte in {key}")


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _check_texts(found: Mapping[str, Any], keys: Sequence[str], what: str) -> None:
    for key in keys:
        if not isinstance(found.get(key) or "", str):
            raise ImageError(f"{what} has an impossible {key}")


def build_config(config: ImageConfig) -> bytes:
    """The bytes of an image's config: fields in Go's order, then those that only docker knows."""
    platform = config.platform
    document: dict[str, Any] = {}
    if config.created:
        document["created"] = config.created
    if config.author:
        document["author"] = config.author
    document["architecture"] = platform.architecture
    if platform.variant:
        document["variant"] = platform.variant
    document["os"] = platform.os
    if platform.os_version:
        document["os.version"] = platform.os_version
    if platform.os_features:
        document["os.features"] = list(platform.os_features)
    document["config"] = dict(config.config)
    document["rootfs"] = {"type": "layers", "diff_ids": list(config.diff_ids)}
    if config.history:
        document["history"] = [_ordered(entry) for entry in config.history]
    document |= {key: value for key, value in config.others.items() if key not in document}
    return dump(document)


def _ordered(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of history as Go orders it: commits keep entries in the order of their keys."""
    names = [name for name in _ENTRY if name in entry]
    names += sorted(set(entry) - set(names))
    return {name: entry[name] for name in names}


def to_commit(config: Mapping[str, Any], platform: Platform) -> dict[str, Any]:
    """A commit's config: that of an image, and what it runs on."""
    found = {key: value for key, value in config.items() if key not in _PLATFORM}
    found["Architecture"] = platform.architecture
    found["Os"] = platform.os
    if platform.variant:
        found["Variant"] = platform.variant
    if platform.os_version:
        found["OsVersion"] = platform.os_version
    if platform.os_features:
        found["OsFeatures"] = list(platform.os_features)
    return found


def from_commit(config: Mapping[str, Any]) -> tuple[dict[str, Any], Platform]:
    """The way back. An environment without a platform is ``linux/amd64``, as it was when envgit
    ran nowhere else."""
    features = config.get("OsFeatures") or ()
    platform = Platform(
        str(config.get("Os") or "linux"),
        str(config.get("Architecture") or "amd64"),
        str(config.get("Variant") or ""),
        str(config.get("OsVersion") or ""),
        tuple(str(feature) for feature in features),
    )
    return {key: value for key, value in config.items() if key not in _PLATFORM}, platform


def origin_of(config: ImageConfig) -> dict[str, Any]:
    """What the last commit of an image keeps of it besides its config; ``history`` goes to each."""
    found: dict[str, Any] = {}
    if config.created:
        found["created"] = config.created
    if config.author:
        found["author"] = config.author
    if config.others:
        found["others"] = dict(config.others)
    return found


def parse_time(text: str) -> tuple[int, int] | None:
    """Seconds since 1970 and minutes east of Greenwich of an RFC 3339 time.

    None for what is none, and for times before 1970, which mean that nobody knows (Go's zero time
    is in the year 1).
    """
    matched = _TIME.fullmatch(text)
    if matched is None:
        return None
    offset = 0
    if matched[7]:
        offset = (int(matched[8]) * 60 + int(matched[9])) * (-1 if matched[7] == "-" else 1)
    if abs(offset) >= 24 * 60:
        return None
    second = min(int(matched[6]), 59)  # a leap second
    try:
        year, month, day, hour, minute = (int(matched[n]) for n in range(1, 6))
        zone = timezone(timedelta(minutes=offset))
        moment = datetime(year, month, day, hour, minute, second, tzinfo=zone)
    except ValueError:
        return None
    seconds = int(moment.timestamp())
    return (seconds, offset) if seconds >= 0 else None


def format_time(seconds: int) -> str:
    """An RFC 3339 time in UTC, as images have it."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError) as error:
        raise ImageError(f"{seconds} is no time that an image can have") from error
