"""Arrays as a glTF 2.0 binary (GLB): triangles or points in one unlit, two-sided material, with or without picture."""

import json
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

POINTS, TRIANGLES = 0, 4  # modes
FLOAT, UINT32 = 5126, 5125  # component types
VERTICES, INDICES = 34962, 34963  # buffer targets
TYPES = {2: "VEC2", 3: "VEC3"}

Part = bytes | memoryview


@dataclass(frozen=True)
class Primitive:
    """`attributes` are (N, 2) or (N, 3) float32 by glTF's names, POSITION among them; `faces` (F, 3) of 32 bit.

    COLOR_0 is linear light, 0..1, as glTF has it.
    """

    attributes: dict[str, np.ndarray]
    faces: np.ndarray | None = None
    mode: int = TRIANGLES


def binary(primitives: list[Primitive], jpeg: bytes | None = None) -> list[Part]:
    """One mesh of all primitives as the parts of a file in their order; an empty scene where there is none.

    In one piece they would be 44 MB for a million points, several times over. `jpeg` is the picture that TEXCOORD_0 is
    of; without one, the colour of the vertices is all there is.
    """
    document: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": "sapiens-mlx"},
        "scene": 0,
        "scenes": [{"nodes": []}],
    }
    if not primitives:
        return _file(document, [])
    buffer = _Buffer()
    meshes = [{"primitives": [buffer.primitive(one) for one in primitives]}]
    picture: dict[str, Any] = {}
    surface: dict[str, Any] = {"metallicFactor": 0}
    if jpeg is not None:
        surface = {"baseColorTexture": {"index": 0}} | surface
        picture = {
            "textures": [{"source": 0, "sampler": 0}],
            "samplers": [{"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}],  # linear, clamped
            "images": [{"bufferView": buffer.add(jpeg), "mimeType": "image/jpeg"}],
        }
    document |= {
        "extensionsUsed": ["KHR_materials_unlit"],
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": meshes,
        "materials": [
            {"pbrMetallicRoughness": surface, "extensions": {"KHR_materials_unlit": {}}, "doubleSided": True}
        ],
        **picture,
        "accessors": buffer.accessors,
        "bufferViews": buffer.views,
        "buffers": [{"byteLength": buffer.length}],
    }
    return _file(document, buffer.parts)


class _Buffer:
    """The binary half of the file as it grows, and what the document says of it."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.length = 0
        self.views: list[dict[str, int]] = []
        self.accessors: list[dict[str, Any]] = []

    def add(self, data: Part, **target: int) -> int:
        """The index of a new view of `data`, padded to whole words."""
        length = memoryview(data).nbytes
        padding = b"\0" * (-length % 4)
        self.views.append({"buffer": 0, "byteOffset": self.length, "byteLength": length, **target})
        self.parts += [data, padding]
        self.length += length + len(padding)
        return len(self.views) - 1

    def primitive(self, one: Primitive) -> dict[str, Any]:
        """Its arrays in the buffer, and the entry that names them."""
        attributes = {name: self._attribute(name, values) for name, values in one.attributes.items()}
        entry: dict[str, Any] = {"attributes": attributes}
        if one.faces is not None:
            view = self.add(one.faces.data, target=INDICES)
            about = {"bufferView": view, "componentType": UINT32, "count": one.faces.size, "type": "SCALAR"}
            entry["indices"] = self._accessor(about)
        return entry | {"material": 0} | ({"mode": one.mode} if one.mode != TRIANGLES else {})

    def _attribute(self, name: str, values: np.ndarray) -> int:
        bounds = {"min": values.min(0).tolist(), "max": values.max(0).tolist()} if name == "POSITION" else {}
        view = self.add(values.data, target=VERTICES)
        about = {"bufferView": view, "componentType": FLOAT, "count": len(values), "type": TYPES[values.shape[1]]}
        return self._accessor(about | bounds)

    def _accessor(self, about: dict[str, Any]) -> int:
        self.accessors.append(about)
        return len(self.accessors) - 1


def _file(document: dict[str, Any], body: list[Part]) -> list[Part]:
    """The two chunks with their heads."""
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    head = struct.pack("<I4s", len(text), b"JSON") + text
    body_bytes = sum(memoryview(part).nbytes for part in body)
    if body:
        head += struct.pack("<I4s", body_bytes, b"BIN\0")
    return [struct.pack("<4sII", b"glTF", 2, 12 + len(head) + body_bytes), head, *body]
