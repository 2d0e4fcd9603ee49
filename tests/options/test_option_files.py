"""The option files of the project: known names, and a check of each job on made-up data sets of the real layout."""

import json
import re
import shutil
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from basicsr.archs import build_network
from basicsr.data import build_dataset

from basicsr_ext.jobs import complexity
from basicsr_ext.jobs import load as load_job
from basicsr_ext.jobs.checks import check_dataset, check_options
from basicsr_ext.metrics import lpips_metric
from basicsr_ext.options.complete import complete
from basicsr_ext.options.dataset_blocks import LOADER_KEYS, paths_in, reader_blocks, walk_blocks
from basicsr_ext.options.load import find_file, load_options
from basicsr_ext.runtime.checkpoint import load_network_weights
from tests.helpers import beds
from tests.helpers.named_files import (
    first_iteration,
    make_manifests,
    make_pictures,
    make_vae,
    make_weights,
)
from tests.helpers.option_files import (
    FILES,
    OPTION_FILES,
    REPOSITORY,
    job_of,
    known_types,
    loaded,
    option_file,
    types_in,
    variants,
)
from tests.helpers.smaller import smaller

CHANNELS = ('num_in_ch', 'in_chans', 'in_channels')  # what networks call the channels of their input
OTHER_JOBS = [path for path in OPTION_FILES if job_of(path) not in ('train', 'test', 'complexity')]
NETWORKS = [path for path in FILES if job_of(path) in ('train', 'test')]


@pytest.fixture(scope='module')
def laid_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all data sets, in which tests leave the rankings, weights and results that they need."""
    folder = tmp_path_factory.mktemp('beds')
    beds.lay_out(folder)
    return folder


@pytest.fixture
def place(laid_out: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """That folder as the current directory; LPIPS does not fetch weights."""
    monkeypatch.chdir(laid_out)
    monkeypatch.setattr(lpips_metric, 'build_lpips', lambda net, device: lambda first, second: torch.zeros(1))
    yield laid_out


def option_id(path: Path) -> str:
    return path.stem


def make_named(opt: dict[str, Any]) -> None:
    """What the option file names beside data sets: pictures that other jobs made, rankings, weights."""
    for outer in opt['datasets'].values():
        for block, _ in walk_blocks(outer, ''):
            for _, kind, path in paths_in(block):
                if kind == 'folder' and path.startswith('results/'):
                    make_pictures(Path(path))
        make_manifests(outer, opt.get('scale', 1))
    if (opt.get('distill') or {}).get('manifest'):
        inner = {key: value for key, value in opt['datasets']['train'].items() if key not in LOADER_KEYS}
        ranked = {'type': 'InfluenceSubsetDataset', 'dataset': inner}
        make_manifests({**ranked, 'manifest': opt['distill']['manifest']}, opt.get('scale', 1))
    vae = (opt.get('distill') or {}).get('vae')
    if vae:
        make_vae(Path(vae['path'], vae.get('subfolder') or ''))
    make_weights(opt)


def check(path: Path) -> None:
    """Run the job of an option file with `--check`, with networks and sizes that take no time."""
    changed, assignments = smaller(deepcopy(loaded(path)))
    assert changed['name'] == path.stem
    shutil.rmtree(Path('results', path.stem), ignore_errors=True)  # which another test has made up
    make_named(changed)
    job = job_of(path)
    pipeline = getattr(load_job(job), f'{job}_pipeline')
    words = ['--set', *assignments] if assignments else []
    assert pipeline(Path.cwd(), ['-opt', str(path), '--check', *words]) == 0


def test_there_are_option_files() -> None:
    folders = {path.relative_to(REPOSITORY / 'options').parts[0] for path in FILES}
    assert {'train', 'test', 'rank', 'mine', 'distill', 'align', 'complexity', 'calibrate', 'audit'} <= folders


def test_every_type_in_an_option_file_is_known() -> None:
    for path in OPTION_FILES:
        found = list(types_in(loaded(path)))
        # a model, a dataset, a network
        assert len(found) >= {'mine': 2, 'rank': 2, 'audit': 2, 'complexity': 1, 'calibrate': 2}.get(job_of(path), 3), (
            path.stem
        )
        assert set(found) <= known_types(), path.stem


@pytest.mark.parametrize('path', OTHER_JOBS, ids=option_id)
def test_an_option_file_of_a_job_is_sound(path: Path, place: Path) -> None:
    """Checked; the first image of each dataset, or a first step, runs through each network."""
    check(path)


@pytest.mark.parametrize('path', [path for path in OPTION_FILES if job_of(path) == 'complexity'], ids=option_id)
def test_an_option_file_of_complexity_is_sound(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read and counted, but for the analysis of mmengine, which takes a quarter of a minute."""
    assert load_options(path)['name'] == path.stem
    monkeypatch.setattr(complexity, 'full_macs', lambda *_: 0)
    assert complexity.complexity_pipeline(tmp_path, ['-opt', str(path), '--check']) == 0


