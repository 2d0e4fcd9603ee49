"""The complexity scorer: its network, its labels, its training and what validation says of it."""

import csv
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from basicsr.archs import build_network
from basicsr.data import build_dataset
from PIL import Image

from basicsr_ext.archs.complexity_scorer_arch import ComplexityScorer
from basicsr_ext.data.complexity_label_dataset import measure_range
from basicsr_ext.data.label_file import read_labels
from basicsr_ext.errors import CheckpointError, DataError, OptionError
from basicsr_ext.images.pixels import resize_square
from basicsr_ext.jobs.checks import check_options
from basicsr_ext.options.complete import complete
from basicsr_ext.reports.agreement import shares
from basicsr_ext.runtime import interrupt
from basicsr_ext.schedule.sampling import ScheduledIndex
from basicsr_ext.selection.correlation import pearson, rank_correlations
from tests.helpers.processes import run, run_ranks
from tests.helpers.training import assert_same, assert_same_runs, train

timm: Any = pytest.importorskip('timm')


def scorer(backbone: str = 'test_resnet', **arguments: Any) -> ComplexityScorer:
    torch.manual_seed(0)
    return ComplexityScorer(backbone, **arguments).eval()


# ---- the network ----


@pytest.mark.parametrize('backbone', ['test_resnet', 'test_vit', 'mixer_s32_224', 'test_efficientnet'])
@torch.no_grad()
def test_one_number_between_0_and_1(backbone: str) -> None:
    net = scorer(backbone)
    scores = net(torch.rand(2, 3, 150, 90))
    assert scores.shape == (2, 1)
    assert ((scores > 0) & (scores < 1)).all()


@pytest.mark.parametrize('backbone', ['test_resnet', 'test_vit', 'test_efficientnet'])
@torch.no_grad()
def test_the_output_is_that_of_timm_on_normalised_images(backbone: str) -> None:
    net, images = scorer(backbone), torch.rand(2, 3, 128, 128)
    size = {'img_size': 128} if 'vit' in backbone else {}
    reference = timm.create_model(backbone, num_classes=1, **size).eval()
    reference.load_state_dict(net.backbone.state_dict())
    config = timm.data.resolve_data_config(model=reference)
    normalised = [(images[:, c] - config['mean'][c]) / config['std'][c] for c in range(3)]
    assert torch.allclose(net(images), reference(torch.stack(normalised, 1)).sigmoid(), atol=1e-6)


@torch.no_grad()
def test_images_are_reduced_inside() -> None:
    net, images = scorer(), torch.rand(1, 3, 200, 150)
    assert torch.equal(net(images), net(resize_square(images, 128)))
    small = torch.rand(1, 3, 128, 128)
    assert resize_square(small, 128) is small


def test_reducing_is_that_of_pillow() -> None:
    """Pillow's bilinear filter is antialiased too."""
    image = np.random.default_rng(0).random((200, 150), dtype=np.float32)
    expected = np.asarray(Image.fromarray(image).resize((64, 64), Image.Resampling.BILINEAR))
    reduced = resize_square(torch.from_numpy(image)[None, None], 64)[0, 0].numpy()
    assert np.abs(reduced - expected).max() < 1e-4


@torch.no_grad()
def test_a_grey_image_is_one_of_three_equal_channels() -> None:
    net, grey = scorer(), torch.rand(2, 1, 140, 130)
    assert torch.equal(net(grey), net(grey.expand(-1, 3, -1, -1)))


@pytest.mark.parametrize(
    ('backbone', 'shape'), [('test_resnet', (96, 4, 4)), ('test_vit', (64, 8, 8)), ('mixer_s32_224', (512, 4, 4))]
)
@torch.no_grad()
def test_features_are_a_map(backbone: str, shape: tuple[int, int, int]) -> None:
    assert scorer(backbone).features(torch.rand(2, 3, 160, 128)).shape == (2, *shape)


@torch.no_grad()
def test_features_are_what_the_head_of_timm_reads() -> None:
    net, images = scorer(), torch.rand(2, 3, 128, 128)
    assert torch.allclose(net.backbone.forward_head(net.features(images)).sigmoid(), net(images), atol=1e-6)


def test_the_mean_is_no_weight() -> None:
    assert all(name.startswith('backbone.') for name in scorer().state_dict())


