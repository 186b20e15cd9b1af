# SPDX-License-Identifier: Apache-2.0
"""Licences of packages as SPDX expressions where what the package says can be read as one.

Nothing is concluded from texts: what is no expression, and no usual name of one, stays the text
that the package gives.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any, NamedTuple

from envgit.layers.entry import Kind, find_entry
from envgit.packages.model import Files, Package, Unreadable
from envgit.packages.sbom.text import fit

_LONGEST = 400
"""Characters of an expression; longer is a licence's own text."""

_LONGEST_TEXT = 64 << 10
_LARGEST_COPYRIGHT = 4 << 20
_MOST = 64
"""Licences of one package; the longest copyright files of Debian name about fifty."""


class License(NamedTuple):
    """One licence: an SPDX ``expression``, or a ``name`` and perhaps its ``text``."""

    expression: str
    name: str = ""
    text: str = ""


# Names that mean exactly one licence of the SPDX list: Debian's copyright format 1.0, the
# short names of Fedora before 2022, and what authors of Python packages write.
_NAMES = {
    "expat": "MIT",
    "mit license": "MIT",
    "the mit license": "MIT",
    "the mit license (mit)": "MIT",
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache-2": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache license version 2.0": "Apache-2.0",
    "apache software license 2.0": "Apache-2.0",
    "asl 2.0": "Apache-2.0",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "bsd 2-clause": "BSD-2-Clause",
    "bsd 2-clause license": "BSD-2-Clause",
    "bsd 3-clause": "BSD-3-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "bsd-3-clause license": "BSD-3-Clause",
    "new bsd license": "BSD-3-Clause",
    "mpl 2.0": "MPL-2.0",
    "mplv2.0": "MPL-2.0",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "cc0": "CC0-1.0",
    "psf-2": "PSF-2.0",
    "the unlicense (unlicense)": "Unlicense",
}
_GNU = re.compile(r"(?i)(AGPL|LGPL|GPL|GFDL)(?:-|v| v)?(\d)(?:\.(\d))?(\+| or later|-or-later)?")
_OPERATORS = re.compile(r"(?i)( and | or |\(|\))")
_DEBIAN_NAME = re.compile(rb"[A-Za-z0-9][A-Za-z0-9+.-]{1,254}")
_STATED = re.compile(rb"^License:[ \t]*(\S[^\r\n]*)", re.MULTILINE)
_REFERRED = re.compile(rb"/usr/share/common-licenses/([A-Za-z0-9.+-]{1,40})")


class Licenses:
    """Reads the licences of packages, the same words only once."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._known: dict[str, License | None] = {}
        self._copyrights: dict[str, tuple[License, ...]] = {}

    def of(self, package: Package) -> tuple[License, ...]:
        """The licences that all hold for a package; none where nothing is known."""
        if package.license.strip():
            found = self.read(package.license)
            return () if found is None else (found,)
        if package.manager == "dpkg":
            return self._of_debian(package.name)
        return ()

    def read(self, text: str) -> License | None:
        """What a package says about its licence; None for nothing."""
        if text not in self._known:
            self._known[text] = self._read(text)
        return self._known[text]

    def _read(self, text: str) -> License | None:
        words = fit(" ".join(text.split()))
        if not words or words.upper() in ("UNKNOWN", "NOASSERTION", "NONE"):
            return None
        if len(words) <= _LONGEST:
            expression = self._expression(words)
            if expression:
                return License(expression)
            if len(words) <= 100:
                return License("", words)
        first = fit(" ".join(text.strip().split("\n", 1)[0].split()))
        whole = "\n".join(map(fit, text[:_LONGEST_TEXT].splitlines()))
        return License("", first[:100] or words[:100], whole)

    def _expression(self, words: str) -> str:
        """The SPDX expression that the words are or mean, in its normal form; empty if none."""
        whole = _NAMES.get(words.lower())
        if whole:
            return whole
        meant = "".join(_meaning(part) for part in _OPERATORS.split(words))
        try:
            found = self._licensing.validate(meant, strict=True)
        except Exception:  # the parser fails in several ways on what is no expression
            return ""
        normal = found.normalized_expression
        return normal if isinstance(normal, str) and not found.errors else ""

    @cached_property
    def _licensing(self) -> Any:
        from license_expression import get_spdx_licensing

        return get_spdx_licensing()

    def _of_debian(self, name: str) -> tuple[License, ...]:
        """From ``/usr/share/doc/NAME/copyright`` (Debian Policy 12.5), whose directory may be a
        link to that of another package of the same source."""
        if name not in self._copyrights:
            self._copyrights[name] = ()
            folder = b"usr/share/doc/"
            own = name.encode("utf-8", "replace")
            if not _DEBIAN_NAME.fullmatch(own):
                return ()
            entry = find_entry(self._files.tree, folder + own)
            if entry is not None and entry.kind == Kind.SYMLINK:
                own = entry.target.removeprefix(b"/usr/share/doc/")
                if not _DEBIAN_NAME.fullmatch(own):
                    return ()
            try:
                data = self._files.read(folder + own + b"/copyright", _LARGEST_COPYRIGHT)
            except Unreadable:
                return ()
            self._copyrights[name] = self._stated(data)
        return self._copyrights[name]

    def _stated(self, data: bytes) -> tuple[License, ...]:
        stated = dict.fromkeys(match[1].strip() for match in _STATED.finditer(data))
        found = [self.read(text.decode("utf-8", "replace")) for text in stated]
        if not stated:
            # Not in the machine-readable format. Which text it points to is known, but not whether
            # later versions may be taken: no expression.
            referred = sorted(set(_REFERRED.findall(data)))
            names = (text.decode("ascii").rstrip(".") for text in referred)
            found = [License("", name) for name in names if name]
        return tuple(dict.fromkeys(one for one in found if one is not None))[:_MOST]


def _meaning(part: str) -> str:
    if part.lower() in (" and ", " or "):
        return part.upper()
    bare = part.strip()
    known = _NAMES.get(bare.lower())
    if known is None and (gnu := _GNU.fullmatch(bare)):
        family, major, minor, later = gnu.groups()
        known = f"{family.upper()}-{major}.{minor or 0}-{'or-later' if later else 'only'}"
    return known or part
