"""Hands over the photo: shaded meshes, a skeleton in the colours of the fingers, labels in those of the sides."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from .. import zoo
from ..errors import SapiensError
from . import draw
from .hands_mesh import FARTHEST_PX, SIDE_RGB, SUBPIXEL_BITS, normals, paint, shade

if TYPE_CHECKING:
    from .hands import HandsResult

FINGER_RGB = ((232, 72, 85), (245, 176, 65), (88, 196, 108), (64, 156, 255), (186, 104, 235))  # thumb to little finger
PALM_RGB = (226, 232, 240)
CLOSE_UP_PX = 512
CLOSE_UP_MARGIN = 1.25  # of the square about a hand's points
WIDTH_SHARE = 1 / 60  # of a bone, by the side of its hand's box


def hands_picture(
    photo_rgb: np.ndarray,
    result: "HandsResult",
    *,
    mesh: bool = True,
    opacity: float = zoo.DEFAULTS.mesh_opacity,
    skeleton: bool = True,
    labels: bool = True,
    line_width: float | None = None,
) -> np.ndarray:
    """A new (H, W, 3) uint8.

    Args:
        mesh: whether the shaded meshes are drawn, where the result has them.
        opacity: of the meshes, 0..1; the skeleton lies over them, or below where they are opaque.
        labels: "left 0.93" beside each hand, in the colour of its side.
        line_width: of bones, in photo pixels; None: in proportion to each hand.

    Raises:
        SapiensError: for an opacity that is none, or a line width that is not above 0.
    """
    if not 0 <= opacity <= 1:
        raise SapiensError(f"The opacity is {opacity}. Give a number from 0 to 1.")
    draw.check_size("line width", line_width, "hand")
    picture = photo_rgb.copy()
    meshes = None if not mesh or result.vertices is None else result.project(result.vertices)
    _draw(picture, result, range(len(result)), result.keypoints_xy, meshes, opacity, skeleton, line_width)
    if labels:
        _label(picture, result)
    return picture


def close_ups(
    photo_rgb: np.ndarray,
    result: "HandsResult",
    *,
    px: int = CLOSE_UP_PX,
    mesh: bool = True,
    opacity: float = zoo.DEFAULTS.mesh_opacity,
    skeleton: bool = True,
) -> list[tuple[np.ndarray, str]]:
    """Each hand in a square of its own, (px, px, 3) uint8, drawn at that size, and words such as "1: left hand, 0.93".

    Args:
        mesh, opacity, skeleton: as of hands_picture().
    """
    found = []
    meshes = None if not mesh or result.vertices is None else result.project(result.vertices)
    for number, side in enumerate(result.sides):
        points = result.keypoints_xy[number]
        around = points if meshes is None else meshes[number]
        square, moved = square_about(photo_rgb, around, px)
        own_mesh = None if meshes is None else moved(meshes)
        _draw(square, result, [number], moved(result.keypoints_xy), own_mesh, opacity, skeleton, px * WIDTH_SHARE)
        found.append((square, f"{number + 1}: {side} hand, {result.scores[number]:.2f}"))
    return found


def square_about(
    photo_rgb: np.ndarray, points_xy: np.ndarray, px: int
) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """The part of a photo around points (N, 2), as (px, px, 3) uint8, and what takes photo pixels (..., 2) there."""
    low, high = np.clip(np.stack([points_xy.min(0), points_xy.max(0)]), -1e5, 1e5)
    middle, reach = (low + high) / 2, max(8.0, CLOSE_UP_MARGIN * float((high - low).max()))
    scale, shift = np.float32(px / reach), np.float32(px / 2 - px / reach * middle)
    source, steps, first = photo_rgb, np.ones(2), np.zeros(2)
    if scale < 1:
        source, steps, first = _shrunk(photo_rgb, middle - reach / 2, middle + reach / 2, float(scale))
    way = np.column_stack([np.diag(scale * steps), scale * first + shift])
    square = cv2.warpAffine(source, way, (px, px), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT)
    return square, lambda xy: xy * scale + shift


def _shrunk(
    photo_rgb: np.ndarray, low_xy: np.ndarray, high_xy: np.ndarray, scale: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The part of a photo between two of its places (2,) at about `scale`, below 1, as means of its pixels, where
    warpAffine would pass over some. With it (2,) how far apart its pixels lie in the photo, and (2,) where its first
    one does."""
    size = np.array(photo_rgb.shape[1::-1])
    begin = np.clip(np.floor(low_xy), 0, size - 1).astype(int)
    end = np.clip(np.ceil(high_xy) + 1, begin + 1, size).astype(int)
    part = photo_rgb[begin[1] : end[1], begin[0] : end[0]]
    shrunk = np.maximum(1, np.rint((end - begin) * scale)).astype(int)
    steps = (end - begin) / shrunk
    return cv2.resize(part, shrunk.tolist(), interpolation=cv2.INTER_AREA), steps, begin + (steps - 1) / 2


