"""Features: the photo stretched into the backbone, and its tokens as they are: a vector a patch, cls and storage.

They mean nothing by themselves, only beside others: their principal components are colours, and the cosine between two
says how alike two patches look to the network.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .. import blas
from ..errors import SapiensError
from ..files import write_arrays
from ..image import write_png
from . import agreement, draw, fit
from .agreement import Agreement, DifferenceMap, Figure
from .base import Fitted, Result

STORAGE_TOKENS = 8
EXTRA_TOKENS = 1 + STORAGE_TOKENS  # in front of the patches: cls, then storage
COMPONENTS = 3  # red, green, blue
BLOCK, MOST_ITERATIONS = 16, 40  # of the search for them
COVERED = 0.5  # a patch counts as people where the mask covers this share of it
FEWEST = 2 * COMPONENTS  # patches of people: of fewer, nothing can be told apart
SPREAD = (1.0, 99.0)  # percentiles of a component that become the darkest and the brightest colour
LEAST_LIKE = 5.0  # percentile of the similarities that takes the first colour
FULL_SCALE = 0.02  # of 1 - cosine: 4 bits move the demo's features by a few thousandths


@dataclass(frozen=True)
class Components:
    """Principal components: `mean` (C,), `axes` (3, C) of length 1, and the values `low` and `high` (3,) at which each
    colour is at its darkest and brightest; float64. `share` (0..1) is how much of the variance they hold.

    Directions have no sign of their own: each axis is turned so that its largest number is positive.
    """

    mean: np.ndarray
    axes: np.ndarray
    low: np.ndarray
    high: np.ndarray
    share: float

    def colours(self, features: np.ndarray) -> np.ndarray:
        """Features (h, w, C) as colours (h, w, 3) float32, 0..1."""
        values = (features - self.mean) @ self.axes.T
        span = np.where(self.high > self.low, self.high - self.low, 1)
        return np.clip((values - self.low) / span, 0, 1).astype(np.float32)


def principal_components(vectors: np.ndarray) -> Components:
    """The first three principal components of (n, C) vectors, by subspace iteration: three of thousands are wanted, and
    a whole decomposition takes minutes on a busy machine. The start is fixed, so the result is always the same."""
    vectors = vectors.astype(np.float64)
    mean = vectors.mean(axis=0)
    centred = vectors - mean
    channels = centred.shape[1]
    block = np.random.default_rng(0).standard_normal((channels, min(channels, BLOCK)))
    variances = np.zeros(COMPONENTS)
    with blas.one_thread():  # thin products: threads would wait for each other
        for _ in range(MOST_ITERATIONS):
            block = np.linalg.qr(block)[0]
            image = centred @ block
            found, turn = np.linalg.eigh(image.T @ image)  # the smallest first
            axes = (block @ turn[:, : -COMPONENTS - 1 : -1]).T
            before, variances = variances, found[: -COMPONENTS - 1 : -1]
            if np.allclose(variances, before, rtol=1e-9, atol=1e-300):  # the axes are right to the root of that
                break
            block = centred.T @ image
    largest = np.abs(axes).argmax(axis=1)
    axes = axes * np.where(axes[np.arange(COMPONENTS), largest] < 0, -1, 1)[:, None]
    low, high = np.percentile(centred @ axes.T, SPREAD, axis=0)
    total = np.square(centred).sum()
    return Components(mean, axes, low, high, float(variances.sum() / total) if total > 0 else 0.0)


@dataclass(frozen=True)
class Similarity:
    """How alike every patch of a photo is to one patch, of the same photo or of another.

    `values` (h, w) float32 are cosines, -1..1. `photo_rgb` (H, W, 3) uint8 is the photo they belong to; `point_xy` the
    pixel in it that is marked in the picture: the one that was asked for or, in another photo, the middle of the patch
    that is most alike. Colours begin at `least`, which is the same for both photos.
    """

    values: np.ndarray = field(repr=False)
    photo_rgb: np.ndarray = field(repr=False)
    point_xy: tuple[float, float]
    least: float
    is_query: bool

    def picture(self, *, smooth: bool = True, bar: bool = True) -> np.ndarray:
        """Cosines in colours over the dimmed grey photo, (H, W, 3) uint8, with a ring around the point.

        Args:
            smooth: interpolate between the middles of patches; otherwise each patch is of one colour.
            bar: what the colours mean, in the quietest corner.
        """
        above = np.maximum(self.values - np.float32(self.least), 0)
        filter_ = cv2.INTER_LINEAR if smooth else cv2.INTER_NEAREST
        above = cv2.resize(above, self.photo_rgb.shape[1::-1], interpolation=filter_)
        full_scale = 1 - self.least
        picture = draw.heat_map(self.photo_rgb, above, full_scale)
        self._draw_ring(picture)
        if bar:
            stops = (f"{self.least:.2f}", f"{(1 + self.least) / 2:.2f}", "1")
            draw.colour_bar(picture, draw.HEAT_RGB, "cosine", ("", ""), stops, busy=above > full_scale / 2)
        return picture

    def _draw_ring(self, picture: np.ndarray) -> None:
        """White on black where the query is, and a thinner one at the best match in another photo."""
        width = draw.line_width_px(picture.shape[:2])
        x, y = (min(int(value), limit - 1) for value, limit in zip(self.point_xy, picture.shape[1::-1], strict=True))
        radius = 6 * width if self.is_query else 9 * width
        for colour, line in ((draw.BLACK, 4 * width), (draw.WHITE, 2 * width)):
            cv2.circle(picture, (x, y), radius, colour, line, cv2.LINE_AA)


@dataclass
class FeaturesResult(Result):
    """`features` (h, w, C) float32, a vector for each patch of the stretched photo; `cls` (C,) and `storage` (8, C)
    stand for the whole of it. All after the network's final norm."""

    NAME = "features"
    FIGURES = (
        Figure("mean_cosine", "Mean cosine", "", higher_is_better=True, digits=4),
        Figure("low_cosine", "Lowest 5 %, cosine", "", higher_is_better=True, digits=4),
        Figure("cls_cosine", "Cosine of cls", "", higher_is_better=True, digits=4),
    )

    features: np.ndarray = field(repr=False)
    cls: np.ndarray = field(repr=False)
    storage: np.ndarray = field(repr=False)

    @cached_property
    def components(self) -> Components:
        """The principal components of all patches, or of those on people, where a person mask is given."""
        inside = self.patches_of_people()
        vectors = self.features.reshape(-1, self.features.shape[-1]) if inside is None else self.features[inside]
        return principal_components(vectors)

    def patches_of_people(self) -> np.ndarray | None:
        """(h, w) bool: those that the person mask covers; None without a mask, or where it covers hardly any."""
        if self.person_mask is None:
            return None
        grid_wh = self.features.shape[1::-1]
        cover = cv2.resize(self.person_mask.astype(np.float32), grid_wh, interpolation=cv2.INTER_AREA)
        inside = cover >= COVERED
        return inside if inside.sum() >= FEWEST else None

    def picture(
        self,
        photo_rgb: np.ndarray | None = None,
        *,
        style: str = "readme",
        opacity: float = 1.0,
        smooth: bool = True,
        like: "FeaturesResult | None" = None,
    ) -> np.ndarray:
        """The first three principal components as red, green and blue, (H, W, 3) uint8; black outside people.

        Args:
            style: both are the same; the reference has no picture of features.
            opacity: of the colours over the photo, 0..1.
            smooth: interpolate between the middles of patches; otherwise each patch is of one colour.
            like: another result at the same size, whose components are taken, so that equal colours mean the same.
        """
        draw.is_reference(style)
        photo_rgb = draw.backdrop(photo_rgb, self.photo_rgb)
        if like is not None:
            self._check_same_space(like)
        colours = (like or self).components.colours(self.features)
        filter_ = cv2.INTER_LINEAR if smooth else cv2.INTER_NEAREST
        shown = cv2.resize(np.rint(255 * colours).astype(np.uint8), photo_rgb.shape[1::-1], interpolation=filter_)
        if opacity < 1:
            shown = draw.blend(photo_rgb, shown, opacity)
        return draw.cut_to(shown, self.person_mask, draw.BLACK)

    def picture_beside(self, reference: "FeaturesResult") -> np.ndarray:
        """In the reference's colours."""
        return self.picture(like=reference)

    def similarity(self, x: float, y: float, other: "FeaturesResult | None" = None) -> Similarity:
        """How alike all patches are to the one under a pixel of this result's photo.

        Args:
            x, y: the pixel, from the left and from the top.
            other: whose patches are looked at; default: this result's own.

        Raises:
            SapiensError: the pixel is outside the photo, or `other` was made by another network.
        """
        height, width = self.photo_rgb.shape[:2]
        if not (0 <= x < width and 0 <= y < height):
            raise SapiensError(f"The pixel {x:g}, {y:g} is outside the photo of {width} x {height}.")
        rows, columns, _ = self.features.shape
        query = self.features[int(y * rows / height), int(x * columns / width)]
        own = cosines(self.features, query)
        # Features share a direction, so even what differs most is far from 0: colours begin where this photo does.
        least = float(np.clip(np.percentile(own, LEAST_LIKE), 0, 0.99))
        if other is None or other is self:
            return Similarity(own, self.photo_rgb, (x, y), least, is_query=True)
        self._check_same_space(other)
        values = cosines(other.features, query)
        row, column = np.unravel_index(values.argmax(), values.shape)
        (height, width), (rows, columns) = other.photo_rgb.shape[:2], values.shape
        best = ((column + 0.5) * width / columns, (row + 0.5) * height / rows)
        return Similarity(values, other.photo_rgb, best, least, is_query=False)

    def _check_comparable(self, reference: Any) -> None:
        super()._check_comparable(reference)
        self._check_same_space(reference)

    def _check_same_space(self, other: "FeaturesResult") -> None:
        sizes = [one.report.size if one.report else one.features.shape[-1] for one in (self, other)]
        if sizes[0] != sizes[1] or self.features.shape[-1] != other.features.shape[-1]:
            raise SapiensError(
                f"Features of {sizes[0]} and of {sizes[1]} have no directions in common. Take both at one size."
            )

    def _agreement(self, reference: "FeaturesResult") -> Agreement:
        """Over the whole photo: features mean something everywhere."""
        alike = cosines(self.features, reference.features)
        values = {
            "mean_cosine": agreement.mean(alike),
            "low_cosine": float(np.percentile(alike, 5)),
            "cls_cosine": float(cosines(self.cls, reference.cls)),
        }
        return agreement.over(None, values)

    def _difference(self, reference: "FeaturesResult") -> DifferenceMap:
        """1 - cosine, patch by patch."""
        apart = 1 - cosines(self.features, reference.features)
        size_wh = self.photo_rgb.shape[1::-1]
        return DifferenceMap(cv2.resize(apart, size_wh, interpolation=cv2.INTER_NEAREST), "1 - cosine", FULL_SCALE)

    def _write(self, path: Callable[[str], Path], picture: np.ndarray, **options: Any) -> list[Path]:
        """`<stem>_features.png` and `<stem>_features.npz`."""
        arrays = self._masked(features=self.features, cls=self.cls, storage=self.storage)
        return [write_png(path("features.png"), picture), write_arrays(path("features.npz"), **arrays)]


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The cosine between vectors in the last axis, float32, -1..1; 1 exactly where both are equal, 0 where one has no
    length. Everything else is summed in float64, or levels near each other could not be told apart."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    dot, lengths = (a * b).sum(-1), np.sqrt((a * a).sum(-1) * (b * b).sum(-1))
    cosine = np.divide(dot, lengths, out=np.zeros_like(dot), where=lengths > 0)
    return np.clip(cosine, -1, 1).astype(np.float32)


class FeaturesTask:
    name = "features"
    figures = FeaturesResult.FIGURES

    def fit(self, photo_rgb: np.ndarray, input_hw: tuple[int, int]) -> list[Fitted]:
        """One input: the whole photo, stretched."""
        return fit.stretched(photo_rgb, input_hw)

    def decode(self, raw: np.ndarray, fitted: Fitted) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Tokens (1, 9 + N, C) as (features (h, w, C), cls (C,), storage (8, C)); N = h w, in the input's ratio."""
        extra, patches = raw[0, :EXTRA_TOKENS], raw[0, EXTRA_TOKENS:]
        height, width = fitted.pixels.shape[1:3]
        cell = math.isqrt(height * width // len(patches))  # 16 pixels, or 64 behind a tokenizer
        return patches.reshape(height // cell, width // cell, -1), extra[0], extra[1:]

    def result(self, parts: Sequence[tuple[np.ndarray, ...]], photo_rgb: np.ndarray) -> FeaturesResult:
        return FeaturesResult(photo_rgb, *parts[0])
