"""Bare feet, and shoes: meshes modelled once for the left side, in the body's rest frame, bending at the toes."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from .skeleton import BONES, INDEX
from .surface import Cone, Ellipsoid, Mesh, model, vertex_normals

_BARE = [
    Ellipsoid((0.109, 0.036, -0.040), (0.031, 0.036, 0.037)),
    Cone((0.110, 0.095, -0.017), (0.112, 0.046, 0.055), 0.033, 0.029),
    Cone((0.105, 0.030, -0.03), (0.100, 0.024, 0.115), 0.026, 0.022),
    Cone((0.113, 0.026, -0.03), (0.143, 0.018, 0.095), 0.024, 0.017),
    Cone((0.118, 0.040, 0.04), (0.125, 0.022, 0.115), 0.028, 0.018),
    Cone((0.098, 0.020, 0.125), (0.095, 0.015, 0.176), 0.0145, 0.0125),
    Cone((0.116, 0.018, 0.125), (0.117, 0.011, 0.180), 0.0105, 0.0090),
    Cone((0.130, 0.016, 0.120), (0.133, 0.010, 0.170), 0.0098, 0.0083),
    Cone((0.142, 0.015, 0.110), (0.147, 0.010, 0.157), 0.0092, 0.0078),
    Cone((0.153, 0.013, 0.095), (0.161, 0.010, 0.140), 0.0088, 0.0074),
]
_SHOE = [
    Ellipsoid((0.109, 0.036, -0.038), (0.040, 0.046, 0.050)),
    Cone((0.110, 0.098, -0.018), (0.112, 0.066, 0.005), 0.039, 0.042),
    Cone((0.112, 0.052, 0.02), (0.122, 0.034, 0.125), 0.043, 0.033),
    Ellipsoid((0.121, 0.028, 0.135), (0.047, 0.031, 0.066)),
    Ellipsoid((0.112, 0.012, 0.0), (0.040, 0.022, 0.080)),
]
# Ends of the big and the small toe and of the heel, of a bare foot and in a shoe.
POINTS = {
    False: np.array([(0.0945, 0.014, 0.189), (0.162, 0.010, 0.149), (0.109, 0.026, -0.076)]),
    True: np.array([(0.103, 0.020, 0.197), (0.159, 0.018, 0.160), (0.109, 0.030, -0.086)]),
}


@dataclass(frozen=True)
class FootTemplate:
    mesh: Mesh
    normals: np.ndarray
    weights: np.ndarray  # (V, B) as for the body's left side


@cache
def template(shod: bool, step_mm: int) -> FootTemplate:
    mesh = model(_SHOE if shod else _BARE, 0.010 if shod else 0.0028, step_mm / 1000)
    vertices = mesh.vertices.copy()
    vertices[:, 1] = np.maximum(vertices[:, 1], 0.002)  # the sole is flat
    weights = np.zeros((len(vertices), len(BONES)), np.float32)
    toes = np.clip((vertices[:, 2] - 0.095) / 0.04, 0, 1)
    weights[:, INDEX["toes_l"]] = toes
    weights[:, INDEX["foot_l"]] = 1 - toes
    return FootTemplate(Mesh(vertices, mesh.triangles), vertex_normals(vertices, mesh.triangles), weights)
