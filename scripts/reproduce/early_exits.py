"""Early exits against an oracle and against pointers of equal cost, on images that calibration has not seen.

    python scripts/reproduce/early_exits.py -opt options/calibrate/calibrate_FlexIR_light_color_sigma25.yml \\
        --held_out datasets/CBSD68 datasets/Set14 datasets/Set5

Observes and judges as the job `calibrate` does, at half depth: the budget in the middle between all regions leaving by
the first exit and all by the last. Then the images of each further folder are degraded in the same way, restored with
the best rule, and compared with the ground truth. Prints and writes two tables: the share of the oracle's gain that
each rule brings, and what a budget costs and gives next to pointers.
"""

import argparse
import logging
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import basicsr_ext  # noqa: F401  repairs BasicSR, so it comes before its modules

# isort: split
import torch
from torch import Tensor, nn

from basicsr_ext.data.read_item import read_item
from basicsr_ext.inference.calibration import Operation, error_at, evaluate, exits_at, oracle, with_budget, with_pointer
from basicsr_ext.inference.calibration_tables import Tables, tabulate
from basicsr_ext.inference.exit_costs import known_costs
from basicsr_ext.inference.exit_rules import mixture_error
from basicsr_ext.inference.observation import Observations, Observing
from basicsr_ext.inference.restore import restore
from basicsr_ext.inference.settings import InferenceSettings
from basicsr_ext.jobs.calibrate.options import FILE
from basicsr_ext.jobs.option_file import read_job
from basicsr_ext.networks.trained import trained_network
from basicsr_ext.runtime.progress import with_progress
from basicsr_ext.runtime.spread import spread
from basicsr_ext.training.building import build_dataset

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class HeldOut:
    """What was found on one folder.

    Attributes:
        shares: of the oracle's gain that each rule brings.
        mixture: that of pointers mixed at random.
        rows: what is compared, its name, cost, PSNR to the full network and to the ground truth.
        paid: what restoring with the best rule cost, in parts of the budget.
    """

    shares: list[float]
    mixture: float
    rows: list[tuple[str, Operation]]
    paid: float


