"""The option files of the project: known names, and a check of each job on pictures where its datasets should be."""

import re
from pathlib import Path

import pytest
from basicsr.data import build_dataset
from basicsr.models import build_model

from basicsr_ext.jobs import complexity
from basicsr_ext.jobs.align import align_pipeline
from basicsr_ext.jobs.audit import audit_pipeline
from basicsr_ext.jobs.calibrate import calibrate_pipeline
from basicsr_ext.jobs.checks import check_dataset, check_options
from basicsr_ext.jobs.distill import distill_pipeline
from basicsr_ext.jobs.mine import mine_pipeline
from basicsr_ext.jobs.rank import rank_pipeline
from basicsr_ext.options.complete import complete
from basicsr_ext.options.dataset_blocks import reader_blocks, walk_blocks
from basicsr_ext.options.load import load_options
from basicsr_ext.selection.manifest import Item, write_manifest
from tests.helpers.named_files import fill_dataroots, first_iteration, make_manifests, make_vae, make_weights
from tests.helpers.option_files import FILES, OPTION_FILES, REPOSITORY, job_of, known_types, option_file, types_in

CHANNELS = ('num_in_ch', 'in_chans', 'in_channels')  # what networks call the channels of their input


def test_there_are_option_files() -> None:
    folders = {path.relative_to(REPOSITORY / 'options').parts[0] for path in FILES}
    assert {'train', 'test', 'rank', 'mine', 'distill', 'align', 'complexity', 'calibrate', 'audit'} <= folders


def option_id(path: Path) -> str:
    return path.stem


def test_every_type_in_an_option_file_is_known() -> None:
    for path in OPTION_FILES:
        found = list(types_in(load_options(path)))
        # a model, a dataset, a network
        assert len(found) >= {'mine': 2, 'rank': 2, 'audit': 2, 'complexity': 1, 'calibrate': 2}.get(job_of(path), 3), (
            path.stem
        )
        assert set(found) <= known_types(), path.stem


@pytest.mark.parametrize('path', [path for path in OPTION_FILES if job_of(path) == 'rank'], ids=option_id)
def test_an_option_file_of_rank_is_sound(path: Path, pictures: Path) -> None:
    """With pictures where its datasets should be: checked, and one image of each dataset runs through each network."""
    opt, argv = load_options(path), ['-opt', str(path), '--set', 'num_gpu=0']
    assert opt['name'] == path.stem
    for block in opt['datasets'].values():
        fill_dataroots(block, least=64)
    make_weights(opt)
    fewer = ['rank.size=2'] if 'size' in opt['rank'] else []
    assert rank_pipeline(Path.cwd(), [*argv, *fewer, '--check']) == 0


@pytest.mark.parametrize('path', [path for path in OPTION_FILES if job_of(path) == 'mine'], ids=option_id)
def test_an_option_file_of_mine_is_sound(path: Path, pictures: Path) -> None:
    """With pictures where its datasets should be: checked, and the first patches are measured."""
    loaded = load_options(path)
    assert loaded['name'] == path.stem
    make_weights(loaded)
    for block in loaded['datasets'].values():
        fill_dataroots(block, loaded.get('scale', 1))
    assert mine_pipeline(Path.cwd(), ['-opt', str(path), '--set', 'num_gpu=0', '--check']) == 0


@pytest.mark.parametrize('path', [path for path in OPTION_FILES if job_of(path) == 'audit'], ids=option_id)
def test_an_option_file_of_audit_is_sound(path: Path, pictures: Path) -> None:
    """With pictures where its datasets should be: checked, and all decoded."""
    loaded = load_options(path)
    assert loaded['name'] == path.stem
    for block in loaded['datasets'].values():
        fill_dataroots(block)
    assert audit_pipeline(Path.cwd(), ['-opt', str(path), '--check']) == 0


# Second derivatives of the networks of the papers, at their patches, take minutes here.
SMALLER = {
    'Restormer': ['network_g.dim=8', 'network_g.num_blocks=[1, 1, 1, 1]', 'network_g.num_refinement_blocks=1'],
    'IRCNN': [],
}


@pytest.mark.parametrize('path', [path for path in OPTION_FILES if job_of(path) == 'distill'], ids=option_id)
def test_an_option_file_of_distill_is_sound(path: Path, pictures: Path) -> None:
    """With pictures where its dataset should be and a small autoencoder: checked, and a first step is done."""
    loaded = load_options(path)
    assert loaded['name'] == path.stem
    block, train = loaded['distill'], loaded['datasets']['train']
    make_weights(loaded)
    fill_dataroots(train, loaded.get('scale', 1))
    if block.get('manifest'):
        items = [Item(picture.name, 208, 200) for picture in sorted(Path(train['dataroot_gt']).iterdir())]
        columns = {block.get('column', 'rank'): range(1, len(items) + 1)}
        Path(block['manifest']).parent.mkdir(parents=True)
        write_manifest(block['manifest'], items, columns, {'method': 'none'})
    if block.get('vae'):
        make_vae(Path(block['vae']['path'], block['vae'].get('subfolder') or ''))
    smaller = ['num_gpu=0', 'distill.image_size=32', 'distill.batch_size=1', 'distill.real_batch_size=1']
    smaller += ['distill.kept=0', *SMALLER[loaded['network_g']['type']]]
    assert distill_pipeline(Path.cwd(), ['-opt', str(path), '--check', '--set', *smaller]) == 0


