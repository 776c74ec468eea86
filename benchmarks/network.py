"""Seconds and memory of one network alone: python -m benchmarks.network --task seg --size 0.4b --weights DIR

The input is noise; the weights may be anything of the right names and shapes. Loads once, runs `--turns` times, and
prints one JSON object with the median seconds of backbone and head and the process's peak resident memory.
"""

import argparse
import json
import statistics
import time

import sapiens_mlx  # noqa: F401  isort: skip  (loads BLAS before mlx.core)

import mlx.core as mx

from sapiens_mlx import runtime, zoo
from sapiens_mlx.weights import store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--task", default="seg")
    parser.add_argument("--size", default="0.4b")
    parser.add_argument("--level", default="fp32")
    parser.add_argument("--weights")
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()

    start = time.perf_counter()
    model = store.load(options.task, options.size, options.level, options.weights)
    load_seconds = time.perf_counter() - start
    pixels = mx.random.normal((1, *zoo.SIZES[options.size].input_hw, 3)).astype(model.compute_dtype)
    backbone_seconds, head_seconds = [], []
    for _ in range(options.turns):
        start = time.perf_counter()
        features = model.module.backbone.feature_map(pixels, lambda x, done, total: mx.eval(x))
        mx.eval(features)
        middle = time.perf_counter()
        mx.eval(model.module.decode_head(features))
        backbone_seconds.append(middle - start)
        head_seconds.append(time.perf_counter() - middle)
    print(
        json.dumps(
            {
                "task": options.task,
                "size": options.size,
                "level": options.level,
                "device": runtime.device_name(),
                "compute_dtype": str(model.compute_dtype).removeprefix("mlx.core."),
                "blas": runtime.BLAS,
                "load_seconds": round(load_seconds, 2),
                "backbone_seconds": round(statistics.median(backbone_seconds), 2),
                "head_seconds": round(statistics.median(head_seconds), 2),
                "weights_bytes": model.nbytes,
                "peak_memory_bytes": runtime.peak_memory_bytes(),
            }
        )
    )


if __name__ == "__main__":
    main()
