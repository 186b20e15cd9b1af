# SPDX-License-Identifier: Apache-2.0
"""A run as a frozen value: everything that will be done is decided, and can be printed, beforehand.

``make_plan`` is pure: it reads no file and no environment variable, so that planning is tested
without root. ``supervisor.run`` executes a plan.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any, NamedTuple

from envgit.sandbox import capabilities
from envgit.sandbox.failure import SandboxError
from envgit.sandbox.mounts import (
    SAFE,
    Bind,
    Content,
    Devices,
    Filesystem,
    Guarded,
    Operation,
    ReadOnlyRoot,
    WorkingDirectory,
)
from envgit.sandbox.roots import JoinRoot, OverlayRoot, Root
from envgit.sandbox.syscalls import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUTS,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
)

__all__ = ["JoinRoot", "OverlayRoot", "Plan", "RunOptions", "make_plan"]

# Docker's own default (moby, oci/defaults.go), which images are written for.
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# The OCI runtime specification's default lists (config-linux.md, "Masked paths", "Readonly
# paths"), as runc, crun and Docker fill them; interrupts and thermal_throttle leak timings
# (CVE-2024-class side channels), which Docker masks since 27.
_MASKED_PROC = (
    "acpi", "asound", "interrupts", "kcore", "keys", "latency_stats", "sched_debug", "scsi",
    "timer_list", "timer_stats",
)  # fmt: skip
_MASKED_SYS = ("devices/virtual/powercap", "firmware")
_READ_ONLY_PROC = ("bus", "fs", "irq", "sys", "sysrq-trigger")

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_DEV_LINKS = (
    ("fd", "/proc/self/fd"),
    ("ptmx", "pts/ptmx"),
    ("stderr", "/proc/self/fd/2"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
)

_NAMESPACES = (
    ("mount", CLONE_NEWNS),
    ("pid", CLONE_NEWPID),
    ("ipc", CLONE_NEWIPC),
    ("uts", CLONE_NEWUTS),
    ("cgroup", CLONE_NEWCGROUP),
    ("network", CLONE_NEWNET),
)


class RunOptions(NamedTuple):
    """What the user asked for, as ``docker run`` names it.

    ``argv`` replaces the image's Cmd; ``entrypoint`` replaces its Entrypoint and forgets its Cmd.
    ``env`` is ordered pairs, later ones win. ``volumes`` are ``SRC:DST[:ro]`` with an absolute SRC,
    ``tmpfs`` are ``DST[:option,...]``. ``network`` is "host" (so is None) or "none". ``tty`` gives
    the command a terminal of its own; ``interactive`` lets it read our standard input, else it
    reads /dev/null. ``term`` is the host's TERM, used with a tty only. ``rlimits`` are (resource
    number, soft, hard).
    """

    argv: tuple[str, ...] = ()
    entrypoint: str | None = None
    env: tuple[tuple[str, str], ...] = ()
    workdir: str | None = None
    user: str | None = None
    volumes: tuple[str, ...] = ()
    tmpfs: tuple[str, ...] = ()
    network: str | None = None
    hostname: str | None = None
    read_only: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    interactive: bool = True
    tty: bool = False
    term: str | None = None
    rlimits: tuple[tuple[int, int, int], ...] = ()
    seccomp: bool = True


class Plan(NamedTuple):
    """Everything that a run will do, in order. ``describe()`` says it in words.

    ``user`` is looked up in the environment's passwd when it is mounted; HOME comes from there
    unless ``env`` has it. ``seccomp_cache`` is the host directory that keeps the compiled filter;
    ``seccomp`` false means no filter. Room is left for what later issues add: a user namespace
    with its id maps, a network of its own, limits through a cgroup.
    """

    root: Root
    namespaces: int
    hostname: str
    mounts: tuple[Operation, ...]
    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    cwd: str
    user: str
    capabilities: int
    seccomp: bool
    seccomp_cache: str | None
    rlimits: tuple[tuple[int, int, int], ...]
    interactive: bool
    tty: bool

    def describe(self) -> str:
        """The plan in lines, for ``run --dry-run`` and for debugging."""
        spaces = " ".join(name for name, bit in _NAMESPACES if self.namespaces & bit)
        stdin = "inherited" if self.interactive else "/dev/null"
        lines = [
            f"namespaces  {spaces}",
            f"root        {self.root.describe()}",
            f"hostname    {self.hostname}",
            *(f"mount       {operation.describe()}" for operation in self.mounts),
            f"user        {self.user or '0'}, from the environment's /etc/passwd",
            f"caps        {' '.join(capabilities.names(self.capabilities)) or 'none'}",
            f"seccomp     {'default profile' if self.seccomp else 'none'}",
            f"stdio       {'a terminal of its own' if self.tty else f'stdin {stdin}'}",
            *(f"rlimit      {number} {soft}:{hard}" for number, soft, hard in self.rlimits),
            *(f"env         {key}={value}" for key, value in self.env),
            f"directory   {self.cwd}",
            f"command     {_quote(self.argv)}",
        ]
        return "\n".join(lines)


def make_plan(
    root: Root,
    options: RunOptions,
    config: Mapping[str, Any],
    *,
    hostname: str = "envgit",
    resolv_conf: str | None = "/etc/resolv.conf",
    seccomp_cache: str | None = None,
) -> Plan:
    """The plan for running ``options`` on ``root`` with the OCI image ``config`` (Env, Cmd, ...).

    ``hostname`` is used unless ``options`` has one. ``resolv_conf`` is the host file bound over
    /etc/resolv.conf, None for none. Raises ``SandboxError`` for what makes no sense.
    """
    name = options.hostname or hostname
    network = options.network or "host"
    if network not in ("host", "none"):
        raise SandboxError(f"unknown network {network!r}", hint="use host or none")
    if not name or len(name) > 64 or "/" in name or "\0" in name or "\n" in name:
        raise SandboxError(f"{name!r} is not a host name")
    cwd = _inside(options.workdir or config.get("WorkingDir") or "/", "working directory")
    namespaces = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP
    if network == "none":
        namespaces |= CLONE_NEWNET
    user = options.user if options.user is not None else config.get("User") or ""
    return Plan(
        root=root,
        namespaces=namespaces,
        hostname=name,
        mounts=(
            *_kernel_mounts(tty=options.tty),
            *_network_files(name, resolv_conf if network == "host" else None),
            *_user_mounts(options),
            *([WorkingDirectory(cwd)] if cwd != "/" else []),
            *([ReadOnlyRoot()] if options.read_only else []),
        ),
        argv=_command(options, config),
        env=_environment(options, config, name),
        cwd=cwd,
        user=user,
        capabilities=capabilities.mask(capabilities.choose(options.cap_add, options.cap_drop)),
        seccomp=options.seccomp,
        seccomp_cache=seccomp_cache,
        rlimits=options.rlimits,
        interactive=options.interactive,
        tty=options.tty,
    )


def _kernel_mounts(*, tty: bool) -> list[Operation]:
    no_exec = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC
    return [
        Filesystem("proc", "/proc"),
        Filesystem("sysfs", "/sys", (), SAFE | MOUNT_ATTR_RDONLY),
        Filesystem("tmpfs", "/dev", (("mode", "0755"), ("size", "64m")), SAFE),
        # gid 5 is Debian's and most others' group tty, as in runc.
        Filesystem(
            "devpts", "/dev/pts", (("ptmxmode", "0666"), ("mode", "0620"), ("gid", "5")), no_exec
        ),
        # No size: half of the memory, as on a host. Docker's 64 MB breaks PyTorch and Postgres.
        Filesystem("tmpfs", "/dev/shm", (("mode", "1777"),)),
        Filesystem("mqueue", "/dev/mqueue"),
        Devices(_DEVICES, _DEV_LINKS, tty),
        # Not with v1 or both, where each controller would be a mount of its own.
        Filesystem(
            "cgroup2",
            "/sys/fs/cgroup",
            (),
            SAFE | MOUNT_ATTR_RDONLY,
            condition="/sys/fs/cgroup/cgroup.controllers",
        ),
        Guarded("/proc", _MASKED_PROC, _READ_ONLY_PROC),
        Guarded("/sys", _MASKED_SYS),
    ]


def _network_files(hostname: str, resolv_conf: str | None) -> list[Operation]:
    hosts = (
        "127.0.0.1\tlocalhost\n"
        "::1\tlocalhost ip6-localhost ip6-loopback\n"
        "fe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\n"
        "ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
        f"127.0.1.1\t{hostname}\n"
    )
    files: list[Operation] = [
        Content("/etc/hostname", f"{hostname}\n"),
        Content("/etc/hosts", hosts),
    ]
    if resolv_conf is not None:
        files.append(Bind(resolv_conf, "/etc/resolv.conf", read_only=True, optional=True))
    return files


def _user_mounts(options: RunOptions) -> list[Operation]:
    mounts: list[Operation] = [_tmpfs(text) for text in options.tmpfs]
    mounts += [_volume(text) for text in options.volumes]
    # Outer mount points first, so that none hides another.
    return sorted(mounts, key=lambda mount: getattr(mount, "target", "").count("/"))


def _volume(text: str) -> Bind:
    source, *rest = text.split(":")
    if not 1 <= len(rest) <= 2:
        raise SandboxError(f"{text!r} is not a volume", hint="write SRC:DST or SRC:DST:ro")
    if not source.startswith("/"):
        raise SandboxError(
            f"volume {text!r}: {source!r} is not an absolute path on the host",
            hint="there are no named volumes here: write ./name for a folder",
        )
    words = rest[1].split(",") if len(rest) == 2 else []
    # z and Z relabel for SELinux in Docker; nothing to do here, and command lines carry them.
    unknown = [word for word in words if word not in ("ro", "rw", "z", "Z", "")]
    if unknown:
        raise SandboxError(f"volume {text!r}: unknown option {unknown[0]!r}", hint="use ro or rw")
    return Bind(source, _mount_point(rest[0], text), "ro" in words)


def _tmpfs(text: str) -> Filesystem:
    target, _, words = text.partition(":")
    attributes = SAFE
    options: list[tuple[str, str]] = []
    flags = {
        "nosuid": MOUNT_ATTR_NOSUID,
        "nodev": MOUNT_ATTR_NODEV,
        "noexec": MOUNT_ATTR_NOEXEC,
        "ro": MOUNT_ATTR_RDONLY,
    }
    inverse = {"suid": MOUNT_ATTR_NOSUID, "exec": MOUNT_ATTR_NOEXEC, "rw": MOUNT_ATTR_RDONLY}
    for word in filter(None, words.split(",")):
        key, equals, value = word.partition("=")
        if word in flags:
            attributes |= flags[word]
        elif word in inverse:
            attributes &= ~inverse[word]
        elif equals and key in ("size", "mode", "uid", "gid", "nr_inodes"):
            options.append((key, value))
        else:
            raise SandboxError(f"tmpfs {text!r}: unknown option {word!r}")
    return Filesystem("tmpfs", _mount_point(target, text), tuple(options), attributes, True)


def _mount_point(path: str, text: str) -> str:
    target = _inside(path, f"mount point of {text!r}")
    if target == "/":
        raise SandboxError(f"{text!r} would hide the whole environment")
    return target


def _inside(path: str, what: str) -> str:
    if not path.startswith("/") or "\0" in path:
        raise SandboxError(f"{what}: {path!r} is not an absolute path")
    return posixpath.normpath("/" + path.lstrip("/"))


def _command(options: RunOptions, config: Mapping[str, Any]) -> tuple[str, ...]:
    if options.entrypoint is not None:
        entrypoint = (options.entrypoint,) if options.entrypoint else ()
        argv = (*entrypoint, *options.argv)
    else:
        argv = (*(config.get("Entrypoint") or ()), *(options.argv or config.get("Cmd") or ()))
    if not argv:
        raise SandboxError("no command was given, and the environment names none")
    if any("\0" in word for word in argv):
        raise SandboxError("the command contains a NUL character")
    return argv


def _environment(
    options: RunOptions, config: Mapping[str, Any], hostname: str
) -> tuple[tuple[str, str], ...]:
    env = {"PATH": DEFAULT_PATH, "HOSTNAME": hostname}
    if options.tty:
        env["TERM"] = options.term or "xterm"
    for text in config.get("Env") or ():
        key, _, value = text.partition("=")
        env[key] = value
    env.update(options.env)
    for key, value in env.items():
        if not key or "=" in key or "\0" in key + value:
            raise SandboxError(f"{key!r} is not the name of an environment variable")
    return tuple(env.items())


def _quote(argv: tuple[str, ...]) -> str:
    # shlex costs an import of 1 ms; this is for eyes.
    plain = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./_-")
    quoted = (
        word if word and set(word) <= plain else "'" + word.replace("'", "'\"'\"'") + "'"
        for word in argv
    )
    return " ".join(quoted)