# ---- what the network starts from ----


@pytest.mark.parametrize('ending', ['.pth', '.safetensors'])
def test_weights_of_a_classifier_without_its_head(ending: str, tmp_path: Path) -> None:
    """Trained at 160 x 160, so that the position embedding of a ViT changes its size."""
    torch.manual_seed(1)
    trained = timm.create_model('test_vit', num_classes=10).state_dict()
    path = tmp_path / f'trained{ending}'
    if ending == '.pth':
        torch.save({'state_dict': trained}, path)
    else:
        from safetensors.torch import save_file

        save_file(trained, path)
    net = scorer('test_vit', checkpoint=str(path)).backbone.state_dict()
    same = [name for name, value in net.items() if value.shape == trained[name].shape]
    assert set(net) - set(same) == {'pos_embed', 'head.weight', 'head.bias'}
    assert all(torch.equal(net[name], trained[name]) for name in same)
    assert torch.allclose(net['pos_embed'][:, 0], trained['pos_embed'][:, 0])  # of the class token


def test_a_file_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'other.pth'
    with pytest.raises(CheckpointError, match='expected a file of weights, got FileNotFoundError'):
        scorer(checkpoint=str(path))
    torch.save(timm.create_model('test_vit').state_dict(), path)
    with pytest.raises(CheckpointError, match='expected weights of test_resnet of timm, got none for conv1'):
        scorer(checkpoint=str(path))
    torch.save(scorer().state_dict(), path)
    with pytest.raises(CheckpointError, match='weights of a trained scorer belong into path.pretrain_network_g'):
        scorer(checkpoint=str(path))
    torch.save(timm.create_model('mixer_s32_224').state_dict(), path)
    with pytest.raises(CheckpointError, match='expected weights that fit mixer_s32_224 with .*Name the input_size'):
        scorer('mixer_s32_224', checkpoint=str(path))


def test_weights_that_cannot_be_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    create = timm.create_model

    def offline(name: str, pretrained: bool = False, **arguments: Any) -> Any:
        if pretrained:
            raise OSError('no such host')
        return create(name, **arguments)

    monkeypatch.setattr(timm, 'create_model', offline)
    with pytest.raises(OptionError, match="expected timm's weights of test_resnet .*OSError: no such host.*checkpoint"):
        scorer(pretrained=True)
    with pytest.raises(OptionError, match='pretrained: expected false beside a checkpoint'):
        scorer(pretrained=True, checkpoint='a.pth')


def test_without_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'timm', None)
    with pytest.raises(OptionError, match=r'expected timm to be installed.*pip install "basicsr-ext\[distill\]"'):
        scorer()


def test_backbones_that_cannot_be_built() -> None:
    with pytest.raises(OptionError, match="expected a model of timm .*got 'resnet5O'.*resnet50"):
        scorer('resnet5O')
    with pytest.raises(OptionError, match='expected one that can be built with'):
        scorer('test_vit', drop_path_rate='much')


# ---- the labels ----


def write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)


def write_known(folder: Path) -> Path:
    """Images of 0, 1 and 8 bits, the last one in colour."""
    write(folder / 'constant.png', np.full((32, 40), 77, np.uint8))
    write(folder / 'stripes.png', np.tile(np.array([10, 200], np.uint8), (32, 20)))
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    write(folder / 'ramp.png', np.stack([ramp] * 3, 2))
    return folder


def dataset(folder: Path, phase: str = 'train', **options: Any) -> Any:
    block = {'name': 'data', 'type': 'ComplexityLabelDataset', 'dataroot_gt': str(folder), 'phase': phase, **options}
    return build_dataset(block)


def labels_of(data: Any) -> dict[str, float]:
    samples = [data[ScheduledIndex(index, 0, 1, index)] for index in range(len(data))]
    return {Path(sample['gt_path']).stem: sample['gt'].item() for sample in samples}


def test_labels_of_known_entropy(tmp_path: Path) -> None:
    folder = write_known(tmp_path / 'images')
    expected = {'constant': 0, 'stripes': 1 / 8, 'ramp': 1}
    assert labels_of(dataset(folder)) == pytest.approx(expected)
    assert labels_of(dataset(folder, label_range=[1, 5])) == pytest.approx({'constant': 0, 'stripes': 0, 'ramp': 1})
    assert labels_of(dataset(folder, label_range=[-8, 8])) == pytest.approx(
        {'constant': 0.5, 'stripes': 9 / 16, 'ramp': 1}
    )


