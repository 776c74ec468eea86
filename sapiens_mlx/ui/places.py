"""Places that are pressed in a picture of the page, as pixels of the photo, which may be larger than the picture."""

from collections.abc import Sequence

from .photos import SHOWN_PX
from .visit import Photo


def shown_by(photo: Photo) -> float:
    """How many pixels of the photo one of the page's is wide."""
    return max(1.0, max(photo.rgb.shape[:2]) / SHOWN_PX)


def pressed(photo: Photo, picture_xy: Sequence[int]) -> tuple[float, float]:
    """(x, y) in pixels of the photo, and inside it, of a pixel of the picture that the page shows."""
    height, width = photo.rgb.shape[:2]
    x, y = ((value + 0.5) * shown_by(photo) for value in picture_xy)
    return min(x, width - 1), min(y, height - 1)
