"""Two gloo processes under torchrun against one process with the whole batch."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers.processes import run, run_ranks, torchrun
from tests.helpers.training import prepare, train

# A user's own model sees the batches in feed_data; it writes down what it saw.
SCRIPT = """
import sys
import basicsr_ext
import numpy as np
from basicsr.utils.registry import MODEL_REGISTRY
from basicsr_ext.models.restoration_model import RestorationModel
from basicsr_ext.train import train_pipeline

@MODEL_REGISTRY.register()
class RecordingModel(RestorationModel):
    seen = []

    def feed_data(self, data):
        super().feed_data(data)
        if data['lq'].shape[-1] == 16:  # a training patch
            self.seen.append(data['lq'].numpy().copy())

    def save_training_state(self, epoch, current_iter):
        super().save_training_state(epoch, current_iter)
        np.save(f'{self.opt["root_path"]}/seen_{self.opt["rank"]}.npy', np.stack(self.seen))

if __name__ == '__main__':
    sys.exit(train_pipeline(sys.argv.pop(1)))
"""


def recorded(file: Path, folder: Path, processes: int) -> list[np.ndarray]:
    script = folder / 'record.py'
    script.write_text(SCRIPT)
    arguments = [str(script), str(folder), '-opt', str(file)]
    if processes == 1:
        run(arguments, folder)
    else:
        run_ranks([*arguments, '--launcher', 'pytorch'], folder)
    return [np.load(folder / f'seen_{rank}.npy') for rank in range(processes)]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    loaded: dict[str, torch.Tensor] = torch.load(folder / 'experiments/run/models/net_g_latest.pth', weights_only=True)[
        'params'
    ]
    return loaded


@pytest.mark.parametrize('accumulate', [pytest.param(1, marks=pytest.mark.slow), 2])
def test_two_ranks_see_what_one_process_sees_with_twice_the_batch(tmp_path: Path, accumulate: int) -> None:
    common = {'model_type': 'RecordingModel', 'train__accum_iter': accumulate, 'logger__save_checkpoint_freq': 100}
    one, two = tmp_path / 'one', tmp_path / 'two'
    (whole,) = recorded(prepare(one, **common, datasets__train__batch_size_per_gpu=4), one, 1)
    parts = recorded(prepare(two, **common, datasets__train__batch_size_per_gpu=2), two, 2)
    assert whole.shape == (6, 4 * accumulate, 1, 16, 16)
    assert (np.concatenate(parts, axis=1) == whole).all()
    for name, value in weights(one).items():
        torch.testing.assert_close(weights(two)[name], value, rtol=1e-4, atol=1e-6)
    metrics = [json.loads((folder / 'experiments/run/metrics.json').read_text()) for folder in (one, two)]
    assert metrics[0]['per_image']['val'].keys() == metrics[1]['per_image']['val'].keys() == {'000', '001'}
    assert metrics[0]['val']['psnr'] == pytest.approx(metrics[1]['val']['psnr'], abs=1e-3)


def test_torchrun_trains_resumes_and_tests(tmp_path: Path) -> None:
    file = prepare(tmp_path, train__ema_decay=0.9)
    job = ['-m', 'basicsr_ext', 'train', '-opt', str(file), '--launcher', 'pytorch']
    run_ranks(job, tmp_path)
    longer = tmp_path / 'longer.yml'
    longer.write_text(file.read_text().replace('total_iter: 6', 'total_iter: 8'))
    job[4] = str(longer)
    output = torchrun([*job, '--auto_resume'], tmp_path)
    assert 'Resuming training from iter: 6' in output
    assert 'process group' not in output.lower()  # a group that is left open makes torch warn at exit
    log = map(json.loads, (tmp_path / 'experiments/run/training_log.jsonl').read_text().splitlines())
    assert [line['iter'] for line in log if 'l_pix' in line] == list(range(1, 9))
    state = torch.load(tmp_path / 'experiments/run/training_states/8.state', weights_only=True)
    assert len(state['rng']) == 2


def test_upstreams_loop_trains_restoration_model_and_resumes_elsewhere(tmp_path: Path) -> None:
    file = prepare(tmp_path, train__ema_decay=0.9)
    script = tmp_path / 'upstream.py'
    script.write_text(
        'import sys\nimport basicsr_ext\nfrom basicsr.train import train_pipeline\n'
        "if __name__ == '__main__':\n    train_pipeline(sys.argv.pop(1))\n"
    )
    run([str(script), str(tmp_path), '-opt', str(file)], tmp_path)
    state = torch.load(tmp_path / 'experiments/run/training_states/6.state', weights_only=True)
    assert state['iter'] == 6 and state['best_metric_results']['val']['psnr']['val'] > 0
    elsewhere = tmp_path / 'elsewhere'
    elsewhere.mkdir()
    longer = tmp_path / 'longer.yml'
    longer.write_text(file.read_text().replace('total_iter: 6', 'total_iter: 9'))
    output = run([str(script), str(tmp_path), '-opt', str(longer), '--auto_resume'], elsewhere)
    assert 'Resuming training from epoch' in output
    assert (tmp_path / 'experiments/run/training_states/9.state').is_file()
    output, _ = run_ranks([str(script), str(tmp_path), '-opt', str(file), '--launcher', 'pytorch'], tmp_path)
    assert 'End of training' in output


def test_upstreams_loop_refuses_to_accumulate(tmp_path: Path) -> None:
    file = prepare(tmp_path, train__accum_iter=2)
    script = tmp_path / 'upstream.py'
    script.write_text('import basicsr_ext\nfrom basicsr.train import train_pipeline\ntrain_pipeline(".")\n')
    output = run([str(script), '-opt', str(file)], tmp_path, code=1)
    assert 'this loop does not accumulate. Run `python -m basicsr_ext train`' in output


def test_stock_model_runs_in_our_loop(tmp_path: Path) -> None:
    file = prepare(tmp_path, model_type='SRModel', train__ema_decay=0.5)
    train(file, tmp_path)
    state = torch.load(tmp_path / 'experiments/run/training_states/6.state', weights_only=True)
    assert state['rng'] and state['best_score']['metric'] == 'psnr' and state['best_score']['iter'] in (3, 6)
    assert (tmp_path / 'experiments/run/models/net_g_best.pth').is_file()
