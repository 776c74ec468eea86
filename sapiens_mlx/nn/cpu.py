"""The operations of plain.py for MLX on the CPU, most of them in NumPy: the same numbers, many times faster there.

MLX's CPU backend computes exp one value at a time on one thread, unfolds the whole input of a convolution, and
multiplies packed weights without BLAS. NumPy views of evaluated MLX arrays are free; going back costs one copy.
"""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import mlx.core as mx
import numpy as np

from .. import blas
from ..container import processors
from .unpack import unpack

ATTENTION_ROWS = 256  # a block of 256 x 3081 scores stays in the cache between product, exp and product
# Scores that cannot be larger are taken to exp as they are; a row's largest would be found and taken off first.
SAFE_SCORE = 40.0  # e^40 times any number of tokens is far from overflow, and e^-40 from underflow
BAND_VALUES = 2**17  # half a MB of float32 worked on at a time by one thread, and summed up before float64 takes over
UNFOLDED_VALUES = 2**21  # 8 MB of unfolded input of a convolution, by one thread


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(processors(), thread_name_prefix="cpu-ops")


def _view(x: mx.array) -> np.ndarray:
    """x evaluated, as float32. A view without a copy when it is float32 already."""
    return np.array(x.astype(mx.float32), copy=False)


def _each(work: Callable, items: Iterable) -> None:
    """work(item) for all items, shared among the processor's threads; the first error is raised here."""

    def quiet(item):
        with np.errstate(over="ignore"):  # exp(-x) may reach inf: 1 / (1 + inf) is the 0 that is meant
            work(item)

    for _ in _pool().map(quiet, items):
        pass


