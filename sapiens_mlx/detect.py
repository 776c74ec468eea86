"""Who is in the photo: RTMDet's boxes, your own boxes, or the whole photo. RGB (H, W, 3) uint8 in, People out.

The steps and their order are the reference's: letterbox, network, score > 0.05, 1000 a level, the best 100, clip, back
to the photo, the wanted score, and only then NMS.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import mlx.core as mx
import numpy as np

from .errors import BoxError
from .nn.rtmdet import STRIDES, RTMDet
from .zoo import DEFAULTS

INPUT_PX = 640
PAD_VALUE = 114
# The network takes BGR; these are the usual means and deviations, turned round.
MEAN_BGR = np.array([103.53, 116.28, 123.675], np.float32)
STD_BGR = np.array([57.375, 57.12, 58.395], np.float32)

CANDIDATE_SCORE = 0.05
CANDIDATES_PER_LEVEL = 1000
CANDIDATES = 100

FARTHEST_PX = 1e6  # a coordinate beyond it is a slip, and float32 could not tell neighbouring pixels apart


@dataclass(frozen=True, eq=False)
class People:
    """Boxes in photo pixels, (P, 4) float32 as x1, y1, x2, y2, and how sure the detector is of each, (P,) in 0..1.

    Raises:
        BoxError: for other shapes, or values that are not finite.
    """

    boxes_xyxy: np.ndarray
    box_scores: np.ndarray

    def __post_init__(self) -> None:
        boxes = np.asarray(self.boxes_xyxy, np.float32)
        scores = np.asarray(self.box_scores, np.float32)
        if boxes.ndim != 2 or boxes.shape[1] != 4 or scores.shape != boxes.shape[:1]:
            raise BoxError(
                f"Boxes of shape {boxes.shape} do not go with scores of shape {scores.shape}. "
                "Give boxes as (P, 4) and scores as (P,)."
            )
        if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
            raise BoxError("A box or its score is not a finite number. Give every box four finite numbers.")
        object.__setattr__(self, "boxes_xyxy", boxes)
        object.__setattr__(self, "box_scores", scores)

    def __len__(self) -> int:
        return len(self.boxes_xyxy)


class Detector(Protocol):
    """Anything that finds people in an RGB (H, W, 3) uint8 photo."""

    def __call__(self, photo_rgb: np.ndarray) -> People: ...


class RTMDetDetector:
    """Finds people with RTMDet. Call it on the thread that loaded the network."""

    def __init__(self, module: RTMDet) -> None:
        self.module = module

    def __call__(
        self,
        photo_rgb: np.ndarray,
        *,
        box_threshold: float = DEFAULTS.box_threshold,
        nms_threshold: float = DEFAULTS.nms_threshold,
    ) -> People:
        """The people in `photo_rgb` (H, W, 3) uint8, by falling score; possibly none.

        Args:
            box_threshold: boxes must score more than this, 0..1.
            nms_threshold: of two boxes that overlap by more than this (IoU, 0..1) the better one stays.
        """
        pixels_rgb, scale_wh = letterbox(photo_rgb)
        normalised = (pixels_rgb[None, ..., ::-1].astype(np.float32) - MEAN_BGR) / STD_BGR
        dtype = self.module.bbox_head.rtm_cls[0].weight.dtype
        levels = self.module(mx.array(normalised).astype(dtype))
        logits, distances = ([np.array(x[0].astype(mx.float32)) for x in maps] for maps in levels)
        boxes, scores = decode(logits, distances, pixels_rgb.shape[:2])
        wanted = scores > box_threshold
        boxes, scores = boxes[wanted] / np.tile(scale_wh, 2), scores[wanted]
        kept = nms(boxes, scores, nms_threshold)
        return People(boxes[kept], scores[kept])


def letterbox(photo_rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The photo fitted into the top left of a grey 640 x 640 square, keeping its ratio; sides are rounded.

    Returns:
        (640, 640, 3) uint8 and the scales (2,) float32 of width and height: input pixel = photo pixel * scale.
    """
    height, width = photo_rgb.shape[:2]
    scale = INPUT_PX / max(height, width)
    fitted_w, fitted_h = (max(1, int(side * scale + 0.5)) for side in (width, height))
    pixels = np.full((INPUT_PX, INPUT_PX, 3), PAD_VALUE, np.uint8)
    pixels[:fitted_h, :fitted_w] = cv2.resize(photo_rgb, (fitted_w, fitted_h), interpolation=cv2.INTER_LINEAR)
    return pixels, np.array([fitted_w / width, fitted_h / height], np.float32)


