"""Measure what the demo's network learned: PSNR before and after on each held-out photograph, and a picture."""

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
from basicsr_ext.options import load_options
from basicsr_ext.training.checkpoint import load_network_weights


@dataclass(frozen=True)
class Restored:
    """One photograph: three H x W x 3 BGR images of 8 bits and their PSNR to `clean` in dB."""

    name: str
    noisy: np.ndarray
    restored: np.ndarray
    clean: np.ndarray

    @property
    def before(self) -> float:
        """PSNR of the noisy input."""
        return float(calculate_psnr(self.noisy, self.clean, crop_border=0))

    @property
    def after(self) -> float:
        """PSNR of the restored image."""
        return float(calculate_psnr(self.restored, self.clean, crop_border=0))


def restore(opt_file: Path, weights: Path) -> Iterator[Restored]:
    """Run the network of an option file over its validation photographs.

    Args:
        opt_file: the option file that trained the network.
        weights: the checkpoint.

    Raises:
        BasicsrExtError: the option file, a photograph or the checkpoint is missing or wrong.
    """
    opt = load_options(opt_file)
    net = build_network(opt['network_g']).eval()
    load_network_weights(net, str(weights), strict=True, param_key='params')
    dataset = build_dataset({**opt['datasets']['val'], 'phase': 'val', 'scale': 1})
    for index in range(len(dataset)):
        sample = dataset[index]
        with torch.inference_mode():
            output = net(sample['lq'][None])[0]
        images = (tensor2img(tensor) for tensor in (sample['lq'], output, sample['gt']))
        yield Restored(Path(sample['gt_path']).stem, *images)


def draw(results: list[Restored], path: Path) -> None:
    """Save noisy, restored and clean side by side, one row a photograph."""
    heights = [result.clean.shape[0] / result.clean.shape[1] for result in results]
    width = 5.0  # inches a photograph, at 100 pixels an inch
    size = (3 * width, sum(heights) * width + 0.3 * len(results))
    figure = Figure(figsize=size, layout='constrained')
    axes = figure.subplots(len(results), 3, height_ratios=heights, squeeze=False)
    for row, result in zip(axes, results, strict=True):
        titles = (f'{result.name}, noisy: {result.before:.2f} dB', f'restored: {result.after:.2f} dB', 'clean')
        for axis, title, image in zip(row, titles, (result.noisy, result.restored, result.clean), strict=True):
            axis.imshow(image[..., ::-1])
            axis.set_title(title)
            axis.axis('off')
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def report(results: list[Restored]) -> float:
    """Print a table and return the mean gain in dB."""
    print(f'{"PSNR [dB]":<16}{"noisy":>8}{"restored":>10}{"gain":>8}')
    for result in results:
        print(f'{result.name:<16}{result.before:8.2f}{result.after:10.2f}{result.after - result.before:+8.2f}')
    before = float(np.mean([result.before for result in results]))
    after = float(np.mean([result.after for result in results]))
    print(f'{"mean":<16}{before:8.2f}{after:10.2f}{after - before:+8.2f}')
    return after - before


def main() -> int:
    """Read the command line, measure and draw; returns 1 if the gain is too small, 2 if something is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('-opt', type=Path, default=Path('options/demo/train_IRCNN_demo.yml'), help='option file')
    parser.add_argument('--weights', type=Path, help='checkpoint; net_g_latest.pth of the experiment by default')
    parser.add_argument('--least_gain', type=float, default=5.0, help='smallest gain in dB that counts as success (5)')
    args = parser.parse_args()
    try:
        folder = Path('experiments') / load_options(args.opt)['name']
        results = list(restore(args.opt, args.weights or folder / 'models' / 'net_g_latest.pth'))
    except BasicsrExtError as error:
        print(f'demo_report: {error}', file=sys.stderr)
        return 2
    gain = report(results)
    draw(results, folder / 'demo.png')
    print(f'noisy | restored | clean: {folder / "demo.png"}')
    if gain < args.least_gain:
        print(f'demo_report: expected a gain of at least {args.least_gain:g} dB, got {gain:.2f}.', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
