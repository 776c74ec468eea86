"""A square of a photo as a network's input, and the way back. Coordinates count from the middle of the first pixel.

Sampling is bilinear in float32 and rounds down, as wilor-mlx does it: the networks then see the same bytes. Only the
pixels that are needed are read, where that turns the whole photo into floats for every hand.
"""

import numpy as np

DETECTOR_PX = 512
DETECTOR_GREY = 114
CROP_SCALE = 2.5  # sides of a hand's crop, in the longer side of its box


def square(
    photo_rgb: np.ndarray, centre_xy: np.ndarray | tuple[float, float], side_px: float, out_px: int, grey: int = -1
) -> np.ndarray:
    """The square about `centre_xy` with sides of `side_px` photo pixels, as (out_px, out_px, 3) uint8.

    Args:
        photo_rgb: (H, W, 3) uint8.
        grey: what stands outside the photo, 0..255; -1 continues its edge.
    """
    (rows, rows_after, down), outside_y = _along(photo_rgb.shape[0], centre_xy[1], side_px, out_px)
    (columns, columns_after, across), outside_x = _along(photo_rgb.shape[1], centre_xy[0], side_px, out_px)
    down, across, one = down[:, None, None], across[None, :, None], np.float32(1)

    def corner(y: np.ndarray, x: np.ndarray) -> np.ndarray:
        return photo_rgb[y[:, None], x[None, :]].astype(np.float32)  # (out_px, out_px, 3)

    pixels = corner(rows, columns) * (one - across) * (one - down)
    pixels += corner(rows, columns_after) * across * (one - down)
    pixels += corner(rows_after, columns) * (one - across) * down
    pixels += corner(rows_after, columns_after) * across * down
    if grey >= 0:
        pixels[outside_y] = grey
        pixels[:, outside_x] = grey
    return pixels.astype(np.uint8)


def _along(
    size: int, centre: float, side_px: float, out_px: int
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    """Along one axis: the pixel before each sample, the one after it and how far between them it lies (0..1), all
    (out_px,); and which samples lie outside."""
    half = np.float32(side_px) / np.float32(2)
    steps = (np.arange(out_px, dtype=np.float32) + np.float32(0.5)) / np.float32(out_px)
    at = np.float32(centre - half) + steps * np.float32(2 * half)
    outside = (at < 0) | (at > size - 1)
    at = np.clip(at, np.float32(0), np.float32(max(0, size - 1 - 1e-6)))
    before = at.astype(np.int32)
    return (before, np.minimum(before + 1, size - 1), at - before.astype(np.float32)), outside


def letterbox(photo_rgb: np.ndarray) -> np.ndarray:
    """The whole photo in the middle of a grey square, as the detector takes it: (512, 512, 3) uint8."""
    height, width = photo_rgb.shape[:2]
    return square(photo_rgb, (width / 2, height / 2), max(height, width), DETECTOR_PX, DETECTOR_GREY)


def from_letterbox(photo_hw: tuple[int, int]) -> tuple[np.float32, np.ndarray]:
    """The way back from it: photo pixels = input pixels * scale - offset, as the scale and (2,) x, y, float32."""
    side = float(max(photo_hw))
    offset = np.array([(side - photo_hw[1]) / 2, (side - photo_hw[0]) / 2], np.float32)
    return np.float32(side / DETECTOR_PX), offset
