"""What one input costs a network at least: the operations of its products, and the bytes that have to be moved.

Counted on the graph of the plain network, so that it holds for every size and task without a formula for each.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import mlx.core as mx
import mlx.nn as nn


@dataclass(frozen=True)
class Cost:
    """`operations`: two for each product of two numbers in matrix products and convolutions, attention's included.
    `activations`: values that go into such a product and come out of it; those between
    the two products of attention, and what is done to one value at a time, need not be in memory at all.
    """

    operations: int
    activations: int

    def bytes(self, weights_bytes: int, value_bytes: int) -> int:
        """To be moved at least: the weights once, each activation once, at so many bytes a value."""
        return weights_bytes + self.activations * value_bytes

    def floor_seconds(
        self, weights_bytes: int, value_bytes: int, operations_per_second: float, bytes_per_second: float
    ) -> float:
        """The time below which no machine of that speed can be: it computes and moves side by side."""
        return max(self.operations / operations_per_second, self.bytes(weights_bytes, value_bytes) / bytes_per_second)


def cost(module: nn.Module, input_hw: tuple[int, int]) -> Cost:
    """Of one (1, H, W, 3) input of a network made with the operations of nn/plain.py. Nothing is computed: its arrays
    may be lazy."""
    operations = activations = 0
    for step in graph(module, input_hw):
        shapes = [tuple(shape) for _, shape, _ in step["inputs"]]
        out = tuple(step["outputs"][0][1])
        if step["name"] == "Convolution":
            operations += 2 * prod(out) * prod(shapes[1][1:])
            activations += prod(shapes[0]) + prod(out)
        elif step["name"] in ("Matmul", "AddMM"):
            operations += 2 * prod(out) * shapes[0][-1]
            if len(out) >= 4 and out[-2] == out[-1]:  # attention's scores: from queries and keys
                activations += prod(shapes[0]) + prod(shapes[1])
            elif len(out) >= 4 and shapes[0][-2] == shapes[0][-1]:  # scores and values
                activations += prod(shapes[1]) + prod(out)
            else:
                activations += prod(shapes[0]) + prod(out)
    return Cost(operations, activations)


def graph(
    network: Callable[[mx.array], Any], input_hw: tuple[int, int], dtype: mx.Dtype = mx.float32
) -> list[dict[str, Any]]:
    """The operations of one forward pass, as mx.export_function() tells them: `name`, `arguments`, and `inputs` and
    `outputs`, each a name, a shape and a dtype. The network's own input is called "input".

    On the CPU's stream, where fused operations show as their parts.
    """
    # Lazy random weights hang one on the other by the generator's state: a chain of many networks is too deep to trace.
    mx.eval(mx.random.state)
    steps: list[dict[str, Any]] = []
    names: dict[str, str] = {}

    def keep(event: dict[str, Any]) -> None:
        if event["type"] == "inputs":
            names[event["inputs"][0][0]] = "input"
        if event["type"] == "primitive":
            inputs = [(names.get(name, name), *rest) for name, *rest in event["inputs"]]
            steps.append(event | {"inputs": inputs})

    with mx.stream(mx.cpu):
        mx.export_function(keep, lambda pixels: network(pixels), mx.zeros((1, *input_hw, 3), dtype))
    return steps
