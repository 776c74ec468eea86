"""Packed weights back to float32, in NumPy, for the CPU: the same bits as mx.dequantize gives, many times faster.

MLX packs `bits` a value into the bytes of a row, the first value in the lowest bits. The codes are small integers
(affine) or floats of 4 or 8 bits; each group of columns shares a scale and, when affine, a bias. Two codes of less
than 8 bits are looked up together, in a table of pairs small enough for the processor's nearest cache.
"""

from functools import cache
from math import lcm

import mlx.core as mx
import numpy as np

E2M1 = (0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6)


def unpack(
    weight: np.ndarray,
    scales: np.ndarray,
    biases: np.ndarray | None,
    out: np.ndarray,
    *,
    group_size: int,
    bits: int,
    mode: str,
) -> None:
    """Writes the values of some rows into `out`.

    Args:
        weight: (rows, columns * bits / 32) uint32, contiguous, as mx.quantize packs it.
        scales: (rows, columns / group_size); float32 when affine, otherwise codes in uint8: e8m0 (mxfp4, mxfp8) or
            e4m3 (nvfp4).
        biases: as the scales when affine, otherwise None.
        out: (rows, columns) float32, contiguous.
    """
    if bits < 8:
        np.take(_pairs(mode, bits), _pair_codes(weight, bits), out=out.view(np.complex64), mode="clip")
    elif mode == "affine":
        out[...] = weight.view(np.uint8)
    else:
        np.take(_e4m3(), weight.view(np.uint8), out=out, mode="clip")
    groups = out.reshape(len(out), -1, group_size)
    if mode != "affine":
        scales = (_e4m3() if mode == "nvfp4" else _e8m0())[scales]
    groups *= scales[:, :, None]
    if biases is not None:
        groups += biases[:, :, None]


def _pair_codes(weight: np.ndarray, bits: int) -> np.ndarray:
    """(rows, columns / 2): 2 * bits bits of each row at a time, two neighbouring codes, the first in the lower bits."""
    octets = weight.view(np.uint8)
    if bits == 4:
        return octets
    width = 2 * bits
    period = lcm(width, 8)  # bits after which pairs begin at a byte again
    octets = octets.reshape(len(weight), -1, period // 8)
    codes = np.empty((*octets.shape[:2], period // width), np.uint16)
    for index in range(period // width):
        byte, shift = divmod(index * width, 8)
        code = codes[:, :, index]
        np.left_shift(octets[:, :, byte + 1], 8, out=code, dtype=np.uint16)
        code |= octets[:, :, byte]
        code >>= shift
        code &= 2**width - 1
    return codes.reshape(len(weight), -1)


@cache
def _pairs(mode: str, bits: int) -> np.ndarray:
    """(2 ** (2 * bits),) complex64: the two float32 values of every pair of codes, as one item of 8 bytes."""
    values = np.arange(2**bits, dtype=np.float32) if mode == "affine" else np.array(E2M1, np.float32)
    codes = np.arange(2 ** (2 * bits))
    return np.stack([values[codes % 2**bits], values[codes >> bits]], axis=1).view(np.complex64).ravel()


@cache
def _e4m3() -> np.ndarray:
    """(256,) float32: the value of every 8-bit float with 4 bits of exponent and 3 of mantissa."""
    return np.array(mx.from_fp8(mx.arange(256, dtype=mx.uint8), mx.float32))


@cache
def _e8m0() -> np.ndarray:
    """(256,) float32: the value of every 8-bit exponent, 2 ** (code - 127)."""
    with np.errstate(over="ignore"):
        return np.ldexp(np.float32(1), np.arange(256) - 127)  # exact, as np.exp2 is not
