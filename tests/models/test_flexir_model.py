"""FlexIRModel: schedule, teacher, the step against a plain loop, resuming, two ranks."""

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from basicsr.archs import build_network
from torch import Tensor

from basicsr_ext.errors import OptionError
from basicsr_ext.losses.flexir_loss import ProgressiveDistillationLoss
from basicsr_ext.models.flexir_model import FlexIRModel
from basicsr_ext.models.flexir_options import FlexIRTrainOptions
from basicsr_ext.options.complete import complete
from tests.helpers.flexir import CHANGES, NETWORK, batch, build, step
from tests.helpers.processes import run_ranks
from tests.helpers.training import assert_same, lines, options, prepare, train

# ---- the schedule ----


def schedule(branches: int, total_iter: int, **more: Any) -> list[int]:
    train_options = FlexIRTrainOptions(total_iter=total_iter, optim_g={}, **more)
    stages = train_options.stages(branches)
    return [stages.at(iteration) for iteration in range(1, total_iter + 1)]


def test_equal_stages_over_the_first_half() -> None:
    assert schedule(3, 24) == [1] * 4 + [2] * 4 + [3] * 16
    assert schedule(1, 4) == [1] * 4
    assert schedule(6, 6) == [1, 3, 5, 6, 6, 6]


def test_milestones_and_no_progress() -> None:
    assert schedule(3, 6, milestones=[1, 4]) == [1, 2, 2, 2, 3, 3]
    assert schedule(3, 3, milestones=[0, 0]) == [3, 3, 3]
    assert schedule(3, 3, progressive=False) == [3, 3, 3]


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'train__milestones': [2, 3]}, 'train.milestones: expected 1, one for each branch but the first, got 2'),
        ({'train__milestones': [-1]}, 'train.milestones: expected iterations in ascending order'),
        ({'train__milestones': [2], 'train__progressive': False}, 'milestones: expected none with progressive: false'),
        (
            {'train__milestones': 'auto', 'train__progressive': False},
            'milestones: expected none with progressive: false',
        ),
        ({'train__milestones': 'early'}, "train.milestones: expected a list of an integer or 'auto' or a block"),
        ({'train__milestones': {'window': 0}}, 'train.milestones.window: expected at least 1, got 0'),
        ({'train__milestones': {'window': 1}}, 'window: expected at most 0 iterations, half of the 1 that .*, got 1'),
        ({'train__distilation_opt': {}}, 'train.distilation_opt: expected a known key'),
        (
            {'network_g': {'type': 'IRCNN', 'num_in_ch': 1, 'num_out_ch': 1}},
            'network_g.type: expected FlexIR, got IRCNN',
        ),
        ({'network_t': NETWORK}, 'path.pretrain_network_t: expected weights of network_t, got none'),
    ],
)
def test_wrong_options_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    opt = options(tmp_path, **{**CHANGES, **{k: v for k, v in changes.items() if k != 'network_t'}})
    opt.update({key: value for key, value in changes.items() if key == 'network_t'})
    complete(opt, tmp_path, True)
    with pytest.raises(OptionError, match=message):
        FlexIRModel(opt)


# ---- the step ----


def plain_step(net: Any, teacher: Any, optimizer: torch.optim.Optimizer, data: dict[str, Tensor], active: int) -> float:
    """Eq. 5 with one backward pass."""
    with torch.no_grad():
        state = teacher.begin(data['lq'])
        for _ in range(teacher.num_branches):
            state = teacher.step(state)
    net.pointer = active
    loss = ProgressiveDistillationLoss()(net(data['lq']), data['gt'], state.feature)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


@pytest.mark.parametrize('scoring', [False, True])
@pytest.mark.parametrize('progressive', [False, True])
def test_steps_are_those_of_a_plain_loop(tmp_path: Path, scoring: bool, progressive: bool) -> None:
    block = {**NETWORK, 'channel_scoring': scoring}
    model = build(tmp_path, network_g=block, train__total_iter=4, train__progressive=progressive)
    net = build_network(block)
    net.load_state_dict(model.net_g.state_dict())
    teacher = copy.deepcopy(net).eval()
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    for iteration, active in enumerate([1, 2, 2] if progressive else [2, 2, 2], start=1):
        data = batch(seed=iteration)
        step(model, data, iteration)
        assert model.get_current_log() == {'l_distill': plain_step(net, teacher, optimizer, data, active)}
    for name, value in net.state_dict().items():
        assert torch.equal(model.net_g.state_dict()[name], value)
    for name, value in teacher.state_dict().items():
        assert torch.equal(model.net_t.state_dict()[name], value)


