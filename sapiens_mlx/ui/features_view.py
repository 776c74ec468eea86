"""The components of the tab Features that its handlers write to."""

from dataclasses import dataclass

import gradio as gr


@dataclass(frozen=True)
class Pictures:
    """What is shown of one photo: its colours, and where it is like the chosen patch."""

    frame: gr.Row
    colours: gr.Image
    alike: gr.Image


@dataclass(frozen=True)
class FeaturesView:
    """`photos` are the frames of the photo and of the second one, and `pictures` what is shown of each; `point` is the
    chosen pixel, as (which photo, x, y), or None. `downloads` are as many buttons as both photos have files."""

    photos: tuple[gr.Image, gr.Image]
    pictures: tuple[Pictures, Pictures]
    point: gr.State
    run: gr.Button
    stop: gr.Button
    status: gr.HTML
    empty: gr.HTML
    panel: gr.Column
    told: gr.HTML
    notes: gr.HTML
    downloads: list[gr.DownloadButton]
    card: gr.HTML
    command: gr.Code
