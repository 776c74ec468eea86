"""What every level costs the demo weights, all tasks: python -m benchmarks.levels [--scenes 50] [--tasks seg,pose]

On drawn scenes that nothing was trained on: the figures of `training.evaluate` against the ground truth, and those of
`compare` against the same network at fp32 (named `fp32_...`; means over the scenes). Each row of a task and a level is
kept in assets/demo/levels.json as soon as it is measured, so that a second call goes on where the first stopped; rows
of other weights or another number of scenes are measured anew. At the end the tables in README.md and
docs/choosing.md are written from it.
"""

import argparse
import hashlib
import json
from functools import cache
from typing import Any

import numpy as np

import sapiens_mlx as sm  # isort: skip  (loads BLAS before mlx.core)

from sapiens_mlx import files, tasks, zoo
from sapiens_mlx.shipped import demo_folder
from sapiens_mlx.tasks.base import Result
from training import scenes
from training.evaluate import Figures, predicted

from . import pages

SEED = 2  # the model card's figures are of seed 1
REFERENCE = "fp32"
ROWS = demo_folder() / "levels.json"
START, END = "<!-- levels: written by python -m benchmarks.levels -->", "<!-- end of levels -->"

# What docs/choosing.md shows of each task, and README by the table below: (task, key, heading, factor, digits).
TRUTH = (
    ("seg", "seg_miou", "seg, mean IoU ↑", 100, 2),
    ("pose", "pck_all", "pose, PCK ↑", 100, 2),
    ("normal", "normal_mean_deg", "normal, degrees ↓", 1, 2),
    ("pointmap", "depth_absrel", "depth, error ↓", 100, 2),
    ("albedo", "albedo_mae", "albedo, error ↓", 100, 2),
    ("matting", "alpha_mae", "alpha, error ↓", 100, 2),
)
AGAINST_FP32 = (
    ("seg", "fp32_pixel_agreement", "seg, equal labels", 100, 3),
    ("pose", "fp32_mean_shift_px", "pose, mean shift, px", 1, 3),
    ("normal", "fp32_mean_angle_deg", "normal, degrees", 1, 3),
    ("pointmap", "fp32_depth_difference", "depth, difference", 100, 3),
    ("albedo", "fp32_mean_difference", "albedo, difference", 100, 3),
    ("matting", "fp32_mean_difference", "alpha, difference", 100, 3),
    ("features", "fp32_mean_cosine", "features, cosine", 1, 5),
)
NO_TRUTH = ("features",)


@cache
def scene(number: int) -> scenes.Scene:
    return scenes.draw_scene(scenes.held_out_seed(SEED, number))


def measure(task: str, level: str, count: int, references: list[Result | None]) -> dict[str, Any]:
    """One row over `count` scenes; with `references` empty its results go there, else it is compared with them."""
    predictor, truth, is_reference = sm.load(task, "demo", level), Figures(), not references
    agreements: dict[str, list[float]] = {figure.name: [] for figure in tasks.figures(task)}
    report = None
    for number in range(count):
        result = predicted(predictor, scene(number))
        if is_reference:
            references.append(result)
        if result is None:
            continue
        if task not in NO_TRUTH:
            truth.add(scene(number), result)
        for name, value in result.agreement(references[number]).values.items():
            agreements[name].append(value)
        report = result.report
    against = {f"fp32_{name}": _mean(values) for name, values in agreements.items()}
    return {
        "quantized_share": round(report.quantized_share, 4),
        "weights_bytes": report.weights_bytes,
        **{name: round(value, 6) for name, value in truth.summary().items()},
        **({} if is_reference else against),
    }


def _mean(values: list[float]) -> float | None:
    """Of those that are numbers; None where there are none. A PSNR of equal arrays has no bound and is left out."""
    finite = [value for value in values if np.isfinite(value)]
    return round(float(np.mean(finite)), 6) if finite else None


def digest(task: str) -> str:
    return hashlib.sha256((demo_folder() / zoo.checkpoint(task, "demo").filename).read_bytes()).hexdigest()[:12]


def write(rows: list[dict[str, Any]]) -> None:
    """README's table of what a level changes, and in docs/choosing.md that of how right it still is; a row a level."""
    pages.fill(pages.README, START, END, table(rows, AGAINST_FP32))
    pages.fill(pages.CHOOSING, START, END, table(rows, TRUTH))


def table(rows: list[dict[str, Any]], columns: tuple) -> str:
    found = {(row["task"], row["level"]): row for row in rows}

    def cell(level: str, task: str, key: str, factor: float, digits: int) -> str:
        value = found.get((task, level), {}).get(key)
        return "" if value is None else f"{factor * value:.{digits}f}"

    heads = ["level", "seg's weights, MB", *(heading for _, _, heading, _, _ in columns)]
    lines = [f"| {' | '.join(heads)} |", f"|---|{'---:|' * (len(heads) - 1)}"]
    for level in zoo.LEVELS:
        cells = [cell(level, task, key, factor, digits) for task, key, _, factor, digits in columns]
        if any(cells):
            lines.append(f"| {' | '.join([level, cell(level, 'seg', 'weights_bytes', 1e-6, 2), *cells])} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", default=",".join(name for name in zoo.TASKS if tasks.figures(name)))
    parser.add_argument("--levels", default=",".join(zoo.LEVELS))
    parser.add_argument("--scenes", type=int, default=50)
    options = parser.parse_args()
    rows = json.loads(ROWS.read_text()) if ROWS.exists() else []
    for task in options.tasks.split(","):
        about = {"task": task, "size": "demo", "scenes": options.scenes, "weights": digest(task)}
        done = [row["level"] for row in rows if about.items() <= row.items()]
        missing = [level for level in options.levels.split(",") if level not in done]
        references: list[Result | None] = []
        reference_row = measure(task, REFERENCE, options.scenes, references) if missing else {}
        for level in missing:
            figures = reference_row if level == REFERENCE else measure(task, level, options.scenes, references)
            row = {"task": task, "size": "demo", "level": level} | about | figures
            rows = [other for other in rows if (other["task"], other["level"]) != (task, level)] + [row]
            rows.sort(key=lambda one: (list(zoo.TASKS).index(one["task"]), list(zoo.LEVELS).index(one["level"])))
            files.write_bytes(ROWS, (json.dumps(rows, indent=1) + "\n").encode())
            print(json.dumps(row), flush=True)
    write(rows)


if __name__ == "__main__":
    main()
