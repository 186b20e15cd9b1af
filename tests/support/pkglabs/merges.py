# SPDX-License-Identifier: Apache-2.0
"""Two branches of an environment in which apt and pip did something, to be merged and checked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from tests.support import cli
from tests.support.pkglabs.place import Environment

APT = """export DEBIAN_FRONTEND=noninteractive PIP_ROOT_USER_ACTION=ignore PIP_NO_CACHE_DIR=1
install() { apt-get -q -y install "$@" >/dev/null; }
remove() { apt-get -q -y remove "$@" >/dev/null; }
purge() { apt-get -q -y purge "$@" >/dev/null; }
pip_install() { pip install -q --break-system-packages --no-index --find-links /wheels "$@"; }
pip_remove() { pip uninstall -q -y --break-system-packages "$@"; }
"""

VALID = r"""
test -z "$(dpkg --audit)"
apt-get -q check >/dev/null
dpkg --verify
dpkg --configure -a
cat /var/lib/dpkg/info/*.list | sort -u | while read -r path; do
    case $path in /usr/share/doc/*|/usr/share/man/*|/usr/share/locale/*) continue ;; esac
    test -e "$path" || test -L "$path" || echo "missing: $path"
done
for link in /etc/alternatives/*; do test -e "$link" || case $(readlink "$link") in
    /usr/share/man/*) ;; *) echo "dangling: $link" ;; esac; done
pwck -qr; grpck -r
pip check -q 2>/dev/null || pip check
"""


@dataclass
class Lab:
    """One environment; each test works on branches of its own."""

    env: Environment
    numbers: Iterator[int] = field(default_factory=count)

    def diverge(self, ours: str, theirs: str, start: str = "base") -> str:
        """Two branches on which shell scripts ran; HEAD is on ours. The name of theirs."""
        number = next(self.numbers)
        for name, script in ((f"their{number}", theirs), (f"our{number}", ours)):
            self.env.envgit("switch", "-q", "-c", name, start).ok()
            self.env.sh(APT + script, message=script)
        return f"their{number}"

    def merge(self, *words: str) -> cli.Result:
        return self.env.envgit("merge", "-n", "--no-edit", *words)

    def sh(self, script: str, message: str = "") -> str:
        return self.env.sh(APT + script, message=message)

    def check(self) -> None:
        """All that the managers can tell is well, and they can go on from here."""
        checked = self.env.envgit("run", "--rm", "--", "sh", "-ec", VALID).ok()
        assert checked.stdout == ""

    def has(self, *names: str) -> list[str]:
        """The versions of packages; empty for one that is not installed."""
        told = self.sh("dpkg-query -W -f '${Package} ${db:Status-Status} ${Version}\\n'")
        found = dict(
            (row[0], row[2]) for row in map(str.split, told.splitlines()) if row[1] == "installed"
        )
        return [found.get(name, "") for name in names]

    def clean(self) -> None:
        self.env.envgit("reset", "-q", "--hard").ok()
