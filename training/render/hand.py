"""The hand: five fingers of three joints, modelled once as a left hand, curled by a few numbers.

Hand frame: x from the wrist along the fingers, y to the thumb's side, z out of the palm; metres for an adult."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from .skeleton import ARM, turn
from .surface import Cone, Ellipsoid, Mesh, distances, model, smoothed, vertex_normals

FINGERS = ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")
_ROOT = np.array(
    [(0.026, 0.024, 0.010), (0.090, 0.026, 0), (0.093, 0.005, 0.002), (0.088, -0.014, 0), (0.079, -0.031, -0.003)]
)
_LENGTHS = np.array(
    [(0.044, 0.034, 0.028), (0.043, 0.026, 0.022), (0.047, 0.030, 0.023), (0.043, 0.028, 0.023), (0.034, 0.021, 0.020)]
)
_RADII = np.array(
    [
        (0.0135, 0.0112, 0.0100, 0.0078),
        (0.0105, 0.0090, 0.0080, 0.0066),
        (0.0105, 0.0092, 0.0082, 0.0067),
        (0.0100, 0.0086, 0.0077, 0.0063),
        (0.0090, 0.0076, 0.0068, 0.0057),
    ]
)
_SPREAD = np.radians([42, 13, 3, -8, -19])  # of the model, so that fingers do not grow together

# Hand frame to the rest frame of the left arm: columns are the frame's axes.
REST_AXES = np.stack([ARM, (0, 0, 1), np.cross(ARM, (0, 0, 1))], 1)


def _frames() -> tuple[np.ndarray, np.ndarray]:
    """Joints (5, 4, 3) from root to tip at rest and each finger's frame (5, 3, 3), x along the finger."""
    joints, frames = np.zeros((5, 4, 3)), np.zeros((5, 3, 3))
    for i in range(5):
        frames[i] = turn("z", _SPREAD[i])
        if i == 0:  # the thumb leaves the palm's plane and faces across it
            frames[i] = frames[i] @ turn("y", -0.35) @ turn("x", 0.9)
        steps = np.concatenate([[0], np.cumsum(_LENGTHS[i])])
        joints[i] = _ROOT[i] + steps[:, None] * frames[i][:, 0]
    return joints, frames


_JOINTS, _FRAMES = _frames()


@dataclass(frozen=True)
class HandTemplate:
    mesh: Mesh
    normals: np.ndarray
    weights: np.ndarray  # (V, 16): the palm, then three bones a finger from thumb to little finger


@cache
def template(step_um: int) -> HandTemplate:
    step = step_um / 1e6
    solids = [
        Cone((-0.010, 0.007, 0), (0.03, 0.010, 0.002), 0.0185, 0.0195, "0"),
        Cone((-0.010, -0.007, 0), (0.03, -0.012, 0.002), 0.0185, 0.0180, "0"),
        *(Cone((0.02, _ROOT[i, 1] * 0.6, 0.001), tuple(_ROOT[i]), 0.0145, 0.0115, "0") for i in range(1, 5)),
        Ellipsoid((0.036, 0.024, 0.010), (0.028, 0.014, 0.013), "0"),
        Ellipsoid((0.045, -0.024, 0.006), (0.032, 0.011, 0.011), "0"),
    ]
    for i in range(5):
        for k in range(3):
            ends = (tuple(_JOINTS[i, k]), tuple(_JOINTS[i, k + 1]))
            solids.append(Cone(*ends, _RADII[i, k], _RADII[i, k + 1], str(1 + 3 * i + k)))
    mesh = model(solids, 0.0022, step)
    each = distances(solids, mesh.vertices)
    share = np.exp((each.min(1, keepdims=True) - each) / 0.0025)
    weights = np.zeros((len(mesh.vertices), 16), np.float32)
    for i, solid in enumerate(solids):
        weights[:, int(solid.bone)] += share[:, i]
    weights = smoothed(
        weights / weights.sum(1, keepdims=True), mesh.triangles, max(1, round(3 * (4500 / step_um) ** 2))
    )
    return HandTemplate(mesh, vertex_normals(mesh.vertices, mesh.triangles), weights / weights.sum(1, keepdims=True))


