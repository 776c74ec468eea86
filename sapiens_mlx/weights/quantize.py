"""Which weights are quantized, and how: the Linear layers of the blocks and of the pointmap's scale branch."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_unflatten

from ..errors import LevelError
from ..nn.layers import QuantizedLinear, tensors_of
from ..zoo import LEVELS, Level

# By name. Everything else is kept in floats: convolutions, norms, the patch projection, and the scale branch's last
# layer, whose single row packed kernels do not take.
QUANTIZED = re.compile(
    r"(backbone\.)?(tokenizer\.)?blocks\.\d+\.(attn\.(wq|wk|wv|proj)|ffn\.(w12|w3))"
    r"|decode_head\.scale_final_layer\.[13]"
)
# Metal's kernels walk along a row 32 columns at a time and do not look for its end (ml-explore/mlx pull request 3912).
KERNEL_COLUMNS = 32


@dataclass(frozen=True)
class Packing:
    """How one layer is packed: as at a level, or as another program did it."""

    group_size: int
    bits: int
    mode: str = "affine"

    def __str__(self) -> str:
        return f"{self.bits} bits in groups of {self.group_size} ({self.mode})"

    @property
    def level(self) -> str | None:
        """The level of as many bits in the same mode; its groups may be of another size. None where there is none."""
        same = (row for row in LEVELS.values() if (row.bits, row.mode) == (self.bits, self.mode))
        return next((row.name for row in same if self.mode == "affine" or row.group_size == self.group_size), None)


def packing(level: Level) -> Packing | Any:
    """How `level` packs layers; None where it does not."""
    return None if level.bits is None else Packing(level.group_size, level.bits, level.mode)


def is_quantized(module_name: str, level: Level) -> bool:
    """Whether the Linear layer of that name is kept packed at `level`."""
    return level.bits is not None and QUANTIZED.fullmatch(module_name) is not None


def takes(level: Level, columns: int) -> bool:
    """Whether a layer of that many columns can be stored at `level`: plain floats take any, packing whole groups."""
    return level.bits is None or columns % max(level.group_size, KERNEL_COLUMNS) == 0


def pack(name: str, weight: mx.array, level: Level) -> dict[str, mx.array]:
    """A weight (out, in) as the tensors of a QuantizedLinear: `<layer>.weight`, `.scales` and, when affine, `.biases`.

    It is quantized from float32: bfloat16 would leave affine scales only 8 bits (0.87 % weight error at 8bit against
    0.54 %). They are stored in float16, which the CPU widens and unpacks with; on a GPU they take the compute dtype,
    since its kernels want one dtype, so bfloat16 costs that precision there after all. The scales of the other modes
    are 8-bit codes everywhere.

    Raises:
        LevelError: when the layer's width does not suit the level; it says which levels it would suit.
    """
    rows, columns = weight.shape
    if not takes(level, columns):
        whole = max(level.group_size, KERNEL_COLUMNS)
        suiting = ", ".join(other.name for other in LEVELS.values() if takes(other, columns))
        raise LevelError(
            f"{name} has {rows} rows and {columns} columns, and {level.name} needs a multiple of {whole} columns "
            f"(it packs them in groups of {level.group_size}). Levels for a layer of this width: {suiting}"
        )
    layer = name.removesuffix(".weight")
    packed = mx.quantize(weight.astype(mx.float32), **asdict(packing(level)))
    names = ("weight", "scales", "biases")
    return {
        f"{layer}.{part}": tensor if tensor.dtype in (mx.uint32, mx.uint8) else tensor.astype(mx.float16)
        for part, tensor in zip(names, packed, strict=False)
    }


def use_packed_layers(
    module: nn.Module, level: Level, ops: ModuleType, packings: Mapping[str, Packing] | None = None
) -> None:
    """Puts a QuantizedLinear in the place of every Linear layer that `level` packs, or of those that `packings` names,
    for a file that is packed already."""
    layers = [(name, layer) for name, layer in module.named_modules() if isinstance(layer, nn.Linear)]
    if packings is None:
        packings = {name: packing(level) for name, _ in layers if is_quantized(name, level)}
    packed = [
        (name, QuantizedLinear(layer.weight.shape, **asdict(packings[name]), ops=ops))
        for name, layer in layers
        if name in packings
    ]
    module.update_modules(tree_unflatten(packed))


def quantized_share(module: nn.Module) -> float:
    """Which share of a network's weights, counted one by one, is kept packed: 0..1. Scales and biases are no weights.

    Example: 0.85 for a network with 85 million weights in QuantizedLinear layers and 15 million anywhere else.
    """
    packed = [layer for layer in module.modules() if isinstance(layer, QuantizedLinear)]
    stored = sum(tensor.size for layer in packed for name, tensor in layer.parameters().items() if name != "bias")
    values = sum(layer.packed_values for layer in packed)
    others = sum(tensor.size for _, tensor in tensors_of(module)) - stored
    return values / (values + others)
