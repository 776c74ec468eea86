"""A checkpoint's tensors as the original has them, whichever program wrote it, in one file or in several.

What is packed already stays so: its layers are taken as they are, and told apart from the plain ones.
"""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from safetensors import SafetensorError, safe_open

from ..errors import WeightsError
from . import described, layouts
from .quantize import KERNEL_COLUMNS, QUANTIZED, Packing

Shapes = dict[str, tuple[int, ...]]
FLOATS = ("F16", "BF16", "F32", "F64")
MODEL = "model.safetensors"
INDEX = "model.safetensors.index.json"
_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
# More than any file of these models has, and little enough that reading a made-up one ends soon.
MOST_INDEX_BYTES = 16 << 20
MOST_TENSORS = 20_000  # 5b has some two thousand
LONGEST_NAME = 500
MOST_AXES = 8
LARGEST_EXTENT = 2**31 - 1  # MLX counts along an axis in 32 bits

_PARTS = ("weight", "scales", "biases")  # of a packed layer; the last only where the mode is affine


def whole(path: Path) -> Path:
    """`path`, or the index beside it where it is one of several files of a model."""
    index = path.with_name(INDEX)
    return index if _SHARD.fullmatch(path.name) and index.is_file() else path


def files_of(path: Path) -> list[Path]:
    """The files that a checkpoint's tensors are in: itself, or those that an index names.

    Raises:
        WeightsError: the index is damaged, or one of its files is not there.
    """
    if path.suffix != ".json":
        return [path]
    try:
        names = sorted(set(described.read_json(path, MOST_INDEX_BYTES)["weight_map"].values()))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as problem:
        raise WeightsError(f"its index {path.name} is damaged or cannot be read") from problem
    for name in names:
        is_name = isinstance(name, str) and name.isprintable() and 0 < len(name.encode()) < 256
        if not is_name or name != Path(name).name:
            raise WeightsError(f"its index {path.name} names {name!r:.100}, which is no file beside it")
        if not (path.parent / name).is_file():
            raise WeightsError(f"{name} is missing beside {path.name}: all of its {len(names)} files are needed")
    return [path.parent / name for name in names]


