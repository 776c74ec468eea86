"""The components of the tab Video that its handlers write to."""

from dataclasses import dataclass

import gradio as gr

from ..tab import RunView


@dataclass(frozen=True)
class VideoView(RunView):
    """`downloads` are as many buttons as a run has files."""

    clip: gr.File
    given: gr.HTML
    size: gr.Radio
    level: gr.Radio
    too_large: gr.HTML
    about: gr.HTML
    foreground: gr.Radio
    people: gr.Column
    hands: gr.Column
    flip: gr.Checkbox
    preview: gr.HTML
    video: gr.HTML
    notes: gr.HTML
    chart: gr.Image
    downloads: list[gr.DownloadButton]
    card: gr.HTML
    command: gr.Code
