"""An option file with networks and numbers of images that take no time."""

from typing import Any

from basicsr_ext.options.command_line import override
from basicsr_ext.options.dataset_blocks import walk_blocks

# Type of a network, of SpandrelArch its architecture -> keys that take less.
NETWORKS: dict[str, dict[str, Any]] = {
    'Restormer': {'dim': 4, 'num_blocks': [1, 1, 1, 1], 'num_refinement_blocks': 1},
    'PromptIR': {'dim': 4, 'num_blocks': [1, 1, 1, 1], 'num_refinement_blocks': 1},
    'AdaIR': {'dim': 8, 'num_blocks': [1, 1, 1, 1], 'num_refinement_blocks': 1},
    'UHDformer': {'num_groups': 1, 'num_blocks': 1},
    'OISR': {'num_feat': 8, 'num_block': 1},
    'IRCNN': {'num_feat': 8},
    'DnCNN': {'num_feat': 8, 'num_layers': 3},
    'EDSR': {'num_feat': 8, 'num_block': 1},
    'EDSRDenoiser': {'num_feat': 8, 'num_block': 1},
    'MIRNetv2': {'dim': 16, 'num_blocks': 1},
    'SwinIR': {'embed_dim': 12, 'depths': [1], 'num_heads': [2]},
    'FlexIR': {'embed_dim': 12, 'depths': [1, 1, 1, 1], 'num_heads': [2, 2, 2, 2]},
    'HAT': {'embed_dim': 24, 'depths': [1], 'num_heads': [2], 'num_feat': 8},
    'GRL': {'embed_dim': 16, 'depths': [1], 'num_heads_window': [2], 'num_heads_stripe': [2]},
    'ComplexityScorer': {'backbone': 'test_vit', 'pretrained': False},
}
DISTILL = {'image_size': 32, 'batch_size': 1, 'real_batch_size': 1, 'kept': 0}


def smaller(opt: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The options with less to compute, and what `--set` makes them so; weights of the package become others.

    Args:
        opt: as loaded, changed in place.
    """
    words = [word for word in ('num_gpu=0', 'use_amp=false', 'amp_bf16=false', 'rank.size=2') if _has(opt, word)]
    words += [f'distill.{name}={value}' for name, value in DISTILL.items() if 'distill' in opt]
    for key in [key for key in opt if key.startswith('network_')]:
        less = NETWORKS.get(opt[key].get('architecture', opt[key]['type']), {})
        words += [f'{key}.{name}={value}' for name, value in less.items() if name in opt[key]]
    for key, value in (opt.get('path') or {}).items():
        if str(value).startswith('pkg://'):
            words.append(f'path.{key}=weights/{opt["name"]}_{key}.pth')
    for place, level in enumerate((opt.get('rank') or {}).get('levels') or []):
        if level['pretrain_network_g'].startswith('pkg://'):
            words.append(f'rank.levels.{place}.pretrain_network_g=weights/{opt["name"]}_{place}.pth')
    for key, outer in opt['datasets'].items():
        for block, where in walk_blocks(outer, f'datasets.{key}'):
            many = [name for name in ('size', 'keep') if isinstance(block.get(name), int) and block[name] > 2]
            words += [f'{where}.{name}=2' for name in many]
    for word in words:
        override(opt, word)
    return opt, words


def _has(opt: dict[str, Any], word: str) -> bool:
    *above, key = word.partition('=')[0].split('.')
    for each in above:
        opt = opt.get(each) or {}
    return key in opt
