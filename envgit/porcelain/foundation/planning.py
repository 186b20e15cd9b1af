# SPDX-License-Identifier: Apache-2.0
"""How a command is run in this repository: what its settings add, and the sandbox's plan for it.

The way to ``run`` passes here, so nothing of the git side is imported.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from envgit.errors import EnvgitError
from envgit.porcelain.foundation.repository import Repository
from envgit.sandbox.plan import Plan, RunOptions, make_plan
from envgit.sandbox.roots import Root


def plan_for(
    repository: Repository, root: Root, options: RunOptions, config: Mapping[str, Any]
) -> Plan:
    """The plan for ``options`` on ``root`` with the run configuration of a commit."""
    return make_plan(
        root,
        options,
        config,
        hostname=_hostname(repository.project),
        seccomp_cache=os.path.join(repository.store.path, "cache"),
    )


def with_settings(repository: Repository, options: RunOptions, argv: Sequence[str]) -> RunOptions:
    """The options with ``argv`` and what the settings give for every run."""
    settings = repository.settings
    env: list[tuple[str, str]] = []
    for text in settings.get_all("run.env"):
        name, equals, value = text.partition("=")
        if equals:
            env.append((name, value))
        elif name in repository.environ:
            env.append((name, repository.environ[name]))
    volumes = []
    for text in settings.get_all("run.volume"):
        source, colon, rest = text.partition(":")
        if not colon:
            raise EnvgitError(f"run.volume '{text}' is not SRC:DST[:ro]")
        volumes.append(f"{os.path.join(repository.project, os.path.expanduser(source))}:{rest}")
    return options._replace(
        argv=tuple(argv) or options.argv,
        env=(*env, *options.env),
        volumes=(*volumes, *options.volumes),
        network=options.network or settings.get_text("run.network"),
    )


def _hostname(project: str) -> str:
    """The environment's host name: its project folder's, as far as hostname(7) allows."""
    name = "".join(
        char if char.isascii() and char.isalnum() else "-" for char in os.path.basename(project)
    ).strip("-")
    return name[:63].strip("-") or "envgit"
