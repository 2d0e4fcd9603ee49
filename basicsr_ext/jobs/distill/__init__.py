"""The job `distill`: make a small dataset of kept and synthetic pairs from a training set."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from basicsr.losses import build_loss
from basicsr.utils import get_root_logger
from torch import Tensor, nn

from basicsr_ext.data.decoded_files import check_pixels
from basicsr_ext.data.file_checks import check_dataset
from basicsr_ext.distillation.codec import Codec, PixelCodec, VaeCodec, load_vae
from basicsr_ext.distillation.engine import Distillation, Matching
from basicsr_ext.distillation.networks import Networks
from basicsr_ext.distillation.settings import DistillSettings
from basicsr_ext.distillation.steps import steps_of_pass
from basicsr_ext.errors import OptionError, first_line, under
from basicsr_ext.images.new_folder import refuse_foreign
from basicsr_ext.jobs.distill.images import MANIFEST, MadeImages, write_distilled
from basicsr_ext.jobs.distill.options import FILE
from basicsr_ext.jobs.distill.parts import DistillData
from basicsr_ext.jobs.option_file import run_job
from basicsr_ext.jobs.resumable import identity, resumable, source_of
from basicsr_ext.networks.described import input_sides
from basicsr_ext.networks.fits import refuse_other_shape, try_network
from basicsr_ext.networks.tiling import run_padded
from basicsr_ext.networks.trained import device_of, trained_network
from basicsr_ext.options.calls import building
from basicsr_ext.options.load import Options
from basicsr_ext.reports.distillation_page import write_distillation_page
from basicsr_ext.reports.distillation_pictures import draw_forming, draw_matching_loss
from basicsr_ext.runtime.checkpoint import weights_digest
from basicsr_ext.runtime.saved_state import SavedState
from basicsr_ext.runtime.spread import spread_to_ends

EXAMPLE = 'basicsr-ext distill -opt options/distill/distill_IRCNN_gray_sigma25_BSD400_5.yml'

SHOWN = 8  # synthetic images in the gallery


def distill_pipeline(root_path: str | os.PathLike[str], argv: Sequence[str] | None = None) -> int:
    """Distil as the command line and its option file say.

    Args:
        root_path: the folder in which `results/` is made.
        argv: the command line; None takes the process's own.

    Returns:
        0, or 128 + the signal that stopped the job after it saved its state; the same command continues it.

    Raises:
        BasicsrExtError: whatever is wrong with options, data or weights, before work starts where possible.
    """
    return run_job(FILE, distill, root_path, argv)


def distill(opt: Options, settings: DistillSettings, only_check: bool = False) -> None:
    """Write `results/<name>/`: `gt/`, `lq/`, `meta_info.txt`, `manifest.parquet`, pictures and a page.

    Args:
        opt: completed and checked options.
        settings: the block `distill`.
        only_check: build everything, decode all images and try a step; write nothing.

    Raises:
        Interrupted: a stop was asked for; the state is saved.
    """
    with resumable(opt, 'distill', MANIFEST, page=write_distillation_page) as run:
        refuse_foreign(run.folder, run.unfinished, run.result)
        data = DistillData(opt, settings)
        check_dataset(data.train, 'datasets.train')
        distillation = _distillation(opt, settings, data, SavedState(run.unfinished / 'state.pth'))
        if only_check:
            check_pixels(data.train, 'datasets.train')
            if data.started:
                distillation.begin(islice(data.patches(), settings.batch_size))
                distillation.match(1, next(data.batches([1])))
            run.sound(f'{len(data.items)} images and the first step')
            return
        made_from = _identity(opt, settings, data, distillation)
        if not run.begin(made_from):
            return
        _say(opt, settings, data)
        if data.started:
            distillation.run(data.patches(), partial(_show, folder=run.folder))
        images = MadeImages(data, distillation)
        write_distilled(images, run.folder, run.unfinished, made_from)
        if run.is_first:
            run.finish(f'{len(images)} pairs instead of {len(data.items)}: {run.folder}')


def _say(opt: Options, settings: DistillSettings, data: DistillData) -> None:
    logger, number = get_root_logger(), len(data.started)
    logger.info(f'{len(data.kept)} real images are kept, {number} synthetic ones are made.')
    busy = steps_of_pass(number, settings.batch_size)
    if opt['world_size'] > busy > 0:
        batches = f'{number} synthetic images in batches of {settings.batch_size}'
        logger.warning(f'{batches}: work for {busy} of the {opt["world_size"]} processes.')


def _distillation(opt: Options, settings: DistillSettings, data: DistillData, state: SavedState) -> Distillation:
    device, networks = device_of(opt), Networks(partial(_network, opt), settings.networks)
    lq, gt = next(data.batches([1]))
    matching = Matching(
        match=_gradient_loss(settings).to(device),
        loss=_restoration_loss(settings, gt).to(device),
        sides=input_sides(networks.at(1), opt['network_g']),
        degrades=None if data.degrades is None else [data.degrades[index] for index in data.started],
        device=device,
    )
    _check_network(networks.at(1), matching, lq, gt)
    codec = _codec(settings, gt.shape[1], device)
    small = settings.image_size // opt['datasets']['train']['scale'] if data.degrades is None else settings.image_size
    if small % codec.factor or settings.image_size % codec.factor:
        raise OptionError(
            'distill.image_size',
            f'a multiple of {codec.factor}, by which the autoencoder reduces images (and the input too, if it is '
            'learned)',
            settings.image_size,
            'Correct it.',
        )
    return Distillation(settings, opt['manual_seed'], codec, networks, matching, data.batches, state)


def _network(opt: Options, number: int) -> nn.Module:
    """The network that a round starts with; where no weights are given, its random ones depend on seed and round."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(np.random.default_rng((opt['manual_seed'], number)).integers(2**62)))
        return trained_network(opt)


