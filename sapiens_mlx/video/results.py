"""Boxes and keypoints of a clip as JSON lines: one object a frame, people by their numbers."""

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..files import writing
from ..tasks.base import Result
from .frames import Frame


def line(frame: Frame, result: Result, numbers: list[int]) -> str:
    """{"frame", "time_s", "people": [{"track_id", "box_xyxy", "box_score", and for pose "keypoints": 308 of
    [x, y, score]}]}, in pixels of the frame, the keypoints in the order of tasks.keypoints.keypoints().names."""
    people: list[dict[str, Any]] = [
        {
            "track_id": number,
            "box_xyxy": [_number(value, 3) for value in box],
            "box_score": _number(score, 6),
        }
        for number, box, score in zip(numbers, result.boxes_xyxy, result.box_scores, strict=True)
    ]
    if result.NAME == "pose":
        for person, points, scores in zip(people, result.keypoints, result.keypoint_scores, strict=True):
            person["keypoints"] = [
                [_number(x, 3), _number(y, 3), _number(score, 6)] for (x, y), score in zip(points, scores, strict=True)
            ]
    row = {"frame": frame.index, "time_s": round(frame.time_s, 6), "people": people}
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
