"""The tab Studio: photo and choices on one side, the picture large on the other. Layout, and which event does what."""

from pathlib import Path
from typing import Any

import gradio as gr

from .. import runtime, zoo
from . import background, command, controls, examples, people, photos, words
from .run import Actions
from .storage import STUDIO, Visits
from .view import View
from .wiring import DRAWING, MODEL, PRIVATE, connect_run, connect_stop

MOST_FILES = 6  # of any task: depth, with the sheet beside the photo

VIEWS = (("Slider", "slider"), ("Picture", "picture"), ("Side by side", "beside"))
FOREGROUNDS = (("Hide", "auto"), ("Show", "none"))
SIZE_WORDS = {"rtmdet-m": "rtmdet-m (0.4b or larger)"}
STYLES = (("Vivid", "readme"), ("Reference", "reference"))


def build(visits: Visits, weights: str | None, folder: Path) -> None:
    """Lay out the tab in the current Blocks and connect it. `weights` is a folder or None, as for Predictor; `folder`
    is for the examples' small pictures."""
    inputs: dict[str, gr.components.Component] = {}
    with gr.Row(elem_classes="studio"):
        with gr.Column(scale=0, min_width=320, elem_classes="choices"):
            run, stop, task_parts, about = _choices(inputs)
        with gr.Column(scale=1, min_width=320, elem_classes="outcome"):
            shown = _outcome(inputs)
            pressed = examples.build(folder)  # the style sheet puts them above the empty page
    view = View(
        photo=inputs["photo"],
        run=run,
        stop=stop,
        people=inputs["people"],
        boxes=inputs["boxes"],
        style=inputs["style"],
        **shown,
    )
    _connect(view, inputs, Actions(view, visits, weights, pressed), task_parts, about, list(pressed), visits)


# ---- layout ---------------------------------------------------------------------------------------------------------


def _choices(inputs: dict[str, Any]) -> tuple[gr.Button, gr.Button, dict[str, Any], gr.HTML]:
    """The left side. Fills `inputs`; returns Run, Stop, the parts that only some tasks have, and what is chosen."""
    task = zoo.DEFAULTS.task
    inputs["photo"] = photos.frame()
    inputs["task"] = gr.Radio(
        [(zoo.task_row(name).title, name) for name in controls.CONTROLS],  # features have a tab of their own
        value=task,
        label="What to see",
        elem_classes="chips",
    )
    level = zoo.default_level(runtime.device())
    with gr.Group(elem_classes="weights"):
        inputs["size"] = gr.Radio(
            _size_choices(task), value=zoo.DEFAULTS.size, label="Size", elem_classes="chips small"
        )
        inputs["level"] = gr.Radio(
            list(zoo.LEVELS), value=level, label="Quantization level", elem_classes="chips small"
        )
    about = gr.HTML(words.choice(task, zoo.DEFAULTS.size, level))
    inputs["foreground"] = gr.Radio(
        list(FOREGROUNDS),
        value="auto",
        label="Surroundings of people",
        info="Hiding them takes a run of Body parts, where its weights are at hand.",
        visible=False,
        elem_classes="chips small",
    )
    people_parts = people.build(inputs)
    with gr.Row(elem_classes="go"):
        run = gr.Button("Run", variant="primary", scale=3, min_width=120, elem_id="run")
        stop = gr.Button("Stop", scale=1, min_width=80, interactive=False, elem_id="stop")
    return run, stop, people_parts, about


def _outcome(inputs: dict[str, Any]) -> dict[str, Any]:
    """The right side: fills `inputs`, and returns the other fields of View."""
    status = gr.HTML(elem_id="status", elem_classes="status-area")
    empty = gr.HTML(words.empty(), elem_classes="start")
    style_groups: dict[str, gr.Row] = {}
    with gr.Column(visible=False, elem_classes="panel") as panel:
        with gr.Column() as slider_frame:
            slider = gr.ImageSlider(
                label="Photo and picture",
                show_label=False,
                interactive=False,
                buttons=["fullscreen"],
                max_height=5000,  # the style sheet fits it into the window
                elem_classes="picture",
            )
        with gr.Column(visible=False) as picture_frame:
            picture = gr.Image(
                label="Picture",
                show_label=False,
                interactive=False,
                buttons=["fullscreen"],
                elem_classes="picture",
                alt_text="The picture that was computed from the photo",
            )
        with gr.Column(elem_classes="details") as details:
            notes = gr.HTML(elem_classes="notes-area")
            with gr.Row(elem_classes="look"):
                inputs["view"] = gr.Radio(list(VIEWS), value="slider", label="View", elem_classes="chips small")
                inputs["style"] = gr.Radio(
                    list(STYLES), value=zoo.DEFAULTS.style, label="Style", elem_classes="chips small"
                )
            for task in controls.CONTROLS:
                with gr.Row(visible=False, elem_classes="style") as style_groups[task]:
                    inputs |= controls.build(task)
                    if task == background.TASK:
                        own_background = background.build(inputs)
            with gr.Row(elem_classes="files"):
                downloads = [gr.DownloadButton("", visible=False, size="sm", min_width=150) for _ in range(MOST_FILES)]
            with gr.Row(elem_classes="report"):
                card = gr.HTML(min_width=300)
                line = command.build()
    return {
        "status": status,
        "empty": empty,
        "panel": panel,
        "notes": notes,
        "details": details,
        "slider": slider,
        "picture": picture,
        "slider_frame": slider_frame,
        "picture_frame": picture_frame,
        "style_groups": style_groups,
        "background": own_background,
        "downloads": downloads,
        "card": card,
        "command": line,
    }


