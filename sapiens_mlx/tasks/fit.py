"""The ways of a photo into a network's input and of a network's maps back to the photo, shared by the dense tasks.

Coordinates are pixel centres at (i + 0.5): cv2.resize's convention, and torch's interpolate(align_corners=False).
"""

from dataclasses import dataclass

import cv2
import numpy as np

from .base import Fitted

MEAN_RGB = np.array([123.675, 116.28, 103.53], np.float32)
STD_RGB = np.array([58.395, 57.12, 57.375], np.float32)


@dataclass(frozen=True)
class Padding:
    """Black pixels that letterbox() put around the photo, in input pixels."""

    left: int
    right: int
    top: int
    bottom: int


@dataclass(frozen=True)
class Way:
    """The way back from a network's input to the photo. `padding` is zero where the photo was stretched."""

    photo_hw: tuple[int, int]
    padding: Padding = Padding(0, 0, 0, 0)


def stretch(photo_rgb: np.ndarray, input_hw: tuple[int, int]) -> np.ndarray:
    """The (H, W, 3) uint8 photo at exactly `input_hw`, ratio not kept: area filter when the width shrinks, else cubic.

    The reference (SegResize) looks at the width alone, so a photo that is wide and low takes the area filter too.
    """
    shrinks = input_hw[1] < photo_rgb.shape[1]
    return cv2.resize(photo_rgb, input_hw[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def letterbox(photo_rgb: np.ndarray, input_hw: tuple[int, int]) -> tuple[np.ndarray, Padding]:
    """The (H, W, 3) uint8 photo in the middle of a black (*input_hw, 3), ratio kept, and the padding around it.

    Sizes are truncated and the odd pixel of padding goes to the right and the bottom, as the reference does it.
    """
    height, width = photo_rgb.shape[:2]
    ratio = min(input_hw[0] / height, input_hw[1] / width)
    fitted_h, fitted_w = max(1, int(height * ratio)), max(1, int(width * ratio))
    spare_h, spare_w = input_hw[0] - fitted_h, input_hw[1] - fitted_w
    padding = Padding(spare_w // 2, spare_w - spare_w // 2, spare_h // 2, spare_h - spare_h // 2)
    pixels = np.zeros((*input_hw, 3), np.uint8)
    cut_padding(pixels, padding)[:] = cv2.resize(photo_rgb, (fitted_w, fitted_h), interpolation=cv2.INTER_LINEAR)
    return pixels, padding


def stretched(photo_rgb: np.ndarray, input_hw: tuple[int, int]) -> list[Fitted]:
    """The whole photo as the one input of a task that stretches; its way is a Way without padding."""
    return [Fitted(stretch(photo_rgb, input_hw)[None], Way(photo_rgb.shape[:2]))]


def letterboxed(photo_rgb: np.ndarray, input_hw: tuple[int, int]) -> list[Fitted]:
    """The whole photo as the one input of a task that keeps the ratio; its way is a Way."""
    pixels, padding = letterbox(photo_rgb, input_hw)
    return [Fitted(pixels[None], Way(photo_rgb.shape[:2], padding))]


def normalise(pixels: np.ndarray) -> np.ndarray:
    """(..., 3) uint8 RGB as the float32 a network takes: minus the mean, by the standard deviation, of each channel."""
    return (pixels.astype(np.float32) - MEAN_RGB) / STD_RGB


def cut_padding(array: np.ndarray, padding: Padding) -> np.ndarray:
    """A view of the (h, w, C) array without the padding."""
    return array[padding.top : array.shape[0] - padding.bottom, padding.left : array.shape[1] - padding.right]


def resize_linear(array: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Bilinear resize of a (h, w, C) float32 array, without antialiasing; always a new array (H, W, C)."""
    resized = cv2.resize(np.ascontiguousarray(array), size_hw[::-1], interpolation=cv2.INTER_LINEAR)
    return resized.reshape(*size_hw, array.shape[2])  # cv2 drops an axis of one channel


def smooth(points: np.ndarray) -> np.ndarray:
    """Four passes of a 3 x 3 Gaussian with sigma 0.8, borders reflected, over a (h, w, C <= 4) float32 array."""
    for _ in range(4):
        points = cv2.GaussianBlur(points, (3, 3), 0.8, borderType=cv2.BORDER_REFLECT_101)
    return points
