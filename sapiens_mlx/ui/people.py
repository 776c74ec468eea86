"""The table of boxes: what was found goes in, and what the visitor made of it comes out as own boxes."""

from collections.abc import Mapping
from typing import Any

import gradio as gr
import numpy as np

from ..errors import BoxError, SapiensError

TASKS = ("pose", "detect")  # those that look at people one by one
HEADERS = ("x1", "y1", "x2", "y2", "score")
EMPTY = np.empty((0, 4), np.float32)
CHOICES = (("Find them", "find"), ("Whole photo", "whole"), ("Boxes below", "own"))


def table() -> gr.Dataframe:
    """The empty table; a row can be added, changed and removed."""
    return gr.Dataframe(
        value=rows(),
        headers=list(HEADERS),
        datatype="str",  # numbers would turn an empty cell into 0
        type="array",
        row_count=0,
        column_count=len(HEADERS),
        static_columns=[4],
        interactive=True,
        label="Boxes in pixels of the photo: left, top, right, bottom",
        max_height=260,
        buttons=[],
    )


def rows(boxes_xyxy: np.ndarray = EMPTY, box_scores: np.ndarray = EMPTY) -> dict[str, list]:
    """What the table shows for (P, 4) boxes and (P,) scores; with its headers, which it otherwise loses."""
    cells = [
        [*(f"{value:.1f}" for value in box), f"{score:.2f}"] for box, score in zip(boxes_xyxy, box_scores, strict=True)
    ]
    return {"headers": list(HEADERS), "data": cells}


def with_one_more(boxes: list[list[Any]], photo_hw: tuple[int, int]) -> dict[str, list]:
    """The table with a new box on top, the middle of the photo, to be changed."""
    height, width = photo_hw
    middle = [f"{value:.0f}" for value in (width / 4, height / 8, 3 * width / 4, 7 * height / 8)]
    return {"headers": list(HEADERS), "data": [[*middle, ""], *boxes]}


def own_boxes(values: Mapping[str, Any]) -> list[list[float]] | None:
    """The boxes of the table, each x1, y1, x2, y2 in photo pixels; None where they are not what is wanted.

    Raises:
        BoxError: there are none, or a cell holds no number. What else can be wrong with a box, the predictor says.
    """
    if values["people"] != "own":
        return None
    boxes = []
    for number, row in enumerate(values["boxes"], start=1):
        cells = [text for cell in row[:4] if (text := str("" if cell is None else cell).strip())]
        if not cells:
            continue  # a row added and not filled in
        try:
            box = [float(cell) for cell in cells]
        except ValueError as problem:
            raise BoxError(
                f"Box {number} holds something that is not a number. Give left, top, right, bottom in pixels."
            ) from problem
        if len(box) != 4:
            raise BoxError(f"Box {number} has {len(box)} of its four numbers. Fill in x1, y1, x2 and y2.")
        boxes.append(box)
    if not boxes:
        raise SapiensError("There is no box in the table. Add one, or let people be found.")
    return boxes
