"""A pointmap as files for other programs: a point cloud (PLY or GLB), and a GLB mesh that carries a picture.

All take every n-th row and column, so that they stay within a number of points whatever the photo's size. GLB has y up
and the camera at the origin looking to -z.
"""

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import SapiensError
from ..files import writing
from ..image import shrink
from . import gltf
from .agreement import bands

# Where a surface would lie steeper than about 80 degrees to the line of sight it is an edge between two things,
# drawn out by interpolation, and is cut: depth changes by more than this many times the distance across.
STEEPEST = 6.0
TEXTURE_PX = 2048

TO_GLTF = np.array([1, -1, -1], np.float32)


def write_ply(path: str | Path, points_m: np.ndarray, colours_rgb: np.ndarray, keep: np.ndarray, most: int) -> Path:
    """Write a binary PLY point cloud: x right, y down, z away from the camera, in metres.

    Args:
        points_m: (H, W, 3) float32.
        colours_rgb: (H, W, 3) uint8: the photo, or another picture of its size.
        keep: (H, W) bool, the pixels worth writing.
        most: the largest number of points.
    """
    rows, columns = _thin(keep, most)
    header = ["ply", "format binary_little_endian 1.0", "comment metres: x right, y down, z away from the camera"]
    header += [f"element vertex {np.count_nonzero(keep[rows, columns])}"]
    header += [f"property float {axis}" for axis in "xyz"]
    header += [f"property uchar {colour}" for colour in ("red", "green", "blue")]
    with writing(path) as partial, partial.open("wb") as file:
        file.write("\n".join([*header, "end_header\n"]).encode())
        for some in bands(len(rows)):
            band = rows[some], columns
            kept = keep[band]
            vertices = np.empty(np.count_nonzero(kept), [("xyz", "<f4", 3), ("rgb", "u1", 3)])
            vertices["xyz"] = points_m[band][kept]
            vertices["rgb"] = colours_rgb[band][kept]
            file.write(vertices.data)
    return Path(path)


