"""The page of a calibration."""

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from basicsr_ext.inference.calibration import Operation, name_of
from basicsr_ext.reports.asked import asked_of
from basicsr_ext.reports.beside import title_of
from basicsr_ext.reports.page import Section, Table, picture_at, write_page


def write_calibration_page(result: Path, page: Path) -> None:
    """Write what a calibration chose, and what every pointer and threshold does.

    Args:
        result: `calibration.json`, with `calibration.png` beside it.
        page: the file.
    """
    content = json.loads(result.read_text(encoding='utf-8'))
    chosen, images = content['chosen'], content['images']
    lead = f'{images["number"]} images, {images["regions"]} regions, no budget: what every choice does is below.'
    if chosen is not None:
        lead = (
            f'Chosen: {_name(chosen)}, because {chosen["reason"]}; at {chosen["macs"]:.4f} of the MACs of the full '
            f'network and {chosen["measured_ms_per_megapixel"]:.1f} ms per megapixel, {_agreement(chosen)}.'
        )
    operations = [*content['pointers'], *content['thresholds'], *content['budgets']]
    rows = [[_name(each), *_cells(each)] for each in operations]
    if chosen is not None:
        rows.insert(0, [f'chosen: {_name(chosen)}', *_cells(chosen)])
    exits = [f'exit {number}' for number in range(1, len(operations[0]['exits']) + 1)]
    heads = ['choice', 'PSNR to the full network [dB]', 'PSNR to the truth [dB]', 'MACs', 'ms per megapixel', *exits]
    caption = 'MACs in parts of the full network; of each exit the part of the pixels; no PSNR where images are equal.'
    picture = picture_at(
        result.with_name('calibration.png'), 'Agreement with the full network over cost, and shares of an oracle'
    )
    sections = [
        Section('Cost and agreement', [picture]),
        Section('Who goes on', [_shares(content['rules'])]),
        Section('Choices', [Table(heads, rows, caption, None if chosen is None else 0)]),
    ]
    write_page(page, title_of('calibrate', content['name']), lead, asked_of(content['options']), sections)


def _shares(judged: Mapping[str, Any]) -> Table:
    """What each rule brings of an oracle's gain."""
    rows = [
        [' + '.join(rule['scores']), rule['leave'] or 'as fitted', f'{rule["share_of_oracle"]:.0%}']
        for rule in judged['rules']
    ]
    rows.append(['pointers mixed at random', '-', f'{judged["mixed_pointers"]:.0%}'])
    caption = (
        f'Shares of what an oracle gains over the first exit with a budget of {judged["budget"]:.4g}, on images that '
        'the rule was not fitted on. Leave: on which side regions leave that have less to gain.'
    )
    return Table(['scores', 'leave', "share of the oracle's gain"], rows, caption, 0)


def _name(operation: Mapping[str, Any]) -> str:
    return name_of(Operation(**{field.name: operation[field.name] for field in fields(Operation)}))


def _agreement(operation: Mapping[str, Any]) -> str:
    psnr = operation['psnr']
    return 'equal to the full network' if psnr is None else f'{psnr:.2f} dB from the full network'


def _cells(operation: Mapping[str, Any]) -> list[str]:
    return [
        *('-' if operation[key] is None else f'{operation[key]:.2f}' for key in ('psnr', 'truth')),
        f'{operation["macs"]:.4f}',
        f'{operation["ms_per_megapixel"]:.1f}',
        *(f'{share:.0%}' for share in operation['exits']),
    ]
