"""The images that a tuner makes, as they stand in files: 8 bits."""

import torch
from torch import Tensor, nn

from basicsr_ext.images.pixels import rounded_to_8bit
from basicsr_ext.networks.encoder import Images


class TunedImages:
    """Images passed through a tuner, clipped and rounded to 8 bits.

    Rounding cannot take a change of 8-bit images over a bound that is a whole number of levels.

    Args:
        tuner: trained.
        images: the originals.
    """

    def __init__(self, tuner: nn.Module, images: Images) -> None:
        self.tuner, self.images = tuner.eval(), images

    def __len__(self) -> int:
        return len(self.images)

    @torch.no_grad()
    def __getitem__(self, index: int) -> Tensor:
        device = next(self.tuner.parameters()).device
        tuned: Tensor = self.tuner(self.images[index][None].to(device))[0].cpu()
        return rounded_to_8bit(tuned)
