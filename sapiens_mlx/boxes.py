"""People's boxes from a file somebody wrote: JSON or CSV, x1, y1, x2, y2 in photo pixels."""

import csv
import json
from pathlib import Path

from .errors import BoxError


def read_boxes(path: str | Path) -> list[list[float]]:
    """The boxes in a file, in its order.

    JSON is a list of [x1, y1, x2, y2], or an object with such a list as "boxes_xyxy" (what `--task detect` writes has
    them as "people", each with a "box_xyxy"). CSV has four columns or more, and may begin with a line of names.

    Raises:
        BoxError: when the file cannot be read or holds something else.
    """
    path = Path(path).expanduser()
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        raise BoxError(f"The boxes in {path} cannot be read. Give a JSON or CSV file of x1, y1, x2, y2.") from problem
    try:
        rows = _from_json(text) if text.lstrip().startswith(("[", "{")) else _from_csv(text)
        return [_box(row) for row in rows]
    except (ValueError, TypeError, KeyError, csv.Error) as problem:
        raise BoxError(
            f"{path} is not a list of boxes ({problem}). Write JSON [[x1, y1, x2, y2], ...] or CSV rows x1,y1,x2,y2."
        ) from problem


def _box(row: list) -> list[float]:
    if len(row) < 4:
        raise ValueError(f"{row} has {len(row)} numbers, not 4")
    return [float(number) for number in row[:4]]


def _from_json(text: str) -> list:
    data = json.loads(text)
    if isinstance(data, dict):
        data = data["boxes_xyxy"] if "boxes_xyxy" in data else [person["box_xyxy"] for person in data["people"]]
    if not isinstance(data, list):
        raise ValueError(f"a list is expected, not {type(data).__name__}")
    return data


def _from_csv(text: str) -> list[list[str]]:
    rows = [row for row in csv.reader(text.splitlines()) if row]
    if rows and not _is_number(rows[0][0]):
        rows = rows[1:]  # names of the columns
    return rows


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
