"""Regions that cover every size, and blending against closed forms and plain loops."""

import pytest
import torch
from torch import Tensor

from basicsr_ext.inference.regions import Partition, RegionGrid

LENGTHS = range(1, 40)


def partitions(length: int) -> list[tuple[Partition, int]]:
    """Partitions of a side and the overlap asked for."""
    numbers = [(Partition.by_number(length, n, overlap), overlap) for n in (1, 2, 3, 7) for overlap in (0, 1, 5)]
    sizes = [(Partition.by_size(length, s, overlap), overlap) for s in (6, 8, 30) for overlap in (0, 1, 5)]
    return numbers + sizes


def test_spans_cover_the_side_evenly_with_the_overlap() -> None:
    for length in LENGTHS:
        for part, overlap in partitions(length):
            starts = list(part.starts)
            steps = [b - a for a, b in zip(starts, starts[1:], strict=False)]
            assert starts[0] == 0 and starts[-1] + part.size == length
            assert all(0 < step <= part.size - overlap for step in steps)
            assert max(steps, default=0) - min(steps, default=0) <= 1


def test_weights_are_not_negative_and_add_up_to_one() -> None:
    for length in LENGTHS:
        for part, _ in partitions(length):
            total = torch.zeros(length, dtype=torch.float64)
            for start, weights in zip(part.starts, part.weights(), strict=True):
                assert weights.min() >= 0
                total[start : start + part.size] += weights
            torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-14)


def test_numbers_and_sizes() -> None:
    assert Partition.by_number(100, 2, 0) == Partition(100, 50, (0, 50))
    assert Partition.by_number(101, 2, 0) == Partition(101, 51, (0, 50))
    assert Partition.by_number(100, 2, 8) == Partition(100, 54, (0, 46))
    assert Partition.by_number(3, 5, 0) == Partition(3, 1, (0, 1, 2))
    assert Partition.by_size(100, 64, 0) == Partition(100, 64, (0, 36))
    assert Partition.by_size(128, 64, 0) == Partition(128, 64, (0, 64))
    assert Partition.by_size(129, 64, 0) == Partition(129, 64, (0, 32, 65))
    assert Partition.by_size(20, 64, 16) == Partition(20, 20, (0,))


def test_weights_without_overlap_are_one() -> None:
    assert Partition.by_size(32, 8, 0).weights().eq(1).all()


def test_ramp_is_linear_and_centred() -> None:
    first, second = Partition.by_number(12, 2, 4).weights()  # 0 to 8 and 4 to 12
    torch.testing.assert_close(first[4:], torch.tensor([0.875, 0.625, 0.375, 0.125], dtype=torch.float64))
    torch.testing.assert_close(second[:4], first[4:].flip(0))
    assert first[:4].eq(1).all() and second[4:].eq(1).all()


def test_borders_are_the_middles_of_the_overlaps() -> None:
    assert Partition.by_number(12, 2, 4).borders() == [0, 6, 12]
    assert Partition.by_size(32, 8, 0).borders() == [0, 8, 16, 24, 32]


def blended_by_loops(image: Tensor, grid: RegionGrid, function) -> Tensor:
    """Pixel by pixel: the weights of all regions, normalised."""
    total = torch.zeros_like(image)
    down, across = grid.rows.weights(), grid.columns.weights()
    for row, top in enumerate(grid.rows.starts):
        for column, left in enumerate(grid.columns.starts):
            region = function(image[:, top : top + grid.rows.size, left : left + grid.columns.size], row, column)
            for y in range(grid.rows.size):
                for x in range(grid.columns.size):
                    total[:, top + y, left + x] += down[row, y] * across[column, x] * region[:, y, x]
    return total


@pytest.mark.parametrize('overlap', [0, 3])
def test_blending_equals_a_plain_loop(overlap: int) -> None:
    images = torch.rand(2, 2, 13, 9, dtype=torch.float64)
    grid = RegionGrid(Partition.by_number(13, 3, overlap), Partition.by_size(9, 6, overlap))
    total = torch.zeros_like(images)
    for places in grid.batches(2, limit=100):
        factors = torch.tensor([1.0 + row + 10 * column for _, row, column in places], dtype=torch.float64)
        grid.add(total, grid.cut(images, places) * factors[:, None, None, None], places)
    for image, blended in zip(images, total, strict=True):
        expected = blended_by_loops(image, grid, lambda region, row, column: region * (1.0 + row + 10 * column))
        torch.testing.assert_close(blended, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize('scale', [1, 2, 3])
@pytest.mark.parametrize('overlap', [0, 4])
def test_enlarged_regions_give_the_enlarged_image(scale: int, overlap: int) -> None:
    image = torch.rand(1, 3, 17, 22, dtype=torch.float64)
    grid = RegionGrid(Partition.by_size(17, 8, overlap), Partition.by_size(22, 8, overlap))
    expected = image.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    total = torch.zeros_like(expected)
    for places in grid.batches(1, 200):
        regions = grid.cut(image, places).repeat_interleave(scale, 2).repeat_interleave(scale, 3)
        grid.scaled(scale).add(total, regions, places)
    torch.testing.assert_close(total, expected, rtol=0, atol=1e-14)


def test_batches_keep_the_limit_and_visit_every_region_once() -> None:
    grid = RegionGrid(Partition.by_size(40, 8, 0), Partition.by_size(24, 8, 0))
    batches = list(grid.batches(2, limit=4 * 64 + 63))
    assert [len(batch) for batch in batches] == [4] * 7 + [2]
    assert len({place for batch in batches for place in batch}) == 30 == 2 * 5 * 3
    assert [len(batch) for batch in grid.batches(1, limit=1)] == [1] * 15
