"""Blurred and enlarged clean images."""

import numpy as np

from basicsr_ext.selection.audit.findings import image_finding
from basicsr_ext.selection.audit.measured_image import MeasuredImage

KEPT = 0.98  # share of the whitened power below the cut-off
EMPTY = 1.0  # power of detail that is none; rounding alone has about 50 on each ring
NOISE_ALONE = 1.1  # times the Nyquist frequency: the corners of the spectrum, where pictures have next to nothing


@image_finding('cutoff', 'blurred or enlarged', 'of the Nyquist frequency', 'low', limit=0.66, step=0.1, absent=1)
def cutoff(image: MeasuredImage) -> float:
    """The frequency below which the detail of the image lies, as a part of the Nyquist frequency.

    Power of photographs falls with the square of the frequency (Field 1987), so that the power on rings times
    this square is nearly even up to the cut-off of a lens, a blur or an interpolation. The result is where 98 % of
    it up to the Nyquist frequency are reached. What the corners of the spectrum hold counts as the floor of the noise,
    and is subtracted first. Of an image without any detail there is none: NaN.
    """
    if not len(image.tiles):
        return np.nan
    rings = image.rings
    nyquist = image.tiles.shape[1] // 4
    frequency = (np.arange(len(rings)) + 0.5) / nyquist
    floor = rings[frequency > NOISE_ALONE].min()
    detail = (np.maximum(rings - floor, 0) * frequency**2)[:nyquist]
    detail[0] = 0  # the means
    if detail.sum() < EMPTY:
        return np.nan
    return float(np.interp(KEPT, np.cumsum(detail) / detail.sum(), frequency[:nyquist]))
