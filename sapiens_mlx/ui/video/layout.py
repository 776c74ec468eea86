"""The tab Video: a clip and choices on one side, the video made of it on the other. Layout, and what an event does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from ... import runtime, zoo
from ...video.choices import ClipChoices
from .. import command, controls, examples, photos, words
from ..open_radio import OpenRadio
from ..storage import MAX_FILE_SIZE, Visits
from ..studio.choices import size_choices
from ..wiring import PRIVATE, connect_run, connect_stop
from . import sentences
from .run import VideoActions
from .view import VideoView

MOST_FILES = 5  # of pose: the video, keypoints, angles as a table and a chart, the report
# One clip at a time; photos have their turns between its frames, so it does not share the queue with them.
CLIPS = {"concurrency_id": "clips", "concurrency_limit": 1}
# Any video, by what a phone offers for it; and those that a browser does not count among them.
FILE_TYPES = ["video", ".mp4", ".mov", ".webm", ".gif", ".mkv", ".avi", ".m4v"]
VIEWS = (("Over the frame", "overlay"), ("Side by side", "side-by-side"), ("Alone", "alone"))
FOREGROUNDS = (("Hide", "auto"), ("Show", "none"))
SIDES = (("As it is", 0), ("1920", 1920), ("1280", 1280), ("854", 854), ("640", 640))
DEFAULT = ClipChoices()
# Where the choices are long, what is told of the run is out of sight when it is pressed.
SHOW_STATUS = """() => setTimeout(() => {
    const status = document.querySelector("#video-status"), top = status.getBoundingClientRect().top;
    if (top < 0 || top > innerHeight / 2) status.scrollIntoView({ block: "start" });
}, 300)"""
REMEMBERED = ("task", "size", "level", "view", "foreground", "sound", "flip")


def build(
    visits: Visits, weights: str | None, folder: Path, most: int | None = None
) -> tuple[dict[str, Any], Callable]:
    """Lay out the tab in the current Blocks and connect it.

    Returns what of it the browser may remember, by name, and what is to be told of the event that restores it.

    Args:
        weights, folder: as of the Studio's.
        most: frames that a run may have; None for as many as there are.
    """
    inputs: dict[str, Any] = {}
    with gr.Row(elem_classes="studio", elem_id="video"):
        with gr.Column(scale=0, min_width=320, elem_classes="choices"):
            chosen = _choices(inputs, most)
        with gr.Column(scale=1, min_width=320, elem_classes="outcome"):
            shown = _outcome()
            pressed = examples.build(folder, examples.clips())  # the style sheet puts them above the empty page
    names = ("clip", "size", "level", "foreground", "flip")
    view = VideoView(**{name: inputs[name] for name in names}, **chosen, **shown)
    do = VideoActions(view, visits, weights, pressed, most)
    restored = _connect(view, inputs, do, list(pressed))
    return {f"video_{name}": inputs[name] for name in REMEMBERED}, restored


# ---- layout ---------------------------------------------------------------------------------------------------------


def _choices(inputs: dict[str, Any], most: int | None) -> dict[str, Any]:
    """The left side: fills `inputs`; returns other fields of the view."""
    made: dict[str, Any] = {}
    inputs["clip"] = gr.File(
        label="Clip", file_types=FILE_TYPES, height=132, elem_id="video-clip", elem_classes="clip-frame"
    )
    photos.leave_undecoded(inputs["clip"])  # Gradio would leave an empty file beside it
    made["given"] = gr.HTML(sentences.limits(MAX_FILE_SIZE, most), elem_id="video-given")
    task, size, level = zoo.DEFAULTS.task, zoo.DEFAULTS.size, zoo.default_level(runtime.device())
    tasks = [(row.title, row.name) for row in map(zoo.task_row, zoo.task_names())]
    inputs["task"] = gr.Radio(tasks, value=task, label="What to see", elem_classes="chips")
    with gr.Group(elem_classes="weights"):
        inputs["size"] = OpenRadio(
            size_choices([task]),
            value=size,
            label="Size",
            elem_classes="chips small",
            elem_id="video-size",
        )
        inputs["level"] = OpenRadio(
            list(zoo.LEVELS), value=level, label="Quantization level", elem_classes="chips small"
        )
        made["too_large"] = gr.HTML(elem_classes="limits")
    made["about"] = gr.HTML(sentences.about(task, size, level), elem_id="video-about")
    inputs["view"] = gr.Radio(list(VIEWS), value=DEFAULT.view, label="The video shows it", elem_classes="chips small")
    inputs["foreground"] = gr.Radio(
        list(FOREGROUNDS),
        value="auto",
        label="Surroundings of people",
        info="Hiding them takes a run of Body parts for every frame.",
        visible=task in controls.CUT_OUT,
        elem_classes="chips small",
    )
    with gr.Accordion("Frames, size and sound", open=False, elem_classes="frames"):
        _frames(inputs)
        with gr.Column(visible=False) as made["people"]:
            _people(inputs)
        with gr.Column(visible=False) as made["hands"]:
            _hands(inputs)
    with gr.Row(elem_classes="go"):
        made["run"] = gr.Button("Run", variant="primary", scale=3, min_width=120, elem_id="video-run")
        made["stop"] = gr.Button("Stop", scale=1, min_width=80, interactive=False, elem_id="video-stop")
    return made


def _frames(inputs: dict[str, Any]) -> None:
    with gr.Row(elem_classes="numbers"):
        inputs["first_frame"] = gr.Number(0, label="First frame", precision=0, min_width=80)
        inputs["last_frame"] = gr.Number(0, label="Last (0: end)", precision=0, min_width=80)
        inputs["every"] = gr.Number(1, label="Every n-th", precision=0, min_width=80)
    inputs["longest_side"] = gr.Radio(
        list(SIDES), value=0, label="Longest side at most, pixels", elem_classes="chips small"
    )
    inputs["sound"] = gr.Checkbox(DEFAULT.sound, label="Carry the sound over", container=False, elem_classes="plain")


def _people(inputs: dict[str, Any]) -> None:
    inputs["detect_every"] = gr.Slider(1, 30, DEFAULT.detect_every, step=1, label="Look for people every n-th frame")
    inputs["box_threshold"] = gr.Slider(0.05, 0.95, zoo.DEFAULTS.box_threshold, step=0.05, label="Detector threshold")
    inputs["flip"] = gr.Checkbox(
        zoo.DEFAULTS.flip,
        label="Average with the mirrored frame: steadier, twice the work",
        container=False,
        visible=False,
        elem_classes="plain",
    )


def _hands(inputs: dict[str, Any]) -> None:
    least = zoo.DEFAULTS.hand_threshold
    inputs["hand_threshold"] = gr.Slider(0.05, 0.95, least, step=0.05, label="Hand threshold")
    inputs["mesh_opacity"] = gr.Slider(0, 1, DEFAULT.mesh_opacity, step=0.05, label="Mesh opacity")


def _outcome() -> dict[str, Any]:
    """The right side: the other fields of the view."""
    shown: dict[str, Any] = {}
    shown["status"] = gr.HTML(elem_id="video-status", elem_classes="status-area")
    shown["empty"] = gr.HTML(sentences.empty(), elem_classes="start")
    shown["preview"] = gr.HTML(visible=False, elem_id="video-preview")
    with gr.Column(visible=False, elem_classes="panel") as shown["panel"]:
        gr.HTML(words.RESULT)
        shown["video"] = gr.HTML(elem_id="video-made")
        with gr.Row(elem_classes="files"):
            shown["downloads"] = [
                gr.DownloadButton("", visible=False, size="sm", min_width=150) for _ in range(MOST_FILES)
            ]
        shown["notes"] = gr.HTML(elem_classes="notes-area")
        shown["chart"] = gr.Image(
            label="Joint angles over time",
            show_label=False,
            interactive=False,
            visible=False,
            buttons=["fullscreen"],
            elem_id="video-chart",
            elem_classes="picture",
            alt_text="Joint angles over the time of the clip, a panel a measure; the table beside it has the numbers",
        )
        with gr.Row(elem_classes="report"):
            shown["card"] = gr.HTML(min_width=300)
            shown["command"] = command.build()
    return shown


# ---- events ---------------------------------------------------------------------------------------------------------


def _connect(view: VideoView, inputs: dict[str, Any], do: VideoActions, pressed: list[gr.Button]) -> Callable:
    """Returns a function that connects what depends on the choices with one more event that may change them."""
    fresh = [view.clip, view.given, view.status, view.video, view.preview, view.panel, view.empty]
    idle = [view.status, view.run, view.stop, view.preview, view.panel, view.empty]
    made = [*idle, view.video, view.chart, view.notes, view.card, view.command, *view.downloads]
    asked = {name: component for name, component in inputs.items() if name != "clip"}
    cost = {"fn": do.about, "inputs_kwargs": asked, "outputs": view.about, "trigger_mode": "always_last", **PRIVATE}

    view.clip.upload(do.clip_given, view.clip, fresh, concurrency_limit=4, **PRIVATE)
    view.clip.clear(do.clip_removed, None, fresh, concurrency_limit=4, **PRIVATE)

    running = connect_run(
        view, do, pressed, fresh, turns=CLIPS, inputs_kwargs=inputs, outputs=made, show_progress="hidden"
    )
    connect_stop(view, do, running, made)
    gr.on([view.run.click, *(button.click for button in pressed)], None, None, None, js=SHOW_STATUS, **PRIVATE)

    wanted = gr.State(zoo.DEFAULTS.size)  # the size that the visitor chose last, which not every task comes in
    changed = [view.size, view.level, view.too_large, view.foreground, view.people, view.hands, view.flip, view.about]
    remembers = {"fn": lambda size: size, "inputs": view.size, "outputs": wanted, "queue": False, **PRIVATE}
    view.size.input(**remembers)
    chosen = {"fn": do.chosen, "inputs_kwargs": asked | {"wanted": wanted}, "outputs": changed, **PRIVATE}
    for name in ("task", "size", "level"):
        inputs[name].input(**chosen, trigger_mode="always_last")
    for name in ("foreground", "first_frame", "last_frame", "every", "longest_side", "flip"):
        inputs[name].input(**cost)
    view.given.change(**cost)  # another clip, of so many frames
    for event in running:  # of which it is now known how long a frame takes
        event.then(**cost)
    return lambda restored: restored.then(**remembers).then(**chosen)