def _gradient_loss(settings: DistillSettings) -> nn.Module:
    """Tried, because a loss of another kind would fail only in the first step."""
    with building('distill.grad_match', str(settings.grad_match.get('type'))):
        match: nn.Module = build_loss(settings.grad_match)
    gradients = [torch.ones(2, 3), torch.ones(2)]
    _try_loss('grad_match', 'a loss of gradients, such as GradientMatchingLoss', match, gradients, gradients)
    return match


def _restoration_loss(settings: DistillSettings, gt: Tensor) -> nn.Module:
    with building('distill.loss', str(settings.loss.get('type'))):
        loss: nn.Module = build_loss(settings.loss)
    _try_loss('loss', 'a loss of two images, such as L1Loss', loss, gt, gt)
    return loss


def _try_loss(key: str, expected: str, loss: Callable[..., Any], *arguments: Any) -> None:
    where, kind = f'distill.{key}', type(loss).__name__
    try:
        value = loss(*arguments)
    except (TypeError, AttributeError, RuntimeError, ValueError, OptionError) as error:
        reason = first_line(error)
        raise OptionError(where, expected, f'{kind}: {reason}', 'Choose another one.') from error
    if not isinstance(value, Tensor) or value.ndim:
        shown = f'a tensor {tuple(value.shape)}' if isinstance(value, Tensor) else f'a {type(value).__name__}'
        raise OptionError(
            where,
            f'{expected}, that gives a scalar',
            f'{shown} of {kind}',
            'Correct its arguments or choose another one.',
        )


def _codec(settings: DistillSettings, channels: int, device: torch.device) -> Codec:
    if settings.vae is None:
        return PixelCodec()
    with under('distill'):
        return load_vae(settings.vae, channels, device)


def _check_network(net: nn.Module, matching: Matching, lq: Tensor, gt: Tensor) -> None:
    name, where = type(net).__name__, 'datasets.train'
    with torch.no_grad():
        output = try_network(
            lambda: run_padded(net, lq[:1].to(matching.device), matching.sides),
            name,
            f'lq {tuple(lq.shape)} and gt {tuple(gt.shape)}',
            where,
            'Correct network_g, color of the dataset or distill.image_size.',
        )
    refuse_other_shape(output.shape[1:], gt.shape[1:], name, where, 'Correct network_g, scale or the dataset.')


def _identity(opt: Options, settings: DistillSettings, data: DistillData, distillation: Distillation) -> dict[str, Any]:
    """All that decides the result; neither the number of workers nor the pictures do."""
    networks, source = {'g': distillation.networks.at(1)}, source_of(data.train, data.items)
    made_from = identity('distill', opt, {'distill': settings}, networks, ('picture_freq',), train=source)
    if settings.manifest is not None:
        content = Path(settings.manifest).expanduser().read_bytes()
        made_from['ranking'] = blake2b(content, digest_size=16).hexdigest()
    if isinstance(distillation.codec, VaeCodec):
        made_from['vae'] = weights_digest(distillation.codec.vae)
    return made_from


def _show(distillation: Distillation, folder: Path) -> None:
    """Some images, spread over all, and the loss so far."""
    items = spread_to_ends(SHOWN, len(distillation))
    start, now = distillation.images(items, at_start=True), distillation.images(items)
    draw_forming(start, now, len(distillation.losses), folder / 'gallery.png')
    draw_matching_loss(distillation.losses, folder / 'loss.png')
