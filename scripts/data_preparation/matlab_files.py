"""The images in the MATLAB files of SIDD and DND, one PNG each: `0001_01.png` is the first block of the first image."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import scipy.io

from basicsr_ext.errors import DataError
from basicsr_ext.images.file_io import encode_image_file

SCENES, CROPS = 50, 20  # of DND
Image = tuple[str, Callable[[], BinaryIO]]


def encoded_images(file: Path) -> Iterator[Image]:
    """The images in one of the files, or beside it: name, and what opens its PNG.

    Args:
        file: `...BlocksSrgb.mat` of SIDD, or the `info.mat` of DND, beside whose folder `images_srgb` it lies.

    Raises:
        DataError: it is damaged or another file; h5py is not there, which DND needs.
    """
    return dnd_crops(file) if file.name == 'info.mat' else sidd_blocks(file)


def sidd_blocks(file: Path) -> Iterator[Image]:
    """The blocks of SIDD: an array of images x blocks x height x width x 3, RGB, 8 bits, under the name of the file.

    Raises:
        DataError: it is damaged or another file.
    """
    try:
        blocks = scipy.io.loadmat(file).get(file.stem)
    except (ValueError, TypeError, NotImplementedError, scipy.io.matlab.MatReadError) as error:
        raise DataError(str(file), 'a whole file of MATLAB', error, 'Download it again.') from error
    if not isinstance(blocks, np.ndarray) or blocks.ndim != 5 or blocks.dtype != np.uint8:
        raise DataError(str(file), f'blocks of 8 bits named {file.stem}', 'others', 'Download it from its authors.')
    for image, block in np.ndindex(*blocks.shape[:2]):
        yield crop_name(image, block), _png(lambda image=image, block=block: blocks[image, block])


def dnd_crops(info: Path) -> Iterator[Image]:
    """The crops of DND that are restored, 20 of each of 50 images, in 16 bits.

    The files are HDF5 with the axes of MATLAB: 3 x width x height, RGB, [0, 1]; the corners of a crop count from 1 and
    are both inside.

    Raises:
        DataError: h5py or an image is not there.
    """
    h5py = _h5py(info)
    with h5py.File(info, 'r') as opened:
        described = opened['info']
        boxes = [np.array(described[described['boundingboxes'][0][scene]]).T for scene in range(SCENES)]
    for scene in range(SCENES):
        image = info.parent / 'images_srgb' / f'{scene + 1:04d}.mat'
        if not image.is_file():
            raise DataError(str(image), 'an image of DND', 'no file', 'Unpack the whole archive.')
        for crop, box in enumerate(boxes[scene]):
            yield crop_name(scene, crop), _png(lambda image=image, box=box: _dnd_crop(h5py, image, box))


def _h5py(info: Path) -> Any:
    try:
        import h5py
    except ImportError as error:
        advice = 'Run pip install h5py, then the same command again.'
        raise DataError(str(info), 'h5py, which reads files of MATLAB 7.3', 'none', advice) from error
    return h5py


def _dnd_crop(h5py: Any, file: Path, box: np.ndarray) -> np.ndarray:
    top, left, bottom, right = (int(corner) for corner in box[:4])
    with h5py.File(file, 'r') as opened:
        noisy = np.array(opened['InoisySRGB'][:, left - 1 : right, top - 1 : bottom]).T
    return np.rint(np.clip(noisy, 0, 1) * 65535).astype(np.uint16)


def crop_name(image: int, block: int) -> str:
    """The name of a block, whose numbers begin at 0, as that of a file, where they begin at 1."""
    return f'{image + 1:04d}_{block + 1:02d}.png'


def _png(pixels: Callable[[], np.ndarray]) -> Callable[[], BinaryIO]:
    return lambda: io.BytesIO(encode_image_file('crop.png', pixels()))
