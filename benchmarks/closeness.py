"""How close the networks come to PyTorch's: python -m benchmarks.closeness [--tasks seg,pose] [--reference DIR]

Published size, seeded random weights, one input of noise, float32. Against transformers' Sapiens2 (RoPE in float32 on
both sides; `pip install -r requirements-parity.txt`), and with --reference, a folder with the numbers that Meta's own
code gave (`full/seg_0.4b.safetensors`, ...), against those (RoPE in bfloat16, as it has it). Each row is kept in
benchmarks/closeness.json as soon as it is measured; at the end the table in README.md is written from it.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import sapiens_mlx as sm  # isort: skip  (loads BLAS before mlx.core)

import cv2
import mlx.core as mx
from safetensors.numpy import load_file

from sapiens_mlx import files, zoo
from sapiens_mlx.bench import measure
from sapiens_mlx.bench.serve import pixels
from sapiens_mlx.runtime import inference
from sapiens_mlx.weights import seeded, store

from . import pages

ROWS = Path(__file__).with_name("closeness.json")
START, END = "<!-- closeness: written by python -m benchmarks.closeness -->", "<!-- end of closeness -->"
SIZES = {"features": "0.4b", "seg": "0.4b", "pose": "0.4b", "normal": "0.4b", "pointmap": "0.4b", "matting": "1b"}
TRANSFORMERS, REFERENCE = "transformers", "Meta's code"

# What mlx-vlm's own README states of itself for 0.4b and an input of noise, against Meta's code alone: largest and mean
# difference, agreement, and the spread of the values where it gives it, by which its weights were others than ours.
PUBLISHED_BY_MLX_VLM = {
    "seg": "0.196, 4.8e-4, 100.00 % of labels; spread 2.83",
    "pose": "5.1e-3, 1.9e-5, 96.10 % of peaks",
    "normal": "about 1, 3.9e-3; spread 2.25",
    "pointmap": "0.379, 4.0e-4, scale 1e-4",
}

Arrays = list[np.ndarray]


def ours(task: str, weights: Path, values: np.ndarray, rope: str) -> Arrays:
    """The raw outputs for (1, H, W, 3) float32 `values`, channels last."""

    def run(progress: Any) -> Arrays:
        model = store.load(task, SIZES[task], "fp32", str(weights), rope_dtype=getattr(mx, rope))
        output = model.run(mx.array(values))
        return [np.array(part) for part in (output if isinstance(output, tuple) else (output,))]

    return inference.run(run)


def of_transformers(task: str, weights: Path, folder: Path) -> Arrays:
    """What transformers makes of the same file and of pixels()."""
    job = measure.peer_job(task, SIZES[task], zoo.level("fp32"), str(weights), folder)
    with measure.running("torch", [str(measure.PEERS["torch"])], job) as network:
        network.run()
        return network.output(folder)


# ---- how many answers are the same ----------------------------------------------------------------------------------


def _labels(one: Arrays, other: Arrays) -> str:
    return _share(np.mean(one[0].argmax(-1) == other[0].argmax(-1)), "of labels")


def _peaks(one: Arrays, other: Arrays) -> str:
    found = [maps[0].reshape(-1, maps[0].shape[-1]).argmax(0) for maps in (one, other)]
    return _share(np.mean(found[0] == found[1]), "of peaks")


def _angle(one: Arrays, other: Arrays) -> str:
    unit = [maps[0] / np.linalg.norm(maps[0], axis=-1, keepdims=True) for maps in (one, other)]
    half = np.linalg.norm(unit[0] - unit[1], axis=-1) / 2  # arccos loses small angles
    return f"{np.degrees(2 * np.arcsin(np.clip(half, 0, 1))).mean():.1e} degrees"


def _scale(one: Arrays, other: Arrays) -> str:
    return f"scale {np.abs(one[1] - other[1]).max():.0e}"


def _cosine(one: Arrays, other: Arrays) -> str:
    a, b = (tokens[0] / np.linalg.norm(tokens[0], axis=-1, keepdims=True) for tokens in (one, other))
    return f"cosine {(a * b).sum(-1).mean():.6f}"


def _share(share: float, of: str) -> str:
    return f"{100 * share:.4f} % {of}"


AGREEMENT: dict[str, Callable[[Arrays, Arrays], str]] = {
    "features": _cosine,
    "seg": _labels,
    "pose": _peaks,
    "normal": _angle,
    "pointmap": _scale,
}


# ---- rows -----------------------------------------------------------------------------------------------------------


def against_transformers(task: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / zoo.checkpoint(task, SIZES[task]).filename
        seeded.write(weights, task, SIZES[task])
        theirs = of_transformers(task, weights, Path(folder))
        mine = ours(task, weights, pixels(list(zoo.SIZES[SIZES[task]].input_hw)), "float32")
    agreement = AGREEMENT[task](mine, theirs) if task in AGREEMENT else ""
    return {"against": TRANSFORMERS, **_difference(mine[0], theirs[0]), "agreement": agreement}


def against_reference(task: str, folder: Path) -> dict[str, Any] | None:
    """Of the values that the fixtures keep; labels and peaks are of the whole picture. None where there are none."""
    path = folder / f"full/{task}_{SIZES[task]}.safetensors"
    if task not in ("seg", "pose") or not path.is_file():
        return None
    expected = load_file(path)
    noise = seeded.noise("full/pixel_values", (1, 3, *zoo.SIZES[SIZES[task]].input_hw))
    with tempfile.TemporaryDirectory() as made:
        weights = Path(made) / zoo.checkpoint(task, SIZES[task]).filename
        seeded.write(weights, task, SIZES[task])
        maps = ours(task, weights, np.ascontiguousarray(noise.transpose(0, 2, 3, 1)), "bfloat16")[0]
    if task == "seg":
        theirs = expected["logits_s32"].transpose(0, 2, 3, 1)
        labels = cv2.imread(str(folder / f"full/seg_{SIZES[task]}_argmax.png"), cv2.IMREAD_UNCHANGED)
        agreement, kept = _share(np.mean(maps[0].argmax(-1) == labels), "of labels"), maps[:, ::32, ::32]
    else:
        theirs = expected["heatmaps_s16_off5"].transpose(0, 2, 3, 1)
        peaks = maps[0].reshape(-1, maps.shape[-1]).argmax(0)
        agreement, kept = _share(np.mean(peaks == expected["argmax"].ravel()), "of peaks"), maps[:, 5::16, 5::16]
    return {"against": REFERENCE, **_difference(kept, theirs), "agreement": agreement}


def _difference(one: np.ndarray, other: np.ndarray) -> dict[str, float]:
    away = np.abs(one - other)
    return {
        "largest": float(f"{away.max():.1e}"),
        "mean": float(f"{away.mean():.1e}"),
        "spread": float(f"{other.std():.2g}"),
    }


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| task, size | against | values' spread | largest difference | mean difference | the same answer "
        "| of mlx-vlm, by its README: other weights, against Meta's code |",
        "|---|---|---:|---:|---:|---|---|",
    ]
    told = set()  # once a task: it is no comparison with what the row is against
    for row in rows:
        values = (f"{row[key]:g}" for key in ("spread", "largest", "mean"))
        published = "" if row["task"] in told else PUBLISHED_BY_MLX_VLM.get(row["task"], "")
        told.add(row["task"])
        names = f"{row['task']} {row['size']} | {row['against']}"
        lines.append(f"| {names} | {' | '.join(values)} | {row['agreement']} | {published} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", default=",".join(SIZES))
    parser.add_argument("--reference", type=Path)
    options = parser.parse_args()
    rows = json.loads(ROWS.read_text()) if ROWS.exists() else []
    for task in options.tasks.split(","):
        found = [against_transformers(task)]
        if options.reference is not None and (row := against_reference(task, options.reference)):
            found.append(row)
        for figures in found:
            row = {"task": task, "size": SIZES[task], "version": sm.__version__, **figures}
            key = (task, row["against"])
            rows = [other for other in rows if (other["task"], other["against"]) != key] + [row]
            rows.sort(key=lambda one: (list(SIZES).index(one["task"]), one["against"]))
            files.write_bytes(ROWS, (json.dumps(rows, indent=1) + "\n").encode())
            print(json.dumps(row), flush=True)
    pages.fill(pages.README, START, END, table(rows))


if __name__ == "__main__":
    main()
