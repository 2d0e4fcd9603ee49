"""The sweeps of the job `test`: every row is what a test with its settings alone would find."""

import csv
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from basicsr.archs import build_network

from basicsr_ext.__main__ import main
from basicsr_ext.inference import exit_costs
from basicsr_ext.inference.exit_costs import ExitCosts
from basicsr_ext.inference.settings import AdaptiveSettings, InferenceSettings
from basicsr_ext.jobs.test import sweeping
from basicsr_ext.jobs.test.rows import PAPER_THRESHOLDS, rows_of
from basicsr_ext.models.flexir_options import FlexIRValOptions, SweepSettings
from basicsr_ext.reports.sweep_table import Swept, lines_of, records_of
from basicsr_ext.runtime import interrupt
from tests.helpers.flexir import NETWORK
from tests.helpers.images import write_images
from tests.helpers.training import options

METRICS = {
    'psnr': {'type': 'calculate_psnr', 'crop_border': 0},
    'ssim': {'type': 'calculate_ssim', 'crop_border': 0},
    'psnrb': {'type': 'calculate_psnrb', 'crop_border': 0},
}
ADAPTIVE = {'score': 'sharpness', 'threshold': 60.0}


@pytest.fixture(scope='module')
def costs() -> ExitCosts:
    """Of the network of all tests, in which windows count alike: tracing it takes longer than a test."""
    return exit_costs.exit_costs(build_network(dict(NETWORK)), 1, (40, 40))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, costs: ExitCosts) -> Path:
    """A current directory with two test sets and two files of weights of a FlexIR with two exits."""
    monkeypatch.setattr(exit_costs, 'exit_costs', lambda *_: costs)
    monkeypatch.chdir(tmp_path)
    for name, number in (('one', 2), ('two', 1)):
        write_images(Path(name), number=number, size=40)
    for seed in (0, 1):
        torch.manual_seed(seed)
        torch.save(build_network(dict(NETWORK)).state_dict(), f'{seed}.pth')
    return tmp_path


def run(name: str, code: int = 0, model: str = 'FlexIRModel', check: bool = False, **changes: Any) -> None:
    """The job `test` with these keys of the block val, or of others: path__key."""
    val = {'save_img': False, 'metrics': METRICS, **{key: value for key, value in changes.items() if '__' not in key}}
    rest = {key: value for key, value in changes.items() if '__' in key}
    network = NETWORK if model == 'FlexIRModel' else {'type': 'IRCNN', 'num_in_ch': 1, 'num_out_ch': 1, 'num_feat': 4}
    given = {'path__pretrain_network_g': '0.pth' if model == 'FlexIRModel' else None, **rest}
    opt = options(Path(), name=name, model_type=model, network_g=network, val=val, **given)
    block = {'type': 'GaussianDenoisingDataset', 'color': 'gray', 'sigma': 25}
    opt['datasets'] = {
        f'test_{place}': {**block, 'name': folder, 'dataroot_gt': folder} for place, folder in enumerate(('one', 'two'))
    }
    del opt['train'], opt['logger']
    Path(f'{name}.yml').write_text(yaml.safe_dump(opt, sort_keys=False))
    assert main(['test', '-opt', f'{name}.yml', *(['--check'] if check else [])]) == code


def result(name: str, file: str = 'sweep.json') -> Any:
    return json.loads(Path('results', name, file).read_text())


