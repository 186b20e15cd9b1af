# SPDX-License-Identifier: Apache-2.0
"""The client loads in a moment, and takes nothing from other users of the libraries it loads."""

from __future__ import annotations

import subprocess
import sys

_LOADED = """
import sys
import envgit.image.registry.docker
assert "oras.provider" in sys.modules and "rfc3987_syntax" not in sys.modules
import jsonschema
checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
assert "iri" in checker.checkers
assert checker.conforms("http://example.org/\\u00e9", "iri")
assert not checker.conforms("http://exa mple.org", "iri")
assert "rfc3987_syntax" in sys.modules
"""


def test_grammars_are_built_when_they_are_used() -> None:
    done = subprocess.run([sys.executable, "-c", _LOADED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
