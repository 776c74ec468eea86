"""The light of Relight: a small ball on the page, lit from where the light is. A press on it puts the light there."""

from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr

from ..storage import STUDIO, Visits
from ..visit import Photo
from ..wiring import DRAWING, PRIVATE

ANGLES = ("relit_azimuth_deg", "relit_elevation_deg")


def build() -> gr.Image:
    """The ball, in the current Blocks. The sliders beside it do the same for the keyboard."""
    return gr.Image(
        label="Light",
        show_label=False,
        interactive=False,
        width=120,
        height=120,
        container=False,
        buttons=[],
        elem_classes="ball",
        alt_text="A ball lit from where the light is; press it to move the light",
    )


def drawn(photo: Photo, azimuth_deg: float, elevation_deg: float) -> str:
    """The file of the ball with the light there."""
    from ...image import write_png
    from .light_ball import ball_rgba

    return str(write_png(photo.next_folder("ball") / "light.png", ball_rgba(azimuth_deg, elevation_deg)))


def connect(ball: gr.Image, inputs: Mapping[str, Any], visits: Visits, redraws: Callable) -> None:
    """Connect the ball with its sliders; `redraws` is given each event after which the picture is drawn again."""
    angles = [inputs[name] for name in ANGLES]
    newest = {"trigger_mode": "always_last", **PRIVATE, **DRAWING}

    def turned(azimuth_deg: float, elevation_deg: float, request: gr.Request) -> Any:
        photo = visits.of(request.session_hash, STUDIO).photo
        return gr.skip() if photo is None else drawn(photo, azimuth_deg, elevation_deg)

    def pressed(event: gr.SelectData) -> list[float]:
        from .light_ball import direction_at

        azimuth_deg, elevation_deg = direction_at(*(value + 0.5 for value in event.index))
        return [round(azimuth_deg), round(elevation_deg)]

    for slider in angles:
        slider.change(turned, angles, ball, **newest)
    redraws(ball.select(pressed, None, angles, queue=False, **PRIVATE).then)
