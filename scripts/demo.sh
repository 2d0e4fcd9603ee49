#!/usr/bin/env bash
# From a folder of images to a verdict, a network and restored files: install, make the demo's images, write option files
# for them, look for spoilt ones, compare all images with a random part and with one that is chosen for pages of text,
# restore pages. On the CPU; no option file is edited.
#     bash scripts/demo.sh
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash scripts/setup_env.sh
python="$PWD/.venv/bin/python"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" # where other programs use the cores a second thread waits for them

data=datasets/demo
basicsr-ext() {
    printf '\n$ basicsr-ext %s\n' "$*"
    "$python" -m basicsr_ext "$@"
}

rm -rf "$data" results/demo_audit results/demo_restored # those of another version's images would be refused
"$python" scripts/data_preparation/prepare_demo_dataset.py --output "$data"
basicsr-ext init denoise "$data/photos" --val "$data/val" --target "$data/target" -o "$data/demo.yml"
basicsr-ext audit -opt "$data/demo_audit.yml"
# The ranking asks the small denoiser that comes with the package, which demo_rank_influence.yml names.
basicsr-ext compare -opt "$data/demo.yml" --report "$data/pages" --sets full influence:top --sizes 10% --seeds 5 \
    --iterations 400 --set network_g.num_feat=32 --proxy "$data/demo_rank_influence.yml"
basicsr-ext restore "$data/noisy" -o results/demo_restored --weights results/demo/winner.pth --compare "$data/pages"
cat << END

The verdict, the table and the pictures: results/demo/compare.html
What the audit suspects:                 results/demo_audit/report.html
The restored pages:                      results/demo_restored/
Option file of the winner, at full length: results/demo/winner.yml

A choice can pay here: four of the folder's 148 images are pages, and pages are what is to be restored. On a uniform
pool, photographs chosen for other photographs, none was better than random ones (README.md).
END
