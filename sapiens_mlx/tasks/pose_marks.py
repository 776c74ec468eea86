"""What is written onto the picture of a pose: the joint angles of a person, and one keypoint that is looked for."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from .draw import BLACK, PANEL, WHITE, Colour, draw_text, ink_on, text_px, text_size
from .joint_angles import ANGLES, NOTE, angle_deg, corners_of
from .keypoints import readable_name
from .label_places import LabelPlaces, Rectangle

SMALLEST_TEXT_PX = 11
TEXT_SHARE = 0.8  # of the font size of the people's labels
PERSON_SHARE = 1 / 13  # of the side of a person's box: small people get small labels
NAMED = {"neck": "neck", "trunk_lean": "lean"}  # angles that no single joint shows
ARC_SHARE = 0.3  # of the shorter line of an angle
STEP_DEG = 4
SUBPIXEL_BITS = 4  # of OpenCV's coordinates
AROUND_DEG = (0, 180, 90, -90, 45, -45, 135, -135)  # where a label may stand, by the direction that it had best have
FARTHER = (0.0, 0.7, 1.5, 2.5, 4.0)  # and how much farther out, in heights of the label


def mark_text_px(photo_hw: tuple[int, int], box_xyxy: np.ndarray) -> int:
    """The font size of a person's marks: that of labels, less for a small person, and never too small to read."""
    side = float((box_xyxy[2] - box_xyxy[0]) * (box_xyxy[3] - box_xyxy[1])) ** 0.5
    return max(SMALLEST_TEXT_PX, round(min(TEXT_SHARE * text_px(photo_hw), PERSON_SHARE * side)))


# ---- joint angles ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Mark:
    """An angle as it is drawn: its corners (3, 2), the middle direction of its arc, and what is written."""

    corners: np.ndarray
    text: str
    is_axis: bool  # the lines are no links of the skeleton, and so are drawn


def draw_angles(
    picture: np.ndarray,
    points_xy: np.ndarray,
    scores: np.ndarray,
    keypoint_threshold: float,
    px: int,
    places: LabelPlaces,
) -> None:
    """One person's joint angles in place: an arc at each joint and its degrees. Points are (308, 2), scores (308,).

    An angle whose joint lies outside the photo is left out."""
    marks = _marks(picture, points_xy, scores, keypoint_threshold)
    width = max(1, round(px / 9))
    reaches = [_arc(picture, mark, px, width) for mark in marks]
    for mark, reach in zip(marks, reaches, strict=True):
        size = text_size(mark.text, px)
        middle = math.degrees(_middle_direction(mark.corners))
        candidates = _around(mark.corners[1], middle, reach, (size[0] + px / 2, size[1]), px)
        chosen = candidates[places.take(candidates, (size[0] + px / 2, size[1]))]
        draw_text(picture, mark.text, tuple(chosen), px, WHITE, PANEL, anchor="mm")


def draw_note(picture: np.ndarray) -> Rectangle:
    """What the angles are and are not, at the bottom of the photo, in place; as large as fits. Returns where."""
    px = text_px(picture.shape[:2])
    while px > 6 and text_size(NOTE, px)[0] > 0.94 * picture.shape[1]:
        px -= 1
    height, width = picture.shape[:2]
    bottom, (note_w, note_h) = height - px // 2, text_size(NOTE, px)
    draw_text(picture, NOTE, (width / 2, bottom), px, WHITE, PANEL, anchor="mb")
    return (width - note_w - px) / 2, bottom - note_h - px / 2, (width + note_w + px) / 2, bottom


def _marks(picture: np.ndarray, points_xy: np.ndarray, scores: np.ndarray, keypoint_threshold: float) -> list[_Mark]:
    height, width = picture.shape[:2]
    marks = []
    for name, angle in ANGLES.items():
        corners = corners_of(angle, points_xy, scores, keypoint_threshold)
        if corners is None or not (0 <= corners[1, 0] < width and 0 <= corners[1, 1] < height):
            continue
        degrees = angle_deg(corners)
        if math.isnan(degrees):
            continue
        if len(corners) == 2:  # a lean: the other line is the vertical, as long as the one that leans
            upright = corners[1] - (0, np.hypot(*(corners[0] - corners[1])))
            corners = np.vstack([corners, upright])
        text = f"{NAMED[name]} {abs(degrees):.0f}°" if name in NAMED else f"{degrees:.0f}°"
        marks.append(_Mark(corners, text, name in NAMED))
    return marks


