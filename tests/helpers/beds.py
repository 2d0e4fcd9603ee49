"""The data sets of the option files, made up, in the folders that prepare.py fills: their names, endings and depths."""

import sys
from pathlib import Path

import cv2
import numpy as np

from tests.helpers.option_files import REPOSITORY

_SCRIPTS = str(REPOSITORY / 'scripts' / 'data_preparation')
sys.path.insert(0, _SCRIPTS)
import data_sets  # noqa: E402

sys.path.remove(_SCRIPTS)

SMALL, TRAINED_ON = (60, 48), (144, 132)  # height and width; patches of 64 and 128 pixels fit into what is trained on
SIZES = {'DIV2K': (216, 204), 'BSD400': (180, 168), 'BSD400_gray': (180, 168), 'Rain100L': (321, 481)}
CLEAN = (*SIZES, 'Flickr2K', 'WED', 'ImageNet')
GREY = ('BSD400_gray', 'Set12', 'BSD68', 'classic5', 'LIVE1')
DEEP = ('DPDD', 'DND')  # 16 bits
HAZY = {'input': ('0001_0.8_0.2', '0001_1_0.04', '0002_0.9_0.1'), 'target': ('0001', '0002')}
SUFFIXES = {'*g': '.png', '*G': '.jpg'}


def lay_out(root: Path) -> None:
    """Two pictures in every folder of every data set; of haze several belong to one clear picture."""
    rng = np.random.default_rng(0)
    for name, known in data_sets.DATA.items():
        for part in known.parts:
            folder = root / 'datasets' / part.folder
            folder.mkdir(parents=True, exist_ok=True)
            ending = SUFFIXES.get(part.members[-2:], part.members[part.members.rindex('.') :].lower())
            stems = HAZY[folder.name] if name in ('ITS', 'OTS', 'SOTS') else ('a', 'b')
            for stem in stems:
                if part.folder.endswith('X2') and name == 'DIV2K':
                    stem = f'{stem}x2'
                picture = draw(rng, name, part.folder)
                cv2.imwrite(str(folder / f'{stem}{ending}'), picture)


def draw(rng: np.random.Generator, name: str, folder: str) -> np.ndarray:
    """A random picture of a data set."""
    is_trained_on = name in CLEAN and '/test/' not in folder or '/train/' in folder
    height, width = SIZES.get(name, TRAINED_ON) if is_trained_on else SMALL
    if folder.endswith(('X2', 'LRbicx2')):
        height, width = height // 2, width // 2
    shape = (height, width) if name in GREY else (height, width, 3)
    return rng.integers(0, 65536, shape, np.uint16) if name in DEEP else rng.integers(0, 256, shape, np.uint8)
