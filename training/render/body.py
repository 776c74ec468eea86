"""The trunk, neck and limbs as one skinned mesh, modelled once; hands, feet and head are separate.

Every vertex carries fields from which clothes are cut by the pixel: how much it belongs to an arm or a leg rather than
the trunk (metres, positive inside), and how far along the limb it lies (0 at its root, 1 at elbow or knee, 2 at its
end)."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from .skeleton import ARM, BONES, INDEX, REST, Build
from .surface import Cone, Ellipsoid, Mesh, distances, model, smoothed, vertex_normals

ARM_FIELD, LEG_FIELD, ALONG_ARM, ALONG_LEG = range(4)


def _along(bone: str, length: float, out: float = 0.0, forward: float = 0.0) -> tuple[float, float, float]:
    """A point of the left arm, `length` metres down from a joint, `out` upward-outward, `forward` to the thumb."""
    point = REST[INDEX[bone]] + length * ARM + out * np.array([ARM[0], -ARM[1], 0]) + np.array([0, 0, forward])
    return tuple(float(v) for v in point)


_TRUNK = [
    Ellipsoid((0, 0.955, -0.005), (0.165, 0.115, 0.108), "trunk"),
    Ellipsoid((0.075, 0.915, -0.058), (0.090, 0.095, 0.080), "trunk"),
    Ellipsoid((-0.075, 0.915, -0.058), (0.090, 0.095, 0.080), "trunk"),
    Ellipsoid((0, 1.09, 0.002), (0.136, 0.15, 0.098), "trunk"),
    Ellipsoid((0, 1.02, 0.0), (0.146, 0.10, 0.099), "trunk"),
    Ellipsoid((0, 1.26, -0.005), (0.152, 0.185, 0.112), "trunk"),
    Ellipsoid((0.075, 1.315, 0.062), (0.075, 0.062, 0.042), "trunk"),
    Ellipsoid((-0.075, 1.315, 0.062), (0.075, 0.062, 0.042), "trunk"),
    Cone((-0.125, 1.395, -0.02), (0.125, 1.395, -0.02), 0.066, 0.066, "trunk"),
    Ellipsoid((0.085, 1.34, -0.075), (0.08, 0.11, 0.04), "trunk"),
    Ellipsoid((-0.085, 1.34, -0.075), (0.08, 0.11, 0.04), "trunk"),
]
# Where solids overlap, the smooth union swells by up to the softness times the logarithm of their number: joints are
# drawn slimmer than they come out.
_LEFT = [
    Cone((0.02, 1.525, -0.045), (0.15, 1.445, -0.03), 0.035, 0.034, "clavicle"),
    Ellipsoid(_along("upper_arm_l", 0.010, 0.006), (0.058, 0.060, 0.058), "upper_arm"),
    Cone(_along("upper_arm_l", 0.03), _along("upper_arm_l", 0.285), 0.050, 0.032, "upper_arm"),
    Cone(
        _along("upper_arm_l", 0.12, -0.004, 0.012),
        _along("upper_arm_l", 0.20, -0.004, 0.012),
        0.036,
        0.034,
        "upper_arm",
    ),
    Cone(_along("forearm_l", 0.0), _along("forearm_l", 0.07, 0.004), 0.033, 0.0345, "forearm"),
    Cone(_along("forearm_l", 0.07, 0.004), _along("forearm_l", 0.235), 0.0345, 0.020, "forearm"),
    Cone(_along("forearm_l", 0.215, 0, 0.009), _along("forearm_l", 0.252, 0, 0.010), 0.0135, 0.0135, "forearm"),
    Cone(_along("forearm_l", 0.215, 0, -0.009), _along("forearm_l", 0.252, 0, -0.010), 0.0135, 0.0135, "forearm"),
    Cone((0.092, 0.90, -0.005), (0.104, 0.51, 0.006), 0.086, 0.047, "thigh"),
    Ellipsoid((0.095, 0.72, 0.022), (0.062, 0.16, 0.058), "thigh"),
    Cone((0.104, 0.515, 0.014), (0.105, 0.46, 0.005), 0.044, 0.041, "shin"),
    Cone((0.105, 0.46, -0.003), (0.107, 0.36, -0.018), 0.045, 0.0455, "shin"),
    Cone((0.107, 0.36, -0.018), (0.110, 0.10, -0.016), 0.0455, 0.028, "shin"),
    Ellipsoid((0.110, 0.085, -0.014), (0.031, 0.028, 0.035), "shin"),
]
_NECK = [Cone((0, 1.44, -0.03), (0, 1.60, -0.004), 0.058, 0.050, "neck")]
_SOLIDS = [
    *_TRUNK,
    *_NECK,
    *(type(s)(*[getattr(s, f) for f in s.__dataclass_fields__ if f != "bone"], f"{s.bone}_l") for s in _LEFT),
    *(s.mirrored(f"{s.bone}_r") for s in _LEFT),
]


@dataclass(frozen=True)
class Template:
    """`vertices`, `normals` (V, 3) at rest; `weights` (V, B) to the bones; `fields` (V, 4), see the module's head."""

    vertices: np.ndarray
    normals: np.ndarray
    triangles: np.ndarray
    weights: np.ndarray
    fields: np.ndarray

    def shaped(self, build: Build) -> np.ndarray:
        """Rest vertices with this build's breasts, belly and seat; limbs and trunk are stretched by the bones."""
        v, n = self.vertices, self.normals
        trunk = np.clip(-self.fields[:, ARM_FIELD] / 0.03, 0, 1) * np.clip(
            1.2 - np.maximum(self.fields[:, LEG_FIELD], 0) / 0.05, 0, 1
        )
        out = np.zeros(len(v), np.float32)
        for sign in (1, -1):
            out += build.breasts * 2 * _bump(v, (sign * 0.075, 1.275, 0.10), (0.055, 0.055, 0.06))
            out += build.seat * 1.5 * _bump(v, (sign * 0.08, 0.92, -0.12), (0.06, 0.07, 0.07))
        out += build.belly * 1.6 * _bump(v, (0, 1.06, 0.09), (0.11, 0.10, 0.09))
        out += (
            build.belly
            * 0.6
            * (_bump(v, (0.13, 1.04, 0), (0.07, 0.06, 0.09)) + _bump(v, (-0.13, 1.04, 0), (0.07, 0.06, 0.09)))
        )
        return v + n * (out * trunk)[:, None]