def _directions(corners: np.ndarray) -> tuple[float, float]:
    """Where the arc begins and how far it turns, in radians; the shorter way round."""
    (x1, y1), (x2, y2) = corners[[0, 2]] - corners[1]
    start = math.atan2(y1, x1)
    turn = math.atan2(x1 * y2 - y1 * x2, x1 * x2 + y1 * y2)
    return start, turn


def _middle_direction(corners: np.ndarray) -> float:
    start, turn = _directions(corners)
    return start + turn / 2


def _arc(picture: np.ndarray, mark: _Mark, px: int, width: int) -> float:
    """Draw the arc, white with a black edge, and for an axis its lines. Returns its radius in pixels."""
    lengths = np.hypot(*(mark.corners[[0, 2]] - mark.corners[1]).T)
    radius = float(np.clip(ARC_SHARE * lengths.min(), 0.5 * px, 2.0 * px))
    start, turn = _directions(mark.corners)
    if mark.is_axis:
        for end in mark.corners[[0, 2]]:
            _stroke(picture, np.stack([mark.corners[1], end]), max(1, width // 2))
        radius = float(np.clip(0.6 * lengths.min(), 0.5 * px, 6.0 * px))
    steps = max(2, math.ceil(math.degrees(abs(turn)) / STEP_DEG))
    along = start + turn * np.linspace(0, 1, steps + 1)
    _stroke(picture, mark.corners[1] + radius * np.stack([np.cos(along), np.sin(along)], -1), width)
    return radius


def _stroke(picture: np.ndarray, line_xy: np.ndarray, width: int) -> None:
    points = np.rint(line_xy * 2**SUBPIXEL_BITS).astype(np.int32)[:, None]
    for thickness, colour in ((width + max(2, width), BLACK), (width, WHITE)):
        cv2.polylines(picture, [points], False, colour, thickness, cv2.LINE_AA, SUBPIXEL_BITS)


# ---- a keypoint that is looked for ----------------------------------------------------------------------------------


def draw_highlight(
    picture: np.ndarray, xy: np.ndarray, index: int, score: float, colour: Colour, px: int, places: LabelPlaces
) -> None:
    """One keypoint large, with a ring about it and its name and score beside it, in place.

    Nothing where it lies outside the photo."""
    height, width = picture.shape[:2]
    if not (np.isfinite(xy).all() and 0 <= xy[0] < width and 0 <= xy[1] < height):
        return
    ring = 0.75 * px
    line = max(2, round(px / 6))
    centre = tuple(int(v) for v in np.rint(np.asarray(xy, np.float64) * 2**SUBPIXEL_BITS))
    for radius, thickness, ink in (
        (ring, 2 * line + line, BLACK),
        (ring, line, WHITE),
        (0.3 * px + max(1, px / 12), -1, BLACK),
        (0.3 * px, -1, colour),
    ):
        cv2.circle(picture, centre, round(radius * 2**SUBPIXEL_BITS), ink, thickness, cv2.LINE_AA, SUBPIXEL_BITS)
    text = f"{readable_name(index)} {score:.2f}"
    size = text_size(text, px)
    box = size[0] + px / 2, size[1] + px / 4
    candidates = _around(np.asarray(xy, np.float64), 0.0, ring + line, box, px)
    chosen = candidates[places.take(candidates, box)]
    draw_text(picture, text, tuple(chosen), px, ink_on(colour), colour, anchor="mm")


def _around(
    centre_xy: np.ndarray, wanted_deg: float, radius: float, size_wh: tuple[float, float], px: int
) -> np.ndarray:
    """(N, 2) middles for a label of `size_wh` about a circle, those in the wanted direction and near first."""
    places = []
    for farther in FARTHER:
        for turned in AROUND_DEG:
            away = math.radians(wanted_deg + turned)
            direction = np.array([math.cos(away), math.sin(away)])
            # How far the middle of a rectangle lies from where a ray from it leaves it.
            half = min(size_wh[0] / 2 / max(1e-9, abs(direction[0])), size_wh[1] / 2 / max(1e-9, abs(direction[1])))
            places.append(centre_xy + direction * (radius + 0.3 * px + half + farther * size_wh[1]))
    return np.array(places)
