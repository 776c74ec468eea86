"""Joint angles of a person in degrees, of keypoints in the plane of the photo: projections, no medical measurement.

The angle at a joint lies between the two lines that leave it: 0..180, whichever way it bends. A projection is the
joint's own angle only where both limbs lie parallel to the picture; a limb that points at the camera can show any.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from ..zoo import DEFAULTS
from .keypoints import keypoints

NOTE = "Angles in the plane of the photo. Not a medical measurement."

Place = tuple[str, ...]  # the name of a keypoint, or of two: the middle between them

SHOULDERS: Place = ("left_shoulder", "right_shoulder")
HIPS: Place = ("left_hip", "right_hip")
EARS: Place = ("left_ear", "right_ear")


@dataclass(frozen=True)
class Angle:
    """The angle at `vertex` between the lines to `first` and to `last`.

    Where `last` is None it is the lean of the line from `vertex` to `first` against the vertical of the photo: 0 is
    upright, above 0 leans to the right of the photo, below 0 to the left; above -180 and up to 180.
    """

    name: str
    first: Place
    vertex: Place
    last: Place | None


@dataclass(frozen=True)
class Measure:
    """A row of the table: what is measured, on both sides of the body where it is `paired`, and what its numbers mean.

    The points are names without their side where it is paired."""

    name: str
    first: Place
    vertex: Place
    last: Place | None
    meaning: str
    paired: bool = True


MEASURES = {
    row.name: row
    for row in (
        Measure("elbow", ("shoulder",), ("elbow",), ("wrist",), "Shoulder, elbow, wrist. 180° is a straight arm."),
        Measure(
            "shoulder", ("hip",), ("shoulder",), ("elbow",), "Hip, shoulder, elbow. 0° is the arm along the trunk."
        ),
        Measure(
            "hip", ("shoulder",), ("hip",), ("knee",), "Shoulder, hip, knee. 180° is the thigh in line with the trunk."
        ),
        Measure("knee", ("hip",), ("knee",), ("ankle",), "Hip, knee, ankle. 180° is a straight leg."),
        Measure(
            "neck",
            EARS,
            SHOULDERS,
            HIPS,
            "Middles of the ears, the shoulders, the hips. 180° is the head in line with the trunk.",
            paired=False,
        ),
        Measure(
            "trunk_lean",
            SHOULDERS,
            HIPS,
            None,
            "From the middle of the hips to that of the shoulders, against the vertical of the photo. "
            "0° is upright, above 0° leans to the right of the photo, below 0° to the left.",
            paired=False,
        ),
    )
}
PAIRS = tuple(name for name, row in MEASURES.items() if row.paired)


def _both_sides(row: Measure) -> Sequence[Angle]:
    if not row.paired:
        return [Angle(row.name, row.first, row.vertex, row.last)]
    return [
        Angle(
            f"{side}_{row.name}",
            *(tuple(f"{side}_{name}" for name in place) for place in (row.first, row.vertex, row.last or ())),
        )
        for side in ("left", "right")
    ]


ANGLES = {angle.name: angle for row in MEASURES.values() for angle in _both_sides(row)}


def joint_angles(
    points_xy: np.ndarray, scores: np.ndarray, keypoint_threshold: float = DEFAULTS.keypoint_threshold
) -> dict[str, float]:
    """Every one of ANGLES in degrees, by name: "left_elbow", ..., "neck", "trunk_lean".

    NaN where a point it needs does not score above `keypoint_threshold`, or where two of its points are the same.

    Args:
        points_xy: (308, 2) photo pixels, y downwards.
        scores: (308,).
    """
    found = {}
    for name, angle in ANGLES.items():
        corners = corners_of(angle, points_xy, scores, keypoint_threshold)
        found[name] = math.nan if corners is None else angle_deg(corners)
    return found


def differences(angles: Mapping[str, float]) -> dict[str, float]:
    """Left minus right of each of PAIRS in degrees: 0 is symmetric; NaN where a side is."""
    return {name: angles[f"left_{name}"] - angles[f"right_{name}"] for name in PAIRS}


def corners_of(angle: Angle, points_xy: np.ndarray, scores: np.ndarray, keypoint_threshold: float) -> np.ndarray | None:
    """(3, 2) float64 photo pixels, first, vertex and last; (2, 2) for a lean.

    None where a point does not score above the threshold or is not finite."""
    places = [_indices(place) for place in (angle.first, angle.vertex, angle.last) if place is not None]
    members = np.concatenate(places)
    if not (scores[members] > keypoint_threshold).all() or not np.isfinite(points_xy[members]).all():
        return None
    return np.array([points_xy[place].astype(np.float64).mean(axis=0) for place in places])


@cache
def _indices(place: Place) -> np.ndarray:
    names = keypoints().names
    return np.array([names.index(name) for name in place])


def angle_deg(corners: np.ndarray) -> float:
    """The angle of (3, 2) corners, 0..180, or the lean of (2, 2), above -180 and up to 180; NaN without a direction."""
    away = corners[[0, *range(2, len(corners))]] - corners[1]
    if not np.hypot(*away.T).all():
        return math.nan
    if len(corners) == 2:
        lean = math.degrees(math.atan2(away[0, 0], -away[0, 1]))
        return 180.0 if lean == -180 else lean
    (x1, y1), (x2, y2) = away
    return math.degrees(math.atan2(abs(x1 * y2 - y1 * x2), x1 * x2 + y1 * y2))
