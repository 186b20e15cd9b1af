# SPDX-License-Identifier: Apache-2.0
"""A fresh Debian as an environment's first content, made by mmdebstrap(1) from the host's mirrors.

mmdebstrap is used and not debootstrap because it installs with apt, so that it takes extra
packages, every kind of mirror and the security updates in one go, and is several times as fast. It
runs as a program of its own with an environment that holds only what is named in `_INHERITED`.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

from envgit.errors import EnvgitError
from envgit.image import apt

Runner = Callable[[Sequence[str], Mapping[str, str], Callable[[str], None]], int]
"""Runs a command in an environment, gives each line it says to the function; the exit status."""

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_INHERITED = (
    *(f"{scheme}_proxy" for scheme in ("http", "https", "ftp", "no", "all")),
    *(f"{scheme}_PROXY" for scheme in ("HTTP", "HTTPS", "FTP", "NO", "ALL")),
    "SOURCE_DATE_EPOCH",
    "TMPDIR",
)
_NOTHING: Mapping[str, str] = MappingProxyType({})

# How the machine's apt reaches its mirrors and what it overlooks in them, not how it installs.
_APT_OPTIONS = re.compile(
    r"Acquire::(?:https?::.+|ftp::.+|Check-Valid-Until|Check-Date|Min-ValidTime"
    r"|Max-FutureTime|Retries|ForceIPv[46])\Z",
    re.IGNORECASE,
)
# Options that name files of the machine: of use while bootstrapping, broken inside the environment.
_APT_FILES = re.compile(
    r"::(?:CAInfo|CAPath|SslCert|SslKey|CRLFile|IssuerCert|Proxy-Auto-Detect)\b", re.I
)

# Every apt-get would otherwise add its caches and packages to the next commit, some 100 MB that apt
# can make or fetch again, and package lists at four times their size. Docker's Debian images have
# the same settings; the lists themselves stay, so that `apt-get install` works at once.
_LEAN_LISTS = {
    "Acquire::GzipIndexes": "true",
    "Acquire::Languages": "none",
}
_LEAN = {
    **_LEAN_LISTS,
    "APT::Keep-Downloaded-Packages": "false",
    "Dir::Cache::pkgcache": "",
    "Dir::Cache::srcpkgcache": "",
}

# What apt and mmdebstrap say -> what to tell the user. Seen with apt 2.6 and mmdebstrap 1.3.5.
_EXPLANATIONS = (
    (
        r"No space left on device",
        "the disk is full",
        "free some space and try again",
    ),
    (
        r"Temporary failure resolving|Could not resolve|Could not connect|Unable to connect"
        r"|Connection (?:refused|timed out|failed)|Network is unreachable|No route to host",
        "the mirror cannot be reached",
        "check the network, and http_proxy if there is a proxy",
    ),
    (
        r"Unable to locate package|has no installation candidate|Couldn't find any package",
        "a package is not in this suite",
        "apt-cache policy PACKAGE shows what your mirror has",
    ),
    (
        r"NO_PUBKEY|EXPKEYSIG|is not signed|couldn't be verified",
        "the mirror's signature cannot be verified",
        "upgrade debian-archive-keyring on this machine",
    ),
    (
        r"does not have a Release file|404 +Not Found|invalid suite",
        "no such suite on this machine's mirrors",
        "see /etc/apt/sources.list.d; releases that ended are on archive.debian.org",
    ),
)


class BootstrapError(EnvgitError):
    """mmdebstrap is missing or failed; ``log`` is all that it said, a line an element."""

    def __init__(self, message: str, *, hint: str | None = None, log: Sequence[str] = ()) -> None:
        super().__init__(message, hint=hint)
        self.log = tuple(log)


def bootstrap(
    suite: str,
    packages: Sequence[str],
    dest: str,
    *,
    environment: Mapping[str, str] = _NOTHING,
    progress: Callable[[str], None] | None = None,
    run: Runner | None = None,
) -> None:
    """Make the directory ``dest`` (missing or empty) a minimal Debian plus ``packages``.

    ``environment`` is the caller's; of it only proxies, TMPDIR, PATH and SOURCE_DATE_EPOCH count.
    With SOURCE_DATE_EPOCH no file is newer than that many seconds since 1970. ``progress`` gets
    mmdebstrap's own lines. Raises `BootstrapError`; ``dest`` is then to be thrown away.
    """
    path = environment.get("PATH") or _PATH
    if shutil.which("mmdebstrap", path=path) is None:
        raise BootstrapError(
            "debian: sources need mmdebstrap, which is not installed",
            hint="apt-get install mmdebstrap",
        )
    inherited = {name: environment[name] for name in _INHERITED if name in environment}
    child = {"PATH": path, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", **inherited}
    sources = apt.sources_for(
        suite,
        apt.host_sources(),
        keyring=os.path.exists("/usr/share/keyrings/debian-archive-keyring.gpg"),
    )
    options = _host_options(child)
    log: list[str] = []

    def heard(line: str) -> None:
        log.append(line)
        if progress is not None:
            progress(line.removeprefix("I: "))

    with tempfile.TemporaryDirectory(prefix="envgit-debian-") as scratch:
        listed = os.path.join(scratch, "debian.sources")
        with open(listed, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write("\n".join(source.stanza() for source in sources))
        status = (run or _run)(command_line(suite, packages, dest, listed, options), child, heard)
    if status != 0:
        raise _explained(suite, status, log)
    _finish(dest, sources, options)
    if (epoch := inherited.get("SOURCE_DATE_EPOCH", "")).isdigit():
        _clamp(dest, int(epoch))


def command_line(
    suite: str, packages: Sequence[str], dest: str, listed: str, options: Mapping[str, str]
) -> list[str]:
    """mmdebstrap's arguments; ``listed`` is a file in deb822 form, ``options`` are apt's."""
    return [
        "mmdebstrap",
        # Root of a user namespace is root enough; what cannot be done there fails with a reason.
        "--mode=root",
        "--variant=minbase",
        "--format=directory",
        *([f"--include={','.join(packages)}"] if packages else []),
        "--skip=cleanup/apt/lists",
        *(f'--aptopt={name} "{value}"' for name, value in {**options, **_LEAN_LISTS}.items()),
        suite,
        dest,
        listed,
    ]


def _host_options(environment: Mapping[str, str]) -> dict[str, str]:
    """The machine's apt options for reaching mirrors; empty without apt."""
    try:
        dumped = subprocess.run(
            ["apt-config", "dump"],
            env=dict(environment),
            capture_output=True,
            text=True,
            check=False,
        ).stdout
    except FileNotFoundError:
        return {}
    return pick_options(dumped.splitlines())


