"""Reads an original checkpoint: its shapes, strict checks, the network it belongs to, and its tensors at a level.

It is converted tensor by tensor, so that the wide original is never in memory as a whole.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten
from safetensors import SafetensorError, safe_open

from .. import runtime, zoo
from ..errors import LevelError, WeightsError
from ..nn import cpu, plain, rope
from ..nn.backbone import Backbone
from ..nn.heads import Estimator, Headless
from ..runtime import Progress
from ..shipped import how_to_restore
from . import architecture, layouts
from .quantize import is_quantized, pack, use_packed_layers

Shapes = dict[str, tuple[int, ...]]
FLOATS = ("F16", "BF16", "F32", "F64")
# Freed buffers that MLX may hold for reuse while it converts, where its own limit is most of the memory.
SPARE_BYTES = 2**28


@dataclass(frozen=True)
class Converted:
    """A network, not loaded yet, the tensors it takes at a level, and the names and shapes they have in the file."""

    module: nn.Module
    tensors: dict[str, mx.array]
    shapes: Shapes

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.tensors.values())


def convert(
    path: Path, checkpoint: zoo.Checkpoint, level: zoo.Level, rope_dtype: mx.Dtype, progress: Progress
) -> Converted:
    """The checkpoint in the file `path` at `level`, read, checked and converted tensor by tensor.

    At most the result and one tensor's original and intermediate values are in memory.

    Raises:
        WeightsError: the file is damaged, of another task or size, or its tensors do not fit the network or `level`.
        CancelledError: from `progress("load", tensors so far, tensors in all)`.
    """
    layout = layout_of(checkpoint)
    with naming(path):
        shapes = read_shapes(path)
        module = build(shapes, checkpoint.task, checkpoint.size, level, rope_dtype)
        tensors = Tensors(path, layout)
        _check_periods(tensors, module)
        converted: dict[str, mx.array] = {}
        for done, name in enumerate(shapes, start=1):
            if not layout.is_ignored(name):
                converted |= _convert_tensor(name, tensors.take(name), layout, level)
            if mx.get_cache_memory() > SPARE_BYTES:
                mx.clear_cache()
            progress("load", done, len(shapes))
    mx.clear_cache()
    return Converted(module, converted, shapes)


def _convert_tensor(name: str, tensor: mx.array, layout: layouts.Layout, level: zoo.Level) -> dict[str, mx.array]:
    """One tensor of the file as ours: one, or the parts of a packed one. Evaluated, so that the original is let go."""
    tensor = layout.change(name).apply(tensor)
    if is_quantized(name.removesuffix(".weight"), level):
        ours = pack(name, tensor, level)
    else:
        ours = {name: mx.contiguous(tensor.astype(getattr(mx, level.dtype)))}
    mx.eval(ours)
    return ours


def read_shapes(path: Path) -> Shapes:
    """Names and shapes of the tensors in a safetensors file; nothing else is read.

    Raises:
        WeightsError: when it is no safetensors file, or cut short.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as problem:
        raise WeightsError(f"it is damaged, cut short, or not a safetensors file ({problem})") from problem
    except OSError as problem:
        raise WeightsError(f"it cannot be read ({problem.strerror or problem})") from problem


class Tensors:
    """The tensors of a checkpoint file, each read when it is taken."""

    def __init__(self, path: Path, layout: layouts.Layout) -> None:
        """
        Raises:
            WeightsError: a tensor is stored as no float. Those that `layout` leaves out may be of any type.
        """
        with safe_open(path, framework="numpy") as file:
            self._stored = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
        types = set(self._stored.values())
        odd = [n for n, dtype in self._stored.items() if dtype not in FLOATS and not layout.is_ignored(n)]
        if odd:
            raise WeightsError(f"the tensor {odd[0]} is stored as {self._stored[odd[0]]}, and only floats are read")
        if {"F64", "BF16"} <= types:
            raise WeightsError("some of its tensors are stored as F64 and others as BF16, and only one of them is read")
        # MLX opens no file with float64 in it. Its own reading is lazy: an array holds nothing until it is evaluated.
        self._path, self._is_wide = path, "F64" in types
        self._lazy = {} if self._is_wide else mx.load(str(path), format="safetensors")

    def __contains__(self, name: str) -> bool:
        return name in self._stored

    def take(self, name: str) -> mx.array:
        """The tensor, once: nothing is kept of it here. float64 comes as float32."""
        if not self._is_wide:
            return self._lazy.pop(name)
        with safe_open(self._path, framework="numpy") as file:  # opened anew: a map would grow by all that was read
            return mx.array(file.get_tensor(name).astype(np.float32))


