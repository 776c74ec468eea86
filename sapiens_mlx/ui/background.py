"""What lies behind a cut-out: the choice, a colour, and a picture of the visitor's own."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from .storage import Visits
from .visit import Visit

if TYPE_CHECKING:
    from ..tasks.background import Background

TASK = "matting"
CHOICES = (("Checkerboard", "none"), ("Colour", "colour"), ("Blurred photo", "blur"), ("Your picture", "picture"))
GREEN = "#00b140"  # of a studio's green screen
MISSING = (
    "There is no picture for the background yet, so the cut-out is on the checkerboard. "
    "Upload one below it, or choose another background."
)


def build(inputs: dict[str, Any]) -> gr.UploadButton:
    """The components in the current Row; fills `inputs`, and returns the button for a picture."""
    inputs["background"] = gr.Radio(list(CHOICES), value="none", label="Background", elem_classes="chips small")
    inputs["background_colour"] = gr.ColorPicker(GREEN, label="Colour", visible=False, elem_classes="colour")
    return gr.UploadButton(
        "Upload a picture", file_types=["image"], size="sm", min_width=150, visible=False, elem_classes="upload"
    )


def parts(choice: str) -> list[Any]:
    """Updates for the colour and the button: each is there when it is wanted."""
    return [gr.update(visible=choice == "colour"), gr.update(visible=choice == "picture")]


def take(visits: Visits, visit: Visit, upload: str) -> str:
    """Make an uploaded file the visitor's background; returns its name.

    Raises:
        SapiensError: it is no picture, or there is no room for it. The one before stays.
    """
    from ..image import read_image

    with visit.taking:
        visits.hold(visit, str(upload), "picture")
        picture = read_image(str(upload))
    visit.make_room(picture)
    visit.background, visit.background_name = picture, Path(upload).name
    return visit.background_name


def is_missing(visit: Visit, values: Mapping[str, Any]) -> bool:
    """Whether a picture of the visitor's own is wanted that has not been uploaded, as MISSING tells."""
    return values["background"] == "picture" and visit.background is None


def chosen(visit: Visit, values: Mapping[str, Any]) -> "Background":
    """The option `background` of the cut-out's picture(); the checkerboard as long as the picture is missing."""
    return {
        "colour": hex_colour(values["background_colour"]),
        "blur": "blur",
        "picture": visit.background,
    }.get(values["background"])


def as_text(visit_name: str, values: Mapping[str, Any]) -> str:
    """The same for a command line; `visit_name` is the picture's file."""
    return {"colour": hex_colour(values["background_colour"]), "picture": visit_name}.get(
        values["background"], values["background"]
    )


def hex_colour(text: str | None) -> str:
    """#rrggbb, of what the picker gives: that, or rgba(12.3, 45, 67, 1)."""
    text = text or GREEN
    numbers = re.findall(r"[\d.]+", text)
    if text.startswith("rgb") and len(numbers) >= 3:
        return "#" + "".join(f"{min(255, round(float(number))):02x}" for number in numbers[:3])
    return text
