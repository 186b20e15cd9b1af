# SPDX-License-Identifier: Apache-2.0
"""Reads and writes ``envgit.json``: how to run in a commit's environment, and what made it.

The file is canonical JSON (sorted keys, two spaces, a final newline), so that equal metadata has an
equal id. ``format`` is 1; a reader refuses other numbers, and keys it does not know, because it
would lose them when it writes the next commit. ``config`` is an OCI image config's ``config``
object plus ``Architecture`` and ``Os``, kept as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from envgit.errors import EnvgitError

FILE_NAME = b"envgit.json"
FORMAT = 1


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
    """What a commit says beside its files: an OCI config, and the runs since its parent."""

    config: Mapping[str, Any] = field(default_factory=dict)
    runs: tuple[RunRecord, ...] = ()

    def encode(self) -> bytes:
        """The bytes of ``envgit.json``."""
        return canonical_json(
            {
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
        )

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
        _check_keys(document, {"config", "format", "runs"}, "envgit.json")
        config, runs = document["config"], document["runs"]
        if not isinstance(config, dict) or not isinstance(runs, list):
            raise MetadataError("envgit.json: config must be an object and runs a list")
        return cls(config=config, runs=tuple(_parse_run(run) for run in runs))


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
