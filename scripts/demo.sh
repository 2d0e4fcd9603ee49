#!/usr/bin/env bash
# From a clone to a trained denoiser: install, write a small dataset, train IRCNN on the CPU, measure and draw.
#     bash scripts/demo.sh
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash scripts/setup_env.sh
python="$PWD/.venv/bin/python"
# On patches this small a second thread gains little, and where other programs use the cores it waits for them.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"

"$python" scripts/data_preparation/prepare_demo_dataset.py
"$python" -m basicsr_ext train -opt options/demo/train_IRCNN_demo.yml
"$python" scripts/demo_report.py -opt options/demo/train_IRCNN_demo.yml
