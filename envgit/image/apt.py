# SPDX-License-Identifier: Apache-2.0
"""The machine's own apt sources, read so that a new environment uses the same mirrors.

Both forms of sources.list(5) are read, the one-line form and deb822. Only the Debian archive's own
entries are kept: a third party's repository is no part of a fresh Debian. Everything but
`host_sources` is pure text in, values out.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

_COMPONENTS = frozenset({"main", "contrib", "non-free", "non-free-firmware"})
_MIRROR_DIRECTORIES = frozenset({"debian", "debian-security", "debian-archive"})
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

# Suites that have no pockets beside them, and those from before the pocket "-security" (it was
# "/updates" up to Debian 10) and the component non-free-firmware (Debian 12).
_ROLLING = frozenset({"sid", "unstable", "experimental", "rc-buggy"})
_OLD_SECURITY = frozenset({"buster", "stretch", "jessie", "wheezy"})
_NO_FIRMWARE = _OLD_SECURITY | {"bullseye"}
_POCKETS = ("", "-updates", "-security", "/updates")

# sources.list(5): one-line option -> deb822 field. Others have the same name in both forms.
_FIELDS = {
    "arch": "Architectures",
    "lang": "Languages",
    "target": "Targets",
    "pdiffs": "PDiffs",
}
_ONE_LINE = re.compile(
    r"deb\s+(?:\[(?P<options>[^\]]*)\]\s*)?(?P<uri>\S+)\s+(?P<suite>\S+)(?P<rest>.*)"
)


@dataclass(frozen=True, slots=True)
class AptSource:
    """One stanza of sources.list(5); ``options`` are its other deb822 fields, as they stand."""

    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    options: tuple[tuple[str, str], ...] = ()

    @property
    def signed_by(self) -> str | None:
        """Path of the keyring, an embedded key, or None."""
        return next((value for name, value in self.options if name.lower() == "signed-by"), None)

    def stanza(self) -> str:
        """The deb822 text, with a newline at its end."""
        fields = [
            ("Types", "deb"),
            ("URIs", " ".join(self.uris)),
            ("Suites", " ".join(self.suites)),
            ("Components", " ".join(self.components)),
            *self.options,
        ]
        # The value of a multi-line field begins on the next line, so no space may follow its name.
        return "".join(
            f"{name}:{value}\n" if value.startswith("\n") else f"{name}: {value}\n"
            for name, value in fields
        )


def parse_one_line(text: str) -> Iterator[AptSource]:
    """Read ``deb [options] URI suite component...`` lines and pass over all others."""
    for raw in text.splitlines():
        matched = _ONE_LINE.fullmatch(raw.partition("#")[0].strip())
        if matched is None:
            continue
        options = []
        for word in (matched["options"] or "").split():
            name, _, value = word.partition("=")
            suffix = {"+": "-Add", "-": "-Remove"}.get(name[-1:], "")
            name = name.rstrip("+-")
            field = _FIELDS.get(name, "-".join(part.capitalize() for part in name.split("-")))
            options.append((field + suffix, value.replace(",", " ")))
        yield AptSource(
            (matched["uri"],), (matched["suite"],), tuple(matched["rest"].split()), tuple(options)
        )


def parse_deb822(text: str) -> Iterator[AptSource]:
    """Read stanzas; disabled ones and those without binary packages are passed over."""
    for block in re.split(r"\n[ \t]*\n", text):
        fields: dict[str, tuple[str, str]] = {}
        current = ""
        for line in block.splitlines():
            if line.startswith("#"):
                continue
            if line[:1] in (" ", "\t") and current:
                name, value = fields[current]
                fields[current] = (name, f"{value}\n{line}")
            elif ":" in line:
                name, _, value = line.partition(":")
                current = name.strip().lower()
                fields[current] = (name.strip(), value.strip())
        words = {key: tuple(value.split()) for key, (_, value) in fields.items()}
        enabled = fields.get("enabled", ("", "yes"))[1].lower() not in ("no", "false", "0", "off")
        if enabled and "deb" in words.get("types", ()) and {"uris", "suites"} <= words.keys():
            yield AptSource(
                words["uris"],
                words["suites"],
                words.get("components", ()),
                tuple(
                    pair
                    for key, pair in fields.items()
                    if key not in ("types", "uris", "suites", "components", "enabled")
                ),
            )


def host_sources(directory: str = "/etc/apt") -> list[AptSource]:
    """Read ``sources.list`` and ``sources.list.d``; files that are not there are no error."""
    parts = os.path.join(directory, "sources.list.d")
    names = sorted(os.listdir(parts)) if os.path.isdir(parts) else []
    found: list[AptSource] = []
    for path in [os.path.join(directory, "sources.list"), *(os.path.join(parts, n) for n in names)]:
        parse = parse_deb822 if path.endswith(".sources") else parse_one_line
        if path.endswith((".list", ".sources")) and os.path.isfile(path):
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                found.extend(_without_mirror_files(source) for source in parse(file.read()))
    return [source for source in found if source.uris]


def _without_mirror_files(source: AptSource) -> AptSource:
    """Replace ``mirror+file:`` (Debian's cloud images use it) by what that file lists.

    The file would not be there inside the environment. cdrom: is dropped for the same reason.
    """
    uris: list[str] = []
    for uri in source.uris:
        scheme, _, rest = uri.partition(":")
        if scheme in ("mirror+file", "mirror") and rest.startswith("/"):
            try:
                with open(re.sub(r"\A/+", "/", rest), encoding="utf-8") as file:
                    uris.extend(line.split()[0] for line in file if re.match(r"\w+:", line))
            except OSError:
                continue
        elif scheme != "cdrom":
            uris.append(uri)
    return replace(source, uris=tuple(uris))


def is_debian(source: AptSource) -> bool:
    """Whether this is (a mirror of) the Debian archive, judged by names: nothing is asked."""
    if not source.components or not _COMPONENTS.issuperset(source.components):
        return False
    signed_by = source.signed_by
    return (
        signed_by is None
        or all(os.path.basename(p).startswith("debian-archive-") for p in signed_by.split())
        or all(u.rstrip("/").rsplit("/", 1)[-1] in _MIRROR_DIRECTORIES for u in source.uris)
    )


def sources_for(suite: str, sources: Iterable[AptSource], *, keyring: bool) -> list[AptSource]:
    """The sources of ``suite``: the machine's own, or its mirrors asked for another suite.

    ``keyring`` says whether Debian's archive keyring is installed in its usual place; it is named
    only when the machine has no Debian source at all and the public mirror is used.
    """
    debian = [source for source in sources if is_debian(source)]
    own = [_only(source, suite) for source in debian]
    if any(suite in source.suites for source in own):
        return [source for source in own if source.suites]
    if not debian:
        options = (("Signed-By", _KEYRING),) if keyring else ()
        base = "http://deb.debian.org/debian"
        names = ("bookworm", "bookworm-updates")
        debian = [
            AptSource((base,), names, ("main",), options),
            AptSource((f"{base}-security",), ("bookworm-security",), ("main",), options),
        ]
    translated = [_translated(source, suite) for source in debian]
    return [source for source in translated if source.suites and source.components]


def _only(source: AptSource, suite: str) -> AptSource:
    pocket = re.compile(re.escape(suite) + r"(?:[-/].+)?\Z")
    return replace(source, suites=tuple(name for name in source.suites if pocket.match(name)))


def _translated(source: AptSource, suite: str) -> AptSource:
    """The same mirror's entry for another suite, without pockets that the other does not have."""
    wanted: list[str] = []
    for name in source.suites:
        base = re.split(r"[-/]", name, maxsplit=1)[0]
        pocket = name[len(base) :]
        if pocket not in _POCKETS or (pocket and suite in _ROLLING):
            continue
        if pocket in ("-security", "/updates"):
            pocket = "/updates" if suite in _OLD_SECURITY else "-security"
        if suite + pocket not in wanted:
            wanted.append(suite + pocket)
    components = tuple(
        name
        for name in source.components
        if not (name == "non-free-firmware" and suite in _NO_FIRMWARE)
    )
    return replace(source, suites=tuple(wanted), components=components)
