"""Boxes and keypoints of a clip as JSON lines: one object a frame, people by their numbers, and hands."""

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..files import writing
from .frames import Frame

WRITTEN = ("pose", "detect", "hands")  # the tasks whose results are


def line(frame: Frame, result: Any, numbers: list[int] | None) -> str:
    """{"frame", "time_s", "people": [{"track_id", "box_xyxy", "box_score", and for pose "keypoints": 308 of
    [x, y, score]}]}, in pixels of the frame, the keypoints in the order of tasks.keypoints.keypoints().names.

    Of hands {"frame", "time_s", "hands": [{"side", "score", "box_xyxy", "joints": 21 of [x, y, x_mm, y_mm, z_mm]}]},
    the joints in the order of tasks.hands.JOINTS."""
    if result.NAME == "hands":
        return _json(frame, "hands", _hands(result))
    people: list[dict[str, Any]] = [
        {
            "track_id": number,
            "box_xyxy": [_number(value, 3) for value in box],
            "box_score": _number(score, 6),
        }
        for number, box, score in zip(numbers or (), result.boxes_xyxy, result.box_scores, strict=True)
    ]
    if result.NAME == "pose":
        for person, points, scores in zip(people, result.keypoints, result.keypoint_scores, strict=True):
            person["keypoints"] = [
                [_number(x, 3), _number(y, 3), _number(score, 6)] for (x, y), score in zip(points, scores, strict=True)
            ]
    return _json(frame, "people", people)


def _hands(result: Any) -> list[dict[str, Any]]:
    """The rows of a HandsResult."""
    places = np.concatenate([result.keypoints_xy, result.keypoints_3d], axis=-1)  # (N, 21, 5)
    return [
        {
            "side": side,
            "score": _number(score, 6),
            "box_xyxy": [_number(value, 3) for value in box],
            "joints": [[_number(value, 3) for value in joint] for joint in joints],
        }
        for side, score, box, joints in zip(result.sides, result.scores, result.boxes_xyxy, places, strict=True)
    ]


def _json(frame: Frame, name: str, rows: list[dict[str, Any]]) -> str:
    row = {"frame": frame.index, "time_s": round(frame.time_s, 6), name: rows}
    return json.dumps(row, allow_nan=False, separators=(",", ":"))


def _number(value: Any, digits: int) -> float | None:
    """null for what is no number: a network's float16 can overflow."""
    return round(float(value), digits) if math.isfinite(value) else None


def write(path: Path, parts: Iterable[bytes]) -> Path:
    """The lines of all parts as one file."""
    with writing(path) as partial, partial.open("wb") as file:
        for part in parts:
            file.write(part)
    return path


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file of JSON lines, one at a time."""
    with path.open(encoding="utf-8") as file:
        for text in file:
            yield json.loads(text)


def without_hands(rows: Path) -> list[str]:
    """In how many frames of a clip's file of hands there is none, as a sentence, where there are such frames."""
    empty = [not row["hands"] for row in read(rows)]
    if all(empty):
        return ["No hand was found in any frame. Lower the hand threshold (--hand-threshold)."]
    return [f"In {sum(empty)} of {len(empty)} frames no hand was found."] if any(empty) else []
