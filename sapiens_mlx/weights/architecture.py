"""Reads a network's configuration off the names and (torch-layout) shapes of the tensors in its checkpoint."""

import re
from collections.abc import Mapping

import mlx.core as mx

from .. import zoo
from ..errors import WeightsError
from ..nn.backbone import BackboneConfig
from ..nn.heads import DeconvHeadConfig, ScaleConfig, ShuffleHeadConfig

Shapes = Mapping[str, tuple[int, ...]]


def _shape(shapes: Shapes, name: str) -> tuple[int, ...]:
    if name not in shapes:
        raise WeightsError(f"the tensor {name} is missing")
    return shapes[name]


def _numbers(shapes: Shapes, pattern: str) -> list[int]:
    """The numbers that `pattern`, with one group, finds in the names, in order."""
    return sorted({int(match[1]) for name in shapes if (match := re.match(pattern, name))})


def _widths(shapes: Shapes, pattern: str, axis: int = 0) -> tuple[int, ...]:
    """Length of `axis` of each tensor `pattern` (with {} for the number), in the order of the numbers."""
    numbers = _numbers(shapes, re.escape(pattern).replace(r"\{\}", r"(\d+)") + "$")
    return tuple(shapes[pattern.format(number)][axis] for number in numbers)


def backbone_config(shapes: Shapes, prefix: str, rope_dtype: mx.Dtype = mx.bfloat16) -> BackboneConfig:
    """The backbone under `prefix` ("backbone." in task checkpoints, "" in pretrained ones).

    Raises:
        WeightsError: when a tensor that says what the network is like is missing.
    """
    embed_dim = _shape(shapes, f"{prefix}cls_token")[-1]
    head_dim = _shape(shapes, f"{prefix}blocks.0.attn.q_norm.weight")[0]
    count = 1 + max(_numbers(shapes, re.escape(prefix) + r"blocks\.(\d+)\."))
    kv_dims = [_shape(shapes, f"{prefix}blocks.{i}.attn.wk.weight")[0] for i in range(count)]
    if embed_dim % head_dim or any(kv_dim % head_dim for kv_dim in kv_dims):
        raise WeightsError(
            f"widths {embed_dim} and {sorted(set(kv_dims))} are not multiples of the head width {head_dim}"
        )
    tokenizer = _numbers(shapes, re.escape(prefix) + r"tokenizer\.blocks\.(\d+)\.")
    return BackboneConfig(
        embed_dim=embed_dim,
        num_heads=embed_dim // head_dim,
        kv_heads=tuple(kv_dim // head_dim for kv_dim in kv_dims),
        ffn_dim=_shape(shapes, f"{prefix}blocks.0.ffn.w3.weight")[1],
        tokenizer_layers=1 + tokenizer[-1] if tokenizer else 0,
        tokenizer_ffn_dim=_shape(shapes, f"{prefix}tokenizer.blocks.0.ffn.w3.weight")[1] if tokenizer else 0,
        rope_dtype=rope_dtype,
    )


def head_config(shapes: Shapes, final: str) -> DeconvHeadConfig | ShuffleHeadConfig:
    """The head under "decode_head." whose last layer is called `final`.

    Raises:
        WeightsError: when that layer, or the head's first, is missing.
    """
    head = "decode_head."
    in_channels = _shape(shapes, "backbone.cls_token")[-1]
    out_channels = _shape(shapes, f"{head}{final}.weight")[0]
    conv_channels = _widths(shapes, head + "conv_layers.{}.bias")
    deconv_channels = _widths(shapes, head + "deconv_layers.{}.weight", axis=1)  # torch keeps these (in, out, 4, 4)
    if deconv_channels:
        return DeconvHeadConfig(in_channels, deconv_channels, conv_channels, out_channels, final)
    _shape(shapes, f"{head}input_conv.0.weight")
    scale = None
    linear = _widths(shapes, head + "scale_final_layer.{}.bias")
    if linear:
        fan_in = _shape(shapes, f"{head}scale_final_layer.1.weight")[1]
        scale = ScaleConfig(_widths(shapes, head + "scale_conv_layers.{}.bias"), (fan_in, *linear))
    return ShuffleHeadConfig(
        in_channels=in_channels,
        upsample_channels=tuple(width // 4 for width in _widths(shapes, head + "upsample_blocks.{}.0.bias")),
        conv_channels=conv_channels,
        out_channels=out_channels,
        final=final,
        weighted_norm=f"{head}input_conv.1.norm.weight" in shapes,
        sigmoid=final == "conv_matting",
        scale=scale,
    )


def check_task(shapes: Shapes, task: str) -> None:
    """Raises WeightsError when the tensors' names are those of another task's checkpoint."""
    wanted = zoo.task_row(task).final_layer
    found = [
        row
        for row in zoo.TASKS.values()
        if row.final_layer and any(f".{row.final_layer}." in f".{name}" for name in shapes)
    ]
    is_pretrained = "cls_token" in shapes and not found
    if is_pretrained if not wanted else any(row.final_layer == wanted for row in found):
        return
    if found:
        raise WeightsError(f"these are weights for {found[0].name}, not for {task}")
    if is_pretrained:
        raise WeightsError(f"this is a pretrained backbone, which gives features and has no head for {task}")
    missing = f"{wanted}.weight" if wanted else "cls_token"
    raise WeightsError(f"these are not weights for {task}: the tensor {missing} is missing")


def check_size(config: BackboneConfig, size: str) -> None:
    """Raises WeightsError when the backbone is not the one of `size`."""

    def dimensions(row: zoo.Size) -> tuple[int, ...]:
        return row.embed_dim, row.num_layers, row.num_heads, row.tokenizer_layers

    found = (config.embed_dim, len(config.kv_heads), config.num_heads, config.tokenizer_layers)
    if found != dimensions(zoo.SIZES[size]):
        fitting = [row.name for row in zoo.SIZES.values() if dimensions(row) == found]
        what = f"of size {fitting[0]}" if fitting else f"of no known size (width {found[0]}, {found[1]} blocks)"
        raise WeightsError(f"these weights are {what}, not {size}")
