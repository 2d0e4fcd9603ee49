"""The option files of what looks at images before they are trained on: audit, rankings, a scan of patches."""

from basicsr_ext.jobs.init import blocks
from basicsr_ext.jobs.init.plan import Plan
from basicsr_ext.jobs.init.tasks import Block
from basicsr_ext.jobs.option_file import COMMON_KEYS, CommonOptions
from basicsr_ext.networks.precision import is_fast_in_bfloat16
from basicsr_ext.options.blocks import read_block
from basicsr_ext.options.commented import commented, notes_of
from basicsr_ext.selection.audit.settings import AuditSettings
from basicsr_ext.selection.complexity.settings import ComplexitySettings
from basicsr_ext.selection.coreset.settings import CoresetSettings
from basicsr_ext.selection.influence.settings import RankSettings
from basicsr_ext.selection.patches.settings import MineSettings

SHARE = 10  # one image in so many is chosen
CURVATURE_IMAGES = 60  # at most
TEXTS = {
    'datasets.train': 'whole images of the training set',
    'datasets.test': 'the target, whose mean loss counts',
    'network_g': 'a trained network, at which gradients are taken',
    'path.pretrain_network_g': 'its weights',
}


def chosen(plan: Plan) -> int:
    """How many images a ranking is asked for."""
    return max(1, len(plan.parts['train'].photos) // SHARE)


def audit(plan: Plan, head: str) -> str:
    """The option file of the audit of the training set."""
    settings = {'findings': None, 'sensitivity': 1.0, 'workers': 0}
    options = {
        **blocks.common(plan, f'{plan.request.name}_audit'),
        'audit': settings,
        'datasets': {'train': blocks.whole(plan, 'train'), 'test': blocks.whole(plan, blocks.HELD_OUT)},
    }
    notes = {'datasets.test': 'all images to validate on, which should not be among those to train on'}
    return _text(options, 'audit', AuditSettings, head, notes)


def complexity(plan: Plan, head: str) -> str:
    """The option file of a ranking by complexity, which needs no network."""
    settings = {'method': 'complexity', 'criterion': 'entropy', 'source': 'gt', 'workers': 0}
    options = {
        **blocks.common(plan, f'{plan.request.name}_rank_complexity'),
        'rank': settings,
        'datasets': {'train': blocks.whole(plan, 'train')},
    }
    return _text(options, 'rank', ComplexitySettings, head)


def matching(plan: Plan, head: str) -> str:
    """The option file of a choice of images for the target."""
    settings = {
        'method': 'matching',
        'size': chosen(plan),
        'guard': 'none',
        'baselines': ['random'],
        'halves': len(plan.parts['val_target'].photos) > 1,
        **_curvature(plan),
    }
    return _text(_at_a_network(plan, 'rank_matching', settings), 'rank', CoresetSettings, head)


def influence(plan: Plan, head: str) -> str:
    """The option file of a ranking by influence on the target."""
    settings = {'method': 'influence', 'solver': 'gauss_newton', **_curvature(plan), 'per_target': False}
    return _text(_at_a_network(plan, 'rank_influence', settings), 'rank', RankSettings, head)


def mine(plan: Plan, head: str) -> str:
    """The option file of a scan of patches, which needs no network."""
    settings = {
        'patch_size': plan.patch,
        'stride': plan.patch // 2,
        'criteria': ['grad', 'std'],
        'edge': False,
        'workers': 0,
        'bad_images': 'skip',
    }
    options = {
        **blocks.common(plan, f'{plan.request.name}_mine'),
        'mine': settings,
        'datasets': {'train': blocks.whole(plan, 'train')},
    }
    return _text(options, 'mine', MineSettings, head)


def _curvature(plan: Plan) -> Block:
    return {
        'grad_loss': {'type': 'MSELoss'},
        'damping': 'auto',
        'iterations': 20,
        'curvature_images': min(CURVATURE_IMAGES, len(plan.parts['train'].photos)),
        'batch_size': 2,
        'tile_size': 'auto',
        'precision': 'bfloat16' if is_fast_in_bfloat16() else 'float32',
    }


def _at_a_network(plan: Plan, ending: str, settings: Block) -> Block:
    color = 'gray' if blocks.has_shipped(plan) else None
    net, path = blocks.proxy(plan)
    datasets = {
        'train': blocks.whole(plan, 'train', color=color),
        'test': blocks.whole(plan, 'val_target', color=color),
    }
    common = blocks.common(plan, f'{plan.request.name}_{ending}')
    return {**common, 'rank': settings, 'datasets': datasets, 'network_g': net, 'path': path}


def _text(options: Block, job: str, kind: type, head: str, more: Block | None = None) -> str:
    """The option file of a job, checked.

    Raises:
        OptionError: a key or value that a dataclass refuses.
    """
    read_block(CommonOptions, {key: options[key] for key in COMMON_KEYS if key in options}, '')
    read_block(kind, options[job], job)
    blocks.check_datasets(options)
    if 'network_g' in options:
        blocks.check_network(options)
    notes = {
        **notes_of(CommonOptions, '', options),
        **notes_of(kind, job, options[job]),
        **blocks.dataset_notes(options['datasets']['train'], 'datasets.train'),
        **TEXTS,
        **(more or {}),
    }
    return commented(options, notes, head)
