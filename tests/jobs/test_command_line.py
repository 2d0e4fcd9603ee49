"""What the command line says of itself, how soon, and the jobs that help with it."""

import subprocess
import sys
from pathlib import Path

import pytest

from basicsr_ext.__main__ import main
from basicsr_ext.jobs import jobs, load, parser_of
from basicsr_ext.jobs.options import choose, folder
from tests.helpers.processes import REPOSITORY

Capture = pytest.CaptureFixture[str]
HEAVY = ('torch', 'basicsr', 'cv2', 'numpy', 'yaml')


def imported(code: str) -> set[str]:
    """Which of the heavy packages a fresh interpreter has loaded after some code."""
    shown = f'import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\nprint("loaded", *sys.modules)'
    words = subprocess.check_output([sys.executable, '-c', shown], text=True, cwd=REPOSITORY, stderr=subprocess.STDOUT)
    return set(words.split('loaded')[-1].split()) & set(HEAVY)


@pytest.mark.parametrize('arguments', [['-h'], ['--version'], ['trian', '-opt', 'x.yml']])
def test_nothing_heavy_is_loaded_to_say_what_there_is(arguments: list[str]) -> None:
    assert imported(f'from basicsr_ext.__main__ import main; main({arguments})') == set()


def test_importing_the_package_loads_nothing() -> None:
    assert imported('import basicsr_ext') == set()


@pytest.mark.parametrize('room', ['networks.trained', pytest.param('inference', marks=pytest.mark.slow)])
def test_any_room_may_come_first(room: str) -> None:
    code = f'import basicsr_ext.{room}; from basicsr.utils.registry import ARCH_REGISTRY as R; assert "FlexIR" in R'
    assert subprocess.run([sys.executable, '-c', code], cwd=REPOSITORY, check=False).returncode == 0


def test_every_job_says_what_it_does_with_an_example(capsys: Capture) -> None:
    with pytest.raises(SystemExit):
        main(['-h'])
    overview = ' '.join(capsys.readouterr().out.split())
    for job, sentence in jobs().items():
        assert sentence in overview and sentence.endswith('.')
        assert main([job, '-h']) == 0
        said = capsys.readouterr().out
        assert f'example:\n  {load(job).EXAMPLE}' in said


@pytest.mark.parametrize('job', jobs())
def test_the_example_of_a_job_is_understood(job: str) -> None:
    words = load(job).EXAMPLE.replace('eval "$(', '').replace(')"', '').partition(' >')[0].split()
    assert words[:2] == ['basicsr-ext', job]
    args = parser_of(job, load(job)).parse_args(words[2:])
    option_file = getattr(args, 'opt', None)
    assert option_file is None or (REPOSITORY / option_file).is_file()


@pytest.mark.parametrize(('shell', 'sign'), [('bash', 'complete -'), ('zsh', '#compdef basicsr-ext')])
def test_completion(shell: str, sign: str, capsys: Capture) -> None:
    assert main(['completion', shell]) == 0
    script = capsys.readouterr().out
    assert sign in script and all(job in script for job in jobs())


def test_the_option_files_are_listed_and_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(['options', 'rank']) == 0
    listed = [line.partition(':')[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == [f'options/{path.relative_to(folder())}' for path in sorted((folder() / 'rank').iterdir())]
    for _ in range(2):  # a file that is there and equal is no matter
        assert main(['options', 'rank', 'options/audit/audit_BSD400.yml', '-o', '.']) == 0
    copied = sorted(str(path.relative_to(tmp_path)) for path in Path(tmp_path, 'options').rglob('*.yml'))
    assert copied == sorted([*listed, 'options/audit/audit_BSD400.yml'])
    for path in copied:
        assert Path(path).read_bytes() == (folder().parent / path).read_bytes()
    capsys.readouterr()
    Path(copied[0]).write_text('mine')
    assert main(['options', '-o', '.']) == 2
    assert 'expected a new file, got one that is there and differs' in capsys.readouterr().err
    assert Path(copied[0]).read_text() == 'mine' and not Path('options/train').exists()


def test_an_unknown_option_file(capsys: Capture) -> None:
    assert main(['options', 'rank/rank_IRCNN.yml']) == 2
    assert "NAME: expected an option file or a folder of them, got 'rank/rank_IRCNN.yml'." in capsys.readouterr().err
    assert len(choose([])) == len(list(folder().rglob('*.yml')))
