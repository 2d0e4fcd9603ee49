#!/usr/bin/env bash
# Show on the GPU of this machine, in one table, what the package promises and measures: exact resumption, agreement with
# the CPU, speed, memory, ways of training. Needs some minutes; exit code 1 if a row is missed, 2 without a GPU.
#     bash scripts/gpu_check.sh                 # installs into .venv first, see setup_env.sh
#     PYTHON_OF=/path/to/python bash scripts/gpu_check.sh --only resume trains   # an environment of your own
#     bash scripts/gpu_check.sh --cpu --quick   # does the script itself run?
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
if [[ -z "${PYTHON_OF:-}" ]]; then
    bash "$root/scripts/setup_env.sh"
    PYTHON_OF="$root/.venv/bin/python"
fi
exec "$PYTHON_OF" -W ignore "$root/scripts/benchmarks/gpu_check.py" "$@"
