"""Videos frame by frame, by OpenCV."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from basicsr.utils import get_root_logger

from basicsr_ext.errors import DataError, ImageError
from basicsr_ext.runtime import interrupt
from basicsr_ext.runtime.progress import Progress

# Codecs that OpenCV brings along: MPEG-4 for what players show, FFV1, without loss, for what is worked on.
CODECS = {'.mp4': 'mp4v', '.m4v': 'mp4v', '.mov': 'mp4v', '.mkv': 'FFV1', '.avi': 'FFV1'}
VIDEO_OUTPUTS = tuple(CODECS)
VIDEO_INPUTS = (*VIDEO_OUTPUTS, '.webm', '.mpg', '.mpeg', '.wmv', '.flv', '.ts')


def restore_video(source: str, target: Path, restore: Callable[[np.ndarray], np.ndarray], hidden: bool) -> None:
    """Restore all frames of a video; sound is lost.

    Args:
        source: the video.
        target: a file that is written; its ending names the container.
        restore: takes and gives H x W x 3 RGB, uint8.
        hidden: whether to show no progress.

    Raises:
        ImageError: it cannot be read, or the container cannot hold the result.
        Interrupted: a stop was requested.
    """
    with _reading(source) as video:
        rate, number = video.get(cv2.CAP_PROP_FPS), max(0, int(video.get(cv2.CAP_PROP_FRAME_COUNT)))
        if not rate > 0:
            raise ImageError(source, 'a video with frames per second', rate, 'Convert it.')
        get_root_logger().info(f'{source}: {number} frames, {rate:.6g} a second. Its sound is not taken over.')
        progress = Progress('restore', number, unit='frame', hidden=hidden)
        written = _write(_frames(video), source, target, rate, restore, progress)
    if written == 0:
        raise ImageError(source, 'a video with frames', 'none', 'Replace or remove it.')
    if written < number:
        get_root_logger().warning(f'{source}: {written} of the {number} frames that it names could be read.')


def _frames(video: cv2.VideoCapture) -> Iterator[np.ndarray]:
    while True:
        is_there, frame = video.read()
        if not is_there:
            return
        yield frame


def _write(
    frames: Iterator[np.ndarray],
    source: str,
    target: Path,
    rate: float,
    restore: Callable[[np.ndarray], np.ndarray],
    progress: Progress,
) -> int:
    writer, written = None, 0
    try:
        with progress:
            for frame in frames:
                if interrupt.requested():
                    raise interrupt.Interrupted
                result = cv2.cvtColor(restore(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)), cv2.COLOR_RGB2BGR)
                if writer is None:
                    writer, size = _open(source, target, rate, result), result.shape
                if result.shape != size:
                    raise ImageError(source, f'frames of one size {size[:2]}', result.shape[:2], 'Convert it.')
                writer.write(result)
                written += 1
                progress.update()
    finally:
        if writer is not None:
            writer.release()
    return written


def _open(source: str, target: Path, rate: float, frame: np.ndarray) -> cv2.VideoWriter:
    height, width = frame.shape[:2]
    codec = CODECS[target.suffix.lower()]
    if codec == 'mp4v' and (height % 2 or width % 2):  # OpenCV would cut off a row or a column
        raise DataError(
            source, f'even height and width for {target.suffix}', f'{height} x {width}', 'Write .mkv or .avi.'
        )
    writer = cv2.VideoWriter(str(target), cv2.VideoWriter.fourcc(*codec), rate, (width, height))
    if not writer.isOpened():
        raise ImageError(target, f'a video that OpenCV writes with {codec}', 'none', 'Write .mkv, .mp4 or .avi.')
    return writer


@contextmanager
def _reading(path: str) -> Iterator[cv2.VideoCapture]:
    if not os.path.isfile(path):
        raise ImageError(path, 'a file', 'none', 'Correct the path.')
    video = cv2.VideoCapture(path)
    try:
        if not video.isOpened():
            raise ImageError(path, 'a video that OpenCV reads', 'another file or a damaged one', 'Convert it.')
        yield video
    finally:
        video.release()
