"""The tasks, the networks that learn them, and how each is trained."""

from dataclasses import dataclass
from typing import Any, Literal

Block = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """What is to be undone.

    Attributes:
        name: on the command line.
        dataset: the type of the datasets.
        net: the network that is taken where none is named.
        level: the key of the dataset, and the flag, that says how strong the degradation is.
        on_luma: whether colour images are measured on their Y channel, as is usual.
    """

    name: str
    dataset: str = 'PairedImageDataset'
    net: str = 'Restormer'
    level: Literal['sigma', 'quality'] | None = None
    on_luma: bool = False

    @property
    def is_pairs(self) -> bool:
        """Whether degraded images are files."""
        return self.dataset == 'PairedImageDataset'


TASKS = {
    task.name: task
    for task in (
        Task('denoise', 'GaussianDenoisingDataset', 'IRCNN', 'sigma'),
        Task('jpeg', 'JPEGCompressionDataset', 'DnCNN', 'quality'),
        Task('sr', 'BicubicSRDataset', 'EDSR', on_luma=True),
        Task('deblur'),
        Task('derain', on_luma=True),
        Task('dehaze'),
        Task('lowlight'),
        Task('pairs'),
    )
}


@dataclass(frozen=True)
class Net:
    """How a network is trained.

    Attributes:
        lr: learning rate at the start.
        batch: samples of a step on a GPU.
        patch: side of the patches of its input, in pixels.
        keeps_size, enlarges: whether its output can be as large as its input, and larger.
        only_color: whether it takes nothing but three channels.
        warms_up: whether the learning rate rises at first.
        grad_clip: largest norm of the gradient.
        optimizer: of torch.optim.
        model: what trains it.
    """

    lr: float
    batch: int
    patch: int
    keeps_size: bool = True
    enlarges: bool = False
    only_color: bool = False
    warms_up: bool = False
    grad_clip: float = 1.0
    optimizer: str = 'Adam'
    model: str = 'RestorationModel'


NETS = {
    'IRCNN': Net(lr=1e-3, batch=16, patch=64),
    'DnCNN': Net(lr=2e-4, batch=16, patch=64),
    'EDSR': Net(lr=2e-4, batch=16, patch=48, keeps_size=False, enlarges=True, only_color=True),
    'SwinIR': Net(lr=2e-4, batch=8, patch=64, enlarges=True, warms_up=True),
    'Restormer': Net(lr=3e-4, batch=8, patch=96, warms_up=True, grad_clip=0.01, optimizer='AdamW'),
    'FlexIR': Net(lr=2e-4, batch=8, patch=64, enlarges=True, warms_up=True, model='FlexIRModel'),
}


def network_block(net: str, channels: int, scale: int, side: int) -> Block:
    """The block `network_g` of a network of moderate size.

    Args:
        net: a key of `NETS`.
        channels: of its input and output.
        scale: factor by which the output is larger.
        side: of the patches of its input, in pixels.
    """
    same = {'num_in_ch': channels, 'num_out_ch': channels}
    if net == 'IRCNN':
        return {'type': net, **same, 'num_feat': 64}
    if net == 'DnCNN':
        return {'type': net, **same, 'num_feat': 64, 'num_layers': 17, 'with_bn': False}
    if net == 'EDSR':
        mean = {'img_range': 255.0, 'rgb_mean': [0.4488, 0.4371, 0.404]}
        return {'type': net, **same, 'num_feat': 64, 'num_block': 16, 'upscale': scale, 'res_scale': 1, **mean}
    if net == 'Restormer':
        widths = {'dim': 24, 'num_blocks': [1, 2, 2, 4], 'num_refinement_blocks': 1, 'heads': [1, 2, 4, 8]}
        return {'type': net, **same, **widths, 'ffn_expansion_factor': 2.66, 'bias': False, 'norm_type': 'BiasFree'}
    block = {
        'type': net,
        'upscale': scale,
        'in_chans': channels,
        'img_size': side,
        'window_size': 8,
        'img_range': 1.0,
        'depths': [4, 4, 4, 4],
        'embed_dim': 60,
        'num_heads': [6, 6, 6, 6],
        'mlp_ratio': 2,
        'upsampler': 'pixelshuffledirect' if scale > 1 else '',
        'resi_connection': '1conv',
    }
    return {**block, 'share_tail': False, 'channel_scoring': True} if net == 'FlexIR' else block