def main() -> int:
    """Observe, judge, restore, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('-opt', required=True, help='option file of the job calibrate')
    parser.add_argument('--held_out', nargs='+', required=True, help='folders of clean images')
    parser.add_argument('--images', type=int, default=40, help='of calibration (40)')
    parser.add_argument('--most', type=int, default=20, help='images of each further folder (20)')
    parser.add_argument('--bfloat16', action='store_true', help='compute in bfloat16')
    parser.add_argument('--output', type=Path, default=Path('results', 'reproduce'), help='folder of the tables')
    args = parser.parse_args()
    opt, settings, _ = read_job(FILE, '.', ['-opt', args.opt])
    logging.getLogger('basicsr').setLevel(logging.WARNING)
    net = trained_network(opt).eval().to(torch.bfloat16 if args.bfloat16 else torch.float32)
    (block,) = opt['datasets'].values()
    observed = settings.observed()
    calibration = observe(net, observed, images(block, args.images), 'calibration')
    tables = tabulate(calibration, observed, 2, None, None, None)
    found = {
        Path(folder).name: judged(net, observed, images({**block, 'dataroot_gt': folder}, args.most), tables)
        for folder in args.held_out
    }
    text = '\n\n'.join(['\n'.join(shares(tables, found)), '\n'.join(costs(found))])
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / f'early_exits_{opt["name"]}.md').write_text(f'{text}\n', encoding='utf-8')
    print(text)
    return 0


def images(block: dict[str, Any], most: int) -> list[Pair]:
    """Some degraded images of a dataset, evenly spread, and their ground truth."""
    dataset = build_dataset(dict(block), 'datasets')
    items = (read_item(dataset, index) for index in spread(min(most, len(dataset)), len(dataset)))
    return [(item['lq'], item['gt']) for item in items]


def observe(net: nn.Module, settings: InferenceSettings, pairs: Sequence[Pair], name: str) -> Observations:
    """Pass images through all exits."""
    grid = settings.grid(*pairs[0][0].shape[1:])
    observing = Observing(net, settings, known_costs(net, len(pairs[0][0]), grid.region_size))
    for degraded, truth in with_progress(pairs, name, len(pairs)):
        observing.add(degraded, truth)
    return observing.result()


def judged(net: nn.Module, settings: InferenceSettings, pairs: Sequence[Pair], tables: Tables) -> HeldOut:
    """Try the rules that were fitted on calibration images on others."""
    observations, budget = observe(net, settings, pairs, f'{len(pairs)} images'), tables.judged.budget
    chosen = [with_budget(settings, budget, rule.forecast) for rule in tables.judged.rules]
    errors = [error_at(exits_at(observations, each), observations.differences) for each in chosen]
    first, best = observations.differences[:, 0].sum(), oracle(observations, settings, budget)
    gain = first - error_of(best, observations)
    exits = observations.differences.shape[1]
    costs = [evaluate(observations, with_pointer(settings, pointer)) for pointer in range(1, exits + 1)]
    pointer = max((row for row in costs if row.macs <= budget), key=lambda row: row.macs)
    rows = [
        (f'pointer {pointer.pointer}', pointer),
        (f'budget {budget:.3f}, {tables.judged.rules[0].name}', evaluate(observations, chosen[0])),
        (f'budget {budget:.3f}, oracle', best),
        (f'pointer {exits}', costs[-1]),
    ]
    mixture = (first - mixture_error(observations, budget)) / gain
    return HeldOut([(first - error) / gain for error in errors], mixture, rows, paid(net, chosen[0], pairs) / budget)


def error_of(row: Operation, observations: Observations) -> float:
    """Squared differences to the full network, summed."""
    return 0.0 if row.psnr is None else float(observations.values * 10 ** (-row.psnr / 10))


def paid(net: nn.Module, settings: InferenceSettings, pairs: Sequence[Pair]) -> float:
    """The mean cost of images that are really restored."""
    costs = []
    for degraded, _ in with_progress(pairs, 'restored', len(pairs)):
        grid = settings.grid(*degraded.shape[1:])
        exits = restore(net, degraded[None], settings).exits[0]
        costs.append(known_costs(net, len(degraded), grid.region_size).fraction(grid, exits, settings.tails_passed))
    return statistics.mean(costs)


def shares(tables: Tables, found: dict[str, HeldOut]) -> Iterator[str]:
    """The table of rules."""
    yield f"| share of the oracle's gain, budget {tables.judged.budget:.3f} | calibration | {' | '.join(found)} |"
    yield f'|---|{"---|" * (len(found) + 1)}'
    for number, rule in enumerate(tables.judged.rules):
        values = [rule.share, *(each.shares[number] for each in found.values())]
        yield f'| {rule.name} | {" | ".join(f"{value:.1%}" for value in values)} |'
    values = [tables.judged.mixture, *(each.mixture for each in found.values())]
    yield f'| pointers mixed at random | {" | ".join(f"{value:.1%}" for value in values)} |'


def costs(found: dict[str, HeldOut]) -> Iterator[str]:
    """The table of costs."""
    yield '| images | | MACs | to the full network [dB] | to the ground truth [dB] | really paid / budget |'
    yield '|---|---|---|---|---|---|'
    for name, each in found.items():
        for what, row in each.rows:
            psnr = 'equal' if row.psnr is None else f'{row.psnr:.2f}'
            paid_part = f'{each.paid:.4f}' if 'budget' in what and 'oracle' not in what else ''
            yield f'| {name} | {what} | {row.macs:.3f} | {psnr} | {row.truth:.3f} | {paid_part} |'


if __name__ == '__main__':
    sys.exit(main())
