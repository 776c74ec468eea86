"""Who is in the photo, as the commands are told."""

import argparse
from typing import Any

from ..boxes import read_boxes


def people_of(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of predictor.Options that say who is in the photo."""
    boxes = list(options.boxes or [])
    if options.boxes_file:
        boxes += read_boxes(options.boxes_file)
    return {
        "boxes_xyxy": boxes or None,
        "detector": options.detector,
        "box_threshold": options.box_threshold,
        "nms_threshold": options.nms,
        "flip": not options.no_flip,
    }
