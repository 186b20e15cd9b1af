# SPDX-License-Identifier: Apache-2.0
"""What every use of registries in one command shares: settings, environment, patience."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from envgit.image.registry.hosts import Hosts
from envgit.image.registry.retries import Policy
from envgit.settings import Settings

_MOST_PARALLEL = 32


@dataclass(frozen=True, slots=True)
class Access:
    """Made once per command. ``root`` is where ``etc`` is looked for, for tests."""

    settings: Settings
    environ: Mapping[str, str]
    policy: Policy = field(default_factory=Policy)
    root: str = "/"
    hosts: Hosts = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hosts", Hosts(self.settings, self.environ, root=self.root))

    @property
    def parallel(self) -> int:
        """How many blobs are transferred at once. Raises `SettingsError`."""
        return min(max(self.settings.get_int("registry.parallel"), 1), _MOST_PARALLEL)
