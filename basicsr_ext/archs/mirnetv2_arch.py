"""MIRNet-v2: three resolutions side by side that exchange what they see."""

from collections import OrderedDict

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from basicsr_ext.errors import OptionError
from basicsr_ext.networks.tiling import refuse_sides

GROUPS = (1, 2, 4, 4)  # of the 3x3 convolutions, one a recursive residual group


class ContextBlock(nn.Module):
    """Add to every pixel the same vector, made of the average of all pixels, weighted by attention.

    The global context block of Cao et al., "GCNet: Non-local Networks Meet Squeeze-Excitation Networks and Beyond",
    ICCV Workshops 2019, with LeakyReLU and without norm.
    """

    def __init__(self, dim: int, bias: bool) -> None:
        super().__init__()
        self.conv_mask = nn.Conv2d(dim, 1, 1, bias=bias)
        self.channel_add_conv = nn.Sequential(
            nn.Conv2d(dim, dim, 1, bias=bias), nn.LeakyReLU(0.2), nn.Conv2d(dim, dim, 1, bias=bias)
        )

    def forward(self, x: Tensor) -> Tensor:
        attention = self.conv_mask(x).flatten(2).softmax(dim=-1)
        context = x.flatten(2) @ attention.transpose(1, 2)
        return x + self.channel_add_conv(context[..., None])