def build(
    shapes: Mapping[str, tuple[int, ...]],
    task: str,
    size: str,
    level: zoo.Level,
    rope_dtype: mx.Dtype = mx.bfloat16,
) -> nn.Module:
    """The network at `level` that tensors of these original names and shapes belong to.

    Its arrays are lazy, so nothing is allocated.

    Raises:
        WeightsError: when they are of another task or size, tell of no network at all, or do not fit theirs.
    """
    checkpoint, final_layer = zoo.checkpoint(task, size), zoo.task_row(task).final_layer
    architecture.check_task(shapes, checkpoint.backbone_of or task)
    is_bare = not final_layer and checkpoint.backbone_of is None
    config = architecture.backbone_config(shapes, "" if is_bare else "backbone.", rope_dtype)
    architecture.check_size(config, size)
    if final_layer:
        module = Estimator(config, architecture.head_config(shapes, final_layer), ops())
    else:
        module = Backbone(config, ops()) if is_bare else Headless(config, ops())
    check_tensors(module, shapes, layout_of(checkpoint))
    if level.bits is not None:
        use_packed_layers(module, level, ops())
    return module


def layout_of(checkpoint: zoo.Checkpoint) -> layouts.Layout:
    """The layout of an original checkpoint."""
    return layouts.HEADLESS if checkpoint.backbone_of else layouts.ORIGINAL


def backbone_of(module: nn.Module) -> Backbone:
    """The backbone of a network that build() has made, which may be all of it."""
    return module if isinstance(module, Backbone) else module.backbone


def ops() -> ModuleType:
    """The operations that suit the device: NumPy's on the CPU, MLX's own on a GPU."""
    return cpu if runtime.device() == "cpu" else plain


def check_tensors(module: nn.Module, shapes: Mapping[str, tuple[int, ...]], layout: layouts.Layout) -> None:
    """Strict: every tensor of the module is in the file with its shape, and nothing else is. Raises WeightsError."""
    expected = {n: layout.change(n).file_shape(tuple(t.shape)) for n, t in tree_flatten(module.parameters())}
    missing = [name for name in expected if name not in shapes]
    left_over = [name for name in shapes if name not in expected and not layout.is_ignored(name)]
    if missing:
        raise WeightsError(f"the tensor {missing[0]} is missing{_and_more(missing)}")
    if left_over:
        raise WeightsError(f"the tensor {left_over[0]} does not belong there{_and_more(left_over)}")
    for name, shape in expected.items():
        if tuple(shapes[name]) != shape:
            raise WeightsError(f"the tensor {name} has the shape {tuple(shapes[name])} where {shape} is expected")


def _and_more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


def _check_periods(tensors: Tensors, module: nn.Module) -> None:
    """RoPE's periods follow from the head width; a file that carries others means another network."""
    backbone = backbone_of(module)
    name = f"{'' if backbone is module else 'backbone.'}rope_embed.periods"
    if name in tensors:
        theirs = np.array(tensors.take(name).astype(mx.float32))
        ours = rope.periods(backbone.config.head_dim, mx.bfloat16)
        if theirs.shape != ours.shape or not np.allclose(theirs, ours, rtol=1e-2):
            raise WeightsError(f"the tensor {name} does not hold the periods of this architecture")


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Puts the file's name, and what to do, around what is wrong with it."""
    try:
        yield
    except LevelError as problem:
        raise LevelError(f"{path.name}: {problem}.") from problem
    except WeightsError as problem:
        remedy = how_to_restore(path) or (
            f"Choose the task and size it was made for, or remove {path} and download it again."
        )
        raise WeightsError(f"{path.name} cannot be used: {problem}. {remedy}") from problem
