"""How far a run is, and what came of it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Newest:
    """How far a run is, after one more frame. `total` and `left_s` are None where nobody knows, as of a camera;
    `picture` is (H, W, 3) uint8, as in the video."""

    index: int
    time_s: float
    done: int
    total: int | None
    frames_per_s: float | None
    left_s: float | None
    picture: np.ndarray = field(repr=False)

    def sentence(self) -> str:
        """ "frame 34 of 120, 2.1 frames/s, 41 s left" """
        parts = [f"frame {self.done}" + (f" of {self.total}" if self.total else "")]
        if self.frames_per_s:
            parts.append(f"{self.frames_per_s:.3g} frames/s")
        if self.left_s is not None:
            parts.append(f"{in_time(self.left_s)} left")
        return ", ".join(parts)


def in_time(seconds: float) -> str:
    """ "41 s", "3:05 min" or "2:10 h" """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60}:{whole % 60:02d} min" if whole < 3600 else f"{whole // 3600}:{whole % 3600 // 60:02d} h"


@dataclass
class ClipReport:
    """What came of a clip. `video` is None where not one frame was done before a stop; `frames` are those in it, of
    which `resumed_frames` were there from an earlier run. `missing` and `doubtful` are runs (first, last) of frames as
    in frames.Lacks, whose sentences are `lacking` and stand among `notices` too. `depth_range_m` is the one range of a
    clip's depth. `wall_s` is how long it took, `seconds` what each stage of all frames did; stages overlap."""

    input: str
    task: str
    size: str
    level: str
    device: str = ""
    compute_dtype: str = ""
    licence: str = ""
    view: str = ""
    video: str | None = None
    files: list[str] = field(default_factory=list)
    frames: int = 0
    resumed_frames: int = 0
    stopped: bool = False
    missing: list[tuple[int, int]] = field(default_factory=list)
    doubtful: list[tuple[int, int]] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)
    depth_range_m: tuple[float, float] | None = None
    wall_s: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    frames_per_s: float | None = None
    peak_memory_bytes: int = 0
    notices: list[str] = field(default_factory=list)

    def as_text(self) -> str:
        """For people, as the report of a photo is printed."""
        speed = f"{self.frames_per_s:.3g} frames/s; " if self.frames_per_s else ""
        lines = [
            f"{self.input}: {self.task} {self.size} at {self.level} ({self.compute_dtype} on {self.device})",
            f"  {'stopped after ' if self.stopped else ''}{self.frames} frames, {in_time(self.wall_s)}; {speed}"
            f"peak memory {self.peak_memory_bytes / 1e9:.1f} GB; weights: {self.licence}",
        ]
        return "\n".join(
            [*lines, *(f"  note: {notice}" for notice in self.notices), *(f"  {path}" for path in self.files)]
        )

    def to_json(self) -> dict[str, Any]:
        """The same as a dict that JSON can hold."""
        return dict(vars(self))
