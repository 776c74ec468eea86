"""Which layers a level hurts most: python -m benchmarks.sensitivity --task seg --level 4bit [--scenes 10]

Packs one group of the demo network's layers at a time, all others at fp32, and compares the results with fp32 by the
task's first figure, on drawn scenes that nothing was trained on: groups by what the layer does (wq, ..., w3), by block,
and all together. For seg also which share of the changed pixels was a near tie at fp32, with the two best classes less
than 10 % of probability apart. Prints one JSON object a group.
"""

import argparse
import json
import re

import numpy as np

import sapiens_mlx as sm  # isort: skip  (loads BLAS before mlx.core)

import mlx.core as mx
import mlx.nn as nn

from sapiens_mlx import tasks, zoo
from sapiens_mlx.runtime import inference
from sapiens_mlx.weights.quantize import is_quantized
from training import scenes
from training.evaluate import predicted

SEED = 3
NEAR_TIE = 0.1


def layers(module: nn.Module, level: zoo.Level) -> dict[str, nn.Linear]:
    """The layers that `level` packs, by name."""
    found = dict(module.named_modules())
    return {n: m for n, m in sorted(found.items()) if isinstance(m, nn.Linear) and is_quantized(n, level)}


def groups(names: list[str]) -> dict[str, list[str]]:
    """Names of layers by what they do, by block, and all."""
    found: dict[str, list[str]] = {"all": names}
    for name in names:
        block = re.search(r"blocks\.(\d+)\.", name)
        found.setdefault(f"every {name.rpartition('.')[2]}" if block else "scale branch", []).append(name)
        if block:
            found.setdefault(f"block {block[1]}", []).append(name)
    return found


def rounded(weight: mx.array, level: zoo.Level) -> mx.array:
    """The weight as it is after packing and unpacking."""
    options = {"group_size": level.group_size, "bits": level.bits, "mode": level.mode}
    weight, *rest = mx.quantize(weight, **options)
    rest = [part.astype(mx.float16) if part.dtype == mx.float32 else part for part in rest]
    return mx.dequantize(weight, *rest, **options).astype(mx.float32)


def near_ties(reference, changed: np.ndarray) -> float:
    """The share (0..1) of changed pixels whose two best classes were less than NEAR_TIE apart at the reference."""
    if not changed.any():
        return float("nan")
    best = np.sort(reference.probabilities()[changed], axis=-1)[:, -2:]
    return float((best[:, 1] - best[:, 0] < NEAR_TIE).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--task", default="seg")
    parser.add_argument("--level", default="4bit")
    parser.add_argument("--scenes", type=int, default=10)
    options = parser.parse_args()
    level, figure = zoo.level(options.level), tasks.figures(options.task)[0].name
    predictor = sm.load(options.task, "demo", "fp32")
    pictures = [scenes.draw_scene(scenes.held_out_seed(SEED, number)) for number in range(options.scenes)]
    references = [predicted(predictor, picture) for picture in pictures]
    packed = layers(predictor.module, level)
    exact = {name: layer.weight for name, layer in packed.items()}
    for group, names in groups(list(packed)).items():

        def replace(progress, names=names) -> None:
            for name, layer in packed.items():
                layer.weight = rounded(exact[name], level) if name in names else exact[name]
            mx.eval([layer.weight for layer in packed.values()])

        inference.run(replace)
        values, ties = [], []
        for picture, reference in zip(pictures, references, strict=True):
            if reference is None:
                continue
            result = predicted(predictor, picture)
            values.append(result.agreement(reference).values[figure])
            if options.task == "seg":
                ties.append(near_ties(reference, result.labels != reference.labels))
        row = {"task": options.task, "level": options.level, "group": group, figure: round(float(np.mean(values)), 6)}
        print(json.dumps(row | ({"near_ties": round(float(np.nanmean(ties)), 3)} if ties else {})), flush=True)


if __name__ == "__main__":
    main()