@pytest.mark.parametrize('path', [path for path in OPTION_FILES if job_of(path) == 'complexity'], ids=option_id)
def test_an_option_file_of_complexity_is_sound(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read and counted, but for the analysis of mmengine, which takes a quarter of a minute."""
    assert load_options(path)['name'] == path.stem
    monkeypatch.setattr(complexity, 'full_macs', lambda *_: 0)
    assert complexity.complexity_pipeline(tmp_path, ['-opt', str(path), '--check']) == 0


@pytest.mark.parametrize('path', [path for path in OPTION_FILES if job_of(path) == 'calibrate'], ids=option_id)
def test_an_option_file_of_calibrate_is_sound(path: Path, pictures: Path) -> None:
    """With pictures where its datasets should be: checked, and one image passes all exits."""
    loaded = load_options(path)
    assert loaded['name'] == path.stem
    make_weights(loaded)
    for block in loaded['datasets'].values():
        fill_dataroots(block, loaded.get('scale', 1), least=64)
    assert calibrate_pipeline(Path.cwd(), ['-opt', str(path), '--check', '--set', 'num_gpu=0']) == 0


@pytest.mark.parametrize('path', [path for path in OPTION_FILES if job_of(path) == 'align'], ids=option_id)
def test_an_option_file_of_align_is_sound(path: Path, pictures: Path) -> None:
    """With pictures where its datasets should be: checked, and the first image passes all networks."""
    loaded = load_options(path)
    assert loaded['name'] == path.stem
    make_weights(loaded)
    for block in loaded['datasets'].values():
        fill_dataroots(block, loaded.get('scale', 1), least=64)
        make_manifests(block)
    assert align_pipeline(Path.cwd(), ['-opt', str(path), '--check', '--set', 'num_gpu=0']) == 0


@pytest.mark.parametrize('path', [path for path in OPTION_FILES if job_of(path) in ('train', 'test')], ids=option_id)
def test_an_option_file_is_sound(path: Path, pictures: Path) -> None:
    """With pictures where its datasets should be: checked, its datasets built, its weights load strictly."""
    opt = load_options(path)
    opt['num_gpu'] = 0
    for block in opt['datasets'].values():
        fill_dataroots(block, opt.get('scale', 1))
        make_manifests(block)
    make_weights(opt)
    is_train = 'train' in opt
    assert opt['name'] == path.stem
    complete(opt, Path.cwd(), is_train)
    check_options(opt)
    for key, block in opt['datasets'].items():
        dataset = build_dataset(block)
        check_dataset(dataset, f'datasets.{key}')
        sample = dataset[first_iteration(0)]
        assert sample['lq'].shape[0] == next(
            (opt['network_g'][name] for name in CHANNELS if name in opt['network_g']), 3
        )
    if not is_train:
        build_model(opt)


RANKING = re.compile(r'results/([\w-]+)/ranking\.parquet')


@pytest.mark.parametrize(
    'path', [path for path in OPTION_FILES if RANKING.search(path.read_text(encoding='utf-8'))], ids=option_id
)
def test_a_ranking_is_of_the_images_that_are_chosen(path: Path) -> None:
    """The folders of a dataset with `manifest` are those that the option file of that ranking names."""
    opt, checked = load_options(path), 0
    blocks = [block for outer in opt['datasets'].values() for block, _ in walk_blocks(outer, '')]
    if 'manifest' in opt.get('distill', {}):
        blocks.append({**opt['datasets']['train'], 'manifest': opt['distill']['manifest']})
    for block in blocks:
        found = RANKING.fullmatch(str(block.get('manifest')))
        if found:
            ranked = load_options(option_file(found[1]))['datasets']['train']
            folders = [[reader['dataroot_gt'] for reader, _ in reader_blocks(item, '')] for item in (block, ranked)]
            assert folders[0] == folders[1]
            checked += 1
    assert checked


@pytest.mark.parametrize(
    'path',
    [path for path in OPTION_FILES if job_of(path) == 'train' and RANKING.search(path.read_text(encoding='utf-8'))],
    ids=option_id,
)
def test_a_training_is_not_measured_on_what_its_ranking_aims_at(path: Path) -> None:
    datasets = load_options(path)['datasets']
    validation = {block['dataroot_gt'] for key, block in datasets.items() if key != 'train'}
    for block, _ in walk_blocks(datasets['train'], ''):
        found = RANKING.fullmatch(str(block.get('manifest')))
        target = load_options(option_file(found[1]))['datasets'].get('test') if found else None
        assert target is None or target['dataroot_gt'] not in validation