def write_glb(
    path: str | Path,
    points_m: np.ndarray,
    colours_rgb: np.ndarray,
    keep: np.ndarray,
    focal_px: float,
    most: int,
    centre_m: float | None = None,
) -> Path:
    """Write a GLB mesh with a picture as its texture, cut at depth edges.

    Args:
        points_m, colours_rgb, keep: as for write_ply().
        focal_px: of the photo, which tells how far neighbouring points are apart when nothing jumps.
        most: the largest number of vertices.
        centre_m: in front of the camera, the middle of the scene for viewers that put it there: see _around().
    """
    rows, columns = grid = _thin(keep, most)
    height, width = keep.shape
    step_px = max(height / len(rows), width / columns.size)
    faces = _faces(points_m[..., 2][grid], keep[grid], STEEPEST * step_px / max(abs(focal_px), 1e-6))
    used = np.zeros((rows.size, columns.size), bool)  # vertices without a face are left out
    used.ravel()[faces] = True
    faces = (np.cumsum(used, dtype=np.uint32) - 1)[faces]
    v, u = (np.broadcast_to(axis, used.shape)[used] for axis in grid)
    uv = np.stack([(u.astype(np.float32) + 0.5) / width, (v.astype(np.float32) + 0.5) / height], axis=-1)
    texture = cv2.imencode(".jpg", shrink(colours_rgb, TEXTURE_PX)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
    mesh = gltf.Primitive({"POSITION": points_m[v, u] * TO_GLTF, "TEXCOORD_0": uv}, faces)
    return _write_glb(path, mesh, centre_m, texture.tobytes())


def write_glb_points(
    path: str | Path,
    points_m: np.ndarray,
    colours_rgb: np.ndarray,
    keep: np.ndarray,
    most: int,
    centre_m: float | None = None,
) -> Path:
    """Write a GLB point cloud, of the very points that write_ply() writes. Arguments as of write_glb()."""
    grid = _thin(keep, most)
    kept = keep[grid]
    colours = linear()[colours_rgb[grid][kept]]
    cloud = gltf.Primitive({"POSITION": points_m[grid][kept] * TO_GLTF, "COLOR_0": colours}, mode=gltf.POINTS)
    return _write_glb(path, cloud, centre_m)


def _write_glb(path: str | Path, shown: gltf.Primitive, centre_m: float | None, jpeg: bytes | None = None) -> Path:
    primitives = [shown] if len(shown.attributes["POSITION"]) else []
    if primitives and centre_m is not None:
        primitives.append(_around(shown, centre_m))
    with writing(path) as partial, partial.open("wb") as file:
        file.writelines(gltf.binary(primitives, jpeg))
    return Path(path)


def _around(shown: gltf.Primitive, centre_m: float) -> gltf.Primitive:
    """A triangle without area, which cannot be seen, and makes the bounds symmetric about a point on the line of sight.

    Viewers, the page's among them, look at the middle of the bounds and turn about it. With this it lies straight ahead
    of the camera that took the photo, so that looking along -z is looking as that camera did.
    """
    positions = shown.attributes["POSITION"]
    centre = np.array([0, 0, -centre_m], np.float32)
    reach = np.maximum(positions.max(0) - centre, centre - positions.min(0))
    corners = np.stack([centre - reach, centre + reach, centre - reach])
    blank = {name: np.zeros((3, values.shape[1]), np.float32) for name, values in shown.attributes.items()}
    return gltf.Primitive(blank | {"POSITION": corners})


def linear() -> np.ndarray:
    """(256,) float32: sRGB as linear light, 0..1, which colours of vertices are in glTF."""
    return to_linear(np.arange(256) / 255).astype(np.float32)


def to_linear(values: np.ndarray) -> np.ndarray:
    """sRGB of any shape as linear light, both 0..1."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _thin(keep: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Evenly spaced rows (r, 1) and columns (1, c) with at most `most` kept pixels on them, as an index."""
    if most < 1:
        raise SapiensError(f"The number of points is {most}. Give 1 or more.")
    share = min(1.0, (most / max(1, int(np.count_nonzero(keep)))) ** 0.5)
    while True:
        rows, columns = (
            ((np.arange(count := max(1, int(size * share))) + 0.5) * size / count).astype(np.intp)
            for size in keep.shape
        )
        grid = np.ix_(rows, columns)
        if np.count_nonzero(keep[grid]) <= most:
            return grid
        share *= 0.99


def _faces(depth_m: np.ndarray, keep: np.ndarray, largest_jump: float) -> np.ndarray:
    """Two triangles a grid cell as (F, 3) indices into the flat grid, anticlockwise for the camera once y points up.

    A triangle needs three kept corners, whose farthest is at most `1 + largest_jump` times as far as the nearest.
    """
    index = np.arange(depth_m.size, dtype=np.int32).reshape(depth_m.shape)
    a, b, c, d = np.s_[:-1, :-1], np.s_[:-1, 1:], np.s_[1:, :-1], np.s_[1:, 1:]
    triangles: tuple[tuple[Any, ...], ...] = (a, c, b), (b, c, d)
    good = []
    for corners in triangles:
        z = [depth_m[corner] for corner in corners]
        near, far = np.minimum(np.minimum(z[0], z[1]), z[2]), np.maximum(np.maximum(z[0], z[1]), z[2])
        good.append(keep[corners[0]] & keep[corners[1]] & keep[corners[2]] & (far <= (1 + largest_jump) * near))
    first, second = map(np.count_nonzero, good)
    faces = np.empty((first + second, 3), np.int32)
    for corners, there, place in zip(triangles, good, (faces[:first], faces[first:]), strict=True):
        for number, corner in enumerate(corners):
            place[:, number] = index[corner][there]
    return faces
