"""Where a light stands: two angles for people, a unit vector in the frame of the normals (x right, y up, z towards the
camera) for arithmetic.

Azimuth is the turn to the side: 0 straight from the camera, 90 from the right of the picture, -90 from its left, 180
from behind. Elevation is the height above it: 90 from above, -90 from below.
"""

import math

import numpy as np

Vector = tuple[float, float, float]

LUMA = np.array((0.2126, 0.7152, 0.0722))  # what red, green and blue of linear sRGB add to its luminance


def direction(azimuth_deg: float, elevation_deg: float) -> Vector:
    """The unit vector (x, y, z) that points to the light."""
    azimuth, elevation = math.radians(azimuth_deg), math.radians(elevation_deg)
    across = math.cos(elevation)
    return across * math.sin(azimuth), math.sin(elevation), across * math.cos(azimuth)


def angles_deg(vector: Vector) -> tuple[float, float]:
    """(azimuth, elevation) of a vector of any length; azimuth -180..180, elevation -90..90."""
    x, y, z = vector
    return math.degrees(math.atan2(x, z)), math.degrees(math.atan2(y, math.hypot(x, z)))
