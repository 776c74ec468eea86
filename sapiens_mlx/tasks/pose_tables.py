"""Keypoints and joint angles of people as tables: rows for a page, CSV for a spreadsheet. People are counted from 1."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np

from .joint_angles import MEASURES, NOTE, differences, joint_angles
from .keypoints import keypoints


@dataclass(frozen=True)
class KeypointRow:
    """`person` counts from 1, as in the picture; `x_px`, `y_px` are photo pixels; `group` is one of GROUPS."""

    person: int
    index: int
    name: str
    group: str
    x_px: float
    y_px: float
    score: float


@dataclass(frozen=True)
class AngleRow:
    """Degrees in the plane of the photo, NaN where a point is not seen. What is not `paired` has `middle_deg` alone."""

    person: int
    name: str
    left_deg: float
    right_deg: float
    left_minus_right_deg: float
    middle_deg: float


def keypoint_rows(keypoints_xy: np.ndarray, scores: np.ndarray) -> list[KeypointRow]:
    """A row for every point of (P, 308, 2), however low its score of (P, 308): person by person, in order of index."""
    table = keypoints()
    return [
        KeypointRow(
            person,
            index,
            name,
            str(table.groups[index]),
            round(float(points[index, 0]), 3),
            round(float(points[index, 1]), 3),
            round(float(own[index]), 6),
        )
        for person, (points, own) in enumerate(zip(keypoints_xy, scores, strict=True), start=1)
        for index, name in enumerate(table.names)
    ]


def angle_rows(keypoints_xy: np.ndarray, scores: np.ndarray, keypoint_threshold: float) -> list[AngleRow]:
    """A row for every one of MEASURES of every person."""
    rows = []
    for person, (points, own) in enumerate(zip(keypoints_xy, scores, strict=True), start=1):
        angles = joint_angles(points, own, keypoint_threshold)
        apart = differences(angles)
        for name, measure in MEASURES.items():
            if measure.paired:
                cells = angles[f"left_{name}"], angles[f"right_{name}"], apart[name], math.nan
            else:
                cells = math.nan, math.nan, math.nan, angles[name]
            rows.append(AngleRow(person, name, *cells))
    return rows


def keypoints_csv(keypoints_xy: np.ndarray, scores: np.ndarray) -> bytes:
    """`person,index,name,group,x_px,y_px,score`, a line a point, UTF-8."""
    return _csv([field.name for field in fields(KeypointRow)], map(astuple, keypoint_rows(keypoints_xy, scores)))


def angles_csv(keypoints_xy: np.ndarray, scores: np.ndarray, keypoint_threshold: float) -> bytes:
    """`person,name,left_deg,right_deg,left_minus_right_deg,middle_deg,note`, a line a measure; an empty cell is what
    was not seen or does not apply. The note says in every line what the numbers are not."""
    rows = angle_rows(keypoints_xy, scores, keypoint_threshold)
    cells = [[_cell(value) for value in astuple(row)] + [NOTE] for row in rows]
    return _csv([*(field.name for field in fields(AngleRow)), "note"], cells)


def _cell(value: int | str | float) -> int | str | float:
    if isinstance(value, float):
        return "" if math.isnan(value) else round(value, 2)
    return value


def _csv(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(heads)
    writer.writerows(rows)
    return text.getvalue().encode()
