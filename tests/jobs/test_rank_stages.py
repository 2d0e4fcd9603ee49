"""The job `rank` with candidates of a first stage and drawn tiles."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from basicsr.archs import build_network
from basicsr.data import build_dataset

import basicsr_ext as bx
from basicsr_ext.__main__ import main
from basicsr_ext.runtime import interrupt
from basicsr_ext.selection.influence.drawn_tiles import draw
from basicsr_ext.selection.manifest import Manifest
from tests.helpers.images import write_images
from tests.helpers.processes import run_ranks
from tests.jobs.test_rank import IMAGES, options, ranking, refused, weights, write


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_images(tmp_path / 'train', number=IMAGES, size=24)
    write_images(tmp_path / 'test', number=2, size=32)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rank(folder: Path, **block: Any) -> Manifest:
    shutil.rmtree('results', ignore_errors=True)
    assert main(['rank', '-opt', write(folder, options(folder, **block))]) == 0
    return ranking()


def first_stage(folder: Path, by: str) -> list[int]:
    """The images in the order that a ranking by complexity gives."""
    manifest = rank(folder, candidates={'by': by, 'size': IMAGES})
    assert all(manifest.column('candidate'))
    opt = options(folder)
    opt['rank'] = {'method': 'complexity', 'criterion': by}
    del opt['datasets']['test'], opt['network_g'], opt['path']
    shutil.rmtree('results')
    assert main(['rank', '-opt', write(folder, opt)]) == 0
    return np.argsort(ranking().column('rank')).tolist()


@pytest.mark.parametrize('method', ['influence', 'graddot', 'loss'])
def test_only_candidates_are_scored_as_in_the_full_ranking(folder: Path, method: str) -> None:
    full = np.array(rank(folder, method=method).column(method))
    order = first_stage(folder, 'entropy')
    manifest = rank(folder, method=method, candidates={'by': 'entropy', 'ratio': 0.3})
    assert manifest.names == ['path', 'height', 'width', method, 'rank', 'candidate']
    found, ranks = np.array(manifest.column(method)), manifest.column('rank')
    candidates = np.flatnonzero(manifest.column('candidate'))
    assert candidates.tolist() == sorted(order[:3])
    np.testing.assert_allclose(found[candidates], full[candidates], rtol=1e-3)
    assert np.isnan(np.delete(found, candidates)).all()
    expected = sorted(candidates.tolist(), key=lambda row: -full[row]) + order[3:]
    assert np.argsort(ranks).tolist() == expected and sorted(ranks) == list(range(1, IMAGES + 1))


def test_levels_share_the_candidates(folder: Path) -> None:
    levels = [
        {'name': 'weak', 'dataset': {'sigma': 5}},
        {'name': 'strong', 'dataset': {'sigma': 60}, 'pretrain_network_g': weights(folder, 'other', 2)},
    ]
    full = rank(folder, levels=levels)
    manifest = rank(folder, levels=levels, candidates={'by': 'random', 'size': 4})
    candidates = np.flatnonzero(manifest.column('candidate'))
    places = []
    for name in ('weak', 'strong'):
        own, all_of = (np.array(each.column(f'influence_{name}'))[candidates] for each in (manifest, full))
        np.testing.assert_allclose(own, all_of, rtol=1e-3)
        places.append(np.argsort(np.argsort(-all_of)))
        assert sorted(np.array(manifest.column(f'rank_{name}'))[candidates]) == [1, 2, 3, 4]
    score = 1 - np.mean(places, 0) / 3
    np.testing.assert_allclose(np.array(manifest.column('influence'))[candidates], score)


def test_two_processes_give_what_one_gives(folder: Path) -> None:
    settle = {'ratio': 0.3, 'overlap': 0.9, 'rounds': 3}
    block = {'candidates': {'by': 'kcenter', 'size': 5}, 'tile_size': 12, 'tiles_per_image': 2, 'settle': settle}
    manifest = rank(folder, **block)
    shutil.rmtree('results')
    run_ranks(['-m', 'basicsr_ext', 'rank', '-opt', str(folder / 'rank.yml'), '--launcher', 'pytorch'], folder)
    assert ranking().column('candidate') == manifest.column('candidate')
    assert ranking().column('rank') == manifest.column('rank')
    np.testing.assert_allclose(ranking().column('influence'), manifest.column('influence'), rtol=1e-3, atol=1e-9)


def test_stopped_anywhere_and_continued_is_never_stopped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settle = {'size': 2, 'overlap': 1, 'rounds': 3}
    block = {'candidates': {'by': 'kcenter', 'size': 4}, 'iterations': 2, 'tile_size': 12, 'tiles_per_image': 1}
    block['settle'] = settle
    calls, limit = 0, -1

    def requested() -> bool:
        nonlocal calls
        calls += 1
        return 0 <= limit < calls

    monkeypatch.setattr(interrupt, 'requested', requested)
    rank(folder, **block)
    expected, total = Path('results/small/ranking.parquet').read_bytes(), calls
    for limit in (0, 2, total // 2, total - 1):
        shutil.rmtree('results')
        calls = 0
        main(['rank', '-opt', str(folder / 'rank.yml')])
        assert not Path('results/small/ranking.parquet').exists()
        limit = -1
        main(['rank', '-opt', str(folder / 'rank.yml')])
        assert Path('results/small/ranking.parquet').read_bytes() == expected


@pytest.mark.parametrize(
    ('block', 'named'),
    [
        ({'candidates': {'by': 'random', 'size': 4}}, 'rank.candidates.size: 3 became 4'),
        ({'candidates': None}, 'rank.candidates.by: '),
        ({'candidates': {'by': 'random', 'size': 3}, 'tiles_per_image': 2}, 'rank.tiles_per_image: None became 2'),
    ],
)
def test_another_stage_is_another_ranking(
    folder: Path, capsys: pytest.CaptureFixture[str], block: dict[str, Any], named: str
) -> None:
    rank(folder, candidates={'by': 'random', 'size': 3})
    assert named in refused(folder, options(folder, **block), capsys)


def test_what_reads_rankings_takes_images_without_scores(folder: Path) -> None:
    rank(folder, candidates={'by': 'random', 'size': 4})
    page = Path('results/small/report.html').read_text()
    assert '9 images ranked by influence, 4 of them scored' in page and 'not scored' in page and '>nan' not in page
    path = 'results/small/ranking.parquet'
    assert main(['inspect', path, '--size', '3']) == 0
    assert Path('results/small/inspect/histogram.png').stat().st_size > 0
    assert main(['export', path, '-o', 'ranking.csv']) == 0
    assert Path('ranking.csv').read_text().count('nan') == IMAGES - 4
    inside = {**options(folder)['datasets']['train'], 'phase': 'train', 'gt_size': 8, 'scale': 1}
    for subset in ('top', 'mid', 'bottom', 'random'):
        block = {'type': 'InfluenceSubsetDataset', 'name': 'some', 'manifest': path, 'subset': subset, 'size': 4}
        assert len(build_dataset({**block, 'phase': 'train', 'scale': 1, 'dataset': inside})) == 4


def test_scores_are_of_drawn_tiles_and_the_target_is_whole(folder: Path) -> None:
    manifest = rank(folder, method='graddot', tile_size=12, tiles_per_image=1, grad_loss={'type': 'MSELoss'})
    opt = options(folder)
    net = build_network(opt['network_g'])
    net.load_state_dict(torch.load(folder / 'net.pth')['params'])
    parameters = list(net.parameters())

    def gradient(lq: torch.Tensor, gt: torch.Tensor) -> torch.Tensor:
        loss = (net(lq[None]) - gt[None]).square().mean()
        return torch.cat([part.flatten() for part in torch.autograd.grad(loss, parameters)])

    def tiles(sample: dict[str, Any], starts: list[int], side: int = 12) -> list[torch.Tensor]:
        places = [(top, left) for top in starts for left in starts]
        cut = [[sample[key][:, y : y + side, x : x + side] for key in ('lq', 'gt')] for y, x in places]
        return [gradient(*each) for each in cut]

    sets = [build_dataset({**block, 'phase': 'test', 'scale': 1}) for block in opt['datasets'].values()]
    target = torch.stack([torch.stack(tiles(sets[1][index], [0, 10, 20])).mean(0) for index in range(2)]).mean(0)
    for index in range(IMAGES):
        (place,) = draw([0.25] * 4, 1, np.random.default_rng([3, index]))
        expected = float(tiles(sets[0][index], [0, 12])[place] @ target) / IMAGES
        assert manifest.column('graddot')[index] == pytest.approx(expected, rel=1e-3)


def test_python_ranks_candidates_too(folder: Path) -> None:
    torch.manual_seed(0)
    pairs = [tuple(torch.rand(2, 1, 12, 12)) for _ in range(6)]
    net = torch.nn.Conv2d(1, 1, 3, padding=1)
    full = bx.rank(pairs, pairs[:2], net, output=folder / 'full.parquet', iterations=4)
    some = bx.rank(
        pairs, pairs[:2], net, output=folder / 'some.parquet', iterations=4, candidates={'by': 'std', 'ratio': 0.5}
    )
    candidates = np.flatnonzero(some.column('candidate'))
    assert len(candidates) == 3
    np.testing.assert_allclose(some.scores('influence')[candidates], full.scores('influence')[candidates], rtol=1e-3)


@pytest.mark.parametrize(
    ('block', 'message'),
    [
        ({'candidates': {'by': 'random'}}, 'rank.candidates.size: expected exactly one of size and ratio, got none'),
        (
            {'candidates': {'by': 'random', 'size': 2, 'ratio': 0.1}},
            'exactly one of size and ratio, got size and ratio',
        ),
        ({'candidates': {'by': 'random', 'size': 10}}, 'rank.candidates.size: expected at most the 9 images there are'),
        ({'candidates': {'by': 'entrpy', 'size': 2}}, "got 'entrpy'. Did you mean entropy"),
        ({'candidates': {'by': 'std', 'ratio': 0}}, 'rank.candidates.ratio: expected more than 0 and up to 1, got 0'),
        ({'candidates': {'by': 'std', 'size': 2}, 'per_target': True}, 'no per_target, got per_target'),
        ({'candidates': {'by': 'std', 'size': 2}, 'method': 'random'}, 'influence or graddot or loss, no per_target'),
        ({'candidates': {'by': 'std', 'size': 2}, 'method': 'matching', 'size': 3}, 'got method: matching'),
        ({'tiles_per_image': 2, 'tile_size': None}, 'rank.tiles_per_image: expected a tile_size, which cuts images'),
        ({'settle': {'size': 2}}, 'rank.settle: expected tiles_per_image, method: influence or graddot or loss'),
        ({'settle': {'size': 10}, 'tiles_per_image': 2}, 'rank.settle: expected at most the 9 images that get scores'),
        ({'tiles_per_image': 0}, 'rank.tiles_per_image: expected at least 1, got 0'),
    ],
)
def test_stages_that_cannot_be_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], block: dict[str, Any], message: str
) -> None:
    assert message in refused(folder, options(folder, **block), capsys)
    assert not Path('results').exists()
