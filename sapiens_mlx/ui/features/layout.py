"""The tab Features: one photo or two on one side, colours and similarity on the other. Layout, and which event does
what."""

from pathlib import Path
from typing import Any

import gradio as gr

from ... import runtime, zoo
from .. import command, examples, photos, words
from ..storage import Visits
from ..wiring import DRAWING, MODEL, PRIVATE, connect_run, connect_stop
from . import sentences
from .run import FeaturesActions
from .view import FeaturesView, Pictures

MOST_FILES = 8  # of two photos: colours, arrays, colours beside the photo, similarity
FOREGROUNDS = (("All of the photo", "none"), ("People", "auto"))
WHICH = ("the photo", "the second photo")


def build(visits: Visits, weights: str | None, folder: Path) -> None:
    """Lay out the tab in the current Blocks and connect it. Arguments as of the Studio's."""
    inputs: dict[str, Any] = {}
    with gr.Row(elem_classes="studio", elem_id="features"):
        with gr.Column(scale=0, min_width=320, elem_classes="choices"):
            chosen, about, take_photo = _choices(inputs)
        with gr.Column(scale=1, min_width=320, elem_classes="outcome"):
            shown = _outcome(inputs)
            pressed = examples.build(folder)  # the style sheet puts them above the empty page
    view = FeaturesView(photo=inputs["photo"], second=inputs["second"], point=gr.State(None), **chosen, **shown)
    _connect(view, inputs, FeaturesActions(view, visits, weights, pressed), about, take_photo, list(pressed))


# ---- layout ---------------------------------------------------------------------------------------------------------


def _choices(inputs: dict[str, Any]) -> tuple[dict[str, Any], gr.HTML, gr.Button]:
    """The left side: fills `inputs`; returns Run and Stop, what is chosen, and the button for the Studio's photo."""
    inputs["photo"] = photos.frame()
    take_photo = gr.Button("Take the photo of the Studio", size="sm", elem_classes="take")
    with gr.Accordion("A second photo, to find the same in", open=False, elem_classes="second"):
        inputs["second"] = photos.frame()
    row, level = zoo.task_row("features"), zoo.default_level(runtime.device())
    with gr.Group(elem_classes="weights"):
        inputs["size"] = gr.Radio(
            list(row.sizes), value=zoo.DEFAULTS.size, label="Size", elem_classes="chips small", elem_id="features-size"
        )
        inputs["level"] = gr.Radio(
            list(zoo.LEVELS), value=level, label="Quantization level", elem_classes="chips small"
        )
    about = gr.HTML(sentences.about(zoo.DEFAULTS.size, level))
    inputs["foreground"] = gr.Radio(
        list(FOREGROUNDS),
        value=zoo.DEFAULTS.foreground,
        label="Colours for",
        info="People alone take a run of Body parts, where its weights are at hand, and show finer differences.",
        elem_classes="chips small",
    )
    with gr.Row(elem_classes="go"):
        run = gr.Button("Run", variant="primary", scale=3, min_width=120, elem_id="features-run")
        stop = gr.Button("Stop", scale=1, min_width=80, interactive=False, elem_id="features-stop")
    return {"run": run, "stop": stop}, about, take_photo


def _outcome(inputs: dict[str, Any]) -> dict[str, Any]:
    """The right side: fills `inputs`, and returns the other fields of the view."""
    shown: dict[str, Any] = {}
    shown["status"] = gr.HTML(elem_id="features-status", elem_classes="status-area")
    shown["empty"] = gr.HTML(sentences.empty(), elem_classes="start")
    with gr.Column(visible=False, elem_classes="panel") as shown["panel"]:
        gr.HTML(words.RESULT)
        shown["told"] = gr.HTML(elem_id="features-told", elem_classes="told-area")
        shown["pictures"] = (_pictures(0), _pictures(1))
        shown["notes"] = gr.HTML(elem_classes="notes-area")
        with gr.Row(elem_classes="style"):
            inputs["smooth"] = gr.Checkbox(True, label="Smooth between patches", container=False)
            inputs["opacity"] = gr.Slider(0, 1, 1, step=0.05, label="Opacity of the colours")
        with gr.Row(elem_classes="files"):
            shown["downloads"] = [
                gr.DownloadButton("", visible=False, size="sm", min_width=150) for _ in range(MOST_FILES)
            ]
        with gr.Row(elem_classes="report"):
            shown["card"] = gr.HTML(min_width=300)
            shown["command"] = command.build()
    return shown


