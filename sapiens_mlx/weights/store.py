"""From a checkpoint to a module ready to run: find it, take its kept conversion or make one and keep it, load it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from .. import runtime, zoo
from ..errors import WeightsError, is_memory_full
from ..files import expanded
from ..nn.backbone import Backbone
from ..nn.layers import Part, tensors_of
from ..nn.rtmdet import RTMDet
from ..runtime import Progress, no_progress
from . import conversion, described, hub_cache, layouts, locate, original, torch_file
from .architecture_rtmdet import rtmdet_config
from .conversion import Conversion
from .conversion import cache_folder as cache_folder  # what others ask of the cache, they ask here
from .conversion import conversions as conversions
from .quantize import quantized_share
from .reader import Reader
from .reader import read_shapes as read_shapes


@dataclass
class Model:
    """A network in memory. `input_hw` is what its `module` takes; `nbytes` what its weights occupy."""

    module: nn.Module
    level: zoo.Level
    compute_dtype: mx.Dtype
    licence: zoo.Licence
    input_hw: tuple[int, int]
    takes_bytes = False  # of pixels, as WiLoR does, but normalised floats

    def run(self, pixels: mx.array, progress: Progress = no_progress) -> Any:
        """The raw output for normalised pixels (B, H, W, 3), evaluated; on the inference thread.

        A block is waited for when the next is under way, so that a GPU never idles between two, no more than two are in
        memory, and Stop takes effect within that.

        Raises:
            CancelledError: from `progress("network", blocks so far, blocks in all)`.
        """
        under_way: list[mx.array] = []

        def step(x: mx.array, done: int, total: int) -> None:
            mx.async_eval(x)
            under_way.append(x)
            if len(under_way) > 1:
                mx.eval(under_way.pop(0))
            progress("network", done, total)

        raw = self.module(pixels.astype(self.compute_dtype), step=step)
        mx.eval(raw)
        return raw

    @property
    def backbone(self) -> Backbone:
        """The backbone of the module, which for features is all of it."""
        return original.backbone_of(self.module)

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for _, tensor in tensors_of(self.module))

    @property
    def quantized_share(self) -> float:
        """0..1 of its weights, as quantize.quantized_share counts them."""
        return quantized_share(self.module)


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
        weights: a folder in the reference's layout or with one model in it, one file, or a repository on the hub;
            default: see locate.find.
        rope_dtype: mx.bfloat16 as the reference computes RoPE, or mx.float32 as ports do that chose it.

    Raises:
        WeightsMissingError: when no source can be had.
        WeightsError: when the file is damaged, of another task or size, or its tensors do not fit.
    """
    checkpoint, row = zoo.checkpoint(task, size), zoo.level(level)
    if weights is not None and (given := conversion.published(weights)) is not None:
        return _from_published(expanded(weights), given, checkpoint, row, rope_dtype, progress)
    source = locate.find_local(checkpoint, weights, row)
    # A second copy of what is as published, or converted in no time, is not worth keeping.
    keeps = row.dtype != "float32" and not checkpoint.bundled
    for folder in conversion.kept(checkpoint, row, source, weights) if keeps else ():
        try:
            return _from_conversion(folder, checkpoint, row, rope_dtype, progress)
        except WeightsError:  # damaged where neither its size nor its time tells
            if source is not None:
                conversion.discard(folder)
    if source is None:
        source = locate.find(checkpoint, weights, row, progress=progress, tell=_tell)
    _tell_what_was_taken(source, checkpoint, weights)
    described = conversion.source_of(source, is_default=locate.is_default(source, checkpoint, row))
    kept = conversion.folder_for(checkpoint, row, source)
    converted = original.convert(source, checkpoint, row, rope_dtype, progress)
    for notice in converted.notices:
        _tell(notice)
    if keeps and not converted.as_packed:
        try:
            conversion.keep(kept, converted, checkpoint, row, described)
        except WeightsError as problem:  # the next start takes longer, and this one has its result
            _tell(f"The conversion to {row.name} was not kept, so that it has to be made again: {problem}")
    return _assemble(converted.module, converted.tensors, checkpoint, row)


def load_detector(size: str, weights: str | Path | None = None, *, progress: Progress = no_progress) -> RTMDet:
    """The person detector that goes with `size` (see zoo.detector_size), float32, from a .pth or .safetensors file.

    Raises as load does.
    """
    path = locate.find(zoo.checkpoint("detect", size), weights, progress=progress)
    layout, tensors = layouts.RTMDET, {}
    if path.suffix != ".safetensors":
        tensors = torch_file.read_tensors(path)
    with original.naming(path):
        shapes = {name: tensor.shape for name, tensor in tensors.items()} or read_shapes(path)
        module = RTMDet(rtmdet_config(shapes), original.ops())
        original.check_tensors(module, shapes, layout)
        take = tensors.pop if tensors else Reader(path, layout).take
        ours = {
            name: layout.change(name).apply(mx.array(take(name)).astype(mx.float32))
            for name in shapes
            if not layout.is_ignored(name)
        }
    module.load_weights(list(ours.items()), strict=True)
    module.eval()
    mx.eval(module.parameters())
    return module


def is_here(checkpoint: zoo.Checkpoint, level: str, weights: str | Path | None = None) -> bool:
    """Whether the checkpoint, or its conversion to `level`, is on this machine: running it downloads nothing."""
    row, published = zoo.level(level), conversion.published(weights)
    if published is not None and published.task == checkpoint.task:
        return True
    found = locate.find_local(checkpoint, weights, row)
    return found is not None or bool(conversion.kept(checkpoint, row, None, weights))


