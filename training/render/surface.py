"""Closed triangle meshes out of smoothly joined solids: signed distances of rounded cones and ellipsoids, their smooth
union, and the surface where it is zero (surface nets). Bodies, heads, hands and feet are modelled so, once."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np


@dataclass(frozen=True)
class Cone:
    """A rounded cone (two spheres and what lies between) of one bone. Positions and radii in metres."""

    start: tuple[float, float, float]
    end: tuple[float, float, float]
    radius_start: float
    radius_end: float
    bone: str = ""

    def distance(self, points: np.ndarray) -> np.ndarray:
        start = np.float32(self.start)
        axis = np.float32(self.end) - start
        offset = points - start
        along = np.clip(offset @ axis / max(float(axis @ axis), 1e-9), 0, 1)
        offset -= along[..., None] * axis
        return np.sqrt(np.einsum("...i,...i", offset, offset)) - (
            self.radius_start + along * np.float32(self.radius_end - self.radius_start)
        )

    def mirrored(self, bone: str) -> "Cone":
        flip = (-1, 1, 1)
        ends = (tuple(float(a * b) for a, b in zip(end, flip, strict=True)) for end in (self.start, self.end))
        return Cone(*ends, self.radius_start, self.radius_end, bone)


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid with axes along x, y, z, of one bone. Centre and radii in metres."""

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    bone: str = ""

    def distance(self, points: np.ndarray) -> np.ndarray:
        """First-order distance: exact on the surface, good near it."""
        offset = (points - np.float32(self.centre)) / np.float32(self.radii)
        length = np.sqrt(np.einsum("...i,...i", offset, offset)) + np.float32(1e-6)
        offset /= np.float32(self.radii)
        slope = np.sqrt(np.einsum("...i,...i", offset, offset)) + np.float32(1e-6)
        return length * (length - 1) / slope

    def mirrored(self, bone: str) -> "Ellipsoid":
        x, y, z = self.centre
        return Ellipsoid((-x, y, z), self.radii, bone)


Solid = Cone | Ellipsoid


@dataclass(frozen=True)
class Mesh:
    """`vertices` (V, 3) float32 metres; `triangles` (T, 3) int32, counter-clockwise seen from outside."""

    vertices: np.ndarray
    triangles: np.ndarray

    def mirrored(self) -> "Mesh":
        """Its mirror image in the plane x = 0, still facing outward."""
        return Mesh(self.vertices * np.float32([-1, 1, 1]), self.triangles[:, ::-1])


def distances(solids: Sequence[Solid], points: np.ndarray) -> np.ndarray:
    """Signed distance of each point to each solid, (..., S) float32, negative inside."""
    return np.stack([solid.distance(points) for solid in solids], -1)


def smooth_union(each: np.ndarray, softness: float) -> np.ndarray:
    """-k log sum exp(-d / k): the union of all solids with joints rounded over about `softness` metres."""
    nearest = each.min(-1)
    return nearest - softness * np.log(np.exp((nearest[..., None] - each) / softness).sum(-1))


def model(solids: Sequence[Solid], softness: float, step: float, carve: Sequence[Solid] = ()) -> Mesh:
    """The surface of the smooth union of `solids`, less `carve`, on a grid of `step` metres."""

    def field(points: np.ndarray) -> np.ndarray:
        value = smooth_union(distances(solids, points), softness)
        for hollow in carve:
            value = -smooth_union(np.stack([-value, hollow.distance(points)], -1), softness)
        return value

    reach = 1.5 * step + softness
    lows, highs = [], []
    for solid in solids:
        if isinstance(solid, Cone):
            ends, radius = np.array([solid.start, solid.end]), max(solid.radius_start, solid.radius_end)
        else:
            ends, radius = np.array([solid.centre, solid.centre]), np.array(solid.radii)
        lows.append(ends.min(0) - radius - reach)
        highs.append(ends.max(0) + radius + reach)
    low, high = np.min(lows, 0), np.max(highs, 0)
    axes = [np.arange(a, b + step, step, dtype=np.float32) for a, b in zip(low, high, strict=True)]
    values = np.stack([field(np.stack(np.meshgrid([x], *axes[1:], indexing="ij"), -1))[0] for x in axes[0]])
    mesh = surface_nets(values, low.astype(np.float32), step)
    vertices = mesh.vertices
    for _ in range(2):  # onto the surface itself: Newton steps along the gradient
        value = field(vertices)
        gradient = np.stack([field(vertices + np.float32(1e-3) * axis) for axis in np.eye(3, dtype=np.float32)], -1)
        gradient = (gradient - value[:, None]) / np.float32(1e-3)
        move = gradient * (value / np.maximum((gradient**2).sum(-1), 0.3))[:, None]
        vertices = vertices - np.clip(move, -step / 2, step / 2)
    return Mesh(vertices, mesh.triangles)


