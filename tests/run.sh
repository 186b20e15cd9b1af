#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Sets up what the tests need and runs them: sh tests/run.sh [PYTEST ARGUMENTS]
#
# On a Debian machine with root and Python it installs what is missing, with apt and into .venv.
# Without root it says what is missing, and the tests that need it are skipped.
# ENVGIT_PYTHON names the Python to use (3.11 or newer).
set -eu
cd "$(dirname "$0")/.."
umask 022

say() { printf '%s\n' "tests/run.sh: $*" >&2; }

# The program that each package brings; packages without one are asked for by a file.
missing=
need() {
    case $1 in
    /*) [ -e "$1" ] || missing="$missing $2" ;;
    *) command -v "$1" >/dev/null 2>&1 || missing="$missing $2" ;;
    esac
}

PATH=$PATH:/usr/sbin:/sbin
need git git
need mmdebstrap mmdebstrap
need /usr/share/keyrings/debian-archive-keyring.gpg debian-archive-keyring
need /etc/ssl/certs/ca-certificates.crt ca-certificates
need busybox busybox-static
need zstd zstd
need xz xz-utils
need bzip2 bzip2
need setfattr attr
need setfacl acl
need setcap libcap2-bin
need strace strace
need mkfs.ext4 e2fsprogs
need umoci umoci
need openssl openssl
need skopeo skopeo
need docker-registry docker-registry
need rpmbuild rpm
need vercmp pacman-package-manager
need makepkg makepkg
need gem ruby
need zsh zsh
need shellcheck shellcheck
ldconfig -p 2>/dev/null | grep -q libseccomp.so.2 || missing="$missing libseccomp2"

# Debian's own Python first: what stands before it on PATH may be a slow shim.
python=${ENVGIT_PYTHON:-}
if [ -z "$python" ]; then
    for python in /usr/bin/python3 "$(command -v python3 || echo /usr/bin/python3)"; do
        "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break
    done
fi
"$python" -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"

if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing$missing"
        export DEBIAN_FRONTEND=noninteractive
        apt-get -q -o DPkg::Lock::Timeout=300 update >&2
        # shellcheck disable=SC2086 # a list of words
        apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends $missing >&2
    else
        say "missing, and not installed without root and apt:$missing"
    fi
fi
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    say "$python is older than Python 3.11; set ENVGIT_PYTHON"
    exit 1
}

# A machine may have the busybox that needs libraries, which is no root filesystem by itself: then
# the other one is unpacked beside the tests instead of replacing it.
if grep -q /ld-linux "$(command -v busybox || echo /dev/null)" 2>/dev/null; then
    if [ ! -x .venv-busybox/bin/busybox ]; then
        say "unpacking busybox-static"
        mkdir -p .venv-busybox
        (cd .venv-busybox && apt-get -q download busybox-static >&2 && dpkg-deb -x ./*.deb .)
    fi
    ENVGIT_TEST_BUSYBOX=$PWD/.venv-busybox/bin/busybox
    export ENVGIT_TEST_BUSYBOX
fi

# Installed once per version of pyproject.toml, editable: a plain path, not an import hook, because
# the tests look at what a start of envgit loads.
stamp=.venv/installed-$(cksum <pyproject.toml | tr ' ' -)
if [ ! -e "$stamp" ] || ! .venv/bin/python -c 'import envgit' 2>/dev/null; then
    say "installing envgit and its tests' needs into .venv"
    rm -f .venv/installed-*
    [ -x .venv/bin/python ] || "$python" -m venv .venv
    .venv/bin/python -m pip install -q --disable-pip-version-check \
        --config-settings editable_mode=compat -e '.[test]' >&2
    touch "$stamp"
fi

# Where PYTHONDONTWRITEBYTECODE is set each start would compile envgit anew, twice the time it takes.
.venv/bin/python -m compileall -q envgit

workers=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
exec .venv/bin/python -m pytest -n "$workers" --dist worksteal "$@"
