"""The job `audit`: look for unfit images in a training set: noise, blocks, blur, copies, pairs that do not match."""

import os
from collections.abc import Sequence
from typing import Any

from basicsr.utils import get_root_logger

from basicsr_ext.data.decoded_files import check_pixels
from basicsr_ext.data.inventory import first_of_file, inventory
from basicsr_ext.data.stock_files import reads_pairs
from basicsr_ext.data.whole_images import WholeImages
from basicsr_ext.data.wrapper_base import scheduled
from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.jobs.option_file import JobFile, run_job
from basicsr_ext.jobs.resumable import identity, resumable, source_of
from basicsr_ext.options.load import Options
from basicsr_ext.reports.audit_page import write_audit_page
from basicsr_ext.reports.audit_report import report_of
from basicsr_ext.schedule.sample import SampleDataset
from basicsr_ext.selection.audit.findings import FINDINGS
from basicsr_ext.selection.audit.outcome import outcome
from basicsr_ext.selection.audit.scan import AuditReader, AuditScan
from basicsr_ext.selection.audit.settings import AuditSettings
from basicsr_ext.selection.manifest import read_manifest, write_manifest
from basicsr_ext.training.building import build_dataset

EXAMPLE = 'basicsr-ext audit -opt options/audit/audit_BSD400.yml'

FILE = JobFile(
    job='audit',
    settings=AuditSettings,
    datasets={'train': 'the images that are looked at'},
    optional={'test': 'images that should not be among them'},
)


def audit_pipeline(root_path: str | os.PathLike[str], argv: Sequence[str] | None = None) -> int:
    """Audit as the command line and its option file say.

    Args:
        root_path: the folder in which `results/` is made.
        argv: the command line; None takes the process's own.

    Returns:
        0, or 128 + the signal that stopped the job after it saved its state; the same command continues it.

    Raises:
        BasicsrExtError: whatever is wrong with options or data, before work starts where possible.
    """
    return run_job(FILE, audit, root_path, argv)


def audit(opt: Options, settings: AuditSettings, only_check: bool = False) -> None:
    """Write `results/<name>/audit.parquet` and its page, and log what it says.

    Args:
        opt: completed and checked options.
        settings: the block `audit`.
        only_check: build everything and decode all images, write nothing.

    Raises:
        OptionError: findings that the data does not have.
        DataError: datasets that do not tell their files; no image that decodes.
        Interrupted: a stop was asked for; the state is saved.
    """
    with resumable(opt, 'audit', 'audit.parquet', page=write_audit_page) as run:
        datasets = {key: scheduled(build_dataset(opt['datasets'][key], f'datasets.{key}')) for key in _keys(opt)}
        items = {key: inventory(dataset, tolerant=True) for key, dataset in datasets.items()}
        names = _findings(settings, datasets)
        reader = AuditReader([(WholeImages(datasets[key]), len(items[key])) for key in datasets], names)
        if only_check:
            _check_pixels(datasets, settings.workers)
            run.sound(f'{sum(map(len, items.values()))} images')
            return
        sources: dict[str, Any] = {key: source_of(dataset, items[key]) for key, dataset in datasets.items()}
        made_from = identity('audit', opt, {'audit': settings}, without=('workers',), **sources)
        if not run.begin(made_from):
            return
        scan = AuditScan(reader, run.unfinished, settings.workers)
        scan.run()
        if run.is_first:
            first, test = first_of_file(datasets['train']), items.get('test', ())
            found = outcome(scan.values(), names, items['train'], test, settings.sensitivity, first)
            write_manifest(run.result, items['train'], found.columns, {**made_from, **found.notes})
            run.finish(f'{len(items["train"])} images looked at: {run.result}\n{report_of(read_manifest(run.result))}')


def _keys(opt: Options) -> list[str]:
    return [key for key in (*FILE.datasets, *FILE.optional) if key in opt['datasets']]


def _findings(settings: AuditSettings, datasets: dict[str, SampleDataset]) -> list[str]:
    """The findings that are looked for: those that are asked for, or all that the data has."""
    missing = {'leak': 'datasets.test'} if 'test' not in datasets else {}
    if not reads_pairs(datasets['train']):
        missing.update({name: 'pairs of files' for name, finding in FINDINGS.items() if finding.pair})
    for name in settings.findings or ():
        if name in missing:
            raise OptionError('audit.findings', f'{missing[name]} with {name}', 'none', f'Add them or remove {name}.')
    names = [name for name in settings.findings or FINDINGS if name not in missing and name != 'damaged']
    return names


def _check_pixels(datasets: dict[str, SampleDataset], workers: int) -> None:
    """Decode every image; damaged ones are something that the audit itself will tell."""
    for key, dataset in datasets.items():
        try:
            check_pixels(dataset, f'datasets.{key}', workers)
        except DataError as error:
            get_root_logger().warning(f'Will be suspect: {error}')
