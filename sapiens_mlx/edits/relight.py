"""Relight: people of a photo in a directional light of one's choice, by their normals and, where there is, albedo.

Albedo is as coarse as the network's input. So it is not painted with: it tells how much light the photo was taken in,
and the photo's own sharp colours are taken out of that light and put into the new one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import SapiensError
from ..image import write_png
from ..tasks import draw
from ..tasks.agreement import bands
from ..tasks.albedo import AlbedoResult
from ..tasks.base import Report, Result
from ..tasks.normal import NormalResult
from .light import LUMA, direction
from .soft import soft_edge

# Light adds up in linear values, and a photo's are about the 2.2th power of what its file holds: light of s times the
# strength makes the file's values s ** (1 / 2.2) times as large. In the file's own values half the light would look
# like a fifth, and everything that is turned from the light would drown in black.
GAMMA = 2.2

EVEN_PX = 384  # the longer side at which the photo's light is looked at; nothing finer is left of it
EVEN_SHARE = 1 / 60  # sigma of the mean it is taken over, of the longer side: wide enough for a coarse albedo
EVEN_LIMITS = (0.25, 4.0)  # how far the photo's light may be from 1: beyond, the albedo is wrong


@dataclass
class Relit(Result):
    """`normals` (H, W, 3) float32, x right, y up, z towards the camera, of any length; `albedo` (H, W, 3) float32 0..1.

    `alpha` (H, W) float32 0..1, where there is one, is how much of each pixel is a person; else the person mask is
    taken, its edge softened, and without either the whole photo is relit.
    """

    NAME = "relit"
    OVER_PEOPLE = True

    normals: np.ndarray = field(repr=False)
    albedo: np.ndarray | None = field(default=None, repr=False)
    alpha: np.ndarray | None = field(default=None, repr=False)

    def picture(
        self,
        photo_rgb: np.ndarray | None = None,
        *,
        style: str = "readme",
        azimuth_deg: float = -40.0,
        elevation_deg: float = 30.0,
        ambient: float = 0.35,
        strength: float = 0.9,
        albedo: bool = True,
    ) -> np.ndarray:
        """The people in that light, over the photo as it is, (H, W, 3) uint8.

        The light on a surface is `ambient + strength * max(0, cosine of the angle between its normal and the light)`.
        It replaces even light of 1, so that an ambient of 1 with a strength of 0 leaves the photo as it is. Without
        albedo that is how the photo is taken to be lit, and its own shading stays. With albedo it is freed of its own
        light first: what is brighter than its albedo, over some distance, is made darker, and the other way round.

        Args:
            style: both are the same; the reference has no such picture.
            azimuth_deg: where the light is: 0 at the camera, 90 right in the picture, -90 left, 180 behind.
            elevation_deg: 90 above, -90 below.
            ambient: light from everywhere, 0 or more.
            strength: of the directional light, 0 or more.
            albedo: use it where there is one.

        Raises:
            SapiensError: a number is not finite, or ambient or strength is negative.
        """
        draw.is_reference(style)
        photo_rgb = draw.backdrop(photo_rgb, self.photo_rgb)
        _check(azimuth_deg=azimuth_deg, elevation_deg=elevation_deg, ambient=ambient, strength=strength)
        light = np.array(direction(azimuth_deg, elevation_deg), np.float32)
        cover = self._cover()
        even = self._even(self.albedo, photo_rgb, cover) if albedo and self.albedo is not None else None
        picture = np.empty_like(photo_rgb)
        for rows in bands(len(picture)):
            gain = self._light(rows, light) * np.float32(strength) + np.float32(ambient)
            cv2.pow(gain, 1 / GAMMA, gain)
            if even is not None:
                gain *= even[rows]
            photo = photo_rgb[rows].astype(np.float32)
            lit = photo * gain[..., None]
            np.minimum(lit, 255, out=lit)
            if cover is not None:
                lit -= photo
                lit *= cover[rows, :, None] * np.float32(1 / 255)
                lit += photo
            picture[rows] = np.rint(lit, out=lit)
        return picture

    def _light(self, rows: slice, light: np.ndarray) -> np.ndarray:
        """max(0, cosine) of a band, (b, W) float32; 0 where a normal has no length or is no number."""
        normals = np.ascontiguousarray(self.normals[rows])
        square = cv2.transform(normals * normals, np.ones((1, 3), np.float32))
        cosine = cv2.transform(normals, light[None]) / np.sqrt(np.maximum(square, np.float32(1e-12)))
        return np.fmax(cosine, 0)

    def _cover(self) -> np.ndarray | None:
        """How much of each pixel is relit, (H, W) uint8; None for all of it."""
        if self.alpha is not None:
            return cv2.convertScaleAbs(np.ascontiguousarray(self.alpha, np.float32), alpha=255)
        return None if self.person_mask is None else soft_edge(self.person_mask)

    def _even(self, albedo: np.ndarray, photo_rgb: np.ndarray, cover: np.ndarray | None) -> np.ndarray:
        """What the photo's values are multiplied by to free them of the photo's light, (H, W) float32.

        From the mean luminance of albedo and photo around each pixel, of people alone: each counts by its cover.
        """
        height, width = photo_rgb.shape[:2]
        ratio = min(1.0, EVEN_PX / max(height, width))
        small_wh = max(1, round(width * ratio)), max(1, round(height * ratio))
        sigma = EVEN_SHARE * max(small_wh)

        def small(array: np.ndarray) -> np.ndarray:
            return cv2.resize(np.ascontiguousarray(array), small_wh, interpolation=cv2.INTER_AREA)

        weight = np.ones(small_wh[::-1], np.float32) if cover is None else small(cover).astype(np.float32) / 255
        means = [
            cv2.GaussianBlur(cv2.transform(values**GAMMA, LUMA[None].astype(np.float32)) * weight, (0, 0), sigma)
            for values in (np.clip(small(albedo), 0, 1), small(photo_rgb).astype(np.float32) / 255)
        ]
        least = np.float32(3e-3)  # so that it is 1 where nobody is, and that the noise of black is not made larger
        light = np.clip((means[0] + least) / (means[1] + least), *EVEN_LIMITS)
        return cv2.resize(light ** np.float32(1 / GAMMA), (width, height), interpolation=cv2.INTER_LINEAR)

    def _write(self, path: Callable[[str], Path], picture: np.ndarray, **options: Any) -> list[Path]:
        """`<stem>_relit.png`."""
        return [write_png(path("relit.png"), picture)]


def relit(normal: NormalResult, albedo: AlbedoResult | None = None, alpha: np.ndarray | None = None) -> Relit:
    """Normals and, where there is one, albedo of the same photo, ready to be relit. Nothing is copied.

    Args:
        alpha: (H, W) 0..1, such as a MattingResult's, for softer edges than the person mask of the normals has.

    Raises:
        SapiensError: they are of photos of different sizes.
    """
    photo_hw = normal.photo_rgb.shape[:2]
    arrays = {"albedo": albedo.albedo if albedo is not None else None, "matte": alpha}
    for name, array in arrays.items():
        if array is not None and array.shape[:2] != photo_hw:
            sizes = f"{array.shape[1]} x {array.shape[0]} pixels, the normals {photo_hw[1]} x {photo_hw[0]}"
            raise SapiensError(f"The {name} is of {sizes}. Take both from the same photo.")
    return Relit(
        normal.photo_rgb,
        normal.normals,
        arrays["albedo"],
        alpha,
        person_mask=normal.person_mask,
        report=_report(normal.report, albedo.report if albedo is not None else None),
    )


def _report(normal: Report | None, albedo: Report | None) -> Report | None:
    """That of the normals, with the notices of both."""
    if normal is None:
        return None
    notices = [*normal.notices, *(albedo.notices if albedo is not None else ())]
    return replace(normal, seconds=dict(normal.seconds), notices=list(dict.fromkeys(notices)))


def _check(**numbers: float) -> None:
    for name, value in numbers.items():
        if not math.isfinite(value) or (value < 0 and name in ("ambient", "strength")):
            limits = "0 or more" if name in ("ambient", "strength") else "an angle in degrees"
            raise SapiensError(f"The {name} is {value}. Give {limits}.")
