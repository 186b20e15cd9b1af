# SPDX-License-Identifier: Apache-2.0
"""The one place where the sandbox calls the kernel through ctypes: unsafe code behind one wall.

Each wrapper encodes, calls, checks, and raises ``OSError`` whose text starts with the name of the
call and whose ``filename`` is the path concerned. Constants keep the kernel's spelling (man pages
mount(2), fsopen(2), open_tree(2), mount_setattr(2), openat2(2), unshare(2), prctl(2)). Argument
types are set once, on a function object of its own for each call. Numbers from 424 on are the same
on every architecture, which is why ``syscall(2)`` needs no table here.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterable

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_REC = 0x4000
MS_PRIVATE = 0x40000
MNT_DETACH = 0x2
UMOUNT_NOFOLLOW = 0x8

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000

OPEN_TREE_CLONE = 0x1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC

MOVE_MOUNT_F_EMPTY_PATH = 0x4
MOVE_MOUNT_T_EMPTY_PATH = 0x40

FSOPEN_CLOEXEC = 0x1
FSMOUNT_CLOEXEC = 0x1
FSCONFIG_SET_FLAG = 0
FSCONFIG_SET_STRING = 1
FSCONFIG_CMD_CREATE = 6

MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8

RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

CLOSE_RANGE_CLOEXEC = 0x4

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NAME = 15
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
SECCOMP_MODE_FILTER = 2

_LINUX_CAPABILITY_VERSION_3 = 0x20080522

_NR_OPEN_TREE = 428
_NR_MOVE_MOUNT = 429
_NR_FSOPEN = 430
_NR_FSCONFIG = 431
_NR_FSMOUNT = 432
_NR_CLOSE_RANGE = 436
_NR_OPENAT2 = 437
_NR_MOUNT_SETATTR = 442

_libc = ctypes.CDLL(None, use_errno=True)
_int, _uint, _long, _ulong = ctypes.c_int, ctypes.c_uint, ctypes.c_long, ctypes.c_ulong
_str, _ptr = ctypes.c_char_p, ctypes.c_void_p


def _function(name: str, *argtypes: type) -> ctypes._NamedFuncPointer:
    # CDLL.__getitem__ makes a new function object at each call: the argument types set here are
    # nobody else's. A name this libc lacks is missing only when it is called.
    function = _libc[name]
    function.argtypes = argtypes
    function.restype = _int
    return function


def _numbered(*argtypes: type) -> ctypes._NamedFuncPointer:
    function = _libc["syscall"]
    function.argtypes = (_long, *argtypes)
    function.restype = _long
    return function


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


class _MountAttr(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


class _SockFprog(ctypes.Structure):
    _fields_ = (("len", ctypes.c_ushort), ("filter", _str))


_unshare = _function("unshare", _int)
_setns = _function("setns", _int, _int)
_mount = _function("mount", _str, _str, _str, _ulong, _str)
_umount2 = _function("umount2", _str, _int)
_pivot_root = _function("pivot_root", _str, _str)
_prctl = _function("prctl", _int, _ulong, _ulong, _ulong, _ulong)
_prctl_text = _function("prctl", _int, _str, _ulong, _ulong, _ulong)
_prctl_filter = _function("prctl", _int, _ulong, ctypes.POINTER(_SockFprog), _ulong, _ulong)
_capset = _function("capset", ctypes.POINTER(_uint * 2), ctypes.POINTER(_uint * 6))
_signalfd = _function("signalfd", _int, _str, _int)
_open_tree = _numbered(_int, _str, _uint)
_move_mount = _numbered(_int, _str, _int, _str, _uint)
_fsopen = _numbered(_str, _uint)
_fsconfig = _numbered(_int, _uint, _str, _str, _int)
_fsmount = _numbered(_int, _uint, _uint)
_close_range = _numbered(_uint, _uint, _uint)
_openat2 = _numbered(_int, _str, ctypes.POINTER(_OpenHow), ctypes.c_size_t)
_mount_setattr = _numbered(_int, _str, _uint, ctypes.POINTER(_MountAttr), ctypes.c_size_t)


def _check(result: int, syscall: str, path: str | None = None) -> int:
    if result >= 0:
        return result
    code = ctypes.get_errno()
    raise OSError(code, f"{syscall}: {os.strerror(code)}", path)


def unshare(flags: int) -> None:
    """unshare(2)."""
    _check(_unshare(flags), "unshare")


def setns(fd: int, nstype: int) -> None:
    """setns(2)."""
    _check(_setns(fd, nstype), "setns")


def mount(source: str, target: str, fstype: str, flags: int, data: str = "") -> None:
    """mount(2), for propagation and for kernels without ``lowerdir+``."""
    result = _mount(
        os.fsencode(source), os.fsencode(target), fstype.encode(), flags, os.fsencode(data)
    )
    _check(result, "mount", target)


def umount2(target: str, flags: int) -> None:
    """umount2(2)."""
    _check(_umount2(os.fsencode(target), flags), "umount2", target)


def pivot_root(new_root: str, put_old: str) -> None:
    """pivot_root(2)."""
    _check(_pivot_root(os.fsencode(new_root), os.fsencode(put_old)), "pivot_root", new_root)


def fsopen(fstype: str) -> int:
    """fsopen(2): the descriptor of a new, empty file system configuration context."""
    return _check(_fsopen(_NR_FSOPEN, fstype.encode(), FSOPEN_CLOEXEC), "fsopen", fstype)


def fsconfig_string(fd: int, key: str, value: str) -> None:
    """fsconfig(2) FSCONFIG_SET_STRING. The kernel takes at most 255 bytes of value."""
    result = _fsconfig(_NR_FSCONFIG, fd, FSCONFIG_SET_STRING, key.encode(), os.fsencode(value), 0)
    _check(result, f"fsconfig {key}", value)


def fsconfig_flag(fd: int, key: str) -> None:
    """fsconfig(2) FSCONFIG_SET_FLAG."""
    _check(_fsconfig(_NR_FSCONFIG, fd, FSCONFIG_SET_FLAG, key.encode(), None, 0), f"fsconfig {key}")


def fsconfig_create(fd: int) -> None:
    """fsconfig(2) FSCONFIG_CMD_CREATE: makes the superblock."""
    _check(_fsconfig(_NR_FSCONFIG, fd, FSCONFIG_CMD_CREATE, None, None, 0), "fsconfig create")


def fsmount(fd: int, attributes: int) -> int:
    """fsmount(2): the descriptor of a detached mount with MOUNT_ATTR_* ``attributes``."""
    return _check(_fsmount(_NR_FSMOUNT, fd, FSMOUNT_CLOEXEC, attributes), "fsmount")


def open_tree(dirfd: int, path: str, flags: int) -> int:
    """open_tree(2), always close-on-exec."""
    result = _open_tree(_NR_OPEN_TREE, dirfd, os.fsencode(path), flags | OPEN_TREE_CLOEXEC)
    return _check(result, "open_tree", path)


def move_mount(fd: int, target_fd: int, target: str = "") -> None:
    """move_mount(2): attaches the mount ``fd`` at ``target`` relative to ``target_fd``."""
    flags = MOVE_MOUNT_F_EMPTY_PATH | (0 if target else MOVE_MOUNT_T_EMPTY_PATH)
    result = _move_mount(_NR_MOVE_MOUNT, fd, b"", target_fd, os.fsencode(target), flags)
    _check(result, "move_mount", target or None)


def mount_setattr(fd: int, *, set_: int = 0, clear: int = 0, recursive: bool = False) -> None:
    """mount_setattr(2) on the mount ``fd`` itself, with MOUNT_ATTR_* bits."""
    attributes = _MountAttr(set_, clear, 0, 0)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    result = _mount_setattr(
        _NR_MOUNT_SETATTR, fd, b"", flags, ctypes.byref(attributes), ctypes.sizeof(attributes)
    )
    _check(result, "mount_setattr")


def openat2(dirfd: int, path: str, flags: int, resolve: int, mode: int = 0) -> int:
    """openat2(2), always close-on-exec, with RESOLVE_* bits."""
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve)
    result = _openat2(_NR_OPENAT2, dirfd, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how))
    return _check(result, "openat2", path)


def close_range(first: int, last: int, flags: int = 0) -> None:
    """close_range(2)."""
    _check(_close_range(_NR_CLOSE_RANGE, first, last, flags), "close_range")


def close_all_but(wanted: Iterable[int]) -> None:
    """Closes every descriptor of this process that is not in ``wanted``; negative ones are none."""
    first = 0
    for fd in sorted(set(wanted)):
        if fd > first:
            close_range(first, fd - 1)
        first = max(first, fd + 1)
    close_range(first, 0xFFFFFFFF)


def prctl(option: int, argument: int = 0, argument3: int = 0) -> int:
    """prctl(2) with numbers."""
    return _check(_prctl(option, argument, argument3, 0, 0), f"prctl {option}")


def set_process_name(name: str) -> None:
    """prctl(2) PR_SET_NAME: at most 15 bytes are kept."""
    _check(_prctl_text(PR_SET_NAME, name.encode(), 0, 0, 0), "prctl PR_SET_NAME")


def set_seccomp_filter(program: bytes) -> None:
    """prctl(2) PR_SET_SECCOMP: installs a classic BPF ``program`` (8 bytes an instruction)."""
    fprog = _SockFprog(len(program) // 8, program)
    result = _prctl_filter(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(fprog), 0, 0)
    _check(result, "prctl PR_SET_SECCOMP")


def capset(*, effective: int, permitted: int, inheritable: int) -> None:
    """capset(2) for this thread; each argument is a mask of 1 << CAP_*."""
    low = 0xFFFFFFFF
    header = (_uint * 2)(_LINUX_CAPABILITY_VERSION_3, 0)
    data = (_uint * 6)(
        effective & low, permitted & low, inheritable & low,
        effective >> 32, permitted >> 32, inheritable >> 32,
    )  # fmt: skip
    _check(_capset(ctypes.byref(header), ctypes.byref(data)), "capset")


def signalfd(signals: int) -> int:
    """signalfd(2): a non-blocking descriptor for a mask of 1 << (signal - 1)."""
    # glibc's sigset_t is 128 bytes on every architecture; musl reads the first 8 of them.
    mask = signals.to_bytes(128, "little")
    return _check(_signalfd(-1, mask, os.O_CLOEXEC | os.O_NONBLOCK), "signalfd")


def loopback_up() -> None:
    """Sets the flag IFF_UP of ``lo`` in this network namespace (netdevice(7), SIOCSIFFLAGS)."""
    # Here and not with the socket module, whose import costs 3 ms and is no part of a start.
    fd = _check(_function("socket", _int, _int, _int)(2, 2 | os.O_CLOEXEC, 0), "socket")
    request = ctypes.create_string_buffer(b"lo".ljust(16, b"\0") + b"\x01\0", 40)
    try:
        _check(_function("ioctl", _int, _ulong, _ptr)(fd, 0x8914, request), "ioctl SIOCSIFFLAGS")
    finally:
        os.close(fd)


def overwrite(address: int, content: bytes, length: int) -> None:
    """Fills ``length`` bytes of this process's own memory with ``content`` and zeros after it."""
    ctypes.memset(address, 0, length)
    ctypes.memmove(address, content, min(len(content), length))


