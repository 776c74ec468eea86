"""Recolour: a part of the body or of clothing in another colour, with the light and shade that it has in the photo."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import SapiensError
from ..image import write_png
from ..tasks import draw
from ..tasks.agreement import bands
from ..tasks.base import Result
from ..tasks.scene import to_linear
from ..tasks.seg import SegResult, classes, label_counts
from .light import LUMA
from .soft import soft_edge

Colour = str | Sequence[int]
Place = tuple[slice, slice]

# Light of s times the strength multiplies a surface's L* + 16: the lighter it is, the stronger its shading. Dark cloth
# in a light colour would so have its noise and gloss blown up, light cloth in a dark colour would look flat. Hence
# limits to how much shading grows and shrinks.
LEAST_CONTRAST, MOST_CONTRAST = 0.4, 1.2
LIGHTNESS = (6.0, 94.0)  # where black and white are put, so that there is room for shading on either side

TILE_PX = 256  # a photo is worked through in squares, most of which have no edge of the part in them
REACH_SHARE = 1 / 500  # how far from a label's edge a pixel may be part this and part that, of the longer side
ALIKE = np.float32(3 * 12**2)  # squared distance of two colours, 0..255, below which they do not tell sides apart
NO_WEIGHT = np.float32(0.01)  # the share of a neighbourhood below which its mean is none


@dataclass
class Recoloured(Result):
    """`labels` (H, W) uint8: the part that each pixel belongs to, an index of tasks.seg.classes()."""

    NAME = "recoloured"

    labels: np.ndarray = field(repr=False)

    def parts(self) -> list[str]:
        """The names of the parts in the photo, by their share of it, the largest first; without the background."""
        counts = label_counts(self.labels)
        return [classes().names[index] for index in np.argsort(-counts, kind="stable") if index and counts[index]]

    def picture(
        self,
        photo_rgb: np.ndarray | None = None,
        *,
        style: str = "readme",
        part: str | None = None,
        colour: Colour = "#b3264a",
        strength: float = 1.0,
    ) -> np.ndarray:
        """The photo with one part in another colour, (H, W, 3) uint8.

        The part's mean lightness becomes the colour's, and what is lighter or darker than it stays so: creases,
        shadows, strands. Every shade has the colour's own hue, so coloured prints on a cloth become shades of it.

        Args:
            style: both are the same; the reference has no such picture.
            part: the name of a class, such as "Hair" or "Upper_Clothing"; None is the largest part in the photo.
            colour: "#rrggbb", a name as in CSS, or three numbers 0..255.
            strength: 0 (the photo as it is) to 1.

        Raises:
            SapiensError: there is no such part, or not in this photo; or the colour or the strength cannot be.
        """
        draw.is_reference(style)
        photo_rgb = draw.backdrop(photo_rgb, self.photo_rgb)
        if not 0 <= strength <= 1:
            raise SapiensError(f"The strength is {strength}. Give a number from 0 to 1.")
        wanted = draw.rgb_of(colour)
        picture = photo_rgb.copy()
        inside = self.labels == self._index(part)
        shades = _shades(_mean_lightness(photo_rgb, inside), wanted)
        reach = max(3, round(REACH_SHARE * max(inside.shape)))
        for tile, around, within in _tiles(inside, 4 * reach):
            photo = photo_rgb[around]
            change = draw.colourise(_lightness(photo), shades) - photo.astype(np.float32)
            if not inside[around].all():
                change = _at_edges(photo.astype(np.float32), change, inside[around], reach)
            changed = photo_rgb[tile] + np.float32(strength) * change[within]
            picture[tile] = np.rint(np.clip(changed, 0, 255))
        return picture

    def _index(self, part: str | None) -> int:
        """Of a part that is in the photo."""
        there = self.parts()
        if not there:
            raise SapiensError("There is no part to recolour: nobody was found in this photo. Choose another one.")
        name = _plain(part if part is not None else there[0])
        index = next((index for index, known in enumerate(classes().names) if _plain(known) == name), None)
        if index is None:
            raise SapiensError(f"There is no part {part!r}. In this photo are: {', '.join(there)}.")
        if not (self.labels == index).any():
            raise SapiensError(f"{classes().title(index)} is not in this photo. In it are: {', '.join(there)}.")
        return index

    def _write(self, path: Callable[[str], Path], picture: np.ndarray, **options: Any) -> list[Path]:
        """`<stem>_recoloured.png`."""
        return [write_png(path("recoloured.png"), picture)]


def recoloured(seg: SegResult) -> Recoloured:
    """The body parts of a photo, ready to be recoloured. Nothing is copied."""
    report = seg.report and replace(seg.report, seconds=dict(seg.report.seconds), notices=list(seg.report.notices))
    return Recoloured(seg.photo_rgb, seg.labels, person_mask=seg.person_mask, report=report)


def _plain(name: str) -> str:
    return name.replace("_", " ").strip().lower()


def _tiles(inside: np.ndarray, margin: int) -> Iterator[tuple[Place, Place, Place]]:
    """The squares that hold any of the part, each with its surroundings, and where it lies in those."""
    height, width = inside.shape
    for top in range(0, height, TILE_PX):
        for left in range(0, width, TILE_PX):
            up, back = max(0, top - margin), max(0, left - margin)
            around = np.s_[up : top + TILE_PX + margin, back : left + TILE_PX + margin]
            if inside[around].any():
                tile = np.s_[top : top + TILE_PX, left : left + TILE_PX]
                yield tile, around, np.s_[top - up : top - up + TILE_PX, left - back : left - back + TILE_PX]


def _at_edges(photo: np.ndarray, change: np.ndarray, inside: np.ndarray, reach: int) -> np.ndarray:
    """The change of each pixel by how much of it is the part, (h, w, 3) float32.

    Near an edge a pixel is a mixture of the part and of what is beside it, and labels are a little off. Its own change
    would light up as an outline where dark hair becomes fair before a bright wall. So the colours clearly inside and
    clearly outside nearby tell its share, by where its own lies between them, and it takes that share of the change
    inside. Where it is no mixture of them, as in a print, or the part is too thin to have an inside, the softened label
    tells, and the pixel takes its own change.

    Args:
        photo: (h, w, 3) float32, 0..255.
        change: the same, of a pixel that is all of the part.
        inside: (h, w) bool.
        reach: how far from the label's edge a pixel may be mixed, in pixels.
    """
    kernel = np.ones((2 * reach + 1,) * 2, np.uint8)
    clearly_in = cv2.erode(inside.view(np.uint8), kernel).astype(np.float32)
    clearly_out = 1 - cv2.dilate(inside.view(np.uint8), kernel).astype(np.float32)
    mixed = (clearly_in + clearly_out == 0)[..., None]

    def mean(values: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Around each pixel, over those of that weight; and how much weight there is."""
        amount = cv2.blur(weight, (6 * reach + 1,) * 2)[..., None]
        total = cv2.blur(values * weight[..., None], (6 * reach + 1,) * 2)
        return (total + NO_WEIGHT * values) / (amount + NO_WEIGHT), amount

    part, part_amount = mean(photo, clearly_in)
    other, other_amount = mean(photo, clearly_out)
    whole, _ = mean(change, clearly_in)
    apart = part - other
    soft = soft_edge(inside, sigma_px=reach / 2)[..., None] * np.float32(1 / 255)
    share = np.clip((_sum((photo - other) * apart) + ALIKE * soft) / (_sum(apart * apart) + ALIKE), 0, 1)
    beside = other + share * apart - photo  # no mixture of these two, as in a print
    amount = np.minimum(part_amount, other_amount)
    certain = amount / (amount + NO_WEIGHT) * ALIKE / (ALIKE + _sum(beside * beside))
    return np.where(mixed, certain * share * whole + (1 - certain) * soft * change, change * clearly_in[..., None])


