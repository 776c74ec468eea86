"""The components of the tab Features that its handlers write to."""

from dataclasses import dataclass

import gradio as gr

from ..tab import TabView


@dataclass(frozen=True)
class Pictures:
    """What is shown of one photo: its colours, and where it is like the chosen patch."""

    frame: gr.Row
    colours: gr.Image
    alike: gr.Image


@dataclass(frozen=True)
class FeaturesView(TabView):
    """`pictures` are what is shown of the photo and of the second one; `point` is the chosen pixel, as (which photo, x,
    y), or None. `downloads` are as many buttons as both photos have files."""

    second: gr.Image
    pictures: tuple[Pictures, Pictures]
    point: gr.State
    told: gr.HTML
    notes: gr.HTML
    downloads: list[gr.DownloadButton]
    card: gr.HTML
    command: gr.Code
