"""A run of the page as a command line that does the same."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
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
    photo: str, reports: Sequence[Report], values: Mapping[str, Any], weights: str | None, background_name: str = ""
) -> str:
    """`python -m sapiens_mlx predict ...` for a shell, with what differs from the defaults.

    Args:
        photo: the file's name; a page never learns its folder.
        reports: of the tasks, at least one, of one size and level.
        values: of the page's inputs, by name.
        background_name: the file of the visitor's own background.
    """
    tasks, report = [one.task for one in reports], reports[0]
    words = ["predict", photo, "--task", ",".join(tasks), "--size", report.size]
    if report.task != "detect":
        words += ["--level", report.level]
    if weights is not None:
        words += ["--weights", weights]
    words += ["--out", "out"]
    if looking := [task for task in people.TASKS if task in tasks]:
        words += people_options(looking[0], values)
    if "pose" in tasks:
        threshold = values["pose_keypoint_threshold"]
        words += _changed("--keypoint-threshold", threshold, zoo.DEFAULTS.keypoint_threshold)
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
    """The same for several tasks, a line for each size and level that they were run at."""
    alike: dict[tuple[str, str], list[Report]] = {}
    people_alone: list[Report] = []
    for report in reports:
        if report.task == "detect":
            people_alone.append(report)
        else:
            alike.setdefault((report.size, report.level), []).append(report)
    groups = [*alike.values(), *([people_alone] if people_alone else [])]
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
