"""What every kind of clip gives: upright RGB frames with their numbers and times, one by one, and what it lacks."""

from collections.abc import Generator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Protocol

import cv2
import numpy as np

from ..errors import ClipError
from .choices import Chosen

MIN_SIDE_PX, MAX_PIXELS = 8, 100_000_000  # as of a photo
MOST_TOLD = 8  # runs of frames, or gaps, that a sentence names


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame. `index` counts the frames of the clip from 0, those included that are missing; `time_s` is from the
    clip's beginning. `pts` and `duration` are the same in units of the clip's time base, `pts` as the file has it.
    `rgb` is (H, W, 3) uint8."""

    index: int
    time_s: float
    pts: int
    duration: int
    rgb: np.ndarray = field(repr=False)


@dataclass
class Lacks:
    """What a clip lacks, gathered while it is read.

    `missing` are runs (first, last) of frames that could not be decoded; `doubtful` of those that were decoded, but
    follow on missing or damaged data, so that they may show wrong things until the next whole picture. `gaps_s` are
    (begin, end) of what a file has no frames for, in its own times. `notices` are sentences about the rest.
    """

    missing: list[tuple[int, int]] = field(default_factory=list)
    doubtful: list[tuple[int, int]] = field(default_factory=list)
    gaps_s: list[tuple[float, float]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def note(self, sentence: str) -> None:
        if sentence not in self.notices:
            self.notices.append(sentence)

    def sentences(self) -> list[str]:
        """For people."""
        lines = []
        if self.missing:
            lines.append(f"Missing, because the file is damaged: {in_words(self.missing)}.")
        if self.doubtful:
            lines.append(f"Decoded from damaged data, and perhaps wrong: {in_words(self.doubtful)}.")
        if self.gaps_s:
            lines.append(f"There are no frames {gaps_in_words(self.gaps_s)} of the file.")
        return lines + self.notices


def add_to(runs: list[tuple[int, int]], index: int) -> None:
    """Puts `index`, which is above all others, into ascending runs (first, last)."""
    if runs and runs[-1][1] >= index - 1:
        runs[-1] = (runs[-1][0], max(index, runs[-1][1]))
    else:
        runs.append((index, index))


def in_words(runs: list[tuple[int, int]]) -> str:
    """ "frames 3, 7 to 9 and 12" """
    texts = [f"{first}" if first == last else f"{first} to {last}" for first, last in runs[:MOST_TOLD]]
    if len(runs) > MOST_TOLD:
        texts.append(f"{sum(last - first + 1 for first, last in runs[MOST_TOLD:])} more")
    several = len(runs) > 1 or runs[0][0] != runs[0][1]
    return f"frame{'s' if several else ''} {_listed(texts)}"


def gaps_in_words(gaps_s: list[tuple[float, float]]) -> str:
    """ "between 1.00 s and 1.20 s, between 3.00 s and 3.40 s and in 5 more places" """
    texts = [f"between {begin:.2f} s and {end:.2f} s" for begin, end in gaps_s[:MOST_TOLD]]
    rest = len(gaps_s) - MOST_TOLD
    if rest > 0:
        texts.append(f"in {rest} more place{'' if rest == 1 else 's'}")
    return _listed(texts)


def _listed(texts: list[str]) -> str:
    """ "a, b and c" """
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


class Clip(Protocol):
    """A file, a folder of frames, or a camera.

    `size_hw` is that of every frame it gives. `total` is how many frames there are, as far as that can be told
    beforehand. `is_live` says that it can be read but once. `sound_path` is the file whose sound goes with it.
    """

    name: str
    size_hw: tuple[int, int]
    time_base: Fraction
    rate: Fraction
    total: int | None
    is_live: bool
    sound_path: str | None
    lacks: Lacks

    def frames(self, chosen: Chosen, skip: int = 0) -> Generator[Frame, None, None]:
        """The chosen frames but for the first `skip` of them. Each call reads from the beginning, and `lacks` with it.

        Raises:
            ClipError: where reading ends for good before there is one frame.
        """

    def close(self) -> None: ...


def time_base_of(part: Any) -> Fraction:
    """Of a stream, a packet or a frame. By PyAV's annotations it may be None, as it is before there is a file."""
    return part.time_base


def fitted_hw(size_hw: tuple[int, int], longest_px: int | None) -> tuple[int, int]:
    """The size with its longer side at most `longest_px`."""
    ratio = 1.0 if longest_px is None else min(1.0, longest_px / max(size_hw))
    return max(1, round(size_hw[0] * ratio)), max(1, round(size_hw[1] * ratio))


def check_size(name: str, size_hw: tuple[int, int]) -> None:
    """Raises ClipError for frames in which there is nothing to see, or which would fill the memory."""
    if min(size_hw) < MIN_SIDE_PX:
        raise ClipError(
            f"The frames of {name} are {size_hw[1]} x {size_hw[0]} pixels; at least {MIN_SIDE_PX} a side are needed."
        )
    if size_hw[0] * size_hw[1] > MAX_PIXELS:
        raise ClipError(
            f"The frames of {name} are {size_hw[1]} x {size_hw[0]} pixels; the limit is {MAX_PIXELS // 1_000_000} "
            "megapixels. Make it smaller first."
        )


def turned(rgb: np.ndarray, turn: tuple[bool, bool, bool]) -> np.ndarray:
    """The picture transposed, then mirrored left to right, then top to bottom, each where `turn` says so."""
    transposed, across, down = turn
    if transposed:
        rgb = cv2.transpose(rgb)
    if across or down:
        rgb = cv2.flip(rgb, -1 if across and down else 1 if across else 0)
    return rgb