def test_the_weights_of_the_package_fit_the_networks_that_name_them() -> None:
    fitted = set()
    for opt in map(loaded, OPTION_FILES):
        named = [(key.removeprefix('pretrain_'), value) for key, value in (opt.get('path') or {}).items()]
        named += [('network_g', level['pretrain_network_g']) for level in (opt.get('rank') or {}).get('levels') or []]
        for key, value in named:
            pair = json.dumps([opt.get(key, opt.get('network_g')), value], sort_keys=True)
            if str(value).startswith('pkg://') and pair not in fitted:
                fitted.add(pair)
                network = build_network(deepcopy(json.loads(pair)[0]))
                load_network_weights(network, find_file(value), strict=True)
    assert len(fitted) >= 8


@pytest.mark.parametrize('path', NETWORKS, ids=option_id)
def test_an_option_file_of_training_or_test_is_sound(path: Path, place: Path) -> None:
    """Checked; the first image of each dataset runs through the network and is measured."""
    check(path)


BUILT: set[str] = set()  # layouts of datasets that a variant has had built


@pytest.mark.parametrize('path', [path for path in NETWORKS if variants(path)], ids=option_id)
def test_the_variants_of_an_option_file_are_sound(path: Path, place: Path) -> None:
    """Options, names and files of each; a first sample of every dataset that no other variant has."""
    for words in variants(path):
        written = option_file(words[0].removeprefix('name='))
        opt, _ = smaller(deepcopy(loaded(written)))
        assert opt['name'] == written.stem
        opt['num_gpu'] = 0
        make_named(opt)
        complete(opt, Path.cwd(), 'train' in opt)
        check_options(opt)
        channels = next((opt['network_g'][name] for name in CHANNELS if name in opt['network_g']), 3)
        for key, block in opt['datasets'].items():
            layout = json.dumps([{k: v for k, v in block.items() if k != 'name'}, channels], sort_keys=True)
            if layout not in BUILT:
                BUILT.add(layout)
                dataset = build_dataset(deepcopy(block))
                check_dataset(dataset, f'datasets.{key}')
                assert dataset[first_iteration(0)]['lq'].shape[0] == channels, written.stem


RANKING = re.compile(r'results/([\w-]+)/ranking\.parquet')
RANKED = [path for path in OPTION_FILES if RANKING.search(path.read_text(encoding='utf-8'))]


def ranking_of(block: dict[str, Any]) -> dict[str, Any] | None:
    """The option file that makes the ranking of a block."""
    found = RANKING.fullmatch(str(block.get('manifest')))
    return loaded(option_file(found[1])) if found else None


def test_a_ranking_is_of_the_images_that_are_chosen() -> None:
    """The folders of a dataset with `manifest` are those that the option file of that ranking names."""
    for path in RANKED:
        opt, checked = loaded(path), 0
        blocks = [block for outer in opt['datasets'].values() for block, _ in walk_blocks(outer, '')]
        if 'manifest' in opt.get('distill', {}):
            blocks.append({**opt['datasets']['train'], 'manifest': opt['distill']['manifest']})
        for block in blocks:
            ranking = ranking_of(block)
            if ranking is not None:
                pair = (block, ranking['datasets']['train'])
                folders = [[reader['dataroot_gt'] for reader, _ in reader_blocks(item, '')] for item in pair]
                assert folders[0] == folders[1], path.stem
                checked += 1
        assert checked, path.stem


def test_a_training_is_not_measured_on_what_its_ranking_aims_at() -> None:
    for path in (path for path in RANKED if job_of(path) == 'train'):
        datasets = loaded(path)['datasets']
        validation = {str(block['dataroot_gt']) for key, block in datasets.items() if key != 'train'}
        for block, _ in walk_blocks(datasets['train'], ''):
            target = ((ranking_of(block) or {}).get('datasets') or {}).get('test')
            assert target is None or target['dataroot_gt'] not in validation, path.stem
