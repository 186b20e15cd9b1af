# SPDX-License-Identifier: Apache-2.0
"""Records of conda's packages; environments that rattler installed are in tests/root."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from envgit.packages.model import Shipped
from tests.support.installed import MemoryFiles, inventory_of
from tests.support.mutants import mutant, survives

ENV = b"opt/conda/envs/work"
DIGEST, OTHER = "ab" * 32, "cd" * 32

RECORD: dict[str, Any] = {
    "name": "numpy",
    "version": "1.26.4",
    "build": "py312h_0",
    "build_number": 0,
    "subdir": "linux-64",
    "license": "BSD-3-Clause",
    "depends": ["python >=3.12,<3.13.0a0", "__glibc >=2.17"],
    "constrains": ["numpy-base <0a0"],
    "requested_spec": "None",
    "size": 5,
    "files": ["lib/numpy.py", "bin/f2py", "../../../../../etc/passwd"],
    "paths_data": {
        "paths": [
            {"_path": "lib/numpy.py", "sha256": DIGEST, "size_in_bytes": 7},
            {"_path": "bin/f2py", "sha256": OTHER, "sha256_in_prefix": DIGEST, "size_in_bytes": 3},
        ]
    },
}


def files(**changes: Any) -> MemoryFiles:
    path = ENV + b"/conda-meta/numpy-1.26.4-py312h_0.json"
    return MemoryFiles(
        {path: json.dumps({**RECORD, **changes}).encode(), ENV + b"/conda-meta/history": b""}
    )


def test_a_record() -> None:
    (package,) = inventory_of(files()).contents.packages
    assert (package.name, package.version, package.architecture) == ("numpy", "1.26.4", "linux-64")
    assert (package.place, package.size, package.reason) == (ENV, 10, "automatic")
    assert package.provides == ("numpy=1.26.4=py312h_0",)
    assert package.conflicts == ("numpy-base <0a0",)
    assert package.license == "BSD-3-Clause"


@pytest.mark.parametrize(
    "asked",
    [{"requested_spec": "numpy>=1"}, {"requested_specs": ["numpy"], "requested_spec": None}],
)
def test_what_was_asked_for(asked: dict[str, Any]) -> None:
    (package,) = inventory_of(files(**asked)).contents.packages
    assert package.reason == "manual"


def test_manifest_has_the_digests_of_what_is_in_the_environment() -> None:
    inventory = inventory_of(files())
    (package,) = inventory.contents.packages
    assert set(inventory.manifest(package)) == {
        Shipped(ENV + b"/lib/numpy.py", f"sha256:{DIGEST}"),
        Shipped(ENV + b"/bin/f2py", f"sha256:{DIGEST}"),
        Shipped(ENV + b"/conda-meta/numpy-1.26.4-py312h_0.json"),
    }


@pytest.mark.parametrize(
    "data",
    [
        b"{" * 1_000_000,
        b'{"a":' * 400_000,
        b'{"name": ["x"], "version": {}}',
        b'{"name": "x", "version": "1", "files": {"a": 1}, "paths_data": [[]], "depends": 7}',
        json.dumps({"name": "x", "version": "1", **{str(n): n for n in range(200_000)}}).encode(),
        b'{"name": "x", "version": "1", "size": ' + b"9" * 4000 + b"}",
        b'{"name": "x", "version": "1", "size": 1e999, "paths_data": {"paths": [{"_path": null}]}}',
    ],
)
def test_hostile_records(data: bytes) -> None:
    started = time.process_time()
    inventory = inventory_of(MemoryFiles({b"x/conda-meta/a-1-0.json": data}))
    assert len(inventory.contents.packages) + len(inventory.contents.problems) == 1
    for package in inventory.contents.packages:
        inventory.manifest(package)
    assert time.process_time() - started < 20


@pytest.mark.fuzz
def test_damage(effort: Callable[[int, int], int]) -> None:
    whole = dict(files().files)
    for seed in range(effort(200, 20_000)):
        rng = random.Random(seed)
        damaged = {path: mutant(data, rng) for path, data in whole.items()}
        survives("conda", MemoryFiles(damaged), [ENV + b"/conda-meta"])
