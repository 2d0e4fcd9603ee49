"""An option file with networks and numbers of images that take no time."""

from typing import Any

from basicsr_ext.options.command_line import override
from basicsr_ext.options.dataset_blocks import walk_blocks

# Type of a network, of SpandrelArch its architecture -> keys that take less.
NETWORKS: dict[str, dict[str, Any]] = {
    'Restormer': {'dim': 8, 'num_blocks': [1, 1, 1, 1], 'num_refinement_blocks': 1},
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
    """The options with less to compute, and what `--set` makes them so; networks with weights of the package stay.

    Args:
        opt: as loaded, changed in place.
    """
    words = ['num_gpu=0'] if 'num_gpu' in opt else []
    path = opt.get('path') or {}
    levels = [level['pretrain_network_g'] for level in (opt.get('rank') or {}).get('levels') or []]
    for key, network in opt.items():
        named = [path.get(f'pretrain_{key}'), *(levels if key == 'network_g' else [])]
        if key.startswith('network_') and not any(str(each).startswith('pkg://') for each in named):
            less = NETWORKS.get(network.get('architecture', network['type']), {})
            words += [f'{key}.{name}={value}' for name, value in less.items() if name in network]
    for key, outer in opt['datasets'].items():
        for block, where in walk_blocks(outer, f'datasets.{key}'):
            for name in ('size', 'keep'):
                if isinstance(block.get(name), int) and block[name] > 2:
                    words.append(f'{where}.{name}=2')
    if 'size' in (opt.get('rank') or {}):
        words.append('rank.size=2')
    if 'distill' in opt:
        words += [f'distill.{name}={value}' for name, value in DISTILL.items()]
    for word in words:
        override(opt, word)
    return opt, words
