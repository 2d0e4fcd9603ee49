"""RestorationModel: optimisation, precision, averaging, guards, testing and saving."""

import json
import logging
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from basicsr.archs import build_network
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn
from torch.nn import functional

from basicsr_ext.__main__ import main
from basicsr_ext.errors import CheckpointError, DivergenceError, OptionError
from basicsr_ext.jobs.train import train_pipeline
from basicsr_ext.models.restoration_model import RestorationModel
from basicsr_ext.options.complete import complete
from basicsr_ext.runtime import interrupt
from basicsr_ext.runtime.checkpoint import atomic_torch_save
from basicsr_ext.training import learning_rate
from basicsr_ext.training.validation import validate
from tests.helpers.images import write_images
from tests.helpers.training import options, prepare


@ARCH_REGISTRY.register()
class BatchNormNet(nn.Module):
    """A network with parameters and with buffers of both kinds."""

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


@ARCH_REGISTRY.register()
class WindowNet(nn.Module):
    """Refuses sides that 8 does not divide; doubles the size."""

    size_multiple = 8

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 5, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] % 8 or x.shape[-2] % 8:
            raise ValueError(tuple(x.shape))
        return functional.pixel_shuffle(self.conv(x), 2)


def build(root: Path, is_train: bool = True, **changes: Any) -> RestorationModel:
    opt = options(root, **changes)
    complete(opt, root, is_train)
    torch.manual_seed(0)
    return RestorationModel(opt)


def batch(number: int = 2, seed: int = 1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.rand(number, 1, 16, 16, generator=generator) for name in ('lq', 'gt')}


def step(model: RestorationModel, data: dict[str, Tensor], iteration: int = 1) -> None:
    model.update_learning_rate(iteration)
    model.feed_data(data)
    model.optimize_parameters(iteration)


def weights(model: RestorationModel) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.net_g.state_dict().items()}


# ---- the step ----


def test_one_step_is_that_of_a_plain_loop(tmp_path: Path) -> None:
    model = build(tmp_path)
    reference = build_network(model.opt['network_g'])
    reference.load_state_dict(model.net_g.state_dict())
    optimizer = torch.optim.Adam(reference.parameters(), 1e-3)
    for iteration in range(1, 4):
        data = batch(seed=iteration)
        step(model, data, iteration)
        optimizer.zero_grad()
        loss = functional.l1_loss(reference(data['lq']), data['gt'])
        loss.backward()
        optimizer.step()
        assert model.get_current_log() == {'l_pix': loss.item()}
    for name, value in reference.state_dict().items():
        assert torch.equal(model.net_g.state_dict()[name], value)


@pytest.mark.parametrize('name', ['SGD', 'AdamW', 'RMSprop', 'NAdam', 'Adadelta'])
def test_any_optimizer_of_torch(tmp_path: Path, name: str) -> None:
    model = build(tmp_path, train__optim_g={'type': name, 'lr': 1e-2})
    before = weights(model)
    step(model, batch())
    assert type(model.optimizer_g) is getattr(torch.optim, name)
    assert any(not torch.equal(before[key], value) for key, value in weights(model).items())


def test_unknown_optimizer_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="train.optim_g.type: expected a known name, got 'Adm'. Did you mean Adam"):
        build(tmp_path, train__optim_g={'type': 'Adm', 'lr': 1e-2})


@pytest.mark.parametrize('clip', [None, 0.01])
def test_accumulating_4_times_4_is_a_batch_of_16(tmp_path: Path, clip: float | None) -> None:
    """To 1e-6 in float64, also where the gradient is clipped."""
    models = []
    for accumulate, size in ((1, 16), (4, 4)):
        model = build(
            tmp_path,
            train__accum_iter=accumulate,
            train__grad_clip=clip,
            train__optim_g={'type': 'SGD', 'lr': 1.0},
            datasets__train__batch_size_per_gpu=size,
        )
        model.net_g.double()
        for iteration in range(1, 4):
            data = {name: value.double() for name, value in batch(16, iteration).items()}
            model.update_learning_rate(iteration)
            model.feed_data(data)
            model._losses = {}
            model.optimize_parameters(iteration)
        models.append(model)
    for name, value in weights(models[0]).items():
        torch.testing.assert_close(weights(models[1])[name], value, rtol=1e-6, atol=1e-6)


