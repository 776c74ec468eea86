"""The components of the Studio tab that its handlers write to."""

from dataclasses import dataclass

import gradio as gr


@dataclass(frozen=True)
class View:
    """The components that the handlers write to. `downloads` are as many buttons as any task has files."""

    photo: gr.Image
    run: gr.Button
    stop: gr.Button
    people: gr.Radio
    boxes: gr.Dataframe
    status: gr.HTML
    empty: gr.HTML
    panel: gr.Column
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
