"""The page of a calibration."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
    lead = f'{images["number"]} images, {images["regions"]} regions, no budget: every pointer and threshold is below.'
    if chosen is not None:
        lead = (
            f'Chosen: {_name(chosen)}, at {chosen["macs"]:.4f} of the MACs of the full network and '
            f'{chosen["measured_ms_per_megapixel"]:.1f} ms per megapixel, {_agreement(chosen)}.'
        )
    operations = [*content['pointers'], *content['thresholds']]
    rows = [[_name(each), *_cells(each)] for each in operations]
    if chosen is not None:
        rows.insert(0, [f'chosen: {_name(chosen)}', *_cells(chosen)])
    exits = [f'exit {number}' for number in range(1, len(operations[0]['exits']) + 1)]
    heads = ['choice', 'PSNR to the full network [dB]', 'MACs', 'ms per megapixel', *exits]
    caption = 'MACs in parts of the full network; of each exit the part of the pixels; no PSNR where images are equal.'
    picture = picture_at(
        result.with_name('calibration.png'), 'Agreement with the full network over cost, and cost over threshold'
    )
    sections = [
        Section('Cost and agreement', [picture]),
        Section('Choices', [Table(heads, rows, caption, None if chosen is None else 0)]),
    ]
    write_page(page, title_of('calibrate', content['name']), lead, asked_of(content['options']), sections)


def _name(operation: Mapping[str, Any]) -> str:
    pointer, threshold = operation['pointer'], operation['threshold']
    return f'pointer {pointer}' if threshold is None else f'threshold {threshold:.5g}'


def _agreement(operation: Mapping[str, Any]) -> str:
    psnr = operation['psnr']
    return 'equal to the full network' if psnr is None else f'{psnr:.2f} dB from the full network'


def _cells(operation: Mapping[str, Any]) -> list[str]:
    psnr = operation['psnr']
    return [
        '-' if psnr is None else f'{psnr:.2f}',
        f'{operation["macs"]:.4f}',
        f'{operation["ms_per_megapixel"]:.1f}',
        *(f'{share:.0%}' for share in operation['exits']),
    ]
