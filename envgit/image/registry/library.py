# SPDX-License-Identifier: Apache-2.0
"""The one door to oras, without the 1.3 seconds that its import may take.

oras imports jsonschema, for documents that we never give it. Where that package's optional format
checks are installed (our bills of materials need some), one of them builds a parser of IRIs from a
grammar when it is imported. A stand-in takes its place meanwhile, which loads the real one when an
IRI is to be checked: nothing is lost, not even for other users of jsonschema in this process.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager

_SLOW = "rfc3987_syntax"


def _is_valid_syntax(rule: str, text: str) -> bool:
    return bool(importlib.import_module(_SLOW).is_valid_syntax(rule, text))


@contextmanager
def _later() -> Iterator[None]:
    """Within it, what imports `_SLOW` gets the stand-in."""
    if _SLOW in sys.modules or importlib.util.find_spec(_SLOW) is None:
        yield
        return
    stand_in = types.ModuleType(_SLOW)
    stand_in.is_valid_syntax = _is_valid_syntax  # type: ignore[attr-defined]
    sys.modules[_SLOW] = stand_in
    try:
        yield
    finally:
        del sys.modules[_SLOW]


with _later():
    from oras.auth.token import TokenAuth
    from oras.container import Container
    from oras.provider import Registry

__all__ = ["Container", "Registry", "TokenAuth"]
