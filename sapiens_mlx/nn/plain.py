"""The few operations that are done differently by device, in plain MLX: what Metal and CUDA run.

cpu.py holds the same names for the CPU, most of them in NumPy. A module is built with one of the two as its `ops`;
nothing probes the device.
"""

import mlx.core as mx

# Head dimensions that MLX's fused attention kernels take; anything between is padded up with zeros.
FUSED_HEAD_DIMS = (64, 80, 128)


def attention(q: mx.array, k: mx.array, v: mx.array, scale: float) -> mx.array:
    """softmax(q k^T * scale) v for q (B, L, heads, d) and k, v (B, L, kv_heads, d). Returns (B, L, heads * d).

    Each K/V head serves heads / kv_heads consecutive query heads. Zero padding of d changes nothing: it adds zeros
    to every product of q and k, and columns of v that are cut off again.
    """
    batch, length, heads, head_dim = q.shape
    fused = next((d for d in FUSED_HEAD_DIMS if d >= head_dim), head_dim)
    if head_dim > FUSED_HEAD_DIMS[0] and fused != head_dim:
        padding = [(0, 0), (0, 0), (0, 0), (0, fused - head_dim)]
        q, k, v = (mx.pad(x, padding) for x in (q, k, v))
    q, k, v = (x.transpose(0, 2, 1, 3) for x in (q, k, v))  # (B, heads, L, d)
    out = mx.fast.scaled_dot_product_attention(q, k, v, scale=scale)
    return out.transpose(0, 2, 1, 3)[..., :head_dim].reshape(batch, length, heads * head_dim)


def swiglu(gate_and_value: mx.array) -> mx.array:
    """silu(first half) * second half of the last axis."""
    gate, value = mx.split(gate_and_value, 2, axis=-1)
    return gate * mx.sigmoid(gate) * value


def silu(x: mx.array) -> mx.array:
    return x * mx.sigmoid(x)


def instance_norm_silu(x: mx.array, eps: float) -> mx.array:
    """SiLU of x (B, H, W, C) brought to zero mean and unit variance over (H, W) for each image and channel."""
    # Statistics in float32: a 16-bit sum over a megapixel would lose everything.
    wide = x.astype(mx.float32)
    mean = wide.mean(axis=(1, 2), keepdims=True)
    variance = mx.square(wide - mean).mean(axis=(1, 2), keepdims=True)
    scale = mx.rsqrt(variance + eps)
    return silu(((wide - mean) * scale).astype(x.dtype))


def conv3x3(x: mx.array, weight: mx.array, bias: mx.array) -> mx.array:
    """3 x 3 convolution, stride 1, zero padding 1, of x (B, H, W, C) with weight (O, 3, 3, C)."""
    return mx.conv2d(x, weight, padding=1) + bias


def deconv4x4(x: mx.array, weight: mx.array) -> mx.array:
    """4 x 4 transposed convolution, stride 2, padding 1, of x (B, H, W, C); weight (4 * O, 2, 2, C): layers.Deconv."""
    batch, height, width, _ = x.shape
    y = mx.conv2d(x, weight, padding=1)  # (B, H + 1, W + 1, 4 * O)
    phases = y.reshape(batch, height + 1, width + 1, 4, -1)
    # Phase a = 0 looks at rows i - 1 and i, phase a = 1 at i and i + 1: one window further.
    rows = [
        mx.stack([phases[:, a : a + height, b : b + width, 2 * a + b] for b in (0, 1)], axis=3) for a in (0, 1)
    ]  # two of (B, H, W, 2, O)
    return mx.stack(rows, axis=2).reshape(batch, 2 * height, 2 * width, -1)


def depthwise5x5(x: mx.array, weight: mx.array) -> mx.array:
    """5 x 5 convolution of each channel alone, same size out: (B, H, W, C) with weight (C, 5, 5, 1)."""
    return mx.conv2d(x, weight, padding=2, groups=x.shape[-1])


def batch_norm(
    x: mx.array, weight: mx.array, bias: mx.array, mean: mx.array, variance: mx.array, eps: float
) -> mx.array:
    """(x - mean) / sqrt(variance + eps) * weight + bias from stored statistics (C,), for x (B, H, W, C)."""
    scale = weight * mx.rsqrt(variance + eps)
    return x * scale.astype(x.dtype) + (bias - mean * scale).astype(x.dtype)


def quantized_linear(x: mx.array, weight: mx.array, scales: mx.array, biases: mx.array | None, **level) -> mx.array:
    """x @ w^T for a weight that stays packed; `level` is group_size, bits and mode as mx.quantize takes them."""
    return mx.quantized_matmul(x, weight, scales, biases, transpose=True, **level)
