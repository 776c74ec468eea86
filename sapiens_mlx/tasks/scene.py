"""A pointmap as files for other programs: a PLY point cloud, and a GLB mesh that carries the photo.

Both take every n-th row and column, so that they stay within a number of points whatever the photo's size.
"""

import json
import struct
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from ..errors import SapiensError
from ..files import writing
from ..image import shrink

# Where a surface would lie steeper than about 80 degrees to the line of sight it is an edge between two things,
# drawn out by interpolation, and is cut: depth changes by more than this many times the distance across.
STEEPEST = 6.0
TEXTURE_PX = 2048
BAND_ROWS = 128  # of points at once

FLOAT, UINT32 = 5126, 5125  # glTF component types
VERTICES, INDICES = 34962, 34963  # glTF buffer targets


def write_ply(path: str | Path, points_m: np.ndarray, photo_rgb: np.ndarray, keep: np.ndarray, most: int) -> Path:
    """Write a binary PLY point cloud: x right, y down, z away from the camera, in metres, with the photo's colours.

    Args:
        points_m: (H, W, 3) float32.
        photo_rgb: (H, W, 3) uint8.
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
        for top in range(0, len(rows), BAND_ROWS):
            band = rows[top : top + BAND_ROWS], columns
            kept = keep[band]
            vertices = np.empty(np.count_nonzero(kept), [("xyz", "<f4", 3), ("rgb", "u1", 3)])
            vertices["xyz"] = points_m[band][kept]
            vertices["rgb"] = photo_rgb[band][kept]
            file.write(vertices)
    return Path(path)


def write_glb(
    path: str | Path, points_m: np.ndarray, photo_rgb: np.ndarray, keep: np.ndarray, focal_px: float, most: int
) -> Path:
    """Write a GLB mesh with the photo as its texture, cut at depth edges; y up, the camera at the origin looking to -z.

    Args:
        points_m, photo_rgb, keep: as for write_ply().
        focal_px: of the photo, which tells how far neighbouring points are apart when nothing jumps.
        most: the largest number of vertices.
    """
    rows, columns = grid = _thin(keep, most)
    height, width = keep.shape
    step_px = max(height / len(rows), width / columns.size)
    faces = _faces(points_m[..., 2][grid], keep[grid], STEEPEST * step_px / max(abs(focal_px), 1e-6))
    used = np.zeros((rows.size, columns.size), bool)  # vertices without a face are left out
    used.ravel()[faces] = True
    faces = (np.cumsum(used, dtype=np.uint32) - 1)[faces]
    v, u = (np.broadcast_to(axis, used.shape)[used] for axis in grid)
    positions = points_m[v, u] * np.float32([1, -1, -1])
    uv = np.stack([(u.astype(np.float32) + 0.5) / width, (v.astype(np.float32) + 0.5) / height], axis=-1)
    texture = cv2.imencode(".jpg", shrink(photo_rgb, TEXTURE_PX)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
    with writing(path) as partial, partial.open("wb") as file:
        file.writelines(_glb(positions, uv, faces, texture.tobytes()))
    return Path(path)


def _thin(keep: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Evenly spaced rows (r, 1) and columns (1, c) with at most `most` kept pixels on them, as an index."""
    if most < 1:
        raise SapiensError(f"The number of points is {most}. Give 1 or more.")
    share = min(1.0, (most / max(1, np.count_nonzero(keep))) ** 0.5)
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
    triangles = (a, c, b), (b, c, d)
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


def _glb(positions: np.ndarray, uv: np.ndarray, faces: np.ndarray, jpeg: bytes) -> list[bytes | np.ndarray]:
    """One unlit, two-sided, textured mesh as a glTF 2.0 binary; an empty scene where there is no face.

    The parts of the file in their order: in one piece they would be 44 MB for a million points, several times over.
    """
    document: dict = {"asset": {"version": "2.0", "generator": "sapiens-mlx"}, "scene": 0, "scenes": [{"nodes": []}]}
    body: list[bytes | np.ndarray] = []
    body_bytes = 0
    if len(faces):
        chunks: Sequence[tuple[bytes | np.ndarray, dict]] = (
            (positions, {"target": VERTICES}),
            (uv, {"target": VERTICES}),
            (faces, {"target": INDICES}),
            (jpeg, {}),
        )
        views = []
        for data, target in chunks:
            length = memoryview(data).nbytes
            padding = b"\0" * (-length % 4)
            views.append({"buffer": 0, "byteOffset": body_bytes, "byteLength": length, **target})
            body += [data, padding]
            body_bytes += length + len(padding)
        bounds = {"min": positions.min(0).tolist(), "max": positions.max(0).tolist()}
        document |= {
            "extensionsUsed": ["KHR_materials_unlit"],
            "scenes": [{"nodes": [0]}],
            "nodes": [{"mesh": 0}],
            "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "TEXCOORD_0": 1}, "indices": 2, "material": 0}]}],
            "materials": [
                {
                    "pbrMetallicRoughness": {"baseColorTexture": {"index": 0}, "metallicFactor": 0},
                    "extensions": {"KHR_materials_unlit": {}},
                    "doubleSided": True,
                }
            ],
            "textures": [{"source": 0, "sampler": 0}],
            "samplers": [{"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}],  # linear, clamped
            "images": [{"bufferView": 3, "mimeType": "image/jpeg"}],
            "accessors": [
                {"bufferView": 0, "componentType": FLOAT, "count": len(positions), "type": "VEC3", **bounds},
                {"bufferView": 1, "componentType": FLOAT, "count": len(uv), "type": "VEC2"},
                {"bufferView": 2, "componentType": UINT32, "count": faces.size, "type": "SCALAR"},
            ],
            "bufferViews": views,
            "buffers": [{"byteLength": body_bytes}],
        }
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    head = struct.pack("<I4s", len(text), b"JSON") + text
    if body:
        head += struct.pack("<I4s", body_bytes, b"BIN\0")
    return [struct.pack("<4sII", b"glTF", 2, 12 + len(head) + body_bytes), head, *body]
