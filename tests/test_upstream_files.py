"""Option files in the exact form of BasicSR's own run as they are: SwinIR, EDSR and ESRGAN, train, resume and test."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from basicsr.archs import build_network, vgg_arch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from basicsr_ext.options.calls import check_call
from basicsr_ext.options.load import OptionLoader
from basicsr_ext.training.loop import TrainingRun
from tests.helpers.stock import run, small_vgg19

TRAIN = """\
# general settings
name: {name}
model_type: {model}
scale: {scale}
num_gpu: 0  # set num_gpu: 0 for cpu mode
manual_seed: 0

# dataset and data loader settings
datasets:
  train:
    name: DIV2K
    type: PairedImageDataset
    dataroot_gt: datasets/DIV2K/HR_sub
    dataroot_lq: datasets/DIV2K/LR_sub
    {source}
    # (for lmdb)
    # dataroot_gt: datasets/DIV2K/DIV2K_train_HR_sub.lmdb
    filename_tmpl: '{{}}'
    io_backend:
      type: disk
      # (for lmdb)
      # type: lmdb

    gt_size: {gt_size}
    use_hflip: true
    use_rot: true

    # data loader
    num_worker_per_gpu: 0
    batch_size_per_gpu: 2
    dataset_enlarge_ratio: 100
    prefetch_mode: ~

  val:
    name: Set5
    type: PairedImageDataset
    dataroot_gt: datasets/Set5/GTmod12
    dataroot_lq: datasets/Set5/LR
    io_backend:
      type: disk

# network structures
{networks}

# path
path:
  pretrain_network_g: ~
  strict_load_g: true
  resume_state: ~

# training settings
train:
  ema_decay: 0.999
  optim_g:
    type: Adam
    lr: !!float 2e-4
    weight_decay: 0
    betas: [0.9, 0.99]
{optim_d}
  scheduler:
    type: MultiStepLR
    milestones: [2, 3]
    gamma: 0.5

  total_iter: 3
  warmup_iter: -1  # no warm up

  # losses
  pixel_opt:
    type: L1Loss
    loss_weight: !!float 1e-2
    reduction: mean
{gan}
# validation settings
val:
  val_freq: !!float 2e0
  save_img: {save_img}

  metrics:
    psnr: # metric name, can be arbitrary
      type: calculate_psnr
      crop_border: {scale}
      test_y_channel: false

# logging settings
logger:
  print_freq: 1
  save_checkpoint_freq: !!float 2e0
  use_tb_logger: true
  wandb:
    project: ~
    resume_id: ~

# dist training settings
dist_params:
  backend: nccl
  port: 29500
"""

TEST = """\
name: {name}_official
model_type: {model}
scale: {scale}
num_gpu: 0  # set num_gpu: 0 for cpu mode
manual_seed: 0

datasets:
  test_1:  # the 1st test dataset
    name: Set5
    type: PairedImageDataset
    dataroot_gt: datasets/Set5/GTmod12
    dataroot_lq: datasets/Set5/LR
    io_backend:
      type: disk

  test_2:
    name: DIV2K100
    type: PairedImageDataset
    dataroot_gt: datasets/DIV2K/valid_HR
    dataroot_lq: datasets/DIV2K/valid_LR
    filename_tmpl: '{{}}x{scale}'
    io_backend:
      type: disk

# network structures
{network_g}

# path
path:
  pretrain_network_g: experiments/{name}/models/net_g_latest.pth
  strict_load_g: true

# validation settings
val:
  save_img: true
  suffix: ~  # add suffix to saved images, if None, use exp name

  metrics:
    psnr: # metric name, can be arbitrary
      type: calculate_psnr
      crop_border: {scale}
      test_y_channel: false
    ssim:
      type: calculate_ssim
      crop_border: {scale}
      test_y_channel: false
"""

SWINIR = """\
network_g:
  type: SwinIR
  upscale: 4
  in_chans: 3
  img_size: 8
  window_size: 8
  img_range: 1.
  depths: [2]
  embed_dim: 12
  num_heads: [2]
  mlp_ratio: 2
  upsampler: 'pixelshuffle'
  resi_connection: '1conv'
"""

EDSR = """\
network_g:
  type: EDSR
  num_in_ch: 3
  num_out_ch: 3
  num_feat: 4
  num_block: 1
  upscale: 2
  res_scale: 1
  img_range: 255.
  rgb_mean: [0.4488, 0.4371, 0.4040]
"""

RRDBNET = """\
network_g:
  type: RRDBNet
  num_in_ch: 3
  num_out_ch: 3
  num_feat: 4
  num_block: 1
