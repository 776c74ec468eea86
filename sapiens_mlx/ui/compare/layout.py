"""The tab Compare levels: a photo, a task and variants on one side, what they cost and save on the other. Layout, and
which event does what."""

from pathlib import Path
from typing import Any

import gradio as gr

from ... import zoo
from .. import command, controls, examples, people, photos
from ..storage import COMPARE, Visits
from ..wiring import PRIVATE, connect_run, connect_stop
from . import sentences
from .run import BEST, FIRST_TICKED, CompareActions, levels_name, levels_of, reference_choices
from .view import CompareView

TASKS = [*(row for row in zoo.TASKS.values() if row.name != "detect"), zoo.HANDS]  # of detect none are quantized
VIEWS = (("Two in a slider", "slider"), ("All in step", "gallery"), ("Differences of one", "difference"))
OVER = (("People", "auto"), ("The whole photo", "none"))
SCRIPTS = Path(__file__).parent


def build(visits: Visits, weights: str | None, folder: Path) -> None:
    """Lay out the tab in the current Blocks and connect it. Arguments as of the Studio's."""
    inputs: dict[str, Any] = {}
    with gr.Row(elem_classes="studio", elem_id="compare"):
        with gr.Column(scale=0, min_width=320, elem_classes="choices"):
            chosen, take_photo, people_parts = _choices(inputs)
        with gr.Column(scale=1, min_width=320, elem_classes="outcome"):
            shown = _outcome()
            pressed = examples.build(folder)  # the style sheet puts them above the empty page
    names = ("photo", "sizes", "reference", "foreground", "people", "boxes")
    view = CompareView(**{name: inputs[name] for name in names}, **chosen, **shown)
    _connect(view, inputs, CompareActions(view, visits, weights, pressed), take_photo, list(pressed))
    people.connect(people_parts, inputs, view.status, visits, COMPARE)


# ---- layout ---------------------------------------------------------------------------------------------------------


def _choices(inputs: dict[str, Any]) -> tuple[dict[str, Any], gr.Button, dict[str, Any]]:
    """The left side: fills `inputs`, and returns other fields of the view, the button for the Studio's photo, and
    the part about people."""
    task, size = zoo.DEFAULTS.task, zoo.DEFAULTS.size
    inputs["photo"] = photos.frame()
    take_photo = gr.Button("Take the photo of the Studio", size="sm", elem_classes="take")
    inputs["task"] = gr.Radio(
        [(row.title, row.name) for row in TASKS], value=task, label="What to compare", elem_classes="chips"
    )
    sizes = [name for name in (*zoo.SIZES, zoo.WILOR.name) if any(name in row.sizes for row in TASKS)]
    levels, too_large, groups = {}, {}, {}
    with gr.Group(elem_classes="weights variants"):
        inputs["sizes"] = gr.CheckboxGroup(
            list(zoo.task_row(task).sizes), value=[size], label="Sizes", elem_id="sizes", elem_classes="chips small"
        )
        for name in sizes:
            with gr.Group(visible=name == size, elem_classes="size") as groups[name]:
                levels[name] = inputs[levels_name(name)] = gr.CheckboxGroup(
                    list(levels_of(name)),
                    value=list(FIRST_TICKED.get(name, ())),
                    label=f"Levels of {'WiLoR' if name == zoo.WILOR.name else name}",
                    elem_id=levels_name(name),
                    elem_classes="chips small",
                )
                too_large[name] = gr.HTML(elem_classes="limits")
    inputs["reference"] = gr.Dropdown(
        reference_choices({size: list(zoo.LEVELS)}),
        value=BEST,
        label="Reference, by which all are measured",
        filterable=False,
    )
    inputs["foreground"] = gr.Radio(
        list(OVER), value="auto", label="Compared over", visible=task in controls.CUT_OUT, elem_classes="chips small"
    )
    people_parts = people.build(inputs)
    about = gr.HTML(sentences.about(task, {size: FIRST_TICKED[size]}))
    with gr.Row(elem_classes="go"):
        run = gr.Button("Compare", variant="primary", scale=3, min_width=120, elem_id="compare-run")
        stop = gr.Button("Stop", scale=1, min_width=80, interactive=False, elem_id="compare-stop")
    made = {"run": run, "stop": stop, "about": about, "people_part": people_parts["people"]}
    return made | {"levels": levels, "too_large": too_large, "size_groups": groups}, take_photo, people_parts


