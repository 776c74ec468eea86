"""From a checkpoint to a module ready to run: find, read, check, convert, keep the conversion, load strictly.

A conversion is one folder in the cache, named for its source, written beside its name and renamed whole:
`<task>-<size>-<level>-<source id>/` with `model.safetensors` and `config.json`.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
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
from ..errors import WeightsError
from ..nn import cpu, plain, rope
from ..nn.heads import Estimator
from ..nn.rtmdet import RTMDet
from ..runtime import Progress, no_progress
from ..shipped import how_to_restore
from . import architecture, layouts, locate, torch_file
from .architecture_rtmdet import rtmdet_config
from .quantize import is_quantized, pack, use_packed_layers

Shapes = dict[str, tuple[int, ...]]
CACHE_FORMAT = 1  # raise it when our layout of converted tensors changes: older conversions are then made again


@dataclass
class Model:
    """A network in memory. `input_hw` is what its `module` takes; `nbytes` what its weights occupy."""

    module: nn.Module
    level: zoo.Level
    compute_dtype: mx.Dtype
    licence: zoo.Licence
    input_hw: tuple[int, int]

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for _, tensor in tree_flatten(self.module.parameters()))


def load(
    task: str,
    size: str,
    level: str,
    weights: str | Path | None = None,
    *,
    rope_dtype: mx.Dtype = mx.bfloat16,
    progress: Progress = no_progress,
) -> Model:
    """The network of `task` at `size`, with weights stored at `level`. Call it on the inference thread.

    Args:
        weights: a folder in the reference's layout, or one file; default: see locate.find.
        rope_dtype: mx.bfloat16 as the reference computes RoPE, or mx.float32 as ports do that chose it.

    Raises:
        WeightsMissingError: when no source can be had.
        WeightsError: when the file is damaged, of another task or size, or its tensors do not fit.
    """
    checkpoint, row = zoo.checkpoint(task, size), zoo.level(level)
    source = locate.find_local(checkpoint, weights)
    if source is None and not checkpoint.bundled and (kept := _any_conversion(checkpoint, row)):
        return _from_conversion(kept, checkpoint, row, rope_dtype, progress)
    if source is None:
        source = locate.find(checkpoint, weights, progress=progress)
    # A second copy of what is as published, or converted in no time, is not worth keeping.
    if row.dtype == "float32" or checkpoint.bundled:
        return _from_source(source, checkpoint, row, rope_dtype, progress, keep=None)
    kept = cache_folder() / f"{_stem(checkpoint, row)}-{_source_id(source)}"
    if _is_whole(kept):
        return _from_conversion(kept, checkpoint, row, rope_dtype, progress)
    return _from_source(source, checkpoint, row, rope_dtype, progress, keep=kept)


def load_detector(size: str, weights: str | Path | None = None, *, progress: Progress = no_progress) -> RTMDet:
    """The person detector that goes with `size` (see zoo.detector_size), float32, from a .pth or .safetensors file.

    Raises as load does.
    """
    path = locate.find(zoo.checkpoint("detect", size), weights, progress=progress)
    layout, tensors = layouts.RTMDET, {}
    if path.suffix != ".safetensors":
        tensors = torch_file.read_tensors(path)
    with _naming(path):
        shapes = {name: tensor.shape for name, tensor in tensors.items()} or read_shapes(path)
        tensors = tensors or _open(path, layout)
        module = RTMDet(rtmdet_config(shapes), ops())
        _check_tensors(module, shapes, layout)
        ours = {
            name: layout.change(name).apply(mx.array(tensor).astype(mx.float32))
            for name, tensor in tensors.items()
            if not layout.is_ignored(name)
        }
    module.load_weights(list(ours.items()), strict=True)
    module.eval()
    mx.eval(module.parameters())
    return module


def is_here(checkpoint: zoo.Checkpoint, level: str, weights: str | Path | None = None) -> bool:
    """Whether the checkpoint, or its conversion to `level`, is on this machine: running it downloads nothing."""
    if locate.find_local(checkpoint, weights) is not None:
        return True
    return _any_conversion(checkpoint, zoo.level(level)) is not None


def ops() -> ModuleType:
    """The operations that suit the device: NumPy's on the CPU, MLX's own on a GPU."""
    return cpu if runtime.device() == "cpu" else plain


# ---- from the original file -----------------------------------------------------------------------------------------


def _from_source(
    path: Path,
    checkpoint: zoo.Checkpoint,
    level: zoo.Level,
    rope_dtype: mx.Dtype,
    progress: Progress,
    keep: Path | None,
) -> Model:
    """Read, check and convert tensor by tensor; with `keep`, leave the conversion there for the next time."""
    layout = layouts.ORIGINAL
    with _naming(path):
        shapes = read_shapes(path)
        module = build(shapes, checkpoint.task, checkpoint.size, rope_dtype)
        _check_tensors(module, shapes, layout)
        tensors = _open(path, layout)
        _check_periods(tensors, module)
        converted: dict[str, mx.array] = {}
        for done, name in enumerate(shapes, start=1):
            tensor = tensors.pop(name)  # popped, so that the wide original is freed as soon as ours is there
            if layout.is_ignored(name):
                continue
            tensor = layout.change(name).apply(tensor)
            if is_quantized(name.removesuffix(".weight"), level):
                ours = pack(name, tensor, level)
            else:
                ours = {name: tensor.astype(getattr(mx, level.dtype))}
            del tensor
            mx.eval(ours)
            converted |= ours
            progress("load", done, len(shapes))
    if keep is not None:
        _keep(keep, converted, shapes, path, level)
    return _assemble(module, converted, checkpoint, level)


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


FLOATS = ("F16", "BF16", "F32")


def _open(path: Path, layout: layouts.Layout) -> dict[str, mx.array]:
    """The file's tensors, each read when it is first evaluated; float64, which MLX does not read, at once as float32.

    Those that `layout` leaves out may be of any type.

    Raises:
        WeightsError: for tensors that are no floats.
    """
    with safe_open(path, framework="numpy") as file:
        stored = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
        odd = [n for n, dtype in stored.items() if dtype not in (*FLOATS, "F64") and not layout.is_ignored(n)]
        if odd:
            raise WeightsError(f"the tensor {odd[0]} is stored as {stored[odd[0]]}, and only floats are read")
        if "F64" in stored.values():
            return {name: mx.array(file.get_tensor(name).astype(np.float32)) for name in stored}
    return mx.load(str(path), format="safetensors")


def build(shapes: Mapping[str, tuple[int, ...]], task: str, size: str, rope_dtype: mx.Dtype = mx.bfloat16) -> nn.Module:
    """The network that tensors of these names and shapes belong to; its arrays are lazy, so nothing is allocated.

    Raises:
        WeightsError: when they are of another task or size, or tell of no network at all.
    """
    architecture.check_task(shapes, task)
    config = architecture.backbone_config(shapes, "backbone.", rope_dtype)
    architecture.check_size(config, size)
    return Estimator(config, architecture.head_config(shapes, zoo.task_row(task).final_layer), ops())


def _check_tensors(module: nn.Module, shapes: Mapping[str, tuple[int, ...]], layout: layouts.Layout) -> None:
    """Strict: every tensor of the module is in the file with its shape, and nothing else is."""
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


def _check_periods(tensors: Mapping[str, mx.array], module: nn.Module) -> None:
    """RoPE's periods follow from the head width; a file that carries others means another network."""
    name = "backbone.rope_embed.periods"
    if name in tensors:
        theirs = np.array(tensors[name].astype(mx.float32))
        ours = rope.periods(module.backbone.config.head_dim, mx.bfloat16)
        if theirs.shape != ours.shape or not np.allclose(theirs, ours, rtol=1e-2):
            raise WeightsError(f"the tensor {name} does not hold the periods of this architecture")


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Puts the file's name, and what to do, around what is wrong with it."""
    try:
        yield
    except WeightsError as problem:
        remedy = how_to_restore(path) or (
            f"Choose the task and size it was made for, or remove {path} and download it again."
        )
        raise WeightsError(f"{path.name} cannot be used: {problem}. {remedy}") from problem


