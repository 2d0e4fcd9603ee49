"""The complexity scorer: its number, its features and the weights it starts from."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from basicsr_ext.archs.complexity_scorer_arch import ComplexityScorer
from basicsr_ext.errors import CheckpointError, OptionError
from basicsr_ext.images.pixels import resize_square

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
