"""What a run of one task leaves: the files of its result, and the report that `predict --json` prints."""

import json
import os
import time
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import zoo
from .files import write_bytes
from .tasks.background import Background
from .tasks.base import Result

MOST_STEM_BYTES = 150  # of the last part; endings and the name of a half-written file have to fit 255 with it
TOGETHER = ("pose", "hands")  # whose results of one photo say something together
PEOPLE = "_hands_people.json"  # the end of the name of what says it


def stems(inputs: Sequence[str]) -> list[tuple[str, str]]:
    """(stem of the files to write, photo): a stem that is taken gets a number, so that nothing is overwritten."""
    taken: set[str] = set()
    stems = []
    for photo in inputs:
        stem = wanted = shortened(Path(photo).stem)
        number = 1
        while on_disk(stem) in taken:
            number += 1
            stem = f"{wanted}-{number}"
        taken.add(on_disk(stem))
        stems.append((stem, photo))
    return stems


def shortened(stem: str) -> str:
    """The stem, which may have folders before it; one that endings would make too long for a disk ends early."""
    name = stem.rpartition("/")[2]
    encoded = os.fsencode(name)
    if len(encoded) <= MOST_STEM_BYTES:
        return stem
    return stem.removesuffix(name) + encoded[:MOST_STEM_BYTES].decode("utf-8", "ignore")


def on_disk(stem: str) -> str:
    """What two stems have in common that are one to a disk: a Mac's does not tell Photo from photo, nor the two ways
    to write é."""
    return unicodedata.normalize("NFC", stem).casefold()


def save(
    result: Result,
    folder: str | Path,
    stem: str,
    photo: str,
    *,
    style: str = zoo.DEFAULTS.style,
    side_by_side: bool = False,
    keypoint_threshold: float = zoo.DEFAULTS.keypoint_threshold,
    pose_formats: Sequence[str] = (),
    points: int = zoo.DEFAULTS.points,
    background: Background = None,
    mesh_opacity: float = zoo.DEFAULTS.mesh_opacity,
) -> dict[str, Any]:
    """Writes the task's files as `<stem>_...` into `folder`.

    Args:
        photo: what the report calls the photo.
        style, side_by_side, keypoint_threshold, points, background: as for the result's save(); an option of another
            task is left out. pose_formats: its `formats`, for pose.

    Returns:
        The report: `input`, `files` (the paths written) and the fields of Report, whose seconds now hold `draw` too.

    Raises:
        SapiensError: for an option's value that cannot be, or a folder that cannot be written.
    """
    of_task: dict[str, dict[str, Any]] = {
        "pose": {"keypoint_threshold": keypoint_threshold, "formats": pose_formats},
        "pointmap": {"points": points},
        "matting": {"background": background},
        "hands": {"opacity": mesh_opacity},
    }
    options = of_task.get(result.report.task, {})
    start = time.perf_counter()
    paths = result.save(folder, stem, style=style, side_by_side=side_by_side, **options)
    result.report.seconds["draw"] = round(time.perf_counter() - start, 4)
    return {"input": photo, "files": [str(path) for path in paths], **vars(result.report)}


def save_together(results: Mapping[str, Any], last: str, folder: str | Path, stem: str) -> list[str]:
    """Writes what results of one photo say together: of pose and hands `<stem>_hands_people.json` and, where a hand is
    somebody's, `.png`. Returns the paths.

    Args:
        results: by task.
        last: the task that came last: what it is not part of was written before.
    """
    if last not in TOGETHER or not set(TOGETHER) <= results.keys():
        return []
    from .image import write_png
    from .tasks.hands_people import pictures, to_json

    hands, pose = results["hands"], results["pose"]
    path = Path(folder) / f"{stem}{PEOPLE}"
    paths = [write_bytes(path, json.dumps(to_json(hands, pose), allow_nan=False).encode())]
    if found := [picture for picture, _ in pictures(hands, pose)]:
        paths.append(write_png(path.with_suffix(".png"), np.vstack(found)))
    return [str(one) for one in paths]


def failure(photo: str, task: str, problem: Exception) -> dict[str, str]:
    """What stands in place of a report where a task failed."""
    return {"input": photo, "task": task, "error": str(problem)}


def together(reports: list[dict[str, Any]], failures: list[dict[str, str]], asked: int) -> dict[str, Any]:
    """One object of what came of the runs that were `asked` for: of a single one its report, else lists."""
    return reports[0] if asked == 1 else {"results": reports, "failed": failures}
