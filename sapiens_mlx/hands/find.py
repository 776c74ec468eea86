"""Where the hands of a photo are: wilor-mlx's detector, YOLOv8m-pose, from photo to boxes, sides and points."""

from collections.abc import Callable
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from . import crops
from .mano import POINTS

LEFT = 0  # of its two classes
MOST = 100  # hands of a photo, as of its people


@dataclass(frozen=True, eq=False)
class Hands:
    """N hands by falling score, in photo pixels from the middle of the first, float32.

    `is_right` (N,) bool; `scores` (N,) 0..1; `boxes_xyxy` (N, 4); `points_xy` (N, 21, 2) with `point_scores` (N, 21)
    0..1 are the detector's own, None where a crop was given; `centres_xy` (N, 2) and `crops_px` (N,) are the squares
    that the network is to see.
    """

    is_right: np.ndarray
    scores: np.ndarray
    boxes_xyxy: np.ndarray
    centres_xy: np.ndarray
    crops_px: np.ndarray
    points_xy: np.ndarray | None = None
    point_scores: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.scores)


def find(
    detector: Callable[[mx.array], mx.array], photo_rgb: np.ndarray, threshold: float, iou_threshold: float
) -> Hands:
    """The hands in a photo (H, W, 3) uint8, the MOST surest at most; possibly none. Call it on the thread that loaded
    the detector.

    Args:
        detector: (1, 512, 512, 3) uint8 to (1, 69, A): box centre and size, two scores, 21 points with a score each.
        threshold: hands must score at least this, 0..1.
        iou_threshold: of two boxes that overlap by more than this (IoU, 0..1) the surer one stays, of whichever side.
    """
    raw = np.array(detector(mx.array(crops.letterbox(photo_rgb))[None])[0].astype(mx.float32))  # (69, A)
    scores = raw[4:6].max(0)
    wanted = (scores >= threshold) & (raw[2] > 0) & (raw[3] > 0)
    raw, scores = raw[:, wanted], scores[wanted]
    kept = suppressed(raw[:4].T, scores, iou_threshold)[:MOST]  # the surest first
    raw, scores = raw[:, kept], scores[kept]
    scale, offset = crops.from_letterbox(photo_rgb.shape[:2])
    centres, sizes = raw[:2].T * scale - offset, raw[2:4].T * scale
    points = raw[6:].T.reshape(-1, POINTS, 3)
    return Hands(
        is_right=raw[4:6].argmax(0) != LEFT,
        scores=scores,
        boxes_xyxy=np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1),
        centres_xy=centres,
        crops_px=sizes.max(1, initial=0) * np.float32(crops.CROP_SCALE),
        points_xy=points[..., :2] * scale - offset,
        point_scores=points[..., 2],
    )


def suppressed(boxes_xywh: np.ndarray, scores: np.ndarray, iou_threshold: float) -> np.ndarray:
    """Indices (k,) of the boxes (n, 4), as centre and size, that stay, by falling score."""
    half = boxes_xywh[:, 2:] / 2
    corners = np.concatenate([boxes_xywh[:, :2] - half, boxes_xywh[:, :2] + half], axis=1)
    areas = np.prod(boxes_xywh[:, 2:], axis=1)
    order, kept = np.argsort(-scores, kind="stable"), []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        low = np.maximum(corners[best, :2], corners[order, :2])
        shared = np.prod(np.maximum(np.minimum(corners[best, 2:], corners[order, 2:]) - low, 0), axis=1)
        order = order[shared <= iou_threshold * (areas[best] + areas[order] - shared)]
    return np.array(kept, np.int64)


def whole(photo_hw: tuple[int, int], side: str) -> Hands:
    """The one hand of a picture that is the crop of a hand: a square about all of it, for what is not square.

    A square of 256 pixels reaches the network as it is.
    """
    height, width = photo_hw
    return Hands(
        is_right=np.array([side == "right"]),
        scores=np.ones(1, np.float32),
        boxes_xyxy=np.array([[0, 0, width - 1, height - 1]], np.float32),
        centres_xy=np.array([[(width - 1) / 2, (height - 1) / 2]], np.float32),
        crops_px=np.array([max(height, width)], np.float32),
    )
