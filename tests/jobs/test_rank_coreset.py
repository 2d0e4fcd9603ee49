"""The job `rank` choosing images together: columns and files, kill and resume, several processes, what it refuses."""

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
from basicsr_ext.errors import DataError
from basicsr_ext.selection.coreset.stored import Predictor
from basicsr_ext.selection.manifest import Manifest, read_manifest
from tests.helpers.images import write_images
from tests.helpers.processes import kill_again_and_again, run, run_ranks
from tests.jobs.test_rank import IMAGES, options, ranking, refused, weights, write

BASELINES = ['influence', 'kcenter', 'herding', 'moderate', 'craig', 'el2n', 'stratified', 'random']


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_images(tmp_path / 'train', number=IMAGES, size=24)
    write_images(tmp_path / 'test', number=3, size=32)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rank(folder: Path, **block: Any) -> Manifest:
    block = {'method': 'matching', 'size': 3, 'damping': 1e-3, **block}
    assert main(['rank', '-opt', write(folder, options(folder, **block))]) == 0
    return ranking()


def test_every_order_has_its_columns(folder: Path) -> None:
    manifest = rank(folder, baselines=BASELINES)
    orders = ['matching', 'rank', *(name for base in BASELINES for name in (base, f'rank_{base}'))]
    assert manifest.names == ['path', 'height', 'width', *orders]
    for name in orders[1::2]:
        assert sorted(manifest.column(name)) == list(range(1, IMAGES + 1))
    predict = Predictor('results/small/features.parquet')
    for base in ('matching', *BASELINES):  # the value is the predicted fall of the loss up to this image
        ranks = manifest.column('rank' if base == 'matching' else f'rank_{base}')
        rows = np.argsort(ranks)
        for number in (1, 3, IMAGES):
            chosen = [manifest.column('path')[row] for row in rows[:number]]
            assert manifest.column(base)[rows[number - 1]] == pytest.approx(-predict(chosen), rel=1e-9, abs=1e-15)
    falls = {name: manifest.column(name)[np.argsort(manifest.column(f'rank_{name}'))[2]] for name in BASELINES}
    assert manifest.column('matching')[np.argsort(manifest.column('rank'))[2]] >= max(falls.values())


def test_the_order_by_influence_is_that_of_the_method_influence(folder: Path) -> None:
    together = rank(folder, baselines=['influence', 'el2n'])
    shutil.rmtree('results')
    for method, name in (('influence', 'influence'), ('loss', 'el2n')):
        alone = _plain(folder, method)
        assert alone.column('rank') == together.column(f'rank_{name}')
        shutil.rmtree('results')


def _plain(folder: Path, method: str) -> Manifest:
    assert main(['rank', '-opt', write(folder, options(folder, method=method, damping=1e-3))]) == 0
    return ranking()


def test_each_target_image_has_a_column_and_their_mean_is_the_influence(folder: Path) -> None:
    manifest = _plain(folder, 'influence')
    shutil.rmtree('results')
    assert main(['rank', '-opt', write(folder, options(folder, damping=[1e-3, 1e-2], per_target=True))]) == 0
    again = ranking()
    np.testing.assert_allclose(again.column('influence'), manifest.column('influence'), rtol=2e-3, atol=1e-9)
    assert again.column('rank') == manifest.column('rank')
    matrix = read_manifest('results/small/per_target.parquet')
    names = [f'influence of {index:03d}.png' for index in range(3)]
    assert matrix.names == ['path', 'height', 'width', *names]
    mean = np.mean([matrix.column(name) for name in names], 0)
    np.testing.assert_allclose(mean, again.column('influence'), rtol=1e-6)


