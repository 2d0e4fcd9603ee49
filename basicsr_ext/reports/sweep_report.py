"""A sweep in; `sweep.md .csv .json .png .html` out."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from basicsr_ext.reports.asked import asked_of
from basicsr_ext.reports.page import Links, Paragraph, Section, picture_of, write_page
from basicsr_ext.reports.sweep_picture import draw_sweep
from basicsr_ext.reports.sweep_table import HEADS, Swept, best_in_words, lines_of, records_of, table_of
from basicsr_ext.runtime.figures import save_figure
from basicsr_ext.runtime.files import atomic_open, write_json

STEM = 'sweep'


def write_sweep(swept: Swept, folder: Path, asked: Mapping[str, Any], made_from: Mapping[str, Any]) -> None:
    """Write what a sweep found, the JSON file last.

    Args:
        swept: its rows.
        folder: where the files come.
        asked: the options as they stand in the option file.
        made_from: all that decided the rows.
    """
    with atomic_open(folder / f'{STEM}.md', 'w') as file:
        file.write('\n'.join([f'# {swept.name}', '', *lines_of(swept)]) + '\n')
    records = records_of(swept)
    with atomic_open(folder / f'{STEM}.csv', 'w') as file:
        writer = csv.DictWriter(file, list(records[0]), lineterminator='\n')
        writer.writeheader()
        writer.writerows(records)
    figure = draw_sweep(swept)
    save_figure(figure, folder / f'{STEM}.png')
    links = Links({f'{STEM}.{end}': f'{STEM}.{end}' for end in ('md', 'csv', 'json', 'png')})
    metric = next(iter(swept.metrics))
    shown = picture_of(figure, f'{metric} of every row, by data sets')
    sections = [
        Section('Rows', [*(table_of(swept, data_set) for data_set in swept.means), shown]),
        Section('How to read it', [Paragraph(note) for note in swept.notes]),
        Section('Files', [links]),
    ]
    lead = ' '.join(best_in_words(swept, data_set) for data_set in swept.means)
    write_page(folder / f'{STEM}.html', f'{swept.name}: every {HEADS[swept.kind]}', lead, asked_of(asked), sections)
    write_json(
        folder / f'{STEM}.json',
        {'name': swept.name, 'made_from': dict(made_from), 'rows': records, 'per_image': swept.found},
    )
