"""The restoration of image files in three lines of Python."""

import os
from typing import Any

import cv2
import numpy as np
import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from basicsr_ext.errors import CheckpointError, DataError, OptionError
from basicsr_ext.images.decoding import read_image
from basicsr_ext.images.file_io import LEVELS, check_target, decode_image_file, write_image_file
from basicsr_ext.images.metadata import read_metadata
from basicsr_ext.images.pixels import LUMA
from basicsr_ext.inference.adaptive import ExitNetwork
from basicsr_ext.inference.exit_costs import known_costs
from basicsr_ext.inference.exit_map import draw_exit_map, rule_in_words
from basicsr_ext.inference.named_network import (
    NamedNetwork,
    find_network,
    latest_beside,
    settings_in,
    unnamed,
    warn_of_start,
)
from basicsr_ext.inference.restore import Restored, restore
from basicsr_ext.inference.settings import InferenceSettings
from basicsr_ext.networks.described import input_channels, input_sides
from basicsr_ext.networks.tiling import Padded
from basicsr_ext.networks.trained import device_named, trained_network
from basicsr_ext.options.blocks import require
from basicsr_ext.options.calls import check_call, registered
from basicsr_ext.options.imports import import_all
from basicsr_ext.options.load import find_file, load_options
from basicsr_ext.runtime.checkpoint import has_both


