"""Trainings with a warm-up: exactly the first iterations, whatever the workers, ranks, kills and loops."""

import json
import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from basicsr.data import build_dataset
from basicsr.utils.registry import DATASET_REGISTRY

from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.jobs.train import train_pipeline
from basicsr_ext.options.load import load_options
from basicsr_ext.training.loader import build_train_loader, build_warmup
from basicsr_ext.training.losses import generator_losses, has_perceptual, switch_perceptual
from tests.helpers.processes import run, run_ranks
from tests.helpers.training import options, prepare, train

END = 4  # of the warm-up in most tests
GRAY = {'type': 'GaussianDenoisingDataset', 'color': 'gray', 'sigma': [10, 40], 'gt_size': 16}


def warm(root: Path, stop: Any = None, **changes: Any) -> dict[str, Any]:
    """What turns the small training of the tests into one with a warm-up."""
    block = {
        'name': 'train',
        'type': 'PixelShuffleWarmupDataset',
        'stop': {'iter': END} if stop is None else stop,
        'batch_size_per_gpu': changes.pop('batch', 2),
        'num_worker_per_gpu': changes.pop('workers', 0),
        'dataset': {**GRAY, 'dataroot_gt': str(root / 'train')},
        **changes.pop('dataset', {}),
    }
    return {'datasets__train': block, **changes}


def batches(opt: dict[str, Any]) -> list[dict[str, Any]]:
    """All batches that the loop would feed."""
    opt['dist'], opt['rank'], opt['world_size'] = False, 0, 1
    opt['datasets']['train']['phase'] = 'train'
    dataset = build_dataset(opt['datasets']['train'])
    return list(build_train_loader(dataset, opt, 0, build_warmup(dataset, opt)))


def assert_shuffled_until(end: int, shuffled: list[Any], plain: list[Any]) -> None:
    """The batches up to iteration `end` hold the values of the plain ones in another order, the others are equal."""
    assert len(shuffled) == len(plain)
    for iteration, (batch, reference) in enumerate(zip(shuffled, plain, strict=True), start=1):
        lq, expected = (np.asarray(item).reshape(len(item), -1) for item in (batch, reference))
        assert (lq == expected).all() == (iteration > end), iteration
        assert (np.sort(lq) == np.sort(expected)).all(), iteration


@pytest.mark.parametrize('workers', [0, 1, 3])
def test_the_first_iterations_exactly_for_any_number_of_workers(tmp_path: Path, workers: int) -> None:
    prepare(tmp_path)
    plain = batches(options(tmp_path, train__total_iter=9))
    opt = options(tmp_path, train__total_iter=9, **warm(tmp_path, workers=workers))
    for key in ('lq', 'gt'):
        assert_shuffled_until(END, [batch[key] for batch in batches(opt)], [batch[key] for batch in plain])


def test_without_iterations_it_is_no_wrapper(tmp_path: Path) -> None:
    prepare(tmp_path)
    opt = options(tmp_path, **warm(tmp_path, stop={'iter': 0}))
    for batch, plain in zip(batches(opt), batches(options(tmp_path)), strict=True):
        assert torch.equal(batch['lq'], plain['lq']) and torch.equal(batch['gt'], plain['gt'])


@pytest.mark.parametrize(
    ('stop', 'changes', 'end'),
    [
        ({'epoch': 2}, {}, 8),  # 8 images, 2 a batch
        ({'epoch': 2}, {'train__accum_iter': 2}, 4),
        ({'epoch': 1}, {'batch': 3}, 3),
        ({'fraction': 0.25}, {}, 3),
        (None, {'repeat': {'at': 'lr_drops', 'iters': 2}}, 4),
    ],
)
def test_stop_in_a_training(tmp_path: Path, stop: Any, changes: dict[str, Any], end: int) -> None:
    prepare(tmp_path)
    common = {key: changes[key] for key in changes if key.startswith('train__')}
    dataset = {key: value for key, value in changes.items() if key == 'repeat'}
    batch = changes.get('batch', 2)
    plain = batches(options(tmp_path, train__total_iter=12, datasets__train__batch_size_per_gpu=batch, **common))
    opt = options(tmp_path, train__total_iter=12, **warm(tmp_path, stop, batch=batch, dataset=dataset), **common)
    opt['train']['scheduler']['milestones'] = [8]
    seen = [torch.equal(a['lq'], b['lq']) for a, b in zip(batches(opt), plain, strict=True)]
    repeated = [9, 10] if dataset else []
    assert [number for number, equal in enumerate(seen, start=1) if not equal] == [*range(1, end + 1), *repeated]