def test_the_influence_on_one_target_image_is_that_of_ranking_for_it_alone_where_the_space_is_full(
    folder: Path,
) -> None:
    """With as many products as parameters the Krylov space holds every gradient."""
    opt = options(folder, per_target=True, iterations=40, damping=0.3, curvature_images=None)
    assert main(['rank', '-opt', write(folder, opt)]) == 0
    column = np.array(read_manifest('results/small/per_target.parquet').column('influence of 001.png'))
    (folder / 'one').mkdir()
    shutil.copy(folder / 'test/001.png', folder / 'one')
    opt = options(folder, iterations=40, damping=0.3, curvature_images=None)
    opt['name'], opt['datasets']['test']['dataroot_gt'] = 'one', str(folder / 'one')
    assert main(['rank', '-opt', write(folder, opt)]) == 0
    alone = np.array(ranking('one').column('influence'))
    assert np.corrcoef(column, alone)[0, 1] > 0.9


@pytest.mark.parametrize('guard', ['norm', 'curvature'])
def test_guards_choose_too(folder: Path, guard: str) -> None:
    manifest = rank(folder, guard=guard, directions=2)
    assert sorted(manifest.column('rank')) == list(range(1, IMAGES + 1))


def test_levels_count_alike(folder: Path) -> None:
    levels = [
        {'name': 'weak', 'dataset': {'sigma': 5}},
        {'name': 'strong', 'dataset': {'sigma': 60}, 'pretrain_network_g': weights(folder, 'other', 2)},
    ]
    manifest = rank(folder, levels=levels, guard='curvature', directions=2)
    predict = Predictor('results/small/features.parquet')
    assert predict.features.images.shape == (IMAGES, 8) and predict.unit is None
    for start_at in (0, 4):
        norms = np.linalg.norm(predict.features.images[:, start_at : start_at + 4], axis=1)
        assert norms.mean() == pytest.approx(1)
    assert set(manifest.header['chosen']) == {'weak', 'strong'}


def test_an_encoder_needs_no_trained_network(folder: Path) -> None:
    opt = options(folder, method='matching', size=3, features='encoder', baselines=['kcenter', 'herding', 'craig'])
    del opt['network_g'], opt['path']
    opt['rank'].pop('grad_loss')
    assert main(['rank', '-opt', write(folder, opt)]) == 0
    predict = Predictor('results/small/features.parquet')
    net = build_network({'type': 'FilterBankEncoder'})

    def described(part: str) -> np.ndarray:
        data = build_dataset({**opt['datasets'][part], 'phase': 'val', 'scale': 1})
        images = [data[index]['gt'][None].expand(-1, 3, -1, -1) for index in range(len(data))]
        maps = [net.features(image)[0].flatten(1).double() for image in images]
        return torch.stack([torch.cat([each.mean(1), each.var(1, correction=0).sqrt()]) for each in maps]).numpy()

    train, test = described('train'), described('test')
    kept = train.std(0) > 0
    expected = ((test - train.mean(0))[:, kept] / train.std(0)[kept]).mean(0)
    np.testing.assert_allclose(predict.features.target, expected, rtol=1e-4, atol=1e-5)


def test_equal_shares_of_groups_are_what_the_wrapper_takes(folder: Path) -> None:
    lines = [f'{index:03d}.png,{"ab"[index % 3 == 0]}' for index in range(IMAGES)]
    (folder / 'groups.csv').write_text('\n'.join(['path,group', *lines]))
    manifest = rank(folder, size=4, groups=str(folder / 'groups.csv'), per_group=True)
    chosen = {path for path, place in zip(manifest.column('path'), manifest.column('rank'), strict=True) if place <= 4}
    block = {'name': 'part', 'type': 'InfluenceSubsetDataset', 'manifest': 'results/small/ranking.parquet'}
    inner = {**options(folder)['datasets']['train'], 'phase': 'val', 'scale': 1}
    part = build_dataset({**block, 'subset': 'top', 'size': 4, 'per_group': True, 'phase': 'val', 'dataset': inner})
    assert {Path(part[index]['gt_path']).name for index in range(4)} == chosen


