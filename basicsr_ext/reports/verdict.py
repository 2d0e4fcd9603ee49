"""The answer of a comparison in words, and the row to train on."""

from collections.abc import Sequence
from dataclasses import dataclass

from basicsr_ext.reports.comparison import FULL, RANDOM, Comparison, Judged
from basicsr_ext.reports.paired import seeds_for

WORTH = 0.1  # dB, a gain that is worth asking for


@dataclass(frozen=True)
class Verdict:
    """The answer.

    Attributes:
        sentences: the first one is the answer, the others say what else was seen.
        winner: the title of the row to train on.
    """

    sentences: Sequence[str]
    winner: str


def verdict(comparison: Comparison) -> Verdict:
    """The answer of a comparison."""
    judged = comparison.judged
    choices = [each for each in judged if each.over is not None and not each.row.is_full]
    better = sorted((each for each in choices if each.word == 'better'), key=_gain, reverse=True)
    worse = [each for each in choices if each.word == 'worse']
    full = next((each for each in judged if each.row.is_full), None)
    if comparison.seeds < 2:
        sentences, winner = [_one_seed(comparison)], max(judged, key=lambda each: _mean(each, comparison)).row.title
    elif better:
        sentences, winner = _use(better, comparison)
    else:
        sentences, winner = _nothing(judged, full, comparison)
    if worse and comparison.seeds > 1:
        named = '; '.join(_over(each, comparison) for each in worse)
        sentences.append(f'Worse than {_reference(*worse)}: {named}.')
    return Verdict(sentences, winner)


def _gain(judged: Judged) -> float:
    return judged.over.mean if judged.over is not None else 0.0


def _mean(judged: Judged, comparison: Comparison) -> float:
    sign = 1 if comparison.metric.better == 'higher' else -1
    return sign * float(judged.row.values[comparison.report].mean())


def _use(better: Sequence[Judged], comparison: Comparison) -> tuple[list[str], str]:
    """Some rows beat their reference: the largest mean is to be used, unless all images are better still."""
    best = max(better, key=lambda each: _mean(each, comparison))
    metric, winner = comparison.metric, best.row.title
    over_full = None if best.usual == FULL else best.over_full
    full = comparison.full_of(best.row)
    said = f'{_over(best, comparison)} over {_reference(best)}, {comparison.seeds} seeds{_cost(best, comparison)}'
    if full is not None and over_full is not None and over_full.is_clear and over_full.mean < 0:
        said += f', but all images are better still by {metric.interval(over_full.turned())}: use them all.'
        winner = full.title
    elif over_full is not None:
        clear = '' if over_full.is_clear else ', no clear difference'
        said += f'; {metric.interval(over_full)} over all images{clear}: use it.'
    else:
        said += ': use it.'
    also = [_over(each, comparison) for each in better if each is not best]
    return [said, *([f'Better, too: {"; ".join(also)}.'] if also else [])], winner


def _over(judged: Judged, comparison: Comparison) -> str:
    """A row and its difference to its reference."""
    if judged.over is None:
        return judged.row.title
    return f'{judged.row.title}: {comparison.metric.interval(judged.over)}'


def _nothing(judged: Sequence[Judged], full: Judged | None, comparison: Comparison) -> tuple[list[str], str]:
    """No row beats its reference: the fewest images that are as good are enough."""
    random = [each for each in judged if each.row.is_random]
    choices = [each for each in judged if each.over is not None and not each.row.is_full]
    if not choices:
        start = 'No choice was compared'
    else:
        seen = _range([each.over.visible for each in choices if each.over], comparison)
        start = f'Nothing beats {_reference(*choices)} here; {comparison.seeds} seeds would have seen {seen}'
    more = _more_seeds(choices, comparison)
    if not random:
        return [f'{start}: train on all.', *more], (full or judged[0]).row.title
    enough = [each for each in random if not _is_worse_than_full(each)]
    if full is not None and not enough:
        best = max(random, key=lambda each: _mean(each, comparison))
        gain = f' by {comparison.metric.interval(best.over_full.turned())}' if best.over_full else ''
        return [f'{start}, and all images are better than {best.row.title}{gain}: train on all.'], full.row.title
    if full is None:
        choice, known = max(random, key=lambda each: _mean(each, comparison)), ''
    else:
        choice = min(enough, key=lambda each: each.row.images)
        over = choice.over_full
        known = f' ({comparison.metric.interval(over)} over all {comparison.pool} images)' if over else ''
    return [f'{start}: train on a {choice.row.title}{known}.', *more], choice.row.title


def _range(values: Sequence[float], comparison: Comparison) -> str:
    """The least and the largest of some differences, as far as there are any that differ."""
    metric = comparison.metric
    least, most = (f'{value:.{metric.digits}f}' for value in (min(values, default=0), max(values, default=0)))
    return metric.text(max(values, default=0)) if least == most else f'{least} to {metric.text(max(values))}'


def _more_seeds(choices: Sequence[Judged], comparison: Comparison) -> list[str]:
    """How many seeds would see a gain that is worth it."""
    if comparison.metric.unit != 'dB':
        return []
    needed = []
    for each in choices:
        reference = comparison.reference_of(each.row)
        if reference is not None:
            needed.append(seeds_for(WORTH, comparison.gains(each.row, reference), len(choices)))
    known = [each for each in needed if each is not None]
    if needed and not known:
        return [f'A gain of {WORTH:g} dB could not be told on so few images; report on more.']
    if max(known, default=0) <= comparison.seeds:
        return []
    return [f'A gain of {WORTH:g} dB would take {max(known)} seeds.']


def _one_seed(comparison: Comparison) -> str:
    return 'One seed tells no difference from chance: give --seeds 5; what is done is kept.'


def _is_worse_than_full(judged: Judged) -> bool:
    difference = judged.over_full
    return difference is not None and difference.is_clear and difference.mean < 0


def _reference(*judged: Judged) -> str:
    """What some rows are compared with, in words."""
    words = {RANDOM: RANDOM, FULL: 'all images'}
    names = {words.get(each.usual, each.reference) for each in judged}
    return names.pop() if len(names) == 1 else 'what it is compared with'


def _cost(judged: Judged, comparison: Comparison) -> str:
    """What choosing cost, as a share of the training that it is made for."""
    if not judged.row.choosing:
        return ''
    iterations = judged.row.iterations or comparison.iterations
    full = judged.row.training / iterations * comparison.full_iterations
    share = 100 * judged.row.choosing / full
    same = comparison.full_iterations == comparison.iterations
    length = 'one training' if same else f'one training of {comparison.full_iterations} iterations'
    return f'; choosing took {share:.{0 if share >= 1 else 1}f} % of {length}'
