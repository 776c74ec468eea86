"""The controls that redraw a picture from the kept result: a table of the options of each task's picture()."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from .. import zoo
from .background import hex_colour


@dataclass(frozen=True)
class Control:
    """One option of a picture(): a switch, a slider (`limits` are least, most, step), a choice of few in view or of
    `many` in a list, or a colour.

    `readme` and `reference` are what it starts at in the two styles. A slider `automatic` at 0 then passes None.
    A control that is not `in_reference` means nothing in that style.
    """

    option: str
    label: str
    readme: Any  # bool, float or str
    reference: Any
    limits: tuple[float, float, float] | None = None
    choices: tuple[tuple[str, str], ...] = ()
    many: bool = False
    colour: bool = False
    automatic: bool = False
    in_reference: bool = True


THRESHOLD = zoo.DEFAULTS.keypoint_threshold
COLOUR_BY = (("Person", "person"), ("Body part", "part"))

CONTROLS: dict[str, tuple[Control, ...]] = {
    "seg": (
        Control("legend", "Legend", True, False),
        Control("opacity", "Opacity", 0.55, 0.5, limits=(0, 1, 0.05)),
    ),
    "pose": (
        Control("colour_by", "Colour by", "person", "person", choices=COLOUR_BY, in_reference=False),
        Control("links", "Links", True, True),
        Control("boxes", "Boxes", True, False),
        Control("keypoint_threshold", "Keypoint threshold", THRESHOLD, THRESHOLD, limits=(0, 1, 0.01)),
        Control("point_size", "Point size (0: auto)", 0, 0, limits=(0, 40, 0.5), automatic=True),
        Control("line_width", "Line width (0: auto)", 0, 0, limits=(0, 30, 0.5), automatic=True),
    ),
    "normal": (),
    "pointmap": (Control("legend", "Colour bar", True, False),),
    "albedo": (),
    "matting": (Control("photo_colours", "Colours of the photo", False, False),),
    "detect": (Control("line_width", "Line width (0: auto)", 0, 0, limits=(0, 30, 1), automatic=True),),
    zoo.HANDS.name: (
        Control("opacity", "Mesh opacity", zoo.DEFAULTS.mesh_opacity, zoo.DEFAULTS.mesh_opacity, limits=(0, 1, 0.05)),
        Control("skeleton", "Skeletons", True, True),
        Control("labels", "Labels", True, True),
        Control("line_width", "Line width (0: auto)", 0, 0, limits=(0, 30, 0.5), automatic=True),
    ),
    "relit": (
        Control("azimuth_deg", "Light from left to right, degrees", -40, -40, limits=(-180, 180, 1)),
        Control("elevation_deg", "Light from below to above, degrees", 30, 30, limits=(-90, 90, 1)),
        Control("strength", "Strength", 0.9, 0.9, limits=(0, 3, 0.05)),
        Control("ambient", "Ambient", 0.35, 0.35, limits=(0, 1.5, 0.05)),
        Control("albedo", "Take out the photo's own light (needs Albedo)", True, True),
    ),
    "recoloured": (
        Control("part", "Part", "", "", many=True),
        Control("colour", "Colour", "#b3264a", "#b3264a", colour=True),
        Control("strength", "Strength", 1, 1, limits=(0, 1, 0.05)),
    ),
}

TASKS = tuple(task for task in CONTROLS if task in zoo.task_names())  # features have a tab of their own
TWO_STYLES = ("seg", "pose", "pointmap", "albedo", "matting")  # elsewhere both styles are one
CUT_OUT = ("normal", "pointmap", "albedo")  # tasks that can be drawn for people only


def name(task: str, control: Control) -> str:
    """What the control is called among the page's inputs."""
    return f"{task}_{control.option}"


def names(task: str) -> list[str]:
    """Those of all controls of a task."""
    return [name(task, control) for control in CONTROLS.get(task, ())]


# What of the page's inputs changes a picture and its files, but not what is run.
LOOK = (
    "style",
    "foreground",
    "background",
    "background_colour",
    *(one for task in CONTROLS for one in names(task)),
)


def build(task: str) -> dict[str, gr.components.Component]:
    """The components of a task's controls, by name, at what they start at."""
    built: dict[str, gr.components.Component] = {}
    for control in CONTROLS[task]:
        component: gr.components.Component
        if control.limits:
            least, most, step = control.limits
            component = gr.Slider(least, most, value=control.readme, step=step, label=control.label)
        elif control.many:
            component = gr.Dropdown([], label=control.label, min_width=160, elem_classes="pick-one")
        elif control.colour:
            component = gr.ColorPicker(control.readme, label=control.label, elem_classes="colour")
        elif control.choices:
            component = gr.Radio(
                list(control.choices), value=control.readme, label=control.label, elem_classes="chips small"
            )
        else:
            component = gr.Checkbox(control.readme, label=control.label, container=False)
        built[name(task, control)] = component
    return built


def start_values(style: str) -> dict[str, Any]:
    """Updates that put every control to what it starts at in a style, by name."""
    return {
        name(task, control): gr.update(
            **{"value": getattr(control, style)} | ({} if control.in_reference else {"visible": style == "readme"})
        )
        for task, controls in CONTROLS.items()
        for control in controls
        if not (control.many or control.colour)  # which are the same in every style
    }


def options(task: str, style: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The keyword arguments of the task's picture() for the values of all controls by name."""
    chosen: dict[str, Any] = {"style": style}
    for control in CONTROLS[task]:
        value = values[name(task, control)]
        if control.colour:
            value = hex_colour(value)
        chosen[control.option] = None if control.automatic and not value else value
    return chosen
