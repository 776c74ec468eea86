"""The tab Studio: photos and choices on one side, what was made of them large on the other. Layout alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from ... import runtime, zoo
from .. import background, command, consent, controls, examples, hands, people, photos, words
from ..open_radio import OpenRadio
from ..storage import STUDIO, Visits
from . import asking, choices, hands_panel, light, pose_panel, probing, space
from .events import connect
from .run import Actions
from .view import View

MOST_FILES = 10  # of any surface: pose, with every layout of its keypoints

VIEWS = (("Slider", "slider"), ("Picture", "picture"), ("Photo", "photo"), ("Side by side", "beside"))
FOREGROUNDS = (("Hide", "auto"), ("Show", "none"))
STYLES = (("Vivid", "readme"), ("Reference", "reference"))


def build(visits: Visits, weights: str | None, folder: Path) -> tuple[dict[str, Any], Callable]:
    """Lay out the tab in the current Blocks and connect it.

    Returns what of it the browser may remember, by name, and what is to be told of the event that restores it.

    Args:
        weights: a folder or None, as for Predictor.
        folder: for the examples' small pictures.
    """
    inputs: dict[str, Any] = {}
    with gr.Row(elem_classes="studio"):
        with gr.Column(scale=0, min_width=320, elem_classes="choices"):
            chosen, parts = _choices(inputs)
        with gr.Column(scale=1, min_width=320, elem_classes="outcome"):
            shown, buttons = _outcome(inputs)
            pressed = examples.build(folder)  # the style sheet puts them above the empty page
    names = ("photo", "people", "boxes", "surface", "view", "style", "foreground")
    view = View(**{name: inputs[name] for name in names}, part=inputs["recoloured_part"], **chosen, **shown)
    do = Actions(view, visits, weights, pressed)
    depends = connect(view, inputs, do, parts | buttons, list(pressed), visits)
    people.connect(parts, inputs, view.status, visits, STUDIO)
    return {name: inputs[name] for name in REMEMBERED}, depends


REMEMBERED = (
    *("tasks", "size", "level", "view", "style", "foreground", "detector", "flip", "hand_vertices", "hand_norms"),
    *(name for task in controls.TASKS for name in controls.names(task)),
)


# ---- the left side --------------------------------------------------------------------------------------------------


def _choices(inputs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fills `inputs`; returns fields of View, and the parts that only the events know."""
    inputs["photo"] = photos.frame()
    strip = gr.Gallery(
        label="Photos",
        show_label=False,
        columns=5,
        height="auto",
        allow_preview=False,
        object_fit="cover",
        interactive=False,
        visible=False,
        buttons=[],
        elem_classes="strip",
    )
    add = gr.UploadButton(
        "Add more photos", file_count="multiple", file_types=["image"], size="sm", elem_classes="take"
    )
    inputs["tasks"] = gr.CheckboxGroup(
        [(zoo.task_row(name).title, name) for name in controls.TASKS],
        value=[zoo.DEFAULTS.task],
        label="What to see",
        elem_classes="chips",
    )
    level = zoo.default_level(runtime.device())
    with gr.Group(elem_classes="weights"):
        inputs["size"] = OpenRadio(
            choices.size_choices([zoo.DEFAULTS.task]),
            value=zoo.DEFAULTS.size,
            label="Size",
            elem_classes="chips small",
        )
        inputs["level"] = OpenRadio(
            list(zoo.LEVELS), value=level, label="Quantization level", elem_classes="chips small"
        )
        too_large = gr.HTML(elem_classes="limits")
    about = gr.HTML(words.choice([zoo.DEFAULTS.task], zoo.DEFAULTS.size, level), elem_id="about")
    parts = people.build(inputs) | {"hands": hands.build(inputs)}
    with gr.Row(elem_classes="go"):
        run = gr.Button("Run", variant="primary", scale=3, min_width=120, elem_id="run")
        stop = gr.Button("Stop", scale=1, min_width=80, interactive=False, elem_id="stop")
    return {"run": run, "stop": stop, "strip": strip}, parts | {"add": add, "about": about, "too_large": too_large}


