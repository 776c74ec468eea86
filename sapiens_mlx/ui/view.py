"""The components of the Studio tab that its handlers write to."""

from dataclasses import dataclass

import gradio as gr

from .tab import TabView


@dataclass(frozen=True)
class View(TabView):
    """`downloads` are as many buttons as any task has files."""

    people: gr.Radio
    boxes: gr.Dataframe
    notes: gr.HTML
    details: gr.Column
    slider: gr.ImageSlider
    picture: gr.Image
    slider_frame: gr.Column
    picture_frame: gr.Column
    style: gr.Radio
    style_groups: dict[str, gr.Row]
    background: gr.UploadButton
    downloads: list[gr.DownloadButton]
    card: gr.HTML
    command: gr.Code