def test_a_teacher_without_weight_is_not_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The step is that of the ground truth alone."""
    loss = {'type': 'ProgressiveDistillationLoss', 'alpha': 0}
    model = build(tmp_path, train__distillation_opt=loss, train__progressive=False)
    net, data = copy.deepcopy(model.net_g), batch()
    monkeypatch.setattr(model, '_teacher_feature', lambda _: pytest.fail('the teacher was asked'))
    step(model, data)
    images = [branch.image for branch in net(data['lq'])]
    errors = [((image - data['gt']) ** 2 + 1e-6).sqrt().mean() for image in images]
    expected = sum(number * error for number, error in enumerate(errors, 1)) / sum(range(1, len(errors) + 1))
    assert model.get_current_log()['l_distill'] == pytest.approx(expected.item(), rel=1e-5)


def test_inactive_branches_do_not_move(tmp_path: Path) -> None:
    model = build(tmp_path)
    before = {name: value.clone() for name, value in model.net_g.state_dict().items()}
    step(model, batch())
    for name, value in model.net_g.named_parameters():
        inactive = name.startswith(('layers.1', 'tails.1'))
        assert (value.grad is None) == inactive
        assert torch.equal(before[name], value) == inactive, name


def test_detached_blocks_are_trained_one_by_one(tmp_path: Path) -> None:
    """The literal Algorithm 1: for each block a loss of its own, from what the block before gave."""
    model = build(tmp_path, train__detach_between_blocks=True, train__progressive=False)
    net = copy.deepcopy(model.net_g)
    data = batch()
    teacher = model._teacher_feature(data['lq'])
    states = [net.step(net.begin(data['lq']))]
    states.append(net.step(states[0]))
    loss = ProgressiveDistillationLoss()
    for j, state in enumerate(states, start=1):
        value = loss([(state.feature, net.restore(state), None)], data['gt'], teacher) * j / 3
        own = [*net.layers[j - 1].parameters(), *net.tails[j - 1].parameters()]
        own += [*net.conv_first.parameters(), *net.patch_embed.parameters()] if j == 1 else []
        for parameter, gradient in zip(own, torch.autograd.grad(value, own, retain_graph=True), strict=True):
            parameter.grad = gradient
    step(model, data)
    for (name, expected), parameter in zip(net.named_parameters(), model.net_g.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, expected.grad, msg=name)


def test_accumulation_is_a_large_batch(tmp_path: Path) -> None:
    logs, gradients = [], []
    for accumulate, size in ((1, 4), (2, 2)):
        changes = {'train__accum_iter': accumulate, 'datasets__train__batch_size_per_gpu': size}
        model = build(tmp_path, train__progressive=False, **changes)
        step(model, batch(4))
        logs.append(model.get_current_log()['l_distill'])
        gradients.append([parameter.grad for parameter in model.net_g.parameters()])
    assert logs[0] == pytest.approx(logs[1], rel=1e-5)
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


def test_mixed_precision_average_and_other_losses(tmp_path: Path) -> None:
    changes = {'train__pixel_opt': {'type': 'L1Loss'}, 'train__ema_decay': 0.5}
    opt = options(tmp_path, **{**CHANGES, **changes})
    complete(opt, tmp_path, True)
    model = FlexIRModel({**opt, 'use_amp': True, 'amp_bf16': True})
    before = {name: value.clone() for name, value in model.net_g_ema.state_dict().items()}
    step(model, batch())
    log = model.get_current_log()
    assert log.keys() == {'l_distill', 'l_pix'} and all(value > 0 for value in log.values())
    name = 'layers.0.conv.weight'
    torch.testing.assert_close(model.net_g_ema.state_dict()[name], (before[name] + model.net_g.state_dict()[name]) / 2)
    assert model.net_g_ema.pointer == model.net_g.pointer == 1
    model.feed_data({'lq': torch.rand(1, 1, 9, 11)})
    model.test()
    assert model.output.shape == (1, 1, 9, 11) and model.output.dtype == torch.float32


def test_a_pretrained_swinir_is_student_and_teacher(tmp_path: Path) -> None:
    block = {**NETWORK, 'type': 'SwinIR'}
    swinir = build_network(block)
    torch.save({'params': swinir.state_dict()}, tmp_path / 'swinir.pth')
    file = str(tmp_path / 'swinir.pth')
    model = build(tmp_path, path__pretrain_network_g=file, path__pretrain_network_t=file)
    for net in (model.net_g, model.net_t):
        assert torch.equal(net.tails[0].conv_last.weight, swinir.conv_last.weight)
        assert torch.equal(net.layers[1].conv.weight, swinir.layers[1].conv.weight)
    x = torch.rand(1, 1, 8, 8)
    expected = swinir.forward_features(swinir.conv_first(x))
    feature = swinir.norm(model._teacher_feature(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    torch.testing.assert_close(feature, expected, rtol=1e-4, atol=1e-5)
    assert not any(parameter.requires_grad for parameter in model.net_t.parameters())


def test_testing_uses_all_branches(tmp_path: Path) -> None:
    model = build(tmp_path, is_train=False)
    assert model.net_g.pointer == 2
    model.feed_data({'lq': torch.rand(1, 1, 10, 7)})
    model.test()
    assert model.output.shape == (1, 1, 10, 7)


# ---- stages that end early ----


def watch(model: FlexIRModel, losses: list[float], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Steps whose losses are given; the pointers of network and average in each."""
    found = []
    for iteration, loss in enumerate(losses, start=1):
        monkeypatch.setattr(model.stages, 'observe', _with(model.stages.observe, loss))
        step(model, batch(), iteration)
        monkeypatch.undo()
        assert model.net_g.pointer == model.net_g_ema.pointer
        found.append(model.net_g.pointer)
    return found


