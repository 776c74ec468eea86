"""Click anything: what all results of one photo say about one pixel of it, and how far two such places are apart."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import zoo
from .errors import SapiensError
from .tasks.base import Result

Vector = tuple[float, float, float]

REACH_SHARE = 0.05  # how far a keypoint may be from the pixel, by the longer side of its person's box
LEAST_REACH_PX = 4.0


@dataclass(frozen=True)
class NearKeypoint:
    """A keypoint close to the place that was asked about. `person` counts from 0, in the order of the boxes.

    `score` is about 0..1; `distance_px` is in pixels of the photo.
    """

    person: int
    name: str
    score: float
    distance_px: float


@dataclass(frozen=True)
class NearJoint:
    """A joint of a hand close to the place that was asked about. `hand` counts from 0, in the order of the result, and
    `side` is "left" or "right"; `distance_px` is in pixels of the photo."""

    hand: int
    side: str
    name: str
    distance_px: float


@dataclass(frozen=True)
class Reading:
    """What is known about one place in a photo. What the results do not say, or say in no number, is None.

    x, y: the place in pixels of the photo, from its left and its top edge.
    on_person: whether people are there, by the person mask, the body parts or the matte, the first of them that there
        is. Outside people `normal`, `depth_m`, `position_m` and `albedo` are the network's guesses and mean little.
    part: the name of a class of tasks.seg.classes(), "Background" among them.
    keypoint: the nearest keypoint above the threshold, of whichever person, if one is near.
    joint: the nearest joint of a hand, of whichever, if one is near.
    normal: the unit vector of the surface, x right, y up, z towards the camera.
    depth_m: metres from the camera, along its view.
    position_m: metres from the camera: x right, y down, z away from it.
    alpha: opacity of the person, 0..1.
    albedo: red, green and blue, 0..1.
    """

    x: float
    y: float
    on_person: bool | None = None
    part: str | None = None
    keypoint: NearKeypoint | None = None
    joint: NearJoint | None = None
    normal: Vector | None = None
    depth_m: float | None = None
    position_m: Vector | None = None
    alpha: float | None = None
    albedo: Vector | None = None


@dataclass(frozen=True)
class Distance:
    """How far the second of two places is from the first, in centimetres.

    `straight_cm` is the line through the air, `horizontal_cm` its part along the ground (across and away), and
    `vertical_cm` how much higher the second lies, negative where it lies lower.

    The camera is taken as level: what is up in the photo is taken for up in the world. Of a camera that looks down or
    up, or is held askew, only `straight_cm` holds.
    """

    straight_cm: float
    horizontal_cm: float
    vertical_cm: float


def reading(
    results: Mapping[str, Any], x: float, y: float, *, keypoint_threshold: float = zoo.DEFAULTS.keypoint_threshold
) -> Reading:
    """What the results say about a place in their photo.

    Args:
        results: results of one photo by the name of their task, whichever there are; other names are passed over.
        x, y: the place in pixels of the photo, from its left and its top edge: 0.5, 0.5 is the middle of the first
            pixel. What is said is that pixel's.
        keypoint_threshold: a keypoint counts when its score is above it.

    Raises:
        SapiensError: there is no result, they are of photos of different sizes, or the place is outside the photo.
    """
    height, width = _photo_hw(results)
    if not (0 <= x < width and 0 <= y < height):  # also what is no number
        raise SapiensError(f"The place {x:g}, {y:g} is outside the photo of {width} x {height} pixels.")
    row, column = int(y), int(x)
    seg, pose, hands, normal, pointmap, albedo, matting = (
        results.get(name) for name in ("seg", "pose", "hands", "normal", "pointmap", "albedo", "matting")
    )  # the name says which type each is
    position_m = None if pointmap is None else _before_camera(pointmap.points[row, column])
    return Reading(
        x,
        y,
        on_person=_on_person(results, row, column),
        part=None if seg is None else _part(seg.labels[row, column]),
        keypoint=None if pose is None else _near(pose, x, y, keypoint_threshold),
        joint=None if hands is None else _near_joint(hands, x, y),
        normal=None if normal is None else _unit(normal.normals[row, column]),
        depth_m=None if position_m is None else position_m[2],
        position_m=position_m,
        alpha=None if matting is None else float(matting.alpha[row, column]),
        albedo=None if albedo is None else _finite(albedo.albedo[row, column]),
    )


def between(first: Reading, second: Reading) -> Distance:
    """How far two places are apart in space; see Distance for what it takes for granted about the camera.

    Raises:
        SapiensError: one of them has no position.
    """
    positions = []
    for name, one in (("first", first), ("second", second)):
        if one.position_m is None:
            raise SapiensError(
                f"Nothing is known about how far away the {name} place is. Compute depth, and choose a place on people."
            )
        positions.append(one.position_m)
    across, down, away = (b - a for a, b in zip(*positions, strict=True))
    return Distance(
        straight_cm=100 * math.hypot(across, down, away),
        horizontal_cm=100 * math.hypot(across, away),
        vertical_cm=-100 * down,  # the positions' y points down
    )


def _photo_hw(results: Mapping[str, Result]) -> tuple[int, int]:
    sizes = list(dict.fromkeys(result.photo_rgb.shape[:2] for result in results.values()))
    if not sizes:
        raise SapiensError("There is no result yet to read from. Run a task on the photo first.")
    if len(sizes) > 1:
        words = " and ".join(f"{width} x {height}" for height, width in sizes)
        raise SapiensError(f"The results are of photos of {words} pixels. Give those of one photo.")
    return sizes[0]


def _on_person(results: Mapping[str, Any], row: int, column: int) -> bool | None:
    masks = (result.person_mask for result in results.values())
    mask = next((mask for mask in masks if mask is not None), None)
    if mask is not None:
        return bool(mask[row, column])
    if "seg" in results:
        return bool(results["seg"].labels[row, column] > 0)
    return bool(results["matting"].alpha[row, column] > 0.5) if "matting" in results else None


def _part(label: int) -> str:
    from .tasks.seg import classes

    return classes().names[label]


def _near(pose: Any, x: float, y: float, threshold: float) -> NearKeypoint | None:
    """The nearest keypoint of those within reach, which follows the size of each person."""
    if not len(pose.keypoints):
        return None
    from .tasks.keypoints import keypoints

    from_middles = pose.keypoints + np.float32(0.5)  # keypoints count from the middle of the first pixel
    distance_px = np.hypot(from_middles[..., 0] - x, from_middles[..., 1] - y)  # (P, 308)
    sides = pose.boxes_xyxy[:, 2:] - pose.boxes_xyxy[:, :2]
    reach_px = np.maximum(LEAST_REACH_PX, REACH_SHARE * sides.max(axis=1, keepdims=True))
    there = (pose.keypoint_scores > threshold) & (distance_px <= reach_px)
    if not there.any():
        return None
    person, index = np.unravel_index(np.where(there, distance_px, np.inf).argmin(), there.shape)
    score = float(pose.keypoint_scores[person, index])
    return NearKeypoint(int(person), keypoints().names[index], score, float(distance_px[person, index]))


def _near_joint(hands: Any, x: float, y: float) -> NearJoint | None:
    """The nearest joint within reach, which follows the size of each hand."""
    if not len(hands):
        return None
    from .tasks.hands import JOINTS

    from_middles = hands.keypoints_xy + np.float32(0.5)  # as of keypoints
    distance_px = np.hypot(from_middles[..., 0] - x, from_middles[..., 1] - y)  # (N, 21)
    reach_px = np.maximum(LEAST_REACH_PX, REACH_SHARE * hands.crops_px[:, None])
    hand, index = np.unravel_index(np.where(distance_px <= reach_px, distance_px, np.inf).argmin(), distance_px.shape)
    if distance_px[hand, index] > reach_px[hand]:
        return None
    return NearJoint(int(hand), hands.sides[hand], JOINTS[index], float(distance_px[hand, index]))


def _unit(vector: np.ndarray) -> Vector | None:
    """The vector at length 1; None where it has none."""
    length = float(np.linalg.norm(vector.astype(np.float64)))
    return _finite(vector / length) if 1e-6 < length < math.inf else None


def _before_camera(point_m: np.ndarray) -> Vector | None:
    found = _finite(point_m)
    return found if found is not None and found[2] > 0 else None


def _finite(vector: np.ndarray) -> Vector | None:
    x, y, z = map(float, vector)
    return (x, y, z) if math.isfinite(x + y + z) else None
