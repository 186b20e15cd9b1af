#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs envgit and takes the tour of README.rst for real: sh docs/quickstart.sh [DIRECTORY]
#
# On a Debian machine with root and Python. It installs what is missing with apt and into .venv,
# links envgit to where the shell finds it, and then works in DIRECTORY (default: a new temporary
# one, kept, so that you can go on there). Takes about two minutes, most of it downloads.
set -eu
umask 022
where=${1:-}
case $where in
'' | /*) ;;
*) where=$PWD/$where ;;
esac
cd "$(dirname "$0")/.."
project=$PWD

say() { printf '\n== %s\n' "$*"; }

[ "$(id -u)" = 0 ] || {
    echo "docs/quickstart.sh: run it as root (sudo sh docs/quickstart.sh)" >&2
    exit 1
}

# ---------------------------------------------------------------- what envgit needs

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
ldconfig -p 2>/dev/null | grep -q libseccomp.so.2 || missing="$missing libseccomp2"
python=${ENVGIT_PYTHON:-}
if [ -z "$python" ]; then
    for python in /usr/bin/python3 "$(command -v python3 || echo /usr/bin/python3)"; do
        "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break
    done
fi
"$python" -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
if [ -n "$missing" ]; then
    say "installing$missing"
    export DEBIAN_FRONTEND=noninteractive
    apt-get -q -o DPkg::Lock::Timeout=300 update
    # shellcheck disable=SC2086 # a list of words
    apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends $missing
fi

say "installing envgit into $project/.venv"
[ -x .venv/bin/python ] || "$python" -m venv .venv
.venv/bin/python -m pip install -q --disable-pip-version-check \
    --config-settings editable_mode=compat -e .
# Where PYTHONDONTWRITEBYTECODE is set each start would compile envgit anew, twice the time it takes.
.venv/bin/python -m compileall -q envgit

for bin in /usr/local/bin "$HOME/.local/bin"; do
    # A file of that name that is no link was put there by somebody else.
    if [ -L "$bin/envgit" ] || [ ! -e "$bin/envgit" ]; then
        mkdir -p "$bin" && ln -sf "$project/.venv/bin/envgit" "$bin/envgit" && break
    fi
done
say "$bin/envgit is $("$bin/envgit" --version)"
case :$PATH: in
*:"$bin":*) ;;
*) echo "add $bin to your PATH" ;;
esac
PATH=$bin:$PATH

# ---------------------------------------------------------------- the tour

if [ -z "$where" ]; then
    where=$(mktemp -d /var/tmp/envgit-tour.XXXXXX)
fi
mkdir -p "$where"
cd "$where"
export ENVGIT_PAGER=cat GIT_PAGER=cat

tour() { # show a command line as one would type it, then obey it
    printf '\n$ %s\n' "$1"
    eval "$1"
}

clip() { # the same, showing the first lines and the last two: clip LINES COMMAND
    printf '\n$ %s\n' "$2"
    eval "$2" >"$where/.output"
    sed "$1q" "$where/.output"
    lines=$(wc -l <"$where/.output")
    if [ "$lines" -gt "$1" ]; then
        echo "[... and more, $lines lines in all]"
        grep -v '^$' "$where/.output" | tail -n 2
    fi
    rm "$where/.output"
}

say "the tour, in $where"
tour "envgit init lab --from debian:bookworm && cd lab"

# Inside the environment pip needs the way to the network that this machine has: its proxy, its
# index, and the certificates that it trusts (a private authority is in no Debian package).
for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY PIP_INDEX_URL \
    PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST PIP_DEFAULT_TIMEOUT; do
    value=$(printenv "$name" || true)
    if [ -n "$value" ]; then
        tour "envgit config --add run.env $name"
    fi
done
for bundle in "${PIP_CERT:-}" "${SSL_CERT_FILE:-}" "${REQUESTS_CA_BUNDLE:-}" "${CURL_CA_BUNDLE:-}"; do
    if [ -f "$bundle" ]; then
        tour "envgit config --add run.volume '$bundle:/run/host-certificates.crt:ro'"
        for name in PIP_CERT SSL_CERT_FILE REQUESTS_CA_BUNDLE CURL_CA_BUNDLE; do
            tour "envgit config --add run.env '$name=/run/host-certificates.crt'"
        done
        break
    fi
done

tour "envgit run -- apt-get install -y -q --no-install-recommends python3-pip"
clip 12 "envgit status"
tour "envgit commit --auto"
tour "envgit run -m 'numpy 1' -- pip install -q --break-system-packages 'numpy<2' 'idna<3.10' 'zipp<3.20'"
tour "envgit switch -c exp"
tour "envgit run -m 'upgrade' -- pip install -q --break-system-packages -U numpy idna zipp"
tour "envgit run -- python3 -c 'import numpy; numpy.float_'" && {
    echo "the upgrade was expected to break this" >&2
    exit 1
}
echo "(broken by the upgrade)"
tour "envgit log --oneline --graph --all"
tour "envgit diff --packages main exp"
clip 12 "envgit diff --stat main exp"
tour "envgit rollback"
tour "envgit run -- python3 -c 'import numpy; print(numpy.float_, \"works again\")'"
tour "envgit undo"

say "the break is buried under other work: find it"
for package in attrs click tomli; do
    tour "envgit run -q -m '$package' -- pip install -q --break-system-packages $package"
done
tour "envgit bisect start exp main"
clip 20 "envgit bisect run python3 -c 'import numpy; numpy.float_'"
tour "envgit bisect inside python3 -c 'import numpy; numpy.float_'"
tour "envgit bisect reset"
tour "envgit blame --package numpy"

say "put that package back, keep the rest, and look at both side by side"
tour "envgit rollback --package numpy main -m 'numpy 1 again'"
tour "envgit run -- python3 -c 'import numpy, idna; print(numpy.float_, idna.__version__)'"
tour "envgit worktree add ../trial exp~1"
tour "(cd ../trial && envgit run -- python3 -c 'import numpy; print(numpy.__version__)')"
tour "envgit worktree remove ../trial"
tour "envgit log --oneline --packages main..exp"
tour "envgit packages --manager pip"
tour "envgit export --sbom ../lab.cdx.json"

say "check all of it, with git, too"
tour "envgit fsck"
clip 20 "git --git-dir=.envgit log --stat -2"
tour "git --git-dir=.envgit fsck --strict"

say "done: go on in $where/lab, for instance with: cd $where/lab && envgit shell"
