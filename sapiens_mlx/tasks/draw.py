"""What the pictures of all tasks share: text, legends, colour bars, blending. RGB uint8, sizes in proportion.

Panels (legend, colour bar) are drawn small and blended into the one place they cover.
"""

import math
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from ..errors import SapiensError
from .agreement import BAND_ROWS, bands

Colour = tuple[int, int, int]

STYLES = ("readme", "reference")
WHITE: Colour = (255, 255, 255)
BLACK: Colour = (0, 0, 0)
GREY: Colour = (100, 100, 100)  # what the reference puts outside people
PANEL: Colour = (18, 20, 24)  # behind legends, at PANEL_OPACITY
PANEL_OPACITY = 0.72
PANEL_SHARE = 0.7  # a panel that would take more of the width is left out: it would hide the picture
LEGEND_SHARE = 0.75  # of the height, at most
MUTED: Colour = (200, 204, 210)  # second column of a legend, ticks of a colour bar
HEAT_FIRST = 30  # of matplotlib's inferno: the colours before it look black, and no difference must be seen as such
DIMMED = 0.35  # of the photo's brightness, under a heat map


# ---- sizes ----------------------------------------------------------------------------------------------------------


def line_width_px(photo_hw: tuple[int, int]) -> int:
    """A line that reads the same at every size: 1 px at 400 x 300, 9 px at 12 megapixels."""
    return max(1, round((photo_hw[0] * photo_hw[1]) ** 0.5 / 400))


def text_px(photo_hw: tuple[int, int]) -> int:
    """The font size of labels: 11 px at 400 x 300 (the smallest that reads), 77 px at 12 megapixels."""
    return max(11, round((photo_hw[0] * photo_hw[1]) ** 0.5 / 45))


def check_size(name: str, size_px: float | None, whole: str = "photo") -> None:
    """SapiensError for a size, such as a "line width", that is neither above 0 nor None, which follows the `whole`."""
    if size_px is not None and not 0 < size_px < math.inf:
        raise SapiensError(f"The {name} is {size_px}. Give a number of pixels above 0, or none to fit the {whole}.")


