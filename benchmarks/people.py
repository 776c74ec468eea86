"""Seconds and memory of pose against the people in a photo: python -m benchmarks.people --size demo

Every number of people runs in a process of its own, with and without the mirrored pass, in turns; the boxes are given.
Prints one JSON object: medians over the turns, what the most people cost in times of one person (the ratio of each
turn, then the median), and how far the peak memory of the most people lies above that of two.
"""

import argparse
import json
import statistics
import sys
import time
from typing import Any

import sapiens_mlx as sm  # isort: skip  (loads BLAS before mlx.core)

import numpy as np

from benchmarks.processes import measured_apart
from sapiens_mlx import runtime

PHOTO_HW = (3000, 4000)  # 12 megapixels
PASSES = ("mirrored", "plain")  # the crop and its mirror image, or the crop alone
REPEATS = 3  # in a process; the median counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", default="demo")
    parser.add_argument("--level", default="fp32")
    parser.add_argument("--weights")
    parser.add_argument("--people", type=int, nargs="+", default=[1, 2, 8])
    parser.add_argument("--passes", nargs="+", choices=PASSES, default=PASSES)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--one", choices=PASSES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(_measure(options)))
        return
    cases = [(mirrored, people) for mirrored in options.passes for people in options.people]
    turns: list[dict[tuple[str, int], dict[str, float]]] = []
    for _ in range(options.turns):
        turns.append({})
        for mirrored, people in cases:
            arguments = ["--size", options.size, "--level", options.level, "--repeats", str(options.repeats)]
            arguments += ["--weights", options.weights] if options.weights else []
            turns[-1][mirrored, people] = measured_apart(
                "people", [*arguments, "--one", mirrored, "--people", str(people)]
            )
            print(f"{mirrored}, {people} people: {turns[-1][mirrored, people]}", file=sys.stderr, flush=True)
    print(
        json.dumps(
            {
                "size": options.size,
                "level": options.level,
                "device": runtime.device_name(),
                "turns": options.turns,
                "rows": [
                    {"mirrored": mirrored == "mirrored", "people": people}
                    | {
                        name: statistics.median(turn[mirrored, people][name] for turn in turns)
                        for name in turns[0][mirrored, people]
                    }
                    for mirrored, people in cases
                ],
                "ratios": [_ratios(turns, mirrored, options.people) for mirrored in options.passes],
            }
        )
    )


def _measure(options: argparse.Namespace) -> dict[str, float]:
    """In this process: medians of seconds, and the peak memory of weights, photo and all."""
    (people,) = options.people
    predictor = sm.load("pose", options.size, options.level, options.weights)
    photo_rgb = _photo()
    steps = np.linspace(0, 1, people)[:, None]  # the people stand in a row, each 800 x 2400 pixels
    boxes = np.array([100, 200, 900, 2600]) + steps * np.array([2800, 300, 2800, 300])
    predictor.module  # noqa: B018  (it is loaded when it is asked for)
    loaded = runtime.peak_memory_bytes()
    wall, processor, network = [], [], []
    for _ in range(options.repeats):
        start, used = time.perf_counter(), time.process_time()
        result = predictor(photo_rgb, boxes_xyxy=boxes, flip=options.one == "mirrored")
        wall.append(time.perf_counter() - start)
        processor.append(time.process_time() - used)
        network.append(result.report.seconds["network"])
    return {
        "seconds": round(statistics.median(wall), 3),
        "processor_seconds": round(statistics.median(processor), 3),
        "network_seconds": round(statistics.median(network), 3),
        "loaded_memory_bytes": loaded,
        "peak_memory_bytes": runtime.peak_memory_bytes(),
    }


def _photo() -> np.ndarray:
    """(3000, 4000, 3) uint8: slopes and stripes. What it shows changes no cost."""
    rows, columns = (np.arange(length).astype(np.uint8) for length in PHOTO_HW)
    photo_rgb = np.empty((*PHOTO_HW, 3), np.uint8)
    photo_rgb[..., 0], photo_rgb[..., 1], photo_rgb[..., 2] = rows[:, None], columns, rows[:, None] + columns
    return photo_rgb


def _ratios(turns: list[dict[tuple[str, int], dict[str, float]]], mirrored: str, people: list[int]) -> dict[str, Any]:
    """The most people against one, where one was measured, and in memory against two."""
    most, ratios = max(people), {}
    if 1 in people:
        for name in ("seconds", "processor_seconds"):
            each = [turn[mirrored, most][name] / turn[mirrored, 1][name] for turn in turns]
            ratios[f"{name}_of_{most}_over_1"] = round(statistics.median(each), 2)
    if 2 in people:
        above = [turn[mirrored, most]["peak_memory_bytes"] - turn[mirrored, 2]["peak_memory_bytes"] for turn in turns]
        ratios[f"peak_of_{most}_above_2_bytes"] = statistics.median(above)
    return {"mirrored": mirrored == "mirrored"} | ratios


if __name__ == "__main__":
    main()