"""

DISCRIMINATOR = """
network_d:
  type: VGGStyleDiscriminator
  num_in_ch: 3
  num_feat: 2
"""

OPTIM_D = """\
  optim_d:
    type: Adam
    lr: !!float 1e-4
    weight_decay: 0
    betas: [0.9, 0.99]
"""

GAN = """\
  perceptual_opt:
    type: PerceptualLoss
    layer_weights:
      'conv5_4': 1  # before relu
    vgg_type: vgg19
    use_input_norm: true
    range_norm: false
    perceptual_weight: 1.0
    style_weight: 0
    criterion: l1
  gan_opt:
    type: GANLoss
    gan_type: vanilla
    real_label_val: 1.0
    fake_label_val: 0.0
    loss_weight: !!float 5e-3

  net_d_iters: 1
  net_d_init_iters: 0
"""

PLAIN = {'optim_d': '', 'gan': '', 'save_img': 'false'}
FAMILIES: dict[str, dict[str, Any]] = {
    'SwinIR': {
        'name': 'train_SwinIR_SRx4',
        'model': 'SwinIRModel',
        'scale': 4,
        'gt_size': 32,
        'source': 'meta_info_file: meta_info_DIV2K800sub_GT.txt',
        'network_g': SWINIR,
        'networks': SWINIR,
        **PLAIN,
    },
    'EDSR': {
        'name': '201_EDSR_Mx2_f64b16_DIV2K_300k_B16G1_wandb',
        'model': 'SRModel',
        'scale': 2,
        'gt_size': 16,
        'source': '',
        'network_g': EDSR,
        'networks': EDSR,
        **PLAIN,
    },
    'ESRGAN': {
        'name': '052_ESRGAN_x4',
        'model': 'ESRGANModel',
        'scale': 4,
        'gt_size': 128,
        'source': '',
        'network_g': RRDBNET,
        'networks': RRDBNET + DISCRIMINATOR,
        'optim_d': OPTIM_D,
        'gan': GAN,
        'save_img': 'true',
    },
}


def log_of(name: str) -> str:
    """The newest log of an experiment."""
    return max(Path('experiments', name).glob('train_*.log')).read_text()


def make_pairs(gt: str, lq: str, gt_size: int, scale: int, names: list[str], template: str = '{}') -> None:
    os.makedirs(gt)
    os.makedirs(lq)
    rng = np.random.default_rng(0)
    for name in names:
        small = rng.integers(0, 256, (gt_size // scale, gt_size // scale + 3, 3), np.uint8)
        large = cv2.resize(small, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(f'{gt}/{name}.png', large)
        cv2.imwrite(f'{lq}/{template.format(name)}.png', small)


@pytest.fixture(scope='module', params=['SwinIR', pytest.param('EDSR', marks=pytest.mark.slow), 'ESRGAN'])
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A folder in which a family was trained for 3 iterations, resumed up to 5, and tested."""
    values = FAMILIES[request.param]
    scale, size = values['scale'], values['gt_size']
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp(request.param))
        patch.setattr(vgg_arch, 'vgg', SimpleNamespace(vgg19=small_vgg19))
        patch.setattr(TrainingRun, '_draw_curve', lambda self: None)  # takes most of the time
        make_pairs(
            'datasets/DIV2K/HR_sub', 'datasets/DIV2K/LR_sub', size, scale, ['0001_s001', '0001_s002', '0002_s001']
        )
        make_pairs('datasets/Set5/GTmod12', 'datasets/Set5/LR', 9 * scale, scale, ['baby', 'bird'])
        make_pairs('datasets/DIV2K/valid_HR', 'datasets/DIV2K/valid_LR', 8 * scale, scale, ['0801'], f'{{}}x{scale}')
        Path('meta_info_DIV2K800sub_GT.txt').write_text('0001_s001.png (480,480,3)\n0002_s001.png (480,480,3)\n')
        Path('train.yml').write_text(TRAIN.format(**values))
        Path('test.yml').write_text(TEST.format(**values))
        checked = run('train', '-opt', 'train.yml', '--check')
        clean = not Path('experiments').exists() and not Path('tb_logger').exists()
        trained = run('train', '-opt', 'train.yml')
        metrics = json.loads(Path('experiments', values['name'], 'metrics.json').read_text())
        train_log = log_of(values['name'])  # a log is named by the second: the next one may replace it here
        resumed = run('train', '-opt', 'train.yml', '--auto_resume', '--force_yml', 'train:total_iter=5')
        resume_log = log_of(values['name'])
        straight = run('train', '-opt', 'train.yml', '--set', 'name=straight', 'train.total_iter=5')
        tested = run('test', '-opt', 'test.yml')
        yield SimpleNamespace(
            kind=request.param,
            folder=Path('experiments', values['name']).absolute(),
            results=Path('results', f'{values["name"]}_official').absolute(),
            tensorboard=Path('tb_logger', values['name']).absolute(),
            networks=['net_g', 'net_d'] if request.param == 'ESRGAN' else ['net_g'],
            metrics=metrics,
            clean=clean,
            train_log=train_log,
            resume_log=resume_log,
            codes=[checked, trained, resumed, straight, tested],
            train_opt=yaml.load(TRAIN.format(**values), OptionLoader),
        )


