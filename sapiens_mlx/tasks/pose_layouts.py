"""A pose in the layouts that other tools read: COCO's 17 points, COCO-WholeBody's 133, and OpenPose's people.

Which of our 308 keypoints stands where is a mapping by name, data/pose_layouts.json; left and right are the person's
own in all of them. A point of a layout that none of ours is surely the same as is 0, 0, 0 and listed as missing:

- the jaw line (face 0 to 16): ours has no contour of the face;
- the points below the nostrils (face 32 and 34): ours has three corners of each nostril, none of them below it.

The names of points on lips and lids do not say on which side they lie; they are numbered from left to right in a
picture of a face, as the order of the eyelids in the table shows. Between two of them, the nearer one is taken.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from .keypoints import keypoints

COCO_PARTS = ("coco_body",)
WHOLEBODY_PARTS = ("coco_body", "feet", "face68", "left_hand", "right_hand")
# COCO-WholeBody's keys of a person, by the part that each holds, and OpenPose's.
WHOLEBODY_KEYS = {
    "keypoints": "coco_body",
    "foot_kpts": "feet",
    "face_kpts": "face68",
    "lefthand_kpts": "left_hand",
    "righthand_kpts": "right_hand",
}
OPENPOSE_KEYS = {
    "pose_keypoints_2d": ("body25",),
    "face_keypoints_2d": ("face68", "pupils"),
    "hand_left_keypoints_2d": ("left_hand",),
    "hand_right_keypoints_2d": ("right_hand",),
}
OPENPOSE_VERSION = 1.3
OPENPOSE_3D = ("pose", "face", "hand_left", "hand_right")  # of which OpenPose writes empty lists without its 3-D
# COCO's skeleton, as pairs of its points counted from 1.
COCO_SKELETON = (
    (16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8), (7, 9),
    (8, 10), (9, 11), (2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7),
)  # fmt: skip
DECIMALS, SCORE_DECIMALS = 3, 6


@dataclass(frozen=True)
class Layout:
    """`names` of a layout's N points in its order. `sources` (N, 2) are indices of ours: twice the same one, the two
    whose middle it is, or -1 where it is `missing`."""

    names: tuple[str, ...]
    sources: np.ndarray

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(name for name, (first, _) in zip(self.names, self.sources, strict=True) if first < 0)

    def points(self, points_xy: np.ndarray, scores: np.ndarray, above: float = 0.0) -> np.ndarray:
        """(N, 3) float64: x, y in photo pixels and the score; a middle has the lower score of its two ends.

        0, 0, 0 where the point is missing or does not score above `above`, which is at least 0: at a score of 0 or
        less a keypoint has no place.

        Args:
            points_xy: (308, 2).
            scores: (308,).
        """
        ends_xy, ends_scores = points_xy[self.sources].astype(np.float64), scores[self.sources].astype(np.float64)
        laid = np.column_stack([ends_xy.mean(axis=1), ends_scores.min(axis=1)])
        found = (self.sources[:, 0] >= 0) & (laid[:, 2] > max(0.0, above)) & np.isfinite(laid).all(axis=1)
        return np.where(found[:, None], laid, 0.0)


@cache
def layout(*parts: str) -> Layout:
    """The points of several parts of data/pose_layouts.json, one part after the other."""
    table = _table()
    index = {name: number for number, name in enumerate(keypoints().names)}
    rows = [row for part in parts for row in table[part].items()]
    sources = [
        (-1, -1) if ours is None else (index[ours],) * 2 if isinstance(ours, str) else tuple(index[one] for one in ours)
        for _, ours in rows
    ]
    return Layout(tuple(name for name, _ in rows), np.array(sources))


@cache
def _table() -> dict[str, dict[str, Any]]:
    return json.loads((Path(__file__).parent / "data/pose_layouts.json").read_text(encoding="utf-8"))


# ---- files ----------------------------------------------------------------------------------------------------------


def coco17(
    photo_hw: tuple[int, int],
    keypoints_xy: np.ndarray,
    scores: np.ndarray,
    boxes_xyxy: np.ndarray,
    box_scores: np.ndarray,
    keypoint_threshold: float,
    file_name: str = "",
) -> dict[str, Any]:
    """COCO's JSON of keypoints, one annotation a person.

    {"images": [{"id", "width", "height", "file_name"}], "categories": [person], "missing": [names],
     "annotations": [{"id", "image_id", "category_id", "bbox": [x, y, width, height], "area", "iscrowd", "score",
                      "keypoints": [x, y, score] * 17, "num_keypoints"}]}

    The third number of a point is its score, 0..1, where COCO's own annotations have 0, 1 or 2. Points of any score are
    in it; "num_keypoints" counts those above `keypoint_threshold`. "area" is the box's.

    Args:
        keypoints_xy: (P, 308, 2) photo pixels.
        scores: (P, 308).
        boxes_xyxy, box_scores: (P, 4) photo pixels and (P,).
        file_name: what the photo is called in it.
    """
    people = _People(keypoints_xy, scores, boxes_xyxy, box_scores, keypoint_threshold)
    return _coco(people, photo_hw, file_name, {"keypoints": layout(*COCO_PARTS)}, layout(*COCO_PARTS))


def wholebody133(
    photo_hw: tuple[int, int],
    keypoints_xy: np.ndarray,
    scores: np.ndarray,
    boxes_xyxy: np.ndarray,
    box_scores: np.ndarray,
    keypoint_threshold: float,
    file_name: str = "",
) -> dict[str, Any]:
    """COCO-WholeBody's JSON: as coco17(), with its keys beside "keypoints", which stays the body's 17.

    "foot_kpts" [x, y, score] * 6, "face_kpts" * 68, "lefthand_kpts" * 21, "righthand_kpts" * 21; and all 133 in the
    official order as "wholebody_keypoints", named in the category. "foot_valid", ... say whether a part has any point
    above the threshold, and "face_box", "lefthand_box", "righthand_box" (x, y, width, height) hold those; else zeros.
    """
    people = _People(keypoints_xy, scores, boxes_xyxy, box_scores, keypoint_threshold)
    layouts = {key: layout(part) for key, part in WHOLEBODY_KEYS.items()}
    whole = layout(*WHOLEBODY_PARTS)
    result = _coco(people, photo_hw, file_name, layouts | {"wholebody_keypoints": whole}, whole)
    result["categories"][0]["wholebody_keypoints"] = list(whole.names)
    return result


def openpose(keypoints_xy: np.ndarray, scores: np.ndarray, keypoint_threshold: float) -> dict[str, Any]:
    """OpenPose's JSON: {"version", "people": [{"pose_keypoints_2d": [x, y, score] * 25, "face_keypoints_2d" * 70,
    "hand_left_keypoints_2d" * 21, "hand_right_keypoints_2d" * 21, ...}], "missing": {key: [names]}}.

    The body is BODY_25. Its neck and its middle of the hips are the middles of both shoulders and of both hips, as in
    OpenPose's own training data, and not our keypoint "neck". A point that does not score above `keypoint_threshold`
    is 0, 0, 0, as OpenPose writes what it did not find.

    Args:
        keypoints_xy: (P, 308, 2) photo pixels.
        scores: (P, 308).
    """
    layouts = {key: layout(*parts) for key, parts in OPENPOSE_KEYS.items()}
    people = [
        {"person_id": [-1]}  # what OpenPose writes of people whom it does not follow through a video
        | {key: _flat(one.points(points, own, keypoint_threshold)) for key, one in layouts.items()}
        | {f"{part}_keypoints_3d": [] for part in OPENPOSE_3D}
        for points, own in zip(keypoints_xy, scores, strict=True)
    ]
    missing = {key: list(one.missing) for key, one in layouts.items() if one.missing}
    return {"version": OPENPOSE_VERSION, "people": people, "missing": missing}


@dataclass(frozen=True)
class _People:
    keypoints_xy: np.ndarray
    scores: np.ndarray
    boxes_xyxy: np.ndarray
    box_scores: np.ndarray
    keypoint_threshold: float


def _coco(
    people: _People,
    photo_hw: tuple[int, int],
    file_name: str,
    layouts: Mapping[str, Layout],
    whole: Layout,
) -> dict[str, Any]:
    """The file around one annotation a person, which holds the points of `layouts` by their keys."""
    body = layouts["keypoints"]
    annotations = []
    for number, (points, scores, box, score) in enumerate(
        zip(people.keypoints_xy, people.scores, people.boxes_xyxy, people.box_scores, strict=True), start=1
    ):
        laid = {key: one.points(points, scores) for key, one in layouts.items()}
        x1, y1, x2, y2 = (float(value) for value in box)
        annotation = {
            "id": number,
            "image_id": 1,
            "category_id": 1,
            "bbox": [round(value, DECIMALS) for value in (x1, y1, x2 - x1, y2 - y1)],
            "area": round((x2 - x1) * (y2 - y1), DECIMALS),
            "iscrowd": 0,
            "score": round(float(score), SCORE_DECIMALS),
            "num_keypoints": int((laid["keypoints"][:, 2] > people.keypoint_threshold).sum()),
        }
        annotation |= {key: _flat(one) for key, one in laid.items()}
        for key in layouts:
            if key.endswith("_kpts"):
                annotation |= _part(key.removesuffix("_kpts"), laid[key], people.keypoint_threshold)
        annotations.append(annotation)
    person = {
        "id": 1,
        "name": "person",
        "supercategory": "person",
        "keypoints": list(body.names),
        "skeleton": [list(link) for link in COCO_SKELETON],
    }
    return {
        "images": [{"id": 1, "width": photo_hw[1], "height": photo_hw[0], "file_name": file_name}],
        "categories": [person],
        "annotations": annotations,
        "missing": list(whole.missing),
    }


def _part(part: str, laid: np.ndarray, keypoint_threshold: float) -> dict[str, Any]:
    """Whether a part of COCO-WholeBody was found, and the box around what was; feet have no box there."""
    seen = laid[laid[:, 2] > keypoint_threshold, :2]
    found: dict[str, Any] = {f"{part}_valid": bool(len(seen))}
    if part != "foot":
        least, most = (seen.min(axis=0), seen.max(axis=0)) if len(seen) else (np.zeros(2), np.zeros(2))
        found[f"{part}_box"] = [round(float(value), DECIMALS) for value in (*least, *(most - least))]
    return found


def _flat(laid: np.ndarray) -> list[float]:
    """(N, 3) as x, y, score, x, y, score, ..."""
    return [
        number
        for x, y, score in laid.tolist()
        for number in (round(x, DECIMALS), round(y, DECIMALS), round(score, SCORE_DECIMALS))
    ]
