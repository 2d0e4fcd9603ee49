"""RDN: densely connected blocks whose features are all fused."""

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from basicsr_ext.errors import OptionError


class DenseLayer(nn.Module):
    """A convolution with ReLU whose result is put behind its input."""

    def __init__(self, num_in: int, growth: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(num_in, growth, 3, padding=1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.conv(x)], dim=1)


class RDB(nn.Module):
    """Residual dense block: dense layers, local feature fusion by a 1x1 convolution, and the input added."""

    def __init__(self, num_feat: int, growth: int, num_layers: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(*(DenseLayer(num_feat + layer * growth, growth) for layer in range(num_layers)))
        self.LFF = nn.Conv2d(num_feat + num_layers * growth, num_feat, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.LFF(self.convs(x))


@ARCH_REGISTRY.register()
class RDN(nn.Module):
    """Restore images, or enlarge them, with residual dense blocks.

    Zhang et al., "Residual Dense Network for Image Super-Resolution", CVPR 2018, Fig. 2 and 3, and "Residual Dense
    Network for Image Restoration", IEEE TPAMI 2021, for images that keep their size. 16 blocks of 8 layers that grow by
    64 channels are the paper's. The keys of the state dict are those of the PyTorch weights of super-resolution
    (EDSR-PyTorch, to which the authors point).

    Readings chosen: with `upscale: 1` one convolution, `UPNet.0`, stands in place of the upsampling, and the input is
    added to its result; the authors published weights of that network for Torch 7 alone, so that no key is known.
    FlexIR's Table 4 counts 22.12 M parameters for JPEG artefacts: so many has the network that enlarges twice, which
    this one has 21.97 M of. Values are those of the image, without a mean that is subtracted.

    .. code-block:: yaml

        network_g:
          type: RDN
          num_in_ch: 3
          num_out_ch: 3
          num_feat: 64
          num_grow_ch: 64
          num_block: 16
          num_layers: 8
          upscale: 1

    Args:
        num_in_ch: channels of the input.
        num_out_ch: channels of the output; the same number if `upscale` is 1.
        num_feat: channels between the blocks (the paper's G0).
        num_grow_ch: channels that each layer adds (G).
        num_block: residual dense blocks (D).
        num_layers: convolutions of a block (C).
        upscale: 1, 2, 3 or 4.

    Raises:
        OptionError: another `upscale`, or the channels of input and output differ where images keep their size.
    """

    def __init__(
        self,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        num_feat: int = 64,
        num_grow_ch: int = 64,
        num_block: int = 16,
        num_layers: int = 8,
        upscale: int = 1,
    ) -> None:
        super().__init__()
        if upscale not in (1, 2, 3, 4):
            raise OptionError('RDN.upscale', '1, 2, 3 or 4', upscale, 'Give one of these.')
        if upscale == 1 and num_in_ch != num_out_ch:
            raise OptionError(
                'RDN.num_out_ch',
                f'num_in_ch = {num_in_ch}, because the input is added to the output',
                num_out_ch,
                'Give both the same value.',
            )
        self.output_scale = upscale
        self.SFENet1 = nn.Conv2d(num_in_ch, num_feat, 3, padding=1)
        self.SFENet2 = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        self.RDBs = nn.ModuleList(RDB(num_feat, num_grow_ch, num_layers) for _ in range(num_block))
        self.GFF = nn.Sequential(
            nn.Conv2d(num_block * num_feat, num_feat, 1), nn.Conv2d(num_feat, num_feat, 3, padding=1)
        )
        layers: list[nn.Module] = []
        width = num_feat
        for factor in {1: (), 2: (2,), 3: (3,), 4: (2, 2)}[upscale]:
            layers += [nn.Conv2d(width, num_grow_ch * factor**2, 3, padding=1), nn.PixelShuffle(factor)]
            width = num_grow_ch
        self.UPNet = nn.Sequential(*layers, nn.Conv2d(width, num_out_ch, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """Restore a batch.

        Args:
            x: degraded or small images, (N, num_in_ch, H, W), RGB or grey, range [0, 1].

        Returns:
            The restored images, (N, num_out_ch, H upscale, W upscale), same range, not clipped.
        """
        shallow = self.SFENet1(x)
        out = self.SFENet2(shallow)
        outs = []
        for block in self.RDBs:
            out = block(out)
            outs.append(out)
        restored: Tensor = self.UPNet(shallow + self.GFF(torch.cat(outs, dim=1)))
        return x + restored if self.output_scale == 1 else restored