class RCB(nn.Module):
    """Residual contextual block: two grouped convolutions, then the context."""

    def __init__(self, dim: int, groups: int, bias: bool) -> None:
        super().__init__()
        first, second = (nn.Conv2d(dim, dim, 3, padding=1, groups=groups, bias=bias) for _ in range(2))
        self.act = nn.LeakyReLU(0.2)
        self.body = nn.Sequential(first, self.act, second)
        self.gcnet = ContextBlock(dim, bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.act(self.gcnet(self.body(x)))


class SKFF(nn.Module):
    """Selective kernel feature fusion of two streams: their sum, weighted channel by channel.

    The weights come from the sum of the streams, averaged over the pixels, and those of a channel add up to 1.
    """

    def __init__(self, dim: int, reduction: int = 8) -> None:
        super().__init__()
        squeezed = max(dim // reduction, 4)
        self.conv_du = nn.Sequential(nn.Conv2d(dim, squeezed, 1, bias=False), nn.LeakyReLU(0.2))
        self.fcs = nn.ModuleList(nn.Conv2d(squeezed, dim, 1, bias=False) for _ in range(2))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        summary = self.conv_du((first + second).mean((2, 3), keepdim=True))
        weights = torch.stack([fc(summary) for fc in self.fcs]).softmax(dim=0)
        return first * weights[0] + second * weights[1]


def _resized(*layers: nn.Module) -> nn.Sequential:
    """Layers under the names that the official weights have (`down2.body.0.bot.1.weight`)."""
    inner = nn.Sequential(OrderedDict(bot=nn.Sequential(*layers)))
    return nn.Sequential(OrderedDict(body=nn.Sequential(inner)))


def _down(num_in: int, num_out: int) -> nn.Sequential:
    """Halve the height and width."""
    return _resized(nn.AvgPool2d(2), nn.Conv2d(num_in, num_out, 1, bias=False))


def _up(num_in: int, num_out: int) -> nn.Sequential:
    """Double the height and width."""
    return _resized(nn.Conv2d(num_in, num_out, 1, bias=False), nn.Upsample(scale_factor=2, mode='bilinear'))


class MRB(nn.Module):
    """Multi-scale residual block: full, half and quarter resolution, which are fused from coarse to fine, twice.

    The two passes share the weights of the contextual blocks and of the fusions, but not of the resizing.
    """

    def __init__(self, dim: int, chan_factor: float, groups: int, bias: bool) -> None:
        super().__init__()
        top, mid, bot = (int(dim * chan_factor**level) for level in range(3))
        self.dau_top, self.dau_mid, self.dau_bot = (RCB(width, groups, bias) for width in (top, mid, bot))
        self.down2 = _down(top, mid)
        self.down4 = nn.Sequential(_down(top, mid), _down(mid, bot))
        self.up21_1, self.up21_2 = _up(mid, top), _up(mid, top)
        self.up32_1, self.up32_2 = _up(bot, mid), _up(bot, mid)
        self.conv_out = nn.Conv2d(dim, dim, 1, bias=bias)
        self.skff_top, self.skff_mid = SKFF(top), SKFF(mid)

    def forward(self, x: Tensor) -> Tensor:
        top, mid, bot = x, self.down2(x), self.down4(x)
        for up32, up21 in ((self.up32_1, self.up21_1), (self.up32_2, self.up21_2)):
            top, mid, bot = self.dau_top(top), self.dau_mid(mid), self.dau_bot(bot)
            mid = self.skff_mid(mid, up32(bot))
            top = self.skff_top(top, up21(mid))
        return x + self.conv_out(top)


class RRG(nn.Module):
    """Recursive residual group: multi-scale blocks and a convolution."""

    def __init__(self, dim: int, num_blocks: int, chan_factor: float, groups: int, bias: bool) -> None:
        super().__init__()
        blocks = (MRB(dim, chan_factor, groups, bias) for _ in range(num_blocks))
        self.body = nn.Sequential(*blocks, nn.Conv2d(dim, dim, 3, padding=1, bias=bias))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


@ARCH_REGISTRY.register()
class MIRNetv2(nn.Module):
    """Restore images with features of three resolutions, fused by attention over the resolutions.

    Zamir et al., "Learning Enriched Features for Fast Image Restoration and Enhancement", IEEE TPAMI 2022,
    Section 3; 5.9 M parameters. The keys of the state dict are those of the official weights.

    Readings chosen, as the official weights imply: the four groups have convolutions of 1, 2, 4 and 4 groups; both
    passes of a multi-scale block share their contextual blocks and fusions; resizing and fusion have no bias. With
    `dual_pixel_task` the shallow features, not the image, are added before the output convolution, since six channels
    go in and three come out.

    .. code-block:: yaml

        network_g:
          type: MIRNetv2
          num_in_ch: 3
          num_out_ch: 3
          dim: 80
          num_blocks: 2
          chan_factor: 1.5
          bias: false

    Args:
        num_in_ch: channels of the input.
        num_out_ch: channels of the output; the same number unless `dual_pixel_task`, because the input is added.
        dim: channels at full resolution; with `chan_factor`, those of all three resolutions are multiples of 4.
        num_blocks: multi-scale blocks of each of the four groups.
        chan_factor: channels of a resolution divided by those of the next finer one.
        bias: whether the convolutions have a bias, but for those that resize or fuse.
        dual_pixel_task: left and right view in, one image out.

    Raises:
        OptionError: channels that do not fit together.
    """

    size_multiple: int = 4

    def __init__(
        self,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        dim: int = 80,
        num_blocks: int = 2,
        chan_factor: float = 1.5,
        bias: bool = False,
        dual_pixel_task: bool = False,
    ) -> None:
        super().__init__()
        if num_in_ch != num_out_ch and not dual_pixel_task:
            raise OptionError(
                'MIRNetv2.num_out_ch',
                f'num_in_ch = {num_in_ch}, because the input is added to the output',
                num_out_ch,
                'Give both the same value, or set dual_pixel_task: true.',
            )
        widths = [int(dim * chan_factor**level) for level in range(3)]
        if any(width % max(GROUPS) for width in widths):
            raise OptionError(
                'MIRNetv2.dim',
                f'a number that gives multiples of {max(GROUPS)} channels at every resolution',
                f'{dim} and chan_factor {chan_factor}, which give {widths}',
                'Change them, as to 80 and 1.5.',
            )
        self.conv_in = nn.Conv2d(num_in_ch, dim, 3, padding=1, bias=bias)
        self.body = nn.Sequential(*(RRG(dim, num_blocks, chan_factor, groups, bias) for groups in GROUPS))
        self.conv_out = nn.Conv2d(dim, num_out_ch, 3, padding=1, bias=bias)
        self.dual_pixel_task = dual_pixel_task

    def forward(self, x: Tensor) -> Tensor:
        """Restore a batch.

        Args:
            x: degraded images, (N, num_in_ch, H, W), RGB or grey, range [0, 1]; H and W multiples of `size_multiple`.

        Returns:
            The restored images, (N, num_out_ch, H, W), same range, not clipped.

        Raises:
            ValueError: H or W is not a multiple of `size_multiple`.
        """
        refuse_sides(x, self.size_multiple, 'MIRNetv2')
        shallow = self.conv_in(x)
        deep = self.body(shallow)
        if self.dual_pixel_task:
            return self.conv_out(deep + shallow)
        return self.conv_out(deep) + x
