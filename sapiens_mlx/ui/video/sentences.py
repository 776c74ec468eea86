"""What the tab Video says: the way in, the clip, what a run takes, how far it is, what came of it, the command line."""

import math
import shlex
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ... import zoo
from .. import command as commands
from .. import consent, hands, words
from ..live import sentences as live
from ..outside import DIR
from ..progress import Step, step

if TYPE_CHECKING:
    from ...costs import Cost
    from ...video.choices import ClipChoices
    from ...video.report import ClipReport, Newest
    from .given import Facts

SHOWS = (
    ("A video that plays anywhere", "H.264 with the clip's own times and sound: over the frame, beside it, or alone"),
    ("People keep their numbers", "from frame to frame; boxes and keypoints of every frame as JSON lines"),
    ("Joint angles over time", "of everyone in sight, as a chart and as a table; choose Pose"),
    ("Nothing is kept", "the clip and all that was made of it are removed when you leave the page"),
)
HINTS = words.HINTS | {
    "seg": "29 parts of body and clothing, in colours",
    "pose": "308 named keypoints for every person, who keeps a number and a colour",
    "pointmap": "how far away it is, in metres, by one scale of colours for the whole clip",
    "detect": "a box around everyone, who keeps a number",
    "hands": "21 points and a mesh in 3-D for every hand, found anew in each frame",
}
NO_CLIP = "There is no clip yet. Drop one into the frame, or press the example."
WAITING = "Waiting: another clip is being worked on"
FILES = {
    ".mp4": "Video",
    "_pose.jsonl": "Keypoints, a line a frame",
    "_detect.jsonl": "Boxes, a line a frame",
    "_hands.jsonl": "Hands, a line a frame",
    "_angles.csv": "Joint angles",
    "_angles.png": "Chart",
    "_clip.json": "Report",
}


def empty(clip_there: bool = False) -> str:
    """What stands where the video will be."""
    steps = ("Drop a clip of people", "Choose what to see", "Press Run")
    return words.empty_page("Your video appears here", steps, words.shows(SHOWS), clip_there)


# ---- before a run ---------------------------------------------------------------------------------------------------


def limits(size: str, most: int | None) -> str:
    """Before there is a clip, how large and how long it may be."""
    frames = f", and {most} frames a run" if most else ""
    return f'<p class="clip-limits">Up to {size.upper().replace("MB", " MB")}{frames}.</p>'


def given(name: str, poster: str, facts: "Facts", named: bool) -> str:
    """The clip as it came in: its first frame and what is known of it; its name where that is not to be seen yet."""
    height, width = facts.size_hw
    parts = [f"{width} x {height}"]
    if facts.frames:
        parts.append(f"{facts.frames} frames, 0 to {facts.frames - 1}")
    parts.append(f"{facts.frames_per_s:.3g} a second")
    if facts.seconds:
        parts.append(_time(facts.seconds))
    parts.append("with sound" if facts.has_sound else "without sound")
    title = "" if named else f"<b>{escape(name)}</b><br>"
    return (
        f'<figure class="clip-given"><img src="{poster}" width="{width}" height="{height}" '
        f'alt="First frame of {escape(name)}"><figcaption>{title}{" · ".join(parts)}</figcaption>'
        "</figure>"
    )


def about(task: str, size: str, level: str, cost: str = "") -> str:
    """What is about to be run."""
    missing = []
    if task == hands.TASK:
        cost, missing = f"<p>{consent.ELSEWHERE}</p>{cost}", [hands.missing()]
    return words.choice([task], size, level, cost, HINTS, missing)


def cost(wrong: str, frames: int | None, total: "Cost | None") -> str:
    """What a run takes: `total` is that of one frame. `wrong` is what cannot be asked for."""
    parts = []
    seconds, guessed = (None, False) if total is None else (total.seconds, total.guessed)
    if frames is None:
        parts += [] if seconds is None else [f"{words.expected(seconds, guessed).capitalize()} a frame."]
    elif seconds is None:
        parts.append(f"{_count(frames)}; how long they take here, the first run tells.")
    else:
        parts.append(f"{_count(frames)}, {words.expected(seconds * frames, guessed)}.")
    if total is not None:
        parts.append(f"{'; '.join(words.cost_facts(total))}.")
    return f'{words.asides([wrong])}<p class="cost">{escape(" ".join(parts))}</p>'


def too_long(count: int, most: int, every: int) -> str:
    """For more frames than a run may have here."""
    return (
        f"That is {count} frames, and this page, which many share, takes {most} at a time. Choose a first and a last "
        f"frame, or take every {_th(every * math.ceil(count / most))} one; on a machine of your own there is no limit."
    )


# ---- while it runs --------------------------------------------------------------------------------------------------


