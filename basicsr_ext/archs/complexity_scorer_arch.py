"""ComplexityScorer: a classifier's backbone that says how complex an image is."""

import importlib
from typing import Any

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from basicsr_ext.errors import CheckpointError, OptionError, first_few, nearest, shown
from basicsr_ext.images.pixels import resize_square
from basicsr_ext.options.load import find_file

INSTALL = 'Run: pip install "basicsr-ext[distill]"'


@ARCH_REGISTRY.register()
class ComplexityScorer(nn.Module):
    """How complex an image is, from 0 to 1: a backbone of timm with one sigmoid output.

    The scorer of TripleD: an image is reduced to 128 x 128 pixels and seen by a ViT-B/16, whose output a sigmoid bounds
    (the paper writes "ViT-16, 16 denotes the number of layers"; 16 is the side of its patches). Its Table 4 has
    ResNet-50 (`resnet50`), ViT (`vit_base_patch16_224`) and MLP-Mixer (`mixer_b16_224`); any name of timm is taken,
    with a tag for certain pretrained weights (`vit_base_patch16_224.augreg_in1k`). ComplexityScorerModel trains it.

    Images are normalised inside, with the mean and the standard deviation that timm has for the backbone.

    .. code-block:: yaml

        network_g:
          type: ComplexityScorer
          backbone: test_resnet
          input_size: 128

    Args:
        backbone: its name in timm.
        pretrained: start from timm's weights for ImageNet, fetched from the Hugging Face hub or its local cache.
        checkpoint: a file with weights of the backbone to start from instead, as timm writes them, `.pth` or
            `.safetensors`; its classifier is not used. Weights of a trained scorer belong into
            `path.pretrain_network_g`.
        input_size: side in pixels to which images are brought; a ViT's position embedding is fitted to it.
        drop_path_rate: stochastic depth while training.

    Raises:
        OptionError: timm is not installed or does not know the backbone, the backbone cannot be built so, or timm's
            weights cannot be fetched.
        CheckpointError: the file cannot be read or does not fit.
    """

    output_scale = 1

    backbone: Any
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: str = 'vit_base_patch16_224',
        pretrained: bool = False,
        checkpoint: str | None = None,
        input_size: int = 128,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        timm = _import_timm()
        config = _config(timm, backbone)
        arguments: dict[str, Any] = {'num_classes': 1, 'drop_path_rate': drop_path_rate}
        if config.fixed_input_size:
            arguments['img_size'] = input_size
        self.input_size = input_size
        self.backbone = _build(timm, backbone, arguments, pretrained, checkpoint)
        for name in ('mean', 'std'):
            values = torch.tensor(getattr(config, name)).view(1, 3, 1, 1)
            self.register_buffer(name, values, persistent=False)

    def _prepare(self, images: Tensor) -> Tensor:
        images = resize_square(images, self.input_size)
        return (images - self.mean) / self.std  # grey images become three equal channels

    def forward(self, images: Tensor) -> Tensor:
        """The complexity of images.

        Args:
            images: N x 3 x H x W, RGB, or N x 1 x H x W, grey; [0, 1].

        Returns:
            N x 1, [0, 1].
        """
        score: Tensor = self.backbone(self._prepare(images))
        return score.sigmoid()

    def features(self, images: Tensor) -> Tensor:
        """The last feature map of the backbone, the tokens of a transformer in their places.

        Args:
            images: as for `forward`.

        Returns:
            N x C x h x w.
        """
        maps: list[Tensor] = self.backbone.forward_intermediates(
            self._prepare(images), indices=1, norm=True, output_fmt='NCHW', intermediates_only=True
        )
        return maps[-1]


def _import_timm() -> Any:
    try:
        return importlib.import_module('timm')
    except ImportError as error:
        raise OptionError('ComplexityScorer', 'timm to be installed', error, INSTALL) from error


def _config(timm: Any, backbone: str) -> Any:
    """The facts that timm has about a backbone: mean, std, whether its input has a fixed size."""
    config = timm.get_pretrained_cfg(backbone) if timm.is_model(backbone) else None
    if config is None:
        raise OptionError(
            'ComplexityScorer.backbone',
            f'a model of timm {timm.__version__}',
            shown(backbone),
            nearest(backbone.partition('.')[0], timm.list_models()),
        )
    return config


def _build(timm: Any, backbone: str, arguments: dict[str, Any], pretrained: bool, checkpoint: str | None) -> nn.Module:
    if pretrained and checkpoint is not None:
        raise OptionError('ComplexityScorer.pretrained', 'false beside a checkpoint', 'true', 'Choose one.')
    try:
        net: nn.Module = timm.create_model(backbone, **arguments)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise OptionError(
            'ComplexityScorer.backbone',
            f'one that can be built with {arguments}',
            f'{backbone} and {_line(error)}',
            'Choose another.',
        ) from error
    if checkpoint is not None:
        return _from_checkpoint(timm, net, backbone, arguments, checkpoint)
    if not pretrained:
        return net
    try:
        net = timm.create_model(backbone, pretrained=True, **arguments)
    except Exception as error:  # the hub's client fails in the ways of several libraries
        raise OptionError(
            'ComplexityScorer.pretrained',
            f"timm's weights of {backbone} that fit {arguments}",
            _line(error),
            'Where the Hugging Face hub cannot be reached, fetch the file elsewhere and name it in checkpoint, or '
            'set pretrained: false.',
        ) from error
    return net


def _from_checkpoint(timm: Any, net: nn.Module, backbone: str, arguments: dict[str, Any], path: str) -> nn.Module:
    path = find_file(path)
    try:
        weights = timm.models.load_state_dict(path, weights_only=True)
    except Exception as error:  # of the file system, of torch, of safetensors
        raise CheckpointError(
            f'checkpoint {path}', 'a file of weights', _line(error), 'Correct the path or fetch it again.'
        ) from error
    classifier: Any = net.pretrained_cfg['classifier']  # type: ignore[index]
    heads = tuple(f'{name}.' for name in ([classifier] if isinstance(classifier, str) else classifier or ()))
    missing = [name for name in net.state_dict() if name not in weights and not name.startswith(heads)]
    if missing:
        raise CheckpointError(
            f'checkpoint {path}',
            f'weights of {backbone} of timm',
            f'none for {first_few(missing)}',
            'Correct the path or backbone; weights of a trained scorer belong into path.pretrain_network_g.',
        )
    try:  # timm's own loading fits position embeddings to the size of the input and leaves the classifier out
        loaded: nn.Module = timm.create_model(
            backbone, pretrained=True, pretrained_cfg_overlay={'state_dict': weights}, **arguments
        )
    except RuntimeError as error:
        raise CheckpointError(
            f'checkpoint {path}',
            f'weights that fit {backbone} with {arguments}',
            _line(error),
            'Name the input_size they were trained at, or another backbone.',
        ) from error
    return loaded


def _line(error: Exception) -> str:
    """An error of another library in one line; some have no text."""
    return ': '.join([type(error).__name__, *(line.strip() for line in str(error).splitlines()[:2])]).rstrip('.')
