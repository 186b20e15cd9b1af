# SPDX-License-Identifier: Apache-2.0
"""envgit: git-like versions of whole Linux environments.

``import envgit; repo = envgit.Repository.open(".")`` is the library; see docs/library.rst. Its
classes are loaded when they are first named, because the command line imports this package too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from envgit.errors import EnvgitError as EnvgitError
    from envgit.porcelain.foundation.repository import Repository as Repository
    from envgit.porcelain.run import RunOptions as RunOptions

__version__ = "0.1.0"
__all__ = ["EnvgitError", "Repository", "RunOptions", "__version__"]

_PLACES = {
    "EnvgitError": "envgit.errors",
    "Repository": "envgit.porcelain.foundation.repository",
    "RunOptions": "envgit.porcelain.run",
}


def __getattr__(name: str) -> object:
    """Load one of the library's names (PEP 562)."""
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(place), name)
