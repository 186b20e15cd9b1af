# SPDX-License-Identifier: Apache-2.0
"""Finding and making mount points inside an environment whose content is not trusted.

The kernel resolves (openat2(2) with RESOLVE_IN_ROOT): absolute links and ``..`` mean the
environment's root, never the host's. Only where something is missing does a walk in Python take
over, one component at a time, so that a link to a path that does not exist yet (systemd's
``/etc/resolv.conf``) gets that path made, inside.
"""

from __future__ import annotations

import os
import stat

from envgit.sandbox import syscalls
from envgit.sandbox.syscalls import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS

_MAX_LINKS = 40  # as the kernel: path_resolution(7)


class Targets:
    """The mount points of one root: ``root`` is a descriptor of its top directory.

    ``created`` collects what had to be made, as environment paths; what is made inside another
    mount (a volume, /dev) is not the environment's and is not listed.
    """

    def __init__(self, root: int) -> None:
        self.root = root
        self.created: list[bytes] = []
        self._device = os.fstat(root).st_dev

    def open(self, path: str, *, directory: bool, links: bool = True) -> int:
        """An O_PATH descriptor of ``path`` in the environment, made when missing.

        Raises ``OSError``: ELOOP when ``links`` is false and a component is one, ENOTDIR or
        EISDIR when what is there is of the wrong kind.
        """
        relative = path.strip("/") or "."
        try:
            fd = self.find(relative, links=links)
        except FileNotFoundError:
            fd = self._make(relative, directory=directory)
        is_directory = stat.S_ISDIR(os.fstat(fd).st_mode)
        if is_directory != directory:
            os.close(fd)
            wrong = NotADirectoryError if directory else IsADirectoryError
            what = "not a directory" if directory else "a directory"
            raise wrong(wrong.errno, f"the mount point is {what}", path)
        return fd

    def find(self, path: str, *, links: bool = True) -> int:
        """An O_PATH descriptor of an existing ``path``. Raises ``OSError``."""
        resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | (0 if links else RESOLVE_NO_SYMLINKS)
        return syscalls.openat2(self.root, path.strip("/") or ".", os.O_PATH, resolve)

    def _make(self, path: str, *, directory: bool) -> int:
        trail = [os.dup(self.root)]  # the directories above, so that ".." never leaves the root
        todo = path.split("/")[::-1]
        links = 0
        try:
            while todo:
                name = todo.pop()
                if name in ("", "."):
                    continue
                if name == "..":
                    if len(trail) > 1:
                        os.close(trail.pop())
                    continue
                fd = self._step(trail[-1], name, directory=directory or bool(todo))
                if not stat.S_ISLNK(os.fstat(fd).st_mode):
                    trail.append(fd)
                    continue
                target = os.readlink("", dir_fd=fd)
                os.close(fd)
                links += 1
                if links > _MAX_LINKS:
                    raise OSError(40, "too many symbolic links", path)
                if target.startswith("/"):
                    while len(trail) > 1:
                        os.close(trail.pop())
                todo.extend(target.split("/")[::-1])
            return os.dup(trail[-1])
        finally:
            for fd in trail:
                os.close(fd)

    def _step(self, parent: int, name: str, *, directory: bool) -> int:
        flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            return syscalls.openat2(parent, name, flags, RESOLVE_NO_MAGICLINKS)
        except FileNotFoundError:
            pass
        if directory:
            os.mkdir(name, 0o755, dir_fd=parent)
        else:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644, dir_fd=parent))
        fd = os.open(name, flags, dir_fd=parent)
        self._note(parent, name)
        return fd

    def _note(self, parent: int, name: str) -> None:
        if os.fstat(parent).st_dev == self._device:
            above = os.readlink(f"/proc/self/fd/{parent}").strip("/")
            self.created.append(os.fsencode(f"{above}/{name}".lstrip("/")))
