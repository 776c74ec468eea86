"""The tab Live: choices and the camera on one side, the picture of its newest frame on the other. Layout, and which
event does what."""

from pathlib import Path
from typing import Any

import gradio as gr

from ... import runtime, zoo
from .. import photos
from ..open_radio import OpenRadio
from ..storage import Visits
from ..wiring import PRIVATE
from . import sentences
from .run import TASKS, LiveActions, sizes_of
from .view import LiveView

LIMIT_S = 120.0  # a camera that nobody looks at any more should not stay on
MOST_LIVE = 4  # cameras at once: each waits for the frames of the others
EVERY_S = {"cpu": 0.15, "gpu": 0.1}  # between two frames that the browser sends
CAMERA_WIDTH_PX = 960
SCRIPTS = Path(__file__).parent


def build(visits: Visits, weights: str | None, limit_s: float = LIMIT_S, most: int = MOST_LIVE) -> None:
    """Lay out the tab in the current Blocks and connect it. `weights` is a folder or a file or None, as for Predictor;
    `most` cameras are on at once, each for at most `limit_s` seconds."""
    with gr.Row(elem_classes="studio", elem_id="live"):
        with gr.Column(scale=0, min_width=320, elem_classes="choices"):
            inputs, chosen, camera = _choices()
        with gr.Column(scale=1, min_width=320, elem_classes="outcome"):
            status = gr.HTML(elem_id="live-status", elem_classes="status-area")
            empty = gr.HTML(sentences.empty(), elem_classes="start")
            picture = gr.HTML(visible=False, elem_id="live-picture")
    view = LiveView(
        size=inputs["size"],
        surroundings=inputs["surroundings"],
        status=status,
        empty=empty,
        picture=picture,
        **chosen,
    )
    _connect(view, inputs, camera, LiveActions(view, visits, weights, limit_s, most), limit_s, most)


def _choices() -> tuple[dict[str, Any], dict[str, Any], gr.Image]:
    """The left side: what is chosen, the other fields of the view, and the camera."""
    task, level = zoo.DEFAULTS.task, zoo.default_level(runtime.device())
    inputs: dict[str, Any] = {
        "task": gr.Radio(
            [(zoo.task_row(name).title, name) for name in TASKS],
            value=task,
            label="What to see",
            elem_classes="chips",
        ),
        "size": OpenRadio(
            sizes_of(task),
            value=zoo.DEFAULTS.size,
            label="Size",
            elem_classes="chips small",
            elem_id="live-size",
        ),
    }
    about = gr.HTML(
        sentences.about(task, zoo.DEFAULTS.size, level, larger=runtime.device() == "gpu"), elem_classes="live-about"
    )
    inputs["surroundings"] = gr.Checkbox(
        True,
        label="With the surroundings of people",
        info="Hiding them takes a run of Body parts for every frame.",
        visible=False,
    )
    with gr.Row(elem_classes="go"):
        start = gr.Button("Start", variant="primary", scale=3, min_width=120, elem_id="live-start")
        stop = gr.Button("Stop", scale=1, min_width=80, interactive=False, elem_id="live-stop")
    # Below the buttons, which must not move when it comes.
    with gr.Column(visible=False, elem_id="live-camera", elem_classes="camera") as camera_frame:
        camera = gr.Image(
            label="Camera",
            show_label=False,
            sources=["webcam"],
            streaming=True,
            # As others see the visitor: in a mirror image, left and right would be named wrongly.
            webcam_options=gr.WebcamOptions(mirror=False, constraints={"video": {"width": {"ideal": CAMERA_WIDTH_PX}}}),
            height=260,
            buttons=[],
        )
        photos.leave_undecoded(camera)  # it is nobody's output
    return inputs, {"about": about, "start": start, "stop": stop, "camera_frame": camera_frame}, camera


def _connect(
    view: LiveView, inputs: dict[str, Any], camera: gr.Image, do: LiveActions, limit_s: float, most: int
) -> None:
    problem = gr.Textbox(visible=False)  # what JavaScript has to say
    asked = [inputs["task"], inputs["size"], inputs["surroundings"]]
    buttons = [view.status, view.start, view.stop]
    turned = [*buttons, view.camera_frame]

    begun = view.start.click(do.begin, None, buttons, queue=False, scroll_to_output=True, **PRIVATE)
    starting = begun.then(
        do.start,
        [problem, *asked],
        turned,
        js=(SCRIPTS / "camera_ask.js").read_text("utf-8"),
        concurrency_id="live-start",
        concurrency_limit=None,
        **PRIVATE,
    )
    starting.failure(do.not_taken, None, turned, queue=False, **PRIVATE)
    opening = (SCRIPTS / "camera_open.js").read_text("utf-8").replace("LIMIT_MS", f"{1000 * (limit_s + 5):.0f}")
    starting.then(do.opened, problem, turned, js=opening, concurrency_limit=None, **PRIVATE)

    camera.stream(
        do.frame,
        [camera, *asked],
        [*turned, view.picture, view.empty],
        # Each holds a place until it ends; who just left may hold one for some seconds more.
        stream_every=EVERY_S[runtime.device()],
        time_limit=None,
        concurrency_id="live",
        concurrency_limit=2 * most,
        **PRIVATE,
    )
    # As in wiring.connect_stop: the end comes after the last report of what is cancelled.
    view.stop.click(do.stopping, None, None, cancels=[starting], queue=False, **PRIVATE).then(
        do.stopped, None, turned, concurrency_limit=None, **PRIVATE
    )
    for choice in (inputs["task"], inputs["size"]):
        choice.input(
            do.chosen,
            [inputs["task"], inputs["size"]],
            [view.size, view.surroundings, view.about],
            trigger_mode="always_last",
            **PRIVATE,
        )
