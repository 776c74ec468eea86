"""Clips in: a video file, a folder of frames, or a camera by its number."""

import os

from ..errors import ClipError, SapiensError
from ..files import expanded
from .choices import FRAMES_PER_S
from .frames import Clip

ClipSource = str | os.PathLike | int


def open_clip(source: ClipSource, *, longest_px: int | None = None, frames_per_s: float = FRAMES_PER_S) -> Clip:
    """The clip, of which no more than a first frame has been read.

    Args:
        source: a file, a folder whose pictures are the frames in the order of their names (frame2 before frame10), or
            the number of a camera, as a number or as text.
        longest_px: frames whose longer side is above it are scaled down.
        frames_per_s: of a folder.

    Raises:
        ClipError: with a sentence that says what is wrong and what to do.
        SapiensError: for a side or a rate that cannot be.
    """
    if longest_px is not None and longest_px < 16:
        raise SapiensError(f"The longest side is {longest_px} pixels. Give 16 or more.")
    if not 1 <= frames_per_s <= 1000:
        raise SapiensError(f"A clip of {frames_per_s:g} frames a second cannot be made. Give a number from 1 to 1000.")
    from .read_camera import CameraClip
    from .read_file import FileClip
    from .read_folder import FolderClip

    path = expanded(source if not isinstance(source, int) else str(source))
    try:
        if isinstance(source, int) or (not path.exists() and str(source).isdecimal()):
            return CameraClip(int(str(source)), longest_px)
        if path.is_dir():
            return FolderClip(path, longest_px, frames_per_s)
        if not path.exists():
            raise ClipError(f"There is no file {path}. Check its name and folder.")
        if not path.is_file():
            raise ClipError(f"{path} is not an ordinary file. Name a video on disk.")
        if not path.stat().st_size:
            raise ClipError(f"{path.name} is empty (0 bytes). Choose another file, or copy it again.")
    except (OSError, ValueError) as problem:
        if isinstance(problem, SapiensError):
            raise
        reason = getattr(problem, "strerror", None) or problem
        raise ClipError(f"{path} cannot be opened ({reason}). Check its name and that you may read it.") from problem
    return FileClip(path, longest_px)