def _pictures(which: int) -> Pictures:
    """The two pictures of one photo, side by side where there is room."""
    with gr.Row(visible=which == 0, elem_classes="pair") as frame:
        colours, alike = (
            gr.Image(
                label=f"{label} of {WHICH[which]}",
                show_label=False,
                interactive=False,
                buttons=["fullscreen"],
                min_width=260,
                elem_classes=f"picture asks {name}-{which}",
                alt_text=alt.format(WHICH[which]),
            )
            for label, name, alt in (
                ("Colours", "colours", "The features of {} as colours; press a place to find what is like it"),
                (
                    "Similarity",
                    "alike",
                    "How like the chosen place every part of {} is; press another place to choose it",
                ),
            )
        )
    return Pictures(frame, colours, alike)


# ---- events ---------------------------------------------------------------------------------------------------------


def _connect(
    view: FeaturesView,
    inputs: dict[str, Any],
    do: FeaturesActions,
    about: gr.HTML,
    take_photo: gr.Button,
    pressed: list[gr.Button],
) -> None:
    fresh = [view.photo, view.status, view.panel, view.empty, view.point]
    idle = [view.status, view.run, view.stop, view.panel, view.empty]
    frames = [one.frame for one in view.pictures]
    colours, alike = [one.colours for one in view.pictures], [one.alike for one in view.pictures]
    drawn = [*frames, *colours, *alike, view.told, view.status]
    after = [view.notes, view.card, view.command, *view.downloads]
    asked = inputs | {"point": view.point}

    # "multiple": of a photo that is dropped on another, Gradio tells twice, and "once" would leave out the second.
    every: dict[str, Any] = {"trigger_mode": "multiple", "concurrency_limit": 4, **PRIVATE}
    view.photo.input(do.photo_changed, view.photo, fresh, **every)
    second = [view.second, view.status, *frames, view.point]
    view.second.input(do.second_changed, view.second, second, **every)
    take_photo.click(do.studio_photo_taken, None, fresh, **PRIVATE, concurrency_limit=4)

    running = connect_run(
        view,
        do,
        pressed,
        fresh,
        inputs_kwargs=asked,
        outputs=[*idle, *drawn, *after],
        show_progress="hidden",
    )

    newest = {"inputs_kwargs": asked, "trigger_mode": "always_last", **PRIVATE}
    filed = newest | DRAWING | {"outputs": [*view.downloads, view.status]}
    for which, pictures in enumerate(view.pictures):
        for image in (pictures.colours, pictures.alike):
            image.select(do.pressed[which], None, view.point, queue=False, **PRIVATE).then(
                do.ask, **newest, outputs=[*alike, view.told, view.status], **DRAWING
            ).then(do.files, **filed)
    for moved in (inputs["smooth"].input, inputs["opacity"].release):
        moved(do.redraw, **newest, outputs=drawn, **DRAWING).then(do.files, **filed)
    cutting = inputs["foreground"].input(do.cut_out, **newest, outputs=[*idle, *drawn, *after], **MODEL)

    connect_stop(view, do, [*running, cutting], idle)
    for choice in (inputs["size"], inputs["level"]):
        choice.input(do.chosen, [inputs["size"], inputs["level"]], about, trigger_mode="always_last", **PRIVATE)
