# SPDX-License-Identifier: Apache-2.0
"""Names every verb without importing it, so that `envgit run` pays for `run` alone.

A verb is found as ``module:attribute`` beneath ``envgit.cli``; its one line of help stands here
because `envgit --help` must not import thirty modules to print thirty lines. A test compares the
lines with the verbs' own docstrings.
"""

from __future__ import annotations

GROUPS: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...] = (
    (
        "start an environment",
        (("init", "create:init", "Create a repository, with a first state if asked for one"),),
    ),
    (
        "work in it",
        (
            ("run", "running:run", "Run a command in the worktree; its changes stay uncommitted"),
            ("shell", "running:shell", "Open a shell in the worktree, or in a commit"),
            ("cp", "outside:cp", "Copy between the host and the environment"),
            ("mount", "outside:mount", "See a state of the environment from the host"),
            ("umount", "outside:umount", "Take such a view away again"),
            ("restore", "moving:restore", "Bring paths back to what a commit has"),
            ("stash", "stash:stash", "Put uncommitted changes away, and take them out again"),
        ),
    ),
    (
        "examine the history and state",
        (
            ("status", "inspect:status", "Show what changed since the last commit"),
            ("diff", "difference:diff", "Show changes between commits, or commit and worktree"),
            ("log", "history:log", "Show the commits"),
            ("show", "history:show", "Show a commit, or a file or directory of one"),
            (
                "packages",
                "packages:packages",
                "Show what is installed, in the worktree or in a commit",
            ),
            (
                "blame",
                "blame:blame",
                "Show which commit last changed a path, or each line of a text file",
            ),
            ("grep", "searching:grep", "Print lines that match a pattern, of files of any commit"),
            ("bisect", "bisecting:bisect_verb", "Find the commit that brought a change"),
            ("reflog", "reflogs:reflog", "Show where a branch or HEAD has been"),
            ("describe", "describing:describe", "Name a commit after the tag nearest to it"),
            ("shortlog", "describing:shortlog", "Summarize the log by who wrote it"),
        ),
    ),
    (
        "grow, mark and tweak your history",
        (
            ("commit", "committing:commit", "Record the uncommitted changes as a commit"),
            ("merge", "merging:merge", "Join other histories to the current branch"),
            ("add", "merging:add", "Mark conflicts as resolved"),
            ("branch", "references:branch", "List, create, rename or delete branches"),
            ("tag", "references:tag", "List, create or delete tags"),
            (
                "cherry-pick",
                "picking:cherry_pick",
                "Do the changes of commits again on top of HEAD",
            ),
            (
                "revert",
                "picking:revert",
                "Undo the changes of commits, in new commits on top of HEAD",
            ),
            ("switch", "moving:switch", "Switch to another branch"),
            ("checkout", "moving:checkout", "Switch branches or restore paths"),
            (
                "worktree",
                "worktrees:worktree",
                "Manage several environments of one repository at once",
            ),
        ),
    ),
    (
        "go back",
        (
            ("rollback", "returning:rollback", "Take the branch back to an earlier state"),
            ("reset", "returning:reset", "Set the branch to a commit"),
            ("undo", "operations:undo", "Take back what the last commands did"),
            ("redo", "operations:redo", "Do again what undo took back"),
            ("op", "operations:op", "Show or restore entries of the operation log"),
        ),
    ),
    (
        "move environments",
        (
            (
                "import",
                "create:import_verb",
                "Bring an image, or another source, into the repository as a branch",
            ),
            (
                "export",
                "outside:export",
                "Write a state as an archive or an image, or list what is installed in it",
            ),
        ),
    ),
    (
        "look after it",
        (
            ("config", "configuration:config", "Read and write settings"),
            ("gc", "upkeep:gc", "Remove what nothing needs any more"),
            ("fsck", "upkeep:fsck", "Verify every object, layer and file"),
            ("du", "upkeep:du", "Show what a commit or branch occupies"),
            ("doctor", "upkeep:doctor", "Try what this host can do, and explain"),
            ("hook", "hooks:hook", "List, call and install hooks"),
            ("completion", "completion:completion", "Print the completion script for a shell"),
            ("help", "helping:help_verb", "Show help about a verb"),
        ),
    ),
    (
        "serve scripts",
        (
            ("ls-tree", "inspect:ls_tree", "List the contents of a directory in a commit"),
            ("rev-parse", "revparse:rev_parse", "Turn names of revisions into ids"),
            ("rev-list", "revlist:rev_list", "List ids of commits"),
            ("merge-base", "inspect:merge_base", "Find common ancestors of commits"),
            ("for-each-ref", "plumbing:for_each_ref", "Print each ref in a format of one's own"),
            ("show-ref", "plumbing:show_ref", "List refs with the ids of what they name"),
            (
                "symbolic-ref",
                "plumbing:symbolic_ref",
                "Print the ref that a symbolic ref such as HEAD leads to",
            ),
            (
                "check-ref-format",
                "plumbing:check_ref_format",
                "Say by the exit status whether a ref may have a name",
            ),
            ("count-objects", "upkeep:count_objects", "Count git objects and what they occupy"),
        ),
    ),
)

# Verbs nobody types: called by the completion scripts, and git's word for --version.
HIDDEN: dict[str, str] = {"__complete": "completion:complete", "version": "helping:version_verb"}


def verbs() -> dict[str, str]:
    """Return the target of every verb, ``module:attribute``, by its name."""
    named = {name: target for _, rows in GROUPS for name, target, _ in rows}
    return named | HIDDEN


def summaries() -> dict[str, str]:
    """Return the one-line help of every visible verb, in the order of `envgit --help`."""
    return {name: line for _, rows in GROUPS for name, _, line in rows}
