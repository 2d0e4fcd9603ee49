"""What an option file of `align` builds, and whether it fits together."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from basicsr.archs import build_network
from torch import nn

from basicsr_ext.alignment.restoration_loss import RestorationLoss
from basicsr_ext.alignment.settings import AlignSettings
from basicsr_ext.alignment.tuning import Crop
from basicsr_ext.data.clean_images import CleanImages
from basicsr_ext.data.file_checks import check_dataset
from basicsr_ext.data.inventory import inventory
from basicsr_ext.data.wrapper_base import scheduled
from basicsr_ext.errors import OptionError, refuse_if_any
from basicsr_ext.images.names import flat_names
from basicsr_ext.networks.described import input_sides
from basicsr_ext.networks.encoder import encode, encoder_network
from basicsr_ext.networks.fits import refuse_by_batch, refuse_other_shape, try_network
from basicsr_ext.networks.tiling import Padded
from basicsr_ext.networks.trained import device_of, trained_network
from basicsr_ext.options.calls import building
from basicsr_ext.options.load import Options
from basicsr_ext.schedule.sample import SampleDataset
from basicsr_ext.selection.manifest import Item
from basicsr_ext.training.building import build_dataset


@dataclass
class Parts:
    """What an option file of `align` builds."""

    train: SampleDataset
    target: SampleDataset
    items: Sequence[Item]  # of train
    names: Sequence[str]  # that their images get
    encoder: nn.Module
    tuner: nn.Module
    restoration_loss: RestorationLoss | None
    device: torch.device


def build_parts(opt: Options, settings: AlignSettings) -> Parts:
    """Build datasets and networks from completed options.

    Raises:
        OptionError, DataError, CheckpointError: what cannot be built, images too small for a crop.
    """
    train, target = (scheduled(build_dataset(opt['datasets'][key], f'datasets.{key}')) for key in ('train', 'target'))
    for key, dataset in (('train', train), ('target', target)):
        check_dataset(dataset, f'datasets.{key}')
    items = inventory(train)
    size = settings.patch_size or 1
    small = [f'{item.path} ({item.height} x {item.width})' for item in items if min(item.height, item.width) < size]
    refuse_if_any(small, f'images of at least {size} x {size} pixels', 'Lower align.patch_size.', 'datasets.train')
    names = flat_names([item.name for item in items], [item.path for item in items], 'datasets.train')
    encoder = encoder_network(opt)
    loss = None
    if settings.restoration_weight:
        net = trained_network(opt)
        loss = RestorationLoss(Padded(net, input_sides(net, opt['network_g'])), train)
    device = device_of(opt)
    torch.manual_seed(opt['manual_seed'])  # the tuner does not depend on what was built before
    with building('network_tuner', opt['network_tuner']['type']):
        tuner: nn.Module = build_network(opt['network_tuner'])
    refuse_by_batch(tuner, 'network_tuner')
    return Parts(train, target, items, names, encoder, tuner.to(device), loss, device)


@torch.no_grad()
def try_first(parts: Parts, settings: AlignSettings) -> None:
    """Pass the first image through all networks.

    Raises:
        OptionError, DataError: networks and images that do not fit together.
    """
    image = CleanImages(parts.train)[0]
    side = settings.patch_size
    crop = Crop(0, 0, 0, side or image.shape[1], side or image.shape[2])
    patch = crop.of(image)[None].to(parts.device)
    name, where, given = type(parts.tuner).__name__, 'network_tuner', str(tuple(patch.shape))
    advice = 'Correct in_channels or color of the dataset.'
    tuned = try_network(lambda: parts.tuner(patch), name, given, where, advice)
    refuse_other_shape(tuned.shape, patch.shape, name, where, 'Choose another one.')
    features = encode(parts.encoder, tuned)
    if features.ndim != 4:
        raise OptionError('network_encoder', 'feature maps (N, C, h, w)', tuple(features.shape), 'Choose another one.')
    if parts.restoration_loss is not None:
        parts.restoration_loss(tuned, [crop])
