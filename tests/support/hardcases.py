# SPDX-License-Identifier: Apache-2.0
"""One tree with every hard case of a filesystem, and one set of changes to it."""

from __future__ import annotations

import os
import socket
import stat
import struct

# Version 2 of struct vfs_cap_data (linux/capability.h): CAP_NET_RAW, permitted and effective.
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)

DEEP = 100
LONG = b"n" * 255

ODD_NAMES = (
    b"new\nline",
    b"not utf-8 \xff\xfe\x80",
    b".git",
    b".GIT",
    b"GIT~1",
    b".gitmodules",
    b".wh.x",
    b".wh..wh..opq",
    b"%dir",
    b"%25",
    b"back\\slash",
    b" spaces ",
    b"-rf",
    b"caf\xc3\xa9",
    "\u200c.git".encode(),
    LONG,
)


def acl(user: int, *, mask: int = 7) -> bytes:
    """A POSIX ACL in the form of the xattr (linux/posix_acl_xattr.h): rwx for one more user."""
    undefined = 0xFFFFFFFF
    entries = [
        (0x01, 7, undefined),
        (0x02, 6, user),
        (0x04, 5, undefined),
        (0x10, mask, undefined),
        (0x20, 4, undefined),
    ]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def write(path: bytes, data: bytes = b"", mode: int = 0o644) -> None:
    with open(path, "wb") as file:
        file.write(data)
    os.chmod(path, mode)


def make(root: str, *, privileged: bool = True) -> None:
    """Fill the directory ``root``. Times are set, so that nothing depends on when this runs."""
    top = os.fsencode(root)
    for name in (b"bin", b"etc", b"empty", b"replace", b"odd", b"opaque/inner", b"keep/sub"):
        os.makedirs(top + b"/" + name)
    write(top + b"/bin/su", b"setuid", 0o4755)
    write(top + b"/bin/wall", b"setgid", 0o2755)
    os.mkdir(top + b"/tmp")
    os.chmod(top + b"/tmp", 0o1777)
    write(top + b"/empty-file")
    write(top + b"/etc/hostname", b"hard\n", 0o600)
    for name in (b"a", b"b", b"c"):
        write(top + b"/replace/" + name, name)
        os.makedirs(top + b"/replace/dir-" + name + b"/below")
        write(top + b"/replace/dir-" + name + b"/below/file", name)
        os.symlink(b"a", top + b"/replace/link-" + name)
    for name in (b"one", b"two", b"inner/three"):
        write(top + b"/opaque/" + name, name)
    write(top + b"/keep/sub/file", b"kept")
    _links(top)
    _odd(top)
    with open(top + b"/sparse", "wb") as file:
        file.seek(6 << 20)
        file.write(b"after a hole")
        file.truncate(8 << 20)
    os.mkfifo(top + b"/fifo", 0o640)
    _deep(top)
    if privileged:
        _privileged(top)
    times(root)


def _links(top: bytes) -> None:
    os.mkdir(top + b"/links")
    write(top + b"/links/first", b"one inode", 0o640)
    os.link(top + b"/links/first", top + b"/links/second")
    os.link(top + b"/links/first", top + b"/zlink")
    os.symlink(b"../nowhere", top + b"/links/dangling")
    os.link(top + b"/links/dangling", top + b"/links/dangling2", follow_symlinks=False)
    os.symlink(b"/etc/passwd", top + b"/links/absolute")
    os.symlink(b"../../../../etc/shadow", top + b"/links/upwards")
    os.symlink(b"odd \n\xff target", top + b"/links/odd")
    os.symlink(b"t" * 4000, top + b"/links/longest")


def _odd(top: bytes) -> None:
    for number, name in enumerate(ODD_NAMES):
        if number % 3 == 0 and name != LONG:
            os.mkdir(top + b"/odd/" + name)
            write(top + b"/odd/" + name + b"/inside", name)
        else:
            write(top + b"/odd/" + name, name)
    write(top + b"/odd/x", b"what .wh.x would delete")


def _deep(top: bytes) -> None:
    """A chain of directories deeper and longer than any one path can say (PATH_MAX is 4096)."""
    os.mkdir(top + b"/deep")
    fd = os.open(top + b"/deep", os.O_RDONLY | os.O_DIRECTORY)
    for level in range(DEEP):
        name = b"%03d" % level + b"d" * 200
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = below
    file = os.open(b"bottom", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=fd)
    os.write(file, b"the bottom")
    os.close(file)
    os.symlink(b"bottom", b"link", dir_fd=fd)
    for name in (b"bottom", b"link"):  # out of reach for `times`
        os.utime(name, ns=(0, 1_234_567_890_123), dir_fd=fd, follow_symlinks=False)
    os.close(fd)


