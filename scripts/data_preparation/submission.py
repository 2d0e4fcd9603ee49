"""Restored crops of SIDD and DND in the files that their servers evaluate."""

import base64
import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.io
from archives import images, new_folder
from matlab_files import CROPS, SCENES, crop_name

from basicsr_ext.errors import DataError, refuse_if_any
from basicsr_ext.images.file_io import LEVELS, read_image_file
from basicsr_ext.runtime.files import atomic_open
from basicsr_ext.runtime.progress import with_progress


@dataclass(frozen=True)
class Benchmark:
    """What is restored.

    Attributes:
        shape: number of images, and of crops of each.
        side: of a crop, in pixels.
        depths: types of the pixels that may be submitted.
    """

    shape: tuple[int, int]
    side: int
    depths: tuple[str, ...]


BENCHMARKS = {
    'SIDD': Benchmark((40, 32), 256, ('uint8',)),
    'DND': Benchmark((SCENES, CROPS), 512, ('uint8', 'uint16')),
}


def submit(name: str, restored: Path, output: Path, seconds: float = 0.0, method: str = '') -> None:
    """Pack what was restored.

    Args:
        name: `SIDD` or `DND`.
        restored: folder of the images 0001_01.png and so on, as `prepare.py unpack` numbers the degraded ones.
        output: new folder.
        seconds: of SIDD, that a megapixel took; 0 where it was not measured, as in the authors' example.
        method: of SIDD, the name to write into the file.

    Raises:
        DataError: an image is missing or of another size or depth; there are files in the folder.
    """
    if output.exists() and any(output.iterdir()):
        raise DataError(f'-o {output}', 'a new folder', 'one with files', 'Name another.')
    crops = read_crops(BENCHMARKS[name], restored)
    with new_folder(output) as made:
        if name == 'DND':
            write_dnd(crops, made)
        else:
            write_sidd(crops, made, seconds, method)
    print(f'{output}: {crops.size} crops.')


def read_crops(benchmark: Benchmark, folder: Path) -> np.ndarray:
    """All crops of a benchmark: images x crops, each height x width x 3, RGB.

    Raises:
        DataError: one is missing or of another size or depth.
    """
    there = {path.name for path in images(folder)}
    places = list(np.ndindex(*benchmark.shape))
    missing = [crop_name(*place) for place in places if crop_name(*place) not in there]
    refuse_if_any(missing, f'{len(places)} restored crops, missing', 'Add them.', str(folder))
    crops = np.empty(benchmark.shape, dtype=object)
    for place in with_progress(places, 'Reading', len(places)):
        file = folder / crop_name(*place)
        crop = read_image_file(file)
        if crop.shape != (benchmark.side, benchmark.side, 3) or crop.dtype.name not in benchmark.depths:
            expected = f'{benchmark.side} x {benchmark.side} x 3 pixels of {" or ".join(benchmark.depths)}'
            raise DataError(str(file), expected, f'{crop.shape} of {crop.dtype}', 'Restore the crops as they are.')
        crops[place] = crop
    return crops


def write_sidd(crops: np.ndarray, folder: Path, seconds: float, method: str) -> None:
    """Write `SubmitSrgb.mat`, as the authors' example does, and `SubmitSrgb.csv`, which their competition asks for.

    Args:
        crops: images x blocks, each height x width x 3, RGB, 8 bits.
        folder: to write to.
        seconds, method: as in `submit`.
    """
    content = {'DenoisedBlocksSrgb': crops, 'TimeMPSrgb': seconds, 'OptionalData': {'MethodName': method}}
    scipy.io.savemat(folder / 'SubmitSrgb.mat', content, do_compression=True)
    with atomic_open(folder / 'SubmitSrgb.csv', 'w') as file:
        rows = csv.writer(file, lineterminator='\n')
        rows.writerow(['ID', 'BLOCK'])
        for number, block in enumerate(crops.flat):
            rows.writerow([number, base64.b64encode(block.tobytes()).decode('ascii')])


def write_dnd(crops: np.ndarray, folder: Path) -> None:
    """Write `0001_01.mat` and so on, and in `bundled` a file for each image, which the server asks for.

    Args:
        crops: images x crops, each height x width x 3, RGB, 8 or 16 bits.
        folder: to write to.
    """
    bundled = folder / 'bundled'
    bundled.mkdir()
    for scene, row in enumerate(with_progress(crops, 'Writing', len(crops))):
        restored = np.empty((1, len(row)), dtype=object)
        for number, crop in enumerate(row):
            restored[0, number] = np.float32(crop) / np.float32(LEVELS[crop.dtype.name])
            name = Path(crop_name(scene, number)).with_suffix('.mat')
            scipy.io.savemat(folder / name, {'Idenoised_crop': restored[0, number]})
        content = {'Idenoised': restored, 'israw': False, 'eval_version': '1.0'}
        scipy.io.savemat(bundled / f'{scene + 1:04d}.mat', content)
