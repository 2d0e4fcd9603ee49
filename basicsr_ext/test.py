"""The job `test`: weights and test sets in, metrics and images out."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from basicsr.data import build_dataset
from basicsr.models import build_model
from basicsr.utils import get_env_info, get_root_logger, get_time_str, make_exp_dirs
from basicsr.utils.misc import set_random_seed
from basicsr.utils.options import dict2str

from basicsr_ext import checks
from basicsr_ext.options import Options, parse_options, require
from basicsr_ext.training import distributed
from basicsr_ext.training.validation import validate_with, write_metrics


def test_pipeline(root_path: str | os.PathLike[str], argv: Sequence[str] | None = None) -> int:
    """Test as the command line and its option file say.

    Args:
        root_path: the folder in which `results/` is made.
        argv: the command line; None takes the process's own.

    Returns:
        0.

    Raises:
        BasicsrExtError: whatever is wrong with options, data or checkpoints, before testing starts where possible.
    """
    try:
        opt, args = parse_options(root_path, is_train=False, argv=argv)
        require(opt, ('val',))
        require(opt['val'], ('save_img',), 'val')
        checks.check_options(opt)
        if args.check:
            checks.check_everything(opt)
        else:
            test(opt)
        return 0
    finally:
        distributed.stop()


def test(opt: Options) -> None:
    """Restore and measure every dataset; writes `results/<name>/metrics.json` beside BasicSR's log.

    Args:
        opt: completed and checked options.
    """
    make_exp_dirs(opt)
    distributed.barrier()
    log_file = os.path.join(opt['path']['log'], f'test_{opt["name"]}_{get_time_str()}.log')
    logger = get_root_logger('basicsr', logging.INFO, log_file)
    logger.info(get_env_info())
    logger.info(dict2str(opt))
    set_random_seed(opt['manual_seed'])
    datasets = {key: build_dataset(block) for key, block in sorted(opt['datasets'].items())}
    for key, dataset in datasets.items():
        checks.check_dataset(dataset, f'datasets.{key}')
        logger.info(f'Number of test images in {dataset.opt["name"]}: {len(dataset)}')
    model = build_model(opt)
    results = {}
    for dataset in datasets.values():
        logger.info(f'Testing {dataset.opt["name"]}...')
        results[dataset.opt['name']] = validate_with(model, dataset, opt, opt['name'], None)
    if opt['rank'] == 0:
        write_metrics(Path(opt['path']['results_root'], 'metrics.json'), results)
