# SPDX-License-Identifier: Apache-2.0
"""Unpacking a layer of an OCI or Docker image over what lies below it, as overlayfs wants it.

The rules are those of the OCI image spec, layer.md, "Applying Changesets" and "Whiteouts":

- a whiteout hides what the layers *below* have, wherever in the archive it stands; what the same
  layer has of that name stays, and nothing of below shows through it;
- an entry takes the place of what is there, but two directories, which merge;
- of a name that comes twice the last counts, although the spec forbids that, as for tar.

What the spec leaves open is done as containerd and umoci do it: a symlink on the way to an entry,
of this layer or of those below, is followed as the image itself would follow it, with ``/`` for the
root of the image; a directory's own entry takes the place of a symlink; a hard link to a file of
a lower layer is one. Directories that no entry describes keep what they have below. The layer is
read once; what it means is known only at its end, so that whiteouts and the attributes of
directories wait for it. Memory follows the number of directories and whiteouts.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

from envgit.fs.beneath import Walker
from envgit.layers.copyup import CopyUp
from envgit.layers.decompression import Archive, ArchiveError, Readable
from envgit.layers.entry import Directory, Kind, is_name, join
from envgit.layers.layernames import LINKS, META, OPAQUE, WHITEOUT, hidden_name, resolve_name
from envgit.layers.links import members
from envgit.layers.scan import MAX_DEPTH, Skipped
from envgit.layers.tarreader import HARD_LINK, Member, Reader
from envgit.layers.unpacking import Hashes, Limits, Progress, Unpacker
from envgit.layers.uppertree import Upper, finish
from envgit.layers.view import Overlay

# Linux follows at most 40 symlinks in a path (path_resolution(7)).
_MAX_SYMLINKS = 40
# Directories that symlinks lead through, over all entries: a minute's work.
_MAX_STEPS = 100_000_000

DEFAULT_LIMITS = Limits(entries=4_000_000, size=1 << 40, ratio=500)
"""More than any image has that is not made to do harm."""


@dataclass(frozen=True, slots=True)
class AppliedLayer:
    """A layer that was unpacked.

    ``digest`` and ``compressed_size`` are of the bytes as they came, ``diff_id`` and ``size`` of
    the uncompressed archive; digests are sha256 in hexadecimal. ``content`` is the bytes of all
    files; ``skipped`` what could not be kept.
    """

    digest: str
    compressed_size: int
    diff_id: str
    size: int
    entries: int
    content: int
    skipped: tuple[Skipped, ...]


def apply_layer(
    stream: Readable,
    dest: str | bytes,
    base: Directory | None,
    contents: Overlay | None = None,
    *,
    limits: Limits = DEFAULT_LIMITS,
    hashed: bool = True,
    hashes: Hashes | None = None,
    progress: Progress | None = None,
) -> AppliedLayer:
    """Unpack a layer's archive, compressed or not, into the existing empty directory ``dest``.

    ``base`` is the root filesystem below, None for the first layer, and ``contents`` its files.
    ``dest`` becomes a layer as overlayfs mounts it (see `marks`), which over the base shows what
    the archive means; it may hold what is no change, which `normalize` finds. Without ``hashed``
    the digests are empty; ``hashes`` gets those of the files (`hashing.FreshHashes` hands them to
    a scan). Raises `ArchiveError` for anything wrong with the archive (``dest`` is then partly
    filled and should be thrown away), and `OSError` for what the filesystem cannot do.
    """
    with Archive(stream, hashed=hashed, max_ratio=limits.ratio) as archive:
        reader = Reader(archive)
        hasher = archive.hasher if hashes is not None else None
        unpacker = Unpacker(reader, limits, progress, hashes=hashes, hasher=hasher)
        with Walker(dest) as walker, Walker(dest) as others:
            layer = _Layer(walker, others, base, contents, unpacker)
            while (member := reader.next()) is not None:
                layer.member(member)
            layer.finish()
        archive.drain()
        return AppliedLayer(
            archive.digest,
            archive.compressed_size,
            archive.diff_id,
            archive.size,
            unpacker.entries,
            unpacker.size,
            unpacker.all_skipped(),
        )


class _Layer:
    def __init__(
        self,
        walker: Walker,
        others: Walker,
        base: Directory | None,
        contents: Overlay | None,
        unpacker: Unpacker,
    ) -> None:
        self.walker = walker
        self.others = others
        self.base = base
        self.contents = contents
        self.unpacker = unpacker
        self.root = Upper(b"", None, base, None if base is None else base.entry)
        self.root.made = True
        self.copy_up = CopyUp(contents)
        # The directory of the last entry, by the text of its path, where no symlink led to it:
        # what is made in a directory does not change the way to that one.
        self.last: tuple[bytes, Upper] = (b"", self.root)
        self.steps = 0
        # Names of files in aufs's directory, which are there only to be linked to.
        self.staged: set[bytes] = set()

    def member(self, member: Member) -> None:
        self.unpacker.count()
        try:
            self._member(member)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
            raise _misplaced(member) from error

    def _member(self, member: Member) -> None:
        above: bytes | None
        above, _, name = member.name.rpartition(b"/")
        parts = None
        if above != self.last[0] or not is_name(name):
            if not is_name(name):
                above = None  # "dir/": what is before the slash is not where it goes
            parts = resolve_name(member.name, "holds")
            if not parts:
                if member.kind != Kind.DIR:
                    raise ArchiveError("the layer's root is not a directory")
                self.root.member = member
                return
            name = parts.pop()
            for part in parts:
                if part.startswith(WHITEOUT):
                    self._beneath_whiteout(parts, name, part, member)
                    return
        if name.startswith(WHITEOUT):
            self._whiteout(parts, name, member)
            return
        parent = self.last[1] if parts is None else self._enter(parts, member, above)
        if member.kind == Kind.DIR:
            self._directory(parent, name, member)
        elif member.kind == HARD_LINK:
            self._link(parent, name, member)
        else:
            self._leaf(parent, name, member)

    def _enter(
        self,
        parts: list[bytes],
        member: Member,
        text: bytes | None = None,
        *,
        start: Upper | None = None,
    ) -> Upper:
        """The directory that a path means, symlinks followed; ``text`` is to be remembered."""
        here = start or self.root
        todo = parts[::-1]
        followed = 0
        while todo:
            name = todo.pop()
            known = here.children.get(name)
            if known is not None:
                here = known
                continue
            if name in (b"", b"."):
                continue
            if name == b"..":
                here = here.parent or here
                continue
            target = self._symlink(here, name, member)
            if target is None:
                here = self._child(here, name)
                continue
            followed += 1
            self.steps += target.count(b"/")
            if followed > _MAX_SYMLINKS or self.steps > _MAX_STEPS:
                raise ArchiveError(f"too many symlinks on the way to {member}")
            if target.startswith(b"/"):
                here = self.root
            todo.extend(target.split(b"/")[::-1])
        if text is not None and not followed:
            self.last = (text, here)
        return here

    def _symlink(self, here: Upper, name: bytes, member: Member) -> bytes | None:
        """The target of a symlink that is no known directory, or None if it is none."""
        if not is_name(name):
            raise _misplaced(member)
        if here.made:
            try:
                return os.readlink(name, dir_fd=self.walker.enter(here.path))
            except OSError as error:
                if error.errno == errno.EINVAL:  # something that is neither symlink nor directory
                    raise _misplaced(member) from error
                if error.errno != errno.ENOENT:
                    raise
        lower = here.shown(name)
        return lower.target if lower is not None and lower.kind == Kind.SYMLINK else None

    def _child(self, here: Upper, name: bytes) -> Upper:
        """A directory that is entered for the first time; it is made when something is put there.

        What is no directory below gives way to it, like to a directory's own entry, which may
        come later.
        """
        if here.depth >= MAX_DEPTH:
            raise ArchiveError(f"the layer has more than {MAX_DEPTH} levels of directories")
        if name.startswith(WHITEOUT):
            raise ArchiveError(f"the layer holds a directory {os.fsdecode(name)!r}")
        self.unpacker.count()
        lower = here.shown(name)
        below = None
        if lower is not None and lower.kind == Kind.DIR and here.lower is not None:
            below = here.lower.directory(name)
        child = Upper(name, here, below, lower if below is not None else None)
        here.children[name] = child
        return child

    def _make(self, directory: Upper) -> int:
        """Make a directory with its parents and open it, until the next call."""
        missing = []
        while not directory.made and directory.parent is not None:
            missing.append(directory)
            directory = directory.parent
        for item in reversed(missing):
            parent, name = self.walker.parent(item.path)
            os.mkdir(name, 0o700, dir_fd=parent)
            item.made = True
            directory = item
        return self.walker.enter(directory.path)

    def _directory(self, parent: Upper, name: bytes, member: Member) -> None:
        child = parent.children.get(name)
        if child is None:
            fd = self._make(parent)
            child = self._child(parent, name)
            try:
                os.mkdir(name, 0o700, dir_fd=fd)
            except FileExistsError:
                # What was there hid what is below, and goes on doing so.
                self._unlink(parent, name)
                os.mkdir(name, 0o700, dir_fd=self.walker.enter(parent.path))
                child.lower = child.old = None
            child.made = True
        else:
            self._make(child)
        child.member = member

    def _clear(self, parent: Upper, name: bytes) -> bool:
        """Remove a directory that is to be something else; whether there was one."""
        child = parent.children.get(name)
        if child is not None:
            self._forget(parent, name)
        if child is not None and child.made:
            # Neither walker may keep a directory open that another one of its name may follow.
            self.others.enter(b"")
            self.unpacker.removed()
            stack = [(child, False)]
            while stack:
                item, emptied = stack.pop()
                if emptied:
                    fd, last = self.walker.parent(item.path)
                    os.rmdir(last, dir_fd=fd)
                    continue
                stack.append((item, True))
                made = {name for name, below in item.children.items() if below.made}
                stack.extend((item.children[name], False) for name in made)
                fd = self.walker.enter(item.path)
                for found in os.listdir(fd):
                    if os.fsencode(found) not in made:
                        os.unlink(found, dir_fd=fd)
            return True
        return False

    def _forget(self, parent: Upper, name: bytes) -> None:
        """Drop what is known of a directory, which the last entry may have been in."""
        del parent.children[name]
        self.last = (b"", self.root)

    def _unlink(self, parent: Upper, name: bytes) -> None:
        os.unlink(name, dir_fd=self.walker.enter(parent.path))
        self.unpacker.removed()
        parent.copied.discard(name)

    def _leaf(self, parent: Upper, name: bytes, member: Member) -> None:
        fd = self._make(parent)
        if name in parent.children and self._clear(parent, name):
            # Should it be left out, then what is below must not come back.
            parent.whiteouts.add(name)
            fd = self.walker.enter(parent.path)
        path = join(parent.path, name)
        make = self.unpacker.file if member.kind == Kind.FILE else self.unpacker.special
        try:
            make(fd, name, member, path)
        except FileExistsError:
            self._unlink(parent, name)
            make(fd, name, member, path)

    def _link(self, parent: Upper, name: bytes, member: Member) -> None:
        parts = resolve_name(member.target, "links to")
        if len(parts) == 2 and parts[0] == LINKS and parts[1] in self.staged:
            where, old = LINKS, parts[1]
        else:
            if not parts or any(part.startswith(WHITEOUT) for part in parts):
                raise _unlinkable(member)
            old = parts.pop()
            source = self._enter(parts, member)
            self._to_upper(source, old, member)
            if source is parent and old == name:
                return
            where = source.path
        self._make(parent)
        self._clear(parent, name)
        fd = self.walker.enter(parent.path)
        try:
            other = self.others.enter(where)
            try:
                os.link(old, name, src_dir_fd=other, dst_dir_fd=fd, follow_symlinks=False)
            except FileExistsError:
                self._unlink(parent, name)
                os.link(old, name, src_dir_fd=other, dst_dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError as error:  # it was in the directory that gave way
            raise _unlinkable(member) from error

    def _to_upper(self, directory: Upper, name: bytes, member: Member) -> None:
        """See to it that the target of a hard link is a file of this layer.

        A file of below is taken with all names that it has there: they are one file, and stay one.
        """
        child = directory.children.get(name)
        if child is not None and child.made:
            raise ArchiveError(f"{member} is a hard link to a directory")
        if self._has(directory, name):
            return
        lower = directory.shown(name)
        if lower is None or self.base is None or self.contents is None:
            raise _unlinkable(member)
        if lower.kind == Kind.DIR:
            raise ArchiveError(f"{member} is a hard link to a directory")
        first: bytes | None = None
        wanted = join(directory.path, name)
        paths = members(self.base, wanted, lower)
        for path in (wanted, *(path for path in paths if path != wanted)):
            above, _, last = path.rpartition(b"/")
            home = self._place(above)
            if home is None or home.shown(last) is None or self._has(home, last):
                continue
            taken = home.children.get(last)
            if taken is not None:
                if taken.made:
                    continue
                self._forget(home, last)
            fd = self._make(home)
            if first is None:
                self.copy_up.take(path, lower, (fd, last))
                first = path
            else:
                other, old = self.others.parent(first)
                os.link(old, last, src_dir_fd=other, dst_dir_fd=fd, follow_symlinks=False)
            home.copied.add(last)

    def _place(self, path: bytes) -> Upper | None:
        """The directory of a path of below, if it still shows; no symlink is followed."""
        here = self.root
        for name in path.split(b"/") if path else ():
            known = here.children.get(name)
            if known is None:
                lower = here.shown(name)
                if lower is None or lower.kind != Kind.DIR or self._has(here, name):
                    return None
                known = self._child(here, name)
            here = known
        return here

    def _has(self, directory: Upper, name: bytes) -> bool:
        """Whether this layer has a file of that name, not counting directories."""
        if not directory.made:
            return False
        try:
            os.stat(name, dir_fd=self.walker.enter(directory.path), follow_symlinks=False)
        except FileNotFoundError:
            return False
        child = directory.children.get(name)
        return child is None or not child.made

    def _whiteout(self, parts: list[bytes] | None, name: bytes, member: Member) -> None:
        """Hide what is below; whatever the whiteout itself is, its name alone counts."""
        if name.startswith(META) and name != OPAQUE:
            path = member.name.strip(b"/")
            self.unpacker.skip(path, "a file of aufs's own")
            return
        victim = b"" if name == OPAQUE else hidden_name(name)
        parent = self.last[1] if parts is None else self._below(parts, member)
        if parent is None:
            return
        if name == OPAQUE:
            self._hide(parent)
            return
        child = parent.children.get(victim)
        if child is not None and child.made:
            self._hide(child)
            child.old = None
        elif child is not None:
            self._forget(parent, victim)
        if victim in parent.copied:
            self._unlink(parent, victim)
        parent.whiteouts.add(victim)

    def _below(self, parts: list[bytes], member: Member) -> Upper | None:
        """The directory of a whiteout, None where nothing of below shows there.

        Whiteouts are about what is below, so that symlinks of this layer do not lead to it: umoci
        writes a whiteout for what was in a directory that became a symlink.
        """
        here = self.root
        for number, name in enumerate(parts):
            known = here.children.get(name)
            if known is None:
                if self._has(here, name):
                    return None
                lower = here.shown(name)
                if lower is not None and lower.kind == Kind.SYMLINK:
                    return self._enter(parts[number:], member, start=here)
                known = self._child(here, name)
            here = known
        return here

    def _hide(self, directory: Upper) -> None:
        """Let nothing of below show in a directory that this layer has, or that is below."""
        stack = [directory]
        while stack:
            item = stack.pop()
            if (
                item.lower is None
            ):  # then so it is beneath, and an archive may say it a million times
                continue
            item.lower = None
            item.whiteouts.clear()
            for name in list(item.copied):
                self._unlink(item, name)
            for child in item.children.values():
                child.old = None
                stack.append(child)

    def _beneath_whiteout(
        self, parts: list[bytes], name: bytes, whiteout: bytes, member: Member
    ) -> None:
        """What is in a directory that is called like a whiteout: only aufs had such ones."""
        if not whiteout.startswith(META):
            raise ArchiveError(f"the layer holds something beneath a whiteout: {member}")
        if parts != [LINKS] or member.kind != Kind.FILE or name in self.staged:
            self.unpacker.skip(b"/".join((*parts, name)), "a file of aufs's own")
            return
        root = self.walker.enter(b"")
        if not self.staged:
            os.mkdir(LINKS, 0o700, dir_fd=root)
        self.staged.add(name)
        self.unpacker.file(self.walker.enter(LINKS), name, member, join(LINKS, name))

    def finish(self) -> None:
        if self.staged:
            fd = self.walker.enter(LINKS)
            for name in self.staged:
                os.unlink(name, dir_fd=fd)
            self.others.enter(b"")
            os.rmdir(LINKS, dir_fd=self.walker.enter(b""))
        finish(self.root, self.base, self.contents, self.walker, self._make, self.unpacker)


def _misplaced(member: Member) -> ArchiveError:
    return ArchiveError(f"the layer puts {member} beneath something that is no directory")


def _unlinkable(member: Member) -> ArchiveError:
    target = os.fsdecode(member.target[:200])
    return ArchiveError(
        f"{member} is a hard link to {target!r}, which is neither in the layer before nor below it"
    )
