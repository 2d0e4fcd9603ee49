"""The page of a distilled dataset."""

from pathlib import Path

from basicsr_ext.reports.asked import asked_of_result
from basicsr_ext.reports.beside import title_of
from basicsr_ext.reports.page import Links, Part, Section, Table, picture_at, write_page
from basicsr_ext.reports.thumbnails import shown_at, thumbnail_of
from basicsr_ext.runtime.spread import spread_to_ends
from basicsr_ext.selection.manifest import read_manifest

SHOWN, LISTED = 6, 20  # images in pictures, and in the table
KINDS = {'gt': 'clean', 'lq': 'input'}
DRAWN = {'gallery.png': 'Some synthetic images: at the start, now, and the change', 'loss.png': 'The matching loss'}


def write_distillation_page(result: Path, page: Path) -> None:
    """Write what was made: some pairs, what they come from, the matching loss.

    Args:
        result: `manifest.parquet`, with the images and the pictures beside it.
        page: the file.

    Raises:
        ImageError: its images are no longer there.
    """
    manifest, folder = read_manifest(result), result.parent
    paths, synthetic = manifest.column('path'), manifest.column('synthetic')
    made = sum(synthetic)
    lead = f'{len(paths)} pairs, of which {len(paths) - made} are kept from real images and {made} are synthetic.'
    pairs: list[Part] = []
    for row in spread_to_ends(SHOWN, len(paths)):
        for kind, words in KINDS.items():
            pairs.append(thumbnail_of(shown_at(folder / kind / paths[row]), f'{paths[row]}, {words}'))
    drawn = [picture_at(folder / name, text) for name, text in DRAWN.items() if (folder / name).is_file()]
    rows = list(zip(paths, map(_kind, synthetic), manifest.column('source'), strict=True))
    left_out = f' {len(rows) - LISTED} more are in the manifest.' if len(rows) > LISTED else ''
    table = Table(['image', 'kind', 'from'], rows[:LISTED], f'The images and what they come from.{left_out}')
    files = {'clean images': 'gt/', 'inputs': 'lq/', 'list for BasicSR': 'meta_info.txt', 'manifest': result.name}
    sections = [
        Section('Pairs', pairs),
        *([Section('Matching', drawn)] if drawn else []),
        Section('Sources', [table]),
        Section('Files', [Links(files)]),
    ]
    write_page(page, title_of('distill', folder.name), lead, asked_of_result(manifest.header), sections)


def _kind(synthetic: int) -> str:
    return 'synthetic' if synthetic else 'real'
