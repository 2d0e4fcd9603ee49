"""Loaders: training batches by the schedule, validation images one by one."""

from typing import Any

from basicsr.utils import get_root_logger
from torch.utils.data import DataLoader

from basicsr_ext.data.nesting import warmup_rule
from basicsr_ext.data.wrapper_base import scheduled
from basicsr_ext.runtime.workers import loader
from basicsr_ext.schedule.sample import Sample, SampleDataset
from basicsr_ext.schedule.sampling import ScheduledSampler, samples_of_epoch
from basicsr_ext.schedule.warmup import Warmup, plan_warmup
from basicsr_ext.training.building import build_dataset
from basicsr_ext.training.learning_rate import drops

PREPARED = 2  # batches that each worker prepares ahead


def samples_per_rank(opt: dict[str, Any]) -> int:
    """Samples that one rank uses in one iteration: batch size times accumulation steps.

    `batch_size_per_gpu` counts the GPUs of this process, which DataParallel can make several, as in BasicSR.
    """
    gpus = 1 if opt['dist'] else max(1, opt['num_gpu'])
    return opt['datasets']['train']['batch_size_per_gpu'] * gpus * opt['train'].get('accum_iter', 1)


def build_warmup(dataset: SampleDataset, opt: dict[str, Any]) -> Warmup:
    """The iterations of the warm-up that a wrapper of the training set asks for.

    Raises:
        OptionError: it does not fit the learning rate or the workers.
    """
    rule = warmup_rule(dataset)
    if rule is None:
        return Warmup()
    block, total_iter = opt['datasets']['train'], int(opt['train']['total_iter'])
    where = 'datasets.train'
    samples = samples_of_epoch(len(dataset), block.get('dataset_enlarge_ratio', 1))
    fallen = drops(opt['train'].get('scheduler'), total_iter, f'{where}.repeat.at') if rule.repeat else []
    warmup = plan_warmup(
        rule,
        total_iter=total_iter,
        iterations_per_epoch=samples / (samples_per_rank(opt) * opt['world_size']),
        drops=fallen,
        prepared=PREPARED * block.get('num_worker_per_gpu', 0),
        where=where,
    )
    if not warmup.intervals():
        get_root_logger().warning(f'{where}.stop: the warm-up has no iteration of the {total_iter}.')
    if rule.repeat and not fallen:
        get_root_logger().warning(f'{where}.repeat: the rate never drops in {total_iter} iterations.')
    return warmup


def build_train_loader(
    dataset: SampleDataset, opt: dict[str, Any], start: int, warmup: Warmup | None = None
) -> DataLoader[Sample]:
    """The batches of this rank from iteration `start + 1` to `total_iter`, one batch per iteration.

    The workers live as long as the loader: there is no restart between epochs.
    """
    block = opt['datasets']['train']
    batch_size = samples_per_rank(opt)
    sampler = ScheduledSampler(
        size=len(dataset),
        batch_size=batch_size,
        seed=opt['manual_seed'],
        start=start,
        stop=int(opt['train']['total_iter']),
        rank=opt['rank'],
        world_size=opt['world_size'],
        enlarge=block.get('dataset_enlarge_ratio', 1),
        in_warmup=None if warmup is None or warmup_rule(dataset) is None else warmup.covers,
    )
    workers = block.get('num_worker_per_gpu', 0)
    return loader(
        scheduled(dataset),
        workers,
        batch_size=batch_size,
        sampler=sampler,
        prefetch_factor=PREPARED if workers else None,
        pin_memory=block.get('pin_memory', opt['num_gpu'] != 0),
    )


def build_validation_sets(opt: dict[str, Any]) -> list[SampleDataset]:
    """The datasets whose phase is val or test, in the order of their keys."""
    return [
        build_dataset(block, f'datasets.{key}')
        for key, block in sorted(opt['datasets'].items())
        if block['phase'] in ('val', 'test')
    ]
