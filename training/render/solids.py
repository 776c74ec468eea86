"""Meshes of simple things: boxes, balls, tubes, discs, grids. All face outward; metres."""

import numpy as np

from .surface import Mesh


def grid_mesh(points: np.ndarray, around: bool = False) -> Mesh:
    """A sheet through points (R, C, 3); `around` joins its last column to its first."""
    rows, columns = points.shape[:2]
    index = np.arange(rows * columns).reshape(rows, columns)
    if around:
        index = np.concatenate([index, index[:, :1]], 1)
    a, b, c, d = (
        index[r, s].ravel()
        for r, s in (
            (slice(-1), slice(-1)),
            (slice(-1), slice(1, None)),
            (slice(1, None), slice(1, None)),
            (slice(1, None), slice(-1)),
        )
    )
    triangles = np.concatenate([np.stack([a, d, c], -1), np.stack([a, c, b], -1)])
    return Mesh(points.reshape(-1, 3).astype(np.float32), triangles.astype(np.int32))


def ball(radii: np.ndarray | float, steps: int = 16) -> Mesh:
    """An ellipsoid about the origin."""
    polar, turn = np.meshgrid(
        np.linspace(0.001, np.pi - 0.001, steps), np.linspace(0, 2 * np.pi, 2 * steps, endpoint=False), indexing="ij"
    )
    points = np.stack([np.sin(polar) * np.sin(turn), np.cos(polar), np.sin(polar) * np.cos(turn)], -1)
    return grid_mesh(points * radii, around=True)


def tube(path: np.ndarray, radius: np.ndarray | float, sides: int = 8, closed: bool = False) -> Mesh:
    """A tube along points (N, 3); its radius may vary with the point."""
    along = np.roll(path, -1, 0) - np.roll(path, 1, 0)
    if not closed:
        along[0], along[-1] = path[1] - path[0], path[-1] - path[-2]
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    helper = np.array([0.0, 0, 1]) if abs(along[:, 2]).max() < 0.9 else np.array([0.31, 0.9, 0.3])
    side = np.cross(along, helper)
    side /= np.linalg.norm(side, axis=1, keepdims=True) + 1e-9
    up = np.cross(side, along)
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    circle = side[:, None] * np.cos(angle)[:, None] + up[:, None] * np.sin(angle)[:, None]
    points = path[:, None] + circle * np.broadcast_to(radius, len(path))[:, None, None]
    if closed:
        points = np.concatenate([points, points[:1]])
    return grid_mesh(points, around=True)


def box(size: np.ndarray, cells: int = 1) -> Mesh:
    """A box about the origin, its edges sharp: corners are not shared between faces."""
    half = np.asarray(size, float) / 2
    meshes = []
    s, t = np.meshgrid(np.linspace(-1, 1, cells + 1), np.linspace(-1, 1, cells + 1), indexing="ij")
    for axis in range(3):
        for sign in (1, -1):
            points = np.zeros((*s.shape, 3))
            points[..., axis] = sign
            points[..., (axis + 1) % 3], points[..., (axis + 2) % 3] = (t, s) if sign > 0 else (s, t)
            meshes.append(grid_mesh(points * half))
    return joined(meshes)


def joined(meshes: list[Mesh]) -> Mesh:
    """Several meshes as one."""
    begin = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes[:-1])])
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.triangles + np.int32(b) for mesh, b in zip(meshes, begin, strict=True)]),
    )
