# SPDX-License-Identifier: Apache-2.0
"""Packages of Node under each installer's layout; real ones are in tests/root."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from envgit.packages import locate
from envgit.packages.model import Package
from tests.support.installed import MemoryFiles, inventory_of
from tests.support.mutants import mutant, survives

MODULES = b"srv/app/node_modules/"


def package_json(name: str, version: str = "1.0.0", **more: Any) -> bytes:
    return json.dumps({"name": name, "version": version, **more}).encode()


def listed(files: dict[bytes, bytes], links: dict[bytes, bytes] | None = None) -> list[Package]:
    inventory = inventory_of(MemoryFiles(files, links=links))
    assert inventory.contents.problems == ()
    return sorted(inventory.contents.packages, key=lambda one: (one.place, one.name))


LOCK = {
    "lockfileVersion": 3,
    "packages": {
        "node_modules/a": {"version": "1.0.0", "license": "MIT", "dependencies": {"b": "^2"}},
        "node_modules/@scope/b": {
            "version": "2.0.0",
            "peerDependencies": {"a": "1", "maybe": "*"},
            "peerDependenciesMeta": {"maybe": {"optional": True}},
            "optionalDependencies": {"fsevents": "*"},
        },
        "node_modules/a/node_modules/b": {"version": "2.1.0", "inBundle": True},
        "node_modules/alias": {"version": "3.0.0", "name": "real"},
        "node_modules/mine": {"resolved": "packages/mine", "link": True},
        "packages/mine": {"version": "0.1.0", "dependencies": {"a": "*"}},
        "node_modules/removed": {"version": "9.0.0"},
        "node_modules/../../etc": {"version": "9.0.0"},
        "node_modules/odd": ["not", "an", "object"],
    },
}


def locked() -> MemoryFiles:
    present = ("a", "@scope/b", "a/node_modules/b", "alias", "odd")
    files = {MODULES + name.encode() + b"/package.json": package_json("x") for name in present}
    files |= {
        MODULES + b".package-lock.json": json.dumps(LOCK).encode(),
        b"srv/app/package.json": package_json("app", devDependencies={"a": "*"}),
        b"srv/app/packages/mine/package.json": package_json("mine", "0.1.0"),
        MODULES + b"copied/package.json": package_json("copied"),
    }
    return MemoryFiles(files, links={MODULES + b"mine": b"../packages/mine"})


def test_hidden_lockfile() -> None:
    inventory = inventory_of(locked())
    assert [unit.path for unit in inventory.units] == [MODULES + b".package-lock.json"]
    assert inventory.contents.problems == ()
    found = {(one.place, one.name): one for one in inventory.contents.packages}
    top = b"srv/app"
    assert found.keys() == {
        (top, "a"),
        (top, "@scope/b"),
        (top, "alias"),
        (top, "mine"),
        (top, "copied"),
        (MODULES + b"a", "b"),
    }
    assert found[top, "a"].reason == "manual"
    assert found[top, "@scope/b"].reason == "automatic"
    assert found[top, "@scope/b"].requires == (
        "fsevents@* (optional)",
        "a@1",
        "maybe@* (optional)",
    )
    assert found[top, "alias"].source == "real"
    assert (found[top, "mine"].state, found[top, "mine"].version) == ("linked", "0.1.0")
    assert found[top, "copied"].state == "extraneous"
    assert found[MODULES + b"a", "b"].carried_by == "npm"


def test_a_lockfile_that_another_installer_left_behind_is_not_believed() -> None:
    files = {
        MODULES + b".package-lock.json": json.dumps(LOCK).encode(),
        MODULES + b".yarn-integrity": b"",
        MODULES + b"a/package.json": package_json("a", "1.5.0"),
    }
    assert [(one.name, one.version) for one in listed(files)] == [("a", "1.5.0")]


def test_without_lockfile_each_package_is_a_unit_with_what_is_nested_in_it() -> None:
    files = {
        b"usr/local/lib/node_modules/tool/package.json": package_json(
            "tool", "5.0.0", bundleDependencies=["x"], bin={"tool": "bin/t.js"}, license="ISC"
        ),
        b"usr/local/lib/node_modules/tool/bin/t.js": b"",
        b"usr/local/lib/node_modules/tool/node_modules/x/package.json": package_json("x"),
        b"usr/local/lib/node_modules/tool/node_modules/x/index.js": b"",
        b"usr/local/lib/node_modules/@s/other/package.json": package_json("@s/other"),
        b"usr/local/lib/node_modules/no-package/readme": b"",
    }
    links = {
        b"usr/local/bin/tool": b"../lib/node_modules/tool/bin/t.js",
        b"usr/local/bin/else": b"../lib/node_modules/@s/other/e.js",
    }
    inventory = inventory_of(MemoryFiles(files, links=links))
    assert len(inventory.units) == 2
    found = {one.name: one for one in inventory.contents.packages}
    assert found.keys() == {"tool", "x", "@s/other"}
    assert (found["tool"].reason, found["tool"].license) == ("manual", "ISC")
    assert (found["x"].carried_by, found["x"].place) == (
        "npm",
        b"usr/local/lib/node_modules/tool",
    )
    assert sorted(one.path for one in inventory.manifest(found["tool"])) == [
        b"usr/local/bin/tool",
        b"usr/local/lib/node_modules/tool/bin/t.js",
        b"usr/local/lib/node_modules/tool/package.json",
    ]


def test_pnpm_and_its_links() -> None:
    store = MODULES + b".pnpm/"
    files = {
        store + b"a@1.0.0/node_modules/a/package.json": package_json("a"),
        store + b"@s+b@2.0.0/node_modules/@s/b/package.json": package_json("@s/b", "2.0.0"),
        b"srv/app/package.json": package_json("app", dependencies={"a": "*"}),
    }
    links = {
        MODULES + b"a": b".pnpm/a@1.0.0/node_modules/a",
        store + b"a@1.0.0/node_modules/@s/b": b"../../../@s+b@2.0.0/node_modules/@s/b",
        store + b"node_modules/a": b"../a@1.0.0/node_modules/a",
    }
    inventory = inventory_of(MemoryFiles(files, links=links))
    found = {(one.name, one.version, one.place): one for one in inventory.contents.packages}
    assert found.keys() == {("a", "1.0.0", b"srv/app"), ("@s/b", "2.0.0", b"srv/app")}
    (shipped,) = inventory.manifest(found["@s/b", "2.0.0", b"srv/app"])
    assert shipped.path == store + b"@s+b@2.0.0/node_modules/@s/b/package.json"


def test_npm_link() -> None:
    files = {b"src/mine/package.json": package_json("mine", "0.3.0")}
    links = {
        b"usr/local/lib/node_modules/mine": b"../../../../src/mine",
        MODULES + b"mine": b"../../../usr/local/lib/node_modules/mine",
        MODULES + b"ring": b"ring",
    }
    inventory = inventory_of(MemoryFiles(files, links=links))
    found = {(one.place, one.name, one.version, one.state) for one in inventory.contents.packages}
    assert found == {
        (b"usr/local/lib", "mine", "0.3.0", "linked"),
        (b"srv/app", "mine", "0.3.0", "linked"),
    }
    assert [one.path for one in inventory.contents.problems] == [MODULES + b"ring"]


def test_only_what_changed_is_another_unit() -> None:
    def state(version: str) -> MemoryFiles:
        return MemoryFiles(
            {MODULES + b"%d/package.json" % n: package_json(str(n)) for n in range(50)}
            | {MODULES + b"7/node_modules/deep/package.json": package_json("deep", version)}
        )

    gone, come = locate.differing(state("1.0.0").tree, state("1.0.1").tree)
    assert [unit.path for unit in gone] == [unit.path for unit in come] == [MODULES + b"7"]


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 5_000_000,
        b'{"packages":' * 500_000,
        b'{"packages": {"node_modules/a": {"version": ' + b"9" * 1_000_000 + b"}}}",
        json.dumps({"packages": {f"node_modules/{n}": {} for n in range(300_000)}}).encode(),
        json.dumps(
            {
                "packages": {
                    "node_modules/a": {
                        "version": "1",
                        "dependencies": {str(n): "1" for n in range(300_000)},
                    }
                }
            }
        ).encode(),
        b'{"packages": {"node_modules/a": ' + b"[]," * 2_000_000 + b"[]}}",
        b"\xff\xfe\x00",
        b"",
    ],
    ids=["depth", "objects", "number", "packages", "dependencies", "lists", "no text", "nothing"],
)
def test_hostile_lockfiles(data: bytes) -> None:
    started = time.process_time()
    files = MemoryFiles({MODULES + b".package-lock.json": data, MODULES + b"a/x": b""})
    inventory = inventory_of(files)
    assert len(inventory.contents.packages) + len(inventory.contents.problems) == 1
    assert time.process_time() - started < 5


def test_modules_in_one_another_without_end() -> None:
    path = MODULES + b"node_modules/".join([b"a/"] * 60)
    survives("npm", MemoryFiles({path + b"package.json": package_json("a")}), [b"srv/app"])


@pytest.mark.fuzz
def test_damage(effort: Callable[[int, int], int]) -> None:
    for seed in range(effort(150, 20_000)):
        rng = random.Random(seed)
        files = dict(locked().files)
        for path in rng.sample(sorted(files), rng.randint(1, 4)):
            files[path] = mutant(files[path], rng)
        if rng.random() < 0.3:
            del files[MODULES + b".package-lock.json"]
        links = {MODULES + b"mine": rng.choice([b"../packages/mine", b"mine", b"/", b"../../.."])}
        survives("npm", MemoryFiles(files, links=links), [b"srv/app"])
