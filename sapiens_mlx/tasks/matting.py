"""Mattes: the photo stretched into the network, its people with soft edges back, as colour and opacity."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..files import write_arrays
from ..image import write_png
from . import agreement, draw, fit
from .agreement import Agreement, DifferenceMap, Figure
from .background import Background, behind
from .base import Fitted, Result

BAND_ROWS = 64  # pictures are made in bands that stay in cache
FULL_SCALE = 0.1  # of opacity


@dataclass
class MattingResult(Result):
    """`alpha` (H, W) float32 0..1, and `foreground` (H, W, 3) float32 RGB 0..1, already multiplied by alpha."""

    NAME = "matting"
    FIGURES = (
        Figure("psnr_db", "PSNR of alpha", "dB", higher_is_better=True),
        Figure("mean_difference", "Mean difference of alpha", "%", higher_is_better=False),
    )

    alpha: np.ndarray = field(repr=False)
    foreground: np.ndarray = field(repr=False)

    def foreground_mask(self) -> np.ndarray:
        """(H, W) bool: more opaque than not."""
        return self.alpha > 0.5

    def cut_out(self, *, photo_colours: bool = False) -> np.ndarray:
        """The people with straight (not pre-multiplied) colour, (H, W, 4) uint8 RGBA; black where nothing is opaque.

        Args:
            photo_colours: take the photo's own, sharper colours the more opaque a pixel is. The network's colours
                are of its input size, but free of the background that shines through hair.
        """
        rgba = np.empty((*self.alpha.shape, 4), np.uint8)
        for rows, alpha, colour in self._bands(photo_colours):
            opacity = np.rint(255 * alpha)
            straight = np.clip(colour / np.maximum(alpha, 1e-6), 0, 1) * (opacity > 0)
            rgba[rows, :, :3] = np.rint(255 * straight)
            rgba[rows, :, 3:] = opacity
        return rgba

    def picture(
        self,
        photo_rgb: np.ndarray | None = None,
        *,
        style: str = "readme",
        photo_colours: bool = False,
        background: Background = None,
    ) -> np.ndarray:
        """The people over a background, (H, W, 3) uint8.

        Args:
            photo_colours: as for cut_out().
            background: "blur" (the photo, out of focus), a colour ("#00b140", a name, or three numbers 0..255), or a
                picture of one's own, which is scaled to cover the photo and cut at its edges; default: a checkerboard,
                or grey in the reference's style.

        Raises:
            SapiensError: for a background that is none of these.
        """
        reference = draw.is_reference(style)
        photo_rgb = draw.backdrop(photo_rgb, self.photo_rgb)
        size_hw = self.alpha.shape
        if background is not None:
            picture = behind(background, photo_rgb, self.alpha)
        else:
            picture = np.full((*size_hw, 3), draw.GREY, np.uint8) if reference else draw.checkerboard(size_hw)
        for rows, alpha, colour in self._bands(photo_colours):
            mixed = 255 * colour + picture[rows] * (1 - alpha)
            picture[rows] = np.clip(np.rint(mixed), 0, 255)
        return picture

    def _agreement(self, reference: "MattingResult") -> Agreement:
        """Of the opacity, over the whole photo."""
        values = {
            "psnr_db": agreement.psnr_db(agreement.mean_square(self.alpha, reference.alpha, None)),
            "mean_difference": agreement.mean(self._difference(reference).values),
        }
        return agreement.over(None, values)

    def _difference(self, reference: "MattingResult") -> DifferenceMap:
        """Of the opacity."""
        difference = agreement.absolute_difference(self.alpha, reference.alpha)
        return DifferenceMap(difference, "opacity, 0 to 1", FULL_SCALE)

    def _write(
        self,
        path: Callable[[str], Path],
        picture: np.ndarray,
        *,
        photo_colours: bool = False,
        background: Background = None,
        **options: Any,
    ) -> list[Path]:
        """`<stem>_matting.png` (the cut-out, RGBA), `<stem>_matting.npz` and, over a background of one's choice,
        `<stem>_composite.png`."""
        paths = [
            write_png(path("matting.png"), self.cut_out(photo_colours=photo_colours)),
            write_arrays(path("matting.npz"), alpha=self.alpha, foreground=self.foreground),
        ]
        return paths if background is None else [*paths, write_png(path("composite.png"), picture)]

    def _bands(self, photo_colours: bool) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """(rows, alpha (b, W, 1), pre-multiplied colour (b, W, 3)) from top to bottom."""
        for top in range(0, len(self.alpha), BAND_ROWS):
            rows = slice(top, top + BAND_ROWS)
            alpha, colour = self.alpha[rows, :, None], self.foreground[rows]
            if photo_colours:  # straight colour = alpha * photo + (1 - alpha) * network's, multiplied by alpha
                colour = np.square(alpha) * self.photo_rgb[rows] / 255 + (1 - alpha) * colour
            yield rows, alpha, colour


class MattingTask:
    name = "matting"
    figures = MattingResult.FIGURES

    def fit(self, photo_rgb: np.ndarray, input_hw: tuple[int, int]) -> list[Fitted]:
        """One input: the whole photo, stretched."""
        return fit.stretched(photo_rgb, input_hw)

    def decode(self, raw: np.ndarray, fitted: Fitted) -> tuple[np.ndarray, np.ndarray]:
        """(1, h, w, 4) after the sigmoid as (alpha (H, W), pre-multiplied foreground (H, W, 3)) at photo size."""
        foreground = fit.resize_linear(raw[0, ..., :3], fitted.way.photo_hw)
        alpha = fit.resize_linear(raw[0, ..., 3:], fitted.way.photo_hw)[..., 0]
        return np.clip(alpha, 0, 1, out=alpha), np.clip(foreground, 0, 1, out=foreground)

    def result(self, parts: Sequence[tuple[np.ndarray, np.ndarray]], photo_rgb: np.ndarray) -> MattingResult:
        return MattingResult(photo_rgb, *parts[0])