def _bands(rows: int, values_per_row: int) -> list[slice]:
    return _cut(slice(0, rows), max(1, BAND_VALUES // values_per_row))


def _cut(rows: slice, step: int) -> list[slice]:
    return [slice(start, min(start + step, rows.stop)) for start in range(rows.start, rows.stop, step)]


def _new(shape: tuple[int, ...]) -> tuple[mx.array, np.ndarray]:
    """An MLX array and a NumPy view of it to write into. What NumPy allocates would have to be copied to go back."""
    array = mx.zeros(shape)
    mx.eval(array)
    return array, np.array(array, copy=False)


def attention(q: mx.array, k: mx.array, v: mx.array, scale: float) -> mx.array:
    """As plain.attention: (B, L, heads, d) and (B, L, kv_heads, d) to (B, L, heads * d)."""
    batch, length, heads, head_dim = q.shape
    group = heads // k.shape[2]
    q_view, k_view, v_view = _view(q), _view(k), _view(v)
    result, out = _new((batch, length, heads, head_dim))
    ones = np.ones(length, np.float32)

    def one_head(item: tuple[int, int]) -> None:
        b, head = item
        keys = np.ascontiguousarray(k_view[b, :, head // group].T)  # (d, L)
        keys *= np.float32(scale)
        values = np.ascontiguousarray(v_view[b, :, head // group])  # (L, d)
        scores = np.empty((min(ATTENTION_ROWS, length), length), np.float32)
        is_safe = _longest(q_view[b, :, head], axis=1) * _longest(keys, axis=0) < SAFE_SCORE
        for rows in _cut(slice(0, length), ATTENTION_ROWS):
            block = np.matmul(q_view[b, rows, head], keys, out=scores[: rows.stop - rows.start])
            if not is_safe:
                block -= block.max(axis=1, keepdims=True)
            np.exp(block, out=block)
            total = block @ ones  # a third of the time of block.sum(axis=1)
            np.divide(block @ values, total[:, None], out=out[b, rows, head])

    # Two products side by side with one BLAS thread each are faster than one after the other with two, and none waits
    # for another (16 x 3081 x 64: 0.28 s against 0.65 s).
    with blas.one_thread():
        _each(one_head, [(b, head) for b in range(batch) for head in range(heads)])
    return result.reshape(batch, length, heads * head_dim)


def _longest(vectors: np.ndarray, axis: int) -> float:
    """The largest length of a vector; the product of two lengths is the most that two vectors' product can be."""
    return float(np.sqrt(np.square(vectors).sum(axis=axis).max()))


def _silu_into(x: np.ndarray, out: np.ndarray) -> None:
    """out = x / (1 + exp(-x)); out must not be x."""
    np.negative(x, out=out)
    np.exp(out, out=out)
    out += 1
    np.divide(x, out, out=out)


def swiglu(gate_and_value: mx.array) -> mx.array:
    """As plain.swiglu."""
    x = _view(gate_and_value).reshape(-1, gate_and_value.shape[-1])
    half = x.shape[1] // 2
    result, out = _new((x.shape[0], half))

    def band(rows: slice) -> None:
        _silu_into(x[rows, :half], out[rows])
        out[rows] *= x[rows, half:]

    _each(band, _bands(*x.shape))
    return result.reshape(*gate_and_value.shape[:-1], half)


def silu(x: mx.array) -> mx.array:
    """As plain.silu."""
    flat = _view(x).reshape(-1, x.shape[-1])
    result, out = _new(flat.shape)
    _each(lambda rows: _silu_into(flat[rows], out[rows]), _bands(*flat.shape))
    return result.reshape(x.shape)


def instance_norm_silu(x: mx.array, eps: float) -> mx.array:
    """As plain.instance_norm_silu."""
    images = _view(x).reshape(x.shape[0], -1, x.shape[-1])  # (B, H * W, C)
    result, out = _new(images.shape)
    bands = _bands(*images.shape[1:])
    for image, normed in zip(images, out, strict=True):
        sums = np.empty((len(bands), 2, image.shape[1]), np.float64)

        def add_up(item: tuple[int, slice], image=image, sums=sums, shift=image[0]) -> None:
            index, rows = item
            centred = image[rows] - shift  # near the mean, so that the squares do not cancel
            sums[index] = centred.sum(axis=0), np.square(centred, out=centred).sum(axis=0)

        _each(add_up, enumerate(bands))
        first, second = sums.sum(axis=0) / len(image)
        mean = (image[0] + first).astype(np.float32)
        scale = (1 / np.sqrt(second - first**2 + eps)).astype(np.float32)

        def apply(rows: slice, image=image, normed=normed, mean=mean, scale=scale) -> None:
            value = image[rows] - mean
            value *= scale
            _silu_into(value, normed[rows])

        _each(apply, bands)
    return result.reshape(x.shape)


def conv3x3(x: mx.array, weight: mx.array, bias: mx.array) -> mx.array:
    """As plain.conv3x3, a band of rows at a time: the unfolded whole of a large input would take gigabytes."""
    batch, height, width, _ = x.shape
    result, out = _new((batch, height, width, weight.shape[0]))
    added = _view(bias)

    def keep(image: int, rows: slice, product: np.ndarray) -> None:
        np.add(product, added, out=out[image, rows])

    _convolve(x, weight, padding=1, done=keep)
    return result


def deconv4x4(x: mx.array, weight: mx.array) -> mx.array:
    """As plain.deconv4x4, a band of rows at a time."""
    batch, height, width, _ = x.shape
    result, out = _new((batch, 2 * height, 2 * width, weight.shape[0] // 4))
    phases = out.reshape(batch, height, 2, width, 2, -1)

    def keep(image: int, rows: slice, product: np.ndarray) -> None:
        windows = product.reshape(*product.shape[:2], 2, 2, -1)  # (rows, W + 1, 2, 2, out)
        for a in (0, 1):
            # Window r serves row r - a of phase a: see layers.Deconv.
            first, last = max(rows.start - a, 0), min(rows.stop - a, height)
            for b in (0, 1):
                phases[image, first:last, a, :, b] = windows[
                    first + a - rows.start : last + a - rows.start, b : b + width, a, b
                ]

    _convolve(x, weight, padding=1, done=keep)
    return result


def _convolve(x: mx.array, weight: mx.array, padding: int, done: Callable[[int, slice, np.ndarray], None]) -> None:
    """k x k convolution, stride 1, of x (B, H, W, C) with weight (O, k, k, C), in bands of rows on all threads.

    done(image, rows, product) is called for each band with its rows of the output and their values (rows, W', O), which
    are overwritten by the next band.
    """
    kernel, (batch, height, width, channels) = weight.shape[1], x.shape
    out_height, out_width = (size + 2 * padding - kernel + 1 for size in (height, width))
    columns = np.ascontiguousarray(_view(weight).reshape(weight.shape[0], -1).T)  # (k k C, O)
    padded = np.zeros((batch, height + 2 * padding, width + 2 * padding, channels), np.float32)
    padded[:, padding : padding + height, padding : padding + width] = _view(x)
    step = max(1, UNFOLDED_VALUES // (len(columns) * out_width))

    def part(item: tuple[int, slice]) -> None:
        image, share = item
        unfolded = np.empty((step, out_width, kernel, kernel, channels), np.float32)
        product = np.empty((step, out_width, weight.shape[0]), np.float32)
        for rows in _cut(share, step):
            count = rows.stop - rows.start
            for dy in range(kernel):
                for dx in range(kernel):
                    unfolded[:count, :, dy, dx] = padded[image, rows.start + dy : rows.stop + dy, dx : dx + out_width]
            flat = unfolded[:count].reshape(count * out_width, -1)
            np.matmul(flat, columns, out=product[:count].reshape(count * out_width, -1))
            done(image, rows, product[:count])

    with blas.one_thread():
        shares = _cut(slice(0, out_height), -(-out_height // processors()))
        _each(part, [(image, share) for image in range(batch) for share in shares])


def depthwise5x5(x: mx.array, weight: mx.array) -> mx.array:
    """As plain.depthwise5x5, as 25 shifted products: a third of the time (31 ms against 98 at 160 x 160 x 48)."""
    _, height, width, _ = x.shape
    padded = mx.pad(x, [(0, 0), (2, 2), (2, 2), (0, 0)])
    y = mx.zeros_like(x)
    for dy in range(5):
        for dx in range(5):
            y = y + padded[:, dy : dy + height, dx : dx + width] * weight[:, dy, dx, 0]
    return y


def batch_norm(
    x: mx.array, weight: mx.array, bias: mx.array, mean: mx.array, variance: mx.array, eps: float
) -> mx.array:
    """As plain.batch_norm, in float64, rounded once: sixty in a row make much of float32 rounding; this halves it."""
    wide = mx.float64
    scale = weight.astype(wide) * mx.rsqrt(variance.astype(wide) + eps)
    return (x * scale + (bias.astype(wide) - mean.astype(wide) * scale)).astype(x.dtype)


def quantized_linear(x: mx.array, weight: mx.array, scales: mx.array, biases: mx.array | None, **level) -> mx.array:
    """As plain.quantized_linear: unpack the weight, then a dense product. Packed products are 70 times slower here.

    For a single row they would be faster, by milliseconds; only the pointmap's scale branch has one.
    """
    rows, columns = weight.shape[0], x.shape[-1]
    unpacked = _scratch(rows * columns).reshape(rows, columns)
    out, packed = np.array(unpacked, copy=False), np.array(weight, copy=False)
    codes = scales.dtype == mx.uint8
    scale_view = np.array(scales, copy=False) if codes else _view(scales)
    bias_view = None if biases is None else _view(biases)

    def band(part: slice) -> None:
        unpack(packed[part], scale_view[part], None if bias_view is None else bias_view[part], out[part], **level)

    _each(band, _bands(rows, columns))
    y = x @ unpacked.T
    mx.eval(y)  # before the next layer is unpacked into the same memory
    return y


_kept = threading.local()


def forget() -> None:
    """Lets go of this thread's memory for unpacking, which would stay as large as the largest layer so far needed."""
    _kept.memory = None


def _scratch(count: int) -> mx.array:
    """`count` float32 values to write into, for one layer at a time: the same memory again for each, since fresh pages
    cost more than unpacking does (24 ms against 10 for 8192 x 1024). It grows to the largest layer's size, and
    stays until forget()."""
    memory = getattr(_kept, "memory", None)
    if memory is None or memory.size < count:
        memory = _kept.memory = mx.zeros((count,))
    part = memory[:count]
    mx.eval(part)
    return part
