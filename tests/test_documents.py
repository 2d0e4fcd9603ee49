"""The documents: their commands are understood, their paths exist, and no option file or registered name is missing."""

import re
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from basicsr_ext.jobs import jobs, load
from basicsr_ext.options.command_line import build_parser, override
from basicsr_ext.options.load import OptionLoader, load_options
from tests.helpers.option_files import (
    FILES,
    OPTION_FILES,
    REGISTRIES,
    REPOSITORY,
    header,
    job_of,
    known_types,
    ours,
    types_in,
    variant_lines,
    variants,
    written_out,
)

README = REPOSITORY / 'README.md'
OPTIONS = REPOSITORY / 'options' / 'README.md'
REPRODUCE = REPOSITORY / 'scripts' / 'reproduce' / 'README.md'
PAPERS = REPRODUCE.with_name('papers.md')
BENCHMARKS = REPOSITORY / 'scripts' / 'benchmarks' / 'README.md'
HOUSE = REPOSITORY / 'basicsr_ext' / 'README.md'
TESTS = REPOSITORY / 'tests' / 'README.md'
DOCUMENTS = [README, OPTIONS, REPRODUCE, PAPERS, BENCHMARKS, HOUSE, TESTS]


def document_id(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def text_of(path: Path) -> str:
    return path.read_text(encoding='utf-8')


def fenced(document: Path, *languages: str) -> list[str]:
    """The blocks of a document in one of these languages; '' for blocks without one."""
    blocks: list[tuple[str, list[str]]] = []
    inside = False
    for line in text_of(document).splitlines():
        if line.startswith('```'):
            inside = not inside
            if inside:
                blocks.append((line[3:].strip(), []))
        elif inside:
            blocks[-1][1].append(line)
    return ['\n'.join(lines) for language, lines in blocks if language in languages]


def expand_loops(line: str) -> list[str]:
    """The commands of a line, a `for name in a b; do ...; done` written out."""
    loop = re.fullmatch(r'for (\w+) in ([^;]+); do (.*); done', line)
    if not loop:
        return [line]
    name, values, body = loop.groups()
    return [re.sub(rf'\$\{{?{name}\}}?', value, body) for value in shlex.split(values)]


def commands(document: Path) -> list[list[str]]:
    """The words of every command of ours in the shell blocks and in the inline code of a document."""
    text = '\n'.join(fenced(document, 'bash', 'sh', 'shell', 'console', '')).replace('\\\n', ' ')
    lines = [command for line in text.splitlines() for command in expand_loops(line.strip().removeprefix('$ '))]
    inline = rf'`([^`\n]*\b(?:basicsr_ext|basicsr-ext) (?:{"|".join(jobs())}) [^`\n]*)`'
    lines += re.findall(inline, text_of(document))
    lines += re.findall(r'`(python scripts/[^`\n]*)`', text_of(document))
    ours = r'basicsr[-_]ext\b|(?:bash|python) scripts/'
    words = [shlex.split(line.partition(' > ')[0], comments=True) for line in lines if re.search(ours, line)]
    return [[word for word in command if not re.fullmatch(r'[A-Z_]+=.*', word)] for command in words]


def job_commands(document: Path) -> list[list[str]]:
    """From the name of the program on: [basicsr_ext, train, -opt, ...]."""
    found = []
    for command in commands(document):
        programs = [i for i, word in enumerate(command) if word in ('basicsr_ext', 'basicsr-ext')]
        if programs and (command[programs[0] - 1] == '-m' or programs[0] == 0):
            found.append(command[programs[0] :])
    return found


def written_by_init(document: Path) -> list[str]:
    """The beginnings of the names of option files that commands of a document write."""
    inits = [command for command in job_commands(document) if command[1] == 'init']
    return [command[command.index('-o') + 1].removesuffix('.yml') for command in inits]


def check_job(command: list[str], written: Sequence[str] = ()) -> None:
    """The words are understood, the option file exists and is for the job, and `--set` finds its keys."""
    _, job, *arguments = command
    module = load(job)
    if hasattr(module, 'build_parser'):
        module.build_parser().parse_args(arguments)
        return
    args = build_parser(job).parse_args(arguments)
    if args.opt == 'FILE' or any(args.opt.startswith(stem) for stem in written):
        return
    opt = load_options(REPOSITORY / args.opt)
    for assignment in args.set:
        override(opt, assignment)
    assert job in ('complexity', job_of(REPOSITORY / args.opt))  # complexity takes any file with a network


@pytest.mark.parametrize('document', DOCUMENTS, ids=document_id)
def test_the_commands_are_understood(document: Path) -> None:
    for command in job_commands(document):
        try:
            check_job(command, written_by_init(document))
        except (SystemExit, Exception) as error:
            raise AssertionError(f'{" ".join(command)}: {error}') from error


@pytest.mark.parametrize('document', DOCUMENTS, ids=document_id)
def test_the_scripts_exist_and_know_their_arguments(document: Path) -> None:
    for program, script, *arguments in commands(document):
        if not script.startswith('scripts/'):
            continue
        path = REPOSITORY / script
        assert path.is_file()
        if program == 'bash':
            assert subprocess.run(['bash', '-n', path], check=False).returncode == 0
        else:
            known = ''.join(text_of(file) for file in path.parent.glob('*.py'))  # they share the making of parsers
            assert [word for word in arguments if word.startswith('-') and f"'{word}'" not in known] == [], script


@pytest.mark.parametrize('document', DOCUMENTS, ids=document_id)
def test_every_path_exists(document: Path) -> None:
    text = text_of(document)
    paths = set(re.findall(r'\b(?:options|scripts|tests|basicsr_ext)/[\w./-]*\w', text))
    assert not [path for path in paths if not (REPOSITORY / path).exists()]


def anchors(document: Path) -> set[str]:
    """The names that GitHub gives to the headings of a document."""
    titles = re.findall(r'^#+ (.*)', text_of(document), flags=re.MULTILINE)
    return {re.sub(r'[^\w -]', '', title.lower()).replace(' ', '-') for title in titles}


@pytest.mark.parametrize('document', DOCUMENTS, ids=document_id)
def test_every_link_leads_somewhere(document: Path) -> None:
    for link in re.findall(r'\]\((?!https?://)([^)]+)\)', text_of(document)):
        file, _, anchor = link.partition('#')
        target = document.parent / file if file else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize('document', DOCUMENTS, ids=document_id)
def test_the_yaml_names_what_is_known(document: Path) -> None:
    found = {name for block in fenced(document, 'yaml', 'yml') for name in types_in(yaml.load(block, OptionLoader))}
    assert found <= known_types()
    mentioned = set(re.findall(r'`([A-Z]\w*(?:Dataset|Model|Loss)|calculate_\w+)`', text_of(document)))
    assert mentioned <= known_types()


def test_the_readme_is_short_and_shows_every_job_and_both_scripts() -> None:
    assert len(text_of(README).splitlines()) < 250
    assert {command[1] for command in job_commands(README)} == set(jobs())
    assert {command[1] for command in commands(README)} >= {'scripts/demo.sh', 'scripts/test.sh'}


def test_every_name_of_ours_is_in_the_document_of_options() -> None:
    words = set(re.findall(r'`(\w+)`', text_of(OPTIONS)))
    assert {name for kind in REGISTRIES for name in ours(kind)} <= words


def test_every_script_is_in_its_document() -> None:
    """But for the modules that scripts share."""
    for document in (REPRODUCE, BENCHMARKS):
        scripts = {path.name for path in document.parent.glob('*.py') if "'__main__'" in text_of(path)}
        run = {Path(script).name for program, script, *_ in commands(document) if program == 'python'}
        assert scripts <= run


def test_every_option_file_and_variant_is_in_the_document_of_options() -> None:
    rows = re.findall(r'^\| \[(\w[\w-]*)\]\(([^)]*)\) \| .* \|(.*)\|$', text_of(OPTIONS), flags=re.MULTILINE)
    assert sorted(OPTIONS.parent / link for _, link, _ in rows) == FILES
    for name, link, cell in rows:
        path = OPTIONS.parent / link
        assert path.stem == name
        assert [' '.join(shlex.split(line)) for line in re.findall('`([^`]*)`', cell)] == [
            ' '.join(shlex.split(line)) for line in variant_lines(path)
        ]


def test_the_option_files_of_the_papers_are_there() -> None:
    """So are the tables of the scripts, each of which a script knows."""
    named = set(re.findall(r'`((?:train|test|rank|mine|align|distill|complexity)_\w[\w-]*)`', text_of(PAPERS)))
    assert len(named) > 30
    assert named <= {path.stem for path in OPTION_FILES}
    scripts = ''.join(text_of(path) for path in REPRODUCE.parent.glob('*.py'))
    for tables in re.findall(r'--tables ([^`-]*)', text_of(PAPERS)):
        assert [table for table in tables.split() if f"'{table}'" not in scripts] == []


# ---- the headers of option files ----


def test_loops_stand_for_each_with_each() -> None:
    line = "for s in 15 50; for d in A; --set name=x_${s}_${d} sigma=${s} 'roots=[${d}, B]'"
    assert written_out(line) == [[f'name=x_{s}_A', f'sigma={s}', 'roots=[A, B]'] for s in (15, 50)]
    assert written_out('--set name=y') == [['name=y']]


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_the_header_of_an_option_file_is_right(path: Path) -> None:
    """What it says to run can be run, the files it names exist, and each variant has a name of its own."""
    text = header(path)
    for command in re.findall(r'python -m (basicsr_ext .*)', text):
        check_job(shlex.split(command))
    known = {name for file in FILES for name in (file.name, str(file.relative_to(REPOSITORY)))}
    assert set(re.findall(r'[\w./-]+\.yml', text)) <= known
    assert all(assignments[0].startswith('name=') for assignments in variants(path))
    assert text.count('--set ') == len(variant_lines(path))
    assert not any('$' in word for words in variants(path) for word in words)


def test_names_are_unique() -> None:
    names = [path.stem for path in FILES]
    names += [words[0].removeprefix('name=') for path in FILES for words in variants(path)]
    assert len(set(names)) == len(names)
