"""What is written onto the picture of a pose: the joint angles of a person, and one keypoint that is looked for."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .draw import BLACK, PANEL, WHITE, Colour, draw_text, ink_on, text_px, text_size
from .joint_angles import ANGLES, NOTE, angle_deg, corners_of
from .keypoints import readable_name
from .label_places import LabelPlaces, Rectangle

SMALLEST_TEXT_PX = 11
TEXT_SHARE, LEAST_SHARE = 0.8, 0.55  # of the font size of the people's labels
PERSON_SHARE = 1 / 13  # of the side of a person's box: small people get small labels
NAMED = {"neck": "neck", "trunk_lean": "lean"}  # angles that no single joint shows
SHORTEST_LINE = 2  # of an angle that is drawn, by the height of its text
ARC_SHARE = 0.3  # of the shorter line of an angle
SLIM_RAD, SLIM_SHARE = 0.35, 0.6  # a slim angle has its arc farther out
ARC_MARGIN = 0.5  # radians by which a label's middle must pass the end of an arc to come nearer
STEP_DEG = 4
RING_SHARE, DOT_SHARE = 0.75, 0.3  # radii of a highlighted point, by the height of its text
SUBPIXEL_BITS = 4  # of OpenCV's coordinates
AROUND_DEG = (0, 180, 90, -90, 45, -45, 135, -135)  # where a label may stand, by the direction that it had best have
FARTHER = (0.0, 0.7, 1.5, 2.5, 4.0)  # and how much farther out, in heights of the label


def box_side_px(box_xyxy: np.ndarray) -> float:
    """The side of a square as large as the box."""
    return float((box_xyxy[2] - box_xyxy[0]) * (box_xyxy[3] - box_xyxy[1])) ** 0.5


def mark_text_px(photo_hw: tuple[int, int], box_xyxy: np.ndarray) -> int:
    """The font size of a person's marks: that of labels, less for a small person, and never too small to read."""
    usual, by_person = text_px(photo_hw), PERSON_SHARE * box_side_px(box_xyxy)
    return max(SMALLEST_TEXT_PX, round(LEAST_SHARE * usual), round(min(TEXT_SHARE * usual, by_person)))


# ---- joint angles ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AngleMark:
    """An angle as it is drawn: its corners (3, 2) in photo pixels, and what is written in which colour and font size.

    The lines of an axis are no links of the skeleton, and so are drawn too."""

    corners: np.ndarray
    text: str
    is_axis: bool
    colour: Colour
    px: int

    @property
    def shorter(self) -> float:
        """The length in photo pixels of the shorter line."""
        return float(_lengths(self.corners).min())

    def directions(self) -> tuple[float, float]:
        """Where the arc begins and how far it turns, in radians; the shorter way round."""
        (x1, y1), (x2, y2) = self.corners[[0, 2]] - self.corners[1]
        return math.atan2(y1, x1), math.atan2(x1 * y2 - y1 * x2, x1 * x2 + y1 * y2)

    @property
    def is_slim(self) -> bool:
        """Whether its arc would be a dot if it lay near the joint."""
        return abs(self.directions()[1]) < SLIM_RAD

    @property
    def radius(self) -> float:
        """Of the arc, in photo pixels."""
        return (
            SLIM_SHARE * self.shorter if self.is_slim else min(max(ARC_SHARE * self.shorter, self.px / 2), 2 * self.px)
        )

    @property
    def line_width(self) -> int:
        return max(1, round(self.px / 9))


def angle_marks(
    photo_hw: tuple[int, int],
    points_xy: np.ndarray,
    scores: np.ndarray,
    keypoint_threshold: float,
    colour: Colour,
    px: int,
) -> list[AngleMark]:
    """One person's joint angles, of points (308, 2) and scores (308,), to be written in a colour and a font size.

    An angle is left out where its joint lies outside the photo, or where a line of it is so short that the number would
    hide it."""
    height, width = photo_hw
    marks = []
    for name, angle in ANGLES.items():
        corners = corners_of(angle, points_xy, scores, keypoint_threshold)
        if corners is None or not (0 <= corners[1, 0] < width and 0 <= corners[1, 1] < height):
            continue
        degrees = angle_deg(corners)
        if math.isnan(degrees) or _lengths(corners).min() < SHORTEST_LINE * px:
            continue
        if len(corners) == 2:  # a lean: the other line is the vertical, as long as the one that leans
            upright = corners[1] - (0, np.hypot(*(corners[0] - corners[1])))
            corners = np.vstack([corners, upright])
        text = f"{NAMED[name]} {abs(degrees):.0f}°" if name in NAMED else f"{degrees:.0f}°"
        marks.append(AngleMark(corners, text, name in NAMED, colour, px))
    return marks