def pick_options(lines: Iterable[str]) -> dict[str, str]:
    """From ``apt-config dump``: what concerns reaching the mirrors."""
    found = {}
    for line in lines:
        matched = re.fullmatch(r'(\S+) "([^"]+)";', line)
        if matched and _APT_OPTIONS.match(matched[1]):
            found[matched[1]] = matched[2]
    return found


def _run(
    arguments: Sequence[str], environment: Mapping[str, str], heard: Callable[[str], None]
) -> int:
    # A session of its own would keep Ctrl-C from it: mmdebstrap must get that, to unmount and tidy.
    with subprocess.Popen(
        list(arguments),
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                heard(line.rstrip())
        except BaseException:
            process.terminate()
            raise
        return process.wait()


def _explained(suite: str, status: int, log: Sequence[str]) -> BootstrapError:
    """The reason that the user can do something about, else the last word mmdebstrap had."""
    for pattern, what, hint in _EXPLANATIONS:
        if line := next((line for line in log if re.search(pattern, line)), None):
            said = re.sub(r"\A[EWI]: ", "", line).strip()
            return BootstrapError(f"debian:{suite}: {what} ({said})", hint=hint, log=log)
    errors = [line[3:] for line in log if line.startswith("E: ")]
    said = errors[-1] if errors else f"exit status {status}"
    return BootstrapError(f"debian:{suite}: mmdebstrap failed: {said}", log=log)


def _finish(dest: str, sources: Sequence[apt.AptSource], options: Mapping[str, str]) -> None:
    """Take out what belongs to the machine, put in what makes apt work inside.

    mmdebstrap copies the machine's resolv.conf and hostname, and makes device nodes; the sandbox
    lays its own over all of these, and the names have to exist for that.
    """
    for name in os.listdir(os.path.join(dest, "dev")):
        path = os.path.join(dest, "dev", name)
        if stat.S_ISDIR(os.lstat(path).st_mode):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    _write(dest, "etc/resolv.conf", "")
    _write(dest, "etc/hostname", "")
    _write(dest, "etc/hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
    for name in ("apt.conf.d/99mmdebstrap", "sources.list.d/0000debian.sources"):
        if os.path.lexists(os.path.join(dest, "etc/apt", name)):
            os.unlink(os.path.join(dest, "etc/apt", name))
    text = "\n".join(source.stanza() for source in sources)
    _write(dest, "etc/apt/sources.list.d/debian.sources", text)
    _write(dest, "etc/apt/apt.conf.d/99envgit", _apt_configuration(options))
    for source in sources:
        keyring = source.signed_by or ""
        if keyring.startswith("/") and os.path.isfile(keyring):
            inside = os.path.join(dest, keyring.lstrip("/"))
            if not os.path.lexists(inside) and os.path.isdir(os.path.dirname(inside)):
                shutil.copyfile(keyring, inside)


def _apt_configuration(options: Mapping[str, str]) -> str:
    """What stays in the environment's apt.conf.d: small commits, and the way to the mirrors."""
    lasting = {name: value for name, value in options.items() if not _APT_FILES.search(name)}
    parts = ["// Written by envgit: keep out of commits what apt can make or fetch again.\n"]
    parts += [f'{name} "{value}";\n' for name, value in _LEAN.items()]
    if lasting:
        parts.append("// How the machine that made this environment reaches its mirrors.\n")
        parts += [f'{name} "{value}";\n' for name, value in lasting.items()]
    return "".join(parts)


def _write(dest: str, name: str, text: str) -> None:
    """Replace a file; unlinked first, so that no link in the new tree is ever written through."""
    path = os.path.join(dest, name)
    if os.path.lexists(path):
        os.unlink(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    with open(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
        os.fchmod(descriptor, 0o644)
        file.write(text)


def _clamp(dest: str, epoch: int) -> None:
    """Set every modification time that is newer than ``epoch`` back to it."""
    for directory, folders, files in os.walk(dest, topdown=False):
        for name in [*files, *folders]:
            path = os.path.join(directory, name)
            if os.lstat(path).st_mtime > epoch:
                os.utime(path, (epoch, epoch), follow_symlinks=False)
