"""Inputs of photos through a network: how many at once, in which runs, one after another where memory is short.

And what there is to say of photos that do not suit it, and of numbers that come out of it.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import mlx.core as mx
import numpy as np

from . import runtime, zoo
from .inventory import activation_bytes
from .models import models
from .runtime import Progress
from .tasks.base import Fitted
from .tasks.fit import normalise
from .weights import store

# On the CPU two inputs at once gain 5 % at the size demo, and more of them, or of a larger network, nothing: 0.4b pose
# takes as long an input, 0.5 GB more, and Stop would wait for both.
CPU_BATCH, CPU_BATCH_BYTES = 2, 1e9
# A photo with less than this share of the 4K network's pixels is told that it is enlarged.
SMALL_SHARE = 0.25


def forward(model: store.Model, pixels: np.ndarray, progress: Progress) -> Any:
    """Raw output for (n, h, w, 3) uint8 RGB as float32 NumPy."""
    progress("network", 0, 1)
    raw = model.run(mx.array(pixels if model.takes_bytes else normalise(pixels)), progress)
    outputs = raw if isinstance(raw, tuple) else (raw,)
    arrays = tuple(np.array(output.astype(mx.float32), copy=False) for output in outputs)
    return arrays if isinstance(raw, tuple) else arrays[0]


def in_turns(model: store.Model, pixels: np.ndarray, most: int, progress: Progress) -> Any:
    """forward() of at most `most` inputs at a time: where memory is short, a crop goes before its mirror image."""
    starts = range(0, len(pixels), most)
    raws = [
        forward(model, pixels[start : start + most], _turn_of(progress, turn, len(starts)))
        for turn, start in enumerate(starts)
    ]
    if len(raws) == 1:
        return raws[0]
    if isinstance(raws[0], tuple):
        return tuple(np.concatenate(arrays) for arrays in zip(*raws, strict=True))
    return np.concatenate(raws)


def _turn_of(progress: Progress, turn: int, turns: int) -> Progress:
    """The reports of one network after another count on."""
    return lambda stage, done, total: progress(stage, turn * total + done, turns * total)


def emptied(parts: deque) -> Iterator[Any]:
    """Its elements in order, each out of it before it is handed on, so that nothing else holds them."""
    while parts:
        yield parts.popleft()


def cut(raw: Any, rows: slice) -> Any:
    return tuple(array[rows] for array in raw) if isinstance(raw, tuple) else raw[rows]


def inputs_at_once(model: Any) -> int:
    """How many inputs go through a store.Model, or HandNetworks, together: what fits half of the memory that the
    weights leave, and on the CPU few enough that they take no more than CPU_BATCH_BYTES."""
    if model.takes_bytes:
        from .hands import network

        room = (runtime.memory_limit_bytes() - models.nbytes) / 2 / network.HAND_BYTES
        return max(1, min(network.AT_ONCE, int(room)))
    embed_dim = model.backbone.config.embed_dim
    bytes_each = activation_bytes(embed_dim, model.input_hw, model.compute_dtype.size)
    most = (runtime.memory_limit_bytes() - models.nbytes) / 2 / bytes_each
    if runtime.device() == "cpu":
        most = min(most, CPU_BATCH, CPU_BATCH_BYTES / bytes_each)
    return max(1, int(most))


def enlarged(photo_rgb: np.ndarray, size: str, input_hw: tuple[int, int]) -> str | None:
    """What there is to say of a photo that the 4K network gains nothing from; None for any other."""
    photo_pixels, pixels = photo_rgb[..., 0].size, input_hw[0] * input_hw[1]
    if not zoo.size_row(size).tokenizer_layers or photo_pixels > SMALL_SHARE * pixels:
        return None
    height, width = photo_rgb.shape[:2]
    return (
        f"The photo is {width} x {height} pixels, and {size} takes {input_hw[1]} x {input_hw[0]}: it was enlarged, "
        "which adds no detail. For a photo of this size choose another size of the network."
    )


def not_finite(level: str) -> str:
    """What there is to say of a result of a network at that level whose numbers are not all finite."""
    if zoo.level(level).dtype == "float16":
        return "The network's numbers overflow in float16. Take bf16, which has the range of float32."
    return "The network's numbers are not finite. Its weights may be damaged; load them again."


def batches(fitted: Sequence[Fitted], most: int) -> Iterator[list[Fitted]]:
    """Runs of `fitted` with at most `most` inputs each; what belongs together stays together, be it more than `most`.

    Besides a run only the first of the next one is held.
    """
    batch: list[Fitted] = []
    for one in fitted:
        if batch and sum(len(other.pixels) for other in batch) + len(one.pixels) > most:
            yield batch
            batch = []
        batch.append(one)
    if batch:
        yield batch
