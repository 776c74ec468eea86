"""What one visitor has on the server in one tab: photos, and what was made of each, in memory and in a folder."""

import contextlib
import shutil
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import SapiensError
from ..runtime import Job

if TYPE_CHECKING:
    from ..tasks.pose import PoseResult
    from .compare.run import Compared

GONE = "The {} is not here any more. Drop it again."
ENDED = "This visit has ended: the page was closed, or not used for long. Load it again."


def make_folder(folder: Path) -> Path:
    """A folder in one that is there, if need be: so that of a visit that has ended is not made again.

    Raises:
        SapiensError: the visit has ended, or nothing can be written.
    """
    try:
        folder.mkdir(exist_ok=True)
    except FileNotFoundError as problem:
        raise SapiensError(ENDED) from problem
    except OSError as problem:
        raise not_kept(problem) from problem
    return folder


def remove_folder(folder: Path) -> None:
    """All of it, at once by this name: what is being written there meanwhile goes with it and does not come again."""
    gone = folder.with_name(f"{folder.name}-gone")
    with contextlib.suppress(OSError):
        folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def not_kept(problem: OSError) -> SapiensError:
    """What a visitor is told where no file can be kept; without a path of the server."""
    reason = problem.strerror or "the disk takes nothing"
    return SapiensError(f"No file can be kept on the server now ({reason}). Please try again later.")


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
    `upload` is the file that came by the frame, which may have gone. `ran_with` are the page's inputs, by name, that
    each result was made with. `mask` (H, W) bool is where people are, as the size and level in `mask_of` see it; None
    before it was asked for, or where there are no weights for it.
    `points` are the pixels (x, y) that the visitor has asked about, two at most, and `files` what was written of each
    picture, with the look it has.
    """

    rgb: np.ndarray
    name: str
    folder: Path
    shown: Path = Path()
    drawn: Path = Path()
    upload: Path | None = None
    results: dict[str, Any] = field(default_factory=dict)  # each of its task's own type
    ran_with: dict[str, Mapping[str, Any]] = field(default_factory=dict)
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

    def arrays(self) -> Iterator[np.ndarray]:
        """All that is kept of it in memory; some may come twice."""
        yield self.rgb
        if self.mask is not None:
            yield self.mask
        for result in list(self.results.values()):
            yield from arrays_of(result)
        if self.compared is not None:
            yield from self.compared.comparison.arrays()

    def next_folder(self, kind: str) -> Path:
        """A new folder for a `kind` such as "picture" or "files", so that no browser takes an old file for a new one.

        Of each kind the one before it stays, for a download under way; older ones are removed. Raises as make_folder.
        """
        self._made[kind] += 1
        shutil.rmtree(self.folder / f"{kind}-{self._made[kind] - 2}", ignore_errors=True)
        make_folder(self.folder)
        return make_folder(self.folder / f"{kind}-{self._made[kind]}")

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
    chosen, and `in_space` the surface whose file the 3-D viewer holds. `pressed_ms` is when, since the page was opened,
    the newest example was pressed, `waits` whether a run that was asked for has neither come nor been stopped, and
    `accepted` whether the visitor has accepted licences of weights here: see consent.py. `uploads` are those that are
    held, the newest last; who takes one in, or lets them go, has the lock `taking`, since events come side by side.
    `room` raises SapiensError where there is no memory for arrays that are to be kept: see storage.py.
    """

    folder: Path
    photos: list[Photo] = field(default_factory=list)
    current: int = 0
    background: np.ndarray | None = None
    background_name: str = ""
    look: Mapping[str, Any] = field(default_factory=dict)
    surface: str = ""
    picked: bool = False
    in_space: str = ""
    accepted: bool = False
    posed: "PoseResult | None" = None
    closed: bool = False
    pressed_ms: float = 0.0
    waits: bool = False
    uploads: dict[Path, None] = field(default_factory=dict)
    taking: threading.RLock = field(default_factory=threading.RLock, repr=False)
    room: "Callable[[Visit, list[np.ndarray]], None]" = lambda visit, coming: None
    _count: int = 0
    _leaving: Path | None = None
    _job: Callable[[], Job | None] = lambda: None

    def __post_init__(self) -> None:
        make_folder(self.folder)

    @property
    def job(self) -> Job | None:
        """The newest, while anybody else holds it: its result, which may be gigabytes, is not kept by it."""
        return self._job()

    @job.setter
    def job(self, job: Job) -> None:
        self._job = weakref.ref(job)

    @property
    def runs(self) -> bool:
        """Whether work is under way."""
        job = self.job
        return job is not None and not job.done

    @property
    def is_empty(self) -> bool:
        """Whether nothing is lost with it."""
        return not (self.photos or self.uploads or self.background is not None or self.accepted or self.runs)

    @property
    def photo(self) -> Photo | None:
        """The one that is worked on; None where there is none."""
        return self.photos[self.current] if self.photos else None

    @property
    def the_photo(self) -> Photo:
        """The same, where there is one. Raises SapiensError where it has gone meanwhile."""
        photo = self.photo
        if photo is None:
            raise SapiensError(GONE.format("photo"))
        return photo

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
        if self.posed is photo.results.get("pose"):
            self.posed = None
        if self._leaving is not None:
            shutil.rmtree(self._leaving, ignore_errors=True)
        self._leaving = photo.folder

    def forget(self) -> None:
        """Back to an empty page: what runs is stopped, and every file is removed."""
        if self.job is not None:
            self.job.cancel()
        self.photos, self.current = [], 0
        remove_folder(self.folder)

    def make_room(self, coming: Any) -> None:
        """Before the visitor keeps one more array or result. Raises SapiensError where too much is kept already."""
        self.room(self, list(arrays_of(coming)))

    def arrays(self) -> Iterator[np.ndarray]:
        """All that is kept of the visitor in memory; some may come twice."""
        if self.background is not None:
            yield self.background
        if self.posed is not None:
            yield from arrays_of(self.posed)
        for photo in list(self.photos):
            yield from photo.arrays()


def arrays_of(thing: Any) -> Iterator[np.ndarray]:
    """An array itself; else those in the fields of a result."""
    if isinstance(thing, np.ndarray):
        yield thing
    else:
        yield from (value for value in list(vars(thing).values()) if isinstance(value, np.ndarray))


def held_bytes(visits: Iterable[Visit], coming: Iterable[np.ndarray] = ()) -> int:
    """What all of them occupy, with what is coming; tabs may share a photo, and a result has its own."""
    arrays = {id(array): array for array in coming}
    arrays |= {id(array): array for visit in visits for array in visit.arrays()}
    return sum(array.nbytes for array in arrays.values())