_SCMP_ACT_ALLOW = 0x7FFF0000
_SCMP_ACT_ERRNO = 0x00050000
_SCMP_CMP_MASKED_EQ = 7
_SCMP_FLTATR_ACT_BADARCH = 2
_SCMP_FLTATR_CTL_OPTIMIZE = 8
# AUDIT_ARCH_I386 and AUDIT_ARCH_ARM. Not x32: distributions switch it off in their kernels, and its
# third of the program costs 0.15 ms of every start.
_COMPANIONS = {"x86_64": 0x40000003, "aarch64": 0x40000028}


def compile_seccomp(
    default: int, rules: Iterable[tuple[int, str, int, int, int]], *, native: bool = False
) -> bytes:
    """The BPF program for ``rules``; calls without one fail with ``default`` (0: are allowed).

    Covers this machine's architecture and the 32-bit one it runs, others' calls fail with ENOSYS;
    with ``native``, covers the former alone and allows the latter. Calls that the installed
    libseccomp does not know are passed over. Raises ``ImportError`` when there is no libseccomp,
    ``OSError`` when it refuses a rule. seccomp_rule_add(3), seccomp_export_bpf(3).
    """
    lib, comparison = _libseccomp()
    context = lib.seccomp_init(_seccomp_action(default))
    try:
        others = _seccomp_action(0 if native else errno.ENOSYS)
        _seccomp_check(
            lib.seccomp_attr_set(context, _SCMP_FLTATR_ACT_BADARCH, others), "seccomp_attr_set"
        )
        companion = _COMPANIONS.get(os.uname().machine)
        if companion is not None and not native:
            _seccomp_check(lib.seccomp_arch_add(context, companion), "seccomp_arch_add")
        # A binary tree instead of a list: 9 comparisons for the average call instead of 200.
        # Refused by libseccomp before 2.5, which is as well.
        lib.seccomp_attr_set(context, _SCMP_FLTATR_CTL_OPTIMIZE, 2)
        for error, name, argument, mask, value in rules:
            number = lib.seccomp_syscall_resolve_name(name.encode())
            if number == -1:
                continue
            compare = comparison(argument, _SCMP_CMP_MASKED_EQ, mask, value)
            result = lib.seccomp_rule_add_array(
                context, _seccomp_action(error), number, int(mask != 0), ctypes.byref(compare)
            )
            _seccomp_check(result, f"seccomp_rule_add {name}")
        return _seccomp_export(lib, context)
    finally:
        lib.seccomp_release(context)


