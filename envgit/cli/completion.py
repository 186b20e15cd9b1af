# SPDX-License-Identifier: Apache-2.0
"""Completes command lines: scripts for bash, zsh and fish that ask envgit itself what could follow.

The scripts call the hidden verb ``__complete -- WORDS``, the last word being the one that is typed.
It answers one candidate a line, with a tab before its description; ``:files`` leaves the word to
the shell's own completion of file names.
"""

from __future__ import annotations

from collections.abc import Iterable

from envgit.cli import table
from envgit.cli.app import App
from envgit.cli.errors import UsageProblem
from envgit.cli.verb import Group, Option, Verb, argument, verb
from envgit.errors import EnvgitError

Candidate = tuple[str, str]

_FILES: list[Candidate] = [(":files", "")]

_SCRIPTS = {
    "bash": """\
# bash completion for envgit; put it into ~/.local/share/bash-completion/completions/envgit
_envgit() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        if [[ $line == :files ]]; then
            compopt -o default -o bashdefault
            return
        fi
        COMPREPLY+=("${line%%$'\\t'*}")
    done < <(envgit __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _envgit envgit
""",
    "zsh": """\
#compdef envgit
# zsh completion for envgit; put it into a directory of $fpath as _envgit
_envgit() {
    local -a lines described
    lines=("${(@f)$(envgit __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ $lines[1] == ":files" ]]; then
        _files
        return
    fi
    local line
    for line in $lines; do
        described+=("${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}")
    done
    _describe 'envgit' described
}
compdef _envgit envgit
""",
    "fish": """\
# fish completion for envgit; put it into ~/.config/fish/completions/envgit.fish
function __envgit_complete
    set -l words (commandline -opc)
    set -l found (envgit __complete -- $words[2..] (commandline -ct) 2>/dev/null)
    if test "$found[1]" = ":files"
        __fish_complete_path (commandline -ct)
    else
        printf '%s\\n' $found
    end
end
complete -c envgit -f -a '(__envgit_complete)'
""",
}

# What the positional arguments of a verb are; files where nothing is said.
_BRANCHES = ("branch", "switch")
_REVISIONS = (
    "blame", "cherry-pick", "describe", "grep", "merge", "revert", "shortlog",
    "checkout", "diff", "du", "export", "log", "ls-tree", "merge-base", "mount", "reflog", "reset",
    "packages", "rev-parse", "rollback", "shell", "show", "tag",
)  # fmt: skip
_NOTHING = ("commit", "doctor", "fsck", "gc", "redo", "status", "undo")

_REVISION_OPTIONS = (
    "at", "contains", "merged", "no_contains", "no_merged", "points_at", "reedit", "reuse",
    "source",
)  # fmt: skip
_PACKAGE_OPTIONS = ("package", "of_packages")
_CHOICES = {
    "color": ("always", "auto", "never"),
    "network": ("host", "none"),
    "sbom": ("cyclonedx-json", "spdx-json"),
}


@verb("completion", "completion (bash | zsh | fish)")
@argument("shell", metavar="<shell>")
def completion(app: App, shell: str | None) -> int:
    """Print the completion script for a shell.

    \b
    bash: eval "$(envgit completion bash)"
    zsh:  eval "$(envgit completion zsh)"
    fish: envgit completion fish | source
    """
    script = _SCRIPTS.get(shell or "")
    if script is None:
        said = f"unknown shell '{shell}'" if shell else "which shell?"
        raise UsageProblem(said, usage="short")
    app.out.write(script)
    return 0


@verb("__complete", "__complete -- [<word>...]", hidden=True)
@argument("words", nargs=-1)
def complete(app: App, words: tuple[str, ...]) -> int:
    """Answer what the last of the words could become."""
    before, typed = list(words[:-1]), words[-1] if words else ""
    if typed == "=":  # bash makes a word of the equals sign
        before, typed = [*before, "="], ""
    found: Iterable[Candidate]
    try:
        if before[-1:] == ["="] and before[:-1]:
            found = _attached(app, before[:-2], before[-2])
        elif typed.startswith("--") and "=" in typed:
            option = typed.partition("=")[0]
            values = _attached(app, before, option)
            found = [(f"{option}={value}", text) for value, text in values if value != ":files"]
        else:
            found = candidates(app, before, typed)
    except (EnvgitError, OSError):
        return 0  # a completion that fails is silent: the user is in the middle of a line
    for name, description in found:
        if name.startswith(typed) or name == ":files":
            app.out.line(f"{name}\t{description}".rstrip("\t"))
    return 0


def _attached(app: App, before: list[str], name: str) -> list[Candidate]:
    """The values that an option can have behind an equals sign."""
    command = _command(_without_globals(before))
    if command is None:
        return []
    for option in command.options():
        if name in option.opts and not (option.is_flag or option.count):
            return _values(app, option)
    return []


