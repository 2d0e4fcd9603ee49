"""An encoder without weights to learn or fetch: the energy of an image by scale and direction."""

import math

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn
from torch.nn import functional

from basicsr_ext.errors import DataError, OptionError

WAVELENGTH, SPREAD, SIDE = 4.0, 1.5, 7  # of the filters, in pixels of their scale
COLOURS = ((0.299, 0.587, 0.114), (1.0, -1.0, 0.0), (0.5, 0.5, -1.0))  # BT.601 luma, red - green, yellow - blue


@ARCH_REGISTRY.register()
class FilterBankEncoder(nn.Module):
    """Describe the surroundings of each place of an image by the energy that a fixed bank of filters finds there.

    A first-order scattering transform: the luma passes complex Morlet filters (Gabor filters without mean) of
    `orientations` directions at `scales` octaves, and the magnitudes are averaged over cells of 2^(scales - 1) pixels
    (Bruna and Mallat, "Invariant Scattering Convolution Networks", TPAMI 2013, Eq. 5). With the mean colour of the
    cells that makes the channels: luma, red - green, yellow - blue, then the energies, fine scales first. Their means
    and variances are a texture's statistics in the sense of Portilla and Simoncelli (IJCV 2000), as far as single
    channels go.

    Readings chosen: octaves are made by halving the image with 2x2 means; filters of 7x7 pixels with a wavelength of 4
    pixels and a spread of 1.5; energies e are given as ln(1 + 255 e), since the logarithm of contrast is nearly normal
    in natural images and the statistics are compared as Gaussians. The transform is the same everywhere and for
    everybody: it stands in for the paper's encoder where no trained one is given.

    .. code-block:: yaml

        network_encoder:
          type: FilterBankEncoder
          scales: 3
          orientations: 4

    Args:
        scales: octaves.
        orientations: directions, evenly spread.

    Raises:
        OptionError: no scale or no direction.
    """

    colours: Tensor
    filters: Tensor

    def __init__(self, scales: int = 3, orientations: int = 4) -> None:
        super().__init__()
        for name, value in (('scales', scales), ('orientations', orientations)):
            if value < 1:
                raise OptionError(f'FilterBankEncoder.{name}', 'at least 1', value, 'Correct the value.')
        self.scales, self.cell = scales, 2 ** (scales - 1)
        self.register_buffer('colours', torch.tensor(COLOURS)[..., None, None], persistent=False)
        self.register_buffer('filters', _morlet_filters(orientations)[:, None], persistent=False)

    def features(self, x: Tensor) -> Tensor:
        """Encode a batch.

        Args:
            x: N x 3 x H x W, RGB, [0, 1].

        Returns:
            N x (3 + scales * orientations) x h x w, the sides being those of x divided by 2^(scales - 1).

        Raises:
            DataError: an image that is too small for the coarsest scale.
        """
        least = 4 * self.cell  # the border is mirrored, which needs more pixels than half a filter at every scale
        if min(x.shape[-2:]) < least:
            raise DataError(
                'FilterBankEncoder',
                f'at least {least} x {least} pixels',
                tuple(x.shape[-2:]),
                'Give larger images or patches, or fewer scales.',
            )
        colours = functional.conv2d(x, self.colours)
        level, maps = colours[:, :1], [functional.avg_pool2d(colours, self.cell)]
        for scale in range(self.scales):
            padded = functional.pad(level, (SIDE // 2,) * 4, mode='reflect')
            even, odd = functional.conv2d(padded, self.filters).chunk(2, dim=1)
            energy = torch.sqrt(even.square() + odd.square() + 1e-10)  # smooth at 0
            maps.append(torch.log1p(255 * functional.avg_pool2d(energy, self.cell >> scale)))
            level = functional.avg_pool2d(level, 2) if scale < self.scales - 1 else level
        return torch.cat(maps, dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """The same as `features`."""
        return self.features(x)


def _morlet_filters(orientations: int) -> Tensor:
    """The filters, real before imaginary parts, (2 * orientations, SIDE, SIDE); a plane wave of amplitude 1 gives 1."""
    places = torch.arange(SIDE, dtype=torch.float64) - SIDE // 2
    y, x = torch.meshgrid(places, places, indexing='ij')
    window = torch.exp(-(x**2 + y**2) / (2 * SPREAD**2))
    window = window / window.sum()
    parts: tuple[list[Tensor], list[Tensor]] = ([], [])
    for number in range(orientations):
        angle = math.pi * number / orientations
        phase = 2 * math.pi / WAVELENGTH * (x * math.cos(angle) + y * math.sin(angle))
        wave = torch.cos(phase)
        even, odd = window * (wave - (window * wave).sum()), window * torch.sin(phase)
        for part, of_wave, list_ in ((even, wave, parts[0]), (odd, torch.sin(phase), parts[1])):
            list_.append(part / (part * of_wave).sum())
    return torch.stack(parts[0] + parts[1]).float()
