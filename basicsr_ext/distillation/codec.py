"""What is optimised in place of an image: its pixels, or a code of an autoencoder."""

from typing import Any, Protocol

import torch
from torch import Tensor

from basicsr_ext.distillation.settings import VaeSettings
from basicsr_ext.errors import OptionError, first_line, shown

PRESETS = {'sd3': {'scaling_factor': 1.5305, 'shift_factor': 0.0609}}  # of Stable Diffusion 3's configuration


class Codec(Protocol):
    """Turns images into variables and back.

    Attributes:
        factor: what has to divide the sides of the images.
    """

    factor: int

    def encode(self, images: Tensor) -> Tensor:
        """Variables of images N x C x H x W, RGB or grey, [0, 1]; without graph."""

    def decode(self, values: Tensor) -> Tensor:
        """The images of variables, N x C x H x W, [0, 1]; with graph."""

    def noise(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Variables of that shape to start from instead of images."""

    def limit(self, values: Tensor) -> Tensor:
        """The nearest variables that are allowed, after a step."""


class PixelCodec:
    """The pixels themselves; a step that leaves [0, 1] ends at its border (projected gradient)."""

    factor = 1

    def encode(self, images: Tensor) -> Tensor:
        """See `Codec`."""
        return images

    def decode(self, values: Tensor) -> Tensor:
        """See `Codec`."""
        return values

    def noise(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Uniform in [0, 1]."""
        return torch.rand(shape, generator=generator)

    def limit(self, values: Tensor) -> Tensor:
        """See `Codec`."""
        return values.clamp(0, 1)


class VaeCodec:
    """Codes of a frozen autoencoder of diffusers, which takes and gives colour images in [-1, 1].

    Grey images have their channel repeated on the way in, and the mean of the channels taken on the way out. The code
    is the mean of the encoder's distribution, z = (mean - shift) * scaling.

    Args:
        vae: an `AutoencoderKL`; codes and images stay in float32 whatever its precision.
        channels: of the images, 1 or 3.
        scaling, shift: what makes its codes about standard normal.
        device: to run it on.
    """

    def __init__(
        self,
        vae: Any,
        channels: int,
        scaling: float,
        shift: float,
        device: torch.device | str = 'cpu',
    ) -> None:
        self.vae, self.dtype = vae.requires_grad_(False).eval().to(device), vae.dtype
        self.channels, self.scaling, self.shift = channels, scaling, shift
        self.factor = 2 ** (len(vae.config.block_out_channels) - 1)

    def encode(self, images: Tensor) -> Tensor:
        """See `Codec`."""
        color = images.expand(-1, 3, -1, -1) if self.channels == 1 else images
        with torch.no_grad():
            mean = self.vae.encode((2 * color - 1).to(self.dtype)).latent_dist.mode()
        return (mean.float() - self.shift) * self.scaling

    def decode(self, values: Tensor) -> Tensor:
        """See `Codec`."""
        color = self.vae.decode((values / self.scaling + self.shift).to(self.dtype)).sample.float()
        images = (color + 1) / 2
        return (images.mean(1, keepdim=True) if self.channels == 1 else images).clamp(0, 1)

    def noise(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Standard normal."""
        return torch.randn(shape, generator=generator)

    def limit(self, values: Tensor) -> Tensor:
        """Leave the codes as they are: every code is allowed."""
        return values


def load_vae(settings: VaeSettings, channels: int, device: torch.device | str) -> VaeCodec:
    """Load an autoencoder from a folder or the hub; its weights from safetensors alone, which cannot run code.

    Raises:
        OptionError: diffusers is not installed, or there is no such autoencoder; the message starts with `vae`.
    """
    try:
        from diffusers import AutoencoderKL
    except ImportError as error:
        raise OptionError(
            'vae', 'diffusers to be installed', error, 'Run: pip install "basicsr-ext[distill]"'
        ) from error
    more: dict[str, Any] = {} if settings.subfolder is None else {'subfolder': settings.subfolder}
    more['torch_dtype'] = torch.bfloat16 if settings.bfloat16 else torch.float32
    try:
        vae = AutoencoderKL.from_pretrained(settings.path, use_safetensors=True, **more)
    except (OSError, ValueError, RuntimeError) as error:
        raise OptionError(
            'vae.path',
            'a folder with config.json and .safetensors, or a name on the hub that can be reached',
            f'{shown(settings.path)}{f" / {settings.subfolder}" if settings.subfolder else ""}: {first_line(error)}',
            'Correct the path, or fetch it first.',
        ) from error
    numbers = dict(PRESETS.get(settings.preset or '', {}))
    for name in ('scaling_factor', 'shift_factor'):
        given = getattr(settings, name)
        if given is not None or name not in numbers:
            numbers[name] = given if given is not None else getattr(vae.config, name, None) or 0.0
    if not numbers['scaling_factor']:
        raise OptionError('vae.scaling_factor', 'a number, which the configuration lacks', 'none', 'Add it.')
    return VaeCodec(vae, channels, numbers['scaling_factor'], numbers['shift_factor'], device)
