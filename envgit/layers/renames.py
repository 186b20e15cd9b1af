# SPDX-License-Identifier: Apache-2.0
"""Turns changes of paths into what a person calls them: added, deleted, modified, renamed.

Renames are found as git finds them (gitdiffcore(7), diffcore-rename): equal content first, then by
similarity, which is the share of the larger file that consists of chunks (lines, or 64 bytes) of
the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from envgit.layers.compare import Change, changes
from envgit.layers.entry import Directory, Entry, Kind, find_entry

MOST_PAIRS = 4_000
"""Deleted times added files that are compared by content at most: beyond that it takes seconds."""
MOST_BYTES = 1 << 19
"""Larger files are not compared by content."""
MOST_READ = 16 << 20
"""Bytes of all files compared by content together: cut into chunks they take several times that."""
_FULL = 60_000


@dataclass(frozen=True, slots=True)
class FileChange:
    """One changed path. ``status``: A, D, M, T (another type), R or C (then with ``score``).

    ``path`` is the new path (for D: the old one), ``old_path`` the old one.
    """

    status: str
    path: bytes
    old_path: bytes
    old: Entry | None
    new: Entry | None
    score: int = 0

    @property
    def is_directory(self) -> bool:
        """Whether this is about a directory's own metadata (or an empty directory)."""
        entry = self.new or self.old
        return entry is not None and entry.kind == Kind.DIR

    @property
    def same_content(self) -> bool:
        """Whether both sides have equal content, so that only metadata differ."""
        return (
            self.old is not None
            and self.new is not None
            and _content(self.old) == _content(self.new)
        )


def _content(entry: Entry) -> tuple[object, ...]:
    return (entry.kind, entry.sha256, entry.target, entry.rdev)


def classify(changes: Iterable[Change]) -> list[FileChange]:
    """Name each change; directories that appear or vanish with what is in them are left out.

    The order stays that of ``changes``, which is bytewise by path.
    """
    listed = list(changes)
    filled = _ancestors(change.path for change in listed if change.new is not None)
    emptied = _ancestors(change.path for change in listed if change.old is not None)
    found: list[FileChange] = []
    for change in listed:
        old, new, path = change.old, change.new, change.path
        if not path and (old is None or new is None):
            continue  # An environment that begins to exist: its root is no change to anybody.
        if old is None:
            assert new is not None
            if new.kind != Kind.DIR or path not in filled:
                found.append(FileChange("A", path, path, None, new))
        elif new is None:
            if old.kind != Kind.DIR or path not in emptied:
                found.append(FileChange("D", path, path, old, None))
        elif old.kind == new.kind:
            found.append(FileChange("M", path, path, old, new))
        else:
            found += _another_type(path, old, new, path in filled, path in emptied)
    return found


def _another_type(
    path: bytes, old: Entry, new: Entry, filled: bool, emptied: bool
) -> list[FileChange]:
    """A file replaced by a directory is, in git's view, deleted; one by a symlink is changed."""
    if Kind.DIR not in (old.kind, new.kind):
        return [FileChange("T", path, path, old, new)]
    found = []
    if old.kind != Kind.DIR or not emptied:
        found.append(FileChange("D", path, path, old, None))
    if new.kind != Kind.DIR or not filled:
        found.append(FileChange("A", path, path, None, new))
    return found


def _ancestors(paths: Iterable[bytes]) -> set[bytes]:
    found: set[bytes] = set()
    for path in paths:
        at = path.rfind(b"/")
        while at > 0 and path[:at] not in found:
            found.add(path[:at])
            at = path.rfind(b"/", 0, at)
        if path:
            found.add(b"")
    return found


Reader = Callable[[FileChange, bool], bytes | None]
"""Gives the content of a change's new side (True) or old side; None when it is too large."""