# ---- our conversions ------------------------------------------------------------------------------------------------


def cache_folder() -> Path:
    """Where conversions are kept: $SAPIENS_MLX_CACHE, else ~/.cache/sapiens-mlx."""
    return Path(os.environ.get("SAPIENS_MLX_CACHE") or "~/.cache/sapiens-mlx").expanduser()


def conversions() -> list[Path]:
    """The folders of all kept conversions, damaged and unfinished ones too, by name."""
    return sorted(folder for folder in cache_folder().glob("*-*") if folder.is_dir())


def _stem(checkpoint: zoo.Checkpoint, level: zoo.Level) -> str:
    return f"{checkpoint.task}-{checkpoint.size}-{level.name}"


def _source_id(source: Path) -> str:
    """Changes with the file's place, size or time: a conversion of another file is never taken for this one's."""
    state = source.resolve().stat()
    return hashlib.sha256(f"{source.resolve()}|{state.st_size}|{state.st_mtime_ns}".encode()).hexdigest()[:12]


def _read_config(folder: Path) -> dict:
    try:
        return json.loads((folder / "config.json").read_text())
    except (OSError, ValueError):
        return {}


def _is_whole(folder: Path) -> bool:
    config, model = _read_config(folder), folder / "model.safetensors"
    return (
        config.get("format") == CACHE_FORMAT and model.is_file() and model.stat().st_size == config.get("model_bytes")
    )


