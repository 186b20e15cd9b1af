# SPDX-License-Identifier: Apache-2.0
"""What the cases share: the folder, the peers, and repositories that are slow to make."""

from __future__ import annotations

import contextlib
import functools
import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.bench import measure
from tests.bench.measure import Competitor, Sample, say
from tests.bench.peers import Containers, GitTree
from tests.bench.place import Place, Repository, apply
from tests.support import builders


class Bench:
    """One run of the benchmark."""

    def __init__(
        self, place: Place, *, repeat: int, depth: int, kinds: Sequence[str], peers: bool
    ) -> None:
        self.place = place
        self.repeat = repeat
        self.depth = depth
        self.kinds = kinds
        self._peers = peers

    def race(
        self, competitors: Sequence[Competitor], repeat: int, *, sync: bool = False
    ) -> dict[str, Sample]:
        """See `measure.race`."""
        return measure.race(competitors, repeat, sync=sync)

    @functools.cached_property
    def containers(self) -> Containers | None:
        """podman and buildah, or None where they are not wanted or not installed."""
        if not self._peers or not (Containers.has("podman") and Containers.has("buildah")):
            return None
        try:
            return Containers(self.place)
        except OSError as problem:
            say(f"no containers: {problem}")
            return None

    @functools.cache  # noqa: B019 - one object, which lives as long as the program
    def git_tree(self) -> GitTree:
        """git on a plain tree."""
        return GitTree(self.place)

    @functools.cache  # noqa: B019
    def base_repository(self) -> Repository:
        """One commit: the root filesystem."""
        return self._new("one", self.place.base)

    @functools.cache  # noqa: B019
    def shallow_repository(self) -> Repository:
        """Two commits: the root filesystem, then python and pip."""
        return self._with_python("shallow")

    @functools.cache  # noqa: B019
    def deep_repository(self) -> Repository:
        """The same with ``depth`` commits."""
        repository = self._with_python("deep")
        repository.grow(self.depth - 2)
        return repository

    @functools.cache  # noqa: B019
    def small_repository(self, files: int) -> Repository:
        """That many small files beside a busybox, and a history of ten commits."""
        source = self.place.root / f"source-{files}"
        shutil.rmtree(source, ignore_errors=True)
        builders.rootfs(source, {"srv": None})
        builders.many_files(source / "srv/data", files)
        repository = self._new(f"files-{files}", source)
        repository.grow(9)
        shutil.rmtree(source)
        return repository

    def _new(self, name: str, source: Path) -> Repository:
        home = self.place.root / name
        shutil.rmtree(home, ignore_errors=True)
        return Repository(home).init(f"rootfs:{source}")

    def _with_python(self, name: str) -> Repository:
        change = self.place.change("medium")
        repository = self._new(name, self.place.base)
        apply(change, repository.upper())
        repository.envgit("commit", "-q", "-m", "python and pip")
        return repository

    def close(self) -> None:
        """End what the peers left running."""
        with contextlib.suppress(KeyError):
            if (containers := self.__dict__["containers"]) is not None:
                containers.close()
