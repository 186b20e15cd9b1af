# SPDX-License-Identifier: Apache-2.0
"""Commits as an image: one layer a commit, in a place that images are kept in.

What the place has already is not made again: a layer that came from an image keeps the digest it
had, one that was exported before is remembered. Everything else is written as an archive, digested
and compressed in one pass, several layers at once, and equal commits give equal bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import TYPE_CHECKING, Any

from envgit.image.config import ImageConfig, build_config, format_time, from_commit
from envgit.image.descriptors import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_LAYER,
    OCI_MANIFEST,
    Descriptor,
    ImageError,
    check_digest,
)
from envgit.image.manifest import build
from envgit.image.references import ImageNameError, parse_reference
from envgit.image.transport import ImageDestination
from envgit.layers.compression import packed
from envgit.layers.entry import Directory, Node, walk
from envgit.layers.ids import CommitId
from envgit.layers.ocitar import write_difference, write_layer
from envgit.layers.view import Overlay
from envgit.porcelain.foundation.contents import contents
from envgit.porcelain.foundation.repository import Repository
from envgit.porcelain.foundation.workers import processors
from envgit.repo.metadata import Metadata
from envgit.store.cache import ContentCache

if TYPE_CHECKING:
    from envgit.repo.commits import Commit

Progress = Callable[..., None]

COMPRESSIONS = ("gzip", "zstd", "none")
_SUFFIXES = {"none": "", "gzip": "gzip", "zstd": "zstd"}
# Part of the key of what is remembered: another number when archives are written differently.
_FORM = 1


@dataclass(frozen=True, slots=True)
class ImageOptions:
    """How an image is written.

    ``compression`` None is the best that the place takes (or what a layer has already); ``docker``
    asks for docker's media types; ``epoch`` (seconds since 1970) is SOURCE_DATE_EPOCH.
    """

    squash: bool = False
    compression: str | None = None
    docker: bool = False
    epoch: int | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """An image that was written: the digest of its manifest, its layers, and how many of them the
    place had already."""

    digest: str
    layers: int
    reused: int


@dataclass(frozen=True, slots=True)
class _Step:
    """A commit of the chain, with its parent; ``empty``: it changes no file."""

    commit: Commit
    metadata: Metadata
    parent: Commit | None
    empty: bool


@dataclass(frozen=True, slots=True)
class _Blob:
    diff_id: str
    descriptor: Descriptor
    reused: bool = False


def send(
    repository: Repository,
    tip: CommitId,
    destination: ImageDestination,
    options: ImageOptions,
    *,
    progress: Progress | None = None,
) -> Sent:
    """Put the image of ``tip`` into ``destination``, under the destination's own name.

    The caller holds the store's lock, and commits the destination. Raises ImageError,
    ArchiveError for names that no image can hold, MissingLayer.
    """
    return _Export(repository, destination, options, progress).run(tip)


def repositories(repository: Repository, tip: CommitId) -> list[str]:
    """The repositories of registries that layers of ``tip`` came from, the nearest first."""
    found = []
    for step in reversed(list(_chain(repository, tip))):
        name = (step.metadata.image.get("layer") or {}).get("repository")
        if isinstance(name, str) and _is_repository(name):
            found.append(name)
    return list(dict.fromkeys(found))


def _is_repository(name: str) -> bool:
    try:
        return parse_reference(name).name == name
    except ImageNameError:
        return False


@dataclass(slots=True)
class _Export:
    repository: Repository
    destination: ImageDestination
    options: ImageOptions
    progress: Progress | None
    lock: threading.Lock = field(default_factory=threading.Lock)
    done: int = 0
    total: int = 0

    def run(self, tip: CommitId) -> Sent:
        steps = list(_chain(self.repository, tip))
        docker = self._is_docker()
        with self.repository.store.temporary("export") as scratch:
            if self.options.squash:
                blobs = [self._whole(steps, os.path.join(scratch, "layer"))]
            else:
                blobs = self._blobs([step for step in steps if not step.empty], scratch)
        config = build_config(self._config(steps, blobs))
        kind = DOCKER_CONFIG if docker else OCI_CONFIG
        described = self.destination.put_blob(Descriptor(kind), BytesIO(config))
        layers = [
            replace(blob.descriptor, media_type=_media_type(blob.descriptor, docker=docker))
            for blob in blobs
        ]
        media_type = DOCKER_MANIFEST if docker else OCI_MANIFEST
        annotations = steps[-1].metadata.image.get("annotations")
        manifest = build(media_type, described, layers, annotations)
        digest = self.destination.put_manifest(manifest, media_type, "")
        return Sent(digest, len(blobs), sum(blob.reused for blob in blobs))

    def _is_docker(self) -> bool:
        wanted = DOCKER_MANIFEST if self.options.docker else OCI_MANIFEST
        taken = self.destination.manifest_types
        if wanted in taken:
            return self.options.docker
        if self.options.docker:
            raise ImageError("such a destination holds OCI images alone")
        return True

    # -- layers -----------------------------------------------------------------------------

    def _blobs(self, steps: Sequence[_Step], scratch: str) -> list[_Blob]:
        """The layers of the commits, put where they are wanted."""
        found: list[_Blob | None] = [self._reusable(step) for step in steps]
        missing = [number for number, blob in enumerate(found) if blob is None]
        nodes = {number: self.repository.git.layer(steps[number].commit.id) for number in missing}
        self.total = sum(e.size for node in nodes.values() for _, e in walk(node))
        workers = min(processors(), len(missing)) or 1
        threads = max(processors() // workers, 1)

        def make(number: int) -> _Blob:
            step = steps[number]
            git = self.repository.git
            base = None if step.parent is None else git.rootfs(step.parent.id)
            path = os.path.join(scratch, str(number))
            return self._written(step, nodes.pop(number), base, path, threads)

        pool = ThreadPoolExecutor(workers, "envgit-export")
        try:
            for number, blob in zip(missing, pool.map(make, missing), strict=True):
                found[number] = blob
        finally:
            pool.shutdown(cancel_futures=True)
        return [blob for blob in found if blob is not None]

    def _reusable(self, step: _Step) -> _Blob | None:
        """The layer as the destination has it already."""
        for blob in self._known(step):
            compression = blob.descriptor.compression
            wanted = self.options.compression
            if compression not in self.destination.compressions or wanted not in (
                None,
                compression,
            ):
                continue
            if self.destination.has_blob(blob.descriptor.digest):
                return blob
        return None

    def _known(self, step: _Step) -> Iterator[_Blob]:
        """The forms in which the layer is known to exist somewhere."""
        record = step.metadata.image.get("layer")
        for each in (record, self._remembered(step)):
            if not isinstance(each, dict):
                continue
            try:
                described = {"mediaType": each.get("media_type"), **each}
                descriptor = Descriptor.from_json(described, "a layer")
                diff_id = check_digest(each.get("diff_id"))
            except ImageError:  # whoever wrote it down: it is of no use
                continue
            yield _Blob(diff_id, replace(descriptor, urls=(), platform=None), reused=True)

    def _remembered(self, step: _Step) -> object:
        data = ContentCache(self.repository.store.path, "blobs").get(self._key(step))
        try:
            return json.loads(data) if data is not None else None
        except ValueError:
            return None

    def _remember(self, step: _Step, blob: _Blob) -> None:
        value = {
            "diff_id": blob.diff_id,
            "digest": blob.descriptor.digest,
            "media_type": blob.descriptor.media_type,
            "size": blob.descriptor.size,
        }
        cache = ContentCache(self.repository.store.path, "blobs")
        cache.put(self._key(step), json.dumps(value).encode())

    def _key(self, step: _Step) -> str:
        base = step.parent.rootfs if step.parent is not None else "-"
        return f"{_FORM} {step.commit.layer} {base} {self._compression} {self.options.epoch}"

    @property
    def _compression(self) -> str:
        wanted = self.options.compression or self.destination.compressions[0]
        if wanted not in self.destination.compressions:
            raise ImageError(f"layers cannot be compressed with {wanted} there")
        return wanted

    def _written(
        self, step: _Step, node: Node, base: Directory | None, path: str, threads: int
    ) -> _Blob:
        """Write a commit's layer and put it; `path` is a file to use meanwhile."""
        store = self.repository.store
        store.stack_paths([f"layers/{step.commit.layer}"])  # says what is missing
        with Overlay([store.layer_path(step.commit.layer)]) as files:
            blob = self._packed(
                path,
                threads,
                lambda sink, tell: (
                    write_layer(
                        sink, node, base, files.open, latest=self.options.epoch, progress=tell
                    ).diff_id
                ),
            )
        self._remember(step, blob)
        return blob

    def _whole(self, steps: Sequence[_Step], path: str) -> _Blob:
        """All of the tip's files as one layer."""
        tip = steps[-1].commit.id
        root = self.repository.git.rootfs(tip)
        self.total = sum(entry.size for _, entry in walk(root))
        with contents(self.repository, tip) as files:
            return self._packed(
                path,
                processors(),
                lambda sink, tell: (
                    write_difference(
                        sink, None, root, files.open, latest=self.options.epoch, progress=tell
                    ).diff_id
                ),
            )

    def _packed(self, path: str, threads: int, write: Callable[..., str]) -> _Blob:
        how = self._compression
        with open(path, "xb") as file:
            counted = _Digesting(file)
            with packed(counted, how, threads=threads) as sink:
                diff_id = f"sha256:{write(sink, self._teller())}"
        digest = f"sha256:{counted.hash.hexdigest()}"
        kind = OCI_LAYER + (f"+{_SUFFIXES[how]}" if _SUFFIXES[how] else "")
        descriptor = Descriptor(kind, digest, counted.size)
        reused = self.destination.has_blob(digest)
        if not reused:
            with open(path, "rb") as made:
                self.destination.put_blob(descriptor, made)
        os.unlink(path)
        return _Blob(diff_id, descriptor, reused)

    def _teller(self) -> Callable[[int, int], None] | None:
        if self.progress is None:
            return None
        last = 0

        def tell(_: int, position: int) -> None:
            nonlocal last
            with self.lock:
                self.done += position - last
                last = position
                assert self.progress is not None
                self.progress("Writing layers", self.done, max(self.total, self.done))

        return tell

    # -- config -----------------------------------------------------------------------------

    def _config(self, steps: Sequence[_Step], blobs: Sequence[_Blob]) -> ImageConfig:
        tip = steps[-1]
        config, platform = from_commit(tip.metadata.config)
        origin = tip.metadata.image
        history = [entry for step in steps for entry in self._history(step)]
        if self.options.squash:
            history = [{**entry, "empty_layer": True} for entry in history]
            history.append(self._entry(tip, f"envgit export --squash ({len(history)} steps)"))
        return ImageConfig(
            platform,
            config,
            tuple(blob.diff_id for blob in blobs),
            tuple(history),
            str(origin.get("created") or self._time(tip)),
            str(origin.get("author") or ""),
            origin.get("others") or {},
        )

    def _history(self, step: _Step) -> list[dict[str, Any]]:
        """The entries of one commit: those it came with, or one of its own."""
        kept = step.metadata.image.get("history")
        whole = isinstance(step.metadata.image.get("layer"), dict)
        if kept and whole and sum(not entry.get("empty_layer") for entry in kept) == 1:
            return [dict(entry) for entry in kept]
        ran = " && ".join(shlex.join(run.argv) for run in step.metadata.runs if run.exit_code == 0)
        message = _text(step.commit.message.strip())
        entry = self._entry(step, _text(ran) or message.partition("\n")[0])
        if message != entry["created_by"]:
            entry["comment"] = message
        if step.empty:
            entry["empty_layer"] = True
        return [entry]

    def _entry(self, step: _Step, created_by: str) -> dict[str, Any]:
        author = step.commit.author
        return {
            "created": self._time(step),
            "created_by": created_by,
            "author": _text(f"{author.name} <{author.email}>"),
        }

    def _time(self, step: _Step) -> str:
        epoch = self.options.epoch
        return format_time(step.commit.committer.time if epoch is None else epoch)


