"""A place to ask about without a pointer: typed as two numbers."""

import re

import gradio as gr

from ...errors import SapiensError


def build() -> gr.Textbox:
    """The field; its submit asks."""
    return gr.Textbox(
        label="Place as x, y in pixels of the photo",
        placeholder="120, 340",
        lines=1,
        max_lines=1,
        min_width=190,
        scale=0,
        elem_classes="place",
    )


def place(text: str) -> tuple[float, float]:
    """(x, y) in pixels of the photo.

    Raises:
        SapiensError: the text is not two numbers.
    """
    numbers = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*[,; ]\s*(\d+(?:\.\d+)?)\s*", text or "")
    if numbers is None:
        raise SapiensError("Give the place as two numbers: pixels from the left and from the top, such as 120, 340.")
    return float(numbers[1]), float(numbers[2])
