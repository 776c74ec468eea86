"""Pictures on one sheet: tiles side by side, each a title, a picture or two below each other, and lines of text.

Its sizes are its own, not the photo's, so that it reads the same for a thumbnail and for twelve megapixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .tasks import draw

COLUMNS = 5
PICTURE_PX = 480  # the longer side of a tile's pictures
LEAST_TILE_W = 380  # room for the figures beneath a picture that is high and narrow
TITLE_PX, HEADING_PX, TEXT_PX = 30, 22, 17
MARGIN = 28
BACKGROUND = (28, 31, 37)
ERROR: draw.Colour = (255, 150, 130)

# The colours (N, 3) uint8 of a bar, its title, words at its ends, numbers along it: see draw.fill_bar().
Bar = tuple[np.ndarray, str, tuple[str, str], Sequence[str]]


@dataclass(frozen=True)
class Tile:
    """One variant. `pictures`, such as its result and its differences, are (h, w, 3) uint8 and stand below each other,
    as many in every tile; None where it failed."""

    title: str
    pictures: tuple[np.ndarray, ...] | None
    lines: Sequence[str]


def draw_sheet(title: str, words: Sequence[str], tiles: Sequence[Tile], bar: Bar | None) -> np.ndarray:
    """The sheet, (H, W, 3) uint8, in rows of up to 5 tiles.

    Args:
        words: sentences below the title.
        bar: the arguments of draw.fill_bar() that explain the colours; None where nothing was compared.
    """
    rows = max(1, -(-len(tiles) // COLUMNS))
    columns = max(1, -(-len(tiles) // rows))
    pictures = [_fitted(tile.pictures) for tile in tiles]
    picture_hw = next((one[0].shape[:2] for one in pictures if one), (0, 0))
    tile_w = max(LEAST_TILE_W, picture_hw[1])
    width = columns * (tile_w + MARGIN) + MARGIN
    header = [(line, draw.MUTED) for text in words for line in _wrapped(text, TEXT_PX, width - 2 * MARGIN)]
    captions = [[line for text in tile.lines for line in _wrapped(text, TEXT_PX, tile_w)] for tile in tiles]

    text_h, heading_h = round(1.4 * TEXT_PX), round(1.6 * HEADING_PX)
    bar_w, bar_h = draw.bar_size(*bar[1:], TEXT_PX, 220) if bar else (0, 0)
    header_h = MARGIN + round(1.6 * TITLE_PX) + text_h * len(header) + (bar_h + text_h if bar else 0)
    gap = MARGIN // 4
    pictures_h = max((len(one) for one in pictures if one), default=0) * (picture_hw[0] + gap)
    bodies = [
        pictures_h * (stack is not None) + text_h * len(lines) for stack, lines in zip(pictures, captions, strict=True)
    ]
    tile_h = heading_h + max(bodies, default=0) + MARGIN
    canvas = np.full((header_h + MARGIN // 2 + rows * tile_h, width, 3), BACKGROUND, np.uint8)

    _line(canvas, title, (MARGIN, MARGIN), TITLE_PX, draw.WHITE)
    top = MARGIN + round(1.6 * TITLE_PX)
    for text, colour in header:
        _line(canvas, text, (MARGIN, top), TEXT_PX, colour)
        top += text_h
    if bar:
        place = canvas[top + text_h // 2 :, MARGIN:][:bar_h, :bar_w]
        place[:] = draw.PANEL
        draw.fill_bar(place, *bar, TEXT_PX)
    for index, (tile, stack, caption) in enumerate(zip(tiles, pictures, captions, strict=True)):
        left = MARGIN + index % columns * (tile_w + MARGIN)
        top = header_h + MARGIN // 2 + index // columns * tile_h
        place = canvas[top : top + tile_h, left : left + tile_w]
        _line(place, tile.title, (0, 0), HEADING_PX, draw.WHITE)
        top = heading_h
        for picture in stack or ():
            place[top : top + picture.shape[0], : picture.shape[1]] = picture
            top += picture.shape[0] + gap
        for text in caption:
            _line(place, text, (0, top), TEXT_PX, draw.MUTED if stack else ERROR)
            top += text_h
    return canvas


def _fitted(pictures: tuple[np.ndarray, ...] | None) -> tuple[np.ndarray, ...] | None:
    """All with a longer side of PICTURE_PX; small ones grow by whole pixels, so that they show what they are."""
    if pictures is None:
        return None
    height, width = pictures[0].shape[:2]
    ratio = PICTURE_PX / max(height, width)
    size = max(1, round(width * ratio)), max(1, round(height * ratio))
    filter_ = cv2.INTER_NEAREST if ratio > 1 else cv2.INTER_AREA
    return tuple(cv2.resize(picture, size, interpolation=filter_) for picture in pictures)


def _line(canvas: np.ndarray, text: str, xy: tuple[int, int], px: int, colour: draw.Colour) -> None:
    """One line of text, cut off at the right where it does not fit."""
    if xy[1] + draw.text_size(text, px)[1] <= canvas.shape[0]:
        draw.draw_text(canvas[:, xy[0] :], text, (0, xy[1]), px, colour)


def _wrapped(text: str, px: int, width: int) -> list[str]:
    """The text in lines no wider than `width`; a word that is wider stands alone."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and draw.text_size(longer, px)[0] <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
