"""A user's own package, whose classes have names of ours: they win, however and whenever they are imported."""

import re
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from basicsr_ext.__main__ import main
from tests.helpers.processes import run
from tests.helpers.training import options, write_images

MODULES = {
    '__init__': '',
    'archs': """
        from basicsr.utils.registry import ARCH_REGISTRY
        from torch import nn

        @ARCH_REGISTRY.register()
        class IRCNN(nn.Module):
            def __init__(self, width):
                super().__init__()
                self.body = nn.Conv2d(1, 1, width, padding=width // 2)

            def forward(self, x):
                return x + self.body(x)
        """,
    'data': """
        from pathlib import Path

        import numpy as np
        from basicsr.utils import FileClient, imfrombytes, img2tensor
        from basicsr.utils.registry import DATASET_REGISTRY
        from torch.utils.data import Dataset

        @DATASET_REGISTRY.register()
        class GaussianDenoisingDataset(Dataset):
            def __init__(self, opt):
                self.opt = opt
                self.paths = sorted(map(str, Path(opt['folder']).iterdir()))

            def __len__(self):
                return len(self.paths)

            def __getitem__(self, index):
                content = FileClient('disk').get(self.paths[index])
                gt = img2tensor(imfrombytes(content, 'grayscale', float32=True)[..., None])[:, :16, :16]
                return {'lq': gt / 2, 'gt': gt, 'lq_path': self.paths[index], 'gt_path': self.paths[index]}
        """,
    'losses': """
        from basicsr.utils.registry import LOSS_REGISTRY
        from torch import nn

        @LOSS_REGISTRY.register()
        class GradientMatchingLoss(nn.Module):
            def __init__(self, factor):
                super().__init__()
                self.factor = factor

            def forward(self, output, gt):
                return self.factor * (output - gt).abs().mean()
        """,
    'metrics': """
        from basicsr.utils.registry import METRIC_REGISTRY

        @METRIC_REGISTRY.register()
        def calculate_lpips(img, img2, constant):
            return constant
        """,
    'models': """
        from basicsr.models.sr_model import SRModel
        from basicsr.utils import get_root_logger
        from basicsr.utils.registry import MODEL_REGISTRY

        @MODEL_REGISTRY.register()
        class RestorationModel(SRModel):
            def optimize_parameters(self, current_iter):
                super().optimize_parameters(current_iter)
                get_root_logger().info('A step of the own model.')
        """,
}
# What a user needs whose package imports BasicSR before ours: what newer libraries have dropped.
REPAIRED = """
    import sys
    import setuptools  # brings distutils
    import torch
    library = torch.library.Library('torchvision', 'FRAGMENT')
    try:
        import torchvision
    except RuntimeError:
        library.define('nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
        library.define('qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
    import torchvision.transforms._functional_tensor as removed
    sys.modules['torchvision.transforms.functional_tensor'] = removed
    """