def test_batch_of_another_size_than_accumulation_needs_is_refused(tmp_path: Path) -> None:
    model = build(tmp_path, train__accum_iter=2)
    with pytest.raises(
        OptionError, match=r'train.accum_iter: expected batches of 4 samples, got 2: this loop does not'
    ):
        step(model, batch(2))


def test_grad_clip_bounds_the_norm(tmp_path: Path) -> None:
    model = build(tmp_path, train__grad_clip=1e-3, train__optim_g={'type': 'SGD', 'lr': 1.0})
    before = weights(model)
    step(model, batch())
    moved = torch.cat([(before[name] - value).flatten() for name, value in weights(model).items()]).norm()
    assert moved.item() == pytest.approx(1e-3, rel=1e-3)


def test_several_losses_are_summed_and_logged_by_name(tmp_path: Path) -> None:
    losses = [
        {'type': 'MSELoss', 'loss_weight': 0.5},
        {'type': 'MSELoss', 'loss_weight': 2.0, 'name': 'twice'},
        {'type': 'WeightedTVLoss', 'loss_weight': 0.1, 'name': 'tv'},
    ]
    model = build(tmp_path, train__losses=losses)
    data = batch()
    output = model.net_g(data['lq']).detach()
    step(model, data)
    log = model.get_current_log()
    mse = functional.mse_loss(output, data['gt']).item()
    variation = (output.diff(dim=2).abs().mean() + output.diff(dim=3).abs().mean()).item()
    expected = {
        'l_pix': functional.l1_loss(output, data['gt']).item(), 'l_MSELoss': 0.5 * mse, 'l_twice': 2 * mse,
        'l_tv': 0.1 * variation,
    }  # fmt: skip
    assert log == pytest.approx(expected, rel=1e-5)


def test_two_losses_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="expected each name once, got 'MSELoss' twice"):
        build(tmp_path, train__losses=[{'type': 'MSELoss'}, {'type': 'MSELoss'}])


def test_non_finite_gradients_are_skipped_then_stop_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = build(tmp_path, train__nan_limit=3, train__ema_decay=0.5)
    before = weights(model)
    bad = batch()
    bad['lq'][0, 0, 3, 3] = float('nan')
    with caplog.at_level(logging.WARNING, 'basicsr'):
        step(model, bad, 1)
        step(model, bad, 2)
    assert 'Iteration 1: the gradient is not finite (l_pix nan)' in caplog.text and '(2 of 3)' in caplog.text
    for name, value in weights(model).items():
        assert torch.equal(before[name], value)
        assert torch.equal(model.net_g_ema.state_dict()[name], value)
    step(model, batch(), 3)  # a good one starts the count again
    step(model, bad, 4)
    step(model, bad, 5)
    with pytest.raises(DivergenceError, match='iteration 6: .* got none in 3 iterations in a row'):
        step(model, bad, 6)


# ---- the moving average ----


def test_average_of_parameters_and_copy_of_buffers(tmp_path: Path) -> None:
    model = build(tmp_path, network_g={'type': 'BatchNormNet'}, train__ema_decay=0.9)
    average = weights(model)
    for iteration in range(1, 4):
        step(model, batch(seed=iteration), iteration)
        for name, parameter in model.net_g.named_parameters():
            average[name] = 0.9 * average[name] + 0.1 * parameter.detach()
    for name, value in model.net_g_ema.named_parameters():
        torch.testing.assert_close(value, average[name])
    for name, value in model.net_g_ema.named_buffers():
        assert torch.equal(value, dict(model.net_g.named_buffers())[name])
    assert model.net_g_ema.norm.num_batches_tracked == 3


# ---- learning rate ----


def rates(model: RestorationModel, last: int, warmup: int) -> list[float]:
    found = []
    for iteration in range(1, last + 1):
        model.optimizer_g.step()  # torch warns about schedules that step before their optimiser
        model.update_learning_rate(iteration, warmup)
        found.append(model.get_current_learning_rate()[0])
    return found


def test_warm_up_reaches_the_full_rate_and_keeps_milestones_inside_it(tmp_path: Path) -> None:
    model = build(tmp_path, train__scheduler={'type': 'MultiStepLR', 'milestones': [3, 8], 'gamma': 0.5})
    scheduled = [1e-3 * 0.5 ** ((t >= 3) + (t >= 8)) for t in range(12)]
    expected = [rate * min(1, (t + 1) / 6) for t, rate in enumerate(scheduled)]
    assert rates(model, 12, 6) == pytest.approx(expected)