def _command(before: list[str]) -> Verb | None:
    """The verb of a line, or the verb of a group."""
    target = table.verbs().get(before[0]) if before else None
    if target is None:
        return None
    from envgit.cli.main import load

    command = load(target)
    if isinstance(command, Group) and len(before) > 1:
        return command.verbs.get(f"{before[0]} {before[1]}", command)
    return command


def candidates(app: App, before: list[str], typed: str) -> Iterable[Candidate]:
    """What could follow the words ``before``, of which ``typed`` is the beginning."""
    before = _without_globals(before)
    if not before:
        if typed.startswith("-"):
            names = ("--help", "--version", "--no-pager", "--paginate", "--envgit-dir=")
            return [(name, "") for name in names]
        return [*table.summaries().items(), *_aliases(app)]
    name = before[0]
    command = _command(before)
    if command is None:
        return _FILES
    if isinstance(command, Group) and len(before) == 1:
        return [(key.split()[-1], _summary(one)) for key, one in command.verbs.items()]
    if typed.startswith("-") and "--" not in before:
        return _options(command)
    pending = _pending(command, before[-1])
    if pending is not None:
        return _values(app, pending)
    return _positionals(app, name, before)


def _without_globals(before: list[str]) -> list[str]:
    while before and before[0].startswith("-"):
        before = before[2:] if before[0] in ("-C", "-c", "--envgit-dir") else before[1:]
    return before


def _aliases(app: App) -> list[Candidate]:
    from envgit.cli.alias import aliases

    return [(name, f"alias of {text}") for name, text in sorted(aliases(app).items())]


def _summary(command: Verb) -> str:
    return (command.help or "").strip().split(".\n", 1)[0].split("\n")[0].rstrip(".")


def _options(command: Verb) -> list[Candidate]:
    found = []
    for option in command.options():
        if option.hidden:
            continue
        long = next((name for name in option.opts if name.startswith("--")), option.opts[0])
        found.append((long, option.help or ""))
    return found


def _pending(command: Verb, last: str) -> Option | None:
    """The option that the last word leaves waiting for its value."""
    for option in command.options():
        if last in option.opts and option.optional is None:
            return None if option.is_flag or option.count else option
    return None


def _values(app: App, option: Option) -> list[Candidate]:
    name = option.name or ""
    if name in _PACKAGE_OPTIONS:
        return _packages(app)
    if name == "managers":
        return [(manager, "") for manager in _managers()]
    if name in _REVISION_OPTIONS and option.hint == "<commit>":
        return _revisions(app, tags=True)
    if name in _CHOICES:
        return [(choice, "") for choice in _CHOICES[name]]
    if "--package" in option.opts:
        return _packages(app)
    if name == "source":
        return [(kind, "") for kind in ("scratch", "debian:", "tar:", "rootfs:")]
    return _FILES if option.hint in ("<file>", "<dir>", "<src>:<dst>[:ro]") else []


def _positionals(app: App, name: str, before: list[str]) -> Iterable[Candidate]:
    if name == "packages" and "--" in before:
        return _packages(app)
    if "--" in before or name in _NOTHING:
        return []
    if name == "packages":
        return [*_revisions(app, tags=True), *_packages(app)]
    if name in _BRANCHES:
        return _revisions(app, tags=False)
    if name in _REVISIONS:
        return _revisions(app, tags=True)
    if name == "bisect" and before[1:2] and before[1] not in ("run", "replay"):
        return _revisions(app, tags=True)
    if name == "help":
        return table.summaries().items()
    if name == "completion":
        return [(shell, "") for shell in _SCRIPTS]
    if name == "config":
        from envgit.settings import KNOWN

        return [(setting.name, setting.doc) for setting in KNOWN if "<" not in setting.name]
    return _FILES


def _managers() -> Iterable[str]:
    from envgit.porcelain.packages import MANAGERS

    return MANAGERS


def _revisions(app: App, *, tags: bool) -> list[Candidate]:
    git = app.repository.git
    found = [(ref.removeprefix("refs/heads/"), "branch") for ref in git.refs("refs/heads/")]
    if tags:
        found += [(ref.removeprefix("refs/tags/"), "tag") for ref in git.refs("refs/tags/")]
        found.append(("HEAD", ""))
    return sorted(found)


def _packages(app: App) -> list[Candidate]:
    """The packages of HEAD; remembered, so that nobody waits for it."""
    from envgit.porcelain.foundation.packages import inventories

    found = inventories.of_commit(app.repository, app.repository.git.head().commit)
    return sorted({(one.name, one.version) for one in found.contents.packages})
