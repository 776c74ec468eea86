"""The geometry of top-down pose, unbiased (UDP): a person's box to the network's input, heatmaps to photo pixels.

Photo, input and heatmap pixels are counted from the middle of the first one, so a grid of w columns spans w - 1 steps.
A box (x1, y1, x2, y2) is continuous: its width is x2 - x1. References: UDP, arXiv 1911.07524; DARK, arXiv 1910.06278.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from ..errors import BoxError, SapiensError

BOX_PADDING = 1.25
BLUR_KERNEL = 11  # of the Gaussian; OpenCV's sigma for it is 2
LOG_RANGE = (1e-3, 50.0)  # of a map before its logarithm
ROWS_AT_ONCE = 8  # of a heatmap: with all their channels they fit into a processor's cache
NOWHERE = -1.0  # heatmap coordinate, x and y, of a keypoint whose map is nowhere positive


# ---- photo to input -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Crop:
    """What a network input shows: its middle and its width and height, float32 (2,) each, in photo pixels."""

    center_xy: np.ndarray
    scale_wh: np.ndarray


def crop_of_box(box_xyxy: np.ndarray, input_hw: tuple[int, int]) -> Crop:
    """The box, widened by 1.25 about its middle, then grown in one direction to the input's width : height.

    Args:
        box_xyxy: (4,) in photo pixels; may reach outside the photo.
        input_hw: height and width of the network's input.

    Raises:
        BoxError: if the box holds a number that is not finite, or has no area.
    """
    x1, y1, x2, y2 = np.asarray(box_xyxy, np.float32)
    if not (np.isfinite([x1, y1, x2, y2]).all() and x2 > x1 and y2 > y1):
        raise BoxError(
            f"The box {x1:g}, {y1:g}, {x2:g}, {y2:g} has no area. Give left, top, right, bottom in pixels of the photo."
        )
    width, height = np.array([x2 - x1, y2 - y1], np.float32) * np.float32(BOX_PADDING)
    aspect = np.float32(input_hw[1] / input_hw[0])
    scale = (width, width / aspect) if width > height * aspect else (height * aspect, height)
    return Crop(np.array([x1 + x2, y1 + y2], np.float32) * np.float32(0.5), np.array(scale, np.float32))


def warp_matrix(crop: Crop, input_hw: tuple[int, int]) -> np.ndarray:
    """Photo to input pixels as a (2, 3) float32 affine matrix: the crop's width spans the w - 1 steps of the input."""
    factor = np.array([input_hw[1] - 1, input_hw[0] - 1], np.float32) / crop.scale_wh
    shift = factor * (crop.scale_wh / 2 - crop.center_xy)  # in float32 throughout: a tiny crop magnifies its rounding
    return np.array([[factor[0], 0, shift[0]], [0, factor[1], shift[1]]], np.float32)


def cut_out(photo_rgb: np.ndarray, crop: Crop, input_hw: tuple[int, int]) -> np.ndarray:
    """The crop as (h, w, 3) uint8: cubic when it enlarges the photo, else linear; black outside the photo."""
    matrix = warp_matrix(crop, input_hw)
    enlarges = min(matrix[0, 0], matrix[1, 1]) > 1
    filter_ = cv2.INTER_CUBIC if enlarges else cv2.INTER_LINEAR
    return cv2.warpAffine(photo_rgb, matrix, input_hw[::-1], flags=filter_, borderMode=cv2.BORDER_CONSTANT)


# ---- heatmaps to photo ----------------------------------------------------------------------------------------------


def averaged_heatmaps(raw: np.ndarray, flip_indices: np.ndarray) -> np.ndarray:
    """Channels first, (K, h, w) float32: the image's heatmaps, averaged with those of its mirror where there are any.

    Args:
        raw: (1 or 2, h, w, K) float32, of the image and then of its mirror.
        flip_indices: (K,): in the mirror, keypoint k is found by channel flip_indices[k].
    """
    _, height, width, count = raw.shape
    maps = np.empty((count, height, width), np.float32)
    for top in range(0, height, ROWS_AT_ONCE):
        rows = slice(top, top + ROWS_AT_ONCE)
        block, *mirror = (cv2.transpose(one[rows].reshape(-1, count)).reshape(count, -1, width) for one in raw)
        maps[:, rows] = (block + mirror[0][flip_indices, :, ::-1]) / 2 if mirror else block
    return maps


