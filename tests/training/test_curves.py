"""The curves of trainings: what is read from their logs, means over windows, the picture and the job `inspect`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from basicsr_ext.__main__ import main
from basicsr_ext.errors import DataError
from basicsr_ext.jobs.inspect import inspect_pipeline
from basicsr_ext.training import curve_pictures
from basicsr_ext.training.curves import Series, common_window, read_curves, unit_of


def write_log(folder: Path, losses: dict[int, float | None], *more: dict[str, Any]) -> Path:
    """A log of these losses over the iterations, and of further lines."""
    folder.mkdir(parents=True)
    lines = [{'iter': iteration, 'lrs': [0.1], 'l_pix': loss} for iteration, loss in losses.items()]
    text = ''.join(f'{json.dumps(line)}\n' for line in sorted([*lines, *more], key=lambda line: line['iter']))
    (folder / 'training_log.jsonl').write_text(text, encoding='utf-8')
    return folder / 'training_log.jsonl'


def falling(number: int, every: int, scale: float = 1.0) -> dict[int, float | None]:
    """Losses of so many logged batches."""
    return {every * place: scale / place for place in range(1, number + 1)}


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> dict[str, Figure]:
    """Name of the file -> the figure, which is not drawn."""
    found: dict[str, Figure] = {}
    monkeypatch.setattr(curve_pictures, 'save_figure', lambda figure, path: found.update({Path(path).name: figure}))
    return found


@pytest.mark.parametrize('window', [1, 4, 10, 1000])
def test_means_over_windows_equal_a_plain_loop(window: int) -> None:
    rng = np.random.default_rng(window)
    iterations = sorted(rng.choice(np.arange(1, 200), 60, replace=False).tolist())
    values = rng.normal(size=60).tolist()
    expected = []
    for start in range(0, 200, window):
        inside = [(i, v) for i, v in zip(iterations, values, strict=True) if start < i <= start + window]
        if inside:
            expected.append([sum(column) / len(inside) for column in zip(*inside, strict=True)])
    np.testing.assert_allclose(np.transpose(Series(iterations, values).means(window)), expected)


def test_windows_hold_many_batches_of_long_trainings_and_one_of_short_ones(tmp_path: Path) -> None:
    cases = {4: (1, 100), 15: (3, 300), 40: (4, 400), 400: (10, 1000)}  # logged every 100 iterations
    for number, (batches, iterations) in cases.items():
        run = read_curves(write_log(tmp_path / str(number), falling(number, 100)), 'run')
        window = common_window([run])
        assert (window.batches, window.iterations) == (batches, iterations)
    assert window.words == 'means over windows of 1,000 iterations, 10 logged batches in each'
    short = read_curves(tmp_path / '4' / 'training_log.jsonl', 'short')
    assert common_window([short, run]) == window and common_window([short]).words.startswith('single batches')


def test_a_log_gives_losses_metrics_and_warmups(tmp_path: Path) -> None:
    validations = [
        {'iter': 2, 'validation': {'Set12': {'psnr': 20.0, 'ssim': None, 'exit_1': 0.5}, 'own': {'x': 1}}},
        {'iter': 4, 'validation': {'Set12': {'psnr': 21.0, 'ssim': 0.5, 'exit_1': 0.5}, 'own': {'x': 2}}},
    ]
    shuffled = {'iter': 1, 'l_pix': 4.0, 'warmup': True}
    log = write_log(tmp_path / 'a', {2: 3.0, 3: None, 4: 1.0}, shuffled, *validations)
    with open(log, 'a', encoding='utf-8') as file:
        file.write('{"iter": 5, "l_p')  # of a run that is writing
    run = read_curves(log, 'a')
    assert run.losses == {'l_pix': Series([1, 2, 4], [4.0, 3.0, 1.0])}
    assert run.metrics == {
        ('psnr', 'Set12'): Series([2, 4], [20.0, 21.0]),
        ('ssim', 'Set12'): Series([4], [0.5]),
        ('x', 'own'): Series([2, 4], [1, 2]),
    }
    assert (run.warmups, run.done) == ([(1, 1)], 4)
    assert run.sentence(common_window([run])) == (
        'a: 4 iterations, l_pix 1, psnr on Set12 21.0000 dB, x on own 2.0000, ssim on Set12 0.5000'
    )


def test_units_are_those_of_metrics_that_are_known() -> None:
    names = {'psnr': 'dB', 'psnr_y': 'dB', 'PSNRB': 'dB', 'ssim': 'no unit', 'lpips': 'no unit', 'mine': ''}
    assert {name: unit_of(name) for name in names} == names


def test_several_trainings_share_a_picture(
    tmp_path: Path, figures: dict[str, Figure], capsys: pytest.CaptureFixture[str]
) -> None:
    validation = {'iter': 400, 'validation': {'Set12': {'psnr': 30.0}}}
    write_log(tmp_path / 'a', falling(100, 10), {'iter': 500, 'validation': {'Set12': {'psnr': 25.0, 'ssim': 0.5}}})
    write_log(tmp_path / 'b', falling(40, 10, 2.0), validation)
    assert main(['inspect', str(tmp_path / 'a'), str(tmp_path / 'b' / 'training_log.jsonl'), '-o', str(tmp_path)]) == 0
    figure = figures['curves.png']
    loss, psnr, ssim, legend = figure.axes
    assert (loss.get_ylabel(), loss.get_yscale()) == ('training loss l_pix', 'log')
    assert [psnr.get_ylabel(), ssim.get_ylabel()] == ['psnr on Set12 [dB]', 'ssim on Set12 [no unit]']
    assert [len(axis.lines) for axis in (loss, psnr, ssim)] == [2, 2, 1]
    assert [len(line.get_xdata()) for line in loss.lines] == [25, 10]  # windows of 4 batches, in both
    assert loss.lines[1].get_ydata()[0] == pytest.approx(np.mean([2, 1, 2 / 3, 0.5]))
    assert [text.get_text() for text in legend.get_legend().get_texts()] == ['a', 'b']
    assert 'means over windows of 40 iterations, 4 logged batches in each' in figure.get_supxlabel()
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith('- a: 1,000 iterations, l_pix 0.01') and 'psnr on Set12 25.0000 dB' in lines[1]
    assert lines[2].startswith('- b: 400 iterations') and lines[2].endswith('psnr on Set12 30.0000 dB')


def test_the_picture_is_written_into_the_first_experiment(tmp_path: Path) -> None:
    for name in ('x/run', 'y/run'):
        write_log(tmp_path / name, falling(3, 1))
    assert main(['inspect', str(tmp_path / 'x/run'), str(tmp_path / 'y/run')]) == 0
    assert (tmp_path / 'x/run/inspect/curves.png').read_bytes().startswith(b'\x89PNG')


def test_one_training_has_its_warmup_shaded(tmp_path: Path, figures: dict[str, Figure]) -> None:
    log = write_log(tmp_path / 'a', falling(20, 5))
    curve_pictures.draw_curves([read_curves(log, 'a', [(1, 30), (60, 900), (200, 300)])], 'curve.png')
    (axis, *_) = figures['curve.png'].axes
    spans = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in axis.patches]
    assert spans == [(1, 30), (60, 100)]  # as far as it is trained
    assert figures['curve.png'].get_suptitle() == 'a: loss and validation'


@pytest.mark.parametrize(
    ('text', 'found'),
    [
        ('{"iter": 1, "lrs": [1]}\n', 'expected a loss of at least one iteration, got none'),
        ('{"loss": 1}\n', r'expected iterations with their values, got \{'),
        ('{"iter": }\n', 'expected a JSON object in each line'),
    ],
)
def test_a_log_without_losses_or_of_something_else_is_refused(tmp_path: Path, text: str, found: str) -> None:
    (tmp_path / 'training_log.jsonl').write_text(text)
    with pytest.raises(DataError, match=found):
        inspect_pipeline('.', [str(tmp_path)])


@pytest.mark.parametrize(
    ('arguments', 'found'),
    [
        (
            ['nowhere.jsonl'],
            'nowhere.jsonl: expected the log of a training, got none. Name the folder',
        ),
        (['.'], 'training_log.jsonl: expected the log of a training, got none'),
        (['.', '--size', '3'], '--size: expected a manifest, got trainings. Remove it or name a manifest.'),
        (['a.parquet', 'b.parquet'], "MANIFEST: expected one manifest, or several trainings, got 'b.parquet'."),
    ],
)
def test_what_is_no_training_is_named_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    found: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(['inspect', *arguments]) == 2
    assert found in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
