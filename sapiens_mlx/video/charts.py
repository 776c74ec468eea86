"""Joint angles over the time of a clip: a table for spreadsheets, and a chart."""

import csv
import math
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..files import writing
from ..tasks.joint_angles import ANGLES, MEASURES, NOTE, joint_angles
from ..tasks.pose_picture import PEOPLE

MOST_PEOPLE = 6  # in the chart, those that are seen longest
MOST_POINTS = 4000  # of a line: there are no more pixels


def write_angles(
    rows: Iterable[dict[str, Any]], csv_path: Path, png_path: Path, keypoint_threshold: float, title: str
) -> list[Path]:
    """Writes both files and returns their paths.

    The table: `frame,time_s,track_id`, a column of degrees for each of ANGLES, empty where a point was not seen, and
    the note that says what the numbers are not; a line for every person in every frame.

    Args:
        rows: the objects of results.line(), of pose.
        keypoint_threshold: points at or below it count as not seen.
    """
    lines: dict[int, tuple[array, dict[str, array]]] = {}  # by person: times, and degrees of every angle
    with writing(csv_path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["frame", "time_s", "track_id", *(f"{name}_deg" for name in ANGLES), "note"])
        for row in rows:
            for person in row["people"]:
                points = np.array(person["keypoints"], np.float64)
                angles = joint_angles(points[:, :2], points[:, 2], keypoint_threshold)
                cells = ["" if math.isnan(angles[name]) else round(angles[name], 2) for name in ANGLES]
                table.writerow([row["frame"], row["time_s"], person["track_id"], *cells, NOTE])
                times, degrees = lines.setdefault(
                    person["track_id"], (array("f"), {name: array("f") for name in ANGLES})
                )
                times.append(row["time_s"])
                for name in ANGLES:
                    degrees[name].append(angles[name])
    _draw(lines, png_path, title)
    return [csv_path, png_path]


def _draw(lines: dict[int, tuple[array, dict[str, array]]], path: Path, title: str) -> None:
    """One panel a measure; a person is a colour, left drawn through and right dashed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 2.0 * len(MEASURES) + 0.8), dpi=110, layout="constrained")
    axes = figure.subplots(len(MEASURES), 1, sharex=True)
    longest = sorted(lines, key=lambda number: -len(lines[number][0]))[:MOST_PEOPLE]
    for axis, (name, measure) in zip(axes, MEASURES.items(), strict=True):
        for number in sorted(longest):
            times, degrees = lines[number]
            colour = np.array(PEOPLE[(number - 1) % len(PEOPLE)]) / 255 * 0.8  # light colours on white
            sides = {f"left_{name}": "-", f"right_{name}": "--"} if measure.paired else {name: "-"}
            for side, style in sides.items():
                step = max(1, len(times) // MOST_POINTS)
                label = f"person {number}, {side.split('_')[0]}" if measure.paired else f"person {number}"
                axis.plot(*_with_gaps(times[::step], degrees[side][::step]), style, color=colour, lw=1.3, label=label)
        axis.set_ylabel(f"{name.replace('_', ' ')} [°]")
        axis.grid(alpha=0.3)
    if longest:
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", fontsize="x-small", ncols=2 * min(3, len(longest)))
    axes[-1].set_xlabel("time [s]")
    more = f" (the {MOST_PEOPLE} seen longest of {len(lines)} people)" if len(lines) > MOST_PEOPLE else ""
    figure.suptitle(f"{title}{more}\n{NOTE}", fontsize="small")
    with writing(path) as partial:
        figure.savefig(partial, format="png")


def _with_gaps(times_s: array, degrees: array) -> tuple[np.ndarray, np.ndarray]:
    """The points of a line, which is broken where somebody was out of sight for longer than usual."""
    times, values = np.asarray(times_s), np.asarray(degrees)
    if len(times) < 3:
        return times, values
    steps = np.diff(times)
    breaks = np.flatnonzero(steps > 3 * np.median(steps)) + 1
    return np.insert(times, breaks, times[breaks]), np.insert(values, breaks, np.nan)
