"""What a file is by its name, and the one place where a video among the inputs is handed to the package for videos."""

import os
import threading
from pathlib import Path

from PIL import Image

from ..errors import CancelledError
from ..image_parts import CountedFile
from ..options import Options
from ..predictor import Predictor
from ..video.choices import ClipChoices
from ..video.clip import OnFrame, run_clip
from ..video.read_folder import PHOTOS
from ..video.report import ClipReport

VIDEOS = frozenset(
    f".{ending}"
    for ending in (
        *("mp4", "m4v", "mov", "webm", "mkv", "avi", "mpg", "mpeg", "mts", "m2ts", "ts", "3gp", "3g2"),
        *("mj2", "wmv", "asf", "flv", "ogv"),
    )
)
MEDIA = PHOTOS | VIDEOS - {".ts"}  # in a folder rather TypeScript


def is_media(name: str) -> bool:
    """Whether a file found in a folder is a photo or a video, by its ending."""
    return os.path.splitext(name)[1].lower() in MEDIA


def is_video(path: str | Path) -> bool:
    """Whether a file is a video: by its ending, and a GIF where it moves."""
    ending = os.path.splitext(path)[1].lower()
    if ending != ".gif":
        return ending in VIDEOS
    try:
        with CountedFile(Path(path).open("rb", buffering=0)) as file, Image.open(file, formats=["GIF"]) as image:
            return bool(getattr(image, "is_animated", False))
    except Exception:  # damaged, or not there: a photo like any other, and told so
        return False


def run_video(
    path: Path,
    predictor: Predictor,
    options: Options,
    choices: ClipChoices,
    folder: Path,
    stem: str,
    asked: threading.Event,
    on_frame: OnFrame | None = None,
) -> ClipReport:
    """One video, one task: writes `<stem>_...` into `folder`, going on where an earlier run was ended.

    Args:
        options: of the predictor, for every frame.
        asked: once it is set, the video is ended where it is.
        on_frame: as for run_clip().

    Raises:
        SapiensError: it cannot be done; a sentence says why.
        CancelledError: it was ended before its last frame, and another run goes on there.
    """

    def watch(stage: str, done: float, total: float) -> None:
        if asked.is_set():
            raise CancelledError

    report = run_clip(
        path,
        predictor,
        folder,
        stem=stem,
        options=options,
        choices=choices,
        resume=True,
        progress=watch,
        on_frame=on_frame,
    )
    if report.stopped:
        raise CancelledError
    return report
