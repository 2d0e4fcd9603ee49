#!/usr/bin/env bash
# Less data: install, write a small dataset, rank its images by influence, train a denoiser on the middle of the ranking
# and another one on as many random images, measure both and draw. On the CPU.
#     bash scripts/demo.sh
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash scripts/setup_env.sh
python="$PWD/.venv/bin/python"
# On patches this small a second thread gains little, and where other programs use the cores it waits for them.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"

train=(-m basicsr_ext train -opt options/demo/train_IRCNN_demo_mid.yml)
rm -rf results/rank_IRCNN_demo # a ranking of another version's images would be refused
"$python" scripts/data_preparation/prepare_demo_dataset.py --color gray
"$python" -m basicsr_ext rank -opt options/demo/rank_IRCNN_demo.yml
"$python" "${train[@]}"
"$python" "${train[@]}" --set name=train_IRCNN_demo_random datasets.train.subset=random
"$python" -m basicsr_ext inspect results/rank_IRCNN_demo/ranking.parquet --size 24
"$python" scripts/demo_report.py random=train_IRCNN_demo_random mid=train_IRCNN_demo_mid