def surface_nets(values: np.ndarray, origin: np.ndarray, step: float) -> Mesh:
    """Naive surface nets (Gibson 1998): a vertex in every mixed cell, a quad across every edge that changes sign.

    Args:
        values: (X, Y, Z) signed distances on the grid, negative inside, positive on its border.
        origin: position of values[0, 0, 0].
    """
    shape = np.array(values.shape)
    corners = np.array(list(product((0, 1), repeat=3)))
    at = [values[tuple(slice(c, n - 1 + c) for c, n in zip(corner, shape, strict=True))] for corner in corners]
    inside = sum((a < 0).astype(np.int8) for a in at)
    mixed = (inside > 0) & (inside < 8)
    number = np.full(mixed.shape, -1, np.int32)
    number[mixed] = np.arange(mixed.sum())
    each = np.stack([a[mixed] for a in at], -1)  # (V, 8)
    total, count = np.zeros((len(each), 3), np.float32), np.zeros((len(each), 1), np.float32)
    for p, q in product(range(8), repeat=2):
        if p < q and abs(corners[p] - corners[q]).sum() == 1:
            a, b = each[:, p], each[:, q]
            crossing = ((a < 0) != (b < 0))[:, None]
            share = np.where(crossing[:, 0], a / np.where(a == b, 1, a - b), 0)[:, None]
            total += crossing * (corners[p] + share * (corners[q] - corners[p])).astype(np.float32)
            count += crossing
    vertices = origin + np.float32(step) * (np.argwhere(mixed) + total / count)
    quads = []
    negative = values < 0
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        first, second = [slice(1, -1)] * 3, [slice(1, -1)] * 3
        first[axis], second[axis] = slice(None, -1), slice(1, None)
        start, stop = negative[tuple(first)], negative[tuple(second)]
        for leaving in (True, False):
            cells = np.argwhere((start != stop) & (start == leaving))
            cells[:, u] += 1
            cells[:, v] += 1
            around = []
            for du, dv in ((-1, -1), (0, -1), (0, 0), (-1, 0)):
                cell = cells.copy()
                cell[:, u] += du
                cell[:, v] += dv
                around.append(number[tuple(cell.T)])
            quad = np.stack(around, -1)
            quads.append(quad if leaving else quad[:, ::-1])
    quad = np.concatenate(quads)
    return Mesh(vertices.astype(np.float32), np.concatenate([quad[:, [0, 1, 2]], quad[:, [0, 2, 3]]]).astype(np.int32))


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., 3) made one long; much faster than by np.linalg.norm, which loops over the short axis."""
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    return vectors / (np.sqrt(x * x + y * y + z * z) + np.float32(1e-12))[..., None]


def vertex_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Unit normals (V, 3) float32, each the mean of the adjoining triangles' by area."""
    corner = vertices[triangles]  # (T, 3, 3)
    flat = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    index = triangles.T.ravel()
    total = np.stack([np.bincount(index, np.tile(flat[:, i], 3), len(vertices)) for i in range(3)], -1)
    return unit(total).astype(np.float32)


def smoothed(values: np.ndarray, triangles: np.ndarray, rounds: int) -> np.ndarray:
    """Values (V, C) at the vertices, averaged `rounds` times with their neighbours'."""
    a = np.concatenate([triangles[:, i] for i in (0, 1, 2, 1, 2, 0)])
    b = np.concatenate([triangles[:, i] for i in (1, 2, 0, 0, 1, 2)])
    degree = np.bincount(a, minlength=len(values))[:, None]
    for _ in range(rounds):
        mean = np.stack([np.bincount(a, column[b], len(values)) for column in values.T], -1) / degree
        values = 0.5 * values + 0.5 * mean
    return values.astype(np.float32)
