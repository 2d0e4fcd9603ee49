"""The job `test`: restore and measure test sets with trained weights, once or by a sweep of settings."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from basicsr.utils import get_root_logger, make_exp_dirs
from basicsr.utils.misc import set_random_seed

from basicsr_ext.jobs import checks
from basicsr_ext.jobs.option_file import STOPPED
from basicsr_ext.jobs.resumable import open_log
from basicsr_ext.jobs.test.parts import prepare, try_first
from basicsr_ext.jobs.test.sweeping import sweep
from basicsr_ext.options.blocks import require
from basicsr_ext.options.complete import parse_options
from basicsr_ext.options.load import Options
from basicsr_ext.reports.beside import write_beside
from basicsr_ext.reports.metrics_page import Tested
from basicsr_ext.runtime import distributed, interrupt
from basicsr_ext.runtime.files import put_aside
from basicsr_ext.runtime.folder_lock import locked
from basicsr_ext.training.validation import image_path, validate_with, write_metrics

EXAMPLE = 'basicsr-ext test -opt options/test/DnCNN/test_DnCNN_gray_sigma25.yml'


def test_pipeline(root_path: str | os.PathLike[str], argv: Sequence[str] | None = None) -> int:
    """Test as the command line and its option file say.

    Args:
        root_path: the folder in which `results/` is made.
        argv: the command line; None takes the process's own.

    Returns:
        0, or 128 + the signal that stopped a sweep; the same command continues it.

    Raises:
        BasicsrExtError: whatever is wrong with options, data or checkpoints, before testing starts where possible.
    """
    try:
        opt, args, asked = parse_options(root_path, is_train=False, argv=argv)
        require(opt, ('val',))
        require(opt['val'], ('save_img',), 'val')
        checks.check_options(opt)
        if opt['val'].get('sweep') is not None:
            return interrupt.run(lambda: sweep(opt, asked, args.check), STOPPED)
        if args.check:
            checks.check_everything(opt)
        else:
            test(opt, asked)
        return 0
    finally:
        distributed.stop()


def test(opt: Options, asked: Options) -> None:
    """Restore and measure every dataset; writes `results/<name>/metrics.json` and its page beside BasicSR's log.

    Args:
        opt: completed and checked options.
        asked: the options before they were completed, for the page.
    """
    with open_log(opt, 'test') as open_log_file:
        set_random_seed(opt['manual_seed'])
        model, datasets = prepare(opt)
        try_first(model, datasets)

        folder = Path(opt['path']['results_root'])
        with locked(folder, opt['rank'] == 0):
            if opt['rank'] == 0:
                put_aside(folder)  # former results of this name
            make_exp_dirs(opt)
            distributed.barrier()
            open_log_file()
            results = {}
            for dataset in datasets:
                get_root_logger().info(f'Testing {dataset.opt["name"]}: {len(dataset)} images...')
                results[dataset.opt['name']] = validate_with(model, dataset, opt, opt['name'], None)
            if opt['rank'] == 0:
                metrics = Path(folder, 'metrics.json')
                write_metrics(metrics, results)
                write_beside(metrics, 'test', Tested(asked, datasets, partial(_saved_at, opt)))
            get_root_logger().info(f'Metrics and images: {folder}')


def _saved_at(opt: Options, dataset_name: str, image: str) -> Path:
    return image_path(opt, image, dataset_name, opt['name'])
