"""Seconds of quantization levels beside float32, in turns: python -m benchmarks.quantized --size 0.4b --weights DIR

Weights may be anything of the right names and shapes; the input is noise. In each turn float32 runs first, then the
level, so that both meet the same load of the machine: the ratio is the median of the turns' ratios. `cpu_ratio` is the
same of processor seconds, all threads together, which other programs disturb less. `--blocks 4` times only that many
blocks of the backbone, which is nearly all that quantization touches; without it the whole network.
`weight_error` is that of the packed weights against float32, by Frobenius norm. Prints one JSON object a level.
"""

import argparse
import gc
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable

import sapiens_mlx  # noqa: F401  isort: skip  (loads BLAS before mlx.core)

import mlx.core as mx

from sapiens_mlx import runtime, zoo
from sapiens_mlx.nn.backbone import EXTRA_TOKENS
from sapiens_mlx.nn.layers import QuantizedLinear
from sapiens_mlx.weights import store
from sapiens_mlx.weights.quantize import quantized_share


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--task", default="seg")
    parser.add_argument("--size", default="0.4b")
    parser.add_argument("--levels", default=",".join(name for name in zoo.LEVELS if name != "fp32"))
    parser.add_argument("--weights")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--blocks", type=int, help="time only the first blocks of the backbone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.weights:
            os.environ["SAPIENS_MLX_CACHE"] = folder  # they may be random, of which no conversion is to stay
        measure(options)


def measure(options: argparse.Namespace) -> None:
    """Prints a line a level."""
    reference = store.load(options.task, options.size, "fp32", options.weights)
    run_reference = forward(reference, options.blocks)
    run_reference()  # allocations and tables of the first run are not timed
    for level in options.levels.split(","):
        model = store.load(options.task, options.size, level, options.weights)
        run = forward(model, options.blocks)
        run()
        pairs = [(seconds(run_reference), seconds(run)) for _ in range(options.turns)]
        ratios = [[ours / theirs for theirs, ours in zip(*pair, strict=True)] for pair in pairs]  # wall, processor
        fp32_seconds, level_seconds = (
            statistics.median(wall for wall, _ in column) for column in zip(*pairs, strict=True)
        )
        row = {
            "task": options.task,
            "size": options.size,
            "level": level,
            "blocks": options.blocks or "all, and the head",
            "device": runtime.device_name(),
            "compute_dtype": str(model.compute_dtype).removeprefix("mlx.core."),
            "fp32_seconds": round(fp32_seconds, 3),
            "seconds": round(level_seconds, 3),
            "ratio": round(statistics.median(wall for wall, _ in ratios), 3),
            "ratios": [round(wall, 3) for wall, _ in ratios],
            "cpu_ratio": round(statistics.median(processor for _, processor in ratios), 3),
            "weights_bytes": model.nbytes,
            "fp32_weights_bytes": reference.nbytes,
            "quantized_share": round(quantized_share(model.module), 4),
            "weight_error": weight_error(model, reference),
        }
        print(json.dumps(row), flush=True)
        del model, run
        gc.collect()


def forward(model: store.Model, blocks: int | None) -> Callable[[], None]:
    """What is timed: the whole network on one input, or its first `blocks` blocks on tokens of noise."""
    backbone, input_hw = model.module.backbone, model.input_hw
    if blocks is None:
        pixels = mx.random.normal((1, *input_hw, 3)).astype(model.compute_dtype)
        return lambda: model.run(pixels)
    rows, columns = backbone.grid_hw(input_hw)
    tokens = mx.random.normal((1, EXTRA_TOKENS + rows * columns, backbone.config.embed_dim)).astype(model.compute_dtype)

    def first_blocks() -> None:
        x, tables = tokens, backbone.rope_embed((rows, columns))
        for block in backbone.blocks[:blocks]:
            x = block(x, tables)
            mx.eval(x)

    return first_blocks


def seconds(run: Callable[[], None]) -> tuple[float, float]:
    """By the clock, and of the processor."""
    wall, processor = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - processor


def weight_error(model: store.Model, reference: store.Model) -> dict[str, float] | None:
    """Norm of what packing changed over the norm of the weights: of all together, and of the worst layer."""
    originals = dict(reference.module.named_modules())
    squares = []  # of (difference, weight) by layer
    for name, layer in model.module.named_modules():
        if isinstance(layer, QuantizedLinear):
            weight = originals[name].weight.astype(mx.float32)
            difference = mx.square(layer.unpacked() - weight).sum()
            squares.append((difference.item(), mx.square(weight).sum().item()))
    if not squares:
        return None
    total = [sum(column) for column in zip(*squares, strict=True)]
    return {
        "all": round((total[0] / total[1]) ** 0.5, 5),
        "worst_layer": round(max(difference / weight for difference, weight in squares) ** 0.5, 5),
    }


if __name__ == "__main__":
    main()
