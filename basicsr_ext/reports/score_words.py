"""What the scores of images and patches are, in words: for pictures and tables that are seen alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import isnan
from typing import Any

from basicsr_ext.selection.coreset.stored import INFLUENCE


@dataclass(frozen=True)
class ScoreWords:
    """What a score is.

    Attributes:
        says: what is measured; '' of a score that a user registered.
        larger: what a larger value means.
        unit: of the values, with where they lie; '' where it is not known.
        together: the images were chosen together, so that the order is that of the choice.
    """

    says: str = ''
    larger: str = ''
    unit: str = ''
    together: bool = False

    def label(self, name: str) -> str:
        """The name with the unit, for an axis."""
        return f'{name} [{self.unit}]' if self.unit else name

    def sentence(self, name: str) -> str:
        """All of it in one line; '' where nothing is known."""
        if not self.says:
            return ''
        return f'{name}: {self.says}; larger means {self.larger}; {self.unit}.'


UNKNOWN = ScoreWords()


def shown_score(score: float, digits: int) -> str:
    """A score in so many digits, or that there is none."""
    return 'not scored' if isnan(score) else f'{score:.{digits}g}'


HELPS = 'that it helps more, below 0 it harms'

MEASURES = {  # of groups of images: Table 6 of the influence paper
    'IQA': ScoreWords(
        'sharpness without a reference (MGVG, Zhan and Zhang 2018), from the largest gradient and the spread of the '
        'gradients',
        'sharper, or noisier',
        'from 0, no unit',
    ),
    'HFAPI': ScoreWords(
        'mean of the stretched spectrum outside its centre square', 'more fine detail or noise', '0 to 0.96, no unit'
    ),
    'LFAPI': ScoreWords(
        'mean of the stretched spectrum within its centre square, over the whole area',
        'more coarse structure',
        '0 to 0.04, the area of the square; no unit',
    ),
}

PATCHES = {  # criteria of `mine`; images are in [0, 1]
    'grad': ScoreWords('mean squared difference of neighbouring pixels', 'more edges and texture', '0 to 2, no unit'),
    'grad_mag': ScoreWords('mean magnitude of the gradient', 'more edges and texture', '0 to 1.42, no unit'),
    'std': ScoreWords('standard deviation of the pixels', 'more contrast', '0 to 0.5, parts of the range of pixels'),
    'freq': ScoreWords('power above half of the highest frequency', 'more fine detail', 'from 0, no unit'),
    'loss': ScoreWords('mean squared error of the network on the patch alone', 'harder for it', 'from 0, no unit'),
    'influence': ScoreWords(
        "predicted rise of the target's mean squared error without an image of such patches",
        HELPS,
        'units of the mean squared error',
    ),
    'random': ScoreWords('a random number', 'nothing', '0 to 1, no unit'),
}

COMPLEXITIES = {
    'entropy': ScoreWords('entropy of the histogram of grey levels', 'more complex', 'bits, 0 to 8'),
    'std': ScoreWords('standard deviation of the grey levels', 'more contrast', '8-bit levels, 0 to 127.5'),
    'gradient': ScoreWords('mean magnitude of the gradient', 'more edges and texture', '8-bit levels per pixel'),
    'scorer': ScoreWords('judgement of the trained scorer', 'more complex', 'no unit'),
}


def words_of_ranking(header: Mapping[str, Any], name: str) -> ScoreWords:
    """What a column of scores of a ranking is.

    Args:
        header: of its manifest.
        name: of the column.
    """
    method, settings = str(header.get('method')), (header.get('options') or {}).get('rank') or {}
    if name.startswith(INFLUENCE):
        return _of_rise(header, 'predicted rise of the loss of this image of the target without the image', HELPS)
    if 'features' in settings:  # images are chosen together
        says = "predicted fall of the target's loss by all images up to this one"
        return replace(_of_rise(header, says, 'a lower loss'), together=True)
    if not name.startswith(method):
        return UNKNOWN
    if method == 'complexity':
        return COMPLEXITIES.get(settings.get('criterion', 'entropy'), UNKNOWN)
    if name == method and settings.get('levels'):
        return ScoreWords('mean over the levels of the place in each ranking', 'a better place', '0 to 1, no unit')
    return {
        'influence': _of_rise(header, "predicted rise of the target's mean loss without the image", HELPS),
        'graddot': ScoreWords(
            "product of the image's gradient with the target's", 'a more similar direction', 'no unit'
        ),
        'loss': _of_loss(settings, 'loss of the network on the image', 'harder for it'),
        'random': PATCHES['random'],
    }.get(method, UNKNOWN)


def _of_rise(header: Mapping[str, Any], says: str, larger: str) -> ScoreWords:
    """What is predicted, in units of `rank.grad_loss` where the header says so: not between features of an encoder, nor
    by a loss without curvature, nor in rankings of earlier versions, which left that out."""
    settings = (header.get('options') or {}).get('rank') or {}
    return _of_loss(settings, says, larger) if header.get('unit') else ScoreWords(says, larger, 'no unit')


def _of_loss(settings: Mapping[str, Any], says: str, larger: str) -> ScoreWords:
    """What is measured in units of `rank.grad_loss`."""
    loss = (settings.get('grad_loss') or {}).get('type')
    return ScoreWords(says, larger, f'units of {loss}' if loss is not None else 'no unit')


def explained(known: Mapping[str, ScoreWords], names: Iterable[str]) -> list[str]:
    """A line for each name that is known."""
    lines = (known.get(name, UNKNOWN).sentence(name) for name in names)
    return [line for line in lines if line]
