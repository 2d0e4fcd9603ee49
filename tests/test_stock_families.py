"""An option file in the form of each family of BasicSR checks, trains, validates, saves and resumes on the CPU."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from basicsr.archs import vgg_arch

from tests.helpers.stock import run, small_vgg19

Options = dict[str, Any]
SCALE = 4


def picture(path: str, height: int, width: int, seed: int = 0) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    small = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3), np.uint8)
    cv2.imwrite(path, cv2.resize(small, (width, height)))


def pairs(scale: int = SCALE, side: int = 32) -> None:
    for number in range(3):
        picture(f'gt/{number}.png', side, side, number)
        picture(f'lq/{number}.png', side // scale, side // scale, number)


def clips() -> None:
    """Two clips of frames, as REDS lays them out, the list of them, and two short ones."""
    for folder, side in (('gt', 256), ('lq', 64)):
        picture(f'{folder}/frame.png', side, side)
        for clip in ('001', '002'):
            os.mkdir(f'{folder}/{clip}')
            for frame in range(100):
                os.link(f'{folder}/frame.png', f'{folder}/{clip}/{frame:08d}.png')
        for clip in ('000', '011'):  # for validation
            for frame in range(2):
                picture(f'few/{folder}/{clip}/{frame:08d}.png', side, side, frame)
    Path('clips.txt').write_text('001 100 (256,256,3)\n002 100 (256,256,3)\n')


def listed() -> None:
    """Images for Real-ESRGAN, and the list of them."""
    for number in range(4):
        picture(f'large/{number}.png', 440, 420, number)
    Path('list.txt').write_text('\n'.join(f'{number}.png' for number in range(4)))
    pairs()


def paired(kind: str = 'train', **keys: Any) -> Options:
    block = {'name': kind, 'type': 'PairedImageDataset', 'dataroot_gt': 'gt', 'dataroot_lq': 'lq'}
    return {**block, 'io_backend': {'type': 'disk'}, **keys}


def training(gt_size: int = 32, **keys: Any) -> Options:
    loading = {'num_worker_per_gpu': 0, 'batch_size_per_gpu': 2, 'dataset_enlarge_ratio': 1, 'prefetch_mode': None}
    return {'gt_size': gt_size, 'use_hflip': True, 'use_rot': True, **loading, **keys}


def video(kind: str, **keys: Any) -> Options:
    return paired(kind, meta_info_file='clips.txt', val_partition='REDS4', num_frame=3, interval_list=[1], **keys)


L1 = {'type': 'L1Loss', 'loss_weight': 1.0, 'reduction': 'mean'}
CHARBONNIER = {'type': 'CharbonnierLoss', 'loss_weight': 1.0, 'reduction': 'mean'}
ADAM = {'type': 'Adam', 'lr': 1e-4, 'weight_decay': 0, 'betas': [0.9, 0.99]}
PERCEPTUAL = {
    'type': 'PerceptualLoss', 'layer_weights': {'conv5_4': 1}, 'vgg_type': 'vgg19', 'use_input_norm': True,
    'range_norm': False, 'perceptual_weight': 1.0, 'style_weight': 0, 'criterion': 'l1',
}  # fmt: skip
GAN = {'type': 'GANLoss', 'gan_type': 'vanilla', 'real_label_val': 1.0, 'fake_label_val': 0.0, 'loss_weight': 5e-3}
ADVERSARIAL = {'perceptual_opt': PERCEPTUAL, 'gan_opt': GAN, 'net_d_iters': 1, 'net_d_init_iters': 0, 'optim_d': ADAM}
RRDB = {'type': 'RRDBNet', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 4, 'num_block': 1, 'num_grow_ch': 2}
UNET = {'type': 'UNetDiscriminatorSN', 'num_in_ch': 3, 'num_feat': 4, 'skip_connection': True}
KERNELS = ['iso', 'aniso', 'generalized_iso', 'generalized_aniso', 'plateau_iso', 'plateau_aniso']
DEGRADED = {
    'resize_prob': [0.2, 0.7, 0.1], 'resize_range': [0.15, 1.5], 'gaussian_noise_prob': 0.5, 'noise_range': [1, 30],
    'poisson_scale_range': [0.05, 3], 'gray_noise_prob': 0.4, 'jpeg_range': [30, 95], 'second_blur_prob': 0.8,
    'resize_prob2': [0.3, 0.4, 0.3], 'resize_range2': [0.3, 1.2], 'gaussian_noise_prob2': 0.5, 'noise_range2': [1, 25],
    'poisson_scale_range2': [0.05, 2.5], 'gray_noise_prob2': 0.4, 'jpeg_range2': [30, 95], 'gt_size': 64,
    'queue_size': 4, 'gt_usm': True, 'l1_gt_usm': True, 'percep_gt_usm': True, 'gan_gt_usm': False,
}  # fmt: skip
REALESRGAN = {
    'name': 'train', 'type': 'RealESRGANDataset', 'dataroot_gt': 'large', 'meta_info': 'list.txt',
    'io_backend': {'type': 'disk'}, 'blur_kernel_size': 21, 'kernel_list': KERNELS,
    'kernel_prob': [0.45, 0.25, 0.12, 0.03, 0.12, 0.03], 'sinc_prob': 0.1, 'blur_sigma': [0.2, 3],
    'betag_range': [0.5, 4], 'betap_range': [1, 2], 'blur_kernel_size2': 21, 'kernel_list2': KERNELS,
    'kernel_prob2': [0.45, 0.25, 0.12, 0.03, 0.12, 0.03], 'sinc_prob2': 0.1, 'blur_sigma2': [0.2, 1.5],
    'betag_range2': [0.5, 4], 'betap_range2': [1, 2], 'final_sinc_prob': 0.8, **training(64),
}  # fmt: skip

# name -> model, network, what else stands at the top, datasets, keys of `train`, and what makes the data.
FAMILIES: dict[str, tuple[str, Options, Options, Options, Options, Callable[[], None]]] = {
    'SRResNet': (
        'SRModel',
        {'type': 'MSRResNet', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 4, 'num_block': 1, 'upscale': SCALE},
        {}, {'train': paired(**training()), 'val': paired('val')}, {'pixel_opt': L1}, pairs,
    ),
    'RCAN': (
        'SRModel',
        {'type': 'RCAN', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 16, 'num_group': 1, 'num_block': 1,
         'squeeze_factor': 4, 'upscale': SCALE, 'img_range': 255.0, 'rgb_mean': [0.4488, 0.4371, 0.4040]},
        {}, {'train': paired(**training()), 'val': paired('val')}, {'pixel_opt': L1}, pairs,
    ),
    'ECBSR': (
        'SRModel',
        {'type': 'ECBSR', 'num_in_ch': 1, 'num_out_ch': 1, 'num_block': 1, 'num_channel': 4, 'with_idt': False,
         'act_type': 'prelu', 'scale': SCALE},
        {}, {'train': paired(**training(), color='y'), 'val': paired('val', color='y')},
        {'pixel_opt': L1, 'ema_decay': 0}, pairs,
    ),
    'SRGAN': (
        'SRGANModel',
        {'type': 'MSRResNet', 'num_in_ch': 3, 'num_out_ch': 3, 'num_feat': 4, 'num_block': 1, 'upscale': SCALE},
        {'network_d': {'type': 'VGGStyleDiscriminator', 'num_in_ch': 3, 'num_feat': 2}},
        {'train': paired(**training(128)), 'val': paired('val')}, {'pixel_opt': L1, **ADVERSARIAL},
        lambda: pairs(side=128),
    ),
    'Real-ESRNet': (
        'RealESRNetModel', RRDB, DEGRADED, {'train': REALESRGAN, 'val': paired('val')}, {'pixel_opt': L1}, listed,
    ),
    'Real-ESRGAN': (
        'RealESRGANModel', RRDB, {**DEGRADED, 'network_d': UNET}, {'train': REALESRGAN, 'val': paired('val')},
        {'pixel_opt': L1, **ADVERSARIAL}, listed,
    ),
    'LDL': (
        'RealESRGANModel', RRDB, {**DEGRADED, 'network_d': UNET}, {'train': REALESRGAN, 'val': paired('val')},
        {'pixel_opt': L1, 'ldl_opt': L1, **ADVERSARIAL}, listed,
    ),
    'BasicVSR': (
        'VideoRecurrentModel', {'type': 'BasicVSR', 'num_feat': 4, 'num_block': 1}, {'find_unused_parameters': True},
        {'train': video('train', type='REDSRecurrentDataset', test_mode=False, random_reverse=False, **training(256)),
         'val': paired('REDS4', type='VideoRecurrentTestDataset', dataroot_gt='few/gt', dataroot_lq='few/lq',
                       cache_data=True, num_frame=-1)},
        {'pixel_opt': CHARBONNIER, 'fix_flow': 1, 'flow_lr_mul': 0.125}, clips,
    ),
    'HiFaceGAN': (
        'HiFaceGANModel',
        {'type': 'HiFaceGAN', 'num_in_ch': 3, 'num_feat': 2, 'use_vae': False, 'z_dim': 4, 'crop_size': 64,
         'norm_g': 'spectralspadebatch3x3', 'is_train': False},
        {'network_d': {'type': 'HiFaceGANDiscriminator', 'num_in_ch': 3, 'num_out_ch': 3, 'conditional_d': True,
                       'num_feat': 4, 'norm_d': 'spectralinstance'}, 'scale': 1},
        {'train': paired(**training(64)), 'val': paired('val')},
        {'perceptual_opt': {**PERCEPTUAL, 'layer_weights': {'relu1_1': 1.0}},
         'gan_opt': {**GAN, 'type': 'MultiScaleGANLoss', 'gan_type': 'lsgan'},
         'optim_d': ADAM, 'net_d_iters': 1, 'net_d_init_iters': 0, 'ema_decay': 0},
        lambda: pairs(1, 64),
    ),
}  # fmt: skip


def write(model: str, network: Options, top: Options, datasets: Options, train: Options, **keys: Any) -> None:
    schedule = {'type': 'MultiStepLR', 'milestones': [2], 'gamma': 0.5}
    psnr = {'type': 'calculate_psnr', 'crop_border': 0, 'test_y_channel': False}
    opt = {
        'name': 'run', 'model_type': model, 'scale': SCALE, 'num_gpu': 0, 'manual_seed': 0, 'datasets': datasets,
        'network_g': network, 'path': {'pretrain_network_g': None, 'strict_load_g': True, 'resume_state': None},
        'train': {'ema_decay': 0.999, 'optim_g': ADAM, 'scheduler': schedule, 'total_iter': 2, **train},
        'val': {'val_freq': 2.0, 'save_img': False, 'metrics': {'psnr': psnr}},
        'logger': {'print_freq': 1, 'save_checkpoint_freq': 2.0, 'use_tb_logger': False, 'wandb': {'project': None}},
        'dist_params': {'backend': 'nccl', 'port': 29500}, **top,
    }  # fmt: skip
    opt['train'].update(keys)
    Path('run.yml').write_text(yaml.safe_dump(opt, sort_keys=False))


LONG = ('BasicVSR', 'LDL', 'Real-ESRGAN', 'Real-ESRNet')


@pytest.mark.parametrize(
    'family', [pytest.param(family, marks=pytest.mark.slow) if family in LONG else family for family in FAMILIES]
)
def test_a_family(family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(vgg_arch.vgg, 'vgg19', small_vgg19)
    *parts, make = FAMILIES[family]
    make()
    write(*parts)  # type: ignore[arg-type]
    assert run('train', '-opt', 'run.yml', '--check') == 0
    assert not Path('experiments').exists()
    assert run('train', '-opt', 'run.yml') == 0
    write(*parts, total_iter=3)  # type: ignore[arg-type]
    assert run('train', '-opt', 'run.yml', '--auto_resume') == 0
    log = max(Path('experiments/run').glob('train_*.log')).read_text()
    assert 'Resuming training from iter: 2.' in log
    assert {f'net_g_{iteration}.pth' for iteration in (2, 3)} <= set(os.listdir('experiments/run/models'))
    assert 'psnr' in Path('experiments/run/metrics.json').read_text()


def test_a_network_that_needs_compiled_operators_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    pairs(1, 64)
    faces = paired(type='FFHQDataset', mean=[0.5] * 3, std=[0.5] * 3, **training())
    net = {'out_size': 64, 'channel_multiplier': 2, 'resample_kernel': [1, 3, 3, 1]}
    write(
        'StyleGAN2Model',
        {'type': 'StyleGAN2Generator', 'num_style_feat': 8, 'num_mlp': 1, 'lr_mlp': 0.01, **net},
        {'network_d': {'type': 'StyleGAN2Discriminator', **net}},
        {'train': faces},
        {'gan_opt': {'type': 'GANLoss', 'gan_type': 'wgan_softplus', 'loss_weight': 1}, 'optim_d': ADAM},
    )
    assert run('train', '-opt', 'run.yml') == 2
    said = 'network_g.type: expected the compiled operators of BasicSR, which StyleGAN2Generator needs, got none.'
    assert f'basicsr-ext train: {said} Where there is a GPU, set BASICSR_JIT=True' in capsys.readouterr().err


def test_edvr_trains_where_torchvision_has_its_operator_and_else_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    clips()
    net = {'num_feat': 8, 'num_frame': 3, 'deformable_groups': 2, 'num_extract_block': 1, 'num_reconstruct_block': 1}
    write(
        'EDVRModel',
        {'type': 'EDVR', 'num_in_ch': 3, 'num_out_ch': 3, **net, 'with_tsa': False},
        {},
        {'train': video('train', type='REDSDataset', dataroot_flow=None, random_reverse=False, **training(64))},
        {'pixel_opt': CHARBONNIER, 'dcn_lr_mul': 1},
    )
    has_operator = hasattr(torch.ops.torchvision, 'deform_conv2d')
    assert run('train', '-opt', 'run.yml') == (0 if has_operator else 2)
    assert has_operator or 'datasets.train: expected input that EDVR takes, got' in capsys.readouterr().err
