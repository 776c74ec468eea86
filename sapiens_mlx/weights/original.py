"""From a checkpoint to the network it belongs to and that network's tensors at a level, with strict checks between.

It is converted tensor by tensor, so that the wide original is never in memory as a whole. What another program has
packed is taken as it is.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from .. import runtime, zoo
from ..errors import LevelError, SapiensError, WeightsError
from ..nn import cpu, plain, rope
from ..nn.backbone import Backbone
from ..nn.heads import Estimator, Headless
from ..nn.layers import tensors_of
from ..runtime import Progress
from ..shipped import how_to_restore
from . import architecture, described, hub_cache, layouts
from .quantize import QUANTIZED, Packing, is_quantized, pack, packing, use_packed_layers
from .reader import Reader, Shapes

# Freed buffers that MLX may hold for reuse while it converts, where its own limit is most of the memory.
SPARE_BYTES = 2**28


@dataclass(frozen=True)
class Converted:
    """A network, not loaded yet, the tensors it takes at a level, and the names and shapes they have in the original.

    `as_packed` is whether it came packed, and was taken as it is. `notices` are for users.
    """

    module: nn.Module
    tensors: dict[str, mx.array]
    shapes: Shapes
    as_packed: bool = False
    notices: tuple[str, ...] = ()

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
        reader = Reader(path, layout)
        shapes = reader.shapes
        packings = _packings(reader, level) if reader.is_packed else None
        module = build(shapes, checkpoint.task, checkpoint.size, level, rope_dtype, packings)
        if reader.config is not None:
            head = architecture.head_config(shapes, final) if (final := _final_layer(checkpoint)) else None
            described.check(reader.config, checkpoint.task, backbone_of(module).config, head)
        _check_periods(reader, module)
        converted: dict[str, mx.array] = {}
        for done, name in enumerate(shapes, start=1):
            if not layout.is_ignored(name):
                converted |= _convert_tensor(name, reader, layout, level)
            if mx.get_cache_memory() > SPARE_BYTES:
                mx.clear_cache()
            progress("load", done, len(shapes))
    mx.clear_cache()
    return Converted(module, converted, shapes, reader.is_packed, _notices(reader, level))


def _convert_tensor(name: str, reader: Reader, layout: layouts.Layout, level: zoo.Level) -> dict[str, mx.array]:
    """One tensor of the file as ours: one, or the parts of a packed one. Evaluated, so that the original is let go."""
    layer = name.removesuffix(".weight")
    if layer in reader.packings and name != layer:
        ours = reader.take_packed(layer)
        if not QUANTIZED.fullmatch(layer):  # a layer that we keep in floats: what its codes stand for, to the bit
            parts: Any = ours.values()
            how = asdict(reader.packings[layer]) | {"dtype": mx.float32}
            ours = {name: mx.dequantize(*parts, **how)}
    else:
        tensor = layout.change(name).apply(reader.take(name))
        if reader.is_packed:
            ours = {name: mx.contiguous(tensor)}
        elif is_quantized(layer, level):
            ours = pack(name, tensor, level)
        else:
            ours = {name: mx.contiguous(tensor.astype(getattr(mx, level.dtype)))}
    mx.eval(ours)
    return ours


def _packings(reader: Reader, level: zoo.Level) -> dict[str, Packing]:
    """How the layers of a packed file are packed that stay so. Raises LevelError when they are not at `level`."""
    if reader.level != level.name:
        raise LevelError(
            f"its layers are packed at {reader.level}, from which {level.name} cannot be made. Choose {reader.level}, "
            "or the original checkpoint as --weights"
        )
    return {layer: how for layer, how in reader.packings.items() if QUANTIZED.fullmatch(layer)}


def _notices(reader: Reader, level: zoo.Level) -> tuple[str, ...]:
    """What is not as `level` says, of a file that came packed."""
    others = [how for how in reader.packings.values() if how != packing(level)]
    if not others:
        return ()
    which = ", ".join(sorted(set(map(str, others))))
    return (f"{len(others)} of {len(reader.packings)} packed layers came otherwise than {level.name}: {which}.",)


def _final_layer(checkpoint: zoo.Checkpoint) -> str:
    """The name of the head's last layer; "" where there is no head."""
    return zoo.task_row(checkpoint.task).final_layer


def build(
    shapes: Mapping[str, tuple[int, ...]],
    task: str,
    size: str,
    level: zoo.Level,
    rope_dtype: mx.Dtype = mx.bfloat16,
    packings: Mapping[str, Packing] | None = None,
    operations: ModuleType | None = None,
) -> nn.Module:
    """The network at `level` that tensors of these original names and shapes belong to.

    Its arrays are lazy, so nothing is allocated. `packings` says how the layers of a file are packed that came so.
    `operations` are those of plain.py or cpu.py; default: what suits the device.

    Raises:
        WeightsError: when they are of another task or size, tell of no network at all, or do not fit theirs.
    """
    checkpoint, final_layer = zoo.checkpoint(task, size), zoo.task_row(task).final_layer
    architecture.check_task(shapes, checkpoint.backbone_of or task)
    is_bare = not final_layer and checkpoint.backbone_of is None
    config = architecture.backbone_config(shapes, "" if is_bare else "backbone.", rope_dtype)
    architecture.check_size(config, size)
    operations = operations or ops()
    if final_layer:
        module: nn.Module = Estimator(config, architecture.head_config(shapes, final_layer), operations)
    else:
        module = Backbone(config, operations) if is_bare else Headless(config, operations)
    check_tensors(module, shapes, layout_of(checkpoint))
    if level.bits is not None:
        use_packed_layers(module, level, operations, packings)
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
    expected = {n: layout.change(n).file_shape(tuple(t.shape)) for n, t in tensors_of(module)}
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


def _check_periods(reader: Reader, module: nn.Module) -> None:
    """RoPE's periods follow from the head width; a file that carries others means another network."""
    backbone = backbone_of(module)
    name = f"{'' if backbone is module else 'backbone.'}rope_embed.periods"
    if name in reader:
        theirs = np.array(reader.take(name).astype(mx.float32))
        ours = rope.periods(backbone.config.head_dim, mx.bfloat16)
        if theirs.shape != ours.shape or not np.allclose(theirs, ours, rtol=1e-2):
            raise WeightsError(f"the tensor {name} does not hold the periods of this architecture")


# What names, shapes and descriptions without sense set off, beside the ValueError that most of MLX raises.
_SYMPTOMS = (ValueError, LookupError, TypeError, ZeroDivisionError, OverflowError, RecursionError)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Puts the file's name, and what to do, around what is wrong with it."""
    try:
        with _made_sense():
            yield
    except LevelError as problem:
        raise LevelError(f"{_label(path)}: {problem}.") from problem
    except WeightsError as problem:
        remedy = how_to_restore(path) or (
            f"Choose the task and size it was made for, or remove {path} and download it again."
        )
        raise WeightsError(f"{_label(path)} cannot be used: {problem}. {remedy}") from problem


@contextlib.contextmanager
def _made_sense() -> Iterator[None]:
    try:
        yield
    except SapiensError:
        raise
    except _SYMPTOMS as problem:
        raise WeightsError("its parts do not fit together") from problem


def _label(path: Path) -> str:
    """The file's name; for the many that are called model.safetensors, with its repository's or folder's."""
    if not path.name.startswith("model"):
        return path.name
    return f"{hub_cache.repo_of(path) or path.parent.name}/{path.name}"
