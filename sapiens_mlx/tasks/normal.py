"""Surface normals: the photo letterboxed into the network, unit vectors back at photo size.

Frame: x right, y up, z towards the camera.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..files import write_arrays
from ..image import write_png
from . import agreement, draw, fit
from .agreement import Agreement, DifferenceMap, Figure
from .base import Fitted, Result

NEAR_DEG = 11.25  # the finest of the thresholds that normals are customarily judged by
FULL_SCALE_DEG = 10.0


@dataclass
class NormalResult(Result):
    """`normals` (H, W, 3) float32: unit vectors at the network's size, so slightly shorter where they were mixed."""

    NAME = "normal"
    OVER_PEOPLE = True
    FIGURES = (
        Figure("mean_angle_deg", "Mean angle", "°", higher_is_better=False),
        Figure("median_angle_deg", "Median angle", "°", higher_is_better=False),
        Figure("within_11_25_deg", "Within 11.25°", "%", higher_is_better=True),
    )

    normals: np.ndarray = field(repr=False)

    def picture(self, photo_rgb: np.ndarray | None = None, *, style: str = "readme") -> np.ndarray:
        """(n + 1) / 2 * 255 truncated, x y z as R G B, (H, W, 3) uint8; black outside people, in both styles."""
        draw.is_reference(style)
        draw.backdrop(photo_rgb, self.photo_rgb)
        picture = np.empty(self.normals.shape, np.uint8)
        for rows in agreement.bands(len(picture)):
            scaled = self.normals[rows] * np.float32(127.5)
            scaled += np.float32(127.5)
            picture[rows] = np.clip(scaled, 0, 255, out=scaled)
        return draw.cut_to(picture, self.person_mask, draw.BLACK)

    def _agreement(self, reference: "NormalResult") -> Agreement:
        angles = agreement.compared(self._difference(reference).values)
        values = {
            "mean_angle_deg": agreement.mean(angles),
            "median_angle_deg": float(np.median(angles)) if angles.size else math.nan,
            "within_11_25_deg": agreement.mean(angles <= NEAR_DEG),
        }
        return agreement.over(reference.person_mask, values)

    def _difference(self, reference: "NormalResult") -> DifferenceMap:
        """Angles in degrees."""
        angles = agreement.angles_deg(self.normals, reference.normals)
        return DifferenceMap(agreement.outside_to_nan(angles, reference.person_mask), "degrees", FULL_SCALE_DEG)

    def _write(self, path: Callable[[str], Path], picture: np.ndarray, **options: Any) -> list[Path]:
        """`<stem>_normal.png` and `<stem>_normal.npz`."""
        arrays = self._masked(normals=self.normals)
        return [write_png(path("normal.png"), picture), write_arrays(path("normal.npz"), **arrays)]


class NormalTask:
    name = "normal"
    figures = NormalResult.FIGURES

    def fit(self, photo_rgb: np.ndarray, input_hw: tuple[int, int]) -> list[Fitted]:
        """One input: the whole photo, letterboxed."""
        return fit.letterboxed(photo_rgb, input_hw)

    def decode(self, raw: np.ndarray, fitted: Fitted) -> np.ndarray:
        """Vectors (1, h, w, 3) of any length as unit vectors (H, W, 3) at photo size."""
        length = np.sqrt(np.square(raw[0]).sum(-1, keepdims=True))
        unit = raw[0] / np.maximum(length, np.float32(1e-12))
        return fit.resize_linear(fit.cut_padding(unit, fitted.way.padding), fitted.way.photo_hw)

    def result(self, parts: Sequence[np.ndarray], photo_rgb: np.ndarray) -> NormalResult:
        return NormalResult(photo_rgb, parts[0])
