# SPDX-License-Identifier: Apache-2.0
"""Reads and writes ``envgit.json``: how to run in a commit's environment, and what made it.

The file is canonical JSON (sorted keys, two spaces, a final newline), so that equal metadata has an
equal id. ``format`` is 1; a reader refuses other numbers, and keys it does not know, because it
would lose them when it writes the next commit. ``config`` is an OCI image config's ``config``
object plus ``Architecture``, ``Os`` and their like, kept as it is. ``image``, there only in commits
that were imported, is what the image says beyond that; see docs/design/images.rst.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from envgit.errors import EnvgitError

FILE_NAME = b"envgit.json"
FILE = FILE_NAME.decode()
FORMAT = 1

IMAGE_KEYS: Mapping[str, type] = {
    "annotations": dict,
    "author": str,
    "created": str,
    "history": list,
    "layer": dict,
    "others": dict,
}
"""What ``image`` may hold, and of which type."""


class MetadataError(EnvgitError):
    """An ``envgit.json`` that this envgit does not understand."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A command that was run since the parent commit.

    ``started`` is in seconds since the epoch, ``duration_ms`` in milliseconds; ``exit_code`` as a
    shell gives it (128 + signal). Arguments that are not UTF-8 carry surrogate escapes.
    """

    argv: tuple[str, ...]
    exit_code: int
    started: int
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a commit says beside its files: an OCI config, the runs since its parent, and for a
    layer of an image where it came from (``image``, else empty; see `IMAGE_KEYS`)."""

    config: Mapping[str, Any] = field(default_factory=dict)
    runs: tuple[RunRecord, ...] = ()
    image: Mapping[str, Any] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The bytes of ``envgit.json``."""
        document = {
            "config": dict(self.config),
            "format": FORMAT,
            "runs": [
                {
                    "argv": list(run.argv),
                    "duration_ms": run.duration_ms,
                    "exit_code": run.exit_code,
                    "started": run.started,
                }
                for run in self.runs
            ],
        }
        if self.image:  # left out where there is none, so that other commits have the ids they had
            document["image"] = dict(self.image)
        return canonical_json(document)

    @classmethod
    def parse(cls, data: bytes) -> Metadata:
        """Read ``envgit.json``; raises MetadataError, naming what is wrong."""
        try:
            document = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise MetadataError(f"envgit.json is not JSON: {error}") from error
        if not isinstance(document, dict):
            raise MetadataError("envgit.json is not an object")
        number = document.get("format")
        if number != FORMAT or isinstance(number, bool):
            raise MetadataError(
                f"envgit.json has format {number!r}; this envgit knows {FORMAT}",
                hint="a newer envgit wrote it",
            )
        _check_keys({"image": None, **document}, {"config", "format", "image", "runs"}, FILE)
        config, runs = document["config"], document["runs"]
        if not isinstance(config, dict) or not isinstance(runs, list):
            raise MetadataError("envgit.json: config must be an object and runs a list")
        image = _parse_image(document["image"]) if "image" in document else {}
        return cls(config=config, runs=tuple(_parse_run(run) for run in runs), image=image)


def canonical_json(document: object) -> bytes:
    """The one JSON text of a document: sorted keys, two spaces, UTF-8, a final newline.

    Surrogate escapes (bytes that are not UTF-8) become JSON's ``\\udcXX``.
    """
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _check_keys(document: dict[str, Any], keys: set[str], what: str) -> None:
    if set(document) != keys:
        odd = ", ".join(sorted(set(document) ^ keys))
        raise MetadataError(f"{what}: missing or unknown: {odd}")


def _parse_image(image: object) -> dict[str, Any]:
    if not isinstance(image, dict) or not image or set(image) - set(IMAGE_KEYS):
        raise MetadataError("envgit.json: image must be an object with keys known here")
    wrong = [key for key, value in image.items() if not isinstance(value, IMAGE_KEYS[key])]
    if wrong or not all(isinstance(entry, dict) for entry in image.get("history", ())):
        raise MetadataError(f"envgit.json: image: impossible: {', '.join(wrong) or 'history'}")
    return image


def _parse_run(run: object) -> RunRecord:
    if not isinstance(run, dict):
        raise MetadataError("envgit.json: a run is not an object")
    _check_keys(run, {"argv", "duration_ms", "exit_code", "started"}, "envgit.json: a run")
    argv = run["argv"]
    if not isinstance(argv, list) or not all(isinstance(word, str) for word in argv):
        raise MetadataError("envgit.json: a run's argv is not a list of strings")
    numbers = (run["exit_code"], run["started"], run["duration_ms"])
    if not all(isinstance(number, int) and not isinstance(number, bool) for number in numbers):
        raise MetadataError("envgit.json: a run's numbers are not whole numbers")
    return RunRecord(tuple(argv), *numbers)
