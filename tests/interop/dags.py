# SPDX-License-Identifier: Apache-2.0
"""Random histories in real git repositories, the common ground of envgit and its referee."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Sequence
from pathlib import Path

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
ENVIRONMENT = {
    "PATH": os.environ.get("PATH", os.defpath),
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTO_GC": "0",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
}


def git(path: Path, *argv: str, stdin: bytes = b"", env: dict[str, str] | None = None) -> bytes:
    """Run real git on the repository; its standard output."""
    return subprocess.run(
        ["git", f"--git-dir={path}", *argv],
        input=stdin,
        env={**ENVIRONMENT, **(env or {})},
        stdout=subprocess.PIPE,
        check=True,
    ).stdout


def random_parents(rng: random.Random, commits: int, *, octopus: float = 0.1) -> list[list[int]]:
    """Parents of each of ``commits`` commits, as indices of earlier ones; several roots."""
    history: list[list[int]] = []
    for index in range(commits):
        if index == 0 or rng.random() < 0.04:
            history.append([])
            continue
        kind = rng.random()
        count = 1
        if kind < octopus:
            count = rng.randint(3, 5)
        elif kind < 0.4:
            count = 2
        reach = rng.choice([2, 4, 8, index])
        pool = list(range(max(0, index - reach), index))
        history.append(rng.sample(pool, min(count, len(pool))))
    return history


def write_history(
    path: Path,
    parents: Sequence[Sequence[int]],
    *,
    step: int = 60,
    messages: Sequence[str] = (),
    people: Sequence[tuple[str, str, str]] = (("C", "c@example.org", "+0000"),),
) -> list[str]:
    """A bare repository with these commits, made by fast-import; the ids, in the order given.

    ``messages`` and ``people`` (name, address, zone) are used in turn; commit i is branch ``c<i>``.
    """
    subprocess.run(["git", "init", "-q", "--bare", str(path)], env=ENVIRONMENT, check=True)
    stream: list[bytes] = []
    for index, ancestors in enumerate(parents):
        when = 1_700_000_000 + index * step
        name, mail, zone = people[index % len(people)]
        stream.append(f"commit refs/heads/c{index}\nmark :{index + 1}\n".encode())
        stream.append(f"author {name} <{mail}> {when - 30} {zone}\n".encode())
        name, mail, zone = people[index // 3 % len(people)]
        stream.append(f"committer {name} <{mail}> {when} {zone}\n".encode())
        message = messages[index % len(messages)] if messages else f"commit {index}"
        stream.append(b"data %d\n%b\n" % (len(message.encode()), message.encode()))
        for order, ancestor in enumerate(ancestors):
            stream.append(f"{'from' if order == 0 else 'merge'} :{ancestor + 1}\n".encode())
        if not ancestors:
            stream.append(b"deleteall\n")
    git(path, "fast-import", "--quiet", "--force", stdin=b"".join(stream))
    lines = git(path, "for-each-ref", "--format=%(refname) %(objectname)", "refs/heads").decode()
    ids = dict(line.split() for line in lines.splitlines())
    return [ids[f"refs/heads/c{index}"] for index in range(len(parents))]
