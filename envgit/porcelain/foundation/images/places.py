# SPDX-License-Identifier: Apache-2.0
"""From the name of a place that holds images to the transport that reads or writes it."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence

from envgit.image.descriptors import Platform, parse_platform
from envgit.image.platforms import of_machine
from envgit.image.references import parse_reference
from envgit.image.source import (
    DIR,
    DOCKER,
    DOCKER_ARCHIVE,
    IMAGES,
    OCI,
    OCI_ARCHIVE,
    Source,
    SourceError,
)
from envgit.image.transport import ImageDestination, ImageSource
from envgit.settings import Settings


def open_source(source: Source, settings: Settings, environ: Mapping[str, str]) -> ImageSource:
    """The image that ``source`` (of a kind in `IMAGES`) names. Raises ImageError.

    ``settings`` and ``environ`` say how registries are reached.
    """
    if source.kind == DOCKER:
        from envgit.image.registry.access import Access
        from envgit.image.registry.docker import RegistrySource

        reference = parse_reference(source.value).with_default_tag()
        return RegistrySource(reference, Access(settings, environ))
    if source.kind == OCI:
        from envgit.image.layout import LayoutSource

        return LayoutSource(source.value, source.name)
    if source.kind == OCI_ARCHIVE:
        from envgit.image.layoutarchive import LayoutArchiveSource

        return LayoutArchiveSource(source.value, source.name)
    if source.kind == DOCKER_ARCHIVE:
        from envgit.image.dockerarchive import DockerArchiveSource

        return DockerArchiveSource(source.value, source.name)
    assert source.kind == DIR
    from envgit.image.directory import DirectorySource

    return DirectorySource(source.value)


def open_destination(
    dest: Source, settings: Settings, environ: Mapping[str, str], mounts: Sequence[str]
) -> ImageDestination:
    """The place that ``dest`` (of a kind in `IMAGES`) names. Raises ImageError.

    ``settings`` and ``environ`` as above; ``mounts`` are repositories that may have its blobs.
    """
    if dest.kind == DOCKER:
        from envgit.image.registry.access import Access
        from envgit.image.registry.docker import RegistryDestination

        return RegistryDestination(
            parse_reference(dest.value).with_default_tag(),
            Access(settings, environ),
            mounts=[parse_reference(name) for name in mounts],
        )
    if dest.kind == OCI:
        from envgit.image.layout import LayoutDestination

        return LayoutDestination(dest.value, dest.name)
    if dest.kind == OCI_ARCHIVE:
        from envgit.image.layoutarchive import LayoutArchiveDestination

        return LayoutArchiveDestination(dest.value, dest.name)
    if dest.kind == DOCKER_ARCHIVE:
        from envgit.image.dockerarchive import DockerArchiveDestination

        return DockerArchiveDestination(dest.value, dest.name)
    assert dest.kind == DIR
    from envgit.image.directory import DirectoryDestination

    return DirectoryDestination(dest.value)


def this_machine() -> Platform:
    """The platform of the machine we run on."""
    return of_machine(platform.machine())


def wanted(source: Source | None, platform: str | None, squash: bool) -> Platform | None:
    """The platform that was asked for. Raises SourceError where there is no image to ask for."""
    if (squash or platform is not None) and (source is None or source.kind not in IMAGES):
        raise SourceError("a platform, or layers to squash, are those of an image")
    return parse_platform(platform) if platform is not None else None
