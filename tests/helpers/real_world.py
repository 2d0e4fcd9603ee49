"""The block of a RealWorldSRDataset, and of the RealESRGANDataset in it."""

from pathlib import Path
from typing import Any

KINDS = ['iso', 'aniso', 'generalized_iso', 'generalized_aniso', 'plateau_iso', 'plateau_aniso']
PROBABILITIES = [0.45, 0.25, 0.12, 0.03, 0.12, 0.03]


def kernels(suffix: str = '', sigma: float = 3) -> dict[str, Any]:
    """The keys of the kernels of a round."""
    keys = {
        'blur_kernel_size': 21, 'kernel_list': KINDS, 'kernel_prob': PROBABILITIES, 'sinc_prob': 0.1,
        'blur_sigma': [0.2, sigma], 'betag_range': [0.5, 4], 'betap_range': [1, 2],
    }  # fmt: skip
    return {f'{key}{suffix}': value for key, value in keys.items()}


def clean(folder: Path | str, **more: Any) -> dict[str, Any]:
    """The dataset inside; writes the list of the PNGs of its folder beside it, and those of folders in it."""
    folder = Path(folder)
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob('*.png'))
    listed = folder.parent / f'{folder.name}.txt'
    listed.write_text('\n'.join(names))
    files = {'dataroot_gt': str(folder), 'meta_info': str(listed), 'io_backend': {'type': 'disk'}}
    both = {**kernels(), **kernels('2', 1.5), 'final_sinc_prob': 0.8}
    return {'type': 'RealESRGANDataset', **files, 'use_hflip': True, 'use_rot': True, **both, **more}


def real_world(folder: Path | str, inside: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """The whole block."""
    block = {'name': 'tiny', 'type': 'RealWorldSRDataset', 'phase': 'train', 'scale': 4, 'gt_size': 32}
    return {**block, 'dataset': clean(folder, **(inside or {})), **more}
