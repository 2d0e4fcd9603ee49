"""What a test needs: the model and the test sets, checked."""

from collections.abc import Sequence
from typing import Any

from basicsr_ext.data.file_checks import check_dataset
from basicsr_ext.jobs import checks
from basicsr_ext.options.load import Options
from basicsr_ext.schedule.sample import SampleDataset
from basicsr_ext.training.building import build_model
from basicsr_ext.training.loader import build_validation_sets
from basicsr_ext.training.validation import check_validation


def prepare(opt: Options) -> tuple[Any, list[SampleDataset]]:
    """Build the model and the test sets.

    Args:
        opt: completed and checked options.

    Raises:
        BasicsrExtError: whatever is wrong with the data or the weights.
    """
    datasets = build_validation_sets(opt)
    if opt['rank'] == 0:
        for dataset in datasets:
            check_dataset(dataset, f'dataset {dataset.opt["name"]}')
    model = build_model(opt)
    for dataset in datasets:
        check_validation(model, dataset, opt['val'].get('metrics'))
    return model, datasets


def try_first(model: Any, datasets: Sequence[SampleDataset]) -> None:
    """Restore the first image of every test set.

    Raises:
        OptionError: the network does not take it, or its result has another shape than the ground truth.
    """
    checks.check_first_batches(model, {f'dataset {dataset.opt["name"]}': dataset for dataset in datasets})
