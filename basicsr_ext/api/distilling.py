"""Make a small synthetic dataset from Python."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from basicsr.losses import build_loss
from torch import Tensor, nn

from basicsr_ext.data.own_pairs import OwnPairs
from basicsr_ext.distillation.codec import PixelCodec
from basicsr_ext.distillation.composition import distilled_number
from basicsr_ext.distillation.degradation import Degrade, degraded
from basicsr_ext.distillation.engine import Distillation, Matching, Pair
from basicsr_ext.distillation.networks import Networks
from basicsr_ext.distillation.settings import DistillSettings
from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.networks.described import input_sides
from basicsr_ext.options.blocks import read_block
from basicsr_ext.runtime.saved_state import SavedState


def distill(
    dataset: Any,
    make_network: Callable[[], nn.Module],
    *,
    degrade: Degrade | None = None,
    seed: int = 0,
    **settings: Any,
) -> list[tuple[Tensor, Tensor]]:
    """Make a few synthetic pairs on which networks get gradients like those on a whole dataset.

    Args:
        dataset: map-style; items are pairs `(lq, gt)` or dicts with `lq` and `gt`; tensors C x H x W, RGB or grey,
            [0, 1].
        make_network: gives a new network for each round, on its device.
        degrade: makes the input of a clean image, H x W x C, float32, with a generator; None optimises the input too.
        seed: of everything random.
        **settings: keys of the block `distill` of an option file, such as `size=8, image_size=64, steps=200`.

    Returns:
        The synthetic pairs, input and clean image.

    Raises:
        OptionError: a setting is wrong, or belongs to option files.
        DataError: items that cannot be used, or are smaller than `image_size`.

    Example:
        >>> import torch
        >>> import basicsr_ext as bx
        >>> images = [torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(i)) for i in range(6)]
        >>> pairs = [((image + 0.1).clamp(0, 1), image) for image in images]
        >>> net = lambda: torch.nn.Conv2d(3, 3, 3, padding=1)
        >>> made = bx.distill(pairs, net, size=2, image_size=8, steps=2, batch_size=2)
        >>> len(made), tuple(made[0][1].shape)
        (2, (3, 8, 8))
    """
    asked = read_block(DistillSettings, {'kept': 0, **settings}, 'distill')
    if asked.kept or asked.manifest is not None or asked.mode != 'pixel':
        raise OptionError('kept', '0, without manifest, and mode pixel', 'others', 'Use the job distill.')
    pairs = OwnPairs(dataset, 'dataset')
    number = distilled_number(len(pairs), asked.size, asked.ratio)
    source = _Patches(pairs, asked.image_size, seed)
    device = next(make_network().parameters()).device
    degrades = None if degrade is None else [degrade] * number
    net = make_network()
    losses = build_loss(asked.grad_match).to(device), build_loss(asked.loss).to(device)
    matching = Matching(*losses, input_sides(net), degrades, device)
    batch = asked.real_batch_size or asked.batch_size
    with TemporaryDirectory() as folder:
        networks = Networks(lambda number: _seeded(make_network, seed, number), asked.networks)
        state = SavedState(Path(folder, 'state.pth'))
        real = partial(source.batches, batch)
        made = Distillation(asked, seed, PixelCodec(), networks, matching, real, state)
        made.run(source.starts(number), lambda _: None)
        return _pairs_of(made, degrade)


class _Patches:
    """Random patches of a dataset, each a function of the seed and its number."""

    def __init__(self, pairs: OwnPairs, size: int, seed: int) -> None:
        self.pairs, self.size, self.seed = pairs, size, seed

    def starts(self, number: int) -> Iterator[Pair]:
        """A patch of each of some random items."""
        order = np.random.default_rng(self.seed).permutation(len(self.pairs))[:number]
        for index in order:
            yield self._patch(int(index), np.random.default_rng((self.seed, int(index))))

    def batches(self, size: int, steps: Sequence[int]) -> Iterator[Pair]:
        """Batches of patches of random items, for some steps."""
        for step in steps:
            rng = np.random.default_rng((self.seed, step, size))
            patches = [self._patch(int(index), rng) for index in rng.integers(len(self.pairs), size=size)]
            lq, gt = zip(*patches, strict=True)
            yield torch.stack(lq), torch.stack(gt)

    def _patch(self, index: int, rng: np.random.Generator) -> Pair:
        sample, scale, side = self.pairs[index], self.pairs.scale, self.size // self.pairs.scale
        if sample.get('lq') is None:
            raise DataError(f'dataset, item {index}', 'lq and gt', 'no lq', 'Give pairs.')
        height, width = sample['lq'].shape[1:]
        if min(height, width) < side:
            raise DataError(
                f'dataset, item {index}',
                f'at least {self.size} x {self.size} pixels',
                tuple(sample['gt'].shape[1:]),
                'Lower image_size.',
            )
        top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
        lq = sample['lq'][:, top : top + side, left : left + side]
        gt = sample['gt'][:, top * scale : (top + side) * scale, left * scale : (left + side) * scale]
        return lq, gt


def _seeded(make: Callable[[], nn.Module], seed: int, number: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(np.random.default_rng((seed, number)).integers(2**62)))
        return make()


def _pairs_of(made: Distillation, degrade: Degrade | None) -> list[tuple[Tensor, Tensor]]:
    """The synthetic pairs; a known degradation has the same randomness for an image as in every other call."""
    images = made.images(range(len(made)))
    if degrade is None:
        return list(zip(images['lq'], images['gt'], strict=True))
    rngs = [np.random.default_rng((made.seed, number)) for number in range(len(made))]
    return list(zip(degraded(images['gt'], [degrade] * len(made), rngs), images['gt'], strict=True))
