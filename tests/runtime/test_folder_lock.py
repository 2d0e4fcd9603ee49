"""One process at a time works on the folder of a result."""

from pathlib import Path

import pytest
import yaml

from basicsr_ext.__main__ import main
from basicsr_ext.errors import OptionError
from basicsr_ext.runtime.folder_lock import locked
from tests.helpers.images import write_images


def test_another_one_is_refused_and_may_come_later(tmp_path: Path) -> None:
    folder = tmp_path / 'results' / 'x'
    with locked(folder):
        with pytest.raises(OptionError, match='that no other process works on, got .*x, on which'), locked(folder):
            pass
        with locked(tmp_path / 'results' / 'y'), locked(folder, is_first=False):
            pass
    with locked(folder):
        assert [path.name for path in folder.parent.iterdir()] == ['.x.lock']
    assert not list(folder.parent.iterdir())


@pytest.mark.parametrize('job', ['mine', 'train'])
def test_a_job_leaves_what_another_one_works_on(
    job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / 'images', number=2, size=16)
    reader = {'name': 'x', 'type': 'GaussianDenoisingDataset', 'dataroot_gt': 'images', 'color': 'gray', 'gt_size': 8}
    opt = {'name': 'x', 'num_gpu': 0, 'manual_seed': 0, 'datasets': {'train': reader}, 'path': {}}
    if job == 'train':
        opt.update(
            model_type='RestorationModel',
            network_g={'type': 'IRCNN', 'num_in_ch': 1, 'num_out_ch': 1, 'num_feat': 2},
            train={'total_iter': 1, 'optim_g': {'type': 'Adam'}, 'pixel_opt': {'type': 'L1Loss'}},
            logger={'print_freq': 1, 'save_checkpoint_freq': 1},
        )
        reader['batch_size_per_gpu'] = 1
    else:
        opt['mine'] = {'patch_size': 8}
    Path('x.yml').write_text(yaml.safe_dump(opt))
    folder = Path('experiments' if job == 'train' else 'results', 'x')
    with locked(tmp_path / folder):
        assert main([job, '-opt', 'x.yml']) == 2
        assert 'name: expected a result that no other process works on' in capsys.readouterr().err
        assert not folder.exists()
    assert main([job, '-opt', 'x.yml']) == 0 and folder.is_dir()
