#!/usr/bin/env bash
# Lint, check types and run the tests in the pinned environment; arguments go to pytest.
#     bash scripts/test.sh                       the default suite
#     bash scripts/test.sh -m slow               the long tests
#     bash scripts/test.sh tests/archs/test_archs.py -k Restormer
set -euo pipefail

has_browser() {
    local name
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        if command -v "$name" >/dev/null; then
            return 0
        fi
    done
    return 1
}

install_browser() { # Debian's; where that fails the tests that open pages are skipped
    if [[ "$(id -u)" == 0 ]] && command -v apt-get >/dev/null; then
        echo 'test.sh: installing chromium, in which the pages of results are tried.'
        apt-get update -qq >/dev/null \
            && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium >/dev/null \
            || echo 'test.sh: chromium could not be installed (see above).' >&2
    fi
}

cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash scripts/setup_env.sh
has_browser || install_browser
bin="$PWD/.venv/bin"

"$bin/ruff" check .
"$bin/ruff" format --check .
"$bin/mypy" basicsr_ext

# One test process per core, up to four, each with one thread: more threads than cores wait for each other.
cores="$("$bin/python" -c 'import os; print(os.cpu_count() or 1)')"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
exec "$bin/python" -m pytest -n "$((cores < 4 ? cores : 4))" --dist worksteal "$@"