def _libseccomp() -> tuple[ctypes.CDLL, type[ctypes.Structure]]:
    # Set up in here and not at import, for this is needed once in the life of a store.
    class ScmpArgCmp(ctypes.Structure):
        _fields_ = (
            ("arg", _uint),
            ("op", _int),
            ("datum_a", ctypes.c_uint64),
            ("datum_b", ctypes.c_uint64),
        )

    try:
        lib = ctypes.CDLL("libseccomp.so.2")
    except OSError as error:
        raise ImportError("libseccomp.so.2 is not installed") from error
    lib.seccomp_init.argtypes, lib.seccomp_init.restype = (ctypes.c_uint32,), _ptr
    lib.seccomp_release.argtypes, lib.seccomp_release.restype = (_ptr,), None
    lib.seccomp_arch_add.argtypes = (_ptr, ctypes.c_uint32)
    lib.seccomp_attr_set.argtypes = (_ptr, _int, ctypes.c_uint32)
    lib.seccomp_syscall_resolve_name.argtypes = (_str,)
    lib.seccomp_rule_add_array.argtypes = (
        _ptr, ctypes.c_uint32, _int, _uint, ctypes.POINTER(ScmpArgCmp)
    )  # fmt: skip
    lib.seccomp_export_bpf.argtypes = (_ptr, _int)
    return lib, ScmpArgCmp


def _seccomp_action(error: int) -> int:
    return _SCMP_ACT_ERRNO | error if error else _SCMP_ACT_ALLOW


def _seccomp_check(result: int, call: str) -> None:
    if result < 0:
        raise OSError(-result, f"{call}: {os.strerror(-result)}")


def _seccomp_export(lib: ctypes.CDLL, context: int) -> bytes:
    fd = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    try:
        _seccomp_check(lib.seccomp_export_bpf(context, fd), "seccomp_export_bpf")
        return os.pread(fd, os.fstat(fd).st_size, 0)
    finally:
        os.close(fd)
