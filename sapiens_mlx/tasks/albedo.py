"""Albedo, the colour of surfaces without light and shade: the photo letterboxed into the network, 0..1 back."""

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

BACKGROUND = {"readme": draw.WHITE, "reference": draw.GREY}  # outside people
FULL_SCALE = 0.1


@dataclass
class AlbedoResult(Result):
    """`albedo` (H, W, 3) float32 RGB, 0..1."""

    NAME = "albedo"
    OVER_PEOPLE = True
    FIGURES = (
        Figure("psnr_db", "PSNR", "dB", higher_is_better=True),
        Figure("mean_difference", "Mean difference", "%", higher_is_better=False),
    )

    albedo: np.ndarray = field(repr=False)

    def picture(self, photo_rgb: np.ndarray | None = None, *, style: str = "readme") -> np.ndarray:
        """albedo * 255 truncated, (H, W, 3) uint8; outside people white, or grey 100 in the reference's style."""
        draw.is_reference(style)
        draw.backdrop(photo_rgb, self.photo_rgb)
        picture = np.empty(self.albedo.shape, np.uint8)
        for rows in agreement.bands(len(picture)):
            picture[rows] = self.albedo[rows] * np.float32(255)
        return draw.cut_to(picture, self.person_mask, BACKGROUND[style])

    def _agreement(self, reference: "AlbedoResult") -> Agreement:
        region = reference.person_mask
        values = {
            "psnr_db": agreement.psnr_db(agreement.mean_square(self.albedo, reference.albedo, region)),
            "mean_difference": agreement.mean(agreement.compared(self._difference(reference).values)),
        }
        return agreement.over(region, values)

    def _difference(self, reference: "AlbedoResult") -> DifferenceMap:
        """Of the three colours, averaged; black to white is 1."""
        difference = agreement.absolute_difference(self.albedo, reference.albedo)
        return DifferenceMap(agreement.outside_to_nan(difference, reference.person_mask), "colour, 0 to 1", FULL_SCALE)

    def _write(self, path: Callable[[str], Path], picture: np.ndarray, **options: Any) -> list[Path]:
        """`<stem>_albedo.png` and `<stem>_albedo.npz`."""
        arrays = self._masked(albedo=self.albedo)
        return [write_png(path("albedo.png"), picture), write_arrays(path("albedo.npz"), **arrays)]


class AlbedoTask:
    name = "albedo"
    figures = AlbedoResult.FIGURES

    def fit(self, photo_rgb: np.ndarray, input_hw: tuple[int, int]) -> list[Fitted]:
        """One input: the whole photo, letterboxed."""
        return fit.letterboxed(photo_rgb, input_hw)

    def decode(self, raw: np.ndarray, fitted: Fitted) -> np.ndarray:
        """(1, h, w, 3) of any range, clamped, as (H, W, 3) 0..1 at photo size."""
        albedo = np.clip(raw[0], 0, 1)
        return fit.resize_linear(fit.cut_padding(albedo, fitted.way.padding), fitted.way.photo_hw)

    def result(self, parts: Sequence[np.ndarray], photo_rgb: np.ndarray) -> AlbedoResult:
        return AlbedoResult(photo_rgb, parts[0])