# ---- whole trainings; a user's own model sees the batches in feed_data ----

SCRIPT = """
import os, signal, sys
from pathlib import Path
import basicsr_ext
import numpy as np
from basicsr.utils.registry import MODEL_REGISTRY
from basicsr_ext.models.restoration_model import RestorationModel
from basicsr_ext.train import train_pipeline

@MODEL_REGISTRY.register()
class RecordingModel(RestorationModel):
    def update_learning_rate(self, current_iter, warmup_iter=-1):
        super().update_learning_rate(current_iter, warmup_iter)
        self.now = current_iter

    def feed_data(self, data):
        super().feed_data(data)
        if data['lq'].shape[-1] == 16:  # a training patch
            np.save(f'{self.opt["root_path"]}/seen_{self.now}_{self.opt["rank"]}.npy', data['lq'].numpy())
            if str(self.now) == os.environ.get('KILL_AT'):
                os.kill(os.getpid(), signal.SIGKILL)

if __name__ == '__main__':
    sys.exit(train_pipeline(sys.argv.pop(1)))
"""


def record(root: Path, folder: Path, *more: str, processes: int = 1, kill_at: int = 0) -> list[np.ndarray]:
    """Train in a folder; the batches of all ranks together, by iteration."""
    folder.mkdir(exist_ok=True)
    (folder / 'record.py').write_text(SCRIPT)
    arguments = [str(folder / 'record.py'), str(folder), '-opt', str(root / 'run.yml'), *more]
    if processes > 1:
        run_ranks([*arguments, '--launcher', 'pytorch'], folder)
    else:
        run(arguments, folder, code=-9 if kill_at else 0, KILL_AT=str(kill_at))
    last = max(int(path.stem.split('_')[1]) for path in folder.glob('seen_*.npy'))
    return [
        np.concatenate([np.load(folder / f'seen_{number}_{rank}.npy') for rank in range(processes)])
        for number in range(1, last + 1)
    ]


def result(folder: Path) -> tuple[Any, list[str]]:
    experiment = folder / 'experiments' / 'run'
    weights = torch.load(experiment / 'models' / 'net_g_latest.pth', weights_only=True)['params']
    return weights, (experiment / 'training_log.jsonl').read_text().splitlines()


def assert_same_result(one: Path, other: Path) -> None:
    (weights, log), (other_weights, other_log) = result(one), result(other)
    assert log == other_log
    assert all(torch.equal(value, other_weights[name]) for name, value in weights.items())


def plain_batches(root: Path, batch: int, total: int) -> list[np.ndarray]:
    opt = options(root, train__total_iter=total, datasets__train__batch_size_per_gpu=batch)
    return [item['lq'].numpy() for item in batches(opt)]


def test_two_ranks_shuffle_the_same_iterations(tmp_path: Path) -> None:
    prepare(tmp_path, model_type='RecordingModel', **warm(tmp_path, workers=1))
    seen = record(tmp_path, tmp_path / 'two', processes=2)
    assert_shuffled_until(END, seen, plain_batches(tmp_path, batch=4, total=6))


@pytest.mark.parametrize('kill_at', [3, pytest.param(5, marks=pytest.mark.slow)])
def test_a_kill_inside_or_just_after_changes_nothing(tmp_path: Path, kill_at: int) -> None:
    common = {'model_type': 'RecordingModel', 'logger__save_checkpoint_freq': 2, 'train__total_iter': 8}
    prepare(tmp_path, **common, **warm(tmp_path, workers=1))
    whole, killed = tmp_path / 'whole', tmp_path / 'killed'
    seen = record(tmp_path, whole)
    assert len(record(tmp_path, killed, kill_at=kill_at)) == kill_at
    resumed = record(tmp_path, killed, '--auto_resume')
    assert all((a == b).all() for a, b in zip(seen, resumed, strict=True))
    assert_shuffled_until(END, resumed, plain_batches(tmp_path, batch=2, total=8))
    assert_same_result(whole, killed)


AUTO = {'auto': {'window': 2, 'tolerance': 1.0, 'limit': 1}}  # only a negative loss would be progress


