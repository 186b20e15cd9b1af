# SPDX-License-Identifier: Apache-2.0
"""An image as commits: one a layer, with its steps as messages; or all in one.

Each layer is unpacked into a change set of its own, described, freed of what is no change against
the layers below, and sealed when all is published, as any commit's is. Until then nothing of it can
be seen; after an error nothing of it is left.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from envgit.image import history
from envgit.image.config import ImageConfig, origin_of, parse_config, parse_time, to_commit
from envgit.image.descriptors import (
    DOCKER_CONFIG,
    OCI_CONFIG,
    BlobMismatch,
    Descriptor,
    ImageError,
    Platform,
)
from envgit.image.manifest import Manifest, resolve
from envgit.image.platforms import suitability
from envgit.image.references import Reference
from envgit.image.transport import MAX_CONFIG, ImageSource, VerifiedReader
from envgit.layers.compare import normalize
from envgit.layers.decompression import ArchiveError, decompressed
from envgit.layers.directory import settle
from envgit.layers.hashing import FreshHashes
from envgit.layers.ids import ChangesId, CommitId, LayerId, TreeId
from envgit.layers.links import survivors
from envgit.layers.ocilayer import apply_layer
from envgit.layers.scan import Skipped, scan
from envgit.layers.view import Overlay
from envgit.porcelain.foundation import layering, position
from envgit.porcelain.foundation.images.fetching import Ahead, Fetcher
from envgit.porcelain.foundation.repository import Repository
from envgit.repo.metadata import Metadata
from envgit.repo.signature import Signature, clean
from envgit.repo.trees import TreeDirectory

if TYPE_CHECKING:
    from typing import BinaryIO

    from envgit.layers.entry import Directory
    from envgit.repo.objects import ObjectWriter

Blobs = Callable[[Descriptor], AbstractContextManager["BinaryIO"]]
Progress = Callable[..., None]
"""Called with what is done, how many bytes of it, and of how many."""

# What config blobs of container images are called; some old registries called all blobs the last.
_CONFIGS = frozenset({OCI_CONFIG, DOCKER_CONFIG, "application/octet-stream"})


@dataclass(frozen=True, slots=True)
class Image:
    """An image that was looked at and can be used: its manifest and its config."""

    source: ImageSource
    manifest: Manifest
    config: ImageConfig

    @property
    def size(self) -> int:
        """The bytes of its layers as they come; 0 for those of unknown size."""
        return sum(max(layer.size, 0) for layer in self.manifest.layers)


@dataclass(slots=True)
class Brought:
    """Commits that were written, the first first, and what must be sealed for them.

    Whoever does not publish them calls `forget`.
    """

    repository: Repository
    commits: list[CommitId] = field(default_factory=list)
    layers: list[LayerId] = field(default_factory=list)
    seals: list[tuple[ChangesId, LayerId]] = field(default_factory=list)
    scratch: list[ChangesId] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    subject: str = ""

    @property
    def tip(self) -> CommitId:
        """The commit that holds the whole image."""
        return self.commits[-1]

    @property
    def stack(self) -> tuple[tuple[str, ...], int]:
        """What is mounted for it, top first, and how many layers that is."""
        return tuple(f"layers/{layer}" for layer in reversed(self.layers)), len(self.layers)

    def forget(self) -> None:
        """Delete what was unpacked."""
        for changes in (*self.scratch, *(changes for changes, _ in self.seals)):
            self.repository.store.delete_changes(changes)


def look_at(source: ImageSource, platform: Platform | None, machine: Platform) -> Image:
    """Read manifest and config, and see whether all of it can be used. Raises ImageError.

    ``platform`` is what was asked for, ``machine`` what is taken otherwise.
    """
    manifest, _ = resolve(source, platform, machine)
    if manifest.artifact_type or manifest.config.media_type not in _CONFIGS:
        kind = manifest.artifact_type or manifest.config.media_type
        raise ImageError(f"this is no container image, but an artifact of type {kind}")
    if manifest.config.size > MAX_CONFIG:
        raise ImageError(f"the image's config has {manifest.config.size} bytes")
    with source.blob(manifest.config) as stream:
        config = parse_config(stream.read())
    if len(config.diff_ids) != len(manifest.layers):
        raise ImageError(
            f"the manifest has {len(manifest.layers)} layers, the config {len(config.diff_ids)}"
        )
    for number, layer in enumerate(manifest.layers, 1):
        if layer.compression is None:
            raise ImageError(f"layer {number} is of a kind unknown here: {layer.media_type}")
    if config.platform.os not in ("", "linux"):
        raise ImageError(f"the image is for {config.platform}, and not for Linux")
    if platform is not None and suitability(platform, config.platform) < 0:
        raise ImageError(f"the image is for {config.platform}, not for {platform}")
    return Image(source, manifest, config)


def bring(
    repository: Repository,
    writer: ObjectWriter,
    image: Image,
    *,
    title: str,
    message: str | None = None,
    squash: bool = False,
    progress: Progress | None = None,
) -> Brought:
    """Unpack the image and write its commits into ``writer``; ``message`` is for the last one.

    ``title`` names the image where it does not describe its layers. The caller holds the store's
    lock, and publishes. Raises ImageError, ArchiveError; nothing is left behind then.
    """
    brought = Brought(repository)
    try:
        with repository.git.seeing(writer), _blobs(repository, image) as blob:
            _Import(repository, writer, image, brought, progress, title, message, blob).run(
                squash=squash
            )
    except BaseException:
        brought.forget()
        raise
    return brought


def bring_files(
    repository: Repository,
    writer: ObjectWriter,
    fill: Callable[[str], None],
    config: dict[str, Any],
    message: str,
) -> Brought:
    """Write one commit of what ``fill`` puts into the upper directory it is given, as `bring`."""
    brought = Brought(repository, config=config)
    changes = repository.store.new_changes()
    brought.scratch.append(changes)
    try:
        upper = repository.store.upper_path(changes)
        fill(upper)
        scanned = scan(os.fsencode(upper), overlay=False)
        normalized = normalize(scanned.node, None)
        settle(os.fsencode(upper), normalized)
        layer = writer.write_layer(normalized.layer)
        rootfs = writer.write_rootfs(None, normalized.layer, {})
        who = repository.signature()
        made = layering.Layered(layer, rootfs, (changes, layer))
        text = message.strip("\n") + "\n"
        commit = layering.write_commit(writer, made, Metadata(config=config), (), who, who, text)
    except BaseException:
        brought.forget()
        raise
    brought.scratch.clear()
    brought.seals.append((changes, layer))
    brought.skipped.extend(scanned.skipped)
    brought.commits.append(commit)
    brought.layers.append(layer)
    brought.subject = text.partition("\n")[0]
    return brought


@contextmanager
def _blobs(repository: Repository, image: Image) -> Iterator[Blobs]:
    """Where layers are read: as they are wanted, or, from afar, some ahead of that."""
    source = image.source
    if not isinstance(source, Fetcher):
        yield source.blob
        return
    layers = image.manifest.layers
    most = min(max(repository.settings.get_int("registry.parallel"), 1), 32)
    with (
        repository.store.temporary("import") as scratch,
        Ahead(source, layers, scratch, most=most) as ahead,
    ):
        yield ahead.blob


@dataclass(frozen=True, slots=True)
class _Unpacked:
    changes: ChangesId
    layer: LayerId
    rootfs: TreeId


class _Import:
    def __init__(
        self,
        repository: Repository,
        writer: ObjectWriter,
        image: Image,
        brought: Brought,
        progress: Progress | None,
        title: str,
        message: str | None,
        blob: Blobs,
    ) -> None:
        self.blob = blob
        self.repository = repository
        self.writer = writer
        self.image = image
        self.brought = brought
        self.progress = progress
        self.title = title
        self.message = message
        self.done = 0
        self.committer = repository.signature()
        self.final = to_commit(image.config.config, image.config.platform)

    def run(self, *, squash: bool) -> None:
        image = self.image
        groups = history.divide(image.config.history, len(image.manifest.layers))
        configs = history.configs(self.final, groups or [()] * len(image.manifest.layers))
        uppers: list[str] = []
        tree: TreeId | None = None
        for number, (layer, diff_id) in enumerate(
            zip(image.manifest.layers, image.config.diff_ids, strict=True)
        ):
            made = self._unpack(layer, diff_id, uppers, tree)
            uppers.insert(0, self.repository.store.upper_path(made.changes))
            tree = made.rootfs
            if squash:
                self.brought.scratch.append(made.changes)
                continue
            self.brought.seals.append((made.changes, made.layer))
            last = number == len(image.manifest.layers) - 1
            entries = groups[number] if groups else ()
            origin = self._origin(layer, diff_id, entries, last=last)
            self._commit(made, configs[number], entries, origin, number, last=last)
        if squash or not image.manifest.layers:
            self._squashed(uppers, tree)
        self.brought.config = self.final

    def _unpack(
        self, layer: Descriptor, diff_id: str, uppers: Sequence[str], tree: TreeId | None
    ) -> _Unpacked:
        repository, store = self.repository, self.repository.store
        below = self._tree(tree)
        changes = position.fresh_changes(repository, below)
        try:
            upper = store.upper_path(changes)
            with ExitStack() as stack:
                stream = stack.enter_context(self.blob(layer))
                contents = stack.enter_context(Overlay(uppers))
                watched = _Watched(stream, self._read)
                hashes = FreshHashes()
                lower = contents if uppers else None
                self._apply(watched, diff_id, upper, below, lower, hashes)
            scanned = scan(os.fsencode(upper), overlay=True, hashes=hashes)
            self.brought.skipped.extend(scanned.skipped)
            normalized = normalize(scanned.node, below)
            settle(os.fsencode(upper), normalized)
            node = normalized.layer
            layer_id = self.writer.write_layer(node)
            rootfs = self.writer.write_rootfs(tree, node, survivors(below, node))
        except BaseException as error:
            store.delete_changes(changes)
            if isinstance(error, ArchiveError):
                raise ImageError(f"layer {layer.digest}: {error.message}") from error
            raise
        return _Unpacked(changes, layer_id, rootfs)

    def _apply(
        self,
        stream: _Watched,
        diff_id: str,
        upper: str,
        below: Directory | None,
        contents: Overlay | None,
        hashes: FreshHashes,
    ) -> None:
        """Unpack a layer's archive over what lies below, and see that it is the one meant."""
        plain: VerifiedReader | None = None
        if not diff_id.startswith("sha256:"):
            wanted = Descriptor("", diff_id)
            plain = VerifiedReader(decompressed(cast("BinaryIO", stream)), wanted)
        applied = apply_layer(plain or stream, upper, below, contents, hashes=hashes)
        self.brought.skipped.extend(applied.skipped)
        if plain is not None:
            plain.finish()
        elif f"sha256:{applied.diff_id}" != diff_id:
            raise BlobMismatch(
                f"a layer is damaged: unpacked it is sha256:{applied.diff_id}, not {diff_id}"
            )

    def _tree(self, tree: TreeId | None) -> Directory | None:
        return None if tree is None else TreeDirectory(self.repository.git, tree)

    def _read(self, count: int) -> None:
        self.done += count
        if self.progress is not None:
            total = max(self.image.size, self.done)
            self.progress("Unpacking layers", self.done, total)

    def _origin(
        self, layer: Descriptor, diff_id: str, entries: Sequence[history.Entry], *, last: bool
    ) -> dict[str, Any]:
        """What a layer's commit keeps of the image besides the config."""
        found: dict[str, Any] = {
            "layer": {
                "diff_id": diff_id,
                "digest": layer.digest,
                "media_type": layer.media_type,
                "size": layer.size,
            }
        }
        reference = getattr(self.image.source, "reference", None)
        if isinstance(reference, Reference):
            found["layer"]["repository"] = reference.name
        if layer.annotations:
            found["layer"]["annotations"] = dict(layer.annotations)
        if entries:
            found["history"] = [dict(entry) for entry in entries]
        return found | self._of_image() if last else found

    def _of_image(self) -> dict[str, Any]:
        found = origin_of(self.image.config)
        if self.image.manifest.annotations:
            found["annotations"] = dict(self.image.manifest.annotations)
        return found

    def _squashed(self, uppers: Sequence[str], tree: TreeId | None) -> None:
        """One commit with all of the image, built of hard links into what was unpacked."""
        repository, writer = self.repository, self.writer
        if tree is None:  # an image without layers
            changes = repository.store.new_changes()
            self.brought.scratch.append(changes)
            upper = os.fsencode(repository.store.upper_path(changes))
            target: Directory = scan(upper, overlay=True).node
        else:
            target = TreeDirectory(repository.git, tree)
        with Overlay(uppers) as contents:
            made = layering.layer_between(repository, writer, None, target, contents.find)
        if made.seal is not None:
            self.brought.seals.append(made.seal)
        origin = self._of_image()
        main = self.image.config.history[-1:] or ()
        metadata = Metadata(config=self.final, image=origin)
        text = f"{self.message or self.title}".strip("\n") + "\n"
        self._write(made, metadata, text, main)

    def _commit(
        self,
        made: _Unpacked,
        config: dict[str, Any],
        entries: Sequence[history.Entry],
        origin: dict[str, Any],
        number: int,
        *,
        last: bool,
    ) -> None:
        text = history.message(entries, f"{self.title}: layer {number + 1}")
        if last and self.message is not None:
            text = self.message.strip("\n") + "\n"
        self._write(made, Metadata(config=config, image=origin), text, entries)

    def _write(
        self,
        made: _Unpacked | layering.Layered,
        metadata: Metadata,
        text: str,
        entries: Sequence[history.Entry],
    ) -> None:
        main = next((entry for entry in entries if not entry.get("empty_layer")), {})
        commit = self.writer.write_commit(
            rootfs=made.rootfs,
            layer=made.layer,
            metadata=metadata,
            parents=self.brought.commits[-1:],
            author=self._author(main),
            committer=self.committer,
            message=text,
        )
        self.brought.commits.append(commit)
        self.brought.layers.append(made.layer)
        self.brought.subject = text.partition("\n")[0]

    def _author(self, entry: history.Entry) -> Signature:
        """Who made a layer, and when, as far as the image says; else who imports it, now."""
        config = self.image.config
        text = str(entry.get("author") or config.author or "")
        moment = parse_time(str(entry.get("created") or config.created or ""))
        time, offset = moment or (self.committer.time, self.committer.offset)
        found = Signature.parse(text.replace("\n", " ").encode("utf-8", "replace") + b" ")
        name, email = clean(found.name), clean(found.email)
        if not name:
            name, email = (email.partition("@")[0], email) if email else ("", "")
        if not name:
            name, email = self.committer.name, self.committer.email
        return Signature(name, email, time, offset)


class _Watched:
    """A stream that tells how much was read of it."""

    def __init__(self, stream: BinaryIO, tell: Callable[[int], None]) -> None:
        self._stream = stream
        self._tell = tell

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self._tell(len(data))
        return data
