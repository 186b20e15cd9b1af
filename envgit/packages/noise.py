# SPDX-License-Identifier: Apache-2.0
"""Paths that tell nothing of a package: what is made anew from everything, and what is written on
the way.

Sources: the FHS, file-hierarchy(7), ldconfig(8), apt.conf(5), dpkg(1), and the triggers of Debian
12's packages (``var/lib/dpkg/triggers/File``), whose products the first class lists.
"""

from __future__ import annotations

import re

GENERATED = "indexes and bytecode"
"""The class of what is generated from what is installed."""

MANAGERS = "package managers' caches, locks and logs"
"""The class of what managers write for themselves."""

# Tried in this order, the likeliest to matter first.
_CLASSES: tuple[tuple[str, re.Pattern[bytes]], ...] = (
    (
        GENERATED,
        re.compile(
            rb"""(?:.*/)?__pycache__/[^/]+\.pyc
            |(?:.*/)?(?:icon-theme\.cache|mimeinfo\.cache|gschemas\.compiled|loaders\.cache
                |giomodule\.cache|immodules\.cache|fonts\.(?:dir|scale)|ls-R|plugins\.dat)
            |usr/share/mime/.*|usr/share/info/dir(?:\.old)?|usr/lib/locale/locale-archive
            |etc/ld\.so\.cache|var/cache/(?:ldconfig|fontconfig|man)/.*
            |(?:usr/lib|etc)/udev/hwdb\.bin|usr/lib/modules/[^/]+/modules\.[^/]*
            |var/lib/(?:ucf|systemd/catalog)/.*""",
            re.DOTALL | re.VERBOSE,
        ),
    ),
    (
        "initramfs",
        re.compile(rb"boot/(?:initrd|initramfs)[^/]*|var/lib/initramfs-tools/.*", re.DOTALL),
    ),
    (
        MANAGERS,
        re.compile(
            rb"""var/(?:cache|log|lib)/apt/.*|var/lib/(?:dpkg|aptitude|rpm|dnf|yum)/.*
            |var/lib/envgit/.*|var/log/(?:dpkg|alternatives|bootstrap|apk|pacman|dnf|yum|hawkey)[^/]*
            |var/cache/(?:debconf|dnf|yum|apk|pacman)/.*|lib/apk/db/[^/]*|var/lib/pacman/.*
            |etc/(?:passwd|group|shadow|gshadow|subuid|subgid)-|etc/\.pwd\.lock
            |(?:.*/)?(?:\.npm|\.gem|\.cargo/registry)/.*|(?:.*/)?conda-meta/history
            |(?:.*/)?node_modules/\.package-lock\.json|(?:.*/)?pkgs/(?:cache/.*|urls(?:\.txt)?)""",
            re.DOTALL | re.VERBOSE,
        ),
    ),
    (
        "logs, caches and temporary files",
        re.compile(
            rb"""(?:var/(?:log|cache|tmp)|tmp|run|(?:root|home/[^/]+)/\.cache)(?:/.*)?
            |(?:root|home/[^/]+)/\.(?:bash_history|python_history|wget-hsts|lesshst|viminfo)""",
            re.DOTALL | re.VERBOSE,
        ),
    ),
)

NAMES = tuple(name for name, _ in _CLASSES)


def class_of(path: bytes) -> str | None:
    """The class that a path is noise of, or None."""
    for name, pattern in _CLASSES:
        if pattern.fullmatch(path):
            return name
    return None
