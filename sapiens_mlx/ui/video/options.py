"""What the tab's inputs ask for, as the arguments of run_clip(), and what a run of them costs."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ... import zoo
from ...errors import SapiensError
from ...hosted import is_hosted
from ...options import Options
from ...video.choices import ClipChoices
from .. import controls, hands
from ..people import TASKS as ABOUT_PEOPLE
from . import sentences
from .given import Facts

HOSTED_FRAMES = 900  # of a run where strangers share one machine: half a minute of a phone's clip


def most_frames() -> int | None:
    """How many frames a run may have here; None where whoever runs the page decides."""
    return HOSTED_FRAMES if is_hosted() else None


def choices(values: Mapping[str, Any]) -> ClipChoices:
    """Raises SapiensError for numbers that cannot be. A field that is emptied comes as None or 0 (Gradio 6.31), which
    stands for what it was at first."""
    default = ClipChoices()
    return ClipChoices(
        view=values["view"],
        first_frame=values["first_frame"] or default.first_frame,
        last_frame=values["last_frame"] or default.last_frame,
        every=values["every"] or default.every,
        longest_side=values["longest_side"] or None,
        detect_every=values["detect_every"] if values["task"] in ABOUT_PEOPLE else default.detect_every,
        mesh_opacity=values["mesh_opacity"] if values["task"] == hands.TASK else default.mesh_opacity,
        sound=values["sound"],
    )


def within(chosen: ClipChoices, facts: Facts, most: int | None) -> ClipChoices:
    """The choices, where no more than `most` frames of the clip are asked for.

    Where nobody knows how many there are, the last frame is set so that there are no more.

    Raises:
        SapiensError: that says how to ask for fewer.
    """
    if most is None:
        return chosen
    count = chosen.chosen.count(facts.frames)
    if count is not None and count > most:
        raise SapiensError(sentences.too_long(count, most, chosen.every))
    end = chosen.first_frame + most * chosen.every - 1
    return replace(chosen, last_frame=end if chosen.last_frame is None else min(end, chosen.last_frame))


def of_predictor(values: Mapping[str, Any]) -> Options:
    """options.Options for every frame."""
    if values["task"] in ABOUT_PEOPLE:
        return Options(box_threshold=values["box_threshold"], flip=values["flip"])
    if values["task"] == hands.TASK:
        return Options(hand_threshold=values["hand_threshold"])
    return Options(foreground=foreground(values))


def foreground(values: Mapping[str, Any]) -> str:
    """What frames are cut to: only of the tasks that mean nothing outside people."""
    return values["foreground"] if values["task"] in controls.CUT_OUT else zoo.DEFAULTS.foreground


def timed(values: Mapping[str, Any]) -> tuple[str, str, str]:
    """The task, size and level that frames' seconds are kept under, and found by: the detector has one level."""
    task = values["task"]
    return task, zoo.size_like(task, values["size"]), "fp32" if task == "detect" else values["level"]


def how(values: Mapping[str, Any]) -> str:
    """What makes a frame take longer than others with the same network, for costs.remember_frames()."""
    if values["task"] == "pose":
        return "mirrored" if values["flip"] else ""
    return "cut out" if foreground(values) == "auto" else ""


def cost(values: Mapping[str, Any], facts: Facts | None, weights: str | None, most: int | None) -> str:
    """What a run takes, in words: of the clip, or a frame where there is none yet. Before it, what is wrong with what
    is asked for."""
    from ... import costs

    task, level = values["task"], values["level"]
    size = zoo.size_like(task, values["size"])
    wrong, frames = "", None
    try:
        chosen = choices(values)
        if facts is not None:
            frames = chosen.chosen.count(facts.frames)
            within(chosen, facts, most)
    except SapiensError as problem:
        wrong = str(problem)
    try:
        inputs = 1 if task == "pose" and not values["flip"] else None
        total = costs.cost(task, size, level, weights, inputs=inputs)
        mask = costs.cost("seg", zoo.size_like("seg", size), level, weights) if foreground(values) == "auto" else None
    except SapiensError:  # of a folder of weights that cannot be read, which the run says
        return sentences.cost(wrong, frames, None)
    seconds = costs.frame_seconds(*timed(values), how(values))
    if seconds is not None:
        total = replace(total, seconds=seconds, guessed=False)
    elif total.seconds is not None and mask is not None and not mask.downloads:
        total = replace(total, seconds=None if mask.seconds is None else total.seconds + mask.seconds)
    return sentences.cost(wrong, frames, total)
