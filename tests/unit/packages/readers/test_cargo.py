# SPDX-License-Identifier: Apache-2.0
"""What ``cargo install`` notes, in both of its files; a real one is in tests/root."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable

import pytest

from tests.support.installed import MemoryFiles, inventory_of
from tests.support.mutants import mutant, survives

SOURCE = "registry+https://github.com/rust-lang/crates.io-index"
NEW = {
    "installs": {
        f"ripgrep 13.0.0 ({SOURCE})": {
            "version_req": None,
            "bins": ["rg", "../../etc/passwd"],
            "target": "x86_64-unknown-linux-gnu",
        },
        "mine 0.1.0 (path+file:///src/mine)": {"bins": ["mine"]},
    }
}
OLD = (
    f'[v1]\n"ripgrep 13.0.0 ({SOURCE})" = ["rg"]\n"mine 0.1.0 (path+file:///src/mine)" = ["mine"]\n'
)


def files(**held: str) -> MemoryFiles:
    programs = {b"root/.cargo/bin/rg": b"", b"root/.cargo/bin/mine": b""}
    notes = {
        b"root/.cargo/." + name.replace("_", ".").encode(): text.encode()
        for name, text in held.items()
    }
    return MemoryFiles(programs | notes)


@pytest.mark.parametrize(
    "held",
    [
        {"crates2_json": json.dumps(NEW)},
        {"crates_toml": OLD},
        {"crates2_json": json.dumps(NEW), "crates_toml": "[v1]\n"},
    ],
)
def test_both_files(held: dict[str, str]) -> None:
    inventory = inventory_of(files(**held))
    found = {one.name: one for one in inventory.contents.packages}
    assert {name: one.version for name, one in found.items()} == {
        "ripgrep": "13.0.0",
        "mine": "0.1.0",
    }
    assert found["mine"].place == b"root/.cargo"
    assert found["mine"].reason == "manual"
    assert [one.path for one in inventory.manifest(found["ripgrep"])] == [b"root/.cargo/bin/rg"]


@pytest.mark.parametrize(
    "held",
    [
        {"crates2_json": "[" * 1_000_000},
        {"crates2_json": "7"},
        {"crates_toml": "a = " + "[" * 100_000},
        {"crates_toml": "a." * 100_000 + "b = 1"},
        {"crates_toml": "".join(f"[t{n}]\n" for n in range(100_000))},
        {"crates_toml": "a = " + "9" * 100_000},
        {"crates_toml": OLD[:20]},
    ],
)
def test_hostile_notes(held: dict[str, str]) -> None:
    started = time.process_time()
    inventory = inventory_of(files(**held))
    assert inventory.contents.packages == ()
    assert len(inventory.contents.problems) <= 1
    assert time.process_time() - started < 5


@pytest.mark.fuzz
def test_damage(effort: Callable[[int, int], int]) -> None:
    for seed in range(effort(200, 20_000)):
        rng = random.Random(seed)
        name, text = rng.choice([("crates2.json", json.dumps(NEW)), ("crates.toml", OLD)])
        path = b"root/.cargo/." + name.encode()
        damaged = {path: mutant(text.encode(), rng), b"root/.cargo/bin/rg": b""}
        survives("cargo", MemoryFiles(damaged), [b"root/.cargo"])
