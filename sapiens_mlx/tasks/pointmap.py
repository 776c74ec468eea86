"""Metric depth: the photo letterboxed into the network, a point in space for every pixel back.

Frame: x right, y down, z away from the camera, in metres; depth is z.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .. import zoo
from ..errors import SapiensError
from ..files import write_arrays
from ..image import write_png
from . import agreement, draw, fit, scene
from .agreement import Agreement, DifferenceMap, Figure
from .base import Fitted, Result

BACKGROUND = {"readme": draw.PANEL, "reference": draw.GREY}  # outside people
PERCENTILES = {"readme": (2, 98), "reference": (1, 99)}  # of the depth; from both ends alike, so of its inverse too
REFERENCE_CLAMP_M = (0.1, 250.0)
DEPTH16_MOST_MM = 65535
FULL_SCALE_CM = 10.0  # of a map of differences


@dataclass
class PointmapResult(Result):
    """`points` (H, W, 3) float32 metres, and the camera they imply.

    `scale` is the network's own; `focal_px` is in photo pixels; `fov_deg` is horizontal.
    """

    NAME = "pointmap"
    OVER_PEOPLE = True
    FILE_OPTIONS = ("points", "colours")
    FIGURES = (
        Figure("depth_difference", "Depth difference", "%", higher_is_better=False),
        Figure("scale_difference", "Scale difference", "%", higher_is_better=False),
    )

    points: np.ndarray = field(repr=False)
    scale: float
    focal_px: float
    fov_deg: float

    @property
    def depth_m(self) -> np.ndarray:
        """(H, W) float32: z, a view of `points`."""
        return self.points[..., 2]

    def in_front(self) -> np.ndarray:
        """(H, W) bool: what pictures and meshes show: what lies before the camera, people alone if there is a mask."""
        with np.errstate(invalid="ignore"):
            there = (self.depth_m > 0) & (self.depth_m < np.inf)
        return there if self.person_mask is None else there & self.person_mask

    def depth_range_m(self, style: str = "readme") -> tuple[float, float]:
        """(near, far) that the colours of a picture in this style span, from percentiles of the foreground."""
        depth_m = self.depth_m[self.in_front()]
        if not depth_m.size:
            return REFERENCE_CLAMP_M
        if draw.is_reference(style):
            depth_m = np.clip(depth_m, *REFERENCE_CLAMP_M)
        near, far = np.percentile(depth_m, PERCENTILES[style], overwrite_input=True)
        return float(near), float(far)

    def picture(
        self,
        photo_rgb: np.ndarray | None = None,
        *,
        style: str = "readme",
        legend: bool | None = None,
        depth_range_m: tuple[float, float] | None = None,
        busy: np.ndarray | None = None,
    ) -> np.ndarray:
        """Depth in colours (turbo), (H, W, 3) uint8.

        Args:
            style: "readme": linear in depth, near is blue; "reference": linear in inverse depth, near is red.
            legend: the bar of colours with its metres; by default in the readme style only.
            depth_range_m: (near, far) of the colours, such as one for all frames of a video; default depth_range_m().
            busy: (H, W) bool, what the bar keeps clear of, such as one for all frames; default: what is in front.
        """
        reference = draw.is_reference(style)
        draw.backdrop(photo_rgb, self.photo_rgb)
        near, far = depth_range_m or self.depth_range_m(style)
        shown = self.in_front()
        first, last = (1 / far, 1 / near) if reference else (near, far)
        indices = np.empty(shown.shape, np.uint8)
        for rows in agreement.bands(len(indices)):
            values = np.where(shown[rows], self.depth_m[rows], np.float32(far))
            if reference:
                values = 1 / np.clip(values, *REFERENCE_CLAMP_M)
            values -= np.float32(first)
            values *= np.float32(255 / max(last - first, 1e-9))
            indices[rows] = np.clip(values, 0, 255, out=values)
        picture = draw.cut_to(draw.colourise(indices, _turbo_rgb()), shown, BACKGROUND[style])
        if legend if legend is not None else not reference:
            stops = [first + (last - first) * part for part in (0, 0.5, 1)]
            metres = [_metres(1 / stop if reference else stop) for stop in stops]
            ends = ("far", "near") if reference else ("near", "far")
            draw.colour_bar(picture, _turbo_rgb(), "depth", ends, metres, busy=shown if busy is None else busy)
        return picture

    def picture_beside(self, reference: "PointmapResult") -> np.ndarray:
        """With the reference's metres for the colours."""
        return self.picture(depth_range_m=reference.depth_range_m())

    def _agreement(self, reference: "PointmapResult") -> Agreement:
        """Depth and scale by the reference's: the mean of |z - z'| / z', and |s / s' - 1|."""
        region = reference.in_front()
        total, count = 0.0, 0
        for rows in agreement.bands(len(region)):
            expected = reference.depth_m[rows][region[rows]]
            relative = np.abs(self.depth_m[rows][region[rows]] - expected) / expected
            total += float(relative.sum(dtype=np.float64))
            count += len(relative)
        values = {
            "depth_difference": total / count if count else math.nan,
            "scale_difference": abs(self.scale / reference.scale - 1) if reference.scale else math.nan,
        }
        return agreement.over(reference.person_mask, values)

    def _difference(self, reference: "PointmapResult") -> DifferenceMap:
        """Of the depth, in centimetres."""
        difference = np.abs(self.depth_m - reference.depth_m)
        difference *= np.float32(100)
        return DifferenceMap(agreement.outside_to_nan(difference, reference.in_front()), "cm of depth", FULL_SCALE_CM)

    def _write(
        self,
        path: Callable[[str], Path],
        picture: np.ndarray,
        *,
        points: int = zoo.DEFAULTS.points,
        colours: np.ndarray | None = None,
        **options: Any,
    ) -> list[Path]:
        """`<stem>_depth.png`, `<stem>_depth16.png`, and `<stem>_pointmap` as .ply, .glb and .npz.

        The 16-bit depth is in millimetres, 0 where there is nothing, at most 65.535 m. The cloud and the mesh have at
        most `points` points, in `colours` (H, W, 3) uint8, by default the photo's.
        """
        shown, colours_rgb = self.in_front(), self.colours_rgb(colours)
        arrays = self._masked(points=self.points, scale=self.scale, focal_px=self.focal_px, fov_deg=self.fov_deg)
        return [
            write_png(path("depth.png"), picture),
            write_png(path("depth16.png"), self._millimetres(shown)),
            scene.write_ply(path("pointmap.ply"), self.points, colours_rgb, shown, points),
            scene.write_glb(path("pointmap.glb"), self.points, colours_rgb, shown, self.focal_px, points),
            write_arrays(path("pointmap.npz"), **arrays),
        ]

    def colours_rgb(self, colours: np.ndarray | None = None) -> np.ndarray:
        """`colours` for points and meshes, by default the photo. Raises SapiensError where they do not fit it."""
        if colours is None:
            return self.photo_rgb
        if colours.shape != self.photo_rgb.shape or colours.dtype != np.uint8:
            height, width = self.photo_rgb.shape[:2]
            raise SapiensError(
                f"The colours are {colours.shape} {colours.dtype}. Give ({height}, {width}, 3) uint8, as the photo is."
            )
        return colours

    def _millimetres(self, shown: np.ndarray) -> np.ndarray:
        """(H, W) uint16, 0 where nothing is shown."""
        millimetres = np.empty(shown.shape, np.uint16)
        for rows in agreement.bands(len(millimetres)):
            values = np.where(shown[rows], self.depth_m[rows], np.float32(0))
            values *= np.float32(1000)
            millimetres[rows] = np.clip(np.rint(values, out=values), 0, DEPTH16_MOST_MM, out=values)
        return millimetres


