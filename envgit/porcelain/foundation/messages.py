# SPDX-License-Identifier: Apache-2.0
"""How a commit comes by its message: draft, template, hooks, editor, clean-up; git's order.

    text -> template -> prepare-commit-msg -> editor -> commit-msg -> cleaned

The hooks get ``COMMIT_EDITMSG`` of the repository as a file and may rewrite it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from envgit.porcelain.foundation import hooks
from envgit.porcelain.foundation.repository import Repository

FILE = "COMMIT_EDITMSG"

_SCISSORS = "# ------------------------ >8 ----"


def compose(
    repository: Repository,
    text: str,
    *,
    source: Sequence[str] = (),
    edit: Callable[[str], str] | None = None,
    template: Callable[[str], str] | None = None,
    verify: bool = True,
    locked: bool = True,
    file: str = FILE,
) -> str:
    """The final message that begins as ``text``.

    ``source`` are the further arguments of prepare-commit-msg: ``message``, ``merge``, ``squash``,
    or ``commit`` and what the user called it. ``template`` adds comments for ``edit``, which are
    taken out at the end. ``verify`` False leaves commit-msg out, as ``--no-verify``. ``file`` is
    the name of the file in the repository. Raises HookRefused.
    """
    prepare = hooks.find(repository, "prepare-commit-msg")
    check = hooks.find(repository, "commit-msg") if verify else None
    if edit is None and not prepare and not check:
        return text
    path = os.path.join(repository.path, file)
    # So do hooks learn that nobody will look at the message (builtin/commit.c).
    env = {"ENVGIT_EDITOR": ":"} if edit is None else {}
    if template is not None:
        text = template(text)
    if prepare:
        text = _hooked(repository, "prepare-commit-msg", path, text, source, env, locked=locked)
    if edit is not None:
        text = edit(text)
    if check:
        text = _hooked(repository, "commit-msg", path, text, (), env, locked=locked)
    return clean(text, comments=template is not None)


def for_merge(
    repository: Repository,
    edit: Callable[[str], str] | None,
    template: Callable[[str], str] | None,
    text: str,
    *,
    verify: bool,
) -> str:
    """The final message of a merge without conflicts, which pre-merge-commit agreed to. The caller
    holds the lock. Raises HookRefused."""
    if verify:
        env = {"ENVGIT_EDITOR": ":"} if edit is None else {}
        hooks.require(repository, "pre-merge-commit", env=env, locked=True)
    return compose(
        repository,
        text,
        source=("merge",),
        edit=edit,
        template=template,
        verify=verify,
        file="MERGE_MSG",
    )


def _hooked(
    repository: Repository,
    name: str,
    path: str,
    text: str,
    args: Sequence[str],
    env: dict[str, str],
    *,
    locked: bool,
) -> str:
    """What the hook makes of the message."""
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
    shown = os.path.relpath(path, repository.project)
    hooks.require(
        repository, name, path if shown.startswith("..") else shown, *args, env=env, locked=locked
    )
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def clean(text: str, *, comments: bool) -> str:
    """Clean a message (git-commit(1), ``--cleanup``): no trailing blanks, no empty lines at either
    end, no more than one in a row; ``comments`` says that lines starting with # go, too, and all
    that follows git's scissors line."""
    kept: list[str] = []
    for line in text.split("\n"):
        if comments and line.startswith(_SCISSORS):
            break
        if comments and line.startswith("#"):
            continue
        line = line.rstrip()
        if line or (kept and kept[-1]):
            kept.append(line)
    while kept and not kept[-1]:
        kept.pop()
    return "\n".join(kept) + "\n" if kept else ""
