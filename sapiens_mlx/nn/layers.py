"""Layers that backbone and heads share. Weights are in MLX's layout, channels last."""

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from . import plain

INSTANCE_NORM_EPS = 1e-5
RMS_NORM_EPS = 1e-6


def tensors_of(module: nn.Module) -> list[tuple[str, mx.array]]:
    """A network's weights by name. By MLX's own annotation of tree_flatten they could be anything."""
    tensors: Any = tree_flatten(module.parameters())
    return tensors


class Part(nn.Module):
    """A part of a network that is computed by forward(), compiled once it is told to: what is done to one value at a
    time becomes one pass through memory. For GPUs; on the CPU, MLX would want a C++ compiler.

    Compiled it keeps the weights of its first call, and is compiled again for another shape.
    """

    forward: Callable[..., Any]

    def __init__(self) -> None:
        super().__init__()
        self._compiled: Callable[..., Any] | None = None

    def __call__(self, *inputs: Any) -> Any:
        return (self._compiled or self.forward)(*inputs)

    def compile(self) -> None:
        self._compiled = mx.compile(self.forward)


class LayerScale(nn.Module):
    """One learned factor a channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = mx.ones((channels,))

    def __call__(self, x: mx.array) -> mx.array:
        return x * self.weight


class QuantizedLinear(nn.Module):
    """A Linear layer whose weight (out, in) stays packed, `bits` a value. Each group of `group_size` columns has a
    scale and a bias, both floats, when `mode` is "affine"; for the other modes of mx.quantize an 8-bit scale only."""

    def __init__(self, shape: Sequence[int], group_size: int, bits: int, mode: str, ops: ModuleType) -> None:
        super().__init__()
        self._ops = ops
        self._level: dict[str, Any] = {"group_size": group_size, "bits": bits, "mode": mode}
        out_features, in_features = shape
        groups = (out_features, in_features // group_size)
        self.weight = mx.zeros((out_features, in_features * bits // 32), mx.uint32)
        self.scales = mx.zeros(groups, mx.float16 if mode == "affine" else mx.uint8)
        if mode == "affine":
            self.biases = mx.zeros(groups, mx.float16)
        self.bias = mx.zeros((out_features,))

    @property
    def packed_values(self) -> int:
        """How many weights are packed in it."""
        return self.weight.size * 32 // self._level["bits"]

    def unpacked(self) -> mx.array:
        """The weight it stands for, (out, in) float32: for measuring, not on the way of a photo."""
        scales, biases = self.scales, self.get("biases")
        if biases is not None:
            scales, biases = scales.astype(mx.float32), biases.astype(mx.float32)
        return mx.dequantize(self.weight, scales, biases, dtype=mx.float32, **self._level)

    def __call__(self, x: mx.array) -> mx.array:
        biases = self.get("biases")
        return self._ops.quantized_linear(x, self.weight, self.scales, biases, **self._level) + self.bias


class Conv(nn.Module):
    """1 x 1 or 3 x 3 convolution with bias; the 3 x 3 is padded by 1. A stride is for 1 x 1 only."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, ops: ModuleType = plain
    ) -> None:
        super().__init__()
        if kernel not in (1, 3) or (kernel == 3 and stride != 1):
            raise ValueError(f"no convolution with kernel {kernel} and stride {stride}")
        self._ops, self._stride = ops, stride
        self.weight = mx.zeros((out_channels, kernel, kernel, in_channels))
        self.bias = mx.zeros((out_channels,))

    def __call__(self, x: mx.array) -> mx.array:
        if self.weight.shape[1] == 3:
            return self._ops.conv3x3(x, self.weight, self.bias)
        if self._stride > 1:
            x = x[:, :: self._stride, :: self._stride]
        return mx.addmm(self.bias, x, self.weight[:, 0, 0].T)


class Deconv(nn.Module):
    """4 x 4 transposed convolution, stride 2, padding 1, no bias: twice the height and width.

    Output pixel (2 i + a, 2 j + b) sees 2 x 2 input pixels only, so the layer is one 2 x 2 convolution with a set of
    channels for each phase (a, b), interleaved. That is a quarter of the products of the zero-dilated form.
    `weight` is (4 * out, 2, 2, in), phases outermost: see weights/layouts.py.
    """

    def __init__(self, in_channels: int, out_channels: int, ops: ModuleType = plain) -> None:
        super().__init__()
        self._ops = ops
        self.weight = mx.zeros((4 * out_channels, 2, 2, in_channels))

    def __call__(self, x: mx.array) -> mx.array:
        return self._ops.deconv4x4(x, self.weight)


class PixelShuffle(nn.Module):
    """(B, H, W, C * 4) to (B, 2 H, 2 W, C); channels come in the order (C, row, column)."""

    def __call__(self, x: mx.array) -> mx.array:
        batch, height, width, channels = x.shape
        x = x.reshape(batch, height, width, channels // 4, 2, 2).transpose(0, 1, 4, 2, 5, 3)
        return x.reshape(batch, 2 * height, 2 * width, channels // 4)


class InstanceNormSiLU(nn.Module):
    """InstanceNorm without weights, then SiLU."""

    def __init__(self, ops: ModuleType = plain) -> None:
        super().__init__()
        self._ops = ops

    def __call__(self, x: mx.array) -> mx.array:
        return self._ops.instance_norm_silu(x, INSTANCE_NORM_EPS)


class RMSNormSiLU(nn.Module):
    """RMSNorm over the channels at each pixel, with weights, then SiLU."""

    def __init__(self, channels: int, ops: ModuleType = plain) -> None:
        super().__init__()
        self._ops = ops
        self.norm = nn.RMSNorm(channels, RMS_NORM_EPS)

    def __call__(self, x: mx.array) -> mx.array:
        return self._ops.silu(self.norm(x))