def decode_heatmaps(maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The peak of each heatmap, refined (DARK), and its height.

    A map that is nowhere positive has its peak at (-1, -1), unrefined, and keeps its maximum as score.

    Args:
        maps: (K, h, w) float32.

    Returns:
        xy: (K, 2) float64 heatmap pixels. A peak on the border is moved half a pixel beyond it.
        scores: (K,) float32, the maxima before any blur.

    Raises:
        SapiensError: if a heatmap holds a number that is not finite.
    """
    count, _, width = maps.shape
    peaks = maps.reshape(count, -1).argmax(axis=1)
    scores = maps.reshape(count, -1)[np.arange(count), peaks]
    if not np.isfinite(scores).all():  # NaN counts as the largest, so one anywhere is seen here
        raise SapiensError("The network's heatmaps are not finite numbers. Run it at level bf16 or fp32.")
    x, y = peaks % width, peaks // width
    xy = np.stack([x, y], axis=1) + _newton_step(_log_around_peak(maps, scores, x, y))
    xy[scores <= 0] = NOWHERE
    return xy, scores


def _log_around_peak(maps: np.ndarray, scores: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(K, 3, 3) float32: the logarithm of the blurred maps at and about (x, y), border values repeated outside."""
    around = np.empty((len(maps), 3, 3), np.float32)
    top, left = maps.shape[1] - 1, maps.shape[2] - 1
    steps = np.array([-1, 0, 1])
    for index, one in enumerate(maps):
        blurred = cv2.GaussianBlur(one, (BLUR_KERNEL, BLUR_KERNEL), 0, borderType=cv2.BORDER_CONSTANT)
        rows, columns = np.clip(y[index] + steps, 0, top), np.clip(x[index] + steps, 0, left)
        # The blur flattens a map: its maximum, wherever that now lies, is raised again to what it was.
        around[index] = blurred[rows[:, None], columns] * (scores[index] / (blurred.max() + np.float32(1e-12)))
    return np.log(np.clip(around, *LOG_RANGE))


def _newton_step(around: np.ndarray) -> np.ndarray:
    """(K, 2) float64, x and y: the step from the middle of (K, 3, 3) values to the top of the paraboloid through them.

    It is -(H + eps I)^-1 g of central differences. Zero where that matrix has no inverse.
    """
    v = around.astype(np.float64)
    gx = (v[:, 1, 2] - v[:, 1, 0]) / 2
    gy = (v[:, 2, 1] - v[:, 0, 1]) / 2
    eps = np.finfo(np.float32).eps
    hxx = v[:, 1, 2] - 2 * v[:, 1, 1] + v[:, 1, 0] + eps
    hyy = v[:, 2, 1] - 2 * v[:, 1, 1] + v[:, 0, 1] + eps
    # The mixed derivative from the two diagonal neighbours, the other two left out: as the reference takes it.
    hxy = (v[:, 2, 2] - v[:, 1, 2] - v[:, 2, 1] + 2 * v[:, 1, 1] - v[:, 1, 0] - v[:, 0, 1] + v[:, 0, 0]) / 2
    determinant = hxx * hyy - hxy * hxy
    safe = np.where(determinant == 0, np.inf, determinant)
    return np.stack([hxy * gy - hyy * gx, hxy * gx - hxx * gy], axis=1) / safe[:, None]


def heatmap_to_input(xy: np.ndarray, heatmap_hw: tuple[int, int], input_hw: tuple[int, int]) -> np.ndarray:
    """Heatmap to input pixels, (..., 2): x / (heatmap width - 1) * input width. Not - 1 there: as it was trained."""
    return xy / (np.array(heatmap_hw[::-1]) - 1) * np.array(input_hw[::-1])


def input_to_photo(xy: np.ndarray, crop: Crop, input_hw: tuple[int, int]) -> np.ndarray:
    """Input to photo pixels, (..., 2): here the crop's width spans the full input width, unlike in warp_matrix."""
    return xy / np.array(input_hw[::-1]) * crop.scale_wh + crop.center_xy - 0.5 * crop.scale_wh
