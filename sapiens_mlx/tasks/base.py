"""What every task is to the predictor: it fits a photo into inputs, and turns raw outputs back into a result."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np


@dataclass
class Report:
    """How a result came about. `seconds` holds the stages load, detect, fit, network, decode and, later, draw."""

    task: str
    size: str | None
    level: str
    device: str
    compute_dtype: str
    licence: str
    seconds: dict[str, float] = field(default_factory=dict)
    peak_memory_bytes: int = 0
    notices: list[str] = field(default_factory=list)


@dataclass
class Result:
    """Base of the result types. Arrays are at photo size and never masked.

    `photo_rgb` is the (H, W, 3) uint8 photo they belong to; `person_mask` (H, W) bool, where there is one, is what
    pictures and meshes of the dense tasks are cut to.
    """

    photo_rgb: np.ndarray = field(repr=False)
    person_mask: np.ndarray | None = field(default=None, repr=False, kw_only=True)
    report: Report | None = field(default=None, kw_only=True)

    def picture(self, photo_rgb: np.ndarray | None = None, *, style: str = "readme", **options: Any) -> np.ndarray:
        """The picture of this result as (H, W, 3) uint8 RGB, over `photo_rgb` (default: the photo it was made from)."""
        raise NotImplementedError

    def save(self, folder: str | Path, stem: str, *, side_by_side: bool = False, **options: Any) -> list[Path]:
        """Write the task's files as `<stem>_...` into `folder` and return their paths. `options` go to picture()."""
        raise NotImplementedError


@dataclass(frozen=True)
class Fitted:
    """Inputs that are decoded together (one photo, or one person's crop and its mirror image), and the way back.

    `pixels` is (n, h, w, 3) uint8 RGB; `way` is whatever the task's decode needs to return to photo pixels.
    """

    pixels: np.ndarray
    way: Any


class Task(Protocol):
    """One file in tasks/ holds one of these, as a class of three methods without state."""

    name: str

    def fit(self, photo_rgb: np.ndarray, input_hw: tuple[int, int], **options: Any) -> Sequence[Fitted]:
        """The photo as network inputs: one Fitted for the dense tasks, one a person for pose."""

    def decode(self, raw: Any, fitted: Fitted) -> Any:
        """This task's part of the raw output (NumPy float32, channels last; pointmap: a pair) for `fitted.pixels`."""

    def result(self, parts: Sequence[Any], photo_rgb: np.ndarray, **options: Any) -> Result:
        """The parts, in the order of fit, as one result."""