def _any_conversion(checkpoint: zoo.Checkpoint, level: zoo.Level) -> Path | None:
    """The newest conversion for when the source itself is gone."""
    found = [folder for folder in cache_folder().glob(f"{_stem(checkpoint, level)}-*") if _is_whole(folder)]
    return max(found, key=lambda folder: folder.stat().st_mtime, default=None)


def _keep(folder: Path, tensors: Mapping[str, mx.array], shapes: Shapes, source: Path, level: zoo.Level) -> None:
    """Writes a conversion. A cache that cannot be written costs the next start some time, and is no error now."""
    with contextlib.suppress(OSError, RuntimeError):
        folder.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(folder.parent).free < 1.05 * sum(tensor.nbytes for tensor in tensors.values()):
            return
        with tempfile.TemporaryDirectory(prefix=f"{folder.name}.partial-", dir=folder.parent) as partial:
            model = Path(partial) / "model.safetensors"
            mx.save_safetensors(str(model), dict(tensors))
            config = {
                "format": CACHE_FORMAT,
                "source": {"file": source.name, "bytes": source.stat().st_size},
                "level": level.name,
                "model_bytes": model.stat().st_size,
                "tensors": shapes,
            }
            (Path(partial) / "config.json").write_text(json.dumps(config))
            shutil.rmtree(folder, ignore_errors=True)  # damaged, or of an older format: it was not taken
            Path(partial).rename(folder)
            Path(partial).mkdir()  # for TemporaryDirectory to remove


def _from_conversion(
    folder: Path, checkpoint: zoo.Checkpoint, level: zoo.Level, rope_dtype: mx.Dtype, progress: Progress
) -> Model:
    progress("load", 0, 1)
    shapes = {name: tuple(shape) for name, shape in _read_config(folder)["tensors"].items()}
    with _naming(folder):
        read_shapes(folder / "model.safetensors")
        module = build(shapes, checkpoint.task, checkpoint.size, rope_dtype)
    return _assemble(module, mx.load(str(folder / "model.safetensors")), checkpoint, level)


def _assemble(module: nn.Module, tensors: dict[str, mx.array], checkpoint: zoo.Checkpoint, level: zoo.Level) -> Model:
    """The module with our tensors in it, evaluated. On a GPU floats take the compute dtype; the CPU widens on use."""
    if level.bits is not None:
        use_packed_layers(module, level, ops())
    compute = getattr(mx, runtime.compute_dtype(level.dtype))
    if runtime.device() == "gpu":
        floats = (mx.float16, mx.bfloat16, mx.float32)
        tensors = {n: t.astype(compute) if t.dtype in floats else t for n, t in tensors.items()}
    module.load_weights(list(tensors.items()), strict=True)
    module.eval()
    mx.eval(module.parameters())
    return Model(module, level, compute, checkpoint.licence, zoo.SIZES[checkpoint.size].input_hw)
