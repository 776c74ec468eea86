"""Who is in the photo, and which hands, as the commands are told."""

import argparse
from typing import Any

from ..boxes import read_boxes


def people_of(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of options.Options that say who and which hands are in the photo."""
    boxes = list(options.boxes or [])
    if options.boxes_file:
        boxes += read_boxes(options.boxes_file)
    return {
        "boxes_xyxy": boxes or None,
        "detector": options.detector,
        "box_threshold": options.box_threshold,
        "nms_threshold": options.nms,
        "flip": not options.no_flip,
        "hand_threshold": options.hand_threshold,
        "hand_iou": options.hand_iou,
        "hand_crop": options.hand_crop,
        "hand_norms": options.hand_norms,
        "vertices": not options.no_vertices,
    }
