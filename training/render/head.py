"""The head: face, skull and ears as one mesh modelled once, an identity that reshapes it, an open mouth, and a scalp
that hair and hats grow on.

Head frame: x to the person's left, y up, z forward; metres for an adult; the origin is midway between the ears at the
height of the pupils. Faces are painted in this frame *before* the identity's change, so features keep to their
place."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from .surface import Cone, Ellipsoid, Mesh, model, vertex_normals

ORIGIN = np.array([0.0, 1.635, 0.017])  # of the head frame, in the body's rest frame
EYE = np.array([0.0315, 0.0, 0.073])  # centre of the left eye
MOUTH_Y = -0.0685


def _both(solid: Cone | Ellipsoid) -> list[Cone | Ellipsoid]:
    return [solid, solid.mirrored("")]


_SKULL = [Ellipsoid((0, 0.034, -0.018), (0.0735, 0.083, 0.094)), Ellipsoid((0, 0.04, 0.022), (0.064, 0.064, 0.063))]
_FACE = [
    *_SKULL,
    Ellipsoid((0, -0.030, 0.026), (0.060, 0.070, 0.060)),  # the middle of the face
    *_both(Cone((0.052, -0.030, 0.0), (0.022, -0.090, 0.054), 0.016, 0.020)),  # jaw
    *_both(Ellipsoid((0.034, -0.030, 0.050), (0.030, 0.024, 0.026))),  # cheekbones
    *_both(Ellipsoid((0.030, -0.062, 0.048), (0.026, 0.030, 0.027))),  # cheeks
    Ellipsoid((0, -0.095, 0.064), (0.021, 0.016, 0.019)),
    Ellipsoid((0, -0.066, 0.062), (0.034, 0.026, 0.024)),
    *_both(Cone((0.010, 0.017, 0.077), (0.044, 0.018, 0.060), 0.0085, 0.008)),
    Cone((0, 0.012, 0.080), (0, -0.034, 0.097), 0.0060, 0.0088),
    Ellipsoid((0, -0.037, 0.099), (0.0110, 0.0090, 0.0105)),
    *_both(Ellipsoid((0.0110, -0.041, 0.088), (0.0075, 0.0078, 0.010))),
    *_both(Cone((0.0, -0.0650, 0.0885), (0.021, -0.0695, 0.079), 0.0044, 0.0028)),
    Cone((-0.013, -0.0735, 0.0835), (0.013, -0.0735, 0.0835), 0.0064, 0.0064),
    Cone((0, -0.03, -0.025), (0, -0.118, -0.036), 0.052, 0.046),
]
_CARVE = _both(Ellipsoid((0.0325, -0.002, 0.094), (0.0175, 0.0115, 0.0165)))
_EYEBALLS = _both(Ellipsoid((0.0315, 0.0, 0.0610), (0.0135, 0.0125, 0.0125)))
_EARS = [
    *_both(Ellipsoid((0.076, 0.004, -0.014), (0.0085, 0.026, 0.016))),
    *_both(Ellipsoid((0.0735, -0.024, -0.007), (0.0065, 0.013, 0.009))),
]


@dataclass(frozen=True)
class HeadTemplate:
    mesh: Mesh
    normals: np.ndarray


@cache
def template(step_um: int) -> HeadTemplate:
    """The head with its neck down to the collar."""
    mesh = (
        model([*_FACE, *_EARS, *_EYEBALLS], 0.0035, step_um / 1e6, carve=()) if step_um > 12_000 else _detailed(step_um)
    )
    return HeadTemplate(mesh, vertex_normals(mesh.vertices, mesh.triangles))


def _detailed(step_um: int) -> Mesh:
    mesh = model([*_FACE, *_EARS], 0.0045, step_um / 1e6, carve=_CARVE)
    vertices = mesh.vertices.copy()
    for ball in _EYEBALLS:  # eyeballs fill the sockets: move what lies inside onto them
        offset = (vertices - np.float32(ball.centre)) / np.float32(ball.radii)
        length = np.linalg.norm(offset, axis=1)
        inside = (length < 1) & (vertices[:, 2] > 0.05)
        vertices[inside] += (offset / np.maximum(length, 1e-3)[:, None] - offset)[inside] * np.float32(ball.radii)
    for sign in (1, -1):  # ears are hollow: their bowl is pressed in
        bowl = _bump(vertices, (sign * 0.084, -0.004, -0.010), (0.006, 0.013, 0.008))
        vertices[:, 0] -= sign * 0.007 * bowl * (np.abs(vertices[:, 0]) > 0.072)
    return Mesh(vertices, mesh.triangles)


@cache
def scalp() -> HeadTemplate:
    """The skull without face features and ears, for hair and hats."""
    mesh = model(
        [
            *_SKULL,
            Ellipsoid((0, -0.03, 0.02), (0.066, 0.062, 0.060)),
            Cone((0, -0.02, -0.03), (0, -0.12, -0.036), 0.056, 0.055),
        ],
        0.012,
        0.0075,
    )
    return HeadTemplate(mesh, vertex_normals(mesh.vertices, mesh.triangles))


@cache
def profile() -> np.ndarray:
    """(321, 201) z of the face seen from the front at x = -0.1..0.1, y = -0.16..0.16, by the millimetre; NaN beside
    it."""
    mesh = template(4500).mesh
    from .raster import visible_triangles  # the same z-buffer that draws the pictures

    xy = (mesh.vertices[:, :2] + np.float32([0.1, 0.16])) * np.float32([1000, 1000])
    xy[:, 1] = 320 - xy[:, 1]
    _, near = visible_triangles(
        xy, mesh.vertices[:, 2] + 1, mesh.triangles, np.zeros(len(mesh.triangles), bool), (321, 201)
    )
    return np.where(near > 0, near - 1, np.nan)[::-1]


def on_face(xy: np.ndarray) -> np.ndarray:
    """Points (..., 3) of the closed-mouth face whose x and y are given, (..., 2)."""
    column = np.clip(np.round(xy[..., 0] * 1000 + 100).astype(int), 0, 200)
    row = np.clip(np.round(xy[..., 1] * 1000 + 160).astype(int), 0, 320)
    return np.concatenate([xy, np.nan_to_num(profile()[row, column], nan=0.02)[..., None]], -1)


def _bump(points: np.ndarray, centre: tuple, spread: tuple) -> np.ndarray:
    return np.exp(-(((points - np.float32(centre)) / np.float32(spread)) ** 2).sum(-1))


@dataclass(frozen=True)
class Identity:
    """What tells heads apart: sizes of (width, height, depth) and of features, in units of about one standard step."""

    scale: np.ndarray  # (3,)
    features: np.ndarray  # (10,)

    @staticmethod
    def draw(rng: np.random.Generator, young: float) -> "Identity":
        """`young` is 0 for adults, 1 for small children: shorter face, small nose and chin."""
        features = np.clip(rng.normal(0, 0.8, 10), -1.8, 1.8) * (1 - 0.5 * young)
        features[0] -= 1.6 * young
        features[[2, 3]] -= 1.2 * young
        scale = 1 + rng.normal(0, [0.03, 0.03, 0.03]) + young * np.array([0.03, -0.05, 0.0])
        return Identity(scale, features)

    def shape(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3) of the common head on this one."""
        nose, nose_width, jaw, chin, cheeks, brow, neck, lips, nose_bridge, taper = self.features
        x, y, z = points[..., 0], points[..., 1], points[..., 2]
        dx, dy, dz = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
        tip = _bump(points, (0, -0.036, 0.105), (0.022, 0.018, 0.03))
        dz += 0.0035 * nose * tip
        dy -= 0.0015 * nose * tip
        dx += 0.10 * nose_width * x * _bump(points, (0, -0.04, 0.09), (0.025, 0.014, 0.03))
        dz += 0.003 * nose_bridge * _bump(points, (0, -0.005, 0.09), (0.012, 0.02, 0.03))
        low = np.clip((-0.02 - y) / 0.07, 0, 1) * np.clip((y + 0.125) / 0.02, 0, 1)
        dx += 0.07 * jaw * x * low
        dx += 0.04 * taper * x * np.clip((y + 0.02) / 0.1, -0.5, 1)
        dy -= 0.004 * chin * np.clip((-0.07 - y) / 0.03, 0, 1) * np.clip((z - 0.01) / 0.04, 0, 1)
        dz += 0.003 * chin * _bump(points, (0, -0.095, 0.07), (0.03, 0.018, 0.03))
        dx += 0.05 * cheeks * x * _bump(points, (0, -0.04, 0.05), (0.2, 0.03, 0.05))
        dz += 0.002 * brow * _bump(points, (0, 0.018, 0.08), (0.06, 0.009, 0.03))
        dz += 0.002 * lips * _bump(points, (0, -0.069, 0.09), (0.025, 0.010, 0.03))
        under = np.clip((-0.11 - y) / 0.03, 0, 1)
        dx += 0.06 * neck * x * under
        return (points + np.stack([dx, dy, dz], -1)) * self.scale.astype(points.dtype)


def opened(points: np.ndarray, mouth_open: float) -> np.ndarray:
    """Points (..., 3) of the closed-mouth face with the jaw lowered by `mouth_open` metres."""
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    front = np.clip((z + 0.01) / 0.07, 0, 1) * np.clip((y + 0.14) / 0.03, 0, 1)
    split = np.clip((MOUTH_Y + 0.0015 - y) / 0.003, 0, 1)  # between the lips
    bent = np.clip((-0.035 - y) / 0.06, 0, 1)  # of the cheeks and the jaw
    at_lips = np.clip((0.031 - np.abs(x)) / 0.009, 0, 1) * np.clip((z - 0.045) / 0.015, 0, 1)
    below = bent + (split - bent) * at_lips
    arch = np.where(y > MOUTH_Y - 0.02, np.sqrt(np.clip(1 - (x / 0.045) ** 2, 0, 1)), 1)
    moved = points.copy()
    moved[..., 1] -= (mouth_open * front * below * arch).astype(points.dtype)
    return moved
