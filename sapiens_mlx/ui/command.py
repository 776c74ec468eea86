"""A run of the page as a command line that does the same."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import gradio as gr

from .. import zoo
from ..tasks.base import Report
from . import background, controls, hands, people
from .outside import DIR


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
    photo: str, reports: Sequence[Report], values: Mapping[str, Any], weights: str | None, background_name: str = ""
) -> str:
    """`python -m sapiens_mlx predict ...` for a shell, with what differs from the defaults.

    Args:
        photo: the file's name; a page never learns its folder.
        reports: of the tasks, at least one, of one size and level.
        values: of the page's inputs, by name.
        weights: as for Predictor; where that folder is, a page does not tell.
        background_name: the file of the visitor's own background.
    """
    tasks = [one.task for one in reports]
    report = next((one for one in reports if one.task != hands.TASK), reports[0])  # hands come with any size
    words = ["predict", photo, "--task", ",".join(tasks)]
    if report.size != zoo.RFDETR_BASE.size:  # which --detector says, and no size
        words += ["--size", report.size]
    if report.task != "detect":
        words += ["--level", report.level]
    if weights is not None:
        words += ["--weights", DIR]
    words += ["--out", "out"]
    if looking := [task for task in people.TASKS if task in tasks]:
        words += people_options(looking[0], values)
    if "pose" in tasks:
        threshold = values["pose_keypoint_threshold"]
        words += _changed("--keypoint-threshold", threshold, zoo.DEFAULTS.keypoint_threshold)
    if hands.TASK in tasks:
        words += hands.words(values)
        words += _changed("--mesh-opacity", values["hands_opacity"], zoo.DEFAULTS.mesh_opacity)
    if {*controls.TWO_STYLES} & {*tasks} and values["style"] != zoo.DEFAULTS.style:
        words += ["--style", values["style"]]
    if {*controls.CUT_OUT} & {*tasks} and values["foreground"] != zoo.DEFAULTS.foreground:
        words += ["--foreground", values["foreground"]]
    if background.TASK in tasks and values["background"] != "none":
        words += ["--background", background.as_text(background_name, values)]
    return f"python -m sapiens_mlx {shlex.join(words)}"


def command_lines(
    photo: str, reports: Iterable[Report], values: Mapping[str, Any], weights: str | None, background_name: str = ""
) -> str:
    """The same for several tasks, a line for each size and level that they were run at.

    Hands, which go with any size, are in the line of pose where that has their level: both then write whose each hand
    is.
    """
    alike: dict[tuple[str, str], list[Report]] = {}
    alone: dict[str, list[Report]] = {}
    for report in reports:
        if report.task in ("detect", hands.TASK):
            alone[report.task] = [report]
        else:
            alike.setdefault((report.size, report.level), []).append(report)
    if hands.TASK in alone:
        level = alone[hands.TASK][0].level
        lines = [line for line in alike.values() if line[0].level == level]
        lines.sort(key=lambda line: all(one.task != "pose" for one in line))
        if lines:
            lines[0] += alone.pop(hands.TASK)
    groups = [*alike.values(), *alone.values()]
    return "\n".join(command_line(photo, group, values, weights, background_name) for group in groups)


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
