"""The words around the pictures of mined patches."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from basicsr_ext.reports.score_words import PATCHES, UNKNOWN, explained
from basicsr_ext.runtime.figures import Caption, sizes_in_words


@dataclass(frozen=True)
class PatchCaptions:
    """What is known of the patches.

    Attributes:
        patches: how many there are.
        sizes: of their images, (height, width).
    """

    patches: int
    sizes: Sequence[tuple[int, int]]

    def histograms(self, criteria: Iterable[str]) -> Caption:
        """Of what was measured."""
        return Caption(f'{self._of_images()}: what was measured on them', explained(PATCHES, criteria))

    def sheet(self, criterion: str, size: int) -> Caption:
        """Of the patches themselves.

        Args:
            criterion: that they are sorted by.
            size: side of a patch in pixels.
        """
        label = PATCHES.get(criterion, UNKNOWN).label(criterion)
        crop = (
            f'Each is a crop of {size} x {size} pixels of an image of {sizes_in_words(self.sizes)}. Below it: the '
            f'file, the place of the upper left corner in pixels, {criterion}.'
        )
        return Caption(f'{self._of_images()}, sorted by {label}', [*explained(PATCHES, [criterion]), crop])

    def _of_images(self) -> str:
        return f'{self.patches:,} patches of {len(self.sizes):,} images'