# ---- events ---------------------------------------------------------------------------------------------------------


def _connect(
    view: View,
    inputs: dict[str, Any],
    do: Actions,
    task_parts: dict[str, Any],
    about: gr.HTML,
    pressed: list[gr.Button],
    visits: Visits,
) -> None:
    frames = [view.slider_frame, view.picture_frame, view.panel, view.details]
    drawn = [view.slider, view.picture, view.command, *frames, view.empty, view.status]
    idle = [view.status, view.run, view.stop, view.panel, view.empty]
    told = [view.notes, view.card, view.style, *view.style_groups.values()]

    view.photo.input(
        do.photo_changed,
        view.photo,
        [view.photo, view.status, view.empty, view.panel, view.boxes, view.people],
        **PRIVATE,
        concurrency_limit=4,
    )

    running = connect_run(
        view,
        do,
        pressed,
        [view.photo, view.picture, *frames, view.empty, view.boxes, view.people],
        name="predict",
        description="Run one task on a photo: body parts, pose, normals, depth, albedo, cut-out or people.",
        inputs_kwargs=inputs,
        outputs=[*drawn, view.run, view.stop, *told, *view.downloads],
        show_progress="minimal",
        show_progress_on=view.status,
    )
    for run in running:
        run.then(do.boxes_found, view.boxes, view.boxes, **PRIVATE)

    redrawn = {"inputs_kwargs": inputs, "outputs": drawn, "trigger_mode": "always_last", **PRIVATE, **DRAWING}
    filed = {
        "inputs_kwargs": inputs,
        "outputs": [*view.downloads, view.status],
        "trigger_mode": "always_last",
        **PRIVATE,
        **DRAWING,
    }
    for task in controls.CONTROLS:
        for control in controls.CONTROLS[task]:
            component = inputs[controls.name(task, control)]
            moved = component.release if isinstance(component, gr.Slider) else component.input
            moved(do.redraw, **redrawn).then(do.files, **filed)
    inputs["view"].input(do.redraw, **redrawn)
    inputs["background"].input(
        background.parts, inputs["background"], [inputs["background_colour"], view.background], queue=False, **PRIVATE
    )
    view.background.upload(do.background_taken, view.background, [view.background, view.status], **PRIVATE).success(
        do.redraw, **redrawn
    ).then(do.files, **filed)
    for component in (inputs["background"], inputs["background_colour"]):
        component.input(do.redraw, **redrawn).then(do.files, **filed)
    starts = [inputs[name] for name in controls.start_values(zoo.DEFAULTS.style)]
    view.style.input(lambda style: list(controls.start_values(style).values()), view.style, starts, **PRIVATE).then(
        do.redraw, **redrawn
    ).then(do.files, **filed)
    cutting = (
        inputs["foreground"]
        .input(do.redraw, **redrawn)
        .then(do.cut_out, inputs_kwargs=inputs, outputs=[*drawn, view.run, view.stop], **PRIVATE, **MODEL)
    )
    cutting.then(do.files, **filed)

    connect_stop(view, do, [*running, cutting], idle)

    wanted = gr.State(zoo.DEFAULTS.size)  # the size that the visitor chose last, which not every task comes in
    inputs["task"].input(
        _parts_of_task,
        [inputs["task"], inputs["size"], inputs["level"], wanted],
        [inputs["size"], inputs["level"], task_parts["people"], inputs["flip"], inputs["foreground"], about],
        queue=False,
        **PRIVATE,
    )
    chosen = [inputs["task"], inputs["size"], inputs["level"]]
    inputs["size"].input(
        lambda task, size, level: (words.choice(task, size, level), size),
        chosen,
        [about, wanted],
        queue=False,
        **PRIVATE,
    )
    inputs["level"].input(words.choice, chosen, about, queue=False, **PRIVATE)
    people.connect(task_parts, inputs, view.status, visits, STUDIO)


def _size_choices(task: str) -> list[tuple[str, str]]:
    """The sizes of a task as (what the page says, name); of detectors, also which sizes they go with."""
    return [(SIZE_WORDS.get(size, size), size) for size in zoo.task_row(task).sizes]


def _parts_of_task(task: str, size: str, level: str, wanted: str) -> list[Any]:
    """What of the left side a task has: its sizes, levels, its people, its mirrored pass, its surroundings.

    `wanted` is the size that the visitor chose last, and is taken again by the first task that comes in it.
    """
    chosen = zoo.size_like(task, wanted)
    changed = {"value": chosen} if chosen != size else {}  # else a click under way would be undone
    return [
        gr.update(choices=_size_choices(task), **changed),
        gr.update(visible=task != "detect"),  # whose weights are not quantized
        gr.update(visible=task in people.TASKS),
        gr.update(visible=task == "pose"),
        gr.update(visible=task in controls.CUT_OUT),
        words.choice(task, chosen, level),
    ]
