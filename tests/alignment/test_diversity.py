"""Distances of pairs of images, against SciPy and by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist
from torch import Tensor, nn

from basicsr_ext.alignment.diversity import cumulative, diversity, pairwise_distances
from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.reports.diversity_plot import draw_diversity


class MeanColour(nn.Module):
    """An encoder whose mean feature is the mean colour."""

    def features(self, x: Tensor) -> Tensor:
        return x[..., ::2, ::2]


def flat(*values: float, side: int = 128) -> list[Tensor]:
    return [torch.full((1, side, side), value) for value in values]


@pytest.mark.parametrize('block', [1, 2, 7, 11, 64])
def test_distances_are_scipy_s(block: int) -> None:
    vectors = np.random.default_rng(0).normal(size=(11, 40))
    np.testing.assert_allclose(pairwise_distances(torch.tensor(vectors), block), pdist(vectors), rtol=1e-12)
    single = pairwise_distances(torch.tensor(vectors, dtype=torch.float32), block)
    np.testing.assert_allclose(single, pdist(vectors.astype(np.float32)), rtol=1e-12)


def test_equal_rows_have_no_distance() -> None:
    vectors = 100 + torch.rand(3, 5000)
    assert pairwise_distances(torch.cat([vectors, vectors]))[2] == 0


def test_a_block_has_rows() -> None:
    with pytest.raises(OptionError, match='block: expected at least 1, got 0'):
        pairwise_distances(torch.rand(3, 2), 0)


def test_known_values() -> None:
    found = diversity(flat(0.1, 0.2, 0.4), MeanColour())
    steps = np.array([0.1, 0.2, 0.3])
    np.testing.assert_allclose(found.pixels, steps * 128 * np.sqrt(3), rtol=1e-5)
    np.testing.assert_allclose(found.ped, steps * np.sqrt(3), rtol=1e-5)
    np.testing.assert_allclose(found.pfd, 0, atol=1e-6)  # one colour, of which only the strength differs
    summary = found.summary()
    assert list(summary) == ['ped', 'pfd', 'pixels']
    assert summary['pixels']['q50'] == pytest.approx(0.2 * 128 * np.sqrt(3), rel=1e-5)
    assert summary['ped']['mean'] == pytest.approx(0.2 * np.sqrt(3), rel=1e-5)


def test_directions_are_compared_by_their_angle() -> None:
    red, green, grey, none = (
        torch.tensor(colour).reshape(3, 1, 1).expand(3, 32, 32)
        for colour in ((0.5, 0.0, 0.0), (0.0, 0.2, 0.0), (0.1, 0.1, 0.1), (0.0, 0.0, 0.0))
    )
    angle = np.sqrt(2 - 2 / np.sqrt(3))  # between a colour and grey
    found = diversity([red, green, grey, none], MeanColour())
    np.testing.assert_allclose(found.pfd, sorted([np.sqrt(2), angle, angle, 1, 1, 1]), rtol=1e-6)
    np.testing.assert_allclose(found.ped.max(), np.hypot(0.5, 0.2), rtol=1e-6)


def test_the_distances_of_embeddings_are_scipy_s() -> None:
    torch.manual_seed(0)
    images = [torch.rand(3, 20, 24) for _ in range(7)]
    vectors = np.stack([image[:, ::2, ::2].mean((1, 2)).numpy() for image in images])
    found = diversity(images, MeanColour())
    np.testing.assert_allclose(found.ped, np.sort(pdist(vectors)), rtol=1e-4)
    np.testing.assert_allclose(found.pfd, np.sort(np.sqrt(2 * pdist(vectors, 'cosine'))), rtol=1e-3)


def test_sizes_and_colours_may_differ() -> None:
    images = [*flat(0.2, 0.3, side=40), torch.full((3, 30, 200), 0.5)]
    found = diversity(images, MeanColour())
    np.testing.assert_allclose(found.pixels, np.array([0.1, 0.2, 0.3]) * 128 * np.sqrt(3), rtol=1e-5)


def test_copies_are_less_diverse() -> None:
    torch.manual_seed(0)
    images = [torch.rand(3, 32, 32) for _ in range(6)]
    copies = [images[0]] * 3 + [images[1]] * 3
    different, same = diversity(images, MeanColour()), diversity(copies, MeanColour())
    assert (same.pixels == 0).sum() == 6 and (different.pixels > 0).all()
    assert same.pixels.mean() < different.pixels.mean() and same.ped.mean() < different.ped.mean()


def test_a_limit_takes_images_evenly() -> None:
    found = diversity(flat(*(number / 100 for number in range(50))), MeanColour(), limit=5)
    np.testing.assert_allclose(found.ped.max(), 0.4 * np.sqrt(3), rtol=1e-5)
    assert len(found.ped) == 10


def test_one_image_is_refused() -> None:
    with pytest.raises(DataError, match='diversity: expected at least two images to compare, got 1'):
        diversity(flat(0.5), MeanColour())


def test_the_distribution_function() -> None:
    values, parts = cumulative(np.array([3.0, 1.0, 2.0, 2.0]))
    assert values.tolist() == [1, 2, 2, 3] and parts.tolist() == [0.25, 0.5, 0.75, 1]


def test_the_picture(tmp_path: Path) -> None:
    found = diversity(flat(0.1, 0.2, 0.4), MeanColour())
    draw_diversity({'full': found, 'tuned': found}, tmp_path / 'diversity.png')
    assert (tmp_path / 'diversity.png').read_bytes().startswith(b'\x89PNG')