def test_the_log_and_the_header_say_whether_the_choice_carries_over(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = rank(folder, baselines=['influence']).header['carry_over']
    assert set(found['falls']) == {'matching', 'influence'}
    said = [line for line in caplog.messages if 'possible fall' in line]
    assert len(said) == 2 and said[0].startswith('matching ')
    shutil.rmtree('results')
    caplog.clear()
    assert 'carry_over' not in rank(folder, halves=False).header
    assert not [line for line in caplog.messages if 'possible fall' in line]


# ---- killed, resumed, shared ----


def test_killed_and_resumed_gives_the_same_files(folder: Path) -> None:
    block = {'guard': 'curvature', 'directions': 3, 'iterations': 20, 'per_target': True, 'baselines': ['el2n']}
    files = ('ranking.parquet', 'features.parquet', 'per_target.parquet')
    rank(folder, batch_size=1, **block)
    expected = [Path('results/small', name).read_bytes() for name in files]
    shutil.rmtree('results')
    command = ['-m', 'basicsr_ext', 'rank', '-opt', str(folder / 'rank.yml')]
    codes = kill_again_and_again(command, folder, folder / 'results/small/unfinished/test_gradient.pth', 0.15)
    assert codes[0] != 0
    run(command, folder)
    assert [Path('results/small', name).read_bytes() for name in files] == expected
    assert not (folder / 'results/small/unfinished').exists()


@pytest.mark.parametrize('features', ['gradients', pytest.param('encoder', marks=pytest.mark.slow)])
def test_two_processes_choose_what_one_chooses(folder: Path, features: str) -> None:
    manifest = rank(folder, features=features, baselines=['kcenter'])
    shutil.rmtree('results')
    run_ranks(['-m', 'basicsr_ext', 'rank', '-opt', str(folder / 'rank.yml'), '--launcher', 'pytorch'], folder)
    for name in ('rank', 'rank_kcenter'):
        assert ranking().column(name) == manifest.column(name)


# ---- from Python ----


def test_from_python_it_chooses_what_the_job_chooses(folder: Path) -> None:
    manifest = rank(folder, baselines=['craig'])
    opt = options(folder)
    net = build_network(opt['network_g'])
    net.load_state_dict(torch.load(folder / 'net.pth', weights_only=True)['params'])
    train, test = (build_dataset({**opt['datasets'][part], 'phase': 'val', 'scale': 1}) for part in ('train', 'test'))
    block = {'size': 3, 'damping': 1e-3, 'iterations': 4, 'curvature_images': 5, 'grad_loss': {'type': 'L1Loss'}}
    found = bx.rank(
        train, test, net, method='matching', seed=3, output=folder / 'own/ranking.parquet', baselines=['craig'], **block
    )
    for name in ('rank', 'rank_craig'):
        assert found.column(name) == manifest.column(name)
    assert bx.Predictor(folder / 'own/features.parquet').features.images.shape == (IMAGES, 4)


# ---- refused ----


@pytest.mark.parametrize(
    ('block', 'text'),
    [
        ({}, 'rank.size: expected how many images will be taken, got none'),
        ({'size': 10}, 'rank.size: expected at most the 9 images there are, got 10'),
        ({'size': 3, 'baselines': ['matching']}, 'rank.baselines: expected names that differ, without matching'),
        ({'size': 3, 'baselines': ['kcentre']}, 'Did you mean kcenter'),
        ({'size': 3, 'solver': 'stochastic'}, "rank.solver: expected gauss_newton or cg, got 'stochastic'"),
        ({'size': 3, 'damping': [1e-3, 1e-2]}, 'rank.damping: expected one'),
        (
            {'size': 3, 'features': 'encoder', 'baselines': ['el2n']},
            'rank.features: expected gradients, got encoder with',
        ),
        ({'size': 3, 'per_group': True}, 'rank.per_group: expected images with groups, got some without'),
    ],
)
def test_wrong_options_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], block: dict[str, Any], text: str
) -> None:
    assert text in refused(folder, options(folder, method='matching', **block), capsys)
    assert not Path('results').exists()


def test_per_target_is_for_influence_with_a_space(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 'rank.per_target' in refused(folder, options(folder, method='graddot', per_target=True), capsys)


def test_names_that_are_not_in_the_features_are_refused(folder: Path) -> None:
    rank(folder)
    with pytest.raises(DataError, match=r'features.parquet: expected paths in it, got nothing.png'):
        Predictor('results/small/features.parquet')(['nothing.png'])
