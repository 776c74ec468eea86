"""The surface of hands in 3-D: their meshes in the viewer of space.py, seen from the direction of the camera."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from .. import words
from .space import TURN, VIEW_RAD, Space, before_tone_mapping, height_of

if TYPE_CHECKING:
    import numpy as np

    from ...tasks.hands import HandsResult

MARGIN = 1.15  # around the hands
LEAST_SHARE = 0.6  # of the height in the width, so that on a phone too all of the width has room
ABOUT = "Blue hands are left ones, orange hands right ones. Sizes are true; how far hands are apart is a guess."


def updates(space: Space, result: "HandsResult", folder: Path, stem: str) -> dict[Any, Any]:
    """What to write to the viewer's components for a result with meshes of one hand or more.

    `folder` is a new one every time, as for space.updates().
    """
    from ...tasks import hands_files

    viewed = hands_files.write_glb(folder / "view.glb", result, recoloured=before_tone_mapping)
    glb = hands_files.write_glb(folder / f"{stem}_hands.glb", result)
    obj = hands_files.write_obj(folder / f"{stem}_hands.obj", result)
    radius, shape = first_view(hands_files.scene_vertices_m(result).reshape(-1, 3))
    return {
        space.viewer: gr.update(
            value=str(viewed),
            camera_position=(90.0, 90.0, radius),
            height=height_of(*shape),
            elem_classes=["viewer"],
        ),
        space.told: f'<div class="notes"><p>{ABOUT} {TURN}</p></div>',
    } | {
        button: gr.update(value=str(path), label=words.file_label(path), visible=True)
        for button, path in zip(space.downloads, (glb, obj), strict=True)
    }


def first_view(vertices_m: "np.ndarray") -> tuple[float, tuple[float, float]]:
    """How far from the middle of the bounds of vertices (V, 3), x right, y down, z away, the viewer stands so that all
    are seen, in metres; and the (height, width) of what is seen, in any unit."""
    import numpy as np

    low, high = vertices_m.min(0).astype(np.float64), vertices_m.max(0).astype(np.float64)
    about = vertices_m - (low + high) / 2
    width, height = np.maximum((high - low)[:2], 1e-3)
    height = max(height, LEAST_SHARE * width)
    across = np.abs(about[:, 0]) * height / width  # as many heights as it is widths from the middle
    reach = np.maximum(across, np.abs(about[:, 1])) / math.tan(VIEW_RAD / 2)
    return float((MARGIN * reach - about[:, 2]).max()), (float(height), float(width))
