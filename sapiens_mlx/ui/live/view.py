"""The components that the handlers of the tab Live write to."""

from dataclasses import dataclass

import gradio as gr


@dataclass(frozen=True)
class LiveView:
    size: gr.Radio
    surroundings: gr.Checkbox
    about: gr.HTML
    start: gr.Button
    stop: gr.Button
    status: gr.HTML
    empty: gr.HTML
    camera_frame: gr.Column
    picture: gr.HTML
