#!/usr/bin/env bash
# Lint, check types and run the tests in the pinned environment; arguments go to pytest.
#     bash scripts/test.sh                       the default suite
#     bash scripts/test.sh -m slow               the long tests
#     bash scripts/test.sh tests/archs/test_archs.py -k Restormer
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash scripts/setup_env.sh
bin="$PWD/.venv/bin"

"$bin/ruff" check .
"$bin/ruff" format --check .
"$bin/mypy" basicsr_ext

# One test process per core, up to four, each with one thread: more threads than cores wait for each other.
cores="$("$bin/python" -c 'import os; print(os.cpu_count() or 1)')"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
exec "$bin/python" -m pytest -n "$((cores < 4 ? cores : 4))" --dist worksteal "$@"