def load(path: Path) -> Any:
    return torch.load(path, weights_only=True)


def test_every_job_ends_well(family: SimpleNamespace) -> None:
    assert family.codes == [0, 0, 0, 0, 0]
    assert family.clean


def test_what_basicsr_writes(family: SimpleNamespace) -> None:
    models = {path.name for path in (family.folder / 'models').iterdir()}
    # 2 by save_checkpoint_freq, 3 as the last iteration, then 4 and 5 after the resume
    assert models == {
        *(f'{net}_{label}.pth' for net in family.networks for label in (2, 3, 4, 5, 'latest')),
        'net_g_best.pth',
    }
    states = {path.name for path in (family.folder / 'training_states').iterdir()}
    assert states == {f'{label}.state' for label in (2, 3, 4, 5)}
    assert (family.folder / 'train.yml').is_file()
    assert list(family.tensorboard.glob('events.*'))
    assert re.findall(r'iter: +(\d), lr', family.train_log) == ['1', '2', '3']
    assert re.findall(r'iter: +(\d), lr', family.resume_log) == ['4', '5']
    assert 'Saving models and training states.' in family.train_log


def test_images_are_saved_where_asked(family: SimpleNamespace) -> None:
    saved = {str(path.relative_to(family.folder / 'visualization')) for path in family.folder.glob('visualization/*/*')}
    iterations = (2, 3, 4, 5) if family.kind == 'ESRGAN' else ()
    assert saved == {f'{name}/{name}_{iteration}.png' for name in ('baby', 'bird') for iteration in iterations}


def test_the_networks_are_those_of_the_file(family: SimpleNamespace) -> None:
    state = load(family.folder / 'models' / 'net_g_3.pth')
    assert set(state) == {'params', 'params_ema', 'network'}
    network = build_network(family.train_opt['network_g'])
    network.load_state_dict(state['params'])
    assert any(not torch.equal(state['params'][name], state['params_ema'][name]) for name in state['params'])


def test_training_changes_every_network(family: SimpleNamespace) -> None:
    for name in family.networks:
        second, third = (load(family.folder / 'models' / f'{name}_{label}.pth')['params'] for label in (2, 3))
        assert any(not torch.equal(second[key], third[key]) for key in second)


def test_the_scheduler_is_followed(family: SimpleNamespace) -> None:
    lines = [json.loads(line) for line in (family.folder / 'training_log.jsonl').read_text().splitlines()]
    lines = [line for line in lines if 'lrs' in line]  # the others are validations
    assert [line['iter'] for line in lines] == [1, 2, 3, 4, 5]
    assert [line['lrs'][0] for line in lines] == pytest.approx([2e-4, 2e-4, 1e-4, 5e-5, 5e-5])
    losses = {'l_pix'} if family.kind != 'ESRGAN' else {'l_g_pix', 'l_g_percep', 'l_g_gan', 'l_d_real', 'l_d_fake'}
    assert all(losses <= set(line) for line in lines)


def test_metrics_of_the_last_validation(family: SimpleNamespace) -> None:
    images = family.metrics['per_image']['Set5']
    assert set(images) == {'baby', 'bird'}
    assert family.metrics['Set5']['psnr'] == pytest.approx(np.mean([image['psnr'] for image in images.values()]))
    assert 0 < family.metrics['Set5']['psnr'] < 60


def test_resuming_continues(family: SimpleNamespace) -> None:
    assert not list(family.folder.parent.glob('*_archived_*'))
    assert 'Resuming training from iter: 3.' in family.resume_log
    states = [load(family.folder / 'training_states' / f'{label}.state') for label in (3, 5)]
    assert [state['iter'] for state in states] == [3, 5]
    for label, optimizer in ((3, states[0]['optimizers'][0]), (5, states[1]['optimizers'][0])):
        assert {int(moment['step']) for moment in optimizer['state'].values()} == {label}
    assert len(states[1]['optimizers']) == len(family.networks)


