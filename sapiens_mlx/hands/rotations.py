"""Rotation matrices as axis times angle, also near half a turn, where wilor-mlx's own way has no axis any more."""

import mlx.core as mx

_LEAST_SINE = 1e-6


def rotvec(rotations: mx.array) -> mx.array:
    """Axis times angle (..., 3) in radians, of 0 to pi, of rotation matrices (..., 3, 3).

    With the axis a and the angle t, R - R^T holds 2 sin(t) a, and R + R^T is 2 cos(t) I + 2 (1 - cos(t)) a a^T: the
    first tells the axis up to a quarter turn, and from there on the second, whose sign is the first's.
    """
    turned = mx.swapaxes(rotations, -1, -2)
    skew, even = rotations - turned, (rotations + turned) / 2
    sines = mx.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], -1) / 2  # the axis times the sine
    sine = mx.linalg.norm(sines, axis=-1, keepdims=True)
    identity = mx.eye(3)
    cosine = (mx.sum(even * identity, axis=(-1, -2))[..., None] - 1) / 2
    angle = mx.arctan2(sine, cosine)  # (..., 1)

    outer = even - cosine[..., None] * identity  # (1 - cos) a a^T, each of whose columns is a multiple of the axis
    longest = mx.argmax(mx.sum(outer * identity, axis=-1), axis=-1)[..., None] == mx.arange(3)
    column = mx.sum(outer * longest[..., None, :], axis=-1)
    axis = column / mx.maximum(mx.linalg.norm(column, axis=-1, keepdims=True), _LEAST_SINE)
    forwards = mx.where(mx.sum(axis * sines, axis=-1, keepdims=True) < 0, -1.0, 1.0)

    by_sine = sines * mx.where(sine < _LEAST_SINE, 1.0, angle / mx.maximum(sine, _LEAST_SINE))
    return mx.where(cosine < 0, forwards * axis * angle, by_sine)