def test_other_images_are_labelled_by_the_range_of_the_training_set(tmp_path: Path) -> None:
    folder = write_known(tmp_path / 'train')
    write(tmp_path / 'val' / 'four.png', np.tile(np.arange(4, dtype=np.uint8), (8, 8)))
    assert labels_of(dataset(tmp_path / 'val', 'val', dataroot_range=str(folder))) == pytest.approx({'four': 2 / 8})
    (tmp_path / 'names.txt').write_text('constant.png\nstripes.png\n')
    named = dataset(tmp_path / 'val', 'val', dataroot_range=str(folder), meta_info_range=str(tmp_path / 'names.txt'))
    assert (named.low, named.high) == (0, 1)


def test_a_sample_is_a_reduced_image_and_its_label(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (90, 150, 3), np.uint8)
    write(tmp_path / 'a.png', image)
    sample = dataset(tmp_path, 'val', label_range=[0, 8], input_size=48)[0]
    rgb = torch.from_numpy(image[..., ::-1] / np.float32(255)).permute(2, 0, 1)
    assert torch.equal(sample['lq'], resize_square(rgb[None], 48)[0])
    counts = np.bincount(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).ravel(), minlength=256) / (90 * 150)
    bits = -sum(share * np.log2(share) for share in counts if share)
    assert sample['gt'].shape == (1,) and sample['gt'].item() == pytest.approx(bits / 8)
    assert sample['lq_path'] == sample['gt_path'] == str(tmp_path / 'a.png')


def test_flips_while_training_keep_the_label(tmp_path: Path) -> None:
    write_known(tmp_path)
    data = dataset(tmp_path)
    index = data.files.names.index('stripes.png')
    samples = [data[ScheduledIndex(index, 0, iteration, 0)] for iteration in range(1, 20)]
    assert len({sample['gt'].item() for sample in samples}) == 1
    assert len({sample['lq'].numpy().tobytes() for sample in samples}) > 1
    plain = dataset(tmp_path, use_hflip=False, use_rot=False)
    assert torch.equal(plain[ScheduledIndex(index, 0, 1, 0)]['lq'], plain[ScheduledIndex(index, 0, 2, 0)]['lq'])


def test_a_file_replaces_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, file = write_known(tmp_path / 'images'), tmp_path / 'labels.csv'
    file.write_text('path,label,prediction\nstripes.png,0.75,0.1\n')
    expected = {'constant': 0, 'stripes': 0.75, 'ramp': 1}
    assert labels_of(dataset(folder, labels=str(file))) == pytest.approx(expected)
    monkeypatch.setenv('HOME', str(tmp_path))
    for path in ('stripes.png', 'stripes', 'stripes.JPG'):  # as in an LMDB, or in another format
        file.write_text(f'note,label,path\nx,0.75,{path}\n', encoding='utf-8-sig')  # as a spreadsheet writes it
        assert labels_of(dataset(folder, labels='~/labels.csv')) == pytest.approx(expected)


