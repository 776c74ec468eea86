"""Two-dimensional rotary position embedding of the patch tokens, rounded step by step as the reference rounds it."""

import math
from functools import lru_cache

import mlx.core as mx
import numpy as np

BASE = 100.0


def _round(x: np.ndarray, dtype: mx.Dtype) -> np.ndarray:
    """float32 x to the nearest value of `dtype` (bfloat16, ties to even; or float32: unchanged), kept as float32."""
    x = np.asarray(x, np.float32)
    if dtype == mx.float32:
        return x
    if dtype != mx.bfloat16:
        raise ValueError(f"RoPE is computed in bfloat16 or float32, not in {dtype}.")
    bits = x.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)


def periods(head_dim: int, dtype: mx.Dtype = mx.bfloat16) -> np.ndarray:
    """The head_dim / 4 wave lengths 100^(2 k / (head_dim / 2)), as float32 values rounded to `dtype`."""
    exponents = _round(np.arange(0, head_dim // 2, 2, dtype=np.float32) / np.float32(head_dim // 2), dtype)
    return _round(np.float32(BASE) ** exponents, dtype)


@lru_cache(maxsize=16)
def tables(grid_hw: tuple[int, int], head_dim: int, dtype: mx.Dtype = mx.bfloat16) -> tuple[np.ndarray, np.ndarray]:
    """Sine and cosine for every patch of the grid, row by row: two (H * W, head_dim) float32 arrays rounded to `dtype`.

    Patch centres (i + 0.5) / H and (j + 0.5) / W are mapped to [-1, 1]; the angles are [rows..., columns...] twice.
    """
    rows, columns = (_round(np.arange(0.5, n, dtype=np.float32), dtype) / np.float32(n) for n in grid_hw)
    centres = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)  # (H * W, 2)
    coordinates = _round(2 * _round(centres, dtype) - 1, dtype)
    turns = _round(np.float32(2 * math.pi) * coordinates, dtype)
    angles = _round(turns[:, :, None] / periods(head_dim, dtype), dtype)  # (H * W, 2, head_dim / 4)
    angles = np.tile(angles.reshape(len(centres), -1), 2)  # (H * W, head_dim)
    return _round(np.sin(angles), dtype), _round(np.cos(angles), dtype)


def rotate(x: mx.array, sine: mx.array, cosine: mx.array) -> mx.array:
    """x (B, L, heads, d) with the last tokens turned; the first L - len(sine) are cls and storage, which stay.

    Everything is done in the tables' dtype and cast back, so those first tokens are rounded too, as in the reference.
    """
    dtype = x.dtype
    x = x.astype(sine.dtype)
    extra = x.shape[1] - sine.shape[0]
    patches = x[:, extra:]
    half = x.shape[-1] // 2
    turned = mx.concatenate([-patches[..., half:], patches[..., :half]], axis=-1)
    patches = patches * cosine[:, None] + turned * sine[:, None]
    return mx.concatenate([x[:, :extra], patches], axis=1).astype(dtype)