# Named poses: flexion of each finger's three joints in radians, thumb first; spread of the fingers 0 (closed) to 1.
_GRIPS = {
    "open": ((0.0, 0.1, 0.1), *[(0.05, 0.1, 0.05)] * 4, 0.9),
    "flat": ((0.2, 0.1, 0.1), *[(0.05, 0.05, 0.05)] * 4, 0.1),
    "relaxed": ((0.25, 0.3, 0.25), (0.35, 0.45, 0.25), (0.45, 0.55, 0.3), (0.5, 0.6, 0.35), (0.5, 0.6, 0.35), 0.3),
    "fist": ((0.5, 0.7, 0.7), *[(1.35, 1.6, 1.1)] * 4, 0.0),
    "point": ((0.5, 0.7, 0.6), (0.1, 0.1, 0.05), *[(1.35, 1.6, 1.1)] * 3, 0.1),
    "victory": ((0.6, 0.7, 0.6), (0.0, 0.05, 0.05), (0.0, 0.05, 0.05), *[(1.35, 1.6, 1.1)] * 2, 1.0),
    "thumb_up": ((-0.35, -0.1, -0.1), *[(1.35, 1.6, 1.1)] * 4, 0.0),
    "hold": ((0.5, 0.3, 0.3), *[(0.7, 0.9, 0.5)] * 4, 0.3),
    "pinch": ((0.45, 0.4, 0.4), (0.75, 0.8, 0.4), (0.4, 0.5, 0.3), (0.3, 0.4, 0.2), (0.25, 0.35, 0.2), 0.4),
}


def draw_grip(rng: np.random.Generator) -> np.ndarray:
    """(16,) flexions and spread, of a named pose or a mixture of two."""
    shares = [0.16, 0.12, 0.34, 0.1, 0.06, 0.04, 0.04, 0.09, 0.05]
    first, second = rng.choice(len(_GRIPS), 2, p=shares)
    grips = [np.concatenate([np.ravel(grip[:5]), grip[5:]]) for grip in _GRIPS.values()]
    mixture = rng.choice([0.0, rng.uniform(0, 0.6)])
    return grips[first] * (1 - mixture) + grips[second] * mixture + rng.normal(0, 0.07, 16)


def posed(template: HandTemplate, grip: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A left hand's vertices (V, 3) and joints (5, 4, 3) in the hand frame."""
    linear, offset = np.tile(np.eye(3), (16, 1, 1)), np.zeros((16, 3))
    joints = _JOINTS.copy()
    for i in range(5):
        rotation, flexion = _FRAMES[i], grip[3 * i : 3 * i + 3]
        closing = 0 if i == 0 else _SPREAD[i] * (np.clip(grip[15], -0.2, 1.2) - 0.75) * 0.8
        rotation = turn("z", closing) @ rotation
        for k in range(3):
            if i == 0:  # the thumb's root swings across the palm, its other joints bend
                bend = (
                    turn("y", -flexion[k] * 0.9) if k else turn("z", -flexion[k] * 0.7) @ turn("y", -flexion[k] * 0.8)
                )
            else:
                bend = turn("y", -flexion[k])
            rotation = rotation @ bend
            bone = 1 + 3 * i + k
            linear[bone] = rotation @ _FRAMES[i].T
            offset[bone] = joints[i, k] - linear[bone] @ _JOINTS[i, k]
            joints[i, k + 1] = joints[i, k] + rotation[:, 0] * _LENGTHS[i, k]
    packed = np.concatenate([linear.reshape(16, 9), offset], 1).astype(np.float32)
    blend = template.weights @ packed
    vertices = np.einsum("vij,vj->vi", blend[:, :9].reshape(-1, 3, 3), template.mesh.vertices) + blend[:, 9:]
    joints[:, 3] += (joints[:, 3] - joints[:, 2]) * 0.2  # the tip of the flesh, not of the bone
    return vertices, joints
