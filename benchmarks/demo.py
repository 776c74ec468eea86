"""Seconds of the demo weights, one example from the file to the encoded picture: python -m benchmarks.demo

For each task: `load_seconds`, from a new predictor to its networks in memory (for pose with the detector), and
`photo_seconds`, decode, fit, network, decode, draw and PNG, with the networks loaded; `cpu_seconds` is the processor
time of the same, all threads together, which other work on the machine hardly changes. Medians of `--turns`, as one
JSON object; the goals are 1 s and 2 s on two cores. Pose takes longer the more people are found.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import sapiens_mlx as sm  # isort: skip  (loads BLAS before mlx.core)

from sapiens_mlx import runtime, zoo
from sapiens_mlx.image import write_png
from sapiens_mlx.models import models
from sapiens_mlx.shipped import examples_folder


def measure(task: str, photo: Path, level: str | None, turns: int, folder: Path) -> dict[str, float | int]:
    """Medians over `turns`. A load is what the first photo's report says of it; the files are in the disk's cache."""
    predictor = sm.load(task, "demo", level)
    loads, photos, processor = [], [], []
    for _ in range(turns):
        runtime.inference.run(lambda progress: models.clear())
        loads.append(predictor(photo).report.seconds["load"])

        start, start_cpu = time.perf_counter(), time.process_time()
        found = predictor(photo)
        write_png(folder / f"{task}.png", found.picture())
        photos.append(time.perf_counter() - start)
        processor.append(time.process_time() - start_cpu)
    columns = {"load_seconds": loads, "photo_seconds": photos, "cpu_seconds": processor}
    figures = {name: round(statistics.median(column), 3) for name, column in columns.items()}
    return figures | ({"people": len(found.boxes_xyxy)} if hasattr(found, "boxes_xyxy") else {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--photo", type=Path, default=examples_folder() / "one_person.jpg")
    parser.add_argument("--level", help="default: fp32 on the CPU, bf16 on a GPU")
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tasks = {task: measure(task, options.photo, options.level, options.turns, Path(folder)) for task in zoo.TASKS}
    level = options.level or zoo.default_level(runtime.device())
    machine = {"device": runtime.device_name(), "blas": runtime.BLAS, "load_average": round(os.getloadavg()[0], 1)}
    memory = {"peak_memory_bytes": runtime.peak_memory_bytes()}
    print(
        json.dumps(
            {"photo": options.photo.name, "level": level, "turns": options.turns, **machine, **memory, "tasks": tasks}
        )
    )


if __name__ == "__main__":
    main()
