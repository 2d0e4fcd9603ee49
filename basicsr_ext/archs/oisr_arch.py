"""OISR: super-resolution whose blocks are steps of a Runge-Kutta method."""

from collections.abc import Sequence

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from basicsr_ext.errors import OptionError


class HeunBlock(nn.Module):
    """A step of Heun's method, the Runge-Kutta method of order 2, for dy/dt = G(y).

    y + s (G(y) + G'(y + G(y))), where s starts as a half and is learnt, and G and G' are two convolutions each, every
    one after a PReLU, with weights of their own.
    """

    def __init__(self, num_feat: int) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3, self.conv4 = (nn.Conv2d(num_feat, num_feat, 3, padding=1) for _ in range(4))
        self.relu1, self.relu2, self.relu3, self.relu4 = (nn.PReLU(num_feat, 0.25) for _ in range(4))
        self.scale1 = nn.Parameter(torch.tensor([0.5]))

    def forward(self, y: Tensor) -> Tensor:
        slope = self.conv3(self.relu3(self.conv1(self.relu1(y))))
        ahead = y + slope
        slope_ahead = self.conv4(self.relu4(self.conv2(self.relu2(ahead))))
        return y + self.scale1 * (slope + slope_ahead)


class MeanShift(nn.Module):
    """A fixed 1x1 convolution that subtracts or adds the mean colour; weights of OISR may hold another one."""

    weight: Tensor
    bias: Tensor

    def __init__(self, shift: Tensor) -> None:
        super().__init__()
        self.register_buffer('weight', torch.eye(len(shift))[..., None, None])
        self.register_buffer('bias', shift)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.conv2d(x, self.weight, self.bias)


@ARCH_REGISTRY.register()
class OISR(nn.Module):
    """Enlarge images with Heun steps in place of the residual blocks of EDSR: OISR-RK2.

    He et al., "ODE-Inspired Network Design for Single Image Super-Resolution", CVPR 2019, Fig. 2 and Eq. 8. 8 blocks of
    64 channels are OISR-RK2-s, 8 of 122 OISR-RK2. The keys of the state dict are those of the official weights.

    Readings chosen, all from the authors' code: a PReLU of one slope a channel stands before every convolution of a
    block; the factor of the step is learnt. Inside, values are those of `img_range`, so that the official weights,
    which take 0 to 255, serve images of range [0, 1]. The shifts by the mean colour are fixed, but loaded, for
    theirs were trained.

    .. code-block:: yaml

        network_g:
          type: OISR
          num_in_ch: 3
          num_out_ch: 3
          num_feat: 64
          num_block: 8
          upscale: 2
          img_range: 255.
          rgb_mean: [0.4488, 0.4371, 0.4040]

    Args:
        num_in_ch: channels of the input.
        num_out_ch: channels of the output, the same number.
        num_feat: channels between the layers.
        num_block: Heun steps.
        upscale: 2, 3 or 4.
        img_range: largest value inside the network.
        rgb_mean: mean of each channel, in the range [0, 1].

    Raises:
        OptionError: another `upscale`, or channels and mean that do not fit together.
    """

    def __init__(
        self,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        num_feat: int = 64,
        num_block: int = 8,
        upscale: int = 2,
        img_range: float = 255.0,
        rgb_mean: Sequence[float] = (0.4488, 0.4371, 0.4040),
    ) -> None:
        super().__init__()
        if upscale not in (2, 3, 4):
            raise OptionError('OISR.upscale', '2, 3 or 4', upscale, 'Give one of these.')
        if not num_in_ch == num_out_ch == len(rgb_mean):
            raise OptionError(
                'OISR.rgb_mean',
                f'a value for each of num_in_ch = {num_in_ch} and as many channels num_out_ch',
                f'{list(rgb_mean)} and num_out_ch = {num_out_ch}',
                'Give as many of each.',
            )
        self.img_range, self.output_scale = img_range, upscale
        mean = torch.tensor(rgb_mean) * img_range
        self.sub_mean, self.add_mean = MeanShift(-mean), MeanShift(mean)
        self.head = nn.Sequential(nn.Conv2d(num_in_ch, num_feat, 3, padding=1))
        self.body = nn.Sequential(
            *(HeunBlock(num_feat) for _ in range(num_block)), nn.Conv2d(num_feat, num_feat, 3, padding=1)
        )
        upsampler: list[nn.Module] = []
        for factor in (3,) if upscale == 3 else (2,) * (upscale // 2):
            upsampler += [nn.Conv2d(num_feat, num_feat * factor**2, 3, padding=1), nn.PixelShuffle(factor)]
        self.tail = nn.Sequential(nn.Sequential(*upsampler), nn.Conv2d(num_feat, num_out_ch, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge a batch.

        Args:
            x: small images, (N, num_in_ch, H, W), RGB, range [0, 1].

        Returns:
            (N, num_out_ch, H upscale, W upscale), same range, not clipped.
        """
        shallow = self.head(self.sub_mean(x * self.img_range))
        enlarged: Tensor = self.add_mean(self.tail(shallow + self.body(shallow)))
        return enlarged / self.img_range