PARTS = tuple(f'own.{name}' for name in MODULES if name != '__init__')
TAKEN = {
    'arch IRCNN': 'archs.py',
    'dataset GaussianDenoisingDataset': 'data.py',
    'loss GradientMatchingLoss': 'losses.py',
    'metric calculate_lpips': 'metrics.py',
    'model RestorationModel': 'models.py',
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the package `own`, images and the option file `run.yml` for its classes."""
    (tmp_path / 'own').mkdir()
    for name, text in MODULES.items():
        (tmp_path / 'own' / f'{name}.py').write_text(textwrap.dedent(text))
    write_images(tmp_path / 'images', number=4, size=24)
    loader = {'batch_size_per_gpu': 2, 'num_worker_per_gpu': 0}
    data = {'type': 'GaussianDenoisingDataset', 'folder': 'images'}
    opt = options(
        tmp_path,
        datasets__train={'name': 'train', **data, **loader},
        datasets__val={'name': 'val', **data},
        network_g={'type': 'IRCNN', 'width': 3},
        train__pixel_opt={'type': 'GradientMatchingLoss', 'factor': 2.0},
        train__ema_decay=0,
        train__total_iter=2,
        val={'val_freq': 2, 'save_img': False, 'metrics': {'own': {'type': 'calculate_lpips', 'constant': 0.25}}},
    )
    opt['train']['scheduler'] = {'type': 'MultiStepLR', 'milestones': [2], 'gamma': 0.5}
    (tmp_path / 'run.yml').write_text(yaml.safe_dump(opt))
    return tmp_path


def matches(pattern: str, capsys: pytest.CaptureFixture[str]) -> bool:
    return re.match(pattern, capsys.readouterr().err.strip().splitlines()[-1]) is not None


def assert_own(folder: Path, output: str) -> None:
    """The run was that of the user's classes, and one line for each says so."""
    assert output.count('A step of the own model.') == 2
    assert '"own": 0.25' in (folder / 'experiments/run/metrics.json').read_text()
    for name, file in TAKEN.items():
        (line,) = [line for line in output.splitlines() if f'{name} is that of' in line]
        assert f'own/{file}:' in line and f'that of basicsr_ext is {name.split()[1]}_basicsr_ext.' in line


def test_the_command_line_imports_them(folder: Path) -> None:
    flags = [word for part in PARTS for word in ('--import', part)]
    assert_own(folder, run(['-m', 'basicsr_ext', 'train', '-opt', 'run.yml', *flags], folder))
    written = yaml.safe_load((folder / 'experiments/run/run.yml').read_text())
    assert written['imports'] == list(PARTS)  # so that the written file trains the same


def test_the_option_file_imports_them_in_every_job(folder: Path) -> None:
    with open(folder / 'run.yml', 'a') as file:
        file.write(f'imports: [{", ".join(PARTS)}]\ncomplexity: {{input_size: [16, 16]}}\n')
    assert_own(folder, run(['-m', 'basicsr_ext', 'train', '-opt', 'run.yml'], folder))
    assert 'IRCNN, input 16 x 16' in run(['-m', 'basicsr_ext', 'complexity', '-opt', 'run.yml'], folder)
    weights = 'experiments/run/models/net_g_2.pth'
    command = ['-m', 'basicsr_ext', 'export', weights, '-opt', 'run.yml', '-o', 'own.pth']
    assert 'own.pth' in run(command, folder)


@pytest.mark.parametrize('first', ['basicsr_ext', pytest.param('own', marks=pytest.mark.slow)])
def test_a_script_of_the_user_in_both_orders(folder: Path, first: str) -> None:
    imports = ['import basicsr_ext', *(f'import {part}' for part in PARTS)]
    ordered = imports if first == 'basicsr_ext' else [*imports[1:], imports[0]]
    lines = ['import logging', 'logging.basicConfig()', *ordered, 'import sys', '']
    lines += ['from basicsr_ext.train import train_pipeline', 'sys.exit(train_pipeline(sys.path[0]))']
    (folder / 'train.py').write_text('\n'.join(lines))
    if first == 'own':
        (folder / 'own/__init__.py').write_text(textwrap.dedent(REPAIRED))
    assert_own(folder, run(['train.py', '-opt', 'run.yml'], folder, fresh=True))


@pytest.mark.parametrize(
    ('module', 'said'),
    [
        ('nothing', "expected a module that is installed or lies in .*, got 'nothing'. Correct the name"),
        ('own.nothing', "expected a module that is installed or lies in .*, got 'own.nothing'"),
        ('broken', 'expected a module broken that can be imported, got ZeroDivisionError: division by zero'),
        ('needy', "expected a module needy that can be imported, got No module named 'no_such_thing'. Install it"),
    ],
)
def test_modules_that_cannot_be_imported(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], module: str, said: str
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, 'path', [*sys.path])
    (folder / 'broken.py').write_text('1 / 0')
    (folder / 'needy.py').write_text('import no_such_thing')
    assert main(['train', '-opt', 'run.yml', '--import', module]) == 2
    assert matches(f'basicsr-ext train: --import: {said}', capsys)
    with open('run.yml', 'a') as file:
        file.write(f'imports: [{module}]\n')
    assert main(['train', '-opt', 'run.yml']) == 2
    assert matches(f'basicsr-ext train: imports.0: {said}', capsys)