def draw_angles(picture: np.ndarray, marks: Sequence[AngleMark], places: LabelPlaces) -> None:
    """An arc at each joint and its degrees, in place: all lines first, so that none crosses a number."""
    for mark in marks:
        if mark.is_axis:
            for end in mark.corners[[0, 2]]:
                _stroke(picture, np.stack([mark.corners[1], end]), max(1, mark.line_width // 2))
        start, turn = mark.directions()
        along = start + turn * np.linspace(0, 1, max(2, math.ceil(math.degrees(abs(turn)) / STEP_DEG)) + 1)
        _stroke(picture, mark.corners[1] + mark.radius * np.stack([np.cos(along), np.sin(along)], -1), mark.line_width)
    chosen = []
    for mark in marks:
        start, turn = mark.directions()
        size = _label_size(mark.text, mark.px)
        centre, radius = mark.corners[1], mark.radius
        if mark.is_slim:
            centre, radius = centre + radius * np.array([math.cos(start + turn / 2), math.sin(start + turn / 2)]), 0.0
        candidates = _around(centre, start + turn / 2, radius, abs(turn) / 2, size, mark.px)
        best = places.take(candidates, size)
        chosen.append(candidates[best])
        if best >= len(AROUND_DEG):  # not beside its joint: a line leads to it
            _stroke(picture, np.stack([centre, candidates[best]]), max(1, mark.line_width // 2))
    for mark, middle in zip(marks, chosen, strict=True):
        draw_text(picture, mark.text, tuple(middle), mark.px, mark.colour, PANEL, anchor="mm")


def _lengths(corners: np.ndarray) -> np.ndarray:
    """Of the lines from the vertex, in photo pixels."""
    return np.hypot(*(np.delete(corners, 1, axis=0) - corners[1]).T)


def draw_note(picture: np.ndarray) -> Rectangle:
    """What the angles are and are not, at the bottom of the photo, in place; as large as fits. Returns where."""
    px = text_px(picture.shape[:2])
    while px > 6 and text_size(NOTE, px)[0] > 0.94 * picture.shape[1]:
        px -= 1
    height, width = picture.shape[:2]
    bottom, (note_w, note_h) = height - px // 2, text_size(NOTE, px)
    draw_text(picture, NOTE, (width / 2, bottom), px, WHITE, PANEL, anchor="mb")
    return (width - note_w - px) / 2, bottom - note_h - px / 2, (width + note_w + px) / 2, bottom


def _stroke(picture: np.ndarray, line_xy: np.ndarray, width: int) -> None:
    points = np.rint(line_xy * 2**SUBPIXEL_BITS).astype(np.int32)[:, None]
    for thickness, colour in ((width + max(2, width), BLACK), (width, WHITE)):
        cv2.polylines(picture, [points], False, colour, thickness, cv2.LINE_AA, SUBPIXEL_BITS)


# ---- a keypoint that is looked for ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class HighlightMark:
    """A keypoint at `xy` and where its name stands, both in photo pixels."""

    xy: np.ndarray
    text: str
    text_xy: np.ndarray
    colour: Colour
    px: int


def highlight_mark(
    photo_hw: tuple[int, int], xy: np.ndarray, index: int, score: float, colour: Colour, px: int, places: LabelPlaces
) -> HighlightMark | None:
    """One keypoint, with its name and score beside it, for which a place is taken. None where it lies outside the photo
    or nowhere: at a score of 0 or less."""
    xy = np.asarray(xy, np.float64)
    if not (score > 0 and 0 <= xy[0] < photo_hw[1] and 0 <= xy[1] < photo_hw[0]):
        return None
    text = f"{readable_name(index)} {score:.2f}"
    size, reach = _label_size(text, px), RING_SHARE * px + _ring_width(px)
    candidates = _around(xy, 0.0, reach, math.pi, size, px)
    chosen = candidates[places.take(candidates, size)]
    places.taken.append((*(xy - reach), *(xy + reach)))
    return HighlightMark(xy, text, chosen, colour, px)


def draw_highlight(picture: np.ndarray, mark: HighlightMark) -> None:
    """The keypoint large, with a ring about it and its name, in place."""
    centre = tuple(int(v) for v in np.rint(mark.xy * 2**SUBPIXEL_BITS))
    line = _ring_width(mark.px)
    for radius, thickness, ink in (
        (RING_SHARE * mark.px, 3 * line, BLACK),
        (RING_SHARE * mark.px, line, WHITE),
        (DOT_SHARE * mark.px + max(1, mark.px / 12), cv2.FILLED, BLACK),
        (DOT_SHARE * mark.px, cv2.FILLED, mark.colour),
    ):
        cv2.circle(picture, centre, round(radius * 2**SUBPIXEL_BITS), ink, thickness, cv2.LINE_AA, SUBPIXEL_BITS)
    draw_text(picture, mark.text, tuple(mark.text_xy), mark.px, ink_on(mark.colour), mark.colour, anchor="mm")


def _ring_width(px: int) -> int:
    return max(2, round(px / 6))


# ---- where labels may stand -----------------------------------------------------------------------------------------


def _label_size(text: str, px: int) -> tuple[float, float]:
    """(width, height) of a text with the box behind it."""
    width, height = text_size(text, px)
    return width + px / 2, height + px / 4


def _around(
    centre_xy: np.ndarray, wanted: float, radius: float, spread: float, size_wh: tuple[float, float], px: int
) -> np.ndarray:
    """(N, 2) middles for a label of `size_wh` about an arc, those in the wanted direction and near first.

    Args:
        wanted: the direction of the arc's middle, in radians.
        radius: of the arc, in photo pixels.
        spread: to how far from `wanted` the arc reaches, in radians; farther off a label may come nearer.
    """
    places = []
    for farther in FARTHER:
        for turned in np.radians(AROUND_DEG):
            direction = np.array([math.cos(wanted + turned), math.sin(wanted + turned)])
            # How far the middle of a rectangle lies from where a ray from it leaves it.
            half = min(size_wh[0] / 2 / max(1e-9, abs(direction[0])), size_wh[1] / 2 / max(1e-9, abs(direction[1])))
            beside = radius if abs(turned) <= spread + ARC_MARGIN else min(radius, 0.4 * px)
            places.append(centre_xy + direction * (beside + 0.3 * px + half + farther * size_wh[1]))
    return np.array(places)
