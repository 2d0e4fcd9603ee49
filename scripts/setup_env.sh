#!/usr/bin/env bash
# Make .venv in the root of the repository and install basicsr_ext with its pinned requirements; does nothing when it is
# up to date. PYTHON=/path/to/python chooses the interpreter (3.10 to 3.14).
#     bash scripts/setup_env.sh
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv="$PWD/.venv"
stamp="$venv/installed-from"

fail() {
    echo "setup_env.sh: $*" >&2
    exit 1
}

is_supported() { # a name may exist and yet not run, as the shims of version managers do
    "$1" -c 'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null
}

choose_python() {
    if [[ -n "${PYTHON:-}" ]]; then
        is_supported "$PYTHON" || fail "PYTHON=$PYTHON: expected Python 3.10 to 3.14 with the module venv."
        echo "$PYTHON"
        return
    fi
    local name
    for name in python3.11 python3.12 python3.13 python3.10 python3; do
        if is_supported "$name"; then
            echo "$name"
            return
        fi
    done
    fail 'expected Python 3.10 to 3.14 with the module venv, got none. Install one (Debian and Ubuntu:' \
        'apt-get install python3 python3-venv) or name it: PYTHON=/path/to/python bash scripts/setup_env.sh'
}

install() {
    "$venv/bin/python" -m pip --disable-pip-version-check install --quiet --no-input "$@" \
        || fail "pip install $* failed (see above). Correct the cause and run this again."
}

key="$(cat requirements.txt setup.py scripts/setup_env.sh <(echo "$PWD ${PYTHON:-}") | cksum)"
if [[ -f "$stamp" && "$(cat "$stamp")" == "$key" && -x "$venv/bin/python" ]]; then
    exit 0
fi

python="$(choose_python)"
base="$PWD, $("$python" --version)" # a virtual environment works neither after a move nor with another interpreter
if [[ -e "$venv" && ! -f "$venv/made-for" ]]; then
    fail "$venv: expected a folder made by this script, got another one. Move it away and run this again."
fi
echo "setup_env.sh: installing into $venv with $("$python" --version); the first time takes a few minutes."
if [[ ! -x "$venv/bin/python" || "$(cat "$venv/made-for")" != "$base" ]]; then
    rm -rf "$venv"
    mkdir "$venv"
    echo "$base" >"$venv/made-for"
    "$python" -m venv "$venv" || fail "$python -m venv failed (see above)."
fi
pinned="$venv/requirements-without-basicsr.txt"
grep -v '^basicsr==' requirements.txt >"$pinned"
install -r "$pinned"
PYTHONPATH="$PWD/scripts/building_basicsr" install --no-deps --no-build-isolation "$(grep '^basicsr==' requirements.txt)"
install --no-deps --no-build-isolation --editable .
echo "$key" >"$stamp"
