"""The tasks of the experiments on choices of images, and the small networks that learn them."""

from dataclasses import dataclass
from typing import Any

import basicsr_ext  # noqa: F401  repairs BasicSR, so it comes before its modules

# isort: split
from basicsr_ext.options.load import load_options

SWINIR_FILE = 'options/train/SwinIR/train_SwinIR-tiny_color_sigma50_warmup_BSD400.yml'

Block = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """What is restored.

    Attributes:
        name: of the task.
        dataset: the keys of the dataset that degrades.
        gt_size: side of a training patch in the ground truth, in pixels.
        network: of the rows, unless others are asked for.
        metric: the block of the PSNR.
        shipped: whether a trained proxy comes with the package.
    """

    name: str
    dataset: Block
    gt_size: int
    network: str
    metric: Block
    shipped: bool = False

    @property
    def color(self) -> str:
        """`gray` or `rgb`."""
        return str(self.dataset['color'])


PSNR = {'type': 'calculate_psnr', 'crop_border': 0, 'test_y_channel': False}
TASKS = {
    task.name: task
    for task in (
        Task('denoise', {'type': 'GaussianDenoisingDataset', 'color': 'gray', 'sigma': 25}, 48, 'IRCNN', PSNR, True),
        Task('color', {'type': 'GaussianDenoisingDataset', 'color': 'rgb', 'sigma': 25}, 48, 'IRCNN', PSNR),
        Task(
            'sr',
            {'type': 'BicubicSRDataset', 'color': 'rgb', 'scale': 2},
            96,
            'EDSR',
            {**PSNR, 'crop_border': 2, 'test_y_channel': True},
        ),
    )
}
DENOISERS = ('IRCNN', 'DnCNN', 'SwinIR')
RATES = {'EDSR': '1e-3', 'SwinIR': '1e-3'}  # of networks for which the short training's rate is too large


def network(name: str, color: str) -> Block:
    """The block `network_g` of a small network."""
    channels = 1 if color == 'gray' else 3
    ends = {'num_in_ch': channels, 'num_out_ch': channels}
    if name == 'SwinIR':
        return {**load_options(SWINIR_FILE)['network_g'], 'in_chans': channels, 'img_size': 48}
    return {
        'IRCNN': {'type': 'IRCNN', **ends, 'num_feat': 32},
        'DnCNN': {'type': 'DnCNN', **ends, 'num_feat': 32, 'num_layers': 10, 'with_bn': False},
        'EDSR': {'type': 'EDSR', **ends, 'num_feat': 32, 'num_block': 4, 'upscale': 2, 'res_scale': 1},
    }[name]
