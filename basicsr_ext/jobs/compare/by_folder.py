"""The block of images that a job has written."""

from pathlib import Path

from basicsr_ext.errors import OptionError
from basicsr_ext.jobs.compare.asked import SetName
from basicsr_ext.jobs.compare.roles import Block

OF_FOLDERS = ('meta_info_file', 'filename_tmpl', 'gt_until')  # keys that say what of a folder is read


def require_folder(pool: Block, name: SetName) -> None:
    """Demand a training set whose folder can be replaced.

    Raises:
        OptionError: it reads something else.
    """
    if 'dataset' in pool or 'datasets' in pool or not isinstance(pool.get('dataroot_gt'), str):
        raise OptionError(f'--sets {name}', 'a training set that reads one folder', pool['type'], 'Leave it out.')


def written(pool: Block, folder: Path) -> Block:
    """The block of the pool with the images of another folder, `gt/` and perhaps `lq/`."""
    block = {key: value for key, value in pool.items() if key not in OF_FOLDERS}
    block['dataroot_gt'] = str(folder / 'gt')
    if 'dataroot_lq' in block:
        block['dataroot_lq'] = str(folder / 'lq')
    return {**block, 'io_backend': {'type': 'disk'}}