def test_labels_of_images_that_differ_in_their_ending_alone_are_refused(tmp_path: Path) -> None:
    file = tmp_path / 'labels.csv'
    file.write_text('path,label\na.png,0.5\n')
    with pytest.raises(DataError, match='expected image names that differ, not counting their endings, got a.png; a.J'):
        read_labels(str(file), ['a.png', 'a.JPG', 'b.png'], 'labels')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('path,label\nnone.png,0.5\n', 'expected images of the dataset, got none.png'),
        ('path,label\nramp.png,0.5\nramp.png,0.6\n', 'expected each image once, got ramp.png; ramp.png'),
        ('path,label\nramp.png,1.5\n', r"expected labels in \[0, 1\], got '1.5' of ramp.png"),
        ('path,label\nramp.png\n', r"expected labels in \[0, 1\], got '' of ramp.png"),
        ('name,label\nramp.png,0.5\n', r'expected the columns path and label in .*labels.csv, got \[.name., .label.\]'),
        ('', r'expected the columns path and label in .*labels.csv, got \[\]'),
    ],
)
def test_wrong_files_of_labels(text: str, message: str, tmp_path: Path) -> None:
    folder, file = write_known(tmp_path / 'images'), tmp_path / 'labels.csv'
    file.write_text(text)
    with pytest.raises(DataError, match=message):
        dataset(folder, labels=str(file))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'phase': 'val'}, 'label_range: expected the range of the training set, got none'),
        ({'gt_size': 32}, 'gt_size: expected ~, as a crop has another complexity'),
        ({'label_range': [3, 2]}, r'label_range: expected \[least, largest\], got \[3, 2\]'),
        ({'label_range': [2, 3], 'dataroot_range': '.'}, 'dataroot_range: expected ~ beside label_range'),
        ({'meta_info_range': 'a.txt'}, 'meta_info_range: expected dataroot_range beside it'),
        ({'input_size': 0}, 'input_size: expected at least 1, got 0'),
        ({'labels': 'none.csv'}, 'labels: expected a CSV file'),
    ],
)
def test_wrong_options_of_labels(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises((OptionError, DataError), match=message):
        dataset(write_known(tmp_path), **options)


def test_images_of_equal_entropy_have_no_range(tmp_path: Path) -> None:
    write(tmp_path / 'a.png', np.zeros((8, 8), np.uint8))
    with pytest.raises(DataError, match='expected images of different entropy'):
        measure_range(str(tmp_path), None)


def test_the_measuring_of_the_range_can_be_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_known(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(interrupt, 'requested', lambda: True)
        with pytest.raises(interrupt.Interrupted):
            measure_range(str(tmp_path), None)
    assert measure_range(str(tmp_path), None) == pytest.approx((0, 8))


# ---- agreement ----


def test_shares_have_the_coefficients_as_means() -> None:
    rng = np.random.default_rng(0)
    labels, noise = rng.integers(0, 9, 30).astype(float), rng.standard_normal(30)
    predictions = np.exp(labels + noise)
    values = {name: column.mean() for name, column in shares(labels, predictions).items()}
    assert values['spearman'] == pytest.approx(rank_correlations([labels, predictions])[0, 1])
    assert values['pearson'] == pytest.approx(pearson([labels, predictions])[0, 1])
    assert values['mse'] == pytest.approx(np.mean([(p - q) ** 2 for p, q in zip(labels, predictions, strict=True)]))
    assert shares(labels, np.ones(30))['spearman'].tolist() == [0] * 30


# ---- training ----


def write_noise(folder: Path, number: int) -> None:
    """Noise of 2 to 256 levels: entropy and contrast grow with the number of the image."""
    rng = np.random.default_rng(number)
    for index in range(number):
        levels = int(2 ** (1 + 7 * index / (number - 1)))
        low = (256 - levels) // 2
        write(folder / f'{index:02d}.png', rng.integers(low, low + levels, (40, 48, 3), dtype=np.uint8))


def prepare(root: Path, total_iter: int = 6, **network: Any) -> Path:
    write_noise(root / 'train', 24)
    data = {'type': 'ComplexityLabelDataset', 'dataroot_gt': str(root / 'train'), 'input_size': 32}
    opt = {
        'name': 'run',
        'model_type': 'ComplexityScorerModel',
        'num_gpu': 0,
        'manual_seed': 3,
        'use_channels_last': True,
        'datasets': {
            'train': {'name': 'train', **data, 'batch_size_per_gpu': 8, 'num_worker_per_gpu': 0},
            'val': {'name': 'val', **data, 'dataroot_range': str(root / 'train')},
        },
        'network_g': {'type': 'ComplexityScorer', 'backbone': 'test_resnet', 'input_size': 32, **network},
        'path': {'pretrain_network_g': None},
        'train': {
            'total_iter': total_iter,
            'optim_g': {'type': 'AdamW', 'lr': 1e-3},
            'ema_decay': 0.8,
            'pixel_opt': {'type': 'MSELoss'},
        },
        'val': {'val_freq': total_iter, 'save_img': True},
        'logger': {'print_freq': 1, 'save_checkpoint_freq': 100},
    }
    file = root / 'run.yml'
    file.write_text(yaml.safe_dump(opt))
    return file


def test_it_learns_the_entropy_of_noise(tmp_path: Path) -> None:
    file = prepare(tmp_path, total_iter=60)
    assert 'the first one fits the network' in train(file, tmp_path, '--check')
    output = train(file, tmp_path)
    folder = tmp_path / 'experiments/run'
    losses = [line['l_pix'] for line in map(json.loads, (folder / 'training_log.jsonl').open()) if 'l_pix' in line]
    assert np.mean(losses[-10:]) < 0.3 * np.mean(losses[:10])
    found = json.loads((folder / 'metrics.json').read_text())['val']
    assert found['spearman'] > 0.8 and found['pearson'] > 0.8 and found['mse'] < 0.03
    assert f'Best spearman on val: {found["spearman"]:.4f}; saved net_g_best.pth.' in output
    rows = list(csv.DictReader((folder / 'visualization/val/val_60.csv').open()))
    errors = [abs(float(row['label']) - float(row['prediction'])) for row in rows]
    assert len(rows) == 24 and errors == sorted(errors, reverse=True)
    assert found['mse'] == pytest.approx(np.mean(np.square(errors)), abs=1e-5)
    assert cv2.imread(str(folder / 'visualization/val/val_60.png')) is not None

    # The table is a file of labels, and the checkpoint a network.
    labels = labels_of(dataset(tmp_path / 'train', labels=str(folder / 'visualization/val/val_60.csv')))
    assert labels == pytest.approx({Path(row['path']).stem: float(row['label']) for row in rows})
    net = build_network(yaml.safe_load(file.read_text())['network_g']).eval()
    net.load_state_dict(torch.load(folder / 'models/net_g_latest.pth', weights_only=True)['params_ema'])
    worst = torch.from_numpy(cv2.imread(str(tmp_path / 'train' / rows[0]['path']))[..., ::-1] / np.float32(255))
    with torch.no_grad():
        assert net(worst.permute(2, 0, 1)[None]).item() == pytest.approx(float(rows[0]['prediction']), abs=1e-4)


def test_a_resumed_run_is_the_whole_one(tmp_path: Path) -> None:
    whole, parts = tmp_path / 'whole', tmp_path / 'parts'
    whole.mkdir(), parts.mkdir()
    file = prepare(tmp_path, 8, drop_path_rate=0.3)
    text = file.read_text().replace('val_freq: 8', 'val_freq: 2')
    file.write_text(text)
    train(file, whole)
    file.write_text(text.replace('total_iter: 8', 'total_iter: 4'))
    train(file, parts)
    file.write_text(text)
    assert 'Resuming training from iter: 4' in train(file, parts, '--auto_resume')
    assert_same_runs(whole, parts, 8)


def test_two_ranks_validate_as_one(tmp_path: Path) -> None:
    file = prepare(tmp_path, total_iter=0)
    opt = yaml.safe_load(file.read_text())
    opt['datasets'] = {'val': opt['datasets']['val']}
    weights = tmp_path / 'weights.pth'
    torch.save(build_network(opt['network_g']).state_dict(), weights)
    opt['path']['pretrain_network_g'] = str(weights)
    del opt['train'], opt['logger'], opt['val']['val_freq']
    file.write_text(yaml.safe_dump(opt))
    found = []
    for name in ('one', 'two'):
        folder = tmp_path / name
        folder.mkdir()
        arguments = ['-m', 'basicsr_ext', 'test', '-opt', str(file)]
        run(arguments, folder) if name == 'one' else run_ranks([*arguments, '--launcher', 'pytorch'], folder)
        found.append(json.loads((folder / 'results/run/metrics.json').read_text()))
        assert (folder / 'results/run/visualization/val/val_run.csv').is_file()
    assert_same(*found)


@pytest.mark.parametrize('key', ['metrics', 'tile_size'])
def test_options_of_pictures_are_refused(key: str, tmp_path: Path) -> None:
    opt = yaml.safe_load(prepare(tmp_path).read_text())
    opt['val'][key] = {'metrics': {'psnr': {'type': 'calculate_psnr', 'crop_border': 0}}, 'tile_size': 64}[key]
    complete(opt, tmp_path, True)
    with pytest.raises(OptionError, match=f'val.{key}: expected none, as the scorer gives a number'):
        check_options(opt)
