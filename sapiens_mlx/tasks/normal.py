"""Surface normals: the photo letterboxed into the network, unit vectors back at photo size.

Frame: x right, y up, z towards the camera.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..files import write_arrays
from ..image import write_png
from . import draw, fit
from .base import Fitted, Result


@dataclass
class NormalResult(Result):
    """`normals` (H, W, 3) float32: unit vectors at the network's size, so slightly shorter where they were mixed."""

    NAME = "normal"

    normals: np.ndarray = field(repr=False)

    def picture(self, photo_rgb: np.ndarray | None = None, *, style: str = "readme") -> np.ndarray:
        """(n + 1) / 2 * 255 truncated, x y z as R G B, (H, W, 3) uint8; black outside people, in both styles."""
        draw.is_reference(style)
        draw.backdrop(photo_rgb, self.photo_rgb)
        scaled = self.normals * np.float32(127.5)
        scaled += np.float32(127.5)
        np.clip(scaled, 0, 255, out=scaled)
        return draw.cut_to(scaled.astype(np.uint8), self.person_mask, draw.BLACK)

    def _write(self, path: Callable[[str], Path], picture: np.ndarray, **options: Any) -> list[Path]:
        """`<stem>_normal.png` and `<stem>_normal.npz`."""
        arrays = self._masked(normals=self.normals)
        return [write_png(path("normal.png"), picture), write_arrays(path("normal.npz"), **arrays)]


class NormalTask:
    name = "normal"

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
