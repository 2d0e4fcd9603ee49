"""Bring a small dataset to the distribution of a large one from Python."""

from typing import Any

import torch
from torch import Tensor, nn

from basicsr_ext.alignment.channel_statistics import measure
from basicsr_ext.alignment.tuned_images import TunedImages
from basicsr_ext.alignment.tuning import Tuning, TuningSettings
from basicsr_ext.archs.distribution_tuner_arch import DistributionTuner
from basicsr_ext.archs.filter_bank_encoder_arch import FilterBankEncoder
from basicsr_ext.data.own_pairs import CleanOf, OwnPairs
from basicsr_ext.options.blocks import read_block


def align(
    subset: Any,
    target: Any,
    *,
    encoder: nn.Module | None = None,
    tuner: nn.Module | None = None,
    seed: int = 0,
    **settings: Any,
) -> list[Tensor]:
    """Change the images of a small dataset a little, so that their features are distributed as those of a large one.

    Args:
        subset: map-style; items are clean images, pairs `(lq, gt)`, of which gt is changed, or dicts with `gt`; tensors
            C x H x W, RGB or grey, [0, 1]. The inputs of pairs are not returned: add the change of gt to them, as the
            job `align` does, for a network that is to restore and not to tune.
        target: likewise; whose statistics the subset is to have.
        encoder: any network with `features(images)`; None takes FilterBankEncoder, which needs no weights.
        tuner: the network that is trained, in place; None takes a new DistributionTuner.
        seed: of everything random.
        **settings: keys of the block `align` of an option file, such as `iterations=100, patch_size=32`.

    Returns:
        The tuned images, C x H x W, 8-bit values in [0, 1].

    Raises:
        OptionError, DataError: a setting is wrong, or items cannot be used.

    Example:
        >>> import torch
        >>> import basicsr_ext as bx
        >>> images = [torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(i)) for i in range(4)]
        >>> tuned = bx.align(images[:2], images, iterations=2, patch_size=16, batch_size=2)
        >>> len(tuned), tuple(tuned[0].shape)
        (2, (3, 32, 32))
    """
    asked = read_block(TuningSettings, settings, 'align')
    images, aim = CleanOf(OwnPairs(subset, 'subset')), CleanOf(OwnPairs(target, 'target'))
    torch.manual_seed(seed)
    channels = images[0].shape[0]
    tuning_net = DistributionTuner(in_channels=channels) if tuner is None else tuner
    device = next(tuning_net.parameters()).device
    encoding_net = (FilterBankEncoder() if encoder is None else encoder).eval().requires_grad_(False).to(device)
    statistics = measure(aim, encoding_net, 'Target', device=device)
    Tuning(tuning_net, images, encoding_net, statistics, asked, seed).run()
    tuned = TunedImages(tuning_net, images)
    return [tuned[index] for index in range(len(tuned))]
