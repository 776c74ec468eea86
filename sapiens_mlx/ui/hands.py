"""Which hands are looked for and what is computed of them: the part of a tab that says so, for the task `hands`."""

from collections.abc import Mapping
from typing import Any

import gradio as gr

from .. import zoo
from ..errors import SapiensError
from ..hands import check_installed

TASK = zoo.HANDS.name
NAMES = ("hand_crop", "hand_threshold", "hand_iou", "hand_vertices", "hand_norms")  # among a tab's inputs
FIND = "find"
CROPS = (("Find them", FIND), ("It is a left hand", "left"), ("It is a right hand", "right"))
NORMS = (("As wilor-mlx", "package"), ("As WiLoR in PyTorch", "trained"))
ABOUT_CROPS = "Where the photo is nothing but one hand, cut out, say which: none is looked for then."
ABOUT_NORMS = "What the last part of the network normalises by: each hand itself, or the statistics of its training."


def build(inputs: dict[str, Any]) -> gr.Accordion:
    """The part, hidden. Fills `inputs` by NAMES."""
    default = zoo.DEFAULTS
    with gr.Accordion("Hands in the photo", open=False, visible=False, elem_classes=["people", "hands"]) as part:
        inputs["hand_crop"] = gr.Radio(
            list(CROPS), value=FIND, label="The photo", info=ABOUT_CROPS, elem_classes="chips small"
        )
        inputs["hand_threshold"] = gr.Slider(0.05, 0.95, default.hand_threshold, step=0.05, label="Hand threshold")
        inputs["hand_iou"] = gr.Slider(0, 1, default.hand_iou, step=0.05, label="Overlap of hands kept (IoU)")
        inputs["hand_vertices"] = gr.Checkbox(
            True, label="Meshes too, not points alone", container=False, elem_classes="plain"
        )
        inputs["hand_norms"] = gr.Radio(
            list(NORMS), value=default.hand_norms, label="Norms", info=ABOUT_NORMS, elem_classes="chips small"
        )
    return part


def options(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of options.Options that say which hands are looked for, and what is computed of them."""
    return {
        "hand_threshold": values["hand_threshold"],
        "hand_iou": values["hand_iou"],
        "vertices": values["hand_vertices"],
        "hand_crop": None if values["hand_crop"] == FIND else values["hand_crop"],
        "hand_norms": values["hand_norms"],
    }


def words(values: Mapping[str, Any]) -> list[str]:
    """The same as options of the command line, what differs from the defaults."""
    default, said = zoo.DEFAULTS, []
    if values["hand_crop"] != FIND:
        said += ["--hand-crop", values["hand_crop"]]  # and then the two thresholds mean nothing
    else:
        for name in ("hand_threshold", "hand_iou"):
            if values[name] != getattr(default, name):
                said += [f"--{name.replace('_', '-')}", f"{values[name]:g}"]
    if values["hand_norms"] != default.hand_norms:
        said += ["--hand-norms", values["hand_norms"]]
    return said if values["hand_vertices"] else [*said, "--no-vertices"]


def missing() -> str:
    """The sentence that says how to install what hands need; empty where it is there."""
    try:
        check_installed()
    except SapiensError as problem:
        return str(problem)
    return ""