def _bump(points: np.ndarray, centre: tuple, spread: tuple) -> np.ndarray:
    return np.exp(-(((points - np.float32(centre)) / np.float32(spread)) ** 2).sum(-1))


@cache
def template(step_mm: float) -> Template:
    """The body at rest with triangles of about `step_mm`."""
    step = step_mm / 1000
    mesh = model(_SOLIDS, 0.009, step)
    mesh = Mesh(smoothed(mesh.vertices, mesh.triangles, 4 if step_mm < 20 else 1), mesh.triangles)  # no knots
    each = distances(_SOLIDS, mesh.vertices)
    groups = {
        name: each[:, [i for i, s in enumerate(_SOLIDS) if s.bone.rpartition("_")[0] in bones or s.bone in bones]].min(
            1
        )
        for name, bones in {
            "trunk": ("trunk", "clavicle", "neck"),
            "arm": ("upper_arm", "forearm"),
            "leg": ("thigh", "shin"),
        }.items()
    }
    v = mesh.vertices
    left = np.abs(v[:, :1]) * np.float32([1, 0, 0]) + v * np.float32([0, 1, 1])
    fields = np.zeros((len(v), 4), np.float32)
    fields[:, ARM_FIELD] = groups["trunk"] - groups["arm"]
    fields[:, LEG_FIELD] = np.minimum(groups["trunk"] - groups["leg"], (0.93 - v[:, 1]) * 0.7 + 0.02)
    fields[:, ALONG_ARM] = _along_chain(left, ("upper_arm_l", "forearm_l", "hand_l"))
    fields[:, ALONG_LEG] = _along_chain(left, ("thigh_l", "shin_l", "foot_l"))
    weights = _weights(v, each, fields)
    rounds = max(2, round(6 * (14 / step_mm) ** 2))
    weights = smoothed(weights, mesh.triangles, rounds)
    return Template(
        v, vertex_normals(v, mesh.triangles), mesh.triangles, weights / weights.sum(1, keepdims=True), fields
    )


def _along_chain(points: np.ndarray, bones: tuple[str, str, str]) -> np.ndarray:
    root, middle, end = (REST[INDEX[bone]].astype(np.float32) for bone in bones)
    first = (points - root) @ ((middle - root) / ((middle - root) ** 2).sum())
    second = (points - middle) @ ((end - middle) / ((end - middle) ** 2).sum())
    return np.where(first < 1, np.minimum(first, 1), 1 + np.maximum(second, 0)).astype(np.float32)


def _weights(v: np.ndarray, each: np.ndarray, fields: np.ndarray) -> np.ndarray:
    weights = np.zeros((len(v), len(BONES)), np.float32)
    share = np.exp((each.min(1, keepdims=True) - each) / 0.008)
    share /= share.sum(1, keepdims=True)
    lower = np.clip((fields[:, ALONG_ARM] - 1.1) / 0.8, 0, 1)
    spine = np.stack(
        [
            np.interp(v[:, 1], (0.98, 1.08, 1.20, 1.28), row)
            for row in ((1, 0.45, 0, 0), (0, 0.55, 0.5, 0), (0, 0, 0.5, 1))
        ],
        -1,
    )
    for i, solid in enumerate(_SOLIDS):
        if solid.bone == "trunk":
            for column, bone in enumerate(("pelvis", "abdomen", "chest")):
                weights[:, INDEX[bone]] += share[:, i] * spine[:, column]
        elif solid.bone == "neck":
            up = np.clip((v[:, 1] - 1.53) / 0.06, 0, 1)
            down = np.clip((1.49 - v[:, 1]) / 0.03, 0, 1)
            weights[:, INDEX["head"]] += share[:, i] * up * 0.7
            weights[:, INDEX["chest"]] += share[:, i] * down
            weights[:, INDEX["neck"]] += share[:, i] * (1 - up * 0.7 - down)
        elif solid.bone.startswith("forearm"):
            weights[:, INDEX[solid.bone]] += share[:, i] * (1 - lower)
            weights[:, INDEX[solid.bone.replace("forearm", "wrist")]] += share[:, i] * lower
        else:
            weights[:, INDEX[solid.bone]] += share[:, i]
    return weights