def running(stage: tuple[str, float, float], newest: "Newest | None", two_passes: bool, passes: int) -> Step:
    """How far a run is. `stage` is a report of its job; of depth there are two passes, of which `passes` were begun."""
    if stage[0] != "frames":
        return step(*stage)
    if newest is None:
        return Step("Working on the first frame")
    share = newest.done / newest.total if newest.total else None
    last = not two_passes or passes > 1
    if share == 1 and last:
        return Step("Writing the files")
    sentence = newest.sentence()
    return Step(f"Pass {passes} of 2: {sentence}" if two_passes else sentence.capitalize(), share)


def preview(address: str, width: int, height: int, newest: "Newest") -> str:
    """The newest frame of a run, `address` being a data URL."""
    caption = f"The newest: frame {newest.index}, at {newest.time_s:.2f} s"
    return live.newest(address, width, height, "The newest frame", caption)


# ---- what came of it ------------------------------------------------------------------------------------------------


def done(report: "ClipReport") -> str:
    return words.line("Done", f"{_count(report.frames)}, {words.duration(report.wall_s)}")


def stopped(report: "ClipReport | None") -> str:
    """After Stop, with what there is."""
    if report is None:
        return words.line("Stopped", "The clip and the settings are as they were.", "stopped")
    if report.video is None:
        return words.line("Stopped", "before the first frame was done.", "stopped")
    return words.line("Stopped", f"The video shows the {_count(report.frames)} that are done.", "stopped")


def video(path: Path, poster: str, name: str, task: str) -> str:
    """The player of the browser itself, with its keys and its names."""
    label = escape(f"{zoo.task_row(task).title} of {name}")
    return (
        f'<video class="made" controls playsinline preload="metadata" poster="{poster}" aria-label="{label}" '
        f'src="gradio_api/file={quote(str(path))}"></video>'
    )


def card(report: "ClipReport", clip_seconds: float | None) -> str:
    """How the video came about."""
    length = f", {report.wall_s / clip_seconds:.2g} times the clip's length" if clip_seconds else ""
    near_far = report.depth_range_m
    of_hands = report.task == hands.TASK
    whose = words.credit(report) if of_hands else words.licence(zoo.checkpoint(report.task, report.size).licence)
    facts = {
        "Run": escape(f"{zoo.task_row(report.task).title} {report.size}"),
        "Frames": f"{report.frames}{' before Stop' if report.stopped else ''}",
        "Time": f"{words.duration(report.wall_s)}{length}",
        "Speed": f"{report.frames_per_s:.3g} frames a second" if report.frames_per_s else "",
        "Depth": f"{near_far[0]:.2f} to {near_far[1]:.2f} m, one range for all frames" if near_far else "",
        "Memory": f"{report.peak_memory_bytes / 1e9:.1f} GB at its peak",
        "Device": escape(report.device),
        "Precision": f"weights stored as {escape(report.level)}, computed in {escape(report.compute_dtype)}",
        "Weights": whose,
    }
    rows = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts.items() if value)
    return f'<section class="card"><h2>What was run</h2><dl>{rows}</dl></section>'


def file_label(path: Path) -> str:
    title = next(title for ending, title in FILES.items() if path.name.endswith(ending))
    return words.file_words(title, path)


def command(
    name: str, report: "ClipReport", values: Mapping[str, Any], chosen: "ClipChoices", weights: str | None
) -> str:
    """`python -m sapiens_mlx predict ...` for a shell, that makes the same video."""
    task = report.task
    parts = ["predict", name, "--task", task, "--size", report.size]
    if task != "detect":
        parts += ["--level", report.level]
    if weights is not None:
        parts += ["--weights", DIR]
    parts += ["--out", "out"]
    if task in commands.people.TASKS:
        found = {"people": "find", "detector": zoo.DETECTORS[0], "nms_threshold": zoo.DEFAULTS.nms_threshold}
        parts += commands.people_options(task, {**values, **found})
    if task == hands.TASK and values["hand_threshold"] != zoo.DEFAULTS.hand_threshold:
        parts += ["--hand-threshold", f"{values['hand_threshold']:g}"]
    default = type(chosen)()
    for option in ("view", "first_frame", "last_frame", "every", "longest_side", "detect_every", "mesh_opacity"):
        value = getattr(chosen, option)
        if value != getattr(default, option):
            parts += [f"--{option.replace('_', '-')}", str(value)]
    if not chosen.sound:
        parts.append("--no-sound")
    if task in commands.controls.CUT_OUT and values["foreground"] != zoo.DEFAULTS.foreground:
        parts += ["--foreground", values["foreground"]]
    return f"python -m sapiens_mlx {shlex.join(parts)}"


def _count(frames: int) -> str:
    return f"{frames} frame{'' if frames == 1 else 's'}"


def _th(number: int) -> str:
    """ "2nd", "13th" """
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10 if number % 100 not in (11, 12, 13) else 0, "th")
    return f"{number}{ending}"


def _time(seconds: float) -> str:
    whole = round(seconds)
    return f"{seconds:.1f} s" if seconds < 60 else f"{whole // 60}:{whole % 60:02d} min"