def _draw(
    picture: np.ndarray,
    result: "HandsResult",
    which: Sequence[int],
    points_xy: np.ndarray,
    meshes_xy: np.ndarray | None,
    opacity: float,
    skeleton: bool,
    line_width: float | None,
) -> None:
    """Hands by their numbers into a picture, in place, far ones first."""
    far_first = sorted(which, key=lambda number: -float(result.translations_mm[number, 2]))
    if result.vertices is not None and meshes_xy is not None and opacity > 0 and len(far_first):
        from .hands_files import faces_of

        painted = picture.copy()
        for number in far_first:
            vertices, faces = result.vertices[number], faces_of(result, number)
            colour = np.array(SIDE_RGB[result.sides[number]], np.float32)
            paint(painted, meshes_xy[number], vertices[:, 2], faces, shade(normals(vertices, faces), colour))
        picture[:] = draw.blend(picture, painted, opacity)
    if skeleton:
        for number in far_first:
            size = float((result.boxes_xyxy[number, 2:] - result.boxes_xyxy[number, :2]).max())
            width = line_width or max(1.5, size * WIDTH_SHARE)
            draw_bones(picture, points_xy[number], SIDE_RGB[result.sides[number]], width)


def draw_bones(
    picture: np.ndarray, points_xy: np.ndarray, side_rgb: draw.Colour, width: float, shown: np.ndarray | None = None
) -> None:
    """One skeleton, in place: bones in the colours of the fingers, joints with a rim in that of the side.

    Args:
        points_xy: (21, 2) pixels.
        width: of bones, in pixels.
        shown: (21,) bool, which joints are drawn; a bone is where both its ends are. None for all.
    """
    from .hands import LINKS

    shown = np.ones(len(points_xy), bool) if shown is None else shown
    points_xy = np.where(shown[:, None], points_xy, 0)
    if not np.isfinite(points_xy).all() or np.abs(points_xy).max() > FARTHEST_PX:
        return
    fixed = np.rint(points_xy * 2**SUBPIXEL_BITS).astype(int)
    for thickness, colour in ((width + max(2.0, width / 2), draw.BLACK), (width, None)):
        for index, (a, b) in enumerate(LINKS):
            if not (shown[a] and shown[b]):
                continue
            ink = colour or FINGER_RGB[index // 4]
            cv2.line(
                picture, fixed[a].tolist(), fixed[b].tolist(), ink, max(1, round(thickness)), cv2.LINE_AA, SUBPIXEL_BITS
            )
    for index, point in enumerate(fixed):
        if not shown[index]:
            continue
        ink = PALM_RGB if index == 0 else FINGER_RGB[(index - 1) // 4]
        for radius, colour in ((1.3 * width, side_rgb), (0.8 * width, ink)):
            centre, fixed_radius = point.tolist(), max(1, round(radius * 2**SUBPIXEL_BITS))
            cv2.circle(picture, centre, fixed_radius, colour, cv2.FILLED, cv2.LINE_AA, SUBPIXEL_BITS)


def _label(picture: np.ndarray, result: "HandsResult") -> None:
    """Which hand it is and how sure, above its box, in place."""
    photo_hw = picture.shape[:2]
    px = draw.text_px(photo_hw)
    height = draw.text_size("0", px)[1]
    for number in reversed(range(len(result))):  # the surest last, over the others
        side = result.sides[number]
        left, top = result.boxes_xyxy[number, :2]
        text = f"{side} {result.scores[number]:.2f}"
        at = (float(np.clip(left, 0, photo_hw[1])), float(np.clip(top - 1.5 * height, 0, photo_hw[0])))
        draw.draw_text(picture, text, at, px, draw.ink_on(SIDE_RGB[side]), SIDE_RGB[side])


def mark_shifts(
    values: np.ndarray, points_xy: np.ndarray, shifts: np.ndarray, links: Sequence[tuple[int, int]], size_px: float
) -> None:
    """How far points moved, on the bones of a hand, in place; what moved most lies on top.

    Args:
        values: (H, W) float32.
        points_xy, shifts: (21, 2) pixels and (21,).
        size_px: the side of the hand's crop.
    """
    if not np.isfinite(points_xy).all() or np.abs(points_xy).max() > FARTHEST_PX:
        return
    width = max(2, math.ceil(size_px / 60))
    for a, b in sorted(links, key=lambda link: max(shifts[list(link)])):
        start, end = (np.rint(points_xy[point]).astype(int).tolist() for point in (a, b))
        cv2.line(values, start, end, float(max(shifts[a], shifts[b])), width)
