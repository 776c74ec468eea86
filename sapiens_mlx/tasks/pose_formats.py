"""What else a pose is written as beside its own three files: the formats by name, each with the ending of its file."""

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import SapiensError
from . import pose_layouts, pose_tables

if TYPE_CHECKING:
    from .pose import PoseResult

Writer = Callable[["PoseResult", float, str], bytes]  # of a result, the keypoint threshold and the photo's name


def _coco17(result: "PoseResult", threshold: float, name: str) -> bytes:
    return _json(pose_layouts.coco17(*_of(result), threshold, name))


def _wholebody133(result: "PoseResult", threshold: float, name: str) -> bytes:
    return _json(pose_layouts.wholebody133(*_of(result), threshold, name))


def _openpose(result: "PoseResult", threshold: float, name: str) -> bytes:
    return _json(pose_layouts.openpose(result.keypoints, result.keypoint_scores, threshold))


def _csv(result: "PoseResult", threshold: float, name: str) -> bytes:
    return pose_tables.keypoints_csv(result.keypoints, result.keypoint_scores)


def _angles(result: "PoseResult", threshold: float, name: str) -> bytes:
    return pose_tables.angles_csv(result.keypoints, result.keypoint_scores, threshold)


FORMATS: dict[str, tuple[str, Writer]] = {
    "coco17": ("pose_coco17.json", _coco17),
    "wholebody133": ("pose_wholebody133.json", _wholebody133),
    "openpose": ("pose_openpose.json", _openpose),
    "csv": ("pose.csv", _csv),
    "angles": ("pose_angles.csv", _angles),
}


def resolved(names: Sequence[str]) -> tuple[str, ...]:
    """The names without repetitions. SapiensError for one that is no format."""
    for name in names:
        if name not in FORMATS:
            raise SapiensError(f"A pose cannot be written as {name!r}. Choose of: {', '.join(FORMATS)}.")
    return tuple(dict.fromkeys(names))


def _of(result: "PoseResult") -> tuple[tuple[int, int], np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    size_hw = result.photo_rgb.shape[:2]
    return size_hw, result.keypoints, result.keypoint_scores, result.boxes_xyxy, result.box_scores


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, allow_nan=False).encode()
