"""What can be chosen for a clip: which frames, what the video shows, and how it is written."""

from dataclasses import dataclass
from typing import Any

from .. import zoo
from ..errors import SapiensError

VIEWS = ("overlay", "side-by-side", "alone")  # the result over the frame, beside it, or without it
FRAMES_PER_S = 25  # of a folder of frames, which has no times
MOST_EVERY = 100_000


@dataclass(frozen=True)
class Chosen:
    """Which frames are wanted: from `first` to `last`, both included and counted from 0, every `every`-th of them.

    Raises:
        SapiensError: for numbers that cannot be.
    """

    first: int = 0
    last: int | None = None
    every: int = 1

    def __post_init__(self) -> None:
        if self.first < 0:
            raise SapiensError(f"The first frame is {self.first}. Count frames from 0.")
        if self.last is not None and self.last < self.first:
            raise SapiensError(f"The last frame, {self.last}, comes before the first, {self.first}. Exchange them.")
        if not 1 <= self.every <= MOST_EVERY:
            raise SapiensError(
                f"Every {self.every}-th frame cannot be taken. Give 1 for all frames, 2 for half of them; "
                f"{MOST_EVERY:,} is the most."
            )

    def takes(self, index: int) -> bool:
        return index >= self.first and not self.is_past(index) and (index - self.first) % self.every == 0

    def is_past(self, index: int) -> bool:
        return self.last is not None and index > self.last

    def count(self, total: int | None) -> int | None:
        """How many of `total` frames these are; None where nobody knows."""
        if total is None:
            return None if self.last is None else len(range(self.first, self.last + 1, self.every))
        end = total if self.last is None else min(total, self.last + 1)
        return len(range(self.first, end, self.every))


@dataclass(frozen=True)
class ClipChoices:
    """What can be chosen for a clip beside the predictor's own options.

    `view` is one of VIEWS. Frames from `first_frame` to `last_frame` are taken, both included and counted from 0,
    every `every`-th of them, none with a longer side above `longest_side`. People are looked for in every
    `detect_every`-th frame taken, and followed between. The video is made in pieces of `segment` frames: so many are
    lost at most when a run is killed. `frames_per_s` is of a folder of frames. `style`, `keypoint_threshold`,
    `background` and `mesh_opacity` are as for photos. `charts` are the joint angles of pose; `sound` says whether the
    clip's goes along.

    Raises:
        SapiensError: for values that cannot be.
    """

    view: str = "overlay"
    first_frame: int = 0
    last_frame: int | None = None
    every: int = 1
    longest_side: int | None = None
    detect_every: int = 1
    segment: int = 30
    frames_per_s: float = FRAMES_PER_S
    style: str = zoo.DEFAULTS.style
    keypoint_threshold: float = zoo.DEFAULTS.keypoint_threshold
    background: Any = None
    mesh_opacity: float = zoo.DEFAULTS.mesh_opacity
    charts: bool = True
    sound: bool = True

    def __post_init__(self) -> None:
        if self.view not in VIEWS:
            raise SapiensError(f"There is no view {self.view!r} of a clip. Choose one of: {', '.join(VIEWS)}.")
        if self.style not in ("readme", "reference"):
            raise SapiensError(f"There is no picture style {self.style!r}. Choose one of: readme, reference.")
        for name in ("detect_every", "segment"):
            if getattr(self, name) < 1:
                raise SapiensError(f"{name.replace('_', ' ')} is {getattr(self, name)}. Give 1 or more.")
        for name, what in (("keypoint_threshold", "keypoint threshold"), ("mesh_opacity", "opacity of the mesh")):
            if not 0 <= getattr(self, name) <= 1:  # not a number is not either
                raise SapiensError(f"The {what} is {getattr(self, name)}. Give a number from 0 to 1.")
        _ = self.chosen

    @property
    def chosen(self) -> Chosen:
        return Chosen(self.first_frame, self.last_frame, self.every)