@dataclass(frozen=True)
class Given:
    """What one model's weights say they are; None for what they do not tell."""

    task: str | None = None
    size: str | None = None
    level: str | None = None


def given(weights: str | Path | None) -> Given | None:
    """What `weights` says of itself; None where it is a folder of several checkpoints, or not given.

    Raises:
        WeightsError: it is a folder with a model that cannot be read.
    """
    if weights is None or not locate.is_one_model(weights):
        return None
    published = conversion.published(weights)
    if published is not None:
        return Given(published.task, published.size, published.level)
    repo = locate.repo_named(weights)
    if repo is not None:
        task, size = zoo.names_in(repo)
        level = repo.rpartition("-")[2]
        return Given(task, size, level if level in zoo.LEVELS else None)
    path = expanded(weights)
    if path.is_file() and not path.name.startswith("model"):
        return Given()
    config = described.read(path.parent if path.is_file() else path)
    if config is None:
        return Given() if path.is_file() else None
    return Given(described.task_of(config), described.size_of(config), described.level_of(config))


# ---- what there is to tell ------------------------------------------------------------------------------------------

_told: set[str] = set()
_untold: list[str] = []


def take_notices() -> list[str]:
    """What users should know of the loading since the last call; a sentence comes once in a process."""
    notices, _untold[:] = list(_untold), []
    return notices


def add_notices(notices: list[str]) -> None:
    """What was told of a download elsewhere, for whoever takes the notices next."""
    for notice in notices:
        _tell(notice)


def _tell_what_was_taken(source: Path, checkpoint: zoo.Checkpoint, weights: str | Path | None) -> None:
    """Whose weights they are, where nobody named them, and which of several were taken."""
    repo = hub_cache.repo_of(source)
    if weights is None and repo is not None and repo.startswith(f"{locate.COMMUNITY}/"):
        if not any(repo in notice for notice in _told):  # else told before its download
            _tell(f"The weights are {repo}, a conversion by {locate.COMMUNITY} ({checkpoint.licence.name}).")
    elif weights is not None and expanded(weights).is_dir():
        held = locate.models_in(expanded(weights), checkpoint)
        if len(held) > 1:
            others = " and ".join(path.name for path in held[1:])
            _tell(f"{weights} has these weights in several layouts: taken is {held[0].name}, not {others}.")


def _tell(notice: str) -> None:
    if notice not in _told:
        _told.add(notice)
        _untold.append(notice)


# ---- into the module ------------------------------------------------------------------------------------------------


def _from_published(
    folder: Path,
    given: Conversion,
    checkpoint: zoo.Checkpoint,
    level: zoo.Level,
    rope_dtype: mx.Dtype,
    progress: Progress,
) -> Model:
    """From a folder that `convert --out` wrote, here or elsewhere. Its size is compared, and every tensor's shape."""
    wanted = (checkpoint.task, checkpoint.size, level.name)
    if (given.task, given.size, given.level) != wanted:
        raise WeightsError(
            f"{folder} holds {given.task} {given.size} at {given.level}, not {' '.join(wanted[:2])} at {level.name}. "
            "Choose what it holds, or other weights."
        )
    if (folder / conversion.MODEL).stat().st_size != given.model_bytes:
        raise WeightsError(f"{folder / conversion.MODEL} is damaged or cut short. Download or convert it again.")
    return _from_conversion(folder, checkpoint, level, rope_dtype, progress)


def _from_conversion(
    folder: Path, checkpoint: zoo.Checkpoint, level: zoo.Level, rope_dtype: mx.Dtype, progress: Progress
) -> Model:
    """From a kept or published conversion. Raises WeightsError when it cannot be read, or does not fit its network."""
    progress("load", 0, 1)
    about = conversion.read(folder)
    with original.naming(folder):
        try:
            if about is None:
                raise WeightsError("its config.json is gone or damaged")
            module = original.build(about.tensors, checkpoint.task, checkpoint.size, level, rope_dtype)
            tensors: Any = mx.load(str(folder / conversion.MODEL))
            return _assemble(module, tensors, checkpoint, level)
        except WeightsError:
            raise
        except (OSError, RuntimeError, ValueError) as problem:
            if is_memory_full(problem):  # no fault of the file, which would be discarded
                raise
            raise WeightsError(f"it is damaged ({str(problem).splitlines()[0]})") from problem


def _assemble(module: nn.Module, tensors: dict[str, mx.array], checkpoint: zoo.Checkpoint, level: zoo.Level) -> Model:
    """The module with our tensors in it, evaluated. On a GPU floats take the compute dtype, and its parts are compiled;
    the CPU widens on use."""
    compute = getattr(mx, runtime.compute_dtype(level.dtype))
    if runtime.device() == "gpu":
        for part in module.modules():
            if isinstance(part, Part):
                part.compile()
        floats = (mx.float16, mx.bfloat16, mx.float32)
        tensors = {n: t.astype(compute) if t.dtype in floats else t for n, t in tensors.items()}
    module.load_weights(list(tensors.items()), strict=True)
    module.eval()
    mx.eval(module.parameters())
    return Model(module, level, compute, checkpoint.licence, zoo.SIZES[checkpoint.size].input_hw)
