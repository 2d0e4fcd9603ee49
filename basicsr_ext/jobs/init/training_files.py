"""The option files of `train`: on all images, on those that a ranking chooses, on mined patches."""

from dataclasses import dataclass
from typing import Any

from basicsr.utils.registry import LOSS_REGISTRY, METRIC_REGISTRY, MODEL_REGISTRY

from basicsr_ext.jobs.checks import TrainingFile
from basicsr_ext.jobs.init import blocks
from basicsr_ext.jobs.init.parts import VALIDATION
from basicsr_ext.jobs.init.plan import TILE, Plan
from basicsr_ext.jobs.init.tasks import NETS, Block
from basicsr_ext.networks.precision import is_fast_in_bfloat16
from basicsr_ext.options.blocks import read_block
from basicsr_ext.options.calls import check_call, registered
from basicsr_ext.options.commented import commented, notes_of

DEFAULT_ITER, VALIDATIONS, MOST_WARMUP = 20_000, 10, 2000
ROLES = {
    'val': 'chooses the best checkpoint, as it stands first',
    'val_target': 'what selections aim at',
    'val_report': 'what is reported: neither checkpoints nor selections know it',
}


@dataclass(frozen=True)
class Length:
    """How long a training is.

    Attributes:
        total_iter: iterations.
        validations: how often it validates.
        said: why it is so long.
    """

    total_iter: int = DEFAULT_ITER
    validations: int = VALIDATIONS
    said: str = 'optimiser steps: a default; --budget 30m measures how many fit into a time'

    @property
    def val_freq(self) -> int:
        """Iterations between validations, rounded up."""
        return -(-self.total_iter // self.validations)


def training(plan: Plan, name: str, train: Block, length: Length) -> Block:
    """The options of a training.

    Args:
        plan: what was chosen.
        name: of the training.
        train: the block `datasets.train`.
        length: of the training.
    """
    request, net = plan.request, NETS[plan.request.net]
    top = blocks.common(plan, name)
    validation = {key: blocks.whole(plan, key) for key in VALIDATION}
    return {
        'name': top.pop('name'),
        'model_type': net.model,
        **top,
        **_precision(),
        'datasets': {'train': train, **validation},
        'network_g': blocks.network(plan),
        'path': {'pretrain_network_g': None, 'strict_load_g': True, 'resume_state': None},
        'train': _train(plan, length),
        'val': {
            'val_freq': length.val_freq,
            'save_img': False,
            'tile_size': TILE if plan.has_large else None,
            'metrics': {
                metric: {
                    'type': f'calculate_{metric}',
                    'crop_border': request.scale if request.scale > 1 else 0,
                    'test_y_channel': request.task.on_luma and plan.channels == 3,
                }
                for metric in ('psnr', 'ssim')
            },
        },
        'logger': {
            'print_freq': max(1, min(100, length.total_iter // 100)),
            'save_checkpoint_freq': length.val_freq,
            'use_tb_logger': False,
            'keep_last': 2,
        },
        'dist_params': {'backend': 'nccl', 'port': 29500},
    }


def _precision() -> Block:
    fast = is_fast_in_bfloat16()
    return dict.fromkeys(PRECISION, fast)


def _train(plan: Plan, length: Length) -> Block:
    net = NETS[plan.request.net]
    total = length.total_iter
    schedule = {'periods': [total], 'restart_weights': [1], 'eta_min': 1e-6}
    loss = {'type': 'L1Loss', 'loss_weight': 1.0, 'reduction': 'mean'}
    distilled = {'type': 'ProgressiveDistillationLoss', 'alpha': 0.1, 'epsilon': 1e-3}
    return {
        'total_iter': total,
        'warmup_iter': min(MOST_WARMUP, total // 20) if net.warms_up else -1,
        'optim_g': {'type': net.optimizer, 'lr': net.lr, 'weight_decay': 0, 'betas': [0.9, 0.99]},
        'scheduler': {'type': 'CosineAnnealingRestartLR', **schedule},
        'grad_clip': net.grad_clip,
        **({'distillation_opt': distilled} if net.model == 'FlexIRModel' else {'pixel_opt': loss}),
    }


def on_all(plan: Plan) -> Block:
    """`datasets.train` of all images."""
    return {**blocks.patches(plan), **blocks.loader(plan)}


def on_chosen(plan: Plan, manifest: str, size: int) -> Block:
    """`datasets.train` of the images at the top of a ranking."""
    own = {'name': 'train', 'type': 'InfluenceSubsetDataset', 'manifest': manifest, 'subset': 'top', 'size': size}
    return {**own, 'exclude': None, 'dataset': _inside(plan), **blocks.loader(plan)}


def on_mined(plan: Plan, manifest: str) -> Block:
    """`datasets.train` of the half of the patches with the steepest gradients."""
    own = {'name': 'train', 'type': 'MinedPatchDataset', 'manifest': manifest, 'criterion': 'grad', 'keep': 0.5}
    return {**own, 'exclude': None, 'dataset': _inside(plan), **blocks.loader(plan)}


def _inside(plan: Plan) -> Block:
    return {key: value for key, value in blocks.patches(plan).items() if key != 'name'}


def text_of(plan: Plan, options: Block, head: str, length: Length) -> str:
    """The option file of a training, checked.

    Raises:
        OptionError: a key or value that a dataclass refuses.
    """
    check(options)
    model = registered(MODEL_REGISTRY, options['model_type'], 'model_type')
    audit = f'results/{plan.request.name}_audit/audit.parquet leaves out what the audit suspects'
    roles = {f'datasets.{key}': text for key, text in ROLES.items()}
    notes = {
        **{key: text for key, text in notes_of(TrainingFile, '', options).items() if key in TOP},
        **notes_of(model.ModelOptions, '', {key: options[key] for key in PRECISION}),
        **blocks.dataset_notes(options['datasets']['train'], 'datasets.train'),
        'datasets.train.exclude': audit,
        **roles,
        'network_g': 'the network, and the arguments of its class',
        'path.pretrain_network_g': 'weights to start from',
        **notes_of(model.TrainOptions, 'train', options['train']),
        'train.total_iter': length.said,
        'train.optim_g.lr': 'at the start',
        'train.scheduler.periods': 'train.total_iter: the rate falls along a cosine until then',
        **notes_of(model.ValOptions, 'val', options['val']),
        'val.metrics': 'the first one chooses the best checkpoint',
        'val.metrics.psnr.crop_border': 'pixels that are not measured at each side',
        'val.metrics.psnr.test_y_channel': 'measure on the Y channel of YCbCr',
        'logger.print_freq': 'iterations between lines in the log',
        'logger.save_checkpoint_freq': 'iterations between saved states',
        'logger.keep_last': 'saved iterations that stay beside the best one',
        'logger.use_tb_logger': 'true writes curves for TensorBoard, where it is installed',
        'dist_params': 'of several processes, under a launcher',
    }
    return commented(options, notes, head)


TOP = ('name', 'scale', 'num_gpu', 'manual_seed')
PRECISION = ('use_amp', 'amp_bf16', 'use_channels_last')


def check(options: dict[str, Any]) -> None:
    """Read every block of a training by the dataclass, or compare it with the class, that will take it.

    Raises:
        OptionError: a key or value that is refused.
    """
    model = registered(MODEL_REGISTRY, options['model_type'], 'model_type')
    read_block(TrainingFile, options, '', ignore=('network_g', *PRECISION))
    read_block(model.ModelOptions, {key: options[key] for key in PRECISION}, '')
    blocks.check_datasets(options)
    blocks.check_network(options)
    train = read_block(model.TrainOptions, options['train'], 'train')
    read_block(model.ValOptions, options['val'], 'val')
    for name, block in train.named_losses():
        check_call(registered(LOSS_REGISTRY, block['type'], name), block, name)
    for name, block in options['val']['metrics'].items():
        check_call(registered(METRIC_REGISTRY, block['type'], name), block, f'val.metrics.{name}', given=2)
