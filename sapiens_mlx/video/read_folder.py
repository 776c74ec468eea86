"""A folder of pictures as a clip: one a frame, in the order of their names."""

import re
from collections.abc import Generator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ClipError, ImageError
from ..image import read_image, shrink
from .choices import Chosen
from .frames import Frame, Lacks, add_to, check_size

# The endings of photos: of the frames here, and of what a job takes from folders.
PHOTOS = frozenset(
    f".{ending}"
    for ending in (
        *("jpg", "jpeg", "jpe", "jfif", "mpo", "png", "apng", "webp", "tif", "tiff", "bmp", "dib", "gif", "avif"),
        *("heic", "heif", "jp2", "j2k", "jpx", "ppm", "pgm", "pbm", "pnm"),
    )
)


class FolderClip:
    """A folder of frames, as frames.Clip says. A picture that cannot be read, or is not as large as the first that can,
    is a missing frame."""

    is_live = False
    sound_path: str | None = None

    def __init__(self, folder: Path, longest_px: int | None, frames_per_s: float) -> None:
        self.name, self._folder, self._longest_px = folder.name or str(folder), folder, longest_px
        names = (path.name for path in folder.iterdir() if path.suffix.lower() in PHOTOS and path.name[0] != ".")
        self._names = sorted(names, key=in_order)
        if not self._names:
            raise ClipError(f"There is no picture in the folder {folder}. Name a folder of JPEG or PNG frames.")
        self.rate = Fraction(frames_per_s).limit_denominator(1001)
        self.time_base = 1 / self.rate
        self.total: int | None = len(self._names)
        self.size_hw: Any = None  # until the first picture tells it
        first = next(self.frames(Chosen()), None)
        if first is None:
            raise ClipError(f"None of the {self.total} pictures in {folder} can be read. Choose another folder.")
        self.size_hw = first.rgb.shape[:2]
        check_size(self.name, self.size_hw)

    def frames(self, chosen: Chosen, skip: int = 0) -> Generator[Frame, None, None]:
        """As frames.Clip says."""
        self.lacks = Lacks()
        if len(self._names) <= chosen.first:
            raise ClipError(
                f"{self.name} has {len(self._names)} frames, 0 to {len(self._names) - 1}: "
                f"frame {chosen.first} is not among them. Choose an earlier first frame."
            )
        for index, name in enumerate(self._names):
            if chosen.is_past(index):
                return
            if not chosen.takes(index):
                continue
            picture = self._picture(name)
            if picture is None:
                add_to(self.lacks.missing, index)
            elif skip:
                skip -= 1
            else:
                yield Frame(index, float(index * self.time_base), index, 1, picture)

    def _picture(self, name: str) -> np.ndarray | None:
        """(H, W, 3) uint8; None, and a notice, for what is no frame of this clip."""
        try:
            picture = read_image(self._folder / name)
        except ImageError as problem:
            self.lacks.note(str(problem))
            return None
        if self._longest_px is not None:
            picture = shrink(picture, self._longest_px)
        if self.size_hw is not None and picture.shape[:2] != self.size_hw:
            self.lacks.note(f"{name} is left out: it is not as large as the first frame.")
            return None
        return picture

    def close(self) -> None:
        """Nothing stays open."""


def in_order(name: str) -> list[tuple[int, str]]:
    """What names are sorted by: frame2 before frame10."""
    parts = re.split(r"(\d+)", name.casefold())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