class PointmapTask:
    name = "pointmap"
    figures = PointmapResult.FIGURES

    def fit(self, photo_rgb: np.ndarray, input_hw: tuple[int, int]) -> list[Fitted]:
        """One input: the whole photo, letterboxed."""
        return fit.letterboxed(photo_rgb, input_hw)

    def decode(self, raw: tuple[np.ndarray, np.ndarray], fitted: Fitted) -> tuple[np.ndarray, float, float]:
        """(points (1, h, w, 3), scale (1, 1)) as (points (H, W, 3) metres, scale, focal_px of the photo).

        The network's scale is its input width / focal length in input pixels; hence the focal length.
        """
        photo_hw, padding = fitted.way.photo_hw, fitted.way.padding
        scale = float(raw[1].item())
        with np.errstate(divide="ignore", invalid="ignore"):  # a scale of 0 gives points nowhere, shown as nothing
            points = fit.cut_padding(raw[0][0] / np.float32(scale), padding)
        fitted_h, fitted_w = points.shape[:2]
        if photo_hw[0] > fitted_h or photo_hw[1] > fitted_w:
            points = fit.smooth(points)
        input_w = fitted.pixels.shape[2]
        focal_px = input_w / scale * photo_hw[1] / fitted_w if scale else math.inf
        return fit.resize_linear(points, photo_hw), scale, focal_px

    def result(self, parts: Sequence[tuple[np.ndarray, float, float]], photo_rgb: np.ndarray) -> PointmapResult:
        points, scale, focal_px = parts[0]
        # A scale that overflowed in float16 makes the focal length 0; is_finite() tells of it.
        fov_deg = math.degrees(2 * math.atan(photo_rgb.shape[1] / (2 * focal_px))) if focal_px else 180.0
        return PointmapResult(photo_rgb, points, scale, focal_px, fov_deg)


def _turbo_rgb() -> np.ndarray:
    """(256, 3) uint8 RGB."""
    ramp = np.arange(256, dtype=np.uint8)[:, None]
    return cv2.applyColorMap(ramp, cv2.COLORMAP_TURBO)[:, 0, ::-1]


def _metres(depth_m: float) -> str:
    return f"{depth_m:.2f} m" if depth_m < 10 else f"{depth_m:.1f} m"
