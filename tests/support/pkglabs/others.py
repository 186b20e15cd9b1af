# SPDX-License-Identifier: Apache-2.0
"""Gems, node modules and crates, made here and installed by their own clients into trees."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support import builders

GEMS = "var/lib/gems/3.1.0"


def gem(root: Path, name: str, version: str, *, requires: Sequence[str] = ()) -> None:
    """Build a gem and install it into ``root`` where Debian's Ruby looks. About 0.5 s."""
    work = root.parent / f"gem-{name}-{version}"
    needs = "".join(f"  s.add_dependency '{each}'\n" for each in requires)
    builders.tree(
        work,
        {
            "lib": {f"{name}.rb": f"V = '{version}'\n"},
            "x.gemspec": (
                f"Gem::Specification.new do |s|\n  s.name = '{name}'\n  s.version = '{version}'\n"
                "  s.summary = 'a gem of a lab'\n  s.authors = ['Ada']\n  s.license = 'MIT'\n"
                "  s.homepage = 'https://example.org'\n"
                f"  s.files = ['lib/{name}.rb']\n{needs}end\n"
            ),
        },
    )
    run(["gem", "build", "--quiet", "x.gemspec", "-o", "x.gem"], work)
    where = ["--install-dir", str(root / GEMS), "--bindir", str(root / "usr/local/bin")]
    options = ["--local", "--force", "--ignore-dependencies", "--no-document"]
    run(["gem", "install", "--quiet", *where, *options, "x.gem"], work)


def gems(root: Path) -> list[str]:
    """``gem list``: a line for each name, ``name (2.0, 1.0)``."""
    environment = {"GEM_HOME": str(root / GEMS), "GEM_PATH": str(root / GEMS)}
    return run(["gem", "list", "--local"], root, environment).splitlines()


def npm_pack(folder: Path, name: str, version: str, requires: Mapping[str, str]) -> Path:
    """An npm package as a .tgz in ``folder``."""
    work = folder / f"{name.replace('/', '+')}-{version}"
    told = {"name": name, "version": version, "license": "MIT", "dependencies": dict(requires)}
    builders.tree(
        work,
        {"package.json": json.dumps(told), "index.js": f"module.exports = '{version}';\n"},
    )
    return work / run(["npm", "pack", "--silent", "--offline"], work).strip()


def npm(folder: Path, *words: str) -> str:
    """``npm WORDS`` in a folder, without a network."""
    folder.mkdir(parents=True, exist_ok=True)
    options = ["--offline", "--no-audit", "--no-fund", "--no-update-notifier", "--install-links"]
    return run(["npm", *words, *options], folder, {"npm_config_cache": f"{folder.parent}/.npm"})


def npm_listed(folder: Path, *words: str) -> dict[str, set[str]]:
    """``npm ls --all``: the versions of each name that are installed beneath a folder."""
    done = subprocess.run(
        ["npm", "ls", "--all", "--json", *words], cwd=folder, capture_output=True, check=False
    )
    found: dict[str, set[str]] = {}
    stack = [json.loads(done.stdout)]
    while stack:
        for name, told in stack.pop().get("dependencies", {}).items():
            if "version" in told:
                found.setdefault(name, set()).add(told["version"])
            stack.append(told)
    return found


def crate(root: Path, name: str, version: str) -> None:
    """Build a program and ``cargo install`` it into ``root/usr/local``. About a second."""
    work = root.parent / f"crate-{name}-{version}"
    builders.tree(
        work,
        {
            "Cargo.toml": f'[package]\nname = "{name}"\nversion = "{version}"\nedition = "2021"\n',
            "src": {"main.rs": "fn main() {}\n"},
        },
    )
    options = ["--offline", "--force", "--debug", "--quiet"]
    where = ["--path", ".", "--root", str(root / "usr/local")]
    run(["cargo", "install", *options, *where], work, _rust())


def crates(root: Path) -> list[str]:
    """``cargo install --list``: the unindented lines, ``name v1.0.0 (…):``."""
    said = run(["cargo", "install", "--list", "--root", str(root / "usr/local")], root, _rust())
    return [line for line in said.splitlines() if not line.startswith(" ")]


def _rust() -> dict[str, str]:
    """Where rustup keeps compilers: beneath the user's home, not that of the test."""
    home = Path(pwd.getpwuid(os.getuid()).pw_dir, ".rustup")
    return {} if "RUSTUP_HOME" in os.environ or not home.exists() else {"RUSTUP_HOME": str(home)}


def run(words: Sequence[str], cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """What a command prints; it must succeed."""
    done = subprocess.run(
        words,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8", **(env or {})},
    )
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}{done.stderr}"
    return done.stdout
