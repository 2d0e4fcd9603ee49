"""Parameters and multiply-accumulates: the paper's figures, closed forms by hand, and the job around them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from basicsr.archs import build_network

from basicsr_ext.__main__ import main
from basicsr_ext.errors import DataError, OptionError
from basicsr_ext.jobs import complexity
from basicsr_ext.jobs.complexity import ComplexitySettings, complexity_pipeline, complexity_rows
from basicsr_ext.networks.deployed import deployed_network
from basicsr_ext.networks.macs import full_macs, paper_count
from basicsr_ext.options.load import load_options
from tests.helpers.option_files import option_file

SMALL: dict[str, Any] = {
    'type': 'FlexIR', 'upscale': 1, 'in_chans': 3, 'img_size': 16, 'window_size': 4, 'depths': [2, 1], 'embed_dim': 12,
    'num_heads': [2, 3], 'mlp_ratio': 2, 'upsampler': '', 'drop_path_rate': 0.0,
}  # fmt: skip
# Table of "FlexIR": P = 1 to 6, 128 x 128.
PAPER = {
    'color': ([2.16, 4.02, 5.88, 7.74, 9.60, 11.46], [35.47, 65.98, 96.50, 127.01, 157.52, 188.03]),
    'jpeg': ([2.15, 4.01, 5.87, 7.73, 9.59, 11.45], [38.15, 71.07, 103.98, 136.90, 169.81, 202.72]),
}


def rows_of(network: dict[str, Any], *size: int) -> list[Any]:
    opt = {'network_g': network}
    return complexity_rows(deployed_network(opt), opt, ComplexitySettings(list(size)))


def write(folder: Path, **opt: Any) -> list[str]:
    (folder / 'x.yml').write_text(yaml.safe_dump({'name': 'x', 'network_g': SMALL, **opt}))
    return ['-opt', str(folder / 'x.yml')]


@pytest.mark.parametrize(
    'task', [task if task == 'color' else pytest.param(task, marks=pytest.mark.slow) for task in PAPER]
)
def test_the_tables_of_the_paper(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(complexity, 'full_macs', lambda *_: 0)  # traces a large network for a quarter of a minute
    opt = load_options(option_file(f'complexity_FlexIR_{task}'))
    rows = rows_of(opt['network_g'], *opt['complexity']['input_size'])
    params, macs = PAPER[task]
    assert [row.pointer for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row.params_paper / 1e6 for row in rows] == pytest.approx(params, abs=0.005)
    assert [row.macs_paper / 1e9 for row in rows] == pytest.approx(macs, abs=0.02)
    if task == 'color':
        assert rows[-1].params_stored == 12_989_178


def flexir_by_hand(pointer: int, height: int, width: int) -> tuple[int, int]:
    """MACs of SMALL as the paper counts, and with products of attention as mmengine counts."""
    c, n, depths, heads = 12, 16, [2, 1][:pointer], [2, 3]
    pixels = -(-height // 4) * 4 * (-(-width // 4) * 4)
    conv = 9 * (3 * c + c * c * pointer + c * c + c * 3)  # first, one an RSTB, two of the tail
    linear = sum(depths) * (c * 3 * c + c * c + 2 * c * 2 * c)
    norms = (2 * sum(depths) + 2) * c
    softmax = sum(depth * head * (3 * n - 1) for depth, head in zip(depths, heads, strict=False))
    attention = sum(depths) * 2 * n * c
    return pixels * (conv + linear + 4 * norms + softmax), pixels * (conv + linear + 5 * norms + attention)


@pytest.mark.parametrize('size', [(16, 16), (13, 22)])
def test_flexir_by_hand(size: tuple[int, int]) -> None:
    rows = rows_of(SMALL, *size)
    assert [(row.macs_paper, row.macs_full) for row in rows] == [flexir_by_hand(p, *size) for p in (1, 2)]


@pytest.mark.parametrize('change', [{}, {'upsampler': 'pixelshuffle', 'upscale': 2}, {'share_tail': True}])
def test_one_window_tells_for_all(change: dict[str, Any]) -> None:
    network = {**SMALL, **change}
    net, image = deployed_network({'network_g': network}), torch.zeros(1, 3, 13, 22)
    for row in rows_of(network, 13, 22):
        net.pointer = row.pointer
        assert (row.params_paper, row.macs_paper) == paper_count(net, image)
        assert row.macs_full == full_macs(net, image)


def test_what_is_stored_is_a_network_of_so_many_branches() -> None:
    cut = build_network({**SMALL, 'depths': [2], 'num_heads': [2]})
    whole = build_network({**SMALL, 'channel_scoring': True})
    scoring = sum(p.numel() for p in whole.scoring.parameters())
    rows = rows_of({**SMALL, 'channel_scoring': True}, 8, 8)
    totals = [sum(p.numel() for p in net.parameters()) for net in (cut, whole)]
    assert [row.params_stored for row in rows] == [totals[0], totals[1] - scoring]


def test_flexir_at_its_last_pointer_counts_as_swinir() -> None:
    (swinir,) = rows_of({**SMALL, 'type': 'SwinIR'}, 16, 16)
    last = rows_of({**SMALL, 'share_tail': True}, 16, 16)[-1]
    assert swinir.pointer is None
    for name in ('params_paper', 'macs_paper', 'params_stored', 'macs_full'):
        assert getattr(swinir, name) == getattr(last, name)


def test_absolute_positions_are_counted_at_their_size() -> None:
    rows = rows_of({**SMALL, 'ape': True}, 16, 16)
    assert [row.macs_paper for row in rows] == [row.macs_paper for row in rows_of(SMALL, 16, 16)]
    assert [row.params_stored for row in rows] == [row.params_stored + 16 * 16 * 12 for row in rows_of(SMALL, 16, 16)]


def test_a_network_without_branches_has_one_row() -> None:
    (row,) = rows_of({'type': 'IRCNN', 'num_in_ch': 1, 'num_out_ch': 1, 'num_feat': 4}, 10, 20)
    weights = 9 * (4 + 5 * 16 + 4)
    assert (row.pointer, row.macs_paper, row.macs_full) == (None, 200 * weights, 200 * weights)
    assert row.params_paper == row.params_stored == weights + 6 * 4 + 1


# ---- the job ----


def test_the_job_writes_what_it_shows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert complexity_pipeline(tmp_path, write(tmp_path, complexity={'input_size': [13, 22]})) == 0
    rows = json.loads((tmp_path / 'results/x/complexity.json').read_text())
    keys = ['pointer', 'params_paper', 'macs_paper', 'params_stored', 'macs_full']
    assert [list(row) for row in rows] == [keys, keys]
    assert all(type(value) is int for row in rows for value in row.values())
    assert [(row['macs_paper'], row['macs_full']) for row in rows] == [flexir_by_hand(p, 13, 22) for p in (1, 2)]
    (log,) = (tmp_path / 'results/x').glob('complexity_x_*.log')
    assert 'as the paper counts' in log.read_text()


def test_the_file_of_another_job_does_as_well(tmp_path: Path) -> None:
    argv = write(tmp_path, model_type='FlexIRModel', datasets={'test': {'dataroot_gt': 'nowhere'}}, val={})
    complexity_pipeline(tmp_path, argv)
    rows = json.loads((tmp_path / 'results/x/complexity.json').read_text())
    assert rows[-1]['macs_full'] == flexir_by_hand(2, 128, 128)[1]


def test_a_name_that_is_a_path(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match='^name: expected'):
        complexity_pipeline(tmp_path / 'here', write(tmp_path, name='../../outside'))
    assert [path.name for path in tmp_path.iterdir()] == ['x.yml']


def test_counts_of_something_else_are_kept(tmp_path: Path) -> None:
    for _ in range(2):
        assert complexity_pipeline(tmp_path, write(tmp_path, complexity={'input_size': [16, 16]})) == 0
    before = (tmp_path / 'results/x/complexity.json').read_bytes()
    with pytest.raises(DataError, match=r'complexity\.json: expected the same result or none, got another'):
        complexity_pipeline(tmp_path, write(tmp_path, complexity={'input_size': [32, 16]}))
    assert (tmp_path / 'results/x/complexity.json').read_bytes() == before


def test_check_writes_nothing(tmp_path: Path) -> None:
    assert complexity_pipeline(tmp_path, [*write(tmp_path), '--check']) == 0
    assert not (tmp_path / 'results').exists()


@pytest.mark.parametrize(
    ('opt', 'message'),
    [
        ({'complexty': {}}, r'complexty: expected a known key, .* Did you mean complexity\?'),
        ({'complexity': {'size': [8, 8]}}, r'complexity\.size: expected a known key'),
        ({'complexity': {'input_size': [8]}}, r'complexity\.input_size: expected a height and a width, got \[8\]'),
        ({'complexity': {'input_size': [8, 0]}}, r'complexity\.input_size: expected a height and a width'),
        ({'network_g': {'type': 'FlexR'}}, r'network_g\.type: expected a name .* Did you mean FlexIR'),
        ({'network_g': {**SMALL, 'embed': 3}}, r'network_g\.embed: expected an argument of FlexIR'),
        (
            {'network_g': {**SMALL, 'ape': True}},
            r'complexity\.input_size: expected input that FlexIR takes, got 3 channels of \[128',
        ),
        ({'network_g': {'type': 'SpyNet'}}, r'complexity\.input_size: expected input that SpyNet takes'),
    ],
)
def test_mistakes_are_named(tmp_path: Path, opt: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        complexity_pipeline(tmp_path, write(tmp_path, **opt))


def test_a_network_of_spandrel_is_counted_and_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip('spandrel')
    monkeypatch.chdir(tmp_path)
    block = {
        'type': 'SpandrelArch', 'architecture': 'SwinIR', 'embed_dim': 12, 'depths': [2], 'num_heads': [2],
        'window_size': 8, 'img_size': 16, 'upscale': 1,
    }  # fmt: skip
    opt = {'name': 'x', 'network_g': block, 'complexity': {'input_size': [16, 24]}}
    Path('x.yml').write_text(yaml.safe_dump(opt))
    assert main(['complexity', '-opt', 'x.yml']) == 0
    (row,) = json.loads(Path('results/x/complexity.json').read_text())
    net = build_network(dict(block))
    assert row['params_stored'] == sum(value.numel() for value in net.parameters()) and row['macs_full'] > 0
    torch.save(net.state_dict(), 'x.pth')
    assert main(['export', 'x.pth', '-opt', 'x.yml', '-o', 'y.pth']) == 0
    assert torch.load('y.pth', weights_only=True)['params'].keys() == net.state_dict().keys()
