"""Trainings beside each other: their curves in one picture, and in words where each of them ended."""

from collections.abc import Sequence
from pathlib import Path

from basicsr_ext.errors import DataError
from basicsr_ext.training.curve_pictures import draw_curves
from basicsr_ext.training.curves import common_window, read_curves


def inspect_trainings(logs: Sequence[Path], folder: Path) -> None:
    """Write `curves.png`, and print the last value of each series.

    Args:
        logs: `training_log.jsonl` of each training, one named twice counts once; runs are named after their folders,
            or by their paths where two folders have the same name.
        folder: for the picture.

    Raises:
        DataError: a log is missing or something else, or none holds a loss.
    """
    logs = list(dict.fromkeys(Path(log) for log in logs))
    names = [log.resolve().parent.name for log in logs]
    if len(set(names)) < len(names):
        names = [str(log.parent) for log in logs]
    runs = [read_curves(log, name) for log, name in zip(logs, names, strict=True)]
    if not any(run.losses for run in runs):
        raise DataError(logs[0], 'a loss of at least one iteration', 'none', 'Train for logger.print_freq iterations.')
    draw_curves(runs, folder / 'curves.png')
    window = common_window(runs)
    print(f'At the end of each training, losses as {window.words}:')
    for run in runs:
        print(f'- {run.sentence(window)}')
    print(f'Picture: {folder / "curves.png"}')