def test_cosine_under_warm_up(tmp_path: Path) -> None:
    block = {'type': 'CosineAnnealingRestartLR', 'periods': [10], 'restart_weights': [1], 'eta_min': 1e-5}
    model = build(tmp_path, train__scheduler=block)
    scheduled = [1e-5 + 0.5 * (1e-3 - 1e-5) * (1 + np.cos(np.pi * t / 10)) for t in range(10)]
    expected = [rate * min(1, (t + 1) / 4) for t, rate in enumerate(scheduled)]
    assert rates(model, 10, 4) == pytest.approx(expected)


@pytest.mark.parametrize(
    'block', [{'type': 'CosineAnnealingLR', 'T_max': 9}, {'type': 'ExponentialLR', 'gamma': 0.9}, None]
)
def test_schedules_of_torch_are_themselves_without_warm_up(tmp_path: Path, block: dict[str, Any] | None) -> None:
    model = build(tmp_path, train__scheduler=block)
    optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(1))], 1e-3)
    kind = getattr(torch.optim.lr_scheduler, block['type']) if block else torch.optim.lr_scheduler.ConstantLR
    reference = kind(optimizer, **({k: v for k, v in block.items() if k != 'type'} if block else {'factor': 1}))
    expected = []
    for _ in range(9):
        expected.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        reference.step()
    assert rates(model, 9, -1) == pytest.approx(expected)


def test_resume_inside_the_warm_up_continues_the_rates(tmp_path: Path) -> None:
    block = {'type': 'CosineAnnealingLR', 'T_max': 20}
    whole = rates(build(tmp_path, train__scheduler=block), 12, 8)
    first, second = build(tmp_path, train__scheduler=block), build(tmp_path, train__scheduler=block)
    rates(first, 5, 8)
    for old, new in zip(first.optimizers + first.schedulers, second.optimizers + second.schedulers, strict=True):
        new.load_state_dict(old.state_dict())
    continued = []
    for iteration in range(6, 13):
        second.optimizer_g.step()
        second.update_learning_rate(iteration, 8)
        continued.append(second.get_current_learning_rate()[0])
    assert continued == whole[5:]


def test_schedules_that_need_a_metric_are_refused() -> None:
    with pytest.raises(OptionError, match="train.scheduler.type: expected a known name, got 'ReduceLROnPlateau'"):
        learning_rate.scheduler_class({'type': 'ReduceLROnPlateau'}, 'train.scheduler')


# ---- precision and layout ----


@pytest.mark.parametrize('bf16', [True, False])
def test_mixed_precision_trains_close_to_full_precision(tmp_path: Path, bf16: bool) -> None:
    """Float16 with loss scaling and bfloat16 both follow the losses of float32 to their precision."""
    full, mixed = build(tmp_path), build(tmp_path, use_amp=True, amp_bf16=bf16)
    assert mixed.scaler.is_enabled() is not bf16
    for iteration in range(1, 6):
        data = batch(seed=iteration)
        step(full, data, iteration)
        step(mixed, data, iteration)
        assert mixed.get_current_log()['l_pix'] == pytest.approx(full.get_current_log()['l_pix'], rel=2e-2)
    assert next(mixed.net_g.parameters()).dtype == torch.float32


def test_amp_bf16_without_use_amp_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match='amp_bf16: expected use_amp: true beside it'):
        build(tmp_path, amp_bf16=True)


def test_channels_last_and_compile_change_nothing_but_speed(tmp_path: Path) -> None:
    plain = build(tmp_path)
    other = build(tmp_path, use_channels_last=True, use_compile={'backend': 'eager'})
    for iteration in range(1, 4):
        step(plain, batch(seed=iteration), iteration)
        step(other, batch(seed=iteration), iteration)
    assert other.net_g.model[2].weight.is_contiguous(memory_format=torch.channels_last)
    assert other.net_g._compiled_call_impl is not None
    for name, value in weights(plain).items():
        torch.testing.assert_close(weights(other)[name], value, rtol=1e-4, atol=1e-6)


# ---- testing ----


