"""The components of the Studio tab that its handlers write to."""

from dataclasses import dataclass

import gradio as gr

from ..consent import Asking
from ..tab import TabView
from .hands_panel import HandsPanel
from .space import Space


@dataclass(frozen=True)
class View(TabView):
    """`downloads` are as many buttons as any surface has files; `frames` what a picture is shown in, by kind."""

    strip: gr.Gallery
    consent: Asking
    people: gr.Radio
    boxes: gr.Dataframe
    surface: gr.Radio
    notes: gr.HTML
    details: gr.Column
    slider: gr.ImageSlider
    picture: gr.Image
    frames: dict[str, gr.Column]
    look: gr.Row
    view: gr.Radio
    style: gr.Radio
    foreground: gr.Radio
    style_groups: dict[str, gr.Row]
    background: gr.UploadButton
    part: gr.Dropdown
    ball: gr.Image
    pose_inputs: dict[str, gr.components.Component]
    angles: gr.HTML
    keypoints: gr.Dataframe
    hands: HandsPanel
    space: Space
    asking: gr.Row
    told: gr.HTML
    downloads: list[gr.DownloadButton]
    archive: gr.DownloadButton
    card: gr.HTML
    command: gr.Code