def decode(
    logits: Sequence[np.ndarray], distances: Sequence[np.ndarray], input_hw: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """The best 100 boxes of one photo, before any NMS.

    Args:
        logits: (h, w, 1) float32 for each stride.
        distances: (h, w, 4) float32, input pixels from a point to left, top, right and bottom.
        input_hw: size of the network's input; boxes are clipped to it, padding included.

    Returns:
        Boxes (n, 4) float32 in input pixels and scores (n,) float32, by falling score.
    """
    levels = [_level_candidates(*level) for level in zip(logits, distances, STRIDES, strict=True)]
    boxes, scores = (np.concatenate(parts) for parts in zip(*levels, strict=True))
    best = np.argsort(-scores, kind="stable")[:CANDIDATES]
    height, width = input_hw
    return np.clip(boxes[best], 0, np.array([width, height, width, height], np.float32)), scores[best]


def _level_candidates(logits: np.ndarray, distances: np.ndarray, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (n, 4) and scores (n,) of one level's best points. A point lies on its cell's corner, not in the middle."""
    with np.errstate(over="ignore"):  # exp may reach inf, and the score is then the 0 that is meant
        scores = 1 / (1 + np.exp(-logits[..., 0]))  # (h, w)
    rows, columns = np.nonzero(scores > CANDIDATE_SCORE)
    best = np.argsort(-scores[rows, columns], kind="stable")[:CANDIDATES_PER_LEVEL]
    rows, columns = rows[best], columns[best]
    points = np.stack([columns, rows], axis=1).astype(np.float32) * stride  # (n, 2) as x, y
    sides = distances[rows, columns]
    return np.concatenate([points - sides[:, :2], points + sides[:, 2:]], axis=1), scores[rows, columns]


def nms(boxes_xyxy: np.ndarray, scores: np.ndarray, iou_threshold: float) -> np.ndarray:
    """Greedy non-maximum suppression with the old convention that a box from x1 to x2 is x2 - x1 + 1 wide.

    Args:
        boxes_xyxy: (n, 4) float32.
        scores: (n,). Of equal scores the last comes first.
        iou_threshold: a box stays when it overlaps every better one by at most this.

    Returns:
        Indices (k,) int64 of the boxes that stay, by falling score.
    """
    x1, y1, x2, y2 = boxes_xyxy.T
    areas = (x2 - x1 + 1) * (y2 - y1 + 1)
    order = np.argsort(scores, kind="stable")[::-1]
    kept = []
    while len(order):
        best, others = order[0], order[1:]
        kept.append(best)
        shared_w = np.minimum(x2[best], x2[others]) - np.maximum(x1[best], x1[others]) + 1
        shared_h = np.minimum(y2[best], y2[others]) - np.maximum(y1[best], y1[others]) + 1
        shared = np.maximum(shared_w, 0) * np.maximum(shared_h, 0)
        order = others[shared / (areas[best] + areas[others] - shared) <= iou_threshold]
    return np.array(kept, np.int64)


def whole_photo(photo_hw: tuple[int, int]) -> People:
    """The one box taken when nobody is found: from the first to the last pixel centre, with score 1."""
    height, width = photo_hw
    # A box over a single pixel would be empty.
    return People(np.array([[0, 0, max(width - 1, 1), max(height - 1, 1)]], np.float32), np.ones(1, np.float32))


def validate_boxes(boxes: Sequence[Sequence[float]] | np.ndarray, photo_hw: tuple[int, int]) -> np.ndarray:
    """Boxes given by the user as (P, 4) float32, x1, y1, x2, y2 in photo pixels, in their order.

    They may reach outside the photo.

    Raises:
        BoxError: naming the box that lies wholly outside, is empty, reversed or not finite, or the wrong shape.
    """
    try:
        given = np.array(boxes, np.float64)
    except (TypeError, ValueError, OverflowError) as problem:
        raise BoxError("The boxes are not all four numbers. Give each as x1, y1, x2, y2 in photo pixels.") from problem
    if given.ndim != 2 or given.shape[1] != 4 or not len(given):
        raise BoxError(
            f"The boxes have the shape {given.shape}, not (number of boxes, 4). "
            "Give at least one, each as x1, y1, x2, y2 in photo pixels."
        )
    for number, box in enumerate(given, start=1):
        fault = _box_problem(box, photo_hw)
        if fault:
            which = f"Box {number} of {len(given)}" if len(given) > 1 else "The box"
            raise BoxError(f"{which} ({', '.join(f'{value:g}' for value in box)}) {fault}")
    return given.astype(np.float32)


def _box_problem(box: np.ndarray, photo_hw: tuple[int, int]) -> str | None:
    """What is wrong with one box, and what to do; None for a good one."""
    height, width = photo_hw
    corners = "Give x1, y1, x2, y2 with x1 < x2 and y1 < y2."
    if not np.isfinite(box).all():
        return "holds something that is not a finite number. Give four finite numbers: x1, y1, x2, y2."
    if np.abs(box).max() > FARTHEST_PX:
        return f"reaches farther than {FARTHEST_PX:.0f} pixels. Give photo pixels: x1, y1, x2, y2."
    x1, y1, x2, y2 = box.astype(np.float32)
    if x2 < x1 or y2 < y1:
        return f"is reversed: its right or bottom side comes before its left or top side. {corners}"
    if x1 == x2 or y1 == y2:
        return f"is empty: it has no width or no height. {corners}"
    if x2 <= 0 or y2 <= 0 or x1 >= width or y1 >= height:
        return (
            f"lies wholly outside the photo, which is {width} x {height} pixels. Move it so that it covers some of it."
        )
    return None
