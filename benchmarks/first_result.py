"""How much later the first result comes than a warm one: python -m benchmarks.first_result --weights DIR

Each level is loaded in a process of its own, in turns: its file is read once, so that it lies in the page cache, then
come loading, the network, and the same network again. Levels other than fp32 come from their kept conversion, which is
made before where there is none; of weights that are named it does not stay, for they may be random. Prints one JSON
object with the medians over the turns.

`later_seconds` is loading and the first network less the second. Where other work takes the processor between the two,
that difference tells more of the other work; `later_processor_seconds` is what this process itself used for it.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import sapiens_mlx  # noqa: F401  isort: skip  (loads BLAS before mlx.core)

from benchmarks.processes import measured_apart
from sapiens_mlx import runtime, zoo

READ_BYTES = 8 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--task", default="seg")
    parser.add_argument("--size", default="0.4b")
    parser.add_argument("--levels", nargs="+", default=["fp32", "bf16", "8bit", "4bit"])
    parser.add_argument("--weights")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--load-only", action="store_true", help="load, and run no network")
    parser.add_argument("--one", choices=tuple(zoo.LEVELS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(_measure(options)))
        return
    with tempfile.TemporaryDirectory() as folder:
        if options.weights:
            os.environ["SAPIENS_MLX_CACHE"] = folder  # for the processes too
        print(json.dumps(_in_turns(options)))


def _in_turns(options: argparse.Namespace) -> dict[str, Any]:
    passed = ["--task", options.task, "--size", options.size]
    passed += ["--weights", options.weights] if options.weights else []
    for level in options.levels:  # makes the conversions
        measured_apart("first_result", [*passed, "--one", level, "--load-only"])
    passed += ["--load-only"] if options.load_only else []
    turns = []
    for _ in range(options.turns):
        turns.append({})
        for level in options.levels:
            turns[-1][level] = measured_apart("first_result", [*passed, "--one", level])
            print(f"{level}: {turns[-1][level]}", file=sys.stderr, flush=True)
    rows = [
        {"level": level}
        | {name: round(statistics.median(turn[level][name] for turn in turns), 3) for name in turns[0][level]}
        for level in options.levels
    ]
    about = {"task": options.task, "size": options.size, "device": runtime.device_name(), "turns": options.turns}
    return about | {"rows": rows}


def _measure(options: argparse.Namespace) -> dict[str, float]:
    """In this process: seconds of importing, of loading, of the first network and of the second, and memory."""
    start = time.perf_counter()
    import numpy as np

    from sapiens_mlx.passes import forward
    from sapiens_mlx.weights import conversion, locate, store

    import_seconds = time.perf_counter() - start
    checkpoint, level = zoo.checkpoint(options.task, options.size), zoo.level(options.one)
    source = locate.find_local(checkpoint, options.weights, level)
    kept = conversion.kept(checkpoint, level, source, options.weights) if level.dtype != "float32" else []
    file = kept[0] / conversion.MODEL if kept else source
    if file is not None:
        _read(file)
    start, used = time.perf_counter(), time.process_time()
    model = store.load(options.task, options.size, options.one, options.weights)
    load_seconds, load_processor = time.perf_counter() - start, time.process_time() - used
    measured = {
        "import_seconds": round(import_seconds, 3),
        "load_seconds": round(load_seconds, 3),
        "load_processor_seconds": round(load_processor, 3),
        "weights_bytes": model.nbytes,
        "load_peak_memory_bytes": runtime.peak_memory_bytes(),
    }
    if options.load_only:
        return measured
    pixels = np.random.default_rng(0).integers(0, 255, (1, *model.input_hw, 3), np.uint8)
    seconds, processor = [], []
    for _ in range(2):
        start, used = time.perf_counter(), time.process_time()
        forward(model, pixels, runtime.no_progress)
        seconds.append(time.perf_counter() - start)
        processor.append(time.process_time() - used)
    return measured | {
        "first_network_seconds": round(seconds[0], 3),
        "warm_network_seconds": round(seconds[1], 3),
        "later_seconds": round(load_seconds + seconds[0] - seconds[1], 3),
        "later_processor_seconds": round(load_processor + processor[0] - processor[1], 3),
        "peak_memory_bytes": runtime.peak_memory_bytes(),
    }


def _read(path: Path) -> None:
    """Reads the file, so that it lies in the page cache."""
    with path.open("rb", buffering=0) as file:
        while file.read(READ_BYTES):
            pass


if __name__ == "__main__":
    main()
