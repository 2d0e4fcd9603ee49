"""LPIPS: distance between images in the features of a classification network."""

import os
import pickle
import warnings
from functools import cache
from typing import Literal

import numpy as np
import torch
from basicsr.utils.registry import METRIC_REGISTRY
from torch import Tensor, nn

from basicsr_ext.errors import CheckpointError, DataError, OptionError, shown
from basicsr_ext.images.pixels import as_tensor, swap_order
from basicsr_ext.metrics.metric_util import prepare_pair

# net -> torchvision's enumeration of the weights of its backbone, shortest side that the backbone accepts in pixels
BACKBONES = {'alex': ('AlexNet_Weights', 31), 'vgg': ('VGG16_Weights', 16), 'squeeze': ('SqueezeNet1_1_Weights', 17)}


@METRIC_REGISTRY.register()
def calculate_lpips(
    img: np.ndarray,
    img2: np.ndarray,
    crop_border: int,
    input_order: str = 'HWC',
    test_y_channel: bool = False,
    net: Literal['alex', 'vgg', 'squeeze'] = 'alex',
    device: str | None = None,
    better: str = 'lower',
) -> float:
    """Measure the perceptual distance of two images with learnt weights on deep features; lower is better.

    Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018, Eq. 1, version
    0.1 of the authors' package `lpips`. Say `better: lower` in the option file: BasicSR takes higher for better unless
    told otherwise.

    The first call needs the ImageNet weights of the backbone, which are downloaded to the folder of `torch.hub` if they
    are not there, and are read without running code.

    Readings chosen: a grey image, and with `test_y_channel` the Y channel, is repeated to three channels.

    .. code-block:: yaml

        val:
          metrics:
            lpips:
              type: calculate_lpips
              crop_border: 0
              net: alex
              better: lower

    Args:
        img: restored image, (H, W), (H, W, C) or (C, H, W), grey or BGR, range [0, 255].
        img2: ground truth, same shape and range.
        crop_border: pixels removed at each edge.
        input_order: `HWC` or `CHW`.
        test_y_channel: compare the Y of YCbCr alone.
        net: backbone: `alex` (the usual one to report), `vgg` or `squeeze`.
        device: where the network runs, such as `cpu`; CUDA if there is one by default.
        better: not used here; BasicSR passes it to every metric and reads it itself.

    Returns:
        The distance, 0 for identical images.

    Raises:
        OptionError: an unknown `net` or `input_order`, or a negative border. It is a ValueError.
        DataError: shapes differ, neither one nor three channels, or too few pixels. It is a ValueError.
        CheckpointError: the weights of the backbone are neither there nor can be downloaded. It is a RuntimeError.
    """
    if net not in BACKBONES:
        raise OptionError('calculate_lpips.net', ' or '.join(BACKBONES), shown(net), 'Correct the name.')
    pair = prepare_pair(img, img2, crop_border, input_order, test_y_channel, 'calculate_lpips')
    height, width, channels = pair[0].shape
    smallest = BACKBONES[net][1]
    if channels not in (1, 3) or min(height, width) < smallest:
        raise DataError(
            'calculate_lpips',
            f'1 or 3 channels and sides of at least {smallest} pixels after cropping for net {shown(net)}',
            f'{height}x{width} with {channels} channels',
            'Use whole images, grey or BGR.',
        )
    place = device or ('cuda' if torch.cuda.is_available() else 'cpu')
    with torch.no_grad():
        return float(build_lpips(net, place)(*(_to_input(image, place) for image in pair)))


def _to_input(image: np.ndarray, device: str) -> Tensor:
    """(H, W, C) BGR or grey in [0, 255] to (1, 3, H, W) RGB in [-1, 1]."""
    return as_tensor(swap_order(image.astype(np.float32))).to(device).expand(3, -1, -1)[None] / 127.5 - 1


@cache
def build_lpips(net: str, device: str) -> nn.Module:
    """Build the network of `lpips` once for each pair of arguments.

    Args:
        net: `alex`, `vgg` or `squeeze`.
        device: where it stays.

    Raises:
        CheckpointError: the weights of the backbone are neither there nor can be downloaded, or the file is damaged.
    """
    import lpips  # not at the top: it brings scipy and tqdm, and a training without LPIPS should start without them

    # The layers are initialised at random before they are loaded: a training must not feel that in its own numbers.
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.filterwarnings('ignore', message=".*(parameter 'pretrained' is|for 'weights' are) deprecated")
        network = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    _load_backbone(network.net, net)
    return network.to(device)


def _load_backbone(slices: nn.Module, net: str) -> None:
    """Load the ImageNet weights from where torchvision keeps them; download them first if they are not there.

    Left to itself, lpips has torchvision read the file with an unpickler that can run code.
    """
    import torchvision

    url = getattr(torchvision.models, BACKBONES[net][0]).IMAGENET1K_V1.url
    path = os.path.join(torch.hub.get_dir(), 'checkpoints', os.path.basename(url))
    try:
        state = torch.hub.load_state_dict_from_url(url, map_location='cpu', check_hash=True, weights_only=True)
        # lpips cuts `features` into slices whose layers keep their numbers: slice2.3.weight is features.3.weight
        slices.load_state_dict({key: state[f'features.{key.split(".", 1)[1]}'] for key in slices.state_dict()})
    except (OSError, RuntimeError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            'calculate_lpips',
            f'the weights of the backbone of net {shown(net)} in {path}',
            f'{type(error).__name__}: {error}',
            f'Connect to the network, or download {url} elsewhere and put the file there (the environment variable '
            'TORCH_HOME moves that folder); remove a damaged file first.',
        ) from error
