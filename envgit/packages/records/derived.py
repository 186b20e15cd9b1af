# SPDX-License-Identifier: Apache-2.0
"""Files that programs make of other files, and what a merge of two of them may do.

Every line has its reason: what is dropped is made anew by the next program that wants it; of what
is taken from us nothing else reads more than a hint; what needs a command is named with it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

DROP, OURS = "drop", "ours"


class Derived(NamedTuple):
    """What becomes of a file that both sides changed: ``DROP`` or ``OURS``, and why; ``remake`` is
    the command that makes it right, where nothing does so by itself."""

    action: str
    reason: str
    remake: str = ""


_TABLE: tuple[tuple[str, Derived], ...] = (
    # -- dropped: made anew when it is missed
    (r"(?:.*/)?__pycache__/[^/]*\.pyc", Derived(DROP, "Python compiles its source again")),
    (r"var/cache/apt/(?:src)?pkgcache\.bin", Derived(DROP, "apt builds it when it is missing")),
    (r"var/cache/ldconfig/aux-cache", Derived(DROP, "ldconfig builds it when it is missing")),
    (r"var/cache/fontconfig/.*", Derived(DROP, "fontconfig scans the fonts again")),
    (r"var/cache/man/.*", Derived(DROP, "man-db reads the manual pages when it has no index")),
    (r"usr/share/mime/mime\.cache", Derived(DROP, "xdgmime reads globs2 and magic without it")),
    (r"usr/share/icons/.*/icon-theme\.cache", Derived(DROP, "GTK scans the theme without it")),
    (r"var/cache/(?:dnf|yum|apk|pacman)/.*", Derived(DROP, "the package manager fetches it again")),
    (
        r"(?:usr/lib/sysimage/rpm|var/lib/rpm)/(?:\.rpm\.lock|rpmdb\.sqlite-shm)",
        Derived(DROP, "a lock, and sqlite's index of a log, are nobody's once nothing runs"),
    ),
    (r"(?:.*/)?node_modules/\.package-lock\.json", Derived(DROP, "npm reads the directories")),
    (r"root/\.(?:cache|npm/_cacache|npm/_logs)/.*", Derived(DROP, "a cache of downloads")),
    (r"var/lib/dpkg/lock(?:-frontend)?", Derived(DROP, "a lock is nobody's once nothing runs")),
    # -- ours: backups, counters and hints
    (
        r"var/lib/dpkg/(?:status|available|diversions|statoverride)-old",
        Derived(OURS, "dpkg's backup of what was before: that is ours"),
    ),
    (r"var/lib/dpkg/available", Derived(OURS, "what dselect saw; apt does not read it")),
    (r"var/backups/.*", Derived(OURS, "a backup of what was before: that is ours")),
    (r"var/cache/debconf/[^/]*-old", Derived(OURS, "debconf's backup: ours")),
    (r"etc/(?:passwd|shadow|group|gshadow|subuid|subgid)-", Derived(OURS, "shadow's backup: ours")),
    (r"var/lib/apt/periodic/.*", Derived(OURS, "when apt last did something")),
    (r"var/lib/apt/lists/.*", Derived(OURS, "apt-get update fetches it again")),
    (r"var/log/(?:lastlog|faillog|tallylog|wtmp|btmp)", Derived(OURS, "who logged in: ours")),
    (r"var/log/apt/eipp\.log\.xz", Derived(OURS, "what apt last asked its planner")),
    (r"var/log/journal/.*", Derived(OURS, "a journal of its own machine's boot")),
    (r"var/lib/systemd/(?:random-seed|credential\.secret|timesync/clock)", Derived(OURS, "a seed")),
    (r"var/lib/misc/random-seed", Derived(OURS, "a seed")),
    (r"var/lib/(?:dnf|PackageKit)/.*", Derived(OURS, "the history of dnf's transactions: ours")),
    (r"etc/\.pwd\.lock", Derived(OURS, "a lock without content")),
    # -- ours, and a command that makes it right
    (
        r"usr/lib/locale/locale-archive",
        Derived(OURS, "it has the locales of one side", "locale-gen"),
    ),
    (
        r"usr/share/glib-2\.0/schemas/gschemas\.compiled",
        Derived(
            OURS,
            "it has the schemas of one side",
            "glib-compile-schemas /usr/share/glib-2.0/schemas",
        ),
    ),
    (r"usr/share/info/dir(?:\.old)?", Derived(OURS, "it lists one side", "update-info-dir")),
    (
        r"etc/ssl/certs/java/cacerts",
        Derived(OURS, "it has the certificates of one side", "update-ca-certificates -f"),
    ),
    (
        r"var/lib/systemd/catalog/database",
        Derived(OURS, "it has the messages of one side", "journalctl --update-catalog"),
    ),
    (
        r"usr/lib/udev/hwdb\.bin|etc/udev/hwdb\.bin",
        Derived(OURS, "it has the devices of one side", "systemd-hwdb update"),
    ),
    (
        r"boot/grub/grub\.cfg|boot/initrd\.img-.*",
        Derived(OURS, "it was made for one side", "update-initramfs -u"),
    ),
)
# All in one expression: this is asked of every path that both sides changed.
_ALL = re.compile(b"|".join(b"(%b)" % pattern.encode() for pattern, _ in _TABLE), re.DOTALL)


def derived(path: bytes) -> Derived | None:
    """What becomes of a path, or None where it is not made of others."""
    found = _ALL.fullmatch(path)
    return _TABLE[found.lastindex - 1][1] if found is not None and found.lastindex else None
