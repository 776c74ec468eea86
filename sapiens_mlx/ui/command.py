"""A run of the page as a command line that does the same."""

import shlex
from collections.abc import Mapping
from typing import Any

from .. import zoo
from ..tasks.base import Report
from . import controls, people


def command_line(photo: str, report: Report, values: Mapping[str, Any], weights: str | None) -> str:
    """`python -m sapiens_mlx predict ...` for a shell, with what differs from the defaults.

    Args:
        photo: the file's name; a page never learns its folder.
        values: of the page's inputs, by name.
    """
    words = ["predict", photo, "--task", report.task, "--size", report.size]
    if report.task != "detect":
        words += ["--level", report.level]
    if weights is not None:
        words += ["--weights", weights]
    words += ["--out", "out"]
    if report.task in people.TASKS:
        words += _people_options(report.task, values)
    if report.task in controls.TWO_STYLES and values["style"] != zoo.DEFAULTS.style:
        words += ["--style", values["style"]]
    if report.task in controls.CUT_OUT and values["foreground"] != zoo.DEFAULTS.foreground:
        words += ["--foreground", values["foreground"]]
    return f"python -m sapiens_mlx {shlex.join(words)}"


def _people_options(task: str, values: Mapping[str, Any]) -> list[str]:
    words = []
    boxes = people.own_boxes(values)
    if boxes is not None:
        words += [f"--boxes={','.join(f'{value:g}' for value in box)}" for box in boxes]  # may begin with a minus
    elif values["people"] == "whole":
        words += ["--detector", "none"]
    else:
        words += _changed("--box-threshold", values["box_threshold"], zoo.DEFAULTS.box_threshold)
        words += _changed("--nms", values["nms_threshold"], zoo.DEFAULTS.nms_threshold)
    if task == "pose":
        threshold = values["pose_keypoint_threshold"]
        words += _changed("--keypoint-threshold", threshold, zoo.DEFAULTS.keypoint_threshold)
        if not values["flip"]:
            words.append("--no-flip")
    return words


def _changed(option: str, value: float, default: float) -> list[str]:
    return [] if value == default else [option, f"{value:g}"]
