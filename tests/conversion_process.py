"""Converts in a process of its own, which tests kill, starve or race: `python conversion_process.py ORDER`, ORDER being
JSON. It knows the test's sizes and prints one JSON object; with `waits`, it says "ready" first and waits for a line.
"""

import sapiens_mlx  # noqa: F401  isort: skip

import hashlib
import json
import resource
import sys
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import numpy as np

from sapiens_mlx import zoo
from sapiens_mlx.errors import SapiensError
from sapiens_mlx.files import partial_folder
from sapiens_mlx.runtime import inference
from sapiens_mlx.weights import conversion, original, store

SIZES = (
    zoo.Size("tiny", 64, 18, 2, 1_000_000, None, (128, 96)),
    zoo.Size("middling", 640, 12, 10, 80_000_000, None, (128, 96)),
)


def add_sizes() -> None:
    for size in SIZES:
        zoo.SIZES[size.name] = size
    for name, row in zoo.TASKS.items():
        if name != "detect":
            zoo.TASKS[name] = replace(row, sizes=(*row.sizes, *(size.name for size in SIZES)))


def load(order: dict) -> dict:
    """Loads as every run does, and says what came of it: a digest of the weights' bytes."""
    model = inference.run(store.load, "seg", order["size"], order["level"])

    def digest(progress) -> str:
        total = hashlib.sha256()
        for name, tensor in sorted(store.tensors_of(model.module)):
            total.update(name.encode() + bytes(memoryview(np.array(tensor.astype(mx.float32), copy=False))))
        return total.hexdigest()

    return {"weights": inference.run(digest), "notices": store.take_notices()}


def measure(order: dict) -> dict:
    """Converts and keeps, and says what that took of memory over what the process had before."""
    checkpoint, level = zoo.checkpoint("seg", order["size"]), zoo.level(order["level"])
    path = Path(order["source"])

    def work(progress) -> int:
        before = peak_bytes()
        converted = original.convert(path, checkpoint, level, mx.bfloat16, progress)
        folder = conversion.folder_for(checkpoint, level, path)
        conversion.keep(folder, converted, checkpoint, level, conversion.source_of(path))
        return {"grown_bytes": peak_bytes() - before, "result_bytes": converted.nbytes}

    return inference.run(work)


def hold(order: dict) -> dict:
    """Is in the middle of writing a conversion until it hears a line."""
    with partial_folder(conversion.cache_folder() / "seg-tiny-8bit-0123456789ab") as partial:
        print(json.dumps(str(partial)), flush=True)
        sys.stdin.readline()
    return {}


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main(order: dict) -> None:
    add_sizes()
    if order.get("file_limit_bytes"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["file_limit_bytes"],) * 2)
    if order.get("waits"):
        print("ready", flush=True)
        sys.stdin.readline()
    try:
        answer = {"load": load, "measure": measure, "hold": hold}[order["call"]](order)
    except SapiensError as problem:
        answer = {"error": str(problem)}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
