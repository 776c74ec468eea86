"""What one visitor has on the server in one tab: photos, and what was made of each, in memory and in a folder."""

import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..runtime import Job
from ..tasks.base import Result

if TYPE_CHECKING:
    from .compare.run import Compared

MOST_RESULTS_BYTES = 3e9  # of a visitor: a photo of 12 megapixels with every task is 0.7 GB


def tame_stem(name: str, otherwise: str = "photo") -> str:
    """What the names of a photo's files start with: the photo's own, with letters that no folder minds;
    `otherwise` where there are none.

    >>> tame_stem("../my photo.jpg")
    'my_photo'
    """
    stem = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in Path(name).stem)
    return stem[:60].strip("_") or otherwise


@dataclass(eq=False)
class Photo:
    """One photo, upright and without EXIF, and its results by task. Its files are in `folder`.

    `rgb` is (H, W, 3) uint8, `shown` the PNG of it that the page shows, and `drawn` that of the newest picture.
    `ran_with` are the page's inputs, by name, that each result was made with. `mask` (H, W) bool is where people are,
    as the size and level in `mask_of` see it; None before it was asked for, or where there are no weights for it.
    `points` are the pixels (x, y) that the visitor has asked about, two at most, and `files` what was written of each
    picture, with the look it has.
    """

    rgb: np.ndarray
    name: str
    folder: Path
    shown: Path = Path()
    drawn: Path = Path()
    results: dict[str, Result] = field(default_factory=dict)
    ran_with: dict[str, dict[str, Any]] = field(default_factory=dict)
    mask: np.ndarray | None = None
    mask_of: tuple[str, str] | None = None
    points: list[tuple[float, float]] = field(default_factory=list)
    files: dict[str, tuple[Any, list[Path]]] = field(default_factory=dict)
    compared: "Compared | None" = None
    _made: Counter[str] = field(default_factory=Counter)

    @property
    def stem(self) -> str:
        """What the names of the photo's files start with."""
        return tame_stem(self.name)

    @property
    def nbytes(self) -> int:
        """What its results occupy, beside the photo itself."""
        arrays = {id(a): a for result in self.results.values() for a in vars(result).values() if a is not self.rgb}
        return sum(array.nbytes for array in arrays.values() if isinstance(array, np.ndarray))

    def next_folder(self, kind: str) -> Path:
        """A new folder for a `kind` such as "picture" or "files", so that no browser takes an old file for a new one.

        Of each kind the one before it stays, for a download under way; older ones are removed.
        """
        self._made[kind] += 1
        shutil.rmtree(self.folder / f"{kind}-{self._made[kind] - 2}", ignore_errors=True)
        folder = self.folder / f"{kind}-{self._made[kind]}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def forget_results(self) -> None:
        """The photo alone stays."""
        self.results, self.ran_with, self.files, self.points = {}, {}, {}, []
        self.mask = self.mask_of = self.compared = None


@dataclass(eq=False)
class Visit:
    """A visitor's photos in a tab; the one at `current` is worked on. Most tabs have one at most.

    `background` (h, w, 3) uint8 is what the visitor wants behind cut-outs; it stays when the photo changes. `look` are
    the page's inputs, by name, as the newest event of the tab gave them. `surface` is the picture that is shown, and
    `picked` whether the visitor has chosen it since the last run began; `posed` is the pose whose people can be
    chosen, and `in_space` the surface whose file the 3-D viewer holds. `pressed_ms` is when, by the browser's clock,
    the newest example was pressed, and `accepted` whether the visitor has accepted licences of weights here: see
    consent.py.
    """

    folder: Path
    photos: list[Photo] = field(default_factory=list)
    current: int = 0
    background: np.ndarray | None = None
    background_name: str = ""
    look: dict[str, Any] = field(default_factory=dict)
    surface: str = ""
    picked: bool = False
    in_space: str = ""
    accepted: bool = False
    posed: Result | None = None
    job: Job | None = None
    closed: bool = False
    pressed_ms: float = 0.0
    uploads: set[str] = field(default_factory=set)
    _count: int = 0
    _leaving: Path | None = None

    @property
    def photo(self) -> Photo | None:
        """The one that is worked on; None where there is none."""
        return self.photos[self.current] if self.photos else None

    def new_photo(self, rgb: np.ndarray, name: str) -> Photo:
        """A photo, (H, W, 3) uint8 RGB, with a folder of its own. It is the visitor's when add() has taken it."""
        self._count += 1
        return Photo(rgb, name, self.folder / f"photo-{self._count}")

    def add(self, photo: Photo) -> Photo:
        """One more photo, which is now the one that is worked on."""
        self.photos.append(photo)
        self.current = len(self.photos) - 1
        return photo

    def forget_photo(self) -> None:
        """Drop the photo that is worked on: what runs is stopped, and its files are removed, though not at once, since
        a browser may still be asking for them."""
        if self.job is not None:
            self.job.cancel()
        if not self.photos:
            return
        number = self.current
        self.current = max(0, number - 1)  # before the photo goes: other events may read `photo` at any time
        photo = self.photos.pop(number)
        if self._leaving is not None:
            shutil.rmtree(self._leaving, ignore_errors=True)
        self._leaving = photo.folder

    def forget(self) -> None:
        """Back to an empty page: what runs is stopped, and every file is removed."""
        if self.job is not None:
            self.job.cancel()
        self.photos, self.current = [], 0
        shutil.rmtree(self.folder, ignore_errors=True)

    def make_room(self) -> None:
        """Let go of the results of other photos than this one, the first first, until the rest is within bounds."""
        for photo in self.photos:
            if sum(one.nbytes for one in self.photos) <= MOST_RESULTS_BYTES:
                return
            if photo is not self.photo:
                photo.forget_results()
