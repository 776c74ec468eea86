"""What is put behind people who were cut out: a colour, the photo out of focus, or a picture of one's own."""

import os
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from PIL import Image

from ..errors import SapiensError
from ..files import expanded, is_there
from ..image import ImageSource, read_image, shrink
from .draw import rgb_of

_Given = ImageSource | Sequence[int]
Background = _Given | None

BLUR = "blur"
BLUR_SHARE = 0.02  # sigma, of the longer side: faces become unrecognisable, and places remain places
BLURRED_PX = 768  # the longer side at which it is done; nothing finer is left of it
HELP = "blur, a colour (#00b140 or its name) or a picture's file"


def behind(background: _Given, photo_rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The background at the photo's size, a new (H, W, 3) uint8.

    Args:
        background: as for resolved().
        photo_rgb: (H, W, 3) uint8.
        alpha: (H, W) 0..1, where people are: what is out of focus is only what is behind them.

    Raises:
        SapiensError: as resolved().
    """
    found = resolved(background)
    if isinstance(found, str):
        return blurred(photo_rgb, alpha)
    if isinstance(found, tuple):
        return np.full(photo_rgb.shape, found, np.uint8)
    return covering(found, photo_rgb.shape[:2])


def resolved(background: _Given) -> str | tuple[int, int, int] | np.ndarray:
    """The background, read: "blur", a colour as RGB 0..255, or a picture (h, w, 3) uint8.

    Args:
        background: "blur", a colour (text as in CSS, or three numbers 0..255), or any image as read_image takes it.
            A file that is called like a colour is meant by ./red.

    Raises:
        SapiensError: it is none of these.
    """
    if isinstance(background, str) and background == BLUR:
        return BLUR
    colour = _colour(background)
    if colour is not None:
        return colour
    if isinstance(background, str | os.PathLike) and not is_there(expanded(background)):
        raise SapiensError(f"The background {background} is neither a colour nor a file. Give {HELP}.")
    image: Any = background
    return read_image(image)


def _colour(background: _Given) -> tuple[int, int, int] | None:
    """RGB 0..255; None where it may be a picture. SapiensError for a row of numbers that is no colour."""
    if isinstance(background, str):
        try:
            return rgb_of(background)
        except SapiensError:
            return None
    if isinstance(background, os.PathLike | bytes | bytearray | Image.Image) or np.ndim(background) != 1:
        return None
    return rgb_of(background)


def blurred(photo_rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The photo out of focus, without the people's colours bleeding into it, (H, W, 3) uint8.

    A Gaussian mean over what is behind them: each pixel counts as much as it is not covered.
    """
    height, width = photo_rgb.shape[:2]
    small = shrink(photo_rgb, BLURRED_PX)
    sigma = BLUR_SHARE * max(small.shape[:2])
    seen = 1 - cv2.resize(np.ascontiguousarray(alpha, np.float32), small.shape[1::-1], interpolation=cv2.INTER_AREA)
    seen = np.maximum(seen, 1e-4)[..., None]  # where there are people all round, their own colours must do
    total = cv2.GaussianBlur(small * seen, (0, 0), sigma)
    mean: np.ndarray = total / cv2.GaussianBlur(seen, (0, 0), sigma)[..., None]
    return np.clip(np.rint(cv2.resize(mean, (width, height), interpolation=cv2.INTER_LINEAR)), 0, 255).astype(np.uint8)


def covering(picture_rgb: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """The middle of the picture, scaled so that it covers `size_hw`, (H, W, 3) uint8."""
    height, width = picture_rgb.shape[:2]
    scale = max(size_hw[0] / height, size_hw[1] / width)
    cut_h, cut_w = (max(1, min(side, round(size / scale))) for side, size in zip((height, width), size_hw, strict=True))
    top, left = (height - cut_h) // 2, (width - cut_w) // 2
    middle = np.ascontiguousarray(picture_rgb[top : top + cut_h, left : left + cut_w])
    return cv2.resize(middle, size_hw[::-1], interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