def test_tiles_with_overlap_over_the_receptive_field_equal_the_whole_image(tmp_path: Path) -> None:
    """IRCNN sees 16 pixels to each side."""
    changes = {'network_g': {'type': 'IRCNN', 'num_in_ch': 1, 'num_out_ch': 1, 'num_feat': 8}}
    whole = build(tmp_path, **changes)
    tiled = build(tmp_path, **changes, val__tile_size=24, val__tile_overlap=16)
    narrow = build(tmp_path, **changes, val__tile_size=24, val__tile_overlap=2)
    image = {'lq': torch.rand(1, 1, 61, 83)}
    outputs = []
    for model in (whole, tiled, narrow):
        model.net_g.load_state_dict(whole.net_g.state_dict())
        model.feed_data(image)
        model.test()
        outputs.append(model.output)
    torch.testing.assert_close(outputs[1], outputs[0], rtol=0, atol=1e-4)
    assert (outputs[2] - outputs[0]).abs().max() > 1e-4


@pytest.mark.parametrize('tile_size', [None, 16])
def test_images_are_padded_to_what_the_network_divides(tmp_path: Path, tile_size: int | None) -> None:
    model = build(tmp_path, network_g={'type': 'WindowNet'}, scale=2, val__tile_size=tile_size)
    model.feed_data({'lq': torch.rand(1, 1, 19, 21)})
    model.test()
    assert model.output.shape == (1, 1, 38, 42)
    padded = functional.pad(model.lq, (0, 3, 0, 5), mode='reflect')
    torch.testing.assert_close(model.output, model.net_g(padded)[..., :38, :42].detach())


def test_window_size_of_a_stock_network_is_padded_to(tmp_path: Path) -> None:
    swinir = {
        'type': 'SwinIR', 'upscale': 1, 'in_chans': 1, 'img_size': 16, 'window_size': 4, 'depths': [1],
        'embed_dim': 4, 'num_heads': [1], 'mlp_ratio': 1, 'upsampler': '',
    }  # fmt: skip
    model = build(tmp_path, network_g=swinir)
    model.feed_data({'lq': torch.rand(1, 1, 10, 15)})
    model.test()
    assert model.output.shape == (1, 1, 10, 15)


def test_testing_leaves_the_network_in_training_mode(tmp_path: Path) -> None:
    model = build(tmp_path)
    model.feed_data(batch())
    model.test()
    assert model.net_g.training


