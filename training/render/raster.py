"""Triangles to samples: which triangle each sample sees, and the vertices' values there, in NumPy.

Sample coordinates: the centre of sample (row, column) lies at y = row, x = column."""

import numpy as np

_CHUNK = 40_000  # triangles at a time, to bound the memory of their fragments
_DEPTH_STEPS = np.float64(1 << 34)


def visible_triangles(
    xy: np.ndarray, inverse_depth: np.ndarray, triangles: np.ndarray, two_sided: np.ndarray, size_hw: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """A z-buffer.

    Args:
        xy: (V, 2) float32 sample coordinates of the vertices.
        inverse_depth: (V,) float32, 1 / metres, at most 16; 0 for vertices behind the camera, whose triangles are
            left out.
            Any quantity that is affine on the screen and grows towards the viewer will do.
        triangles: (T, 3) int32, counter-clockwise in a picture whose y points up.
        two_sided: (T,) bool; others are left out where they face away.

    Returns:
        Index of the nearest triangle (H, W) int32, -1 for none, and its inverse depth (H, W) float32, 0 for none.
    """
    height, width = size_hw
    buffer = np.full(height * width, -1, np.int64)
    corners = np.ascontiguousarray(triangles.T)
    x, y, near = xy[:, 0][corners], xy[:, 1][corners], inverse_depth[corners]  # each (3, T)
    area = (x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0])
    keep = (near.min(0) > 0) & (np.abs(area) > 1e-7) & (two_sided | (area < 0))
    keep &= (x.max(0) >= 0) & (x.min(0) <= width - 1) & (y.max(0) >= 0) & (y.min(0) <= height - 1)
    index = np.flatnonzero(keep)
    for part in np.array_split(index, max(1, -(-len(index) // _CHUNK))):
        _draw(buffer, part, x[:, part], y[:, part], near[:, part], height, width)
    buffer = buffer.reshape(height, width)
    found = buffer >= 0
    which = np.where(found, buffer & 0xFFFFFF, -1).astype(np.int32)
    return which, np.where(found, (buffer >> 24) / _DEPTH_STEPS, 0).astype(np.float32)


def _draw(
    buffer: np.ndarray, index: np.ndarray, x: np.ndarray, y: np.ndarray, near: np.ndarray, height: int, width: int
) -> None:
    order = np.argsort(y, 0)
    (x0, x1, x2), (y0, y1, y2), (n0, n1, n2) = (np.take_along_axis(a, order, 0) for a in (x, y, near))
    twice = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    slope_x = ((n1 - n0) * (y2 - y0) - (n2 - n0) * (y1 - y0)) / twice
    slope_y = ((n2 - n0) * (x1 - x0) - (n1 - n0) * (x2 - x0)) / twice
    long, upper, lower = (
        run / np.maximum(rise, 1e-6) for run, rise in ((x2 - x0, y2 - y0), (x1 - x0, y1 - y0), (x2 - x1, y2 - y1))
    )
    first = np.ceil(np.maximum(y0, 0)).astype(np.int32)
    rows = np.maximum(np.floor(np.minimum(y2, height - 1)).astype(np.int32) - first + 1, 0)
    which, row = _expand(rows, first)
    edge = x0[which] + (row - y0[which]) * long[which]
    other = np.where(
        row < y1[which], x0[which] + (row - y0[which]) * upper[which], x1[which] + (row - y1[which]) * lower[which]
    )
    left = np.ceil(np.maximum(np.minimum(edge, other), 0)).astype(np.int32)
    columns = np.floor(np.minimum(np.maximum(edge, other), width - 1)).astype(np.int32) - left + 1
    start = n0[which] + (row - y0[which]) * slope_y[which] - x0[which] * slope_x[which]
    span, column = _expand(np.maximum(columns, 0), left)
    if not len(span):
        return
    depth = start[span] + column * slope_x[which][span]
    # steep slivers extrapolate: no fragment is nearer or farther than its triangle
    np.clip(depth, near.min(0)[which][span], near.max(0)[which][span], out=depth)
    key = (depth * _DEPTH_STEPS).astype(np.int64) << 24
    key |= index[which][span]
    np.maximum.at(buffer, (row * width)[span] + column, key)


def _expand(counts: np.ndarray, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For runs of `counts` integers from `first`: the run each belongs to, and the integer."""
    run = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    begin = np.cumsum(counts) - counts
    return run, np.arange(len(run), dtype=np.int32) + (first - begin.astype(np.int32))[run]


def corner_weights(
    xy: np.ndarray, inverse_depth: np.ndarray, corners: np.ndarray, column: np.ndarray, row: np.ndarray
) -> np.ndarray:
    """Perspective-correct weights (N, 3) float32, each row summing to 1, of the corners (N, 3) of the triangles seen
    at the samples `column`, `row` (N,)."""
    turned = np.ascontiguousarray(corners.T)
    x = xy[:, 0][turned] - column.astype(np.float32)  # (3, N)
    y = xy[:, 1][turned] - row.astype(np.float32)
    weights = np.stack([x[(i + 1) % 3] * y[(i + 2) % 3] - x[(i + 2) % 3] * y[(i + 1) % 3] for i in range(3)])
    weights /= weights.sum(0)
    np.clip(weights, 0, 1, out=weights)  # samples on an edge may lie outside by rounding
    weights *= inverse_depth[turned]
    weights /= weights.sum(0)
    return np.ascontiguousarray(weights.T)


def at_samples(values: np.ndarray, corners: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Vertex values (V, C) at the samples, (N, C) float32."""
    result = values[corners[:, 0]] * weights[:, :1]
    result += values[corners[:, 1]] * weights[:, 1:2]
    result += values[corners[:, 2]] * weights[:, 2:]
    return result
