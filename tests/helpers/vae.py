"""An autoencoder of diffusers that computes in milliseconds."""

from typing import Any

import torch


def tiny_vae(channels: int = 4) -> Any:
    from diffusers import AutoencoderKL

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AutoencoderKL(
            down_block_types=('DownEncoderBlock2D',) * 2,
            up_block_types=('UpDecoderBlock2D',) * 2,
            block_out_channels=(8, 16),
            latent_channels=channels,
            norm_num_groups=4,
            scaling_factor=0.7,
            shift_factor=0.1,
        )
