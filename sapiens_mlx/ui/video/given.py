"""The clip of a visitor: taken in, looked at, and kept in a folder of its own for as long as the visit lasts."""

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...runtime import Job
from .. import jpeg
from ..visit import make_folder, not_kept, tame_stem

if TYPE_CHECKING:
    from ...video.report import ClipReport, Newest

POSTER_PX = 640  # the longer side of the clip's first frame on the page
SHOWN_PX = 960  # and of the preview
MOST_NAME_BYTES = 180


@dataclass(frozen=True)
class Facts:
    """What is known of a clip before it is run. `frames` is None where nobody knows."""

    size_hw: tuple[int, int]
    frames: int | None
    frames_per_s: float
    has_sound: bool

    @property
    def seconds(self) -> float | None:
        return self.frames / self.frames_per_s if self.frames else None


@dataclass(eq=False)
class Running:
    """A run under way: its job, how far it is, and how long frames take. Frames are told by another thread."""

    folder: Path = Path()
    job: Job = field(init=False)  # which is begun with this
    newest: "Newest | None" = None
    first_picture: np.ndarray | None = None  # of the newest pass
    passes: int = 0
    _spans_s: list[list[float]] = field(default_factory=list)  # of each pass: when frames were first and last done
    _counts: list[int] = field(default_factory=list)

    def tell(self, newest: "Newest", now_s: float) -> None:
        """One more frame is done; of depth, they are counted twice."""
        if self.newest is None or newest.done <= self.newest.done:
            self.passes += 1
            self.first_picture = newest.picture
            self._spans_s.append([now_s, now_s])
            self._counts.append(0)
        self._spans_s[-1][1] = now_s
        self._counts[-1] += 1
        self.newest = newest

    @property
    def seconds_a_frame(self) -> float | None:
        """Without what comes before the first: weights are loaded, and something is new."""
        passes = [
            (end - begin) / (count - 1)
            for (begin, end), count in zip(self._spans_s, self._counts, strict=True)
            if count > 1
        ]
        return sum(passes) or None


@dataclass(eq=False)
class Given:
    """A clip and the last run of it. Its files are in `folder`; `path` has the name that the visitor's file has.

    `poster` is its first frame as a data URL, and `upload` the path that it came by; "" of an example. `values` are
    the page's inputs that `report` was made with.
    """

    path: Path
    folder: Path
    facts: Facts
    poster: str
    upload: str = ""
    running: Running | None = None
    report: "ClipReport | None" = None
    values: dict[str, Any] = field(default_factory=dict)
    _runs: int = 0

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def stem(self) -> str:
        """What the names of the files begin with."""
        return tame_stem(self.name, "clip")

    def next_folder(self) -> Path:
        """For one more run: what the run before has made is removed. Raises as make_folder."""
        shutil.rmtree(self.folder / f"run-{self._runs}", ignore_errors=True)
        self._runs += 1
        self.report = None
        return make_folder(self.folder / f"run-{self._runs}")


def take(folder: Path, source: Path, name: str | None) -> Given:
    """A visitor's file as Given.

    Args:
        folder: a new one, for all that belongs to the clip.
        name: of the visitor's file; None to use `source` where it lies.

    Raises:
        SapiensError: it is no clip, or nothing can be written.
    """
    from ...image import shrink
    from ...video.choices import Chosen
    from ...video.read import open_clip

    make_folder(folder)
    path = source
    try:
        if name is not None:
            path = folder / tame_name(name)
            _link(source, path)
        clip = open_clip(path)
        try:
            frames = clip.frames(Chosen())
            first = next(frames)
            frames.close()
            facts = Facts(clip.size_hw, clip.total, float(clip.rate), clip.sound_path is not None)
        finally:
            clip.close()
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Given(path, folder, facts, jpeg.address(shrink(first.rgb, POSTER_PX)))


def tame_name(name: str) -> str:
    """The name of a visitor's file for one of ours: without folders and what cannot be seen, and not too long.

    >>> tame_name("../a holiday.mov")
    'a holiday.mov'
    """
    path = Path("".join(letter for letter in name if letter.isprintable()))
    stem = path.stem.encode()[:MOST_NAME_BYTES].decode(errors="ignore").strip(" .")
    return f"{stem or 'clip'}{path.suffix[:10]}"


def _link(source: Path, path: Path) -> None:
    """The same file under another name: Gradio's upload may be removed, or be somebody else's too.

    Raises:
        SapiensError: the disk is full, say.
    """
    try:
        os.link(source, path)
    except OSError:  # another disk
        try:
            shutil.copyfile(source, path)
        except OSError as problem:
            raise not_kept(problem) from problem
