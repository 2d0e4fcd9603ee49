"""Images of any size through a network: whole while they are small, in tiles that fit into memory otherwise."""

from dataclasses import replace

import numpy as np
from basicsr.utils import get_root_logger

from basicsr_ext.errors import OUT_OF_MEMORY, OptionError
from basicsr_ext.inference.restorer import Restorer

WHOLE = 2**20  # pixels of an image that is restored as it is
SIDE, LEAST = 512, 64  # of tiles, in pixels: the first that are tried, and the last
OVERLAP = 32  # pixels


class FittingTiles:
    """Restores images, those above a megapixel in overlapping tiles, which are blended.

    Where memory is too small for a tile, its side is halved for this image and all that follow.

    Args:
        restorer: whose settings say how smaller images are restored.
        overlap: pixels that neighbouring tiles share; None for 32.

    Raises:
        OptionError: an overlap as long as the side of the tiles.
    """

    def __init__(self, restorer: Restorer, overlap: int | None = None) -> None:
        self.restorer, self.overlap = restorer, OVERLAP if overlap is None else overlap
        if not 0 <= self.overlap < SIDE:
            raise OptionError('--overlap', f'0 to {SIDE - 1} without --tile', self.overlap, 'Correct it.')
        self.whole, self.side = WHOLE, SIDE

    def restore(self, image: np.ndarray) -> np.ndarray:
        """Restore an image; see `Restorer.restore`.

        Raises:
            MemoryError, RuntimeError: even the smallest tiles take too much memory.
        """
        while True:
            in_tiles = image.shape[0] * image.shape[1] > self.whole
            overlap = min(self.overlap, self.side // 2)
            tiles = replace(self.restorer.settings, regions=None, region_size=self.side, overlap=overlap)
            try:
                return self.restorer.restore(image, tiles if in_tiles else None)
            except (MemoryError, RuntimeError) as error:
                lacks_memory = isinstance(error, MemoryError) or any(sign in str(error) for sign in OUT_OF_MEMORY)
                if not lacks_memory or (in_tiles and self.side <= LEAST):
                    raise
            if in_tiles:
                self.side //= 2
            else:
                self.whole = 0
            get_root_logger().warning(f'Memory is too small for this image: tiles of {self.side} pixels.')
