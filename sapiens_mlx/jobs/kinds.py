"""What a file is by its name, and the one place where a video among the inputs is handed to the package for videos."""

import os
from pathlib import Path
from typing import Any

from ..errors import SapiensError

PHOTOS = frozenset(
    f".{ending}"
    for ending in (
        *("jpg", "jpeg", "jpe", "jfif", "mpo", "png", "apng", "webp", "tif", "tiff", "bmp", "dib", "gif", "avif"),
        *("heic", "heif", "jp2", "j2k", "jpx", "ppm", "pgm", "pbm", "pnm"),
    )
)
VIDEOS = frozenset((".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".mpg", ".mpeg"))
MEDIA = PHOTOS | VIDEOS


def is_media(name: str) -> bool:
    """Whether a file found in a folder is a photo or a video, by its ending."""
    return os.path.splitext(name)[1].lower() in MEDIA


def is_video(name: str) -> bool:
    """Whether a file is a video by its ending. A GIF counts as a photo, its first frame."""
    return Path(name).suffix.lower() in VIDEOS


def run_video(
    path: Path, predictor: Any, choices: Any, folder: Path, stem: str, style: dict[str, Any]
) -> tuple[list[Path], dict[str, float]]:
    """One video, one task: the files written as `<stem>_...` into `folder`, and seconds by stage.

    Raises:
        SapiensError: it cannot be done; a sentence says why.
    """
    raise SapiensError(f"{path.name} is a video, and videos are not built yet. Take its frames as photos.")
