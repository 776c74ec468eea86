"""Albedo, the colour of surfaces without light and shade: the photo letterboxed into the network, 0..1 back."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..files import output_folder, write_arrays
from ..image import write_png
from . import draw, fit
from .base import Fitted, Result

BACKGROUND = {"readme": draw.WHITE, "reference": draw.GREY}  # outside people


@dataclass
class AlbedoResult(Result):
    """`albedo` (H, W, 3) float32 RGB, 0..1."""

    albedo: np.ndarray = field(repr=False)

    def picture(self, photo_rgb: np.ndarray | None = None, *, style: str = "readme") -> np.ndarray:
        """albedo * 255 truncated, (H, W, 3) uint8; outside people white, or grey 100 in the reference's style."""
        draw.is_reference(style)
        draw.backdrop(photo_rgb, self.photo_rgb)
        return draw.cut_to((self.albedo * np.float32(255)).astype(np.uint8), self.person_mask, BACKGROUND[style])

    def save(self, folder: str | Path, stem: str, *, side_by_side: bool = False, **options: Any) -> list[Path]:
        """Write `<stem>_albedo.png` and `<stem>_albedo.npz`; options as for picture()."""
        folder = output_folder(folder)
        picture = self.picture(**options)
        arrays = {"albedo": self.albedo}
        if self.person_mask is not None:
            arrays["person_mask"] = self.person_mask
        paths = [
            write_png(folder / f"{stem}_albedo.png", picture),
            write_arrays(folder / f"{stem}_albedo.npz", **arrays),
        ]
        if side_by_side:
            beside = draw.side_by_side(self.photo_rgb, picture)
            paths.append(write_png(folder / f"{stem}_albedo_side_by_side.png", beside))
        return paths


class AlbedoTask:
    name = "albedo"

    def fit(self, photo_rgb: np.ndarray, input_hw: tuple[int, int]) -> list[Fitted]:
        """One input: the whole photo, letterboxed."""
        return fit.letterboxed(photo_rgb, input_hw)

    def decode(self, raw: np.ndarray, fitted: Fitted) -> np.ndarray:
        """(1, h, w, 3) of any range, clamped, as (H, W, 3) 0..1 at photo size."""
        albedo = np.clip(raw[0], 0, 1)
        return fit.resize_linear(fit.cut_padding(albedo, fitted.way.padding), fitted.way.photo_hw)

    def result(self, parts: Sequence[np.ndarray], photo_rgb: np.ndarray) -> AlbedoResult:
        return AlbedoResult(photo_rgb, parts[0])
