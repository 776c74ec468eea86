"""Checkpoints of the size "tiny", spoilt or whole, and what their networks give."""

import mlx.core as mx
import numpy as np
import rule
from safetensors.numpy import save_file

from sapiens_mlx.runtime import inference
from sapiens_mlx.weights import store

PIXELS = rule.noise("pixels", (1, 128, 96, 3))


def load(task="seg", level="fp32", **options):
    return inference.run(store.load, task, "tiny", level, **options)


def output(model) -> np.ndarray:
    return inference.run(lambda progress: np.array(model.module(mx.array(PIXELS)).astype(mx.float32)))


def written(machine, change=None, task="seg"):
    """A tiny checkpoint in the weights folder after `change` has been at its tensors."""
    tensors = rule.tensors(rule.tiny_shapes(task))
    if change:
        change(tensors)
    path = machine / f"{task}/sapiens2_tiny_{task}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)
    return path
