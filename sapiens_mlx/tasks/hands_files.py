"""Hands as files for other programs: named joints as JSON, shaded meshes as GLB, plain ones as OBJ."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..files import write_bytes, writing
from ..hands import camera
from . import gltf
from .hands_mesh import SIDE_RGB, normals, shade
from .scene import TO_GLTF, linear

if TYPE_CHECKING:
    from .hands import HandsResult

# The network's camera has a very long lens, which would put hands tens of metres away, and two hands that differ by a
# few percent in size metres apart. In a scene they are as far as a lens whose focal length is the photo's longer side
# would have them: an arm's length.
SCENE_FOCAL = 1.0


def to_json(result: "HandsResult") -> dict[str, Any]:
    """Pixels of the photo, millimetres, radians.

    {"photo_size": {"width", "height"}, "camera": {"focal_px", "centre_xy"}, "units", "joint_names": [21 names],
     "links": [20 pairs of indices], "hands": [{"side", "score", "box_xyxy", "joints": [21 of {"name", "x", "y", "x_mm",
     "y_mm", "z_mm", and where a detector found them "detected_x", "detected_y", "detected_score"}], "translation_mm",
     "crop": {"centre_xy", "side_px", "camera": [3 numbers]}, "pose": [16 of 3], "shape": [10]}]}
    """
    from .hands import JOINTS, LINKS

    height, width = result.photo_rgb.shape[:2]
    return {
        "photo_size": {"width": width, "height": height},
        "camera": {
            "focal_px": round(result.focal_px, 3),
            "centre_xy": _rounded(camera.centre_xy((height, width)), 3),
        },
        "units": "x, y: pixels of the photo; millimetres: x right, y down, z away from the camera; radians",
        "joint_names": list(JOINTS),
        "links": [list(link) for link in LINKS],
        "hands": [_hand(result, number) for number in range(len(result))],
    }


def _hand(result: "HandsResult", number: int) -> dict[str, Any]:
    from .hands import JOINTS

    joints = [
        {"name": name}
        | dict(zip(("x", "y"), _rounded(flat, 3), strict=True))
        | dict(zip(("x_mm", "y_mm", "z_mm"), _rounded(space, 3), strict=True))
        for name, flat, space in zip(JOINTS, result.keypoints_xy[number], result.keypoints_3d[number], strict=True)
    ]
    if result.detected_xy is not None and result.detected_scores is not None:
        for joint, (x, y), score in zip(
            joints, result.detected_xy[number], result.detected_scores[number], strict=True
        ):
            joint |= {"detected_x": round(float(x), 3), "detected_y": round(float(y), 3)}
            joint["detected_score"] = round(float(score), 6)
    return {
        "side": result.sides[number],
        "score": round(float(result.scores[number]), 6),
        "box_xyxy": _rounded(result.boxes_xyxy[number], 3),
        "joints": joints,
        "translation_mm": _rounded(result.translations_mm[number], 3),
        "crop": {
            "centre_xy": _rounded(result.centres_xy[number], 3),
            "side_px": round(float(result.crops_px[number]), 3),
            "camera": _rounded(result.cameras[number], 6),
        },
        "pose": [_rounded(rotation, 6) for rotation in result.mano_pose[number]],
        "shape": _rounded(result.mano_shape[number], 6),
    }


def scene_vertices_m(result: "HandsResult") -> np.ndarray:
    """(N, 778, 3) float32 metres in the camera's axes, as far away as an ordinary lens would have them."""
    other = SCENE_FOCAL * max(result.photo_rgb.shape[:2])
    places = camera.with_focal(result.translations_mm / np.float32(1000), result.focal_px, other)
    return result.own_vertices_m + places[:, None]


def faces_of(result: "HandsResult", number: int) -> np.ndarray:
    """(F, 3): corners of the triangles, anticlockwise from outside, which a mirrored hand has the other way round."""
    return result.faces if result.sides[number] == "right" else result.faces[:, ::-1]


def write_glb(
    path: str | Path, result: "HandsResult", recoloured: Callable[[np.ndarray], np.ndarray] | None = None
) -> Path:
    """Every hand as a mesh in the colour of its side, with the light of its picture, in metres; y is up.

    `recoloured` may change the colours (V, 3) uint8 for a viewer that has its own way with them.
    """
    primitives = []
    for number, vertices in enumerate(scene_vertices_m(result)):
        faces = faces_of(result, number)
        shaded = shade(normals(vertices, faces), np.array(SIDE_RGB[result.sides[number]], np.float32))
        colours = np.clip(np.rint(shaded), 0, 255).astype(np.uint8)
        if recoloured is not None:
            colours = recoloured(colours)
        attributes = {
            "POSITION": np.ascontiguousarray(vertices * TO_GLTF),
            "COLOR_0": linear()[colours],
        }
        primitives.append(gltf.Primitive(attributes, np.ascontiguousarray(faces, np.uint32)))
    with writing(path) as partial, partial.open("wb") as file:
        file.writelines(gltf.binary(primitives))
    return Path(path)


def write_obj(path: str | Path, result: "HandsResult") -> Path:
    """Every hand as an object of its own, in millimetres: x right, y up, z towards the camera."""
    lines = ["# millimetres: x right, y up, z towards the camera"]
    before = 1
    for number, vertices in enumerate(scene_vertices_m(result)):
        lines.append(f"o {result.sides[number]}_hand_{number + 1}")
        lines += [f"v {x:.4f} {y:.4f} {z:.4f}" for x, y, z in 1000 * vertices * TO_GLTF]
        lines += [f"f {a} {b} {c}" for a, b, c in faces_of(result, number) + before]
        before += len(vertices)
    return write_bytes(path, "\n".join([*lines, ""]).encode())


def _rounded(values: np.ndarray, digits: int) -> list[float]:
    return [round(float(value), digits) for value in values]
