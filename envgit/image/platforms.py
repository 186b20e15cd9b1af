# SPDX-License-Identifier: Apache-2.0
"""Which image of several runs on a platform, by the rules of containerd's ``platforms`` package.

An arm v7 machine runs v6 and v5 too, amd64 v3 runs v2 and v1; the best that runs is taken. An index
also lists what is no image (attestations, signatures), which is never chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from envgit.image.descriptors import INDEXES, MANIFESTS, Descriptor, ImageError, Platform

# As `uname -m` calls it -> architecture and variant by the names of Go and the OCI image spec.
_MACHINES = {
    "x86_64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armv8l": ("arm", "v8"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "i386": ("386", ""),
    "i686": ("386", ""),
    "ppc64le": ("ppc64le", ""),
    "riscv64": ("riscv64", ""),
    "s390x": ("s390x", ""),
    "loongarch64": ("loong64", ""),
    "mips64": ("mips64le", ""),
}
# Other names that people and old images use for an architecture.
_SPELLINGS = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "i386": "386"}
# What no variant means.
_IMPLIED = {"arm64": "v8", "arm": "v7", "amd64": "v1"}
# The variants, the best last: who runs one runs those before it.
_ORDER = {
    "arm": ("v5", "v6", "v7", "v8"),
    "arm64": tuple(f"v8.{n}" if n else "v8" for n in range(10))
    + tuple(f"v9.{n}" if n else "v9" for n in range(7)),
    "amd64": ("v1", "v2", "v3", "v4"),
}
_REFERENCE = "vnd.docker.reference.type"


def of_machine(machine: str) -> Platform:
    """The platform of a Linux machine, by what uname(2) calls it."""
    architecture, variant = _MACHINES.get(machine, (machine, ""))
    return Platform("linux", architecture, variant)


def normalized(platform: Platform) -> Platform:
    """The platform by its usual names; a variant that goes without saying is said."""
    architecture = platform.architecture.lower()
    variant = platform.variant.lower()
    if architecture in ("armhf", "armel"):
        architecture, variant = "arm", variant or ("v7" if architecture == "armhf" else "v6")
    architecture = _SPELLINGS.get(architecture, architecture)
    if variant.isdigit():
        variant = f"v{variant}"
    return replace(
        platform,
        os=platform.os.lower(),
        architecture=architecture,
        variant=variant or _IMPLIED.get(architecture, ""),
    )


def suitability(wanted: Platform, offered: Platform) -> int:
    """How well ``offered`` does where ``wanted`` is: -1 not at all, else the more the better."""
    want, offer = normalized(wanted), normalized(offered)
    if (want.os, want.architecture) != (offer.os, offer.architecture):
        return -1
    if want.variant == offer.variant:
        return len(_ORDER.get(want.architecture, ())) + 1
    order = _ORDER.get(want.architecture, ())
    if want.variant not in order or offer.variant not in order:
        return -1
    rank = order.index(offer.variant)
    return rank if rank <= order.index(want.variant) else -1


def choose(
    images: Sequence[Descriptor], platform: Platform | None, default: Platform
) -> Descriptor:
    """The image for ``platform``, or for ``default`` if that is None.

    Without a platform asked for, a lone image is taken whatever it is for. Raises `ImageError`,
    which names what there is.
    """
    usable = [
        image
        for image in images
        if image.media_type in INDEXES | MANIFESTS and _REFERENCE not in image.annotations
    ]
    if platform is None and len(usable) == 1:
        return usable[0]
    wanted = platform or default
    best, found = -1, None
    for image in usable:
        if image.platform is not None:
            rank = suitability(wanted, image.platform)
            if rank > best:  # of equals the first, as the specification says
                best, found = rank, image
    unnamed = [image for image in usable if image.platform is None]
    if found is None and len(unnamed) == 1:
        return unnamed[0]
    if found is None:
        names = sorted({str(image.platform) for image in usable if image.platform})
        raise ImageError(
            f"there is no image for {wanted}"
            + (f", only for {', '.join(names[:20])}" if names else ""),
            hint="choose one with --platform" if names and platform is None else None,
        )
    return found
