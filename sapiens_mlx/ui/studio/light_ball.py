"""The light of Relight as a small ball: a lit sphere with a dot where the light is, and what a press on it means.

The ball is seen as the camera sees people. Its picture is square and the ball touches no edge, so that the dot at its
rim is whole. Pixels count from the left and the top, 0 to `size_px`, from edge to edge.
"""

import math

import numpy as np

from ...edits.light import angles_deg, direction

SIZE_PX = 220
RADIUS_SHARE = 0.43  # of the picture's side
DOT_SHARE = 0.045
DARK, LIT = np.array([(46, 62, 74), (226, 232, 236)], np.float32)  # RGB
DOT, DOT_RIM = np.array([(255, 196, 61), (60, 38, 0)], np.float32)


def ball_rgba(azimuth_deg: float, elevation_deg: float, size_px: int = SIZE_PX) -> np.ndarray:
    """The ball lit from there, (size_px, size_px, 4) uint8 with straight alpha, transparent around it.

    The dot is where a press would put the light: full where it is before the ball, a ring where it is behind it.
    """
    middle, radius = size_px / 2, RADIUS_SHARE * size_px
    y, x = np.mgrid[:size_px, :size_px].astype(np.float32) + np.float32(0.5)
    u, v = (x - middle) / radius, (middle - y) / radius
    from_middle = np.hypot(u, v)
    depth = np.sqrt(np.maximum(0, 1 - from_middle**2))
    light = np.array(direction(azimuth_deg, elevation_deg), np.float32)
    shade = np.maximum(0, u * light[0] + v * light[1] + depth * light[2])[..., None]
    colour = DARK + (LIT - DARK) * np.sqrt(shade)  # the root: linear light, as a screen shows it
    alpha = _inside(radius - from_middle * radius)

    dot_x, dot_y = place_of(azimuth_deg, elevation_deg, size_px)
    from_dot, dot = np.hypot(x - dot_x, y - dot_y), DOT_SHARE * size_px
    rim = _inside(dot * 1.35 - from_dot)
    full = _inside(dot - from_dot)
    if light[2] < 0:
        full = full * _inside(from_dot - dot * 0.55)
    for cover, ink in ((rim, DOT_RIM), (full, DOT)):
        colour += (ink - colour) * cover[..., None]
    alpha = np.maximum(alpha, rim)
    return np.rint(np.dstack([colour, 255 * alpha])).astype(np.uint8)


def place_of(azimuth_deg: float, elevation_deg: float, size_px: int = SIZE_PX) -> tuple[float, float]:
    """The (x, y) on the picture where a light of these angles has its dot."""
    x, y, _ = direction(azimuth_deg, elevation_deg)
    radius = RADIUS_SHARE * size_px
    return size_px / 2 + radius * x, size_px / 2 - radius * y


def direction_at(x: float, y: float, size_px: int = SIZE_PX) -> tuple[float, float]:
    """(azimuth_deg, elevation_deg) of the light that lies there on the ball, always on the camera's side.

    A press outside the ball counts as one at the nearest place of its rim: light from the side.
    """
    radius = RADIUS_SHARE * size_px
    u, v = (x - size_px / 2) / radius, (size_px / 2 - y) / radius
    outside = max(1.0, math.hypot(u, v))
    u, v = u / outside, v / outside
    return angles_deg((u, v, math.sqrt(max(0.0, 1 - u * u - v * v))))


def _inside(distance_px: np.ndarray) -> np.ndarray:
    """Coverage 0..1 of a pixel by its distance from the edge: positive inside."""
    return np.clip(distance_px + np.float32(0.5), 0, 1)
