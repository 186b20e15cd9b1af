# SPDX-License-Identifier: Apache-2.0
"""The commits of a log as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from envgit.cli import packageview
from envgit.cli.app import App
from envgit.cli.diffview import PACKAGES, view_of

if TYPE_CHECKING:
    from envgit.porcelain.history import LogEntry


def write_json(app: App, entries: Any, paths: Sequence[str], options: dict[str, Any]) -> None:
    """The commits with their changes where some form of those was asked for."""
    from envgit.cli.difference import records_of
    from envgit.porcelain.difference import between
    from envgit.porcelain.foundation.naming import names_of_commits
    from envgit.porcelain.history import runs

    view = view_of(options, app.settings)
    packages = packageview.history(app, view)
    problems = packageview.Problems(app)
    names = names_of_commits(app.repository)

    def changes(entry: LogEntry) -> dict[str, object]:
        if not view:
            return {}
        parent = entry.commit.parents[0] if entry.commit.parents else None
        found = between(
            app.repository, parent, entry.id, paths=paths, choice=view.choice, history=packages
        )
        shown: dict[str, object] = {}
        if PACKAGES in view.parts:
            shown["packages"] = packageview.records(found.packages.changes)
            problems.tell(found.packages.problems)
        if view.parts - {PACKAGES}:
            shown["changes"] = records_of(found, view)
        return shown

    app.out.json(
        [
            {
                "id": entry.id,
                "tree": entry.tree,
                "parents": entry.parents,
                "author": entry.author,
                "committer": entry.committer,
                "subject": entry.subject,
                "body": entry.body,
                "refs": [
                    ref
                    for name in names.get(entry.id, ())
                    for ref in (name.ref, name.points)
                    if ref
                ],
                "reflog": entry.reflog,
                "runs": runs(app.repository, entry),
                **changes(entry),
            }
            for entry in entries
        ]
    )