def detect(
    changes: Sequence[FileChange],
    *,
    threshold: int = 50,
    read: Reader | None = None,
    pairs: int = MOST_PAIRS,
) -> list[FileChange]:
    """Pair deleted with added files as renames.

    ``threshold`` is the least similarity in percent; ``read`` None compares by hash alone.
    """
    search = _Search(changes, threshold * _FULL // 100)
    search.by_content()
    if read is not None and threshold < 100:
        search.by_similarity(read, pairs)
    return search.result()


class _Search:
    def __init__(self, changes: Sequence[FileChange], minimum: int) -> None:
        self._changes = changes
        self._minimum = minimum
        self._gone = {
            change.path: change
            for change in changes
            if change.status == "D" and _renamable(change.old)
        }
        self._come = {
            change.path: change
            for change in changes
            if change.status == "A" and _renamable(change.new)
        }
        self._pairs: dict[bytes, FileChange] = {}

    def _pair(self, gone: FileChange, come: FileChange, score: int) -> None:
        del self._gone[gone.path], self._come[come.path]
        self._pairs[come.path] = FileChange(
            "R", come.path, gone.path, gone.old, come.new, score * 100 // _FULL
        )

    def by_content(self) -> None:
        sources: dict[tuple[object, ...], list[FileChange]] = {}
        for gone in self._gone.values():
            assert gone.old is not None
            sources.setdefault(_content(gone.old), []).append(gone)
        for come in list(self._come.values()):
            assert come.new is not None
            found = sources.get(_content(come.new))
            if found:
                best = next((gone for gone in found if _name(gone) == _name(come)), found[0])
                found.remove(best)
                self._pair(best, come, _FULL)

    def by_similarity(self, read: Reader, pairs: int) -> None:
        if not self._gone or not self._come:
            return
        self._by_name(read)
        if len(self._gone) * len(self._come) > pairs:
            return
        scored = self._scores(read)
        scored.sort(key=lambda found: (-found[0], -found[1]))
        for score, _, gone, come in scored:
            if gone.path in self._gone and come.path in self._come:
                self._pair(gone, come, score)

    def _by_name(self, read: Reader) -> None:
        """A name that only one deleted and one added file have needs no search, as in git."""
        minimum = self._minimum + (_FULL - self._minimum) // 2
        gone_names = Counter(map(_name, self._gone.values()))
        come_names = Counter(map(_name, self._come.values()))
        sources = {_name(gone): gone for gone in self._gone.values()}
        budget = MOST_READ
        for come in list(self._come.values()):
            name = _name(come)
            if gone_names[name] != 1 or come_names[name] != 1:
                continue
            gone = sources[name]
            budget -= _size(gone.old) + _size(come.new)
            if not self._comparable(gone, come) or budget < 0:
                continue
            ours, theirs = _counted(gone, False, read), _counted(come, True, read)
            copied = sum(len(chunk) * min(many, theirs[chunk]) for chunk, many in ours.items())
            score = copied * _FULL // max(_size(gone.old), _size(come.new))
            if score >= minimum:
                self._pair(gone, come, score)

    def _comparable(self, gone: FileChange, come: FileChange) -> bool:
        """Whether the sizes allow the two to be similar enough."""
        old, new = gone.old, come.new
        if old is None or new is None or old.kind != Kind.FILE or new.kind != Kind.FILE:
            return False
        largest = max(old.size, new.size)
        difference = abs(old.size - new.size)
        return (
            min(old.size, new.size) > 0
            and largest <= MOST_BYTES
            and largest * (_FULL - self._minimum) >= difference * _FULL
        )

    def _scores(self, read: Reader) -> list[tuple[int, bool, FileChange, FileChange]]:
        """The pairs that are similar enough, with their scores.

        Chunks lead from each deleted file to the added ones that hold them, so that files with
        nothing in common cost nothing.
        """
        pairs = [
            (gone, come)
            for come in self._come.values()
            for gone in self._gone.values()
            if self._comparable(gone, come)
        ]
        come = {pair[1].path: pair[1] for pair in pairs}
        gone = {pair[0].path: pair[0] for pair in pairs}
        if sum(_size(one.old or one.new) for one in (*come.values(), *gone.values())) > MOST_READ:
            return []
        holders: dict[bytes, list[tuple[bytes, int]]] = {}
        for one in come.values():
            for chunk, many in _counted(one, True, read).items():
                holders.setdefault(chunk, []).append((one.path, many))
        copied: Counter[tuple[bytes, bytes]] = Counter()
        for one in gone.values():
            for chunk, many in _counted(one, False, read).items():
                for path, others in holders.get(chunk, ()):
                    copied[one.path, path] += len(chunk) * min(many, others)
        found = []
        for source, target in pairs:
            largest = max(_size(source.old), _size(target.new))
            score = copied[source.path, target.path] * _FULL // largest
            if score >= self._minimum:
                found.append((score, _name(source) == _name(target), source, target))
        return found

    def result(self) -> list[FileChange]:
        """The changes with each pair in the place of its new path."""
        used = {pair.old_path for pair in self._pairs.values()}
        found: list[FileChange] = []
        for change in self._changes:
            if change.status == "D" and change.path in used and change.path not in self._gone:
                continue
            if change.status == "A" and change.path in self._pairs:
                change = self._pairs[change.path]
            found.append(change)
        return found


def chunks(data: bytes) -> Iterable[bytes]:
    """Lines, or runs of 64 bytes of longer ones; of text, ``\\r`` before ``\\n`` does not count."""
    text = b"\0" not in data[:8000]
    for line in _lines(data):
        if text and line.endswith(b"\r\n"):
            line = line[:-2] + b"\n"
        for at in range(0, len(line), 64):
            yield line[at : at + 64]


def _lines(data: bytes) -> Iterable[bytes]:
    parts = data.split(b"\n")
    yield from (part + b"\n" for part in parts[:-1])
    if parts[-1]:
        yield parts[-1]


def _counted(change: FileChange, new: bool, read: Reader) -> Counter[bytes]:
    data = read(change, new)
    return Counter(chunks(data)) if data is not None else Counter()


def _size(entry: Entry | None) -> int:
    return entry.size if entry is not None else 0


def _name(change: FileChange) -> bytes:
    return change.path.rpartition(b"/")[2]


def _renamable(entry: Entry | None) -> bool:
    return entry is not None and entry.kind in (Kind.FILE, Kind.SYMLINK)


def renamed_from(old: Directory | None, new: Directory | None, path: bytes) -> bytes | None:
    """Where the file at ``path`` of ``new`` was in ``old``, if it is there under another name."""
    if old is None or new is None or find_entry(old, path) is not None:
        return None
    entry = find_entry(new, path)
    if entry is None or entry.kind == Kind.DIR:
        return None
    for change in detect(classify(changes(old, new))):
        if change.status == "R" and change.path == path:
            return change.old_path
    return None
