"""Where the labels of a picture go so that they hide neither each other nor what they are about."""

from collections.abc import Iterable

import numpy as np

Rectangle = tuple[float, float, float, float]  # left, top, right, bottom in photo pixels

ON_A_LABEL = 100.0  # what it costs to hide a label wholly, beside one step away from the wanted place
ON_A_POINT = 0.6  # a point of the figure
OUTSIDE = 100.0


class LabelPlaces:
    """The rectangles taken so far in a photo, and the (N, 2) points of the figures that had better stay visible."""

    def __init__(self, photo_hw: tuple[int, int], points_xy: np.ndarray, taken: Iterable[Rectangle] = ()) -> None:
        self.photo_hw = photo_hw
        self.points_xy = points_xy
        self.taken = list(taken)

    def take(self, candidates_xy: np.ndarray, size_wh: tuple[float, float]) -> int:
        """The index of the best of (N, 2) middles for a label of `size_wh`, the most wanted first; it is then taken."""
        half = np.array(size_wh) / 2
        rectangles = np.hstack([candidates_xy - half, candidates_xy + half])
        best = int(np.argmin(self._costs(rectangles)))
        self.taken.append(tuple(rectangles[best]))
        return best

    def _costs(self, rectangles: np.ndarray) -> np.ndarray:
        """(N,) of (N, 4): by order, and by what each hides."""
        costs = np.linspace(0, len(rectangles) / 8, len(rectangles))
        height, width = self.photo_hw
        area = np.prod(rectangles[0, 2:] - rectangles[0, :2])
        costs += OUTSIDE * (1 - _shared(rectangles, (0, 0, width, height)) / area)
        for other in self.taken:
            shared = _shared(rectangles, other)
            costs += ON_A_LABEL * shared / area + (shared > 0)
        left, top, right, bottom = rectangles.T[..., None]
        x, y = self.points_xy.T
        return costs + ON_A_POINT * ((x > left) & (x < right) & (y > top) & (y < bottom)).sum(axis=1)


def _shared(rectangles: np.ndarray, other: Rectangle) -> np.ndarray:
    """(N,) square pixels that each of (N, 4) shares with one."""
    sides = np.minimum(rectangles[:, 2:], other[2:]) - np.maximum(rectangles[:, :2], other[:2])
    return np.prod(np.maximum(sides, 0), axis=1)
