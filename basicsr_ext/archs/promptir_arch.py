"""PromptIR: Restormer whose decoder is told by learnt prompts which degradation it removes."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from basicsr_ext.archs.channel_transformer import TransformerBlock, enlarge
from basicsr_ext.archs.restormer_arch import Restormer
from basicsr_ext.errors import OptionError

PROMPT_CHANNELS = (64, 128, 320)  # of the prompts of levels 1, 2 and 3
PROMPT_SIDES = (64, 32, 16)
NUM_PROMPTS = 5
ENCODER_CHANNELS = (64, 128, 256)  # what the layers without use would make of them


class PromptGenBlock(nn.Module):
    """Prompt generation (Eq. 2): the prompts, weighted by what the features are, at the size of the features.

    Args:
        channels: of the features.
        prompt_channels: of the prompts.
        side: of the prompts, in pixels.
    """

    def __init__(self, channels: int, prompt_channels: int, side: int) -> None:
        super().__init__()
        self.prompt_param = nn.Parameter(torch.rand(1, NUM_PROMPTS, prompt_channels, side, side))
        self.linear_layer = nn.Linear(channels, NUM_PROMPTS)
        self.conv3x3 = nn.Conv2d(prompt_channels, prompt_channels, 3, padding=1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Take (N, channels, H, W), give (N, prompt_channels, H, W)."""
        weights = self.linear_layer(features.mean(dim=(-2, -1))).softmax(dim=1)
        prompt = torch.einsum('np,pchw->nchw', weights, self.prompt_param[0])
        return self.conv3x3(F.interpolate(prompt, features.shape[-2:], mode='bilinear'))


@ARCH_REGISTRY.register()
class PromptIR(Restormer):
    """Restore images of several degradations with one network, which learnt prompts tell one from another.

    Potlapalli et al., "PromptIR: Prompting for All-in-One Blind Image Restoration", NeurIPS 2023, Fig. 2, Eq. 1 to 3,
    with the prompts in the decoder, as published. Prompts are joined to the features before each enlargement, a
    transformer block lets them interact, and a 1x1 convolution brings the channels back. The keys of the state dict
    are those of the official weights.

    Readings chosen, all from the authors' code: the blocks that meet the prompts have the heads of level 3, whatever
    their level; the bottom is brought to 4 * dim channels before it is enlarged. The official weights hold six
    convolutions that nothing passes through (`chnl_reduce*`, `reduce_noise_channel_*`, 0.2 of the 35.6 million
    parameters); they are here, so that the weights load strictly, and are not trained.

    .. code-block:: yaml

        network_g:
          type: PromptIR
          num_in_ch: 3
          num_out_ch: 3
          dim: 48
          num_blocks: [4, 6, 6, 8]
          num_refinement_blocks: 4
          heads: [1, 2, 4, 8]
          ffn_expansion_factor: 2.66
          bias: false
          norm_type: WithBias

    Args:
        num_in_ch: channels of the input.
        num_out_ch: channels of the output, the same number.
        dim: channels of the first level, even; each further level has twice as many.
        num_blocks: transformer blocks of the four levels, the last being the bottom.
        num_refinement_blocks: transformer blocks after the decoder, at full resolution.
        heads: attention heads of the four levels; those of level 3 also divide dim * 2 + 64, dim * 4 + 128 and
            dim * 8 + 320.
        ffn_expansion_factor: hidden channels of the feed-forward networks divided by their input channels.
        bias: whether the convolutions have a bias that may have one in Restormer, and those that bring channels back.
        norm_type: `WithBias` or `BiasFree`.

    Raises:
        OptionError: channels, levels or heads that do not fit together, or an unknown norm.
    """

    def __init__(
        self,
        num_in_ch: int = 3,
        num_out_ch: int = 3,
        dim: int = 48,
        num_blocks: Sequence[int] = (4, 6, 6, 8),
        num_refinement_blocks: int = 4,
        heads: Sequence[int] = (1, 2, 4, 8),
        ffn_expansion_factor: float = 2.66,
        bias: bool = False,
        norm_type: Literal['WithBias', 'BiasFree'] = 'WithBias',
    ) -> None:
        super().__init__(
            num_in_ch,
            num_out_ch,
            dim,
            num_blocks,
            num_refinement_blocks,
            heads,
            ffn_expansion_factor,
            bias,
            norm_type,
        )
        widths = (dim * 2, dim * 4, dim * 8)  # of the features that meet the prompts of levels 1, 2 and 3
        if any((width + channels) % heads[2] for width, channels in zip(widths, PROMPT_CHANNELS, strict=True)):
            raise OptionError(
                'PromptIR.heads',
                'of level 3 a divisor of dim * 2 + 64, dim * 4 + 128 and dim * 8 + 320',
                heads[2],
                'Change heads or dim.',
            )
        self.up4_3 = enlarge(dim * 4)
        self.reduce_chan_level3 = nn.Conv2d(dim * 6, dim * 4, 1, bias=bias)
        for level, width, out, channels, side in zip(
            (1, 2, 3), widths, (dim * 2, dim * 4, dim * 4), PROMPT_CHANNELS, PROMPT_SIDES, strict=True
        ):
            met = width + channels
            self.add_module(f'prompt{level}', PromptGenBlock(width, channels, side))
            block = TransformerBlock(met, heads[2], ffn_expansion_factor, bias, norm_type)
            self.add_module(f'noise_level{level}', block)
            self.add_module(f'reduce_noise_level{level}', nn.Conv2d(met, out, 1, bias=bias))
            self._add_unused(level, dim * 2 ** (level - 1), bias)

    def _add_unused(self, level: int, width: int, bias: bool) -> None:
        channels = ENCODER_CHANNELS[level - 1]
        for name, layer in (
            (f'chnl_reduce{level}', nn.Conv2d(PROMPT_CHANNELS[level - 1], channels, 1, bias=bias)),
            (f'reduce_noise_channel_{level}', nn.Conv2d(width + channels, width, 1, bias=bias)),
        ):
            self.add_module(name, layer.requires_grad_(False))

    def modulate(self, features: Tensor, level: int, image: Tensor) -> Tensor:
        """Let the features interact with the prompt of a level (Eq. 3); see `Restormer.modulate`."""
        del image
        prompt = self.get_submodule(f'prompt{level}')(features)
        met = self.get_submodule(f'noise_level{level}')(torch.cat([features, prompt], dim=1))
        return self.get_submodule(f'reduce_noise_level{level}')(met)