@cache
def _font(px: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans out of matplotlib's package, found without importing matplotlib."""
    package: Any = find_spec("matplotlib")
    fonts = Path(package.origin).parent / "mpl-data/fonts/ttf"
    return ImageFont.truetype(str(fonts / "DejaVuSans.ttf"), px)


def text_size(text: str, px: int) -> tuple[int, int]:
    """(width, height) in pixels of one line at font size `px`. The height depends on `px` alone."""
    return int(np.ceil(_font(px).getlength(text))), sum(_font(px).getmetrics())


def rgb_of(colour: str | Sequence[int] | np.ndarray) -> Colour:
    """RGB 0..255 of "#rrggbb", a name as in CSS, or three numbers 0..255. SapiensError for what is no colour."""
    try:
        values = ImageColor.getrgb(colour)[:3] if isinstance(colour, str) else tuple(int(value) for value in colour)
    except (OverflowError, TypeError, ValueError):
        values = ()
    if len(values) != 3 or not all(0 <= value <= 255 for value in values):
        raise SapiensError(f"{colour!r} is not a colour. Give #rrggbb, its name, or three numbers from 0 to 255.")
    return values


def ink_on(colour: Colour) -> Colour:
    """Black or white, whichever reads better on `colour` (luma of Rec. 601)."""
    return BLACK if 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 140 else WHITE


# ---- text -----------------------------------------------------------------------------------------------------------


def draw_text(
    image_rgb: np.ndarray,
    text: str,
    xy: tuple[float, float],
    px: int,
    colour: Colour,
    background: Colour | None = None,
    anchor: str = "lt",
) -> None:
    """Write one line into `image_rgb` (H, W, 3) uint8, in place; moved inside the picture where it would leave it.

    Args:
        xy: the point, in pixels, that the anchor lies on.
        px: font size.
        background: colour of a box behind the text, None for none; the box is then what is anchored.
        anchor: which point of the text `xy` is: l, m or r (left, middle, right), then t, m or b (top, middle, bottom).
    """
    width, height = text_size(text, px)
    pad = 0 if background is None else max(2, round(0.25 * px))
    box_w, box_h = width + 2 * pad, height + pad  # ascent and descent already leave room above and below
    left = round(xy[0] - {"l": 0, "m": box_w / 2, "r": box_w}[anchor[0]])
    top = round(xy[1] - {"t": 0, "m": box_h / 2, "b": box_h}[anchor[1]])
    left = max(0, min(left, image_rgb.shape[1] - box_w))
    top = max(0, min(top, image_rgb.shape[0] - box_h))
    place = image_rgb[top : top + box_h, left : left + box_w]
    if background is not None:
        place[:] = background
    ink = Image.new("L", (box_w, box_h))
    ImageDraw.Draw(ink).text((pad, pad // 2), text, 255, _font(px))
    _mix(place, colour, np.asarray(ink, np.float32)[: place.shape[0], : place.shape[1]] / 255)


def _mix(place: np.ndarray, colour: np.ndarray | Colour, alpha: np.ndarray) -> None:
    """Lay `colour` over `place` (h, w, 3) uint8, in place, with the coverage `alpha` (h, w) 0..1."""
    weight = alpha[..., None]
    place[:] = np.rint(place * (1 - weight) + np.asarray(colour, np.float32) * weight).astype(np.uint8)


# ---- whole pictures -------------------------------------------------------------------------------------------------


def is_reference(style: str) -> bool:
    """Whether a picture is drawn as the reference draws it; False for "readme". SapiensError for any other style."""
    if style not in STYLES:
        raise SapiensError(f"There is no picture style {style!r}. Choose one of: {', '.join(STYLES)}.")
    return style == "reference"


def backdrop(photo_rgb: np.ndarray | None, default_rgb: np.ndarray) -> np.ndarray:
    """The photo to draw on: `photo_rgb`, or `default_rgb` for None. SapiensError where their sizes differ."""
    if photo_rgb is None:
        return default_rgb
    if photo_rgb.shape != default_rgb.shape or photo_rgb.dtype != np.uint8:
        raise SapiensError(
            f"The photo to draw on is {photo_rgb.shape} {photo_rgb.dtype}, but the result belongs to one of "
            f"{default_rgb.shape} uint8. Pass the photo that the result was made from, or none."
        )
    return photo_rgb


def blend(photo_rgb: np.ndarray, picture_rgb: np.ndarray, opacity: float) -> np.ndarray:
    """photo * (1 - opacity) + picture * opacity, as a new (H, W, 3) uint8."""
    return cv2.addWeighted(photo_rgb, 1 - opacity, picture_rgb, opacity, 0)


def side_by_side(photo_rgb: np.ndarray, picture_rgb: np.ndarray) -> np.ndarray:
    """The photo left of the picture with a narrow white gap, a new (H, W + gap + W, 3) uint8, heights made equal."""
    height = photo_rgb.shape[0]
    if picture_rgb.shape[0] != height:
        width = max(1, round(picture_rgb.shape[1] * height / picture_rgb.shape[0]))
        picture_rgb = cv2.resize(picture_rgb, (width, height), interpolation=cv2.INTER_AREA)
    gap = np.full((height, 2 * line_width_px(photo_rgb.shape[:2]), 3), 255, np.uint8)
    return np.hstack([photo_rgb, gap, picture_rgb])


def checkerboard(size_hw: tuple[int, int]) -> np.ndarray:
    """The pattern that stands for transparency, light grey on white, (H, W, 3) uint8."""
    cell = max(6, round((size_hw[0] * size_hw[1]) ** 0.5 / 60))
    odd_row = (np.arange(size_hw[0]) // cell % 2).astype(np.uint8)[:, None]
    odd_column = (np.arange(size_hw[1]) // cell % 2).astype(np.uint8)[None]
    return cv2.cvtColor(255 - 34 * (odd_row ^ odd_column), cv2.COLOR_GRAY2RGB)


def cut_to(picture_rgb: np.ndarray, person_mask: np.ndarray | None, background: Colour) -> np.ndarray:
    """`picture_rgb` itself, from now on of one colour outside `person_mask` (H, W) bool, where there is a mask."""
    if person_mask is not None:
        canvas = np.full((BAND_ROWS, person_mask.shape[1], 3), background, np.uint8)
        for rows in bands(len(person_mask)):
            place = picture_rgb[rows]
            outside = np.logical_not(person_mask[rows], order="C")
            cv2.copyTo(canvas[: len(place)], outside.view(np.uint8), place)
    return picture_rgb


def colourise(indices: np.ndarray, colours_rgb: np.ndarray) -> np.ndarray:
    """(H, W) uint8 through a table of up to 256 colours (N, 3) uint8, as (H, W, 3) uint8."""
    table = np.zeros((256, 1, 3), np.uint8)
    table[: len(colours_rgb), 0] = colours_rgb
    return cv2.applyColorMap(indices, table)


def _heat_rgb() -> np.ndarray:
    """(256, 3) uint8: inferno, whose steps look equally large, from dark violet to light yellow."""
    inferno = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_INFERNO)[:, 0, ::-1]
    return inferno[np.rint(np.linspace(HEAT_FIRST, 255, 256)).astype(int)]


HEAT_RGB = _heat_rgb()


def heat_map(photo_rgb: np.ndarray, values: np.ndarray, full_scale: float, *, widen: bool = False) -> np.ndarray:
    """Values in colours over the dimmed grey photo, a new (H, W, 3) uint8.

    The photo shines through where values are low and is gone where they are high, so that high colours are exact.

    Args:
        values: (H, W) float32 >= 0; NaN shows the photo alone.
        full_scale: the value that takes the last colour, and all above it.
        widen: grow high values by the width of a line, or single pixels would be lost in a large photo.
    """
    indices: np.ndarray = np.empty(values.shape, np.uint8)
    step = np.float32(255 / full_scale)
    for rows in bands(len(values)):
        indices[rows] = np.rint(np.minimum(np.nan_to_num(values[rows] * step), 255))
    if widen:
        indices = cv2.dilate(indices, np.ones((line_width_px(values.shape),) * 2, np.uint8))
    dimmed = cv2.cvtColor(photo_rgb, cv2.COLOR_RGB2GRAY)
    shining = cv2.multiply(dimmed, 255 - indices, scale=DIMMED / 255)
    picture = cv2.add(colourise(indices, HEAT_RGB), cv2.cvtColor(shining, cv2.COLOR_GRAY2RGB))
    nowhere = np.isnan(values)
    if nowhere.any():
        alone = cv2.cvtColor(cv2.convertScaleAbs(dimmed, alpha=DIMMED), cv2.COLOR_GRAY2RGB)
        cv2.copyTo(alone, nowhere.view(np.uint8), picture)
    return picture


# ---- panels ---------------------------------------------------------------------------------------------------------


def legend(image_rgb: np.ndarray, entries: Sequence[tuple[Colour, str, str]], busy: np.ndarray | None = None) -> None:
    """A list of colours with their names in one corner of `image_rgb`, in place.

    Args:
        entries: (colour, name, value) by falling importance; what finds no room is counted in a last line.
        busy: (H, W) bool, what the panel should rather not cover; it takes the corner with the least of it.
    """
    if not entries:
        return
    height, width = image_rgb.shape[:2]
    px = max(9, min(text_px((height, width)), round(LEGEND_SHARE * height / (1.35 * (len(entries) + 1)))))
    row = round(1.35 * px)
    room = max(1, int(LEGEND_SHARE * height) // row - 1)
    left_out = max(0, len(entries) - room)
    if left_out:
        left_out += 1  # the line that says so takes a row too
    shown = entries[: len(entries) - left_out]
    names_w = max([text_size(name, px)[0] for _, name, _ in shown], default=0)
    values_w = max([text_size(value, px)[0] for _, _, value in shown], default=0)
    more = f"+ {left_out} more" if left_out else ""
    inner_w = max(row + names_w + (px if values_w else 0) + values_w, text_size(more, px)[0])
    panel_w, panel_h = inner_w + px, row * (len(shown) + bool(more)) + px // 2
    if panel_w > PANEL_SHARE * width or panel_h > LEGEND_SHARE * height or not shown:
        return
    place = _open_panel(image_rgb, panel_w, panel_h, px, busy)
    swatch = round(0.8 * px)
    left = px // 2
    for index, (colour, name, value) in enumerate(shown):
        middle = px // 4 + row * index + row // 2
        top = round(middle - swatch / 2)
        _mix(place[top : top + swatch, left : left + swatch], colour, _rounded(swatch, swatch, 0.22 * swatch))
        draw_text(place, name, (left + row, middle), px, WHITE, anchor="lm")
        draw_text(place, value, (panel_w - left, middle), px, MUTED, anchor="rm")
    if more:
        draw_text(place, more, (left, panel_h - px // 4 - row // 2), px, MUTED, anchor="lm")


def colour_bar(
    image_rgb: np.ndarray,
    colours_rgb: np.ndarray,
    title: str,
    ends: tuple[str, str],
    values: Sequence[str],
    busy: np.ndarray | None = None,
) -> None:
    """What the colours of a picture mean, as a bar in one corner of `image_rgb`, in place.

    Args:
        colours_rgb: (N, 3) uint8 from the left end to the right.
        ends: words above the two ends, such as ("near", "far"); `title` stands between them.
        values: labels below, evenly spread from end to end.
        busy: as for legend().
    """
    height, width = image_rgb.shape[:2]
    px = text_px((height, width))
    panel_w, panel_h = bar_size(title, ends, values, px, round(0.3 * width))
    if panel_w > PANEL_SHARE * width or panel_h > PANEL_SHARE * height:
        return
    fill_bar(_open_panel(image_rgb, panel_w, panel_h, px, busy), colours_rgb, title, ends, values, px)


def bar_size(title: str, ends: tuple[str, str], values: Sequence[str], px: int, least_w: int = 0) -> tuple[int, int]:
    """(width, height) of the panel of a colour bar at font size `px`, whose bar is at least `least_w` wide."""
    line = text_size("0", px)[1]
    words_w = sum(text_size(word, px)[0] for word in (*ends, title)) + 3 * px
    values_w = sum(text_size(value, px)[0] for value in values) + (len(values) + 1) * px
    return max(words_w, values_w, least_w) + 2 * px, 2 * line + 2 * px


def fill_bar(
    place: np.ndarray, colours_rgb: np.ndarray, title: str, ends: tuple[str, str], values: Sequence[str], px: int
) -> None:
    """Draw a colour bar, as for colour_bar(), into a panel (h, w, 3) uint8 of bar_size(), in place."""
    panel_w, line = place.shape[1], text_size("0", px)[1]
    bar_w, top = panel_w - 2 * px, px // 2
    draw_text(place, ends[0], (px, top), px, WHITE)
    draw_text(place, title, (panel_w / 2, top), px, MUTED, anchor="mt")
    draw_text(place, ends[1], (panel_w - px, top), px, WHITE, anchor="rt")
    steps = np.rint(np.linspace(0, len(colours_rgb) - 1, bar_w)).astype(int)
    bar_h = round(0.75 * px)
    bar_top = top + line + px // 8
    rim = max(1, px // 16)
    frame = place[bar_top - rim : bar_top + bar_h + rim, px - rim : px + bar_w + rim]
    _mix(frame, MUTED, 0.5 * _rounded(bar_h + 2 * rim, bar_w + 2 * rim, 0.2 * px + rim))
    _mix(place[bar_top : bar_top + bar_h, px : px + bar_w], colours_rgb[steps], _rounded(bar_h, bar_w, 0.2 * px))
    for index, value in enumerate(values):
        along = index / max(1, len(values) - 1)
        anchor = ("l" if index == 0 else "r" if index == len(values) - 1 else "m") + "t"
        draw_text(place, value, (px + along * bar_w, bar_top + bar_h + rim), px, WHITE, anchor=anchor)


def _open_panel(image_rgb: np.ndarray, panel_w: int, panel_h: int, px: int, busy: np.ndarray | None) -> np.ndarray:
    """Darken the place of a panel in the quietest corner and return it as a view to draw into."""
    height, width = image_rgb.shape[:2]
    margin = min(px // 2, (height - panel_h) // 2, (width - panel_w) // 2)
    corners = [
        (slice(top, top + panel_h), slice(left, left + panel_w))
        for left in (margin, width - panel_w - margin)
        for top in (height - panel_h - margin, margin)
    ]
    corner = corners[0] if busy is None else min(corners, key=lambda place: np.count_nonzero(busy[place]))
    place = image_rgb[corner]
    _mix(place, PANEL, PANEL_OPACITY * _rounded(panel_h, panel_w, 0.4 * px))
    return place


def _rounded(height: int, width: int, radius: float) -> np.ndarray:
    """Coverage (height, width) 0..1 of a rectangle with round, antialiased corners."""
    y = np.abs(np.arange(height, dtype=np.float32) + 0.5 - height / 2) - (height / 2 - radius)
    x = np.abs(np.arange(width, dtype=np.float32) + 0.5 - width / 2) - (width / 2 - radius)
    outside = np.hypot(np.maximum(y, 0)[:, None], np.maximum(x, 0)[None])
    return np.clip(radius - outside + 0.5, 0, 1)
