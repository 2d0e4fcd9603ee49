"""The measures of Table 6 of the influence paper on a folder of images: which reading gives values of the paper's size?

    python scripts/reproduce/detail_measures.py --folder datasets/BSD400_gray

Prints mean and standard deviation over the images. The paper tells IQA 0.27 to 0.37, HFAPI 0.36 to 0.39 and LFAPI
0.024 to 0.028 of its three groups, and neither the range of the pixels nor what was done to the values.
"""

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
import torch

import basicsr_ext  # noqa: F401  repairs BasicSR, so it comes before its modules

# isort: split
from basicsr_ext.metrics.mgvg import BALANCE, TRIMMED, Operator, gradients, mgvg
from basicsr_ext.reports.spectrum import hfapi, lfapi, spectrum_picture

OPERATORS: tuple[Operator, ...] = ('forward', 'roberts')


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--folder', type=Path, default=Path('datasets/BSD400_gray'), help='of images')
    folder = parser.parse_args().folder
    images = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in sorted(folder.glob('*.*'))]
    if not images or any(image is None for image in images):
        raise SystemExit(f'{folder}: expected a folder of images, got {len(images)} files. Name one by --folder.')
    measured = [measure(image / 255) for image in images]
    columns = {name: np.array([values[name] for values in measured]) for name in measured[0]}
    for operator in OPERATORS:
        published = columns[f'IQA {operator}, pixels in [0, 255]']
        columns[f'IQA {operator}, stretched to [0, 1] over the images'] = stretched(published)
    for name, values in sorted(columns.items()):
        print(f'| {name} | {values.mean():.4g} | {values.std():.2g} |')
    return 0


def measure(image: np.ndarray) -> dict[str, float]:
    """All readings of an image, (H, W) in [0, 1]."""
    grey, spectrum = torch.from_numpy(image)[None], spectrum_picture(image)
    found = {'HFAPI': hfapi(spectrum), 'LFAPI': lfapi(spectrum)}
    for operator in OPERATORS:
        found[f'IQA {operator}, pixels in [0, 255]'] = float(mgvg(255 * grey, operator))
        found[f'IQA {operator}, pixels in [0, 1]'] = float(mgvg(grey, operator))
        found[f'IQA {operator}, pixels in [0, 1], deviation for VG'] = with_deviation(grey, operator)
    return found


def with_deviation(grey: torch.Tensor, operator: Operator) -> float:
    """MG^b s^(1 - b), with the standard deviation s of the gradients in the place of VG."""
    border = round(min(grey.shape[-2:]) * TRIMMED)
    inner = gradients(grey, operator)[:, border:-border, border:-border]
    return float(inner.max() ** BALANCE * inner.std(correction=0) ** (1 - BALANCE))


def stretched(values: np.ndarray) -> np.ndarray:
    """Values from 0 for the smallest to 1 for the largest."""
    result: np.ndarray = (values - values.min()) / (values.max() - values.min())
    return result


if __name__ == '__main__':
    sys.exit(main())
