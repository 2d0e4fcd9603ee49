"""A damaged LMDB is refused: reading behind its end would kill the process."""

from pathlib import Path

import lmdb
import numpy as np
import pytest

from basicsr_ext.errors import DataError
from basicsr_ext.images.lmdb_env import open_lmdb, read_key


@pytest.fixture
def made(tmp_path: Path) -> Path:
    path = tmp_path / 'x.lmdb'
    with lmdb.open(str(path), map_size=2**20) as environment:
        for number in range(3):
            with environment.begin(write=True) as transaction:
                transaction.put(b'%d' % number, np.random.default_rng(number).bytes(30000))
    return path


def test_whole(made: Path) -> None:
    assert read_key(str(made), '2') == np.random.default_rng(2).bytes(30000)
    assert read_key(str(made), '3') is None


@pytest.mark.parametrize('left', [0, 100, 4096, 9000, -4096, -1])
def test_cut(made: Path, left: int) -> None:
    content = (made / 'data.mdb').read_bytes()
    (made / 'data.mdb').write_bytes(content[:left])
    with pytest.raises(DataError, match=r'^LMDB .*x\.lmdb: expected .*Copy it again'):
        open_lmdb(made)


def test_foreign(made: Path) -> None:
    (made / 'data.mdb').write_bytes(b'no database ' * 999)
    with pytest.raises(DataError, match=r'^LMDB .*x\.lmdb: expected a folder with data\.mdb'):
        open_lmdb(made)


def test_a_key_that_no_lmdb_can_have(made: Path) -> None:
    with pytest.raises(DataError, match=r'^LMDB .*x\.lmdb: expected a value of .*, got .*Copy it again'):
        read_key(str(made), '')