def test_auto_is_exact_for_workers_ranks_and_kills(tmp_path: Path) -> None:
    common = {'model_type': 'RecordingModel', 'logger__save_checkpoint_freq': 3, 'train__total_iter': 9}
    prepare(tmp_path, **common, **warm(tmp_path, stop=AUTO))
    whole = record(tmp_path, tmp_path / 'whole')
    # The first window sets the mark, the second brings no progress, the third is the last.
    assert_shuffled_until(6, whole, plain_batches(tmp_path, batch=2, total=9))
    prepare(tmp_path, **common, **warm(tmp_path, stop=AUTO, workers=1))
    killed = tmp_path / 'killed'
    record(tmp_path, killed, kill_at=5)  # the second window is over, the state is that of iteration 3
    assert all((a == b).all() for a, b in zip(whole, record(tmp_path, killed, '--auto_resume'), strict=True))
    assert_same_result(tmp_path / 'whole', killed)
    prepare(tmp_path, **common, **warm(tmp_path, stop=AUTO, batch=1))
    two = record(tmp_path, tmp_path / 'two', processes=2)
    assert all((a == b).all() for a, b in zip(whole, two, strict=True))


def test_auto_refuses_more_workers_than_its_window_covers(tmp_path: Path) -> None:
    file = prepare(tmp_path, **warm(tmp_path, stop=AUTO, workers=2))
    output = train(file, tmp_path, code=2)
    assert 'datasets.train.stop.auto.window: expected at least 4 iterations' in output
    assert not (tmp_path / 'experiments').exists()


@pytest.mark.usefixtures('curves')
def test_a_warmup_does_not_decide_about_the_best_and_leaves_pictures(tmp_path: Path) -> None:
    file = prepare(tmp_path, val__val_freq=2, **warm(tmp_path))
    train_pipeline(tmp_path, ['-opt', str(file)])
    folder = tmp_path / 'experiments' / 'run'
    log = [json.loads(line) for line in (folder / 'training_log.jsonl').read_text().splitlines()]
    assert [line['iter'] for line in log if line.get('warmup')] == [1, 2, 3, 4]
    assert [line['iter'] for line in log if 'validation' in line] == [2, 4, 6]
    state = torch.load(folder / 'training_states' / '6.state', weights_only=True)
    assert state['best_score']['iter'] == 6 and state['best_metric_results']['val']['psnr']['iter'] == 6
    curve, patch = (cv2.imread(str(folder / name)) for name in ('training_curve.png', 'warmup_patch.png'))
    assert curve.std() > 1 and patch.std() > 1
    text = next(folder.glob('train_run_*.log')).read_text()
    assert 'Pixel-shuffled warm-up: iterations 1 to 4.' in text
    assert 'warm-up is over; iteration 5 is an ordinary one' in text and 'erceptual' not in text


def test_a_warmup_of_all_iterations_is_warned_about(tmp_path: Path) -> None:
    file = prepare(tmp_path, **warm(tmp_path, stop={'iter': 6}))
    assert 'The warm-up takes all 6 iterations' in train(file, tmp_path)


class Passing(torch.utils.data.Dataset[Any]):
    """A user's dataset around another one; it passes the index on."""

    def __init__(self, opt: dict[str, Any]) -> None:
        self.opt = opt
        block = {'name': 'inside', 'phase': 'train', 'scale': 1, **opt['dataset']}
        self.dataset = build_dataset(block)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[index]


def test_a_warmup_that_the_loop_does_not_see_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DATASET_REGISTRY._obj_map, 'Passing', Passing)
    prepare(tmp_path)
    block = warm(tmp_path)['datasets__train']
    loader = {key: block.pop(key) for key in ('batch_size_per_gpu', 'num_worker_per_gpu')}
    passing = {'name': 'train', 'type': 'Passing', 'dataset': block, **loader}
    with pytest.raises(OptionError, match='with this dataset outermost'):
        batches(options(tmp_path, datasets__train=passing))


def test_a_sample_that_cannot_be_shuffled_is_refused_before_work_starts(tmp_path: Path) -> None:
    file = prepare(tmp_path, **warm(tmp_path))
    opt = load_options(file)
    opt['datasets']['train']['dataset'] = {
        'type': 'SingleImageDataset',
        'dataroot_lq': str(tmp_path / 'train'),
        'io_backend': {'type': 'disk'},
    }
    file.write_text(json.dumps(opt))
    for more in ([], ['--check']):
        with pytest.raises(DataError, match='expected lq and gt of C x H x W to shuffle'):
            train_pipeline(tmp_path, ['-opt', str(file), *more])
    assert not (tmp_path / 'experiments').exists()


