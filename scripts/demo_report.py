"""Measure what the demo's networks learned: PSNR of each on the held-out photographs, and a picture."""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

import basicsr_ext  # noqa: F401  repairs BasicSR, so it comes before its modules

# isort: split
from basicsr.archs import build_network
from basicsr.data import build_dataset
from basicsr.metrics import calculate_psnr
from basicsr.utils import tensor2img

from basicsr_ext.errors import BasicsrExtError
from basicsr_ext.options.load import load_options
from basicsr_ext.runtime.checkpoint import load_network_weights


@dataclass(frozen=True)
class Restored:
    """One photograph: H x W x 3 BGR images of 8 bits, noisy, restored by each network, clean."""

    name: str
    noisy: np.ndarray
    restored: dict[str, np.ndarray]
    clean: np.ndarray

    def psnr(self) -> dict[str, float]:
        """PSNR in dB of the noisy photograph and of each restored one."""
        images = {'noisy': self.noisy, **self.restored}
        return {label: float(calculate_psnr(image, self.clean, crop_border=0)) for label, image in images.items()}


def restore(opt_file: Path, weights: dict[str, Path]) -> Iterator[Restored]:
    """Run the networks of an option file over its validation photographs.

    Args:
        opt_file: the option file that trained the networks.
        weights: label -> checkpoint.

    Raises:
        BasicsrExtError: the option file, a photograph or a checkpoint is missing or wrong.
    """
    opt = load_options(opt_file)
    nets = {}
    for label, path in weights.items():
        nets[label] = build_network(opt['network_g']).eval()
        load_network_weights(nets[label], str(path), strict=True, param_key='params')
    dataset = build_dataset({**opt['datasets']['val'], 'phase': 'val', 'scale': 1})
    for index in range(len(dataset)):
        sample = dataset[index]
        with torch.inference_mode():
            outputs = {label: tensor2img(net(sample['lq'][None])[0]) for label, net in nets.items()}
        yield Restored(Path(sample['gt_path']).stem, tensor2img(sample['lq']), outputs, tensor2img(sample['gt']))


def draw(results: list[Restored], path: Path) -> None:
    """Save noisy, restored and clean side by side, one row per photograph."""
    heights = [result.clean.shape[0] / result.clean.shape[1] for result in results]
    columns = len(results[0].restored) + 2
    width = 4.0  # inches a photograph, at 100 pixels an inch
    size = (columns * width, sum(heights) * width + 0.3 * len(results))
    figure = Figure(figsize=size, layout='constrained')
    axes = figure.subplots(len(results), columns, height_ratios=heights, squeeze=False)
    for row, result in zip(axes, results, strict=True):
        psnr = result.psnr()
        images = {'noisy': result.noisy, **result.restored, 'clean': result.clean}
        for axis, (label, image) in zip(row, images.items(), strict=True):
            axis.imshow(image if image.ndim == 2 else image[..., ::-1], cmap='gray', vmin=0, vmax=255)
            axis.set_title(f'{result.name}, {label}' + (f': {psnr[label]:.2f} dB' if label in psnr else ''))
            axis.axis('off')
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def report(results: list[Restored]) -> dict[str, float]:
    """Print a table and return the mean PSNR of each column in dB."""
    rows = {result.name: result.psnr() for result in results}
    labels = list(next(iter(rows.values())))
    rows['mean'] = {label: float(np.mean([row[label] for row in rows.values()])) for label in labels}
    print(f'{"PSNR [dB]":<16}' + ''.join(f'{label:>10}' for label in labels))
    for name, row in rows.items():
        print(f'{name:<16}' + ''.join(f'{row[label]:10.2f}' for label in labels))
    return rows['mean']


def main() -> int:
    """Read the command line, measure and draw; returns 1 if a network learned too little, 2 if something is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('-opt', type=Path, default=Path('options/demo/train_IRCNN_demo_mid.yml'), help='option file')
    parser.add_argument(
        'runs', nargs='+', metavar='LABEL=EXPERIMENT', help='column of the table=folder in experiments/'
    )
    parser.add_argument('-o', '--output', type=Path, default=Path('results/demo/demo.png'), help='the picture')
    parser.add_argument('--least_gain', type=float, default=5.0, help='smallest gain in dB that counts as success (5)')
    args = parser.parse_args()
    weights = {}
    for run in args.runs:
        label, separator, name = run.partition('=')
        if not separator:
            parser.error(f'{run}: expected LABEL=EXPERIMENT, got no "=".')
        weights[label] = Path('experiments') / name / 'models' / 'net_g_latest.pth'
    try:
        results = list(restore(args.opt, weights))
    except BasicsrExtError as error:
        print(f'demo_report: {error}', file=sys.stderr)
        return 2
    means = report(results)
    draw(results, args.output)
    print(f'noisy | {" | ".join(weights)} | clean: {args.output}')
    gain = min(means[label] for label in weights) - means['noisy']
    if gain < args.least_gain:
        print(f'demo_report: expected a gain of at least {args.least_gain:g} dB, got {gain:.2f}.', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