def read_shapes(path: Path) -> Shapes:
    """Names and shapes of the tensors in a safetensors file; nothing else is read.

    Raises:
        WeightsError: when it is no safetensors file, cut short, or has tensors that no model has.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            names = file.keys()
            if len(names) > MOST_TENSORS:
                raise WeightsError(f"it has {len(names):,} tensors, which no model here has")
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}
    except SafetensorError as problem:
        raise WeightsError(f"it is damaged, cut short, or not a safetensors file ({problem})") from problem
    except OSError as problem:
        raise WeightsError(f"it cannot be read ({problem.strerror or problem})") from problem
    for name, shape in shapes.items():
        if len(name) > LONGEST_NAME or len(shape) > MOST_AXES or max(shape, default=0) > LARGEST_EXTENT:
            raise WeightsError(f"the tensor {name[:100]} has a name or a shape that no tensor here has")
    return shapes


class Tensors:
    """The tensors of one safetensors file, each read when it is taken. `stored` says by name how they are stored."""

    _lazy: Any  # by name, as MLX loads a file of this kind

    def __init__(self, path: Path) -> None:
        """
        Raises:
            WeightsError: some are stored as float64 and others as bfloat16, or in a type that is not known.
        """
        with safe_open(path, framework="numpy") as file:
            self.stored = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
        types = set(self.stored.values())
        if {"F64", "BF16"} <= types:
            raise WeightsError("some of its tensors are stored as F64 and others as BF16, and only one of them is read")
        # MLX opens no file with float64 in it. Its own reading is lazy: an array holds nothing until it is evaluated.
        self._path, self._is_wide = path, "F64" in types
        try:
            self._lazy = {} if self._is_wide else mx.load(str(path), format="safetensors")
        except RuntimeError as problem:  # only the names and types are read here, so that memory is not at fault
            raise WeightsError(
                f"its tensors are stored in a way that is not read ({', '.join(sorted(types))})"
            ) from problem

    def take(self, name: str, *, again: bool = False) -> mx.array:
        """The tensor, of which nothing is kept here unless it is to be taken `again`. float64 comes as float32."""
        if not self._is_wide:
            return self._lazy[name] if again else self._lazy.pop(name)
        with safe_open(self._path, framework="numpy") as file:  # opened anew: a map would grow by all that was read
            return mx.array(file.get_tensor(name).astype(np.float32))


@dataclass(frozen=True)
class _Place:
    """Where a tensor of the original is: in which one of the file, and in which rows of that, where not in all."""

    name: str
    rows: slice | None


class Reader:
    """A checkpoint. `shapes` are the original's names and shapes; `form` is what wrote it; `config` the config.json
    that describes it, or None; `packings` how each layer is packed that is, by the layer's name in the original."""

    def __init__(self, path: Path, layout: layouts.Layout) -> None:
        """
        Raises:
            WeightsError: it is damaged, of several layouts, packed and plain at random, or stored as no float. Tensors
                that `layout` leaves out may be of any type.
        """
        # By the convention of all these programs config.json describes the files called model, and no others.
        self.config = described.read(path.parent) if path.name.startswith("model") else None
        self._file_shapes: Shapes = {}
        self._files: dict[str, Tensors] = {}
        for file in files_of(path):
            shapes = read_shapes(file)
            self._file_shapes |= shapes
            self._files |= dict.fromkeys(shapes, Tensors(file))
        self.form = layouts.form_of(self._file_shapes, self.config)
        self.shapes: Shapes = {}
        self.packings: dict[str, Packing] = {}
        self._places: dict[str, _Place] = {}
        self._uses: Counter[str] = Counter()  # how often a tensor of the file is still to be taken
        self._has_head = any(name.startswith("decode_head.") for name in self._file_shapes)
        # Of the network, for projections that are merged.
        self._width = next((s[-1] for n, s in self._file_shapes.items() if n.endswith("cls_token") and s), 0)
        packed = {name.removesuffix(".scales") for name in self._file_shapes if name.endswith(".scales")}
        for name, shape in self._file_shapes.items():
            layer, _, part = name.rpartition(".")
            if layer not in packed or part not in _PARTS:  # a packed layer's own bias is plain
                self._enter(name, shape)
                self._check_type(name, layout)
            elif part == "weight":
                self._enter_packed(layer)
        self._check_left_over(layout)
        self._check_mixture()

    @property
    def is_packed(self) -> bool:
        return bool(self.packings)

    @property
    def level(self) -> str | None:
        """The level that its config.json says it is packed at; None for floats."""
        return described.level_of(self.config) if self.config and self.is_packed else None

    def __contains__(self, name: str) -> bool:
        return name in self.shapes

    def take(self, name: str) -> mx.array:
        """A plain tensor with the original's axes, once. Nothing of it is evaluated yet."""
        place, axes = self._places[name], self.form.axes(name)
        tensor = self._part(place.name, place.rows)
        return tensor if axes is None else tensor.transpose(axes)

    def take_packed(self, layer: str) -> dict[str, mx.array]:
        """A packed layer as it is, once: `<layer>.weight`, `.scales` and, when affine, `.biases`."""
        place, packing = self._places[f"{layer}.weight"], self.packings[layer]
        file_layer = place.name.removesuffix(".weight")
        return {f"{layer}.{part}": self._part(f"{file_layer}.{part}", place.rows) for part in _parts(packing)}

    def _part(self, file_name: str, rows: slice | None) -> mx.array:
        self._uses[file_name] -= 1
        tensor = self._files[file_name].take(file_name, again=self._uses[file_name] > 0)
        return tensor if rows is None else tensor[rows]

    # ---- names and shapes -------------------------------------------------------------------------------------------

    def _enter(self, name: str, shape: tuple[int, ...], packing: Packing | None = None) -> None:
        """Notes which tensor of the original the one of the file is, or which three, and their shapes."""
        for part, rows in self._split(name, shape):
            original = self.form.original_name(part, self._has_head)
            if original in self.shapes:
                raise WeightsError(f"the tensor {original} is there twice")
            axes, part_shape = self.form.axes(original), shape
            if rows is not None:
                part_shape = (rows.stop - rows.start, *shape[1:])
            if axes is not None:
                if len(shape) != len(axes):
                    raise WeightsError(f"the tensor {name} should have {len(axes)} axes and has the shape {shape}")
                part_shape = tuple(part_shape[axis] for axis in axes)
            self.shapes[original] = part_shape
            self._places[original] = _Place(name, rows)
            layer = name.removesuffix(".weight")
            self._uses.update([name] if packing is None else [f"{layer}.{part}" for part in _parts(packing)])
            if packing is not None:
                self.packings[original.removesuffix(".weight")] = packing

    def _split(self, name: str, shape: tuple[int, ...]) -> list[tuple[str, slice | None]]:
        """The name itself; of a merged projection, the names of its three parts and their rows."""
        match = self.form.merged.fullmatch(name) if self.form.merged else None
        if match is None:
            return [(name, None)]
        width, rows = self._width, shape[0] if shape else 0
        kv_rows, odd = divmod(rows - width, 2)
        if not width or kv_rows < 1 or odd:
            raise WeightsError(f"the tensor {name} has {rows} rows, which are no queries, keys and values of {width}")
        starts = (0, width, width + kv_rows, width + 2 * kv_rows)
        return [(f"{match[1]}w{q}.{match[2]}", slice(*starts[i : i + 2])) for i, q in enumerate("qkv")]

    # ---- what is packed ---------------------------------------------------------------------------------------------

    def _enter_packed(self, layer: str) -> None:
        packing = described.packing_of(self.config, layer)
        if packing is None:
            said = "says that it is not" if described.is_packed(self.config) else "that would say how is not beside it"
            raise WeightsError(f"the layer {layer} is packed, and a {described.CONFIG} {said}")
        codes = "U8" if packing.mode != "affine" else None
        for part in _parts(packing):
            name = f"{layer}.{part}"
            stored = self._files[name].stored[name] if name in self._files else None
            if stored is None or (
                stored != "U32" if part == "weight" else stored not in ((codes,) if codes else FLOATS)
            ):
                raise _contradiction(layer, packing, f"its {part} is {stored or 'missing'}")
        weight, scales = (self._file_shapes[f"{layer}.{part}"] for part in ("weight", "scales"))
        if len(weight) != 2 or len(scales) != 2:
            raise _contradiction(layer, packing, f"its weight has the shape {weight} and its scales have {scales}")
        rows, words = weight
        columns = words * 32 // packing.bits
        if scales != (rows, columns // packing.group_size) or columns % KERNEL_COLUMNS:
            raise _contradiction(layer, packing, f"it has {words} words and {scales[-1]} groups a row")
        self._enter(f"{layer}.weight", (rows, columns), packing)

    def _check_left_over(self, layout: layouts.Layout) -> None:
        """Scales without a weight, and parts that the packing has not."""
        for name in self._file_shapes:
            if name not in self._uses and not layout.is_ignored(self.form.original_name(name, self._has_head)):
                raise WeightsError(f"the tensor {name} does not belong there")

    def _check_mixture(self) -> None:
        """Layers of the blocks are packed all or none, but for those that config.json says are plain."""
        if not self.packings:
            if described.is_packed(self.config):
                raise WeightsError(f"its {described.CONFIG} says that its layers are packed, and none of them is")
            return
        blocks = {n.removesuffix(".weight"): n for n in self.shapes if n.endswith(".weight") and "blocks." in n}
        plain = [
            self._places[name].name.removesuffix(".weight")
            for layer, name in blocks.items()
            if QUANTIZED.fullmatch(layer) and layer not in self.packings
        ]
        unsaid = [layer for layer in plain if not described.is_plain(self.config, layer)]
        if unsaid:
            raise WeightsError(
                f"some layers of its blocks are packed and others, such as {unsaid[0]}, are not, "
                f"which its {described.CONFIG} does not say of them"
            )

    def _check_type(self, name: str, layout: layouts.Layout) -> None:
        stored = self._files[name].stored[name]
        if stored not in FLOATS and not layout.is_ignored(self.form.original_name(name, self._has_head)):
            raise WeightsError(f"the tensor {name} is stored as {stored}, and only floats are read")


def _parts(packing: Packing) -> tuple[str, ...]:
    return _PARTS if packing.mode == "affine" else _PARTS[:2]


def _contradiction(layer: str, packing: Packing, found: str) -> WeightsError:
    return WeightsError(
        f"its {described.CONFIG} contradicts its tensors: {layer} is said to be packed in {packing}, and {found}"
    )
