"""The words around the pictures of a ranking of images."""

from collections.abc import Sequence
from dataclasses import dataclass

from basicsr_ext.reports.score_words import ScoreWords, explained
from basicsr_ext.reports.spectrum import CENTRE
from basicsr_ext.runtime.figures import Caption, sizes_in_words

THUMBNAIL = 160  # longest side in pixels
GROUPS = 3  # Top, Mid, Bottom
Sizes = tuple[tuple[int, int], tuple[int, int]]  # height and width of what is shown, and of the image


@dataclass(frozen=True)
class RankingCaptions:
    """What is known of the images and their scores.

    Attributes:
        name: of the score.
        words: what it is.
        images: how many were ranked.
        group: images of a group.
        sizes: of the images that are shown of all groups, before they were reduced.
    """

    name: str
    words: ScoreWords
    images: int
    group: int
    sizes: Sequence[Sizes]

    @property
    def label(self) -> str:
        """The score with its unit."""
        return self.words.label(self.name)

    @property
    def gallery(self) -> Caption:
        """Of the images of the groups."""
        shown = len(self.sizes) // GROUPS
        some = f', {shown} of each shown' if shown < self.group else ''
        title = f'{self.images} images ranked by {self.label}: groups of {self.group}{some}'
        images = f'{extent(self.sizes)}, reduced to at most {THUMBNAIL} pixels a side. Above each: file, rank, score.'
        return Caption(title, [*self._score, images])

    @property
    def histogram(self) -> Caption:
        """Of the scores."""
        return Caption(f'How {self.name} is distributed over {self.images} images', self._score)

    @property
    def spectra(self) -> Caption:
        """Of the spectra."""
        example = 'Examples: the first image of Top, the middle one of Mid, the last one of Bottom, each with its rank.'
        spectrum = (
            'Spectrum: logarithm of the magnitude of the Fourier transform of the grey image, frequency 0 in the '
            f'centre, 0.5 cycles per pixel at the sides. Dashed: the centre square, frequencies up to {CENTRE / 2:g} '
            'cycles per pixel, which separates coarse structure from fine detail.'
        )
        return Caption(f'Spectra of images ranked by {self.label}', [*self._score, example, spectrum])

    @property
    def _score(self) -> list[str]:
        return explained({self.name: self.words}, [self.name])


def extent(sizes: Sequence[Sizes]) -> str:
    """Whether images or parts of them are shown, and of which size."""
    shown, whole = [shown for shown, _ in sizes], [whole for _, whole in sizes]
    if shown == whole:
        return f'Whole images of {sizes_in_words(whole)}'
    return f'Crops of {sizes_in_words(shown)} out of images of {sizes_in_words(whole)}'
