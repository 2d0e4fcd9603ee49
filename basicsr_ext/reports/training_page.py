"""The page of a training."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from basicsr_ext.reports.asked import asked_of
from basicsr_ext.reports.beside import title_of
from basicsr_ext.reports.page import Links, Paragraph, Part, Section, Table, picture_at, write_page

LISTED = 5  # of the weights of single iterations, the last ones
DRAWN = {
    'training_curve.png': 'Losses and validation over the iterations',
    'warmup_patch.png': 'A patch, and what the pixel-shuffled warm-up makes of it',
}
Lines = Sequence[Mapping[str, Any]]


def write_training_page(asked: Mapping[str, Any], log: Path, page: Path) -> None:
    """Write how far a training is: its curve, its validations, its weights.

    Args:
        asked: the options as they stand in the option file, with `train.total_iter`.
        log: `training_log.jsonl`, in the folder of the experiment.
        page: the file.
    """
    lines: Lines = [json.loads(line) for line in log.read_text(encoding='utf-8').splitlines()]
    validations = [line for line in lines if 'validation' in line]
    done, total = lines[-1]['iter'] if lines else 0, int(asked['train']['total_iter'])
    drawn = [picture_at(log.with_name(name), text) for name, text in DRAWN.items() if log.with_name(name).is_file()]
    sections = [
        *([Section('Curve', drawn)] if drawn else []),
        Section('Validation', _validation(validations, (asked.get('val') or {}).get('metrics') or {})),
        Section('Files', [Links(_files(log.parent))]),
    ]
    lead = f'{done} of {total} iterations are logged. {_last(validations)}'
    write_page(page, title_of('train', log.parent.name), lead, asked_of(asked), sections)


def _last(validations: Lines) -> str:
    if not validations:
        return 'Nothing is validated yet.'
    means = [
        f'{metric} {_number(value)} on {dataset}'
        for dataset, found in validations[-1]['validation'].items()
        for metric, value in list(found.items())[:1]
    ]
    return f'The last validation, of iteration {validations[-1]["iter"]}: {", ".join(means)}.'


def _validation(validations: Lines, metrics: Mapping[str, Any]) -> list[Part]:
    """The last and the best mean of each metric on each dataset."""
    if not validations:
        return [Paragraph('None yet.')]
    rows = []
    for dataset, found in validations[-1]['validation'].items():
        for metric, value in found.items():
            series = [(line['validation'].get(dataset, {}).get(metric), line['iter']) for line in validations]
            known = [(mean, iteration) for mean, iteration in series if mean is not None]
            cells = [dataset, metric, _number(value), '-', '-']
            if known and metric in metrics:  # what is measured beside the metrics is neither good nor bad
                is_lower = metrics[metric].get('better') == 'lower'
                best, iteration = (min if is_lower else max)(known, key=lambda mean: mean[0])
                cells[3:] = [_number(best), str(iteration)]
            rows.append(cells)
    return [Table(['data set', 'metric', 'last', 'best', 'at iteration'], rows)]


def _number(value: float | None) -> str:
    return '-' if value is None else f'{value:.4f}'


def _files(folder: Path) -> dict[str, str]:
    models = sorted(folder.glob('models/*'), key=lambda path: path.stat().st_mtime_ns)
    named = [path for path in models if not path.stem.rpartition('_')[2].isdecimal()]
    shown = [*named, *[path for path in models if path not in named][-LISTED:]]
    files = [*shown, *sorted(folder.glob('*.yml')), *sorted(folder.glob('*.json*'))]
    return {path.name: path.relative_to(folder).as_posix() for path in files}
