"""The answer of a comparison in words."""

import re

import numpy as np

from basicsr_ext.reports.comparison import Comparison, Measured, Metric
from basicsr_ext.reports.verdict import verdict

NOISE = np.random.default_rng(0).normal(0, 0.01, (9, 5, 8))  # rows x seeds x images


def compared(
    means: dict[tuple[str, str], float], seeds: int = 5, better: str = 'higher', unit: str = 'dB'
) -> Comparison:
    """Rows (set, size) -> mean, whose trainings hardly differ; choosing takes 2 s, a training 10 s."""
    rows = [
        Measured(
            f'{kind} {size}'.strip(),
            kind,
            size,
            {'5 %': 20, '10 %': 40}.get(size, 400),
            20,
            10**6,
            2.0 * (kind not in ('random', 'full')),
            10.0,
            {'Set12': mean + NOISE[number, :seeds]},
        )
        for number, ((kind, size), mean) in enumerate(means.items())
    ]
    return Comparison('train', rows, Metric('psnr', unit, better), 1000, 10_000, 10**6, 400, [])


def test_a_choice_that_beats_random_is_to_be_used() -> None:
    found = verdict(compared({('random', '5 %'): 29.0, ('matching', '5 %'): 29.2}))
    assert found.winner == 'matching 5 %'
    sentence = r'matching 5 %: \+0\.\d\d dB \(0\.\d\d to 0\.\d\d\) over random, 5 seeds; choosing took 2 % of '
    assert re.match(sentence + 'one training of 10000 iterations: use it.', found.sentences[0])


def test_all_images_are_to_be_used_where_they_are_better_still() -> None:
    found = verdict(compared({('full', ''): 29.5, ('random', '5 %'): 29.0, ('matching', '5 %'): 29.2}))
    assert found.winner == 'full'
    assert 'but all images are better still by +0.30 dB' in found.sentences[0]


def test_a_choice_is_said_to_beat_all_images() -> None:
    found = verdict(compared({('full', ''): 29.1, ('random', '5 %'): 29.0, ('matching', '5 %'): 29.2}))
    assert found.winner == 'matching 5 %'
    assert 'over all images: use it.' in found.sentences[0]


def test_random_images_are_enough_where_nothing_beats_them() -> None:
    found = verdict(compared({('full', ''): 29.0, ('random', '5 %'): 29.0, ('matching', '5 %'): 29.0}))
    assert found.winner == 'random 5 %'
    assert found.sentences[0].startswith('Nothing beats random here; 5 seeds would have seen 0.0')
    assert 'train on a random 5 %' in found.sentences[0]


def test_all_images_are_to_be_used_where_random_ones_are_too_few() -> None:
    found = verdict(compared({('full', ''): 29.4, ('random', '5 %'): 29.0, ('matching', '5 %'): 29.0}))
    assert found.winner == 'full'
    assert 'all images are better than random 5 %' in found.sentences[0]


def test_the_smallest_size_that_is_enough_is_named() -> None:
    means = {('full', ''): 29.0, ('random', '5 %'): 28.7, ('random', '10 %'): 29.0, ('dynamic', '10 %'): 29.0}
    assert verdict(compared(means)).winner == 'random 10 %'


def test_rows_that_are_worse_are_named() -> None:
    found = verdict(compared({('random', '5 %'): 29.0, ('complexity:top', '5 %'): 28.5}))
    assert found.sentences[-1].startswith('Worse than random: complexity:top 5 %: -0.5')


def test_a_single_seed_decides_nothing() -> None:
    found = verdict(compared({('random', '5 %'): 29.0, ('matching', '5 %'): 29.5}, seeds=1))
    assert found.sentences == ['One seed tells no difference from chance: give --seeds 5; what is done is kept.']


def test_of_metrics_that_should_be_low_the_lower_one_wins() -> None:
    found = verdict(compared({('random', '5 %'): 0.30, ('matching', '5 %'): 0.20}, better='lower', unit=''))
    assert found.winner == 'matching 5 %'
    assert '+0.09' in found.sentences[0]


def test_without_random_images_all_of_them_are_the_reference() -> None:
    found = verdict(compared({('full', ''): 29.0, ('warmup:0.05', ''): 29.2}))
    assert found.winner == 'warmup:0.05' and found.sentences[0].endswith(
        ' over all images, 5 seeds; choosing took 2 % of one training of 10000 iterations: use it.'
    )
    found = verdict(compared({('full', ''): 29.0, ('warmup:0.05', ''): 29.0}))
    assert found.winner == 'full' and found.sentences[0].startswith('Nothing beats all images here; 5 seeds would have')


def test_random_images_alone_are_told_from_all() -> None:
    found = verdict(compared({('full', ''): 29.0, ('random', '5 %'): 29.0}))
    assert found.winner == 'random 5 %' and found.sentences[0].startswith(
        'No choice was compared: train on a random 5 %'
    )
    found = verdict(compared({('full', ''): 29.4, ('random', '5 %'): 29.0}))
    assert found.winner == 'full' and 'all images are better than random 5 % by +0.4' in found.sentences[0]
