"""The mesh of a hand as a picture: normals, light, and triangles painted from far to near."""

import cv2
import numpy as np

SIDE_RGB = {"left": (96, 165, 250), "right": (251, 146, 60)}  # of meshes, labels and rims: blue and orange
AMBIENT = 0.35  # the share of the light that comes from everywhere; the rest comes from the camera's upper left
LIGHT = np.array([-0.35, -0.45, -0.82], np.float32)  # towards it
COARSE_PX = 9.0  # triangles with longer sides are divided, so that their edges are not seen
MOST_DIVISIONS = 2
SUBPIXEL_BITS = 4  # of OpenCV's coordinates
FARTHEST_PX = 1e6  # what is painted farther off would leave OpenCV's numbers


def normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) float32 unit normals of vertices (V, 3), outwards where faces (F, 3) are anticlockwise from outside."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    of_faces = np.cross(b - a, c - a)  # longer for a larger triangle, which counts for more
    summed = np.zeros((len(vertices), 3), np.float64)
    for corner in range(3):
        np.add.at(summed, faces[:, corner], of_faces)
    lengths = np.linalg.norm(summed, axis=1, keepdims=True)
    return (summed / np.maximum(lengths, 1e-12)).astype(np.float32)


def shade(normals_xyz: np.ndarray, colour_rgb: np.ndarray) -> np.ndarray:
    """(N, 3) float32 0..255: the colour (3,) in the light, by unit normals (N, 3) in the camera's axes."""
    towards = LIGHT / np.linalg.norm(LIGHT)
    light = AMBIENT + (1 - AMBIENT) * np.clip(normals_xyz @ towards, 0, 1)
    return light[:, None] * colour_rgb


def paint(
    picture: np.ndarray, points_xy: np.ndarray, depths: np.ndarray, faces: np.ndarray, colours: np.ndarray
) -> None:
    """Triangles over a picture (H, W, 3) uint8, in place, near ones over far ones; those that face away are left out.

    Args:
        points_xy, depths: (V, 2) pixels and (V,), larger farther away.
        faces: (F, 3), anticlockwise from outside.
        colours: (V, 3) float32 0..255.
    """
    if not np.isfinite(points_xy).all() or np.abs(points_xy).max(initial=0) > FARTHEST_PX:
        return
    for _ in range(MOST_DIVISIONS):
        corners = points_xy[faces]
        if not len(faces) or np.abs(corners - np.roll(corners, 1, axis=1)).max(axis=(1, 2)).mean() <= COARSE_PX:
            break
        points_xy, depths, colours, faces = _divided(points_xy, depths, colours, faces)
    a, b, c = (points_xy[faces[:, corner]] for corner in range(3))
    (x1, y1), (x2, y2) = (b - a).T, (c - a).T
    faces = faces[x1 * y2 - x2 * y1 < 0]  # anticlockwise for the eye, where y points down
    faces = faces[np.argsort(-depths[faces].mean(1), kind="stable")]
    corners = np.rint(points_xy[faces] * 2**SUBPIXEL_BITS).astype(np.int32)
    mixed = np.rint(colours[faces].mean(1)).clip(0, 255).tolist()
    for triangle, colour in zip(corners, mixed, strict=True):
        cv2.fillConvexPoly(picture, triangle, colour, cv2.LINE_AA, SUBPIXEL_BITS)


def _divided(
    points_xy: np.ndarray, depths: np.ndarray, colours: np.ndarray, faces: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Four triangles for each, by the middles of its sides."""
    sides = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]], axis=-1).reshape(-1, 2)  # (3 F, 2)
    unique, which = np.unique(sides, axis=0, return_inverse=True)
    ab, bc, ca = (which.reshape(-1, 3) + len(points_xy)).T
    a, b, c = faces.T
    parts = [np.stack(corners, 1) for corners in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]

    def with_middles(values: np.ndarray) -> np.ndarray:
        return np.concatenate([values, values[unique].mean(1)])

    return with_middles(points_xy), with_middles(depths), with_middles(colours), np.concatenate(parts)
