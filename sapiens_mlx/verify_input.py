"""A photo as the network inputs that the published values belong to: resized as the transformers library does it.

Its filter is bilinear and antialiased where the reference has OpenCV's, and a person's crop is sampled in floats.
"""

import numpy as np
from PIL import Image

from .tasks.base import Fitted
from .tasks.fit import Padding, Way, cut_padding
from .tasks.udp import Crop, crop_of_box

CUBIC_A = -0.75  # of the cubic kernel: the slope at its second tap, as torch and OpenCV have it


def resized(photo_rgb: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """The (H, W, 3) uint8 photo at `size_hw`, antialiased bilinear.

    Pillow's filter is a triangle that widens as the photo shrinks, which is what antialias=True means in torch's
    interpolate: they differ by one count at most, since Pillow rounds after each of its two passes.
    """
    return np.asarray(Image.fromarray(photo_rgb).resize(size_hw[::-1], Image.Resampling.BILINEAR))


def stretched(photo_rgb: np.ndarray, input_hw: tuple[int, int]) -> Fitted:
    """The whole photo at exactly `input_hw`: seg, matting and features."""
    return Fitted(resized(photo_rgb, input_hw)[None], Way(photo_rgb.shape[:2]))


def letterboxed(photo_rgb: np.ndarray, input_hw: tuple[int, int]) -> Fitted:
    """The photo in the middle of a black input, ratio kept, sizes truncated: normals and depth."""
    height, width = photo_rgb.shape[:2]
    ratio = min(input_hw[0] / height, input_hw[1] / width)
    fitted_h, fitted_w = int(height * ratio), int(width * ratio)
    spare_h, spare_w = input_hw[0] - fitted_h, input_hw[1] - fitted_w
    padding = Padding(spare_w // 2, spare_w - spare_w // 2, spare_h // 2, spare_h - spare_h // 2)
    pixels = np.zeros((*input_hw, 3), np.uint8)
    cut_padding(pixels, padding)[:] = resized(photo_rgb, (fitted_h, fitted_w))
    return Fitted(pixels[None], Way((height, width), padding))


def person(photo_rgb: np.ndarray, box_xyxy: np.ndarray, input_hw: tuple[int, int]) -> Fitted:
    """One person's crop and, behind it, its mirror image, (2, *input_hw, 3) float32 of about 0..255; black outside."""
    crop = crop_of_box(box_xyxy, input_hw)
    pixels = sampled(photo_rgb, crop, input_hw)
    return Fitted(np.stack([pixels, pixels[:, ::-1]]), crop)


def sampled(photo_rgb: np.ndarray, crop: Crop, input_hw: tuple[int, int]) -> np.ndarray:
    """The crop at `input_hw`, float32, not rounded: cubic when it enlarges the photo, else linear.

    As torch's grid_sample with align_corners and zeros outside. The crop is upright, so rows and columns are sampled
    one after the other.
    """
    steps = np.array(input_hw[::-1]) - 1
    enlarges = (steps / crop.scale_wh).min() >= 1
    start_xy = crop.center_xy - 0.5 * crop.scale_wh
    at = [start_xy[axis] + np.arange(steps[axis] + 1) * (crop.scale_wh[axis] / steps[axis]) for axis in (0, 1)]
    columns, rows = (_taps(at[axis], photo_rgb.shape[1 - axis], enlarges) for axis in (0, 1))
    narrow = np.einsum("xw,hwc->hxc", columns, photo_rgb.astype(np.float32), optimize=True)
    return np.einsum("yh,hxc->yxc", rows, narrow, optimize=True)


def _taps(at: np.ndarray, size: int, cubic: bool) -> np.ndarray:
    """(n, size) float32: what each of `size` photo pixels adds to the n places `at`; those outside add nothing."""
    distance = np.abs(at[:, None] - np.arange(size))
    near = (CUBIC_A + 2) * distance**3 - (CUBIC_A + 3) * distance**2 + 1
    far = CUBIC_A * (distance**3 - 5 * distance**2 + 8 * distance - 4)
    weights = np.where(distance <= 1, near, np.where(distance < 2, far, 0)) if cubic else np.maximum(1 - distance, 0)
    return weights.astype(np.float32)
