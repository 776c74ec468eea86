"""How near one result is to another of the same photo: what the numbers mean, what they were taken over, and a map.

Each task declares its figures beside its result; page, command line and API print from that one definition.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

BAND_ROWS = 128  # megapixels are worked through in bands that stay in cache


@dataclass(frozen=True)
class Figure:
    """One number of a comparison. `name` is its key in JSON and CSV.

    `unit` is what stands behind the number: "px", "°", "dB", or "%" for a share, which is kept as 0..1 and only shown
    in percent; nothing behind a cosine, which ends at 1. `digits` are those behind the point.
    """

    name: str
    title: str
    unit: str
    higher_is_better: bool
    digits: int = 2

    def text(self, value: float, note: str = "") -> str:
        """For people: "99.79 %", with the note behind it, or the note alone where there is no number."""
        if not math.isfinite(value):
            return note
        factor, gap = (100, " ") if self.unit == "%" else (1, " " if self.unit not in ("°", "") else "")
        shown, step = f"{factor * value:.{self.digits}f}", 10**-self.digits
        if float(shown) == 0 and value > 0:
            shown = f"< {step:.{self.digits}f}"  # what is not equal must not read as if it were
        elif self.unit in ("%", "") and float(shown) == factor and value < 1:
            shown = f"> {factor - step:.{self.digits}f}"
        return f"{shown}{gap}{self.unit}" + (f" ({note})" if note else "")


@dataclass(frozen=True)
class Agreement:
    """The figures of one result against a reference.

    `values` are in the order in which the task declares its figures: infinite where both are equal and the figure has
    no bound (PSNR), NaN where there is nothing to compare; `notes`, by figure, say so, and more, such as which class
    is the worst. `over` is what the figures were taken over, in words.
    """

    values: dict[str, float]
    over: str
    notes: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """{"figures": {name: number, or null where it is not finite}, "notes": {name: words}, "over": words}"""
        figures = {name: value if math.isfinite(value) else None for name, value in self.values.items()}
        return {"figures": figures, "notes": dict(self.notes), "over": self.over}


@dataclass(frozen=True)
class DifferenceMap:
    """Where two results differ: `values` (H, W) float32 >= 0, NaN where they were not compared.

    `unit` says what they are, such as "degrees", and stands above the colours in a picture.

    Colours run from 0 to `full_scale`, the same for all levels of a task, so that their maps can be compared. With
    `labels`, values are 0 (equal) or 1.
    """

    values: np.ndarray = field(repr=False)
    unit: str
    full_scale: float
    labels: bool = False

    def picture(self, photo_rgb: np.ndarray, *, bar: bool = True) -> np.ndarray:
        """The map in colours over the dimmed grey photo, (H, W, 3) uint8; where nothing was compared, the photo alone.

        Args:
            photo_rgb: (H, W, 3) uint8.
            bar: what the colours mean, in the corner that covers the least difference. A picture too small for it
                goes without.
        """
        from . import draw  # brings OpenCV, which the page does without until its first run

        picture = draw.heat_map(photo_rgb, self.values, self.full_scale, widen=self.labels)
        if bar:
            self.draw_bar(picture)
        return picture

    def draw_bar(self, picture_rgb: np.ndarray) -> None:
        """Add what the colours mean to a picture without it, in place."""
        from . import draw

        draw.colour_bar(picture_rgb, *self.bar(), busy=self.values > 0)

    def bar(self) -> tuple[np.ndarray, str, tuple[str, str], tuple[str, ...]]:
        """What draw.colour_bar needs to explain the colours: the colours, a title, words and numbers along them."""
        from . import draw

        if self.labels:
            return draw.HEAT_RGB[[0, -1]], "", ("same label", "another"), ()
        stops = ("0", f"{self.full_scale / 2:g}", f"≥ {self.full_scale:g}")
        return draw.HEAT_RGB, self.unit, ("", ""), stops


# ---- arithmetic -----------------------------------------------------------------------------------------------------


def bands(height: int) -> Iterator[slice]:
    """Rows from top to bottom, BAND_ROWS at a time."""
    for top in range(0, height, BAND_ROWS):
        yield slice(top, top + BAND_ROWS)


def outside_to_nan(values: np.ndarray, region: np.ndarray | None) -> np.ndarray:
    """`values` (H, W) itself, NaN outside `region` (H, W) bool; None is everywhere."""
    if region is not None:
        values[~region] = np.nan
    return values


def compared(values: np.ndarray) -> np.ndarray:
    """(n,): those values of a map that are not NaN."""
    return values[~np.isnan(values)]


def mean(values: np.ndarray) -> float:
    """Added up in float64, since megapixels of float32 lose digits; NaN, without a warning, of nothing."""
    return float(values.mean(dtype=np.float64)) if values.size else math.nan


def angles_deg(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(H, W) float32 degrees, 0..180, between vectors (H, W, 3) of any length; NaN where one has none.

    atan2 of cross and dot product: the arc cosine alone would lose angles below 0.03 degrees in float32.
    """
    angles = np.empty(a.shape[:2], np.float32)
    for rows in bands(len(a)):
        (ax, ay, az), (bx, by, bz) = np.moveaxis(a[rows], -1, 0), np.moveaxis(b[rows], -1, 0)
        dot = ax * bx + ay * by + az * bz
        cross = np.sqrt((ay * bz - az * by) ** 2 + (az * bx - ax * bz) ** 2 + (ax * by - ay * bx) ** 2)
        angles[rows] = np.degrees(np.arctan2(cross, dot))
        angles[rows][(dot == 0) & (cross == 0)] = np.nan
    return angles


def absolute_difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(H, W) float32: |a - b|, averaged over the channels where there are any, (H, W, C)."""
    difference = np.empty(a.shape[:2], np.float32)
    for rows in bands(len(a)):
        band = np.abs(a[rows] - b[rows])
        difference[rows] = band.mean(-1) if band.ndim == 3 else band
    return difference


def mean_square(a: np.ndarray, b: np.ndarray, region: np.ndarray | None) -> float:
    """The mean of (a - b) ** 2 over `region` (H, W) bool and all channels; NaN where the region is empty."""
    total, count = 0.0, 0
    for rows in bands(len(a)):
        band = a[rows] - b[rows]
        if region is not None:
            band = band[region[rows]]
        total += float(np.square(band).sum(dtype=np.float64))
        count += band.size
    return total / count if count else math.nan


def psnr_db(square: float) -> float:
    """The peak signal-to-noise ratio for a mean square error, with a peak of 1; infinite for 0."""
    return -10 * math.log10(square) if square else math.inf


def over(region: np.ndarray | None, values: dict[str, float]) -> Agreement:
    """The figures of a dense task as an Agreement, with a note where they are no numbers."""
    return noted(values, "the whole photo" if region is None else f"people ({100 * region.mean():.1f} % of the photo)")


def noted(values: dict[str, float], taken_over: str) -> Agreement:
    """The figures as an Agreement, with a note where they are no numbers."""
    notes = {name: "equal" for name, value in values.items() if math.isinf(value)}
    notes |= {name: "nothing to compare" for name, value in values.items() if math.isnan(value)}
    return Agreement(values, taken_over, notes)