def _with(observe: Any, loss: float) -> Any:
    return lambda iteration, _: observe(iteration, loss)


def test_a_branch_is_active_from_the_iteration_after_a_plateau(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    early = {'window': 2, 'tolerance': 0.1}
    model = build(tmp_path, train__milestones=early, train__total_iter=48, train__ema_decay=0.9)
    assert model.stages.limit == 12
    with caplog.at_level('INFO', logger='basicsr'):
        assert watch(model, [4.0, 4.0, 3.0, 3.0, 2.8, 2.8, 0.1, 0.1], monkeypatch) == [1] * 6 + [2] * 2
    reason = 'the loss has stopped falling, the best mean of 2 iterations is 2.8.'
    assert [line for line in caplog.messages if 'active' in line] == [
        f'Branch 2 is active from iteration 7 on. Of branch 1 {reason}'
    ]


def test_a_stage_whose_loss_falls_lasts_its_share_of_the_first_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = build(tmp_path, train__milestones={'window': 2}, train__total_iter=16, train__ema_decay=0.9)
    with caplog.at_level('INFO', logger='basicsr'):
        pointers = watch(model, [1 / n for n in range(1, 9)], monkeypatch)
    assert pointers == schedule(2, 16)[:8] == [1] * 4 + [2] * 4
    assert 'Of branch 1 the stage is at its limit' in caplog.text


def test_the_loss_that_is_watched_is_that_of_the_newest_branch_on_the_whole_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = {**NETWORK, 'depths': [2, 2, 2], 'num_heads': [2, 2, 2]}
    changes = {'train__milestones': 'auto', 'train__total_iter': 48, 'train__accum_iter': 2}
    model = build(tmp_path, network_g=block, datasets__train__batch_size_per_gpu=2, **changes)
    model.stages.ends = [0]  # the second of three stages
    seen: list[float] = []
    monkeypatch.setattr(model.stages, 'observe', lambda iteration, loss: seen.append(loss))
    net, data = copy.deepcopy(model.net_g), batch(4)
    step(model, data)
    net.pointer = 2
    newest = net(data['lq'])[1]
    image = torch.sqrt((newest.image - data['gt']) ** 2 + 1e-6).mean()
    feature = (newest.feature - model._teacher_feature(data['lq'])).abs().mean()
    assert seen == [pytest.approx((0.9 * image + 0.1 * feature).item(), rel=1e-4)]


# ---- whole runs ----

RUN = {
    **CHANGES,
    'network_g': {**NETWORK, 'channel_scoring': True, 'drop_path_rate': 0.3},
    'datasets__train__gt_size': 8,
    'train__ema_decay': 0.9,
    'train__scheduler': {'type': 'LinearLR', 'start_factor': 1.0, 'end_factor': 0.0, 'total_iters': 8},
    'train__warmup_iter': 2,
    'train__total_iter': 8,
    'val__val_freq': 4,
    'logger__save_checkpoint_freq': 3,
}


def test_a_resumed_run_is_the_run_that_never_stopped(tmp_path: Path) -> None:
    """It stops while the second branch still waits, and its teacher is the network as it was at the start."""
    file = prepare(tmp_path, **RUN, train__milestones=[4])
    whole, resumed = tmp_path / 'whole', tmp_path / 'resumed'
    whole.mkdir()
    train(file, whole)
    shutil.copytree(whole, resumed)
    run = resumed / 'experiments/run'
    for name in ('training_states/6.state', 'training_states/8.state', 'models/net_g_8.pth', 'models/net_t_8.pth'):
        (run / name).unlink()
    assert 'Resuming training from iter: 3' in train(file, resumed, '--auto_resume')
    for name in ('models/net_g_8.pth', 'models/net_t_8.pth', 'training_states/8.state'):
        files = [folder / 'experiments/run' / name for folder in (whole, resumed)]
        assert_same(*(torch.load(file, weights_only=True) for file in files))
    assert lines(whole) == lines(resumed)


EARLY = {**RUN, 'train__milestones': {'window': 2, 'tolerance': 1.0}, 'train__total_iter': 32, 'val__val_freq': 16}


@pytest.mark.parametrize('stopped', [3, 6])  # in the middle of a window; after the stage has ended
def test_a_resumed_run_ends_its_stages_where_the_whole_run_did(tmp_path: Path, stopped: int) -> None:
    file = prepare(tmp_path, **{**EARLY, 'logger__save_checkpoint_freq': stopped})
    whole, resumed = tmp_path / 'whole', tmp_path / 'resumed'
    whole.mkdir()
    assert 'Branch 2 is active from iteration 5 on. Of branch 1 the loss has stopped falling' in train(file, whole)
    shutil.copytree(whole, resumed)
    run = resumed / 'experiments/run'
    for path in [*run.glob('training_states/*.state'), *run.glob('models/net_g_*.pth')]:
        if path.stem.removeprefix('net_g_') != str(stopped):
            path.unlink()
    assert f'Resuming training from iter: {stopped}' in train(file, resumed, '--auto_resume')
    for name in ('models/net_g_32.pth', 'training_states/32.state'):
        files = [folder / 'experiments/run' / name for folder in (whole, resumed)]
        assert_same(*(torch.load(file, weights_only=True) for file in files))
    assert lines(whole) == lines(resumed)


def test_a_state_with_foreign_stages_is_refused(tmp_path: Path) -> None:
    file = prepare(tmp_path, **EARLY)
    train(file, tmp_path)
    path = tmp_path / 'experiments/run/training_states/32.state'
    torch.save({**torch.load(path, weights_only=True), 'stages': {'ends': [4]}}, path)
    output = train(file, tmp_path, '--auto_resume', code=2)
    assert 'state of iteration 32: expected optimisers, schedules and generators of this model, got others' in output


def test_two_ranks_end_their_stages_together_and_by_the_losses_of_both(tmp_path: Path) -> None:
    one, two = tmp_path / 'one', tmp_path / 'two'
    block = {**NETWORK, 'channel_scoring': True}
    early = {**EARLY, 'network_g': block}
    train(prepare(one, **early, datasets__train__batch_size_per_gpu=4), one)
    file = prepare(two, **early, datasets__train__batch_size_per_gpu=2)
    output = run_ranks(['-m', 'basicsr_ext', 'train', '-opt', str(file), '--launcher', 'pytorch'], two)
    assert 'Branch 2 is active from iteration 5 on' in output[0]
    folders = [folder / 'experiments/run' for folder in (one, two)]
    seen = [torch.load(folder / 'training_states/3.state', weights_only=True)['stages'] for folder in folders]
    for name in ('lowest', 'sum'):  # of the first window, and of half of the second
        assert seen[0]['plateau'][name] == pytest.approx(seen[1]['plateau'][name], rel=1e-4)
    stages = [torch.load(folder / 'training_states/32.state', weights_only=True)['stages'] for folder in folders]
    assert stages[0]['ends'] == stages[1]['ends'] == [4]
    weights = [torch.load(folder / 'models/net_g_32.pth', weights_only=True) for folder in folders]
    for name, value in weights[0]['params'].items():
        torch.testing.assert_close(weights[1]['params'][name], value, rtol=1e-3, atol=1e-5)


def test_two_ranks_train_with_inactive_branches(tmp_path: Path) -> None:
    one, two = tmp_path / 'one', tmp_path / 'two'
    changes = {**RUN, 'network_g': {**NETWORK, 'channel_scoring': True}}
    train(prepare(one, **changes, datasets__train__batch_size_per_gpu=4), one)
    file = prepare(two, **changes, datasets__train__batch_size_per_gpu=2)
    run_ranks(['-m', 'basicsr_ext', 'train', '-opt', str(file), '--launcher', 'pytorch'], two)
    weights = [
        torch.load(folder / 'experiments/run/models/net_g_latest.pth', weights_only=True)['params']
        for folder in (one, two)
    ]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-3, atol=1e-5)