def test_the_resumed_run_equals_one_never_stopped(family: SimpleNamespace) -> None:
    for name in family.networks:
        resumed, straight = (
            load(folder / 'models' / f'{name}_5.pth') for folder in (family.folder, family.folder.parent / 'straight')
        )
        assert resumed.keys() == straight.keys()
        assert resumed.pop('network') == straight['network']
        for key in resumed:
            assert all(torch.equal(resumed[key][weight], straight[key][weight]) for weight in resumed[key])


def test_latest_is_the_last(family: SimpleNamespace) -> None:
    last, latest = (load(family.folder / 'models' / f'net_g_{label}.pth')['params'] for label in (5, 'latest'))
    assert all(torch.equal(last[key], latest[key]) for key in last)


def test_results_of_test(family: SimpleNamespace) -> None:
    metrics = json.loads((family.results / 'metrics.json').read_text())
    assert set(metrics) == {'Set5', 'DIV2K100', 'per_image'}
    for name, images in (('Set5', {'baby', 'bird'}), ('DIV2K100', {'0801'})):
        assert set(metrics[name]) == {'psnr', 'ssim'}
        assert {image.removesuffix('x2').removesuffix('x4') for image in metrics['per_image'][name]} == images
        assert len(list((family.results / 'visualization' / name).glob(f'*_{family.results.name}.png'))) == len(images)
    log = ''.join(path.read_text() for path in family.results.glob('test_*.log'))
    assert '# psnr:' in log
    assert f'{metrics["Set5"]["psnr"]:.4f}' in log


def test_saved_images_have_the_measured_psnr(family: SimpleNamespace) -> None:
    """An independent reading of what `test` wrote: PSNR of the PNGs inside the border."""
    scale = family.train_opt['scale']
    metrics = json.loads((family.results / 'metrics.json').read_text())
    path = family.results / 'visualization' / 'Set5' / f'baby_{family.results.name}.png'
    truth = cv2.imread(str(family.folder.parents[1] / 'datasets' / 'Set5' / 'GTmod12' / 'baby.png'))
    inside = np.s_[scale:-scale, scale:-scale]
    error = (cv2.imread(str(path))[inside].astype(float) - truth[inside].astype(float)) ** 2
    assert metrics['per_image']['Set5']['baby']['psnr'] == pytest.approx(10 * np.log10(255**2 / error.mean()), abs=1e-6)


# ---- the networks of BasicSR's own files, in their full size ----

FULL_SIZE: dict[str, tuple[str, float]] = {
    'SwinIR x4': (
        '{type: SwinIR, upscale: 4, in_chans: 3, img_size: 48, window_size: 8, img_range: 1.,'
        ' depths: [6, 6, 6, 6, 6, 6], embed_dim: 180, num_heads: [6, 6, 6, 6, 6, 6], mlp_ratio: 2,'
        " upsampler: 'pixelshuffle', resi_connection: '1conv'}",
        11.90,
    ),
    'EDSR M x2': (
        '{type: EDSR, num_in_ch: 3, num_out_ch: 3, num_feat: 64, num_block: 16, upscale: 2, res_scale: 1,'
        ' img_range: 255., rgb_mean: [0.4488, 0.4371, 0.4040]}',
        1.37,
    ),
    'ESRGAN generator': (
        '{type: RRDBNet, num_in_ch: 3, num_out_ch: 3, num_feat: 64, num_block: 23, num_grow_ch: 32}',
        16.70,
    ),
    'ESRGAN discriminator': ('{type: VGGStyleDiscriminator, num_in_ch: 3, num_feat: 64}', 14.50),
}


@pytest.mark.parametrize('name', FULL_SIZE)
def test_full_size_networks_build(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of the original files are accepted and give the published numbers of parameters (in millions)."""
    text, millions = FULL_SIZE[name]
    block = yaml.load(text, OptionLoader)
    check_call(ARCH_REGISTRY.get(block['type']), block, 'network_g')
    for initialise in ('kaiming_normal_', 'kaiming_uniform_', 'trunc_normal_'):  # values do not matter here
        monkeypatch.setattr(nn.init, initialise, lambda tensor, *args, **kwargs: tensor)
    monkeypatch.setattr('basicsr.archs.swinir_arch.trunc_normal_', _leave)
    network = build_network(block)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.01)


def _leave(tensor: Tensor, std: float = 1.0) -> Tensor:
    return tensor
