# SPDX-License-Identifier: Apache-2.0
"""Which files hold entries, and in which format."""

from __future__ import annotations

import re
from functools import cache

from envgit.packages.records import lines
from envgit.packages.records.accounts import GROUP, GSHADOW, PASSWD, SHADOW, Ranges
from envgit.packages.records.alternatives import Alternatives
from envgit.packages.records.archives import Certificates, CompressedTar, Tar
from envgit.packages.records.ldcache import LoaderCache
from envgit.packages.records.lines import Diversions, Lines
from envgit.packages.records.logs import Log
from envgit.packages.records.model import Format
from envgit.packages.records.stanzas import Stanzas

_PLACES: tuple[tuple[str, Format], ...] = (
    ("var/lib/dpkg/status", Stanzas(b"Package", b"Architecture", noun="package")),
    ("var/lib/apt/extended_states", Stanzas(b"Package", b"Architecture", noun="package")),
    ("var/lib/dpkg/diversions", Diversions()),
    ("var/lib/dpkg/statoverride", Lines(lines.override, "the override of")),
    ("var/lib/dpkg/triggers/File", Lines(lines.interest, "the trigger")),
    ("var/lib/dpkg/triggers/Unincorp", Lines(lines.activation, "the trigger")),
    (r"var/lib/dpkg/triggers/[a-z0-9][^/]*", Lines(lines.package, "the trigger of")),
    (r"var/lib/dpkg/alternatives/[^/]+", Alternatives()),
    (r"var/cache/debconf/config\.dat", Stanzas(b"Name", owner=b"Owners", noun="question")),
    (r"var/cache/debconf/passwords\.dat", Stanzas(b"Name", owner=b"Owners", noun="question")),
    (r"var/cache/debconf/templates\.dat", Stanzas(b"Name", owner=b"Owners", noun="template")),
    ("var/lib/ucf/hashfile", Lines(lines.last_word, "the file")),
    ("var/lib/ucf/registry", Lines(lines.registered, "the file")),
    ("var/lib/pam/seen", Lines(lines.whole, "the profile")),
    (r"(?:usr/)?lib/apk/db/installed", Stanzas(b"P", noun="package")),
    (r"(?:usr/)?lib/apk/db/scripts\.tar", Tar()),
    (r"(?:usr/)?lib/apk/db/scripts\.tar\.gz", CompressedTar()),
    (r"(?:usr/)?lib/apk/db/triggers", Lines(lines.first_word, "the trigger of")),
    ("etc/apk/world", Lines(lines.world, "package")),
    ("etc/passwd", PASSWD),
    ("etc/shadow", SHADOW),
    ("etc/group", GROUP),
    ("etc/gshadow", GSHADOW),
    (r"etc/sub[ug]id", Ranges()),
    ("etc/shells", Lines(lines.path, "the shell")),
    (r"etc/ld\.so\.cache", LoaderCache()),
    (
        r"etc/ssl/certs/ca-certificates\.crt|etc/ssl/cert\.pem|etc/pki/ca-trust/extracted/.*\.pem",
        Certificates(),
    ),
    (
        r"usr/share/applications/mimeinfo\.cache|usr/lib/(?:.*/)?gio/modules/giomodule\.cache",
        Lines(lines.whole, "the line"),
    ),
    (r"(?:.*/)?(?:site|dist)-packages/easy-install\.pth", Lines(lines.whole, "the line")),
    (
        r"var/log/(?:dpkg|alternatives|bootstrap|fontconfig|dnf|dnf\.rpm|dnf\.librepo|yum|pacman"
        r"|apk|hawkey)\.log|var/log/apt/(?:history|term)\.log"
        r"|var/lib/envgit/apt-transactions|(?:.*/)?conda-meta/history",
        Log(),
    ),
)
_ALL = re.compile("|".join(f"({place})" for place, _ in _PLACES).encode(), re.DOTALL)
_JSON = re.compile(rb"(?:.*/)?(?:package|package-lock|npm-shrinkwrap|\.crates2)\.json", re.DOTALL)
_RPM = re.compile(rb"(?:usr/lib/sysimage/rpm|var/lib/rpm)/rpmdb\.sqlite")


def format_for(path: bytes) -> Format | None:
    """The format of the file at ``path`` of an environment; None: it is not one of entries."""
    found = _ALL.fullmatch(path)
    if found is not None and found.lastindex:
        return _PLACES[found.lastindex - 1][1]
    if _JSON.fullmatch(path):
        return _json()
    return _rpm() if _RPM.fullmatch(path) else None


@cache
def _json() -> Format:
    from envgit.packages.records.jsonfile import Json

    return Json()


@cache
def _rpm() -> Format:
    # sqlite3 takes a while to load, and few environments have rpm.
    from envgit.packages.records.rpmdb import RpmDatabase

    return RpmDatabase()