def _outcome() -> dict[str, Any]:
    """The right side: the other fields of the view."""
    frames: dict[str, gr.Column] = {}
    shown: dict[str, Any] = {"frames": frames}
    shown["status"] = gr.HTML(elem_id="compare-status", elem_classes="status-area")
    shown["empty"] = gr.HTML(sentences.empty(), elem_classes="start")
    with gr.Column(visible=False, elem_classes="panel") as shown["panel"]:
        with gr.Column(elem_classes="pictures") as shown["pictures"]:
            shown["view"] = gr.Radio(list(VIEWS), value="slider", label="View", elem_classes="chips small views")
            with gr.Column(elem_classes="frame") as frames["slider"]:
                with gr.Row(elem_classes="pick"):
                    shown["left"] = gr.Dropdown([], label="Left", filterable=False, min_width=120)
                    shown["right"] = gr.Dropdown([], label="Right", filterable=False, min_width=120)
                shown["slider"] = gr.ImageSlider(
                    label="Two pictures",
                    show_label=False,
                    interactive=False,
                    buttons=["fullscreen"],
                    max_height=5000,  # the style sheet fits it into the window
                    elem_classes="picture",
                )
            with gr.Column(visible=False, elem_classes="frame") as frames["gallery"]:
                shown["gallery"] = gr.HTML(elem_id="gallery", js_on_load=(SCRIPTS / "zoom.js").read_text("utf-8"))
            with gr.Column(visible=False, elem_classes="frame") as frames["difference"]:
                with gr.Row(elem_classes="pick"):
                    shown["differing"] = gr.Dropdown([], label="Differences of", filterable=False, min_width=120)
                shown["difference"] = gr.Image(
                    label="Differences",
                    show_label=False,
                    interactive=False,
                    buttons=["fullscreen", "download"],
                    elem_classes="picture",
                    alt_text="Where the variant differs from the reference, in colours that the bar explains",
                )
        shown["table"] = gr.HTML(elem_id="levels", js_on_load=(SCRIPTS / "sort.js").read_text("utf-8"))
        shown["notes"] = gr.HTML(elem_classes="notes-area")
        shown["charts"] = gr.HTML(elem_id="charts")
        with gr.Column(visible=False, elem_classes="exports") as shown["exports"]:
            with gr.Row(elem_classes="files"):
                shown["csv"] = gr.DownloadButton("", size="sm", min_width=150)
                shown["sheet"] = gr.DownloadButton("", size="sm", min_width=150)
            with gr.Row(elem_classes="report"):
                shown["command"] = command.build()
    return shown


# ---- events ---------------------------------------------------------------------------------------------------------


def _connect(
    view: CompareView,
    inputs: dict[str, Any],
    do: CompareActions,
    take_photo: gr.Button,
    pressed: list[gr.Button],
) -> None:
    fresh = [view.photo, view.status, view.panel, view.empty, view.boxes, view.people]
    idle = [view.status, view.run, view.stop]
    pictures = [view.left, view.right, view.slider, view.differing, view.difference, view.gallery]
    published = [view.panel, view.empty, view.pictures, *pictures, view.table, view.charts, view.notes]
    exported = [view.exports, view.csv, view.sheet, view.command]

    # A photo that is dropped onto another sends two events: that one goes, and this one comes.
    view.photo.input(do.photo_changed, view.photo, fresh, trigger_mode="multiple", **PRIVATE, concurrency_limit=4)
    take_photo.click(do.studio_photo_taken, None, fresh, **PRIVATE, concurrency_limit=4)

    running = connect_run(
        view,
        do,
        pressed,
        fresh,
        inputs_kwargs=inputs,
        outputs=[*idle, *published, *exported],
        show_progress="hidden",
    )
    connect_stop(view, do, running, [*idle, *published, *exported])

    boxes = list(view.levels.values())
    changed = [view.sizes, *boxes, *view.too_large.values(), *view.size_groups.values()]
    changed += [view.reference, view.about, view.foreground, view.people_part]
    chosen = [inputs["task"], view.sizes, view.reference, *boxes]
    for event, handler in ((inputs["task"].input, do.task_changed), (view.sizes.input, do.sizes_changed)):
        event(handler, chosen, changed, trigger_mode="always_last", **PRIVATE)
    for box in boxes:
        box.input(do.levels_changed, [inputs["task"], view.sizes, *boxes], view.about, queue=False, **PRIVATE)

    view.view.input(
        lambda chosen: [gr.update(visible=name == chosen) for name in view.frames],
        view.view,
        list(view.frames.values()),
        queue=False,
        **PRIVATE,
    )
    for dropdown in (view.left, view.right):
        dropdown.input(do.pair_picked, [view.left, view.right], view.slider, concurrency_limit=4, **PRIVATE)
    view.differing.input(do.differing_picked, view.differing, view.difference, concurrency_limit=4, **PRIVATE)
