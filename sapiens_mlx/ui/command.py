"""A run of the page as a command line that does the same."""

import shlex
from collections.abc import Mapping
from typing import Any

import gradio as gr

from .. import zoo
from ..tasks.base import Report
from . import background, controls, people


def build() -> gr.Code:
    """The component that shows it."""
    return gr.Code(
        label="The same as a command line",
        language="shell",
        interactive=False,
        wrap_lines=True,
        show_line_numbers=False,
        lines=1,
        buttons=["copy"],
        min_width=300,
    )


def command_line(
    photo: str, report: Report, values: Mapping[str, Any], weights: str | None, background_name: str = ""
) -> str:
    """`python -m sapiens_mlx predict ...` for a shell, with what differs from the defaults.

    Args:
        photo: the file's name; a page never learns its folder.
        values: of the page's inputs, by name.
        background_name: the file of the visitor's own background.
    """
    words = ["predict", photo, "--task", report.task, "--size", report.size]
    if report.task != "detect":
        words += ["--level", report.level]
    if weights is not None:
        words += ["--weights", weights]
    words += ["--out", "out"]
    if report.task in people.TASKS:
        words += people_options(report.task, values)
        if report.task == "pose":
            threshold = values["pose_keypoint_threshold"]
            words += _changed("--keypoint-threshold", threshold, zoo.DEFAULTS.keypoint_threshold)
    if report.task in controls.TWO_STYLES and values["style"] != zoo.DEFAULTS.style:
        words += ["--style", values["style"]]
    if report.task in controls.CUT_OUT and values["foreground"] != zoo.DEFAULTS.foreground:
        words += ["--foreground", values["foreground"]]
    if report.task == background.TASK and values["background"] != "none":
        words += ["--background", background.as_text(background_name, values)]
    return f"python -m sapiens_mlx {shlex.join(words)}"


def people_options(task: str, values: Mapping[str, Any]) -> list[str]:
    """Who is looked at, and for pose how."""
    words = []
    boxes = people.own_boxes(values)
    if boxes is not None:
        words += [f"--boxes={','.join(f'{value:g}' for value in box)}" for box in boxes]  # may begin with a minus
    elif values["people"] == "whole":
        words += ["--detector", "none"]
    else:
        if values["detector"] != zoo.DETECTORS[0]:
            words += ["--detector", values["detector"]]
        words += _changed("--box-threshold", values["box_threshold"], zoo.DEFAULTS.box_threshold)
        words += _changed("--nms", values["nms_threshold"], zoo.DEFAULTS.nms_threshold)
    if task == "pose" and not values["flip"]:
        words.append("--no-flip")
    return words


def _changed(option: str, value: float, default: float) -> list[str]:
    return [] if value == default else [option, f"{value:g}"]
