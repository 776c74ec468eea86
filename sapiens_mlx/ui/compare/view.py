"""The components of the tab Compare levels that its handlers write to."""

from dataclasses import dataclass

import gradio as gr

from ..tab import TabView


@dataclass(frozen=True)
class CompareView(TabView):
    """`levels` and `too_large` are by size: the levels to tick, and which of them do not fit into the memory."""

    sizes: gr.CheckboxGroup
    levels: dict[str, gr.CheckboxGroup]
    too_large: dict[str, gr.HTML]
    size_groups: dict[str, gr.Group]
    reference: gr.Dropdown
    foreground: gr.Radio
    people_part: gr.Accordion
    people: gr.Radio
    boxes: gr.Dataframe
    about: gr.HTML
    pictures: gr.Column
    view: gr.Radio
    frames: dict[str, gr.Column]
    left: gr.Dropdown
    right: gr.Dropdown
    slider: gr.ImageSlider
    gallery: gr.HTML
    differing: gr.Dropdown
    difference: gr.Image
    table: gr.HTML
    charts: gr.HTML
    notes: gr.HTML
    exports: gr.Column
    csv: gr.DownloadButton
    sheet: gr.DownloadButton
    command: gr.Code
