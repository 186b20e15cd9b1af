# SPDX-License-Identifier: Apache-2.0
"""Debian packages whose scripts do what real ones do: users, alternatives, diversions, triggers."""

from __future__ import annotations

from tests.support.pkglabs.debs import Deb


def _tool(name: str, version: str, priority: int) -> Deb:
    """One of the choices for ``tool``, with a manual page as its slave."""
    path, page = f"usr/bin/tool-{name}", f"usr/share/man/man1/tool-{name}.1"
    return Deb(
        f"tool-{name}",
        version,
        {path: f"#!/bin/sh\necho {name} {version}\n", page: f"tool {name} {version}\n"},
        scripts={
            "postinst": f"update-alternatives --install /usr/bin/tool tool /{path} {priority}"
            f" --slave /usr/share/man/man1/tool.1 tool.1 /{page}",
            "prerm": f'[ "$1" = upgrade ] || update-alternatives --remove tool /{path}',
        },
    )


def library() -> list[Deb]:
    """``lib`` and ``app``, which needs the same version of it, in versions 1 and 2, and others."""
    service = {
        "postinst": "getent passwd svc >/dev/null || useradd -r -d /var/lib/svc svc\n"
        "mkdir -p /var/lib/svc/run\nchown -R svc:svc /var/lib/svc",
    }
    made = [
        Deb(
            "svc",
            "1",
            {"usr/bin/svc": "#!/bin/sh\nid svc\n", "var/lib/svc/seed": "1\n"},
            scripts=service,
        ),
        Deb("gone", "1", {"usr/share/gone/x": "x\n", "usr/share/gone/deep/y": "y\n"}),
        _tool("b", "1", 20),
    ]
    for version in ("1", "2"):
        made += [
            Deb("lib", version, {"usr/lib/lab/lib": f"lib {version}\n"}),
            Deb(
                "app",
                version,
                {"usr/lib/lab/app": f"app {version}\n"},
                depends=f"lib (= {version})",
            ),
            Deb(
                "conf",
                version,
                {"etc/lab.conf": f"version {version}\n", "usr/lib/lab/conf": version},
                conffiles=("etc/lab.conf",),
            ),
            Deb(
                "watch",
                version,
                {"usr/lib/lab/watch": version},
                triggers="interest-noawait /usr/lib/lab\n",
                scripts={"postinst": "mkdir -p /var/lib/watch; date > /var/lib/watch/index"},
            ),
            Deb(
                "div",
                version,
                {f"usr/share/div/{version}": version},
                scripts={
                    "preinst": f'[ "{version}" = 1 ] || dpkg-divert --package div --rename'
                    " --divert /etc/issue.real --add /etc/issue"
                },
            ),
            _tool("a", version, 10),
        ]
    return made