def _privileged(top: bytes) -> None:
    write(top + b"/bin/ping", b"capable", 0o755)
    os.setxattr(top + b"/bin/ping", "security.capability", CAPABILITY)
    write(top + b"/etc/acl", b"acl", 0o640)
    os.setxattr(top + b"/etc/acl", "system.posix_acl_access", acl(1234))
    os.mkdir(top + b"/acl-dir")
    os.setxattr(top + b"/acl-dir", "system.posix_acl_default", acl(4321, mask=5))
    write(top + b"/acl-dir/inherits", b"an ACL of the directory's default")
    os.mkdir(top + b"/acl-dir/sub")
    write(top + b"/etc/user-xattrs", b"x")
    os.setxattr(top + b"/etc/user-xattrs", "user.b", b"\0binary\n\xff")
    os.setxattr(top + b"/etc/user-xattrs", "user.a", b"")
    os.setxattr(top + b"/etc/user-xattrs", b"user.odd \xff\nname=x", b"1")
    os.setxattr(top + b"/empty", "user.dir", b"on a directory")
    os.setxattr(top + b"/links/dangling", "trusted.link", b"on a link", follow_symlinks=False)
    os.mknod(top + b"/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(top + b"/loop", stat.S_IFBLK | 0o660, os.makedev(7, 200))
    os.mknod(top + b"/bigdev", stat.S_IFCHR | 0o600, os.makedev(4095, (1 << 20) - 1))
    os.link(top + b"/null", top + b"/null2")
    os.setxattr(top + b"/null", "trusted.device", b"on a device")
    for number, owner in enumerate([(1, 2), (65536, 70000), (2**32 - 2, 2**31)]):
        path = top + b"/owner%d" % number
        write(path, b"owned", 0o4711)
        os.chown(path, *owner)
        os.chmod(path, 0o6711)
    os.chown(top + b"/links/odd", 99999, 88888, follow_symlinks=False)
    os.chown(top + b"/tmp", 100000, 100001)
    os.chmod(top + b"/tmp", 0o3777)


def times(root: str) -> None:
    """Give every path an mtime of its own: old, odd nanoseconds, before 1970, after 2038."""
    fixed = [1, 1_000_000_000_123_456_789, -86_400_000_000_001, 4_102_444_800_999_999_999]
    number = 0
    for path, directories, files in os.walk(os.fsencode(root), topdown=False):
        for name in sorted(files) + [d for d in directories if os.path.islink(path + b"/" + d)]:
            number += 1
            when = fixed[number % len(fixed)]
            if len(path) + len(name) < 4000:
                os.utime(path + b"/" + name, ns=(when, when), follow_symlinks=False)


def change(root: str, *, privileged: bool = True) -> None:
    """Change, in the directory ``root`` made by `make`, something of every kind in every way."""
    top = os.fsencode(root)
    r = top + b"/replace"
    # File to directory, directory to file, either to a symlink and back.
    os.unlink(r + b"/a")
    os.mkdir(r + b"/a")
    write(r + b"/a/new", b"below what was a file")
    _remove(r + b"/dir-a")
    write(r + b"/dir-a", b"was a directory")
    os.unlink(r + b"/b")
    os.symlink(b"c", r + b"/b")
    _remove(r + b"/dir-b")
    os.symlink(b"/replace/dir-c", r + b"/dir-b")
    os.unlink(r + b"/link-a")
    write(r + b"/link-a", b"was a link")
    os.unlink(r + b"/link-b")
    os.mkdir(r + b"/link-b")
    os.unlink(r + b"/link-c")
    # A directory that is replaced by another with other names, which overlayfs makes opaque.
    _remove(top + b"/opaque")
    os.mkdir(top + b"/opaque")
    write(top + b"/opaque/only", b"all that is left")
    os.mkdir(top + b"/opaque/inner")
    # Copied up without a change, or with one of attributes only.
    os.chmod(top + b"/keep/sub/file", 0o600)
    os.chmod(top + b"/keep/sub/file", 0o644)
    os.chmod(top + b"/bin/wall", 0o755)
    os.chmod(top + b"/empty", 0o700)
    # Links: one of a set rewritten, one new name, one removed.
    with open(top + b"/links/second", "ab") as file:
        file.write(b", changed")
    os.link(top + b"/zlink", top + b"/links/across")
    os.unlink(top + b"/links/dangling2")
    for name in ODD_NAMES[:4]:
        _remove(top + b"/odd/" + name)
    write(top + b"/odd/.wh.new", b"no whiteout")
    os.mkdir(top + b"/odd/.git")
    write(top + b"/odd/.git/config", b"hostile")
    os.unlink(top + b"/odd/" + LONG)
    os.truncate(top + b"/sparse", 9 << 20)
    os.unlink(top + b"/fifo")
    write(top + b"/fifo", b"no fifo any more")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(top + b"/socket")
    os.unlink(top + b"/empty-file")
    if privileged:
        os.setxattr(top + b"/bin/ping", "user.new", b"1")
        os.removexattr(top + b"/etc/acl", "system.posix_acl_access")
        os.chown(top + b"/owner0", 70001, 70002)
        os.unlink(top + b"/null")
        os.mknod(top + b"/null", stat.S_IFBLK | 0o600, os.makedev(1, 3))


def _remove(path: bytes) -> None:
    if not os.path.islink(path) and os.path.isdir(path):
        for name in os.listdir(path):
            _remove(path + b"/" + name)
        os.rmdir(path)
    else:
        os.unlink(path)
