"""An encoder: a network whose feature maps describe clean images."""

from typing import Protocol

from torch import Tensor, nn

from basicsr_ext.errors import OptionError
from basicsr_ext.networks.trained import trained_network
from basicsr_ext.options.load import Options


class Images(Protocol):
    """Clean images, read when they are asked for: C x H x W, RGB or grey, float32, [0, 1]."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Tensor: ...


def encoder_network(opt: Options) -> nn.Module:
    """`network_encoder`, as `trained_network` gives it, with nothing to learn.

    Raises:
        CheckpointError: the weights do not fit.
        OptionError: it has no features.
    """
    encoder = trained_network(opt, 'encoder').eval().requires_grad_(False)
    if not callable(getattr(encoder, 'features', None)):
        raise OptionError(
            'network_encoder.type',
            'a network with features()',
            type(encoder).__name__,
            'Choose FilterBankEncoder or ComplexityScorer.',
        )
    return encoder


def encode(encoder: nn.Module, images: Tensor) -> Tensor:
    """Feature maps, N x C x h x w, of images N x 3 x H x W in RGB or N x 1 x H x W in grey, [0, 1]."""
    features: Tensor = encoder.features(images.expand(-1, 3, -1, -1))  # type: ignore[operator]
    return features