def test_the_best_checkpoint_is_that_of_a_named_set_and_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a metric whose best value is its lowest and a second set, what is kept is the smallest mean of the log."""
    monkeypatch.chdir(tmp_path)
    file = prepare(tmp_path, train__optim_g={'type': 'Adam', 'lr': 1e-2})
    content = yaml.safe_load(file.read_text())
    content['datasets']['val_2'] = {**content['datasets']['val'], 'name': 'second', 'sigma': 50}
    content['val']['metrics']['ssim'] = {'type': 'calculate_ssim', 'crop_border': 0, 'better': 'lower'}
    content['val']['best'] = {'dataset': 'secund', 'metric': 'ssim'}
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(OptionError, match='val.best.dataset: .* Did you mean second'):
        train_pipeline(str(tmp_path), ['-opt', str(file)])
    assert not (tmp_path / 'experiments').exists()
    content['val']['best']['dataset'] = 'second'
    file.write_text(yaml.safe_dump(content))
    assert main(['train', '-opt', str(file)]) == 0
    folder = tmp_path / 'experiments/run'
    log = [json.loads(line) for line in (folder / 'training_log.jsonl').read_text().splitlines()]
    means = {line['iter']: line['validation']['second']['ssim'] for line in log if 'validation' in line}
    lowest = min(means, key=lambda iteration: means[iteration])
    best = json.loads((folder / 'metrics.json').read_text())['best']
    assert best == {'dataset': 'second', 'metric': 'ssim', 'value': means[lowest], 'better': 'lower', 'iter': lowest}
    same = torch.load(folder / f'models/net_g_{lowest}.pth', weights_only=True)['params']
    kept = torch.load(folder / 'models/net_g_best.pth', weights_only=True)['params']
    assert all(torch.equal(kept[name], same[name]) for name in kept)


def test_metrics_json_best_and_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file holds per image what a plain loop measures with the saved weights; the best checkpoint is the best."""
    monkeypatch.chdir(tmp_path)
    file = prepare(tmp_path, val__save_img=True, train__optim_g={'type': 'Adam', 'lr': 1e-2})
    assert main(['train', '-opt', str(file)]) == 0
    folder = tmp_path / 'experiments/run'
    metrics = json.loads((folder / 'metrics.json').read_text())
    log = [json.loads(line) for line in (folder / 'training_log.jsonl').read_text().splitlines()]
    assert [line['iter'] for line in log if 'l_pix' in line] == [1, 2, 3, 4, 5, 6]
    assert [line for line in log if line['iter'] == 6][-1]['validation'] == {'val': metrics['val']}

    from basicsr.data import build_dataset

    opt = options(tmp_path)
    dataset = build_dataset({**opt['datasets']['val'], 'phase': 'val'})
    net = build_network(opt['network_g'])
    net.load_state_dict(torch.load(folder / 'models/net_g_6.pth', weights_only=True)['params'])
    for index, name in enumerate(('000', '001')):
        sample = dataset[index]
        with torch.no_grad():
            restored = net(sample['lq'][None])[0]
        difference = (restored.clamp(0, 1) * 255).round() - (sample['gt'] * 255).round()
        psnr = 10 * np.log10(255**2 / difference.double().pow(2).mean().item())
        assert metrics['per_image']['val'][name]['psnr'] == pytest.approx(psnr, abs=1e-6)
    assert metrics['val']['psnr'] == pytest.approx(np.mean([v['psnr'] for v in metrics['per_image']['val'].values()]))
    assert (folder / 'visualization/000/000_6.png').is_file()
    state = torch.load(folder / 'training_states/6.state', weights_only=True)
    best = torch.load(folder / 'models/net_g_best.pth', weights_only=True)['params']
    same = torch.load(folder / f'models/net_g_{state["best_score"]["iter"]}.pth', weights_only=True)['params']
    assert all(torch.equal(best[name], same[name]) for name in best)

    test = tmp_path / 'test.yml'
    text = file.read_text().replace('pretrain_network_g: null', f'pretrain_network_g: {folder}/models/net_g_6.pth')
    test.write_text(text.replace('  val:\n    color', '  test_1:\n    color'))
    content = yaml.safe_load(text)
    content['datasets'] = {'test_1': content['datasets']['val']}
    for block in ('train', 'logger'):
        del content[block]
    test.write_text(yaml.safe_dump(content))
    assert main(['test', '-opt', str(test)]) == 0
    tested = json.loads((tmp_path / 'results/run/metrics.json').read_text())
    assert tested['per_image'] == metrics['per_image']
    assert (tmp_path / 'results/run/visualization/val/000_run.png').is_file()


def test_an_interrupted_validation_is_done_first_after_the_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(tmp_path / 'val', number=2, size=36)
    model = build(tmp_path)
    from basicsr.data import build_dataset

    dataset = build_dataset({**model.opt['datasets']['val'], 'phase': 'val'})
    monkeypatch.setattr(interrupt, 'requested', lambda: True)
    with pytest.raises(interrupt.Interrupted):
        validate(model, dataset, 3, None, False)
    monkeypatch.undo()
    model.validation_due = True
    model.opt['path']['training_states'] = str(tmp_path)
    model.save_training_state(0, 3)
    resumed = build(tmp_path)
    resumed.resume_training(torch.load(tmp_path / '3.state', weights_only=True))
    assert resumed.validation_due


# ---- saving ----


def test_a_checkpoint_that_cannot_be_written_stops_the_run(tmp_path: Path) -> None:
    (tmp_path / 'models').write_text('a file where a folder should be')
    with pytest.raises(CheckpointError, match=r'checkpoint .*models/net_g_1.pth: expected to write it, got'):
        atomic_torch_save({}, tmp_path / 'models' / 'net_g_1.pth')


def test_a_failed_save_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / 'net.pth'
    atomic_torch_save({'a': 1}, target)
    with pytest.raises((AttributeError, pickle.PicklingError), match='pickle|lambda'):
        atomic_torch_save({'a': lambda: 0}, target)
    assert torch.load(target, weights_only=True) == {'a': 1}
    assert [path.name for path in tmp_path.iterdir()] == ['net.pth']
