"""Who is in the photo: which detector looks, and the table of boxes that it, a file or the visitor fills."""

from collections.abc import Mapping
from typing import Any

import gradio as gr
import numpy as np

from .. import zoo
from ..boxes import read_boxes
from ..errors import BoxError, SapiensError
from .problems import noticed
from .storage import Visits
from .visit import Visit
from .wiring import PRIVATE

TASKS = ("pose", "detect")  # those that look at people one by one
HEADERS = ("x1", "y1", "x2", "y2", "score")
EMPTY = np.empty((0, 4), np.float32)
CHOICES = (("Find them", "find"), ("Whole photo", "whole"), ("Boxes below", "own"))
DETECTORS = (("RTMDet", "rtmdet"), ("RF-DETR", "rfdetr"))
ABOUT_DETECTORS = (
    "RF-DETR needs the package mlx-vlm; its weights (129 MB, Apache License 2.0) are downloaded at its first run."
)


def build(inputs: dict[str, Any]) -> dict[str, Any]:
    """The part of a tab that says who is looked at. Fills `inputs`; returns the part and its two buttons."""
    with gr.Accordion("People in the photo", open=False, visible=False, elem_classes="people") as part:
        inputs["people"] = gr.Radio(list(CHOICES), value="find", label="Who is looked at", elem_classes="chips small")
        inputs["detector"] = gr.Radio(
            list(DETECTORS),
            value=zoo.DETECTORS[0],
            label="Detector",
            info=ABOUT_DETECTORS,
            elem_classes="chips small",
        )
        inputs["box_threshold"] = gr.Slider(
            0.05, 0.95, zoo.DEFAULTS.box_threshold, step=0.05, label="Detector threshold"
        )
        inputs["nms_threshold"] = gr.Slider(0, 1, zoo.DEFAULTS.nms_threshold, step=0.05, label="Overlap kept (NMS)")
        inputs["boxes"] = table()
        with gr.Row(elem_classes="add"):
            add = gr.Button("Add a box", size="sm", min_width=90)
            upload = gr.UploadButton(
                "Boxes from a file", file_types=[".json", ".csv", ".txt"], size="sm", min_width=120
            )
        inputs["flip"] = gr.Checkbox(
            zoo.DEFAULTS.flip,
            label="Average with the mirrored photo: steadier, twice the work",
            container=False,
            elem_classes="plain",
        )
    return {"people": part, "add_box": add, "boxes_file": upload}


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


def nobody_yet(table: gr.Dataframe, who: gr.Radio) -> dict[gr.blocks.Block, Any]:
    """Updates that empty the table for a new photo, in which people are to be found."""
    return {table: rows(), who: "find"}


def with_one_more(boxes: list[list[Any]], photo_hw: tuple[int, int]) -> dict[str, list]:
    """The table with a new box on top, the middle of the photo, to be changed."""
    height, width = photo_hw
    middle = [f"{value:.0f}" for value in (width / 4, height / 8, 3 * width / 4, 7 * height / 8)]
    return {"headers": list(HEADERS), "data": [[*middle, ""], *boxes]}


def connect(parts: Mapping[str, Any], inputs: Mapping[str, Any], status: gr.HTML, visits: Visits, tab: str) -> None:
    """The events of the table of a tab: whatever the visitor puts into it is what counts."""
    table, who = inputs["boxes"], inputs["people"]

    def one_more(boxes: list[list[Any]], request: gr.Request) -> tuple[Any, str]:
        photo = visits.of(request.session_hash, tab).photo
        return with_one_more(boxes, (0, 0) if photo is None else photo.rgb.shape[:2]), "own"

    def of_file(upload: str, request: gr.Request) -> dict[Any, Any]:
        try:
            boxes = from_file(visits, visits.of(request.session_hash, tab), upload)
        except SapiensError as problem:
            return {status: noticed(problem, "These boxes cannot be used")}
        return {table: boxes, who: "own", status: ""}

    parts["add_box"].click(one_more, table, [table, who], queue=False, **PRIVATE)
    parts["boxes_file"].upload(of_file, parts["boxes_file"], [table, who, status], **PRIVATE)
    table.input(lambda: "own", None, who, queue=False, **PRIVATE)


def from_file(visits: Visits, visit: Visit, upload: str) -> dict[str, list]:
    """The table with the boxes of an uploaded file. Raises as read_boxes."""
    with visit.taking:
        visits.hold(visit, str(upload), "file")
        boxes = read_boxes(upload)
    return {"headers": list(HEADERS), "data": [[*(f"{value:g}" for value in box), ""] for box in boxes]}


def options(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of options.Options that say who is looked at. Raises as own_boxes."""
    return {
        "boxes_xyxy": own_boxes(values),
        "detector": "none" if values["people"] == "whole" else values["detector"],
        "box_threshold": values["box_threshold"],
        "nms_threshold": values["nms_threshold"],
        "flip": values["flip"],
    }


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
        raise BoxError("There is no box in the table. Add one, or let people be found.")
    return boxes
