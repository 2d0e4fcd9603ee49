"""The job `rank`: order the images of a dataset by their influence on a target, or by complexity."""

import importlib
import os
import pkgutil
from collections.abc import Sequence
from typing import Any

from basicsr_ext.jobs.option_file import STOPPED, JobFile, complete_job
from basicsr_ext.jobs.rank.method import METHODS, method_of
from basicsr_ext.jobs.resumable import resumable
from basicsr_ext.options import command_line
from basicsr_ext.options.load import Options
from basicsr_ext.reports.ranking_page import write_ranking_page
from basicsr_ext.runtime import distributed, interrupt
from basicsr_ext.selection.manifest import write_manifest
from basicsr_ext.selection.subsets.groups import with_groups

EXAMPLE = 'basicsr-ext rank -opt options/rank/rank_influence_IRCNN_gray_sigma25_BSD400.yml'

for _module in pkgutil.iter_modules(__path__):
    if _module.name.endswith('_method'):
        importlib.import_module(f'{__name__}.{_module.name}')


def files() -> dict[str, JobFile[Any]]:
    """What the option file holds, by the values of `rank.method`."""
    return {name: method.file for name, method in METHODS.items()}


def rank_pipeline(root_path: str | os.PathLike[str], argv: Sequence[str] | None = None) -> int:
    """Rank as the command line and its option file say.

    Args:
        root_path: the folder in which `results/` is made.
        argv: the command line; None takes the process's own.

    Returns:
        0, or 128 + the signal that stopped the job after it saved its state; the same command continues it.

    Raises:
        BasicsrExtError: whatever is wrong with options, data or weights, before work starts where possible.
    """
    try:
        opt, args = command_line.read_options('rank', argv)
        settings = complete_job(method_of(opt).file, opt, root_path, args.launcher)
        return interrupt.run(lambda: rank(opt, settings, only_check=args.check), STOPPED)
    finally:
        distributed.stop()


def rank(opt: Options, settings: Any, only_check: bool = False) -> None:
    """Write `results/<name>/ranking.parquet` and its page.

    Args:
        opt: completed and checked options.
        settings: the block `rank`.
        only_check: build and try everything, compute and write nothing.

    Raises:
        Interrupted: a stop was asked for; the state is saved.
    """
    with resumable(opt, 'rank', 'ranking.parquet', page=write_ranking_page) as run:
        ranking = method_of({'rank': {'method': settings.method}})(opt, settings)
        items = ranking.items
        if settings.groups is not None:
            items = with_groups(items, settings.groups, 'rank.groups')
        ranking.check(decode=only_check)
        if only_check:
            run.sound(f'{len(items)} images and the network')
            return
        identity = ranking.identity(items)
        if not run.begin(identity):
            return
        columns, notes = ranking.columns(run.unfinished)
        distributed.barrier()  # every rank has read what the first one removes now
        if run.is_first:
            ranking.write_beside(run.folder, {**identity, **{key: notes[key] for key in ('unit',) if key in notes}})
            write_manifest(run.result, items, columns, {**identity, **notes})
            run.finish(f'{len(items)} images ranked: {run.result}')
