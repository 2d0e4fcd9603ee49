"""One file after the other through the network: whole under its name, or the reason why not."""

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from basicsr_ext.errors import OUT_OF_MEMORY, BasicsrExtError, CheckpointError, DataError, OptionError, first_line, told
from basicsr_ext.images.decoding import read_image
from basicsr_ext.images.file_io import check_target, decode_image_file, encode_image_file
from basicsr_ext.images.metadata import read_metadata
from basicsr_ext.inference.fitting_tiles import FittingTiles
from basicsr_ext.inference.named_network import NamedNetwork
from basicsr_ext.inference.restorer import Restorer
from basicsr_ext.jobs.restore.notes import Notes
from basicsr_ext.jobs.restore.plan import Work
from basicsr_ext.jobs.restore.video import restore_video
from basicsr_ext.runtime.checkpoint import weights_digest
from basicsr_ext.runtime.files import atomic_open, digest_of_bytes, digest_of_file
from basicsr_ext.runtime.interrupt import Interrupted


class Worker:
    """Restores files.

    Args:
        restorer: the network.
        notes: of what is made.
        overlap: of tiles that fit themselves.
        fits_tiles: whether tiles do; otherwise the settings of the restorer say how images are cut.
    """

    def __init__(self, restorer: Restorer, notes: Notes, overlap: int | None, fits_tiles: bool) -> None:
        self.notes, self.net = notes, restorer.net
        self._run = (FittingTiles(restorer, overlap) if fits_tiles else restorer).restore

    def attempt(self, work: Work) -> str | None:
        """Restore a file.

        Returns:
            Why it could not be; None after success.

        Raises:
            OptionError, CheckpointError: whatever would be wrong with every other file too.
            OSError: the result cannot be written.
            Interrupted: a stop was requested in the middle of a video.
        """
        try:
            self._video(work) if work.is_video else self._image(work)
        except (OSError, OptionError, CheckpointError, Interrupted):
            raise
        except Exception as error:
            said = told(error)
            if said is None:
                raise
            return said if isinstance(error, BasicsrExtError) else f'{work.source}: {said}'
        return None

    def _image(self, work: Work) -> None:
        content = read_image('', work.source)
        image, metadata = decode_image_file(content, work.source), read_metadata(content, work.source)
        check_target(work.target, image)
        result = encode_image_file(work.target, self._restore(image, work.source), metadata)
        self.notes.add(work, digest_of_bytes(content), digest_of_bytes(result))
        with atomic_open(work.target) as file:
            file.write(result)

    def _video(self, work: Work) -> None:
        self.notes.folder.mkdir(parents=True, exist_ok=True)
        unfinished = self.notes.folder / f'unfinished_{Path(work.target).name}'
        try:
            restore_video(work.source, unfinished, lambda frame: self._restore(frame, work.source), self.notes.rank > 0)
            self.notes.add(work, digest_of_file(work.source), digest_of_file(unfinished))
            os.replace(unfinished, work.target)
        finally:
            unfinished.unlink(missing_ok=True)

    def _restore(self, image: np.ndarray, path: str) -> np.ndarray:
        try:
            return self._run(image)
        except BasicsrExtError:
            raise
        except (RuntimeError, ValueError, TypeError) as error:
            if any(sign in str(error) for sign in OUT_OF_MEMORY):
                raise
            got = f'{image.shape} and {first_line(error)}'
            raise DataError(path, 'an image that the network takes', got, 'Leave it out, or change --tile.') from error


def made_with(named: NamedNetwork, restorer: Restorer, fits_tiles: bool, overlap: int | None) -> Mapping[str, Any]:
    """What decides the results of given files, as JSON values."""
    return {
        'network': {key: str(value) for key, value in named.block.items() if key != 'checkpoint'},
        'weights': weights_digest(restorer.net),
        'settings': asdict(restorer.settings),
        'tiles': [fits_tiles, overlap],
    }