class Restorer:
    """Restore images and image files with a network.

    What comes out has the type of pixels and the channels of what went in. A network for grey images restores the three
    channels of a colour image one by one. A network for colour images gets a grey image three times, and the BT.601
    luma of its colours is the result. Alpha is not restored; it is enlarged bilinearly by the scale of the network.

    Args:
        net: with its weights, on its device and of its precision; it takes sides of any size or is a `Padded`.
        settings: None for the defaults with FlexIR, and for whole images with networks that have no exits.
        channels: that the network takes, 1 or 3; None reads it from the first convolution.

    Raises:
        OptionError: another number of channels.

    Example:
        >>> import numpy as np, torch
        >>> import basicsr_ext as bx
        >>> restorer = bx.Restorer(torch.nn.Identity(), channels=3)  # or Restorer.from_options('options/test/...')
        >>> image = np.full((8, 12, 3), 200, np.uint8)
        >>> bool((restorer.restore(image) == image).all())  # or restore_file('noisy.png', 'clean.png')
        True
    """

    def __init__(self, net: nn.Module, settings: InferenceSettings | None = None, channels: int | None = None) -> None:
        self.channels = input_channels(net) if channels is None else channels
        if self.channels not in (1, 3):
            raise OptionError('Restorer.channels', '1 or 3', self.channels, 'Name what the network takes.')
        self.net = net
        self.settings = settings or InferenceSettings(regions=None if isinstance(net, ExitNetwork) else 1)

    @classmethod
    def from_options(
        cls, path: str | os.PathLike[str], settings: InferenceSettings | None = None, device: str | None = None
    ) -> 'Restorer':
        """Build `network_g` of an option file with the weights of `path.pretrain_network_g`.

        Where the file names none and is the one that a training has left in its experiment folder, the weights are
        those of `models/net_g_latest.pth` beside it, averaged where they are.

        Args:
            path: the option file.
            settings: None for the block `val.inference` of the file, if any.
            device: as torch names it; None for the one that `num_gpu` of the file stands for.

        Raises:
            OptionError: the file is wrong or names no weights.
            CheckpointError: the weights do not fit.
        """
        opt = load_options(path)
        import_all(opt)
        require(opt, ('network_g', 'path'))
        require(opt['network_g'], ('type',), 'network_g')
        paths = opt['path'] or {}
        weights = paths.get('pretrain_network_g')
        if weights is None:
            weights, paths = latest_beside(path), {'param_key_g': 'params_ema', **paths}
        else:
            warn_of_start(path, weights)
        if weights is None:
            raise OptionError(f'{path}, path.pretrain_network_g', 'a file of weights', 'none', 'Add it.')
        block: dict[str, Any] = opt['network_g']
        check_call(registered(ARCH_REGISTRY, block['type'], 'network_g.type'), block, 'network_g')
        if settings is None:
            settings = settings_in(opt)
        if opt.get('num_gpu', 'auto') == 0 and device is None:
            device = 'cpu'
        return cls._of_network(block, {**paths, 'pretrain_network_g': find_file(weights)}, settings, device)

    @classmethod
    def from_weights(
        cls,
        path: str | os.PathLike[str],
        settings: InferenceSettings | None = None,
        device: str | None = None,
        ema: bool = True,
    ) -> 'Restorer':
        """Build the network that a file of weights is of, see `find_network`, with its weights.

        Args:
            path: `.pth` or `.safetensors`.
            settings: how images are restored; None for `val.inference` of the experiment, if any.
            device: as torch names it; None for a GPU if there is one.
            ema: take the averaged weights, `params_ema`, where the file has them.

        Raises:
            OptionError: the network is not registered or takes other arguments.
            CheckpointError: nothing names the network, or the weights do not fit.
        """
        return cls.from_named(find_network(path), settings, device, ema)

    @classmethod
    def from_named(
        cls,
        named: NamedNetwork,
        settings: InferenceSettings | None = None,
        device: str | None = None,
        ema: bool = True,
    ) -> 'Restorer':
        """As `from_weights`, of a network that is found already."""
        paths = {'pretrain_network_g': named.weights, 'param_key_g': 'params_ema' if ema else 'params'}
        if not named.is_guessed:
            return cls._of_network(named.block, paths, settings or named.settings, device)
        try:
            if not has_both(named.weights):
                paths = {}  # spandrel has read the only ones
            return cls._of_network(named.block, paths, settings, device)
        except CheckpointError as error:
            raise unnamed(named.weights, f'none, and spandrel does not know it ({error.got})') from error

    @classmethod
    def _of_network(
        cls,
        block: dict[str, Any],
        paths: dict[str, Any],
        settings: InferenceSettings | None,
        device: str | None,
    ) -> 'Restorer':
        place = device_named(device)
        net = trained_network({'network_g': block, 'path': paths, 'num_gpu': 0}).eval().to(place)
        if settings is not None:
            settings.check_weights(net, 'val.inference.calibration')
        channels = input_channels(net, block)
        takes_all = isinstance(net, ExitNetwork)
        return cls(net if takes_all else Padded(net, input_sides(net, block)), settings, channels)

    def restore_file(
        self,
        source: str | os.PathLike[str],
        target: str | os.PathLike[str],
        exit_map: str | os.PathLike[str] | None = None,
    ) -> None:
        """Restore an image file; EXIF, colour profile and resolution are kept.

        Args:
            source: PNG, JPEG, TIFF or WebP, 8- or 16-bit.
            target: written atomically; its ending names the format.
            exit_map: where to save the picture of the exits as PNG, if anywhere.

        Raises:
            ImageError: `source` cannot be read, or `target` cannot hold such an image or not be written.
        """
        content = read_image('', os.fspath(source))
        image, metadata = decode_image_file(content, os.fspath(source)), read_metadata(content, os.fspath(source))
        check_target(target, image)
        pixels, restored = self._restore(image)
        write_image_file(target, pixels, metadata)
        if exit_map is not None:
            self._draw_exits(pixels, image.shape[:2], restored, exit_map)

    def _draw_exits(
        self, pixels: np.ndarray, size: tuple[int, int], restored: Restored, path: str | os.PathLike[str]
    ) -> None:
        """Save where the regions of an image of this size left the network."""
        exits, net, settings = restored.exits[0], self.net, self.settings
        if not isinstance(net, ExitNetwork):
            draw_exit_map(pixels, restored.grid, exits, 1, path)
            return
        grid = settings.grid(*size)
        cost = known_costs(net, self.channels, grid.region_size).fraction(grid, exits, settings.tails_passed)
        rule = rule_in_words(settings, settings.pointer or net.pointer)
        draw_exit_map(pixels, restored.grid, exits, net.num_branches, path, cost, rule)

    def restore(self, image: np.ndarray, settings: InferenceSettings | None = None) -> np.ndarray:
        """Restore an image.

        Args:
            image: H x W grey, H x W x 3 RGB or H x W x 4 RGB and alpha; uint8 or uint16.
            settings: of this image, instead of those of all.

        Returns:
            The same, of (H scale) x (W scale).

        Raises:
            DataError: another shape or type, or the network gives NaN.
        """
        return self._restore(image, settings)[0]

    def _restore(self, image: np.ndarray, settings: InferenceSettings | None = None) -> tuple[np.ndarray, Restored]:
        if image.dtype.name not in LEVELS or image.shape[2:] not in ((), (3,), (4,)) or image.ndim < 2:
            raise DataError(
                'Restorer',
                'H x W, H x W x 3 or H x W x 4, uint8 or uint16',
                f'{image.shape}, {image.dtype}',
                'Convert the image.',
            )
        levels = LEVELS[image.dtype.name]
        restored = restore(self.net, self._as_input(image, levels), settings or self.settings)
        if not restored.image.isfinite().all():
            raise DataError(
                'Restorer',
                f'a finite image from {type(self.net).__name__}',
                'NaN or infinite pixels',
                'Take other weights, or a precision with a wider range.',
            )
        colours = self._as_image(restored.image, grey=image.ndim == 2)
        pixels = colours.mul_(levels).round_().clamp_(0, levels).numpy().astype(image.dtype)
        if image.shape[2:] == (4,):
            size = pixels.shape[1], pixels.shape[0]
            alpha = cv2.resize(np.ascontiguousarray(image[..., 3]), size, interpolation=cv2.INTER_LINEAR)
            pixels = np.dstack([pixels, alpha])
        return np.ascontiguousarray(pixels), restored

    def _as_input(self, image: np.ndarray, levels: int) -> Tensor:
        """The input of the network, [0, 1]: 1 x 3 x H x W, 1 x 1 x H x W, or 3 x 1 x H x W, one channel each."""
        colours = torch.from_numpy(np.atleast_3d(image)[..., :3].astype(np.float32)).div_(levels).permute(2, 0, 1)
        return colours[:, None] if self.channels == 1 else colours.expand(3, -1, -1)[None]

    def _as_image(self, restored: Tensor, grey: bool) -> Tensor:
        """The image that the network gave, H x W or H x W x 3."""
        if restored.shape[1] != self.channels:
            raise OptionError(
                'Restorer.channels',
                f'a network that gives {self.channels} channels, as it takes',
                restored.shape[1],
                'Choose another network.',
            )
        channels = restored.flatten(0, 1).cpu()
        if not grey:
            return channels.permute(1, 2, 0)
        return channels[0] if len(channels) == 1 else torch.tensordot(channels.new_tensor(LUMA), channels, 1)
