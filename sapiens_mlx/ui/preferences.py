"""What the browser remembers of the choices between visits: kept there, never on the server, and never a photo."""

from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr

from .wiring import PRIVATE

STORAGE_KEY = "sapiens-mlx-studio"
SECRET = "choices are no secret"  # Gradio encrypts with it; one of each process would forget at every start


def connect(
    demo: gr.Blocks, remembered: Mapping[str, gr.components.Component], restored: Callable[[gr.events.Dependency], Any]
) -> None:
    """Remember the components by name when the visitor changes them, and restore them when the page opens.

    `restored` is given the event after which they are, for what depends on them.
    """
    kept = gr.BrowserState({}, storage_key=STORAGE_KEY, secret=SECRET)
    components: list[Any] = list(remembered.values())

    def remember(*values: Any) -> dict[str, Any]:
        return dict(zip(remembered, values, strict=True))

    def restore(values: Any) -> list[Any]:
        values = values if isinstance(values, dict) else {}
        return [
            gr.update(value=values[name]) if name in values and _can_be(component, values[name]) else gr.skip()
            for name, component in remembered.items()
        ]

    moved = [one.release if isinstance(one, gr.Slider) else one.input for one in components]
    gr.on(moved, remember, components, kept, queue=False, **PRIVATE)
    restored(demo.load(restore, kept, components, queue=False, **PRIVATE))


def _can_be(component: gr.components.Component, value: Any) -> bool:
    """Whether it is a value of that component still: another version of the page may have kept it."""
    if isinstance(component, gr.Slider):
        return isinstance(value, int | float) and component.minimum <= value <= component.maximum
    if isinstance(component, gr.Checkbox):
        return isinstance(value, bool)
    choices = {choice for _, choice in getattr(component, "choices", ())}
    if isinstance(component, gr.CheckboxGroup):
        return isinstance(value, list) and bool(value) and choices.issuperset(map(str, value))
    return isinstance(component, gr.Radio) and isinstance(value, str) and value in choices
