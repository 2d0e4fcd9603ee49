"""FlexIR: SwinIR with an exit after every residual Swin transformer block."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import torch
from basicsr.archs.swinir_arch import SwinIR
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from basicsr_ext.archs.channel_scoring import ChannelScoring
from basicsr_ext.archs.prepared import forget_prepared
from basicsr_ext.archs.swin_layers import residual_swin_block
from basicsr_ext.archs.swinir_tail import TAIL_PARTS, SwinIRTail
from basicsr_ext.errors import OptionError, shown
from basicsr_ext.networks.tiling import pad_to_multiple

UPSAMPLERS = ('', 'pixelshuffle', 'pixelshuffledirect', 'nearest+conv')
COMPUTED_BUFFERS = ('relative_position_index', 'attn_mask')  # in SwinIR's files, though they follow from its options


class BranchOutput(NamedTuple):
    """The outputs of one branch that its losses need.

    Attributes:
        feature: of its RSTB, N x C x H x W, sides padded to the window.
        image: restored, N x 3 or 1 x (H scale) x (W scale).
        score: of the channels of `feature`, N x C x 1 x 1, or None without `channel_scoring`.
    """

    feature: Tensor
    image: Tensor
    score: Tensor | None

    def float(self) -> 'BranchOutput':
        """The same in float32."""
        return BranchOutput(
            self.feature.float(), self.image.float(), None if self.score is None else self.score.float()
        )


@dataclass(frozen=True)
class FlexIRState:
    """A batch between two RSTBs; `state[keep]` is the part of it that an index or a mask over the batch selects.

    Attributes:
        image: normalised input, N x C x H x W, padded to the window.
        shallow: features of the first convolution, N x C x H x W.
        features: of the last RSTB passed, N x H x W x C.
        depth: RSTBs passed.
        size: height and width without padding.
    """

    image: Tensor
    shallow: Tensor
    features: Tensor
    depth: int
    size: tuple[int, int]

    def __getitem__(self, keep: Tensor | slice) -> 'FlexIRState':
        """The state of some images of the batch."""
        return replace(self, image=self.image[keep], shallow=self.shallow[keep], features=self.features[keep])

    def __len__(self) -> int:
        """Images in the batch."""
        return len(self.image)

    @property
    def feature(self) -> Tensor:
        """The features as N x C x H x W."""
        return self.features.permute(0, 3, 1, 2)


@ARCH_REGISTRY.register()
class FlexIR(nn.Module):
    """Restore with the first P of n residual Swin transformer blocks (RSTB); P, the pointer, is chosen at any time.

    "FlexIR", Sec. 3.1 and Eq. 1: SwinIR (Liang et al., ICCV workshops 2021) with a branch after every RSTB, which ends
    in a copy of SwinIR's tail: layer norm, convolution, plus the shallow feature, then the last convolution plus the
    input image, or SwinIR's upsampler in super-resolution. At P = n this is SwinIR.

    The keys and defaults are those of BasicSR's SwinIR, and so are the names in the state dict, except that a tail
    stands below `tails.<branch>.`. A state dict of SwinIR loads as well and fills every branch with its tail. Images of
    any size are padded to the window as BasicSR's SwinIRModel does, and the result is cropped. With `upsampler:
    nearest+conv`, for real-world super-resolution, `upscale` may be 2 besides BasicSR's 4, as in SwinIR's own weights.

    In evaluation the network returns the image of its branch `pointer`. In training it returns a BranchOutput for each
    of the branches 1 to `pointer`; nothing of the others is computed, their gradients stay None.

    .. code-block:: yaml

        network_g:
          type: FlexIR
          upscale: 1
          in_chans: 3
          img_size: 128
          window_size: 8
          img_range: 1.
          depths: [2, 2]
          embed_dim: 12
          num_heads: [2, 2]
          mlp_ratio: 2
          upsampler: ''
          resi_connection: 1conv
          share_tail: false

    Args:
        img_size, patch_size, in_chans, embed_dim, depths, num_heads, window_size, mlp_ratio, qkv_bias, qk_scale,
            drop_rate, attn_drop_rate, drop_path_rate, norm_layer, ape, patch_norm, use_checkpoint, upscale, img_range,
            upsampler, resi_connection: as in SwinIR; `depths` and `num_heads` have one entry per RSTB.
        share_tail: one tail for all branches.
        channel_scoring: give scores of channels in training (Eq. 3).
        plain: compute with BasicSR's own layers, bit for bit as SwinIR; slower.

    Raises:
        OptionError: a value that is out of range.
    """

    size_multiple = 1  # it pads by itself
    # BasicSR's own layers count and export as the papers describe them; scores of channels serve training alone.
    deployed_options: ClassVar[Mapping[str, Any]] = {'channel_scoring': False, 'plain': True, 'use_checkpoint': False}
    conv_first: nn.Module
    patch_embed: nn.Module
    pos_drop: nn.Module
    mean: Tensor

    def __init__(
        self,
        img_size: int | tuple[int, int] = 64,
        patch_size: int = 1,
        in_chans: int = 3,
        embed_dim: int = 96,
        depths: Sequence[int] = (6, 6, 6, 6),
        num_heads: Sequence[int] = (6, 6, 6, 6),
        window_size: int = 7,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        qk_scale: float | None = None,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.1,
        norm_layer: type[nn.Module] = nn.LayerNorm,
        ape: bool = False,
        patch_norm: bool = True,
        use_checkpoint: bool = False,
        upscale: int = 2,
        img_range: float = 1.0,
        upsampler: str | None = '',
        resi_connection: str = '1conv',
        share_tail: bool = False,
        channel_scoring: bool = False,
        plain: bool = False,
    ) -> None:
        super().__init__()
        _check(embed_dim, depths, num_heads, upsampler or '', plain and use_checkpoint)
        is_real_world = upsampler == 'nearest+conv'
        if is_real_world and upscale not in (2, 4):
            raise OptionError('FlexIR.upscale', "2 or 4 with upsampler: 'nearest+conv'", upscale, 'Correct it.')
        net = SwinIR(
            img_size, patch_size, in_chans, embed_dim, depths, num_heads, window_size, mlp_ratio, qkv_bias, qk_scale,
            drop_rate, attn_drop_rate, drop_path_rate, norm_layer, ape, patch_norm, use_checkpoint,
            4 if is_real_world else upscale, img_range, upsampler or '', resi_connection,
        )  # fmt: skip
        if is_real_world and upscale == 2:
            del net.conv_up2  # as in SwinIR's weights for x2; BasicSR builds x4 alone
        self.upscale = upscale if upsampler else 1
        self.img_range = img_range
        self.plain = plain
        self.conv_first, self.patch_embed, self.pos_drop = net.conv_first, net.patch_embed, net.pos_drop
        if ape:
            self.absolute_pos_embed = net.absolute_pos_embed
        self.layers = net.layers
        self.tails = nn.ModuleList(SwinIRTail(net) for _ in range(1 if share_tail else len(depths)))
        self.scoring = nn.ModuleList(ChannelScoring(embed_dim) for _ in depths) if channel_scoring else None
        self.register_buffer('mean', net.mean, persistent=False)
        for layer in self.layers:
            for block in layer.residual_group.blocks:
                index = block.attn.relative_position_index
                block.attn.register_buffer('relative_position_index', index, persistent=False)
                block.attn_mask = None  # for one size of images alone, and large
                block.input_resolution = None  # BasicSR's layer then makes the mask that the image needs
        self.window_size: int = self.layers[0].residual_group.blocks[0].window_size
        self.pointer = len(depths)
        self.register_load_state_dict_pre_hook(_adapt)

    # ---- the pointer ----

    @property
    def num_branches(self) -> int:
        """The number n of RSTBs and of branches."""
        return len(self.layers)

    @property
    def pointer(self) -> int:
        """The branch P whose image `forward` returns, from 1 to `num_branches`."""
        return self._pointer

    @pointer.setter
    def pointer(self, pointer: int) -> None:
        if pointer not in range(1, self.num_branches + 1):
            raise OptionError('FlexIR.pointer', f'1 to {self.num_branches}, a branch', pointer, 'Correct the value.')
        self._pointer = pointer

    # ---- step by step ----

    def begin(self, image: Tensor) -> FlexIRState:
        """Pad, normalise and extract the shallow feature.

        Args:
            image: N x C x H x W, RGB or grey, [0, 1].
        """
        padded = pad_to_multiple(image, self.window_size)
        padded = (padded - self.mean.type_as(image)) * self.img_range
        shallow = self.conv_first(padded if self.plain else padded.contiguous(memory_format=torch.channels_last))
        tokens = self.patch_embed(shallow)
        if hasattr(self, 'absolute_pos_embed'):
            tokens = tokens + self.absolute_pos_embed
        features = self.pos_drop(tokens).view(len(image), *shallow.shape[2:], -1)
        return FlexIRState(padded, shallow, features, 0, (image.shape[2], image.shape[3]))

    def step(self, state: FlexIRState) -> FlexIRState:
        """Pass the next RSTB."""
        layer = self.layers[state.depth]
        if self.plain:
            size = (state.features.shape[1], state.features.shape[2])
            features = layer(state.features.flatten(1, 2), size).view_as(state.features)
        else:
            features = residual_swin_block(layer, state.features)
        return replace(state, features=features, depth=state.depth + 1)

    def restore(self, state: FlexIRState) -> Tensor:
        """Take the branch after the last RSTB passed.

        Returns:
            N x C x (H scale) x (W scale), cropped to the size of the image that `begin` was given.
        """
        tail = self.tails[min(state.depth, len(self.tails)) - 1]
        restored = tail(state.features, state.shallow, state.image) / self.img_range + self.mean.type_as(state.image)
        height, width = state.size
        return restored[:, :, : height * self.upscale, : width * self.upscale]

    # ---- all at once ----

    def forward(self, x: Tensor, detach_between_blocks: bool = False) -> Tensor | list[BranchOutput]:
        """Restore a batch.

        Args:
            x: degraded images, N x C x H x W, RGB or grey, [0, 1].
            detach_between_blocks: in training, let the loss of a branch reach its own RSTB and tail alone; the first
                convolution learns from the first branch.

        Returns:
            In evaluation the image of branch `pointer`, not clipped; in training what the losses of the branches 1 to
            `pointer` need.
        """
        state = self.begin(x)
        if not self.training:
            for _ in range(self.pointer):
                state = self.step(state)
            return self.restore(state)
        branches = []
        for branch in range(self.pointer):
            if detach_between_blocks and branch > 0:
                state = replace(state, shallow=state.shallow.detach(), features=state.features.detach())
            state = self.step(state)
            score = None if self.scoring is None else self.scoring[branch](state.feature)
            branches.append(BranchOutput(state.feature, self.restore(state), score))
        return branches

    # ---- sizes ----

    @property
    def _takes_any_size(self) -> bool:
        return not hasattr(self, 'absolute_pos_embed')

    def equal_part(self, height: int, width: int) -> tuple[tuple[int, int], int]:
        """A window, in each of which the same is done, and how many an image has; the image with absolute positions."""
        if not self._takes_any_size:
            return (height, width), 1
        side = self.window_size
        return (side, side), -(-height // side) * -(-width // side)

    def sizes_to_try(self) -> Sequence[tuple[int, int]]:
        """Three sizes, the first of which no window divides; none with absolute positions, which are for one size."""
        side = self.window_size
        sizes = ((3 * side - 1, 4 * side - 1), (5 * side, 2 * side), (side, 4 * side - 3))
        return sizes if self._takes_any_size else ()

    # ---- weights ----

    def cut(self, pointer: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The FlexIR that ends at a branch, with the exits before it.

        Args:
            pointer: the branch, from 1 to `num_branches`.

        Returns:
            Its weights, and `depths` and `num_heads` of its option block.
        """
        weights = {name: value for name, value in self.state_dict().items() if _is_kept(name, pointer)}
        groups = [layer.residual_group.blocks for layer in self.layers[:pointer]]
        return weights, {
            'depths': [len(blocks) for blocks in groups],
            'num_heads': [blocks[0].num_heads for blocks in groups],
        }

    def train(self, mode: bool = True) -> 'FlexIR':
        """Switch between training and evaluation."""
        forget_prepared(self)
        return super().train(mode)

    def adapt_state_dict(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights of SwinIR, or of FlexIR with or without its training-only parts, under the names of this network.

        Buffers that follow from the options are left out, SwinIR's tail is given to every branch, scores that are
        missing stay as they are, and those that are not wanted are left out.
        """
        known = {name: value for name, value in weights.items() if not name.endswith(COMPUTED_BUFFERS)}
        scoring = {name: value for name, value in self.state_dict().items() if name.startswith('scoring.')}
        known = {name: value for name, value in known.items() if not name.startswith('scoring.') or name in scoring}
        adapted = {**scoring, **known}
        for name in [name for name in adapted if name.partition('.')[0] in TAIL_PARTS]:
            value = adapted.pop(name)
            adapted.update({f'tails.{branch}.{name}': value for branch in range(len(self.tails))})
        return adapted


def _is_kept(name: str, pointer: int) -> bool:
    part, _, rest = name.partition('.')
    return part not in ('layers', 'tails') or int(rest.partition('.')[0]) < pointer


def _adapt(net: nn.Module, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Adapt a state dict before it is loaded, also where the network is a part of another one."""
    own = {name.removeprefix(prefix): state_dict.pop(name) for name in list(state_dict) if name.startswith(prefix)}
    adapted = net.adapt_state_dict(own)  # type: ignore[operator]
    state_dict.update({f'{prefix}{name}': value for name, value in adapted.items()})


def _check(embed_dim: int, depths: Sequence[int], num_heads: Sequence[int], upsampler: str, conflict: bool) -> None:
    if not depths or min(depths) < 1 or len(depths) != len(num_heads):
        raise OptionError(
            'FlexIR.depths',
            'at least 1 block in each RSTB and as many entries as num_heads',
            f'{depths} and {num_heads}',
            'Correct them.',
        )
    if any(embed_dim % heads for heads in num_heads):
        raise OptionError(
            'FlexIR.num_heads', f'numbers that divide embed_dim = {embed_dim}', num_heads, 'Correct them.'
        )
    if upsampler not in UPSAMPLERS:
        raise OptionError('FlexIR.upsampler', f'one of {UPSAMPLERS}', shown(upsampler), 'Correct the name.')
    if conflict:
        raise OptionError('FlexIR.use_checkpoint', 'false with plain: true', 'true', 'Switch one of them off.')