class _Digesting:
    """A file that is hashed and counted while it is written."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes, /) -> int:
        self._file.write(data)
        self.hash.update(data)
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        """Nothing waits here; compressors ask."""


def _chain(repository: Repository, tip: CommitId) -> Iterator[_Step]:
    """The commits along first parents, the first first."""
    git = repository.git
    commits = []
    oid: CommitId | None = tip
    while oid is not None:
        commits.append(git.commit(oid))
        oid = commits[-1].parents[0] if commits[-1].parents else None
    parent: Commit | None = None
    for commit in reversed(commits):
        metadata = git.metadata(commit.id)
        unchanged = parent is not None and parent.rootfs == commit.rootfs
        yield _Step(commit, metadata, parent, unchanged and "layer" not in metadata.image)
        parent = commit


def _media_type(layer: Descriptor, *, docker: bool) -> str:
    """A layer's media type by its compression, in OCI's words or in docker's."""
    suffix = _SUFFIXES[layer.compression or "none"]
    if docker and suffix == "zstd":
        raise ImageError(
            "docker's media types have none for zstd", hint="use --compression gzip, or OCI's"
        )
    if docker:
        return f"{DOCKER_LAYER}.{suffix}" if suffix else DOCKER_LAYER
    return f"{OCI_LAYER}+{suffix}" if suffix else OCI_LAYER


def _text(text: str) -> str:
    """Text for JSON that any program reads: bytes that are not UTF-8 cannot be in it."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
