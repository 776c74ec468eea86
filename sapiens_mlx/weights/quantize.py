"""Which weights are quantized, and how: the Linear layers of the blocks and of the pointmap's scale branch."""

import re
from types import ModuleType

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_unflatten

from ..errors import WeightsError
from ..nn.layers import QuantizedLinear
from ..zoo import Level

# The scale branch's last layer has a single row, which packed kernels do not take.
QUANTIZED = re.compile(
    r"(backbone\.)?(tokenizer\.)?blocks\.\d+\.(attn\.(wq|wk|wv|proj)|ffn\.(w12|w3))"
    r"|decode_head\.scale_final_layer\.[13]"
)


def is_quantized(module_name: str, level: Level) -> bool:
    """Whether the Linear layer of that name is kept packed at `level`."""
    return level.bits is not None and QUANTIZED.fullmatch(module_name) is not None


def pack(name: str, weight: mx.array, level: Level) -> dict[str, mx.array]:
    """A weight (out, in) as the tensors of a QuantizedLinear: `<layer>.weight`, `.scales` and, when affine, `.biases`.

    It is quantized from float32: bfloat16 would leave the scales only 8 bits (0.87 % weight error at 8bit against
    0.54 %). They are stored in float16, which the CPU unpacks with; on a GPU they take the compute dtype, since its
    kernels want one dtype, so bfloat16 costs that precision there after all.

    Raises:
        WeightsError: when the layer's width is not a multiple of the level's group.
    """
    if weight.shape[1] % level.group_size:
        raise WeightsError(
            f"{name} has {weight.shape[1]} columns, and {level.name} packs them in groups of {level.group_size}"
        )
    layer = name.removesuffix(".weight")
    options = {"group_size": level.group_size, "bits": level.bits, "mode": level.mode}
    packed = mx.quantize(weight.astype(mx.float32), **options)
    names = ("weight", "scales", "biases")
    return {
        f"{layer}.{part}": tensor if tensor.dtype in (mx.uint32, mx.uint8) else tensor.astype(mx.float16)
        for part, tensor in zip(names, packed, strict=False)
    }


def use_packed_layers(module: nn.Module, level: Level, ops: ModuleType) -> None:
    """Puts a QuantizedLinear in the place of every Linear layer that `level` packs."""
    options = {"group_size": level.group_size, "bits": level.bits, "mode": level.mode}
    packed = [
        (name, QuantizedLinear(layer.weight.shape, **options, ops=ops))
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear) and is_quantized(name, level)
    ]
    module.update_modules(tree_unflatten(packed))
