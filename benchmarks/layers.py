"""Seconds of a network layer by layer: python -m benchmarks.layers --task seg --size 0.4b [--weights DIR]

Each layer is evaluated as it is called, so that its time is its own; the sum is more than that of a network which runs
through. Layers of one kind and shape are added up, the slowest first, with what their products reach in GFLOP/s. Where
no weights are named, seeded random ones are written to a temporary file.
"""

import argparse
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path

import sapiens_mlx  # noqa: F401  isort: skip  (loads BLAS before mlx.core)

import mlx.core as mx
import mlx.nn as nn

from sapiens_mlx import runtime, zoo
from sapiens_mlx.nn import backbone, layers, rope
from sapiens_mlx.weights import original, seeded, store

LAYERS = (
    nn.Linear,
    nn.RMSNorm,
    layers.QuantizedLinear,
    layers.LayerScale,
    layers.Conv,
    layers.Deconv,
    layers.PixelShuffle,
    layers.InstanceNormSiLU,
    layers.RMSNormSiLU,
    backbone.Block,  # what is left of it: the residual sums
)


@dataclass
class Row:
    seconds: float = 0.0
    calls: int = 0
    operations: int = 0


class Clock:
    """Adds up what each kind of layer takes, less what the layers inside it take."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = defaultdict(Row)
        self._inside: list[float] = []

    def timed(self, function: Callable, name: str, operations: Callable | None = None) -> Callable:
        def call(*inputs):
            arrays = [one for one in inputs if isinstance(one, mx.array)]
            mx.eval(arrays)
            self._inside.append(0.0)
            start = time.perf_counter()
            output = function(*inputs)
            mx.eval(output)
            seconds = time.perf_counter() - start
            row = self.rows[f"{name} {tuple(arrays[0].shape)} to {tuple(output.shape)}"]
            row.seconds += seconds - self._inside.pop()
            row.calls += 1
            row.operations += operations(*inputs, output) if operations else 0
            if self._inside:
                self._inside[-1] += seconds
            return output

        return call


def watch(clock: Clock) -> None:
    """Puts the clock around every layer of the networks that are called from now on, in this process."""

    def of_weight(layer, *inputs_and_output):
        """Two operations for each weight and each pixel or token that it meets."""
        weight = layer.get("weight")
        if weight is None or isinstance(layer, nn.RMSNorm | layers.LayerScale | backbone.Block):
            return 0
        values = layer.packed_values if isinstance(layer, layers.QuantizedLinear) else weight.size
        output = inputs_and_output[-1]
        positions = prod(output.shape[:-1]) // (4 if isinstance(layer, layers.Deconv) else 1)
        return 2 * values * positions

    for kind in LAYERS:
        kind.__call__ = clock.timed(kind.__call__, kind.__name__, of_weight)
    ops = original.ops()
    ops.attention = clock.timed(ops.attention, "attention", lambda q, k, *rest: 4 * prod(q.shape) * k.shape[1])
    ops.swiglu = clock.timed(ops.swiglu, "swiglu")
    rope.rotate = clock.timed(rope.rotate, "rope")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--task", default="seg")
    parser.add_argument("--size", default="0.4b")
    parser.add_argument("--level", default="fp32")
    parser.add_argument("--weights")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        weights = options.weights
        if weights is None and options.size != "demo":
            weights = Path(folder) / "seeded.safetensors"
            seeded.write(weights, options.task, options.size)
            os.environ["SAPIENS_MLX_CACHE"] = folder  # no conversion of random weights is to stay
        model = store.load(options.task, options.size, options.level, weights)
    pixels = mx.random.normal((1, *zoo.SIZES[options.size].input_hw, 3)).astype(model.compute_dtype)

    def run() -> float:
        start = time.perf_counter()
        model.run(pixels)
        return time.perf_counter() - start

    run()  # allocations and tables of the first pass are not timed
    through = run()
    clock = Clock()
    watch(clock)
    apart = run()
    print(f"{options.task} {options.size} {options.level} on {runtime.device_name()}: {through:.2f} s")
    print(f"layer by layer: {apart:.2f} s\n\nseconds  share  calls  GFLOP/s  layer")
    for name, row in sorted(clock.rows.items(), key=lambda item: -item[1].seconds):
        rate = f"{row.operations / row.seconds / 1e9:7.0f}" if row.operations else " " * 7
        print(f"{row.seconds:7.3f} {100 * row.seconds / apart:5.1f}% {row.calls:6d}  {rate}  {name}")


if __name__ == "__main__":
    main()