def test_imports_that_are_no_list(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    with open('run.yml', 'a') as file:
        file.write('imports: own.archs\n')
    assert main(['train', '-opt', 'run.yml']) == 2
    assert matches("basicsr-ext train: imports: expected a list of modules, got 'own.archs'. Write", capsys)


# ---- what BasicSR leaves to a class is left to a user's ----

FREE = '''
    import cv2
    import numpy as np
    from basicsr.models.sr_model import SRModel
    from basicsr.utils import img2tensor
    from basicsr.utils.registry import DATASET_REGISTRY, MODEL_REGISTRY
    from torch.utils.data import Dataset

    @DATASET_REGISTRY.register()
    class FreeDataset(Dataset):
        """Pads small images, enlarges the input, and reads the paths of the clean images from a file."""

        def __init__(self, opt):
            self.opt = opt
            with open(opt['dataroot_gt']) as file:
                gt = file.read().split()
            self.paths = [{'gt_path': path, 'lq_path': path.replace('images', 'small')} for path in gt]

        def __len__(self):
            return len(self.paths)

        def __getitem__(self, index):
            gt, lq = (cv2.imread(self.paths[index][key], cv2.IMREAD_GRAYSCALE) for key in ('gt_path', 'lq_path'))
            lq = cv2.resize(lq, gt.shape[::-1])
            padded = [np.pad(image, 16)[:32, :32, None].astype(np.float32) / 255 for image in (gt, lq)]
            gt, lq = img2tensor(padded, bgr2rgb=False)
            return {'lq': lq, 'gt': gt, **self.paths[index]}

    @MODEL_REGISTRY.register()
    class FreeModel(SRModel):
        """Accumulates gradients in its own way, and has a block of its own."""

        def init_training_settings(self):
            super().init_training_settings()
            assert self.opt['train']['hint_opt'] == {'weight': 1} and self.opt['train']['accum_iter'] == 2
    '''


def test_what_a_class_of_the_user_decides_itself(folder: Path) -> None:
    (folder / 'free.py').write_text(textwrap.dedent(FREE))
    (folder / 'small').mkdir()
    names = [f'images/{file.name}' for file in sorted((folder / 'images').iterdir())]
    for number, name in enumerate(names):
        image = Image.fromarray(np.full((10, 14), 40 * number, np.uint8))
        note = Image.Exif()
        note[0x112] = 6  # turned by a quarter
        image.save(folder / name.replace('images', 'small'), 'png', exif=note)
    (folder / 'list.txt').write_text('\n'.join(names))
    opt = yaml.safe_load((folder / 'run.yml').read_text())
    data = {'type': 'FreeDataset', 'dataroot_gt': 'list.txt', 'dataroot_lq': 'small'}
    opt['datasets']['train'] = {'name': 'train', **data, 'gt_size': 30, 'batch_size_per_gpu': 2}
    opt['datasets']['train'] |= {'num_worker_per_gpu': 0, 'dataset_enlarge_ratio': 1.5}
    opt['datasets']['val'] = {'name': 'val', **data}
    opt['network_g'] = {'type': 'IRCNN', 'num_in_ch': 1, 'num_out_ch': 1, 'num_feat': 4}
    opt['train'] |= {'accum_iter': 2, 'hint_opt': {'weight': 1}, 'pixel_opt': {'type': 'L1Loss'}, 'warmup_iter': -1}
    opt['path']['pretrain_network_hint'] = 'nothing.pth'
    del opt['val']
    (folder / 'run.yml').write_text(yaml.safe_dump({**opt, 'model_type': 'FreeModel', 'imports': ['free']}))
    said = run(['-m', 'basicsr_ext', 'train', '-opt', 'run.yml'], folder)
    for warning in (
        'There is no block val beside datasets.val: nothing will be validated.',
        "path.pretrain_network_hint: 'nothing.pth' is no file.",
        "datasets.train.dataroot_gt: 'list.txt' is no folder.",
        'datasets.train: expected GT 1 times as large as LQ, got',
    ):
        assert warning in said
    assert 'iter:       2' in said


ALONE = """
    from collections import OrderedDict

    import torch
    from basicsr.archs import build_network
    from basicsr.models.base_model import BaseModel
    from basicsr.utils.registry import MODEL_REGISTRY

    @MODEL_REGISTRY.register()
    class AloneModel(BaseModel):
        def __init__(self, opt):
            super().__init__(opt)
            self.net_g = self.model_to_device(build_network(opt['network_g']))
            self.optimizers.append(torch.optim.SGD(self.net_g.parameters(), 0.01))
            self.setup_schedulers()

        def feed_data(self, data):
            self.lq, self.gt = data['lq'], data['gt']

        def optimize_parameters(self, current_iter):
            loss = (self.net_g(self.lq) - self.gt).abs().mean()
            loss.backward()
            self.optimizers[0].step()
            self.optimizers[0].zero_grad()
            self.log_dict = OrderedDict(l_own=loss.item())

        def save(self, epoch, current_iter):
            self.save_network(self.net_g, 'net_g', current_iter)
            self.save_training_state(epoch, current_iter)
    """


def test_a_model_of_the_user_that_only_trains(folder: Path) -> None:
    (folder / 'alone.py').write_text(textwrap.dedent(ALONE))
    opt = yaml.safe_load((folder / 'run.yml').read_text())
    data = {'type': 'GaussianDenoisingDataset', 'dataroot_gt': 'images', 'color': 'gray', 'sigma': 25, 'gt_size': 16}
    opt['datasets'] = {'train': {'name': 'train', **data, 'batch_size_per_gpu': 2, 'num_worker_per_gpu': 0}}
    opt['network_g'] = {'type': 'IRCNN', 'num_in_ch': 1, 'num_out_ch': 1, 'num_feat': 4}
    opt |= {'model_type': 'AloneModel', 'imports': ['alone'], 'val': None}
    (folder / 'run.yml').write_text(yaml.safe_dump(opt))
    assert 'l_own' in run(['-m', 'basicsr_ext', 'train', '-opt', 'run.yml'], folder)
    opt['train']['total_iter'] = 3
    (folder / 'run.yml').write_text(yaml.safe_dump(opt))
    said = run(['-m', 'basicsr_ext', 'train', '-opt', 'run.yml', '--auto_resume'], folder)
    assert 'Resuming training from iter: 2.' in said
