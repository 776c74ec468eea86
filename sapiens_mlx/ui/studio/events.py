"""The tab Studio: which event does what."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from ... import zoo
from .. import background, controls
from ..storage import Visits
from ..wiring import DRAWING, MODEL, PRIVATE, connect_run, connect_stop
from . import light, pose_panel, space
from .run import Actions
from .view import View

PRESS_ARCHIVE = "() => document.querySelector('#archive')?.click()"


def connect(
    view: View, inputs: dict[str, Any], do: Actions, parts: dict[str, Any], pressed: list[gr.Button], visits: Visits
) -> Callable:
    """Connect the tab. `parts` are the components that only events know, `pressed` the examples.

    Returns a function that connects what depends on the choices with one more event that may change them.
    """
    frames = [*view.frames.values(), view.panel, view.details]
    drawn = [
        view.slider,
        view.picture,
        view.command,
        view.notes,
        *frames,
        view.empty,
        view.status,
        view.angles,
        *view.hands.components,
    ]
    of_surface = [
        view.surface,
        view.look,
        view.view,
        view.style,
        view.foreground,
        view.asking,
        view.told,
        view.part,
        view.ball,
    ]
    of_surface += [view.card, *view.style_groups.values(), *view.pose_inputs.values(), *view.downloads]
    of_surface += [view.hands.column, view.space.look]
    whole = [*drawn, *of_surface, view.space.viewer]
    idle = [view.status, view.run, view.stop, view.panel, view.empty]
    fresh = [view.photo, view.strip, view.boxes, view.people, view.consent.panel, *whole]

    brought = [  # each may bring a photo that has results
        # "multiple": of a photo that is dropped on another, Gradio tells twice, and "once" would leave out the second.
        view.photo.input(do.photo_changed, view.photo, fresh, trigger_mode="multiple", **PRIVATE, concurrency_limit=4),
        parts["add"].upload(do.photos_added, parts["add"], fresh, **PRIVATE, concurrency_limit=4),
        view.strip.select(do.photo_picked, None, fresh, **PRIVATE, concurrency_limit=4),
    ]

    accepted = view.consent.accept.click(do.licences_accepted, None, view.consent.panel, queue=False, **PRIVATE)
    running = connect_run(
        view,
        do,
        pressed,
        fresh,
        also=[accepted.success],
        inputs_kwargs=inputs,
        outputs=[*whole, view.strip, view.run, view.stop, view.consent.panel, view.consent.told],
        show_progress="minimal",
        show_progress_on=view.status,
    )
    points = {"fn": do.keypoints, "inputs_kwargs": inputs, "outputs": view.keypoints, **PRIVATE, **DRAWING}
    for event in (*running, *brought):
        event.then(do.boxes_found, [view.boxes, view.people], view.boxes, **PRIVATE)
        event.then(**points)

    asks = {"inputs_kwargs": inputs, "trigger_mode": "always_last", **PRIVATE, **DRAWING}

    def then_files(event: gr.events.Dependency) -> gr.events.Dependency:
        return event.then(do.files, outputs=[*view.downloads, view.status], **asks)

    def redraws(moved: Callable) -> None:
        then_files(moved(do.redraw, outputs=drawn, **asks))

    picked = view.surface.input(do.surface_picked, outputs=whole, **asks)
    for event in (picked, *brought):
        then_files(event)
    in_space = [view.space.viewer, view.space.told, *view.space.downloads, view.status]
    space.connect(view.space, inputs, [picked, *brought, *running], do.space, outputs=in_space, **asks)
    for name in controls.CONTROLS:
        for control in controls.names(name):
            component = inputs[control]
            redraws(component.release if isinstance(component, gr.Slider) else component.input)
    redraws(inputs["view"].input)
    parts["keypoints"].expand(**points)
    for name in pose_panel.NAMES:
        redraws(inputs[name].input)
        inputs[name].input(**points)
    light.connect(view.ball, inputs, visits, redraws)
    _connect_background(view, inputs, do, redraws)
    starts = [inputs[name] for name in controls.start_values(zoo.DEFAULTS.style)]
    redraws(
        view.style.input(lambda style: list(controls.start_values(style).values()), view.style, starts, **PRIVATE).then
    )
    shown_or_cut = view.foreground.input(do.redraw, outputs=drawn, **asks)
    cutting = shown_or_cut.then(
        do.cut_out,
        inputs_kwargs=inputs,
        outputs=[*drawn, view.run, view.stop],
        trigger_mode="always_last",
        **PRIVATE,
        **MODEL,
    )
    then_files(cutting).then(do.space, outputs=in_space, **asks)

    answer = [view.told, view.picture, view.status]
    view.picture.select(do.pressed, outputs=answer, **asks)
    inputs["place"].submit(do.asked, outputs=answer, **asks)
    packed = parts["everything"].click(do.everything, inputs_kwargs=inputs, outputs=view.archive, **PRIVATE, **DRAWING)
    packed.success(None, None, None, js=PRESS_ARCHIVE, **PRIVATE)

    connect_stop(view, do, [*running, cutting], idle)
    return _connect_choices(inputs, do, parts, running)


def _connect_background(view: View, inputs: dict[str, Any], do: Actions, redraws: Callable) -> None:
    inputs["background"].input(
        background.parts, inputs["background"], [inputs["background_colour"], view.background], queue=False, **PRIVATE
    )
    taken = view.background.upload(do.background_taken, view.background, [view.background, view.status], **PRIVATE)
    redraws(taken.success)
    for component in (inputs["background"], inputs["background_colour"]):
        redraws(component.input)


def _connect_choices(
    inputs: dict[str, Any], do: Actions, parts: dict[str, Any], running: list[gr.events.Dependency]
) -> Callable:
    """What depends on what is ticked, before a run."""
    wanted = gr.State(zoo.DEFAULTS.size)  # the size that the visitor chose last, which not every task comes in
    chosen = [inputs["tasks"], inputs["size"], inputs["level"]]
    changed = [inputs["size"], inputs["level"], parts["too_large"], parts["people"], inputs["flip"], parts["hands"]]
    changed += [parts["about"]]
    latest = {"trigger_mode": "always_last", **PRIVATE}
    remembers = {"fn": lambda size: size, "inputs": inputs["size"], "outputs": wanted, "queue": False, **PRIVATE}
    inputs["size"].input(**remembers)
    for choice in chosen:
        choice.input(do.choices_changed, [*chosen, wanted], changed, **latest)
    for run in running:  # of which it is now known how long they take
        run.then(lambda *choice: do.choices_changed(*choice)[-1], [*chosen, wanted], parts["about"], **PRIVATE)
    vivid = [
        inputs[controls.name(task, one)]
        for task, table in controls.CONTROLS.items()
        for one in table
        if not one.in_reference
    ]

    def in_style(style: str) -> dict[Any, Any]:
        """Whether the controls are there that mean nothing in the other style."""
        return dict.fromkeys(vivid, gr.update(visible=style == "readme"))

    def depends(restored: gr.events.Dependency) -> None:
        restored.then(**remembers).then(do.choices_changed, [*chosen, wanted], changed, **PRIVATE)
        restored.then(in_style, inputs["style"], vivid, queue=False, **PRIVATE)

    return depends