def test_losses_of_a_discriminator_do_not_decide() -> None:
    log = {'l_g_pix': 0.5, 'l_g_gan': 0.25, 'l_d_real': 3.0, 'out_d_real': -7.0}
    assert generator_losses(log) == [0.5, 0.25]


def test_nothing_to_shuffle_is_warned_about(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    prepare(tmp_path)
    opt = options(
        tmp_path, **warm(tmp_path, stop={'fraction': 0.05}, dataset={'repeat': {'at': 'lr_drops', 'iters': 2}})
    )
    opt['train']['scheduler']['milestones'] = [1000]
    with caplog.at_level(logging.WARNING):
        batches(opt)
    assert 'the warm-up has no iteration of the 6' in caplog.text and 'the rate never drops' in caplog.text


def test_upstreams_loop_refuses_with_the_way_out(tmp_path: Path) -> None:
    file = prepare(tmp_path, **warm(tmp_path))
    script = tmp_path / 'upstream.py'
    script.write_text('import basicsr_ext\nfrom basicsr.train import train_pipeline\ntrain_pipeline(".")\n')
    output = run([str(script), '-opt', str(file)], tmp_path, code=1)
    assert 'the training loop of basicsr_ext knows when the warm-up is over' in output
    assert 'python -m basicsr_ext train' in output


def test_check_accepts_a_warmup(tmp_path: Path) -> None:
    file = prepare(tmp_path, **warm(tmp_path))
    assert 'options, files and the first batch are sound' in train(file, tmp_path, '--check')


# ---- perceptual losses ----


class PerceptualSum(torch.nn.Module):
    """Stands for a perceptual loss without a network of its own."""

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, output: torch.Tensor, gt: torch.Tensor) -> torch.Tensor:
        return self.loss_weight * (output.sum() - gt.sum()).abs()


@pytest.fixture
def perceptual_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    from basicsr.utils.registry import LOSS_REGISTRY

    monkeypatch.setitem(LOSS_REGISTRY._obj_map, 'PerceptualSum', PerceptualSum)


@pytest.mark.usefixtures('perceptual_loss')
@pytest.mark.parametrize('model', ['RestorationModel', 'SRModel'])
def test_perceptual_losses_are_off_in_the_warmup(tmp_path: Path, model: str) -> None:
    file = prepare(tmp_path, model_type=model, train__perceptual_opt={'type': 'PerceptualSum'}, **warm(tmp_path))
    if model == 'SRModel':  # whose perceptual loss gives a pair
        PerceptualSum.forward, single = lambda self, x, gt: ((x.sum() - gt.sum()).abs(), None), PerceptualSum.forward
    try:
        train_pipeline(tmp_path, ['-opt', str(file)])
    finally:
        if model == 'SRModel':
            PerceptualSum.forward = single
    folder = tmp_path / 'experiments' / 'run'
    log = [json.loads(line) for line in (folder / 'training_log.jsonl').read_text().splitlines()]
    assert [line['iter'] for line in log if 'l_percep' in line] == [5, 6]
    text = next(folder.glob('train_run_*.log')).read_text()
    assert text.count('Perceptual losses are off from iteration 1 on.') == 1
    assert text.count('Perceptual losses are on from iteration 5 on.') == 1


@pytest.mark.usefixtures('perceptual_loss')
def test_a_perceptual_loss_alone_is_refused_before_work_starts(tmp_path: Path) -> None:
    file = prepare(tmp_path, train__perceptual_opt={'type': 'PerceptualSum'}, **warm(tmp_path))
    opt = load_options(file)
    del opt['train']['pixel_opt']
    file.write_text(json.dumps(opt))
    for more in ([], ['--check']):
        with pytest.raises(OptionError, match='expected a loss beside the perceptual one'):
            train_pipeline(tmp_path, ['-opt', str(file), *more])
    assert not (tmp_path / 'experiments').exists()


def test_a_model_without_perceptual_losses_is_left_alone() -> None:
    class Model:
        def __init__(self) -> None:
            self.cri_pix = torch.nn.L1Loss()

    model = Model()
    assert not has_perceptual(model) and list(vars(model)) == ['cri_pix']
    model.cri_perceptual = held = torch.nn.L1Loss()  # type: ignore[attr-defined]
    assert has_perceptual(model)
    switch_perceptual(model, on=False)
    assert model.cri_perceptual is None and has_perceptual(model)  # type: ignore[attr-defined]
    switch_perceptual(model, on=True)
    assert model.cri_perceptual is held  # type: ignore[attr-defined]
