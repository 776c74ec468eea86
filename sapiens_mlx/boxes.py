"""People's boxes from a file somebody wrote: JSON or CSV, x1, y1, x2, y2 in photo pixels."""

import csv
import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from .errors import BoxError
from .files import expanded

NAMES = ("x1", "y1", "x2", "y2")
MOST_BYTES = 4_000_000  # a file of boxes has a few lines, and what pose writes of 100 people 2 MB
MOST_BOXES = 10_000


def read_boxes(path: str | Path) -> list[list[float]]:
    """The boxes in a file, in its order; what `--task detect` and `--task pose` write as JSON is one.

    JSON is a list of [x1, y1, x2, y2] or of {"box_xyxy": [x1, y1, x2, y2]}, or an object that holds such a list as
    "boxes_xyxy" or "people". CSV has its columns apart by commas, semicolons or tabs, and may begin with a line of
    names: those called x1, y1, x2 and y2 are read, or else the first four. Whatever stands beside them is passed over.

    Raises:
        BoxError: when the file cannot be read or holds something else.
    """
    path = Path(path)
    try:
        with expanded(path).open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        text = data[:MOST_BYTES].decode("utf-8-sig")
    except (OSError, ValueError) as problem:  # also: no text, a null in the name
        raise BoxError(f"The boxes in {path} cannot be read. Give a JSON or CSV file of x1, y1, x2, y2.") from problem
    try:
        if len(data) > MOST_BYTES:
            raise ValueError(f"it is larger than {MOST_BYTES // 1_000_000} MB")
        boxes = _from_json(text) if text.lstrip().startswith(("[", "{")) else _from_csv(text)
        if not boxes:
            raise ValueError("it holds no box")
        if len(boxes) > MOST_BOXES:
            raise ValueError(f"it holds more than {MOST_BOXES:,} boxes")
        return boxes
    except (ValueError, TypeError, RecursionError, csv.Error) as problem:
        raise BoxError(
            f"{path} is not a list of boxes ({problem}). Write JSON [[x1, y1, x2, y2], ...] or CSV rows x1,y1,x2,y2."
        ) from problem


def _from_json(text: str) -> list[list[float]]:
    data = json.loads(text)
    if isinstance(data, dict):
        found = [name for name in ("boxes_xyxy", "people") if name in data]
        if not found:
            raise ValueError('it holds neither "boxes_xyxy" nor "people"')
        data = data[found[0]]
    if not isinstance(data, list):
        raise ValueError(f"a list is expected, not {type(data).__name__}")
    return [_box(_of_person(one), f"box {number}") for number, one in enumerate(data[: MOST_BOXES + 1], start=1)]


def _of_person(one: Any) -> Any:
    if not isinstance(one, dict):
        return one
    if "box_xyxy" not in one:
        raise ValueError('a person has no "box_xyxy"')
    return one["box_xyxy"]


def _from_csv(text: str) -> list[list[float]]:
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), "")
    apart_by = max(",;\t", key=first.count)
    numbered = enumerate(csv.reader(lines, delimiter=apart_by), start=1)
    rows = list(islice(((number, row) for number, row in numbered if any(row)), MOST_BOXES + 2))  # and one of names
    columns = list(range(4))
    if rows and not _is_number(rows[0][1][0]):
        names = [name.strip().lower() for name in rows[0][1]]
        columns = [names.index(name) for name in NAMES] if set(NAMES) <= set(names) else columns
        rows = rows[1:]
    return [_box([row[column] for column in columns if column < len(row)], f"line {number}") for number, row in rows]


def _box(numbers: Any, where: str) -> list[float]:
    """The first four as floats."""
    if not isinstance(numbers, Sequence) or isinstance(numbers, str):
        raise ValueError(f"{where} is not four numbers")
    if len(numbers) < 4:
        raise ValueError(f"{where} has {len(numbers)} numbers, not 4")
    try:
        return [float(number) for number in numbers[:4]]
    except (ValueError, TypeError, OverflowError) as problem:  # the last: a whole number of hundreds of digits
        raise ValueError(f"{where} holds something that is not a number") from problem


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