def values(name: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Row and data set -> what the table says."""
    return {(row['row'], row['data_set']): row for row in result(name)['rows']}


def assert_row_equals_test(row: str, swept: str, tested: str) -> None:
    """Means, and each image, to the last bit; seconds apart."""
    metrics = result(tested, 'metrics.json')
    for data_set in ('one', 'two'):
        found = values(swept)[row, data_set]
        assert {key: found[key] for key in metrics[data_set]} == metrics[data_set]
        assert found['seconds'] > 0
        images = result(swept)['per_image'][row][data_set]
        assert metrics['per_image'][data_set] == {
            image: {key: value for key, value in each.items() if key != 'seconds'} for image, each in images.items()
        }
        assert found['seconds'] == pytest.approx(sum(each['seconds'] for each in images.values()))


def test_a_row_of_pointers_equals_a_test_at_that_pointer_and_the_adaptive_row_one_by_that_rule() -> None:
    inference = {'regions': 2, 'overlap': 8, 'adaptive': ADAPTIVE}
    run('swept', sweep='pointers', inference=inference)
    for pointer in (1, 2):
        run('tested', inference={'regions': 2, 'overlap': 8, 'pointer': pointer})
        assert_row_equals_test(f'pointer {pointer}', 'swept', 'tested')
    run('tested', inference=inference)
    assert_row_equals_test('adaptive', 'swept', 'tested')
    found = values('swept')
    assert [row for row, data_set in found if data_set == 'one'] == ['pointer 1', 'pointer 2', 'adaptive']
    assert found['pointer 1', 'one']['macs'] < found['pointer 2', 'one']['macs']
    assert found['adaptive', 'one']['macs_paper'] is None  # they depend on the image
    assert found['adaptive', 'one']['params_paper'] == found['pointer 2', 'one']['params_paper']
    assert not Path('results/swept/metrics.json').exists()


def test_pointers_cost_what_complexity_counts() -> None:
    """Of which test_complexity.py holds the tables of the paper."""
    run('swept', sweep='pointers')
    assert main(['complexity', '-opt', 'swept.yml', '--set', 'name=counted']) == 0
    counted = result('counted', 'complexity.json')
    found = values('swept')
    for row in counted:
        mine = found[f'pointer {row["pointer"]}', 'two']
        assert [mine[key] for key in ('params_paper', 'macs_paper')] == [row['params_paper'], row['macs_paper']]


def test_without_inference_images_are_restored_whole_as_a_test_does() -> None:
    run('swept', sweep='pointers')
    run('tested')
    means = result('tested', 'metrics.json')
    for data_set in ('one', 'two'):
        last = values('swept')['pointer 2', data_set]
        assert last['psnr'] == pytest.approx(means[data_set]['psnr'], abs=1e-4) and last['macs'] == 1


def test_a_row_of_thresholds_equals_a_test_with_that_threshold_and_costs_rise_with_it() -> None:
    thresholds = [-float('inf'), 40.0, 60.0, 80.0, float('inf')]
    run('swept', sweep={'thresholds': thresholds}, inference={'regions': 3, 'adaptive': {'threshold': 1.0}})
    run('tested', inference={'regions': 3, 'adaptive': {'threshold': 60.0}})
    assert_row_equals_test('threshold 60.0', 'swept', 'tested')
    found = values('swept')
    costs = [found[f'threshold {value}', 'one']['macs'] for value in thresholds]
    assert costs == sorted(costs) and costs[0] < costs[-1]
    assert found['threshold -inf', 'one']['exit_mean'] == pytest.approx(1)
    assert found['threshold inf', 'one']['exit_mean'] == pytest.approx(2)


def test_a_row_of_budgets_equals_a_test_with_that_budget_and_costs_as_much() -> None:
    run('swept', sweep={'budgets': [0.7, 0.9]}, inference={'regions': 5, 'adaptive': {'threshold': 60.0}})
    run('tested', inference={'regions': 5, 'adaptive': {'budget': 0.7}})
    assert_row_equals_test('budget 0.7', 'swept', 'tested')
    for budget in (0.7, 0.9):
        paid = values('swept')[f'budget {budget}', 'one']['macs']
        assert paid == pytest.approx(budget, abs=0.55 / 25)  # a stage of one of 25 regions


def test_a_rule_keeps_what_the_sweep_does_not_vary() -> None:
    rule = AdaptiveSettings(budget=0.5, score='mean_gradient', operator='roberts')
    swept = {'thresholds': [3.0], 'budgets': None}
    options = FlexIRValOptions(
        metrics=METRICS, sweep=SweepSettings(**swept), inference=InferenceSettings(adaptive=rule)
    )
    (row,) = rows_of(options, 2)
    assert row.passes[0].adaptive == AdaptiveSettings(threshold=3.0, score='mean_gradient', operator='roberts')


def test_thresholds_alone_are_those_of_the_paper() -> None:
    metrics = {'psnr': METRICS['psnr']}
    for inference in (None, InferenceSettings(adaptive=AdaptiveSettings(threshold=41, score='mean_gradient'))):
        rows = rows_of(FlexIRValOptions(metrics=metrics, sweep='thresholds', inference=inference), 2)
        rules = [row.passes[0].adaptive for row in rows]
        assert [rule.threshold for rule in rules] == [1.0, 1.05, 1.1, 1.15] == list(PAPER_THRESHOLDS)
        assert {rule.relative for rule in rules} == {'previous'}
        assert {rule.score_name for rule in rules} == {'sharpness' if inference is None else 'mean_gradient'}


def test_a_row_of_weights_is_the_mean_over_all_exits() -> None:
    run('swept', sweep={'weights': {'SD': '0.pth', 'PSD + scoring': '1.pth'}}, inference={'regions': 2})
    for name, file in (('SD', '0.pth'), ('PSD + scoring', '1.pth')):
        tests = []
        for pointer in (1, 2):
            run('tested', inference={'regions': 2, 'pointer': pointer}, path__pretrain_network_g=file)
            tests.append(result('tested', 'metrics.json'))
        for data_set in ('one', 'two'):
            found = values('swept')[name, data_set]
            for key in ('psnr', 'ssim', 'psnrb', 'macs'):
                assert found[key] == pytest.approx(sum(each[data_set][key] for each in tests) / 2)
    assert values('swept')['SD', 'one']['psnr'] != values('swept')['PSD + scoring', 'one']['psnr']


def test_a_row_of_weights_equals_a_test_where_a_rule_is_given() -> None:
    inference = {'regions': 2, 'adaptive': ADAPTIVE}
    run('swept', sweep={'weights': {'SD': '0.pth', 'PSD': '1.pth'}}, inference=inference)
    run('tested', inference=inference, path__pretrain_network_g='1.pth')
    assert_row_equals_test('PSD', 'swept', 'tested')


def test_a_row_of_weights_keeps_to_a_pointer_that_is_given() -> None:
    for given, pointers in ((None, [1, 2, 3]), (2, [2])):
        settings = InferenceSettings(regions=4, pointer=given)
        swept = SweepSettings(weights={'SD': '0.pth'})
        (row,) = rows_of(FlexIRValOptions(metrics=METRICS, sweep=swept, inference=settings), 3)
        assert list(row.passes) == [InferenceSettings(regions=4, pointer=pointer) for pointer in pointers]


def test_the_tables_hold_what_the_result_does() -> None:
    run('swept', sweep='pointers', inference={'adaptive': ADAPTIVE})
    with open('results/swept/sweep.csv', encoding='utf-8', newline='') as file:
        lines = list(csv.DictReader(file))
    rows = result('swept')['rows']
    assert [{key: None if value == '' else value for key, value in line.items()} for line in lines] == [
        {key: None if value is None else str(value) for key, value in row.items()} for row in rows
    ]
    text = Path('results/swept/sweep.md').read_text()
    assert '| pointer | parameters [M] | MACs [G] | psnr | ssim | psnrb | MACs [part] | seconds | exits [%] |' in text
    row = values('swept')['pointer 1', 'two']
    parts = ['pointer 1', f'{row["params_paper"] / 1e6:.2f}', f'{row["macs_paper"] / 1e9:.2f}', f'{row["psnr"]:.4f}']
    assert f'| {" | ".join(parts)} |' in text
    assert Path('results/swept/sweep.png').read_bytes().startswith(b'\x89PNG')
    assert 'pointer 1' in Path('results/swept/sweep.html').read_text()
    (log,) = Path('results/swept').glob('test_swept_*.log')
    assert f'| {" | ".join(parts)} |' in log.read_text()


def test_weights_tell_what_they_gain_over_the_first() -> None:
    images = {
        name: {'two': {'x': {'psnr': psnr, 'macs': 1.0, 'seconds': 2.0}}} for name, psnr in (('a', 30), ('b', 31))
    }
    swept = Swept('run', 'weights', {'psnr': {}}, images, {}, exits=2)
    lines = lines_of(swept)
    assert lines[:3] == ['two, 1 image:', '', '| weights | psnr | gain in psnr | MACs [part] | seconds |']
    assert '| b | 31.0000 | +1.0000 | 1.000 | 2.00 |' in lines
    assert lines[-1].startswith('All values are means over the exits')
    assert [record['psnr'] for record in records_of(swept)] == [30, 31]


def test_images_lie_in_a_folder_of_each_row() -> None:
    run('swept', sweep='pointers', save_img=True, inference={'adaptive': ADAPTIVE})
    found = {str(path.relative_to('results/swept/visualization').parent) for path in Path().rglob('*_swept.png')}
    assert found == {
        f'{row}/{data_set}' for row in ('pointer 1', 'pointer 2', 'adaptive') for data_set in ('one', 'two')
    }
    assert len(list(Path('results/swept/visualization/adaptive').rglob('*_exits.png'))) == 3
    run('both', sweep={'weights': {'SD': '0.pth'}}, save_img=True)
    assert len(list(Path('results/both/visualization/SD/exit_2/one').glob('*.png'))) == 2


def test_a_stopped_sweep_continues_with_the_row_that_was_left(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    measure = sweeping._measure

    def stopping(*arguments: Any) -> dict[str, float]:
        done.append(f'{arguments[3].name}, {arguments[-1]}')
        if len(done) == 4:
            interrupt._received.append(2)
        return measure(*arguments)

    monkeypatch.setattr(sweeping, '_measure', stopping)
    run('swept', sweep='pointers', code=130)
    assert len(done) == 4 and not Path('results/swept/sweep.json').exists()
    run('swept', sweep='pointers')
    assert [each.partition(',')[0] for each in done] == 3 * ['pointer 1'] + ['pointer 2'] + 3 * ['pointer 2']
    run('whole', sweep='pointers')
    parts, whole = values('swept'), values('whole')
    for key, row in whole.items():
        assert {**row, 'seconds': 0} == {**parts[key], 'seconds': 0}
    assert not Path('results/swept/unfinished').exists()


def test_damaged_rows_of_a_stopped_sweep_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    interrupted = pytest.MonkeyPatch()
    interrupted.setattr(sweeping, 'write_sweep', lambda *_: interrupted.undo() or sys.exit(1))
    with pytest.raises(SystemExit):
        run('swept', sweep='pointers')
    torch.save({'rows': {'another': {}}}, 'results/swept/unfinished/rows.pth')
    run('swept', sweep='pointers', code=2)
    assert 'rows.pth: expected the state of this work' in capsys.readouterr().err


def test_a_finished_sweep_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    run('swept', sweep='pointers')
    before = Path('results/swept/sweep.json').read_bytes()
    run('swept', sweep='pointers')
    run('swept', sweep={'weights': {'SD': '0.pth'}}, code=2)
    assert 'sweep.json: expected the options, network and data that it was made with' in capsys.readouterr().err
    assert Path('results/swept/sweep.json').read_bytes() == before


def test_check_restores_the_first_images_and_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, '_measure_rows', None)
    run('swept', sweep={'weights': {'SD': '0.pth'}}, check=True)
    assert not Path('results').exists()


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({'sweep': 'pointer'}, "val.sweep: expected 'pointers' or 'thresholds' or a block of options or ~"),
    ({'sweep': {}}, 'val.sweep: expected one of thresholds, budgets and weights, got none'),
    ({'sweep': {'budgets': [0.5], 'thresholds': [1.0]}}, 'val.sweep: expected one of thresholds, budgets and weights'),
    ({'sweep': {'thresholds': []}}, 'val.sweep.thresholds: expected one or more that differ'),
    ({'sweep': {'thresholds': [1, 1]}}, 'val.sweep.thresholds: expected one or more that differ'),
    ({'sweep': {'budgets': [0]}}, 'val.sweep.budgets.0: expected more than 0'),
    ({'sweep': {'budgets': [0.9, 0.1]}}, 'budget: expected at least 0.5'),
    ({'sweep': {'weights': {'a/b': '0.pth'}}}, 'val.sweep.weights: expected a plain file name'),
    ({'sweep': {'weights': {'SD': 1}}}, 'val.sweep.weights.SD: expected a file, got 1'),
    ({'sweep': {'weights': {'SD': 'none.pth'}}}, "val.sweep.weights.SD: expected a file, got 'none.pth'"),
    ({'sweep': {'weights': {'SD': 'other.pth'}}}, 'other.pth'),
    ({'sweep': {'weights': {'SD': '0.pth'}}, 'path__strict_load_g': False}, 'path.strict_load_g: expected true beside'),
    ({'sweep': 'pointers', 'metrics': None}, 'val.metrics: expected what a sweep measures, got none'),
    ({'sweep': 'pointers', 'tile_size': 16}, 'val.tile_size: expected ~ beside inference and sweep'),
    (
        {'sweep': 'thresholds', 'inference': {'adaptive': {'score': 'change', 'threshold': 1}}},
        'val.inference.adaptive.relative: expected ~',
    ),
    ({'sweep': 'pointers', 'model': 'RestorationModel'}, 'val.sweep: expected a known key'),
    (
        {'sweep': 'pointers', 'model': 'SRModel'},
        'val.sweep: expected FlexIRModel, which restores by exits, got SRModel',
    ),
]


@pytest.mark.parametrize(('changes', 'message'), REFUSED)
def test_what_is_refused(changes: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({'weight': torch.zeros(1)}, 'other.pth')
    run('refused', code=2, **changes)
    error = capsys.readouterr().err
    assert message in error and error.count('\n') == 1
    assert not Path('results/refused').exists()


def test_weights_beside_a_calibration_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    content = {'inference': {'regions': 2, 'pointer': 1}, 'weights': 'those of others'}
    Path('calibration.json').write_text(json.dumps(content))
    run('x', 2, sweep={'weights': {'SD': '0.pth'}}, inference={'calibration': 'calibration.json'})
    assert 'val.inference.calibration: expected none beside sweep.weights' in capsys.readouterr().err