# ---- the right side -------------------------------------------------------------------------------------------------


def _outcome(inputs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fills `inputs`; returns the other fields of View, and the parts that only the events know."""
    shown: dict[str, Any] = {}
    parts: dict[str, Any] = {}
    shown["status"] = gr.HTML(elem_id="status", elem_classes="status-area")
    shown["consent"] = consent.build()
    shown["empty"] = gr.HTML(words.empty(), elem_classes="start")
    with gr.Column(visible=False, elem_classes="panel") as shown["panel"]:
        gr.HTML(words.RESULT)
        inputs["surface"] = gr.Radio(
            [], label="Shown", show_label=False, container=False, elem_classes="chips surfaces"
        )
        shown |= _frames(inputs)
        with gr.Column(elem_classes="details") as shown["details"]:
            with gr.Row(elem_classes="look") as shown["look"]:
                inputs["view"] = gr.Radio(list(VIEWS), value="slider", label="View", elem_classes="chips small")
                inputs["style"] = gr.Radio(
                    list(STYLES), value=zoo.DEFAULTS.style, label="Style", elem_classes="chips small"
                )
                inputs["foreground"] = gr.Radio(
                    list(FOREGROUNDS), value="auto", label="Surroundings of people", elem_classes="chips small"
                )
            with gr.Row(elem_classes="asking") as shown["asking"]:
                shown["told"] = gr.HTML(probing.told([]), elem_classes="told-area")
                inputs["place"] = asking.build()
            shown["style_groups"] = groups = {}
            for name in controls.CONTROLS:
                with gr.Row(visible=False, elem_classes="style") as groups[name]:
                    if name == "relit":
                        shown["ball"] = light.build()
                    inputs |= controls.build(name)
                    if name == background.TASK:
                        shown["background"] = background.build(inputs)
            with gr.Column(visible=False) as groups["pose panel"]:
                panel = pose_panel.build(inputs)
            shown |= {"angles": panel["angles"], "keypoints": panel["points"]}
            shown["hands"] = hands_panel.build()
            shown["pose_inputs"] = {name: inputs[name] for name in pose_panel.NAMES}
            parts["keypoints"] = panel["table"]
            shown["notes"] = gr.HTML(elem_classes="notes-area")
            with gr.Row(elem_classes="files"):
                shown["downloads"] = [
                    gr.DownloadButton("", visible=False, size="sm", min_width=150) for _ in range(MOST_FILES)
                ]
                parts["everything"] = gr.Button("Everything · ZIP", size="sm", min_width=150, elem_id="everything")
                shown["archive"] = gr.DownloadButton("", elem_id="archive", elem_classes="pressed-by-page")
            with gr.Row(elem_classes="report"):
                shown["card"] = gr.HTML(min_width=300)
                shown["command"] = command.build()
    return shown, parts


def _frames(inputs: dict[str, Any]) -> dict[str, Any]:
    """What a picture is shown in: the slider, itself alone, or the 3-D viewer. Fills `inputs`; fields of View."""
    frames: dict[str, gr.Column] = {}
    with gr.Column() as frames["slider"]:
        slider = gr.ImageSlider(
            label="Photo and picture",
            show_label=False,
            interactive=False,
            buttons=["fullscreen"],
            max_height=5000,  # the style sheet fits it into the window
            elem_classes="picture",
        )
    with gr.Column(visible=False) as frames["picture"]:
        picture = gr.Image(
            label="Picture",
            show_label=False,
            interactive=False,
            buttons=["fullscreen"],
            elem_classes="picture asks",
            alt_text="The picture that was computed from the photo; press a place to read it",
        )
    with gr.Column(visible=False) as frames["space"]:
        viewer = space.build(inputs)
    return {"frames": frames, "slider": slider, "picture": picture, "space": viewer}
