"""The words around the pictures of mined patches."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from basicsr_ext.reports.score_words import PATCHES, UNKNOWN, explained
from basicsr_ext.runtime.figures import Caption, sizes_in_words
from basicsr_ext.selection.patches.choice import Keep


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


def kept_in_words(keep: Keep, per_image: bool, number: int) -> str:
    """By which rule patches are kept.

    Args:
        keep, per_image: of `keep_patches`.
        number: of the patches that are kept.
    """
    of = 'of each image' if per_image else 'of all images'
    if not isinstance(keep, (int, float)):
        low, high = keep
        return f'Kept: patches {of} from the quantile {low:g} to {high:g} of the values, {number:,} in all.'
    part = f'{keep:.3g} of the' if isinstance(keep, float) else f'{keep:,}'
    return f'Kept: {part} patches {of}, those with the largest values, {number:,} in all.'
