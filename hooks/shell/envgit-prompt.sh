# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC3043
#
# Where the envgit environment that you are in stands, for the prompt of bash and zsh.
#
# bash, in ~/.bashrc:    . /path/to/envgit-prompt.sh
#                        PS1='\u@\h:\w$(__envgit_ps1)\$ '
# zsh, in ~/.zshrc:      . /path/to/envgit-prompt.sh
#                        setopt PROMPT_SUBST
#                        PS1='%n@%m:%~$(__envgit_ps1)%# '
#
# Prints " (main)", or " ((1a2b3c4...))" when HEAD is detached, and what is under way:
# " (main|MERGING)". An argument is another format for printf(1), as '[%s] '.
#
# It reads small files and starts no program. With ENVGIT_PS1_SHOWDIRTYSTATE=1 it also asks
# `envgit status` at each prompt, which takes some 0.1 s, and adds * when something is uncommitted.
# Not shown outside an environment.

# The folder with HEAD of the environment around the present directory, in __envgit_dir.
__envgit_find() {
    __envgit_dir=
    if [ -n "${ENVGIT_DIR-}" ]; then
        __envgit_dir=$ENVGIT_DIR
        return
    fi
    local here line
    here=$PWD
    while :; do
        if [ -f "$here/.envgit/HEAD" ]; then
            __envgit_dir=$here/.envgit
            return
        fi
        # In a linked worktree a file says where the folder is.
        if [ -f "$here/.envgit" ] && IFS= read -r line <"$here/.envgit"; then
            case $line in
            'gitdir: /'*) __envgit_dir=${line#gitdir: } ;;
            'gitdir: '*) __envgit_dir=$here/${line#gitdir: } ;;
            esac
            return
        fi
        [ -n "$here" ] || return
        here=${here%/*}
    done
}

__envgit_ps1() {
    # What was the status of the last command stays it.
    local last=$? head place state
    __envgit_find
    # In a folder of somebody else's anything may lie: what is no file would keep us waiting, ...
    if [ -z "$__envgit_dir" ] || [ ! -f "$__envgit_dir/HEAD" ] || [ ! -r "$__envgit_dir/HEAD" ]; then
        return "$last"
    fi
    IFS= read -r head <"$__envgit_dir/HEAD"
    case $head in
    'ref: refs/heads/'*) place=${head#ref: refs/heads/} ;;
    'ref: '*) place=${head#ref: } ;;
    *) place="(${head%"${head#???????}"}...)" ;;
    esac
    # ... and no branch is called what a terminal would act upon.
    case $place in
    *[[:cntrl:]]*) return "$last" ;;
    esac
    state=
    if [ -f "$__envgit_dir/MERGE_HEAD" ]; then
        state='|MERGING'
    elif [ -f "$__envgit_dir/CHERRY_PICK_HEAD" ]; then
        state='|CHERRY-PICKING'
    elif [ -f "$__envgit_dir/REVERT_HEAD" ]; then
        state='|REVERTING'
    elif [ -f "$__envgit_dir/refs/worktree/envgit/bisect" ]; then
        state='|BISECTING'
    fi
    if [ -n "${ENVGIT_PS1_SHOWDIRTYSTATE-}" ] &&
        [ -n "$(command envgit status --porcelain 2>/dev/null)" ]; then
        place="$place *"
    fi
    # zsh takes a % for one of its own signs, even in what a substitution gives.
    if [ -n "${ZSH_VERSION-}" ]; then
        eval 'place=${place//\%/%%}'
    fi
    # shellcheck disable=SC2059 # the format is the caller's
    printf "${1- (%s)}" "$place$state"
    return "$last"
}