def _sum(values: np.ndarray) -> np.ndarray:
    """Of the three channels, (h, w, 1) float32. NumPy is slow over an axis this short."""
    return cv2.transform(values, np.ones((1, 3), np.float32))[..., None]


def _lightness(pixels_rgb: np.ndarray) -> np.ndarray:
    """L* of (h, w, 3) uint8 as (h, w) uint8, 255 for 100."""
    return np.ascontiguousarray(cv2.cvtColor(pixels_rgb, cv2.COLOR_RGB2LAB)[..., 0])


def _mean_lightness(pixels_rgb: np.ndarray, inside: np.ndarray) -> float:
    """L* 0..100."""
    total = sum(float(_lightness(pixels_rgb[rows])[inside[rows]].sum(dtype=np.int64)) for rows in bands(len(inside)))
    return total / np.count_nonzero(inside) * 100 / 255


def _shades(mean: float, wanted_rgb: tuple[int, int, int]) -> np.ndarray:
    """(256, 3) uint8 RGB: the colour that each lightness (255 for L* 100) takes, `mean` the wanted one."""
    linear = to_linear(np.array(wanted_rgb) / 255)
    target = float(np.clip(_lightness_of(linear @ LUMA), *LIGHTNESS))
    contrast = np.clip((target + 16) / (mean + 16), LEAST_CONTRAST, MOST_CONTRAST)
    change = contrast * (np.arange(256) * 100 / 255 - mean)
    room = np.where(change > 0, 100 - target, target)
    luminance = _luminance_of(target + room * np.tanh(change / room))[:, None]  # the ends are reached by degrees
    hue = linear / (linear @ LUMA) if linear.any() else np.ones(3)  # of luminance 1
    shades = luminance * hue
    over = shades.max(axis=1, keepdims=True)
    paler = np.where(over > 1, (1 - luminance) / np.maximum(over - luminance, 1e-9), 1)  # what is too bright for the
    shades = luminance + paler * (shades - luminance)  # hue goes to white at its own luminance, as on a screen
    return np.rint(255 * _to_srgb(np.clip(shades, 0, 1))).astype(np.uint8)


def _to_srgb(values: np.ndarray) -> np.ndarray:
    return np.where(values <= 0.0031308, values * 12.92, 1.055 * values ** (1 / 2.4) - 0.055)


def _lightness_of(luminance: float) -> float:
    """L* 0..100 of Y 0..1."""
    return 116 * luminance ** (1 / 3) - 16 if luminance > (6 / 29) ** 3 else luminance * (29 / 3) ** 3


def _luminance_of(lightness: np.ndarray) -> np.ndarray:
    """Y 0..1 of L* 0..100."""
    return np.where(lightness > 8, ((lightness + 16) / 116) ** 3, lightness / (29 / 3) ** 3)
