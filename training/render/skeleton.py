"""The skeleton: bones with their rest joints, builds that stretch them, and forward kinematics.

Body frame, at rest and in the world: x to the person's left, y up, z forward; metres. At rest an adult of 1.75 m stands
with the arms 45 degrees below the horizontal, thumbs forward, palms to the thighs. Names end in _l and _r."""

from dataclasses import dataclass

import numpy as np

ARM = np.array([np.sqrt(0.5), -np.sqrt(0.5), 0.0])  # of the left arm at rest
_SHOULDER = np.array([0.178, 1.425, -0.02])
_LEFT = {  # bone: (parent, joint)
    "clavicle": ("chest", (0.025, 1.445, 0.0)),
    "upper_arm": ("clavicle", tuple(_SHOULDER)),
    "forearm": ("upper_arm", tuple(_SHOULDER + 0.285 * ARM)),
    "wrist": ("upper_arm", tuple(_SHOULDER + 0.285 * ARM)),  # the forearm's far end, which turns with the hand
    "hand": ("forearm", tuple(_SHOULDER + 0.535 * ARM)),
    "thigh": ("pelvis", (0.092, 0.93, 0.0)),
    "shin": ("thigh", (0.104, 0.505, 0.005)),
    "foot": ("shin", (0.110, 0.085, -0.015)),
    "toes": ("foot", (0.120, 0.022, 0.115)),
}
_MIDDLE = {
    "pelvis": ("pelvis", (0.0, 0.96, 0.0)),
    "abdomen": ("pelvis", (0.0, 1.06, 0.0)),
    "chest": ("abdomen", (0.0, 1.20, -0.01)),
    "neck": ("chest", (0.0, 1.48, -0.025)),
    "head": ("neck", (0.0, 1.60, -0.005)),
}
_TABLE = dict(_MIDDLE)
for _side, _sign in (("l", 1), ("r", -1)):
    for _bone, (_parent, (_x, _y, _z)) in _LEFT.items():
        _TABLE[f"{_bone}_{_side}"] = (_parent if _parent in _MIDDLE else f"{_parent}_{_side}", (_sign * _x, _y, _z))
BONES = tuple(_TABLE)
INDEX = {bone: i for i, bone in enumerate(BONES)}
PARENT = np.array([INDEX[parent] for parent, _ in _TABLE.values()])
REST = np.array([joint for _, joint in _TABLE.values()])  # (B, 3)


@dataclass(frozen=True)
class Build:
    """A body's measures, as factors of the adult at rest."""

    size: float  # of everything
    legs: float  # their length
    arms: float
    torso: float
    shoulders: float  # breadth
    hips: float
    depth: float  # of the trunk, front to back
    thickness: float  # of the limbs
    head: float
    hand: float
    breasts: float  # metres outward
    belly: float
    seat: float

    @staticmethod
    def draw(rng: np.random.Generator) -> "Build":
        """A person of any age and figure."""
        fat = np.clip(rng.normal(0, 0.6), -0.9, 2.2)
        woman = rng.random() < 0.5
        age = rng.choice(["adult", "teen", "child"], p=[0.8, 0.08, 0.12])
        size = {"adult": rng.normal(0.955 if woman else 1.01, 0.045), "teen": rng.uniform(0.82, 0.95)}.get(
            age, rng.uniform(0.52, 0.8)
        )
        young = np.clip((0.95 - size) / 0.4, 0, 1) if age != "adult" else 0.0
        return Build(
            size=size,
            legs=rng.normal(1, 0.03) - 0.14 * young,
            arms=rng.normal(1, 0.03) - 0.05 * young,
            torso=rng.normal(1, 0.025),
            shoulders=rng.normal(0.93 if woman else 1.03, 0.04) + 0.03 * fat,
            hips=rng.normal(1.03 if woman else 0.96, 0.04) + 0.07 * fat,
            depth=1 + 0.11 * fat + rng.normal(0, 0.04),
            thickness=rng.normal(0.94 if woman else 1.04, 0.05) + 0.11 * fat,
            head=(rng.normal(0.985, 0.03) / max(size, 0.9) + 0.42 * young)
            if age != "adult"
            else rng.normal(1, 0.03) / size**0.6,
            hand=rng.normal(0.93 if woman else 1.03, 0.04) + 0.04 * young,
            breasts=max(0.0, rng.normal(0.022, 0.014) + 0.012 * fat)
            if woman and age == "adult"
            else 0.006 * max(fat, 0),
            belly=max(0.0, 0.035 * fat + rng.normal(0.004, 0.012)) * (1 - 0.5 * young),
            seat=rng.normal(0.012 if woman else 0.0, 0.008) + 0.012 * max(fat, -0.5),
        )

    def scales(self) -> np.ndarray:
        """(B, 3, 3): each bone's stretch about its joint, in the rest frame."""
        result = np.tile(np.eye(3), (len(BONES), 1, 1))
        limb = {"upper_arm": self.arms, "forearm": self.arms, "wrist": self.arms, "thigh": self.legs, "shin": self.legs}
        for i, bone in enumerate(BONES):
            name, _, side = bone.rpartition("_") if bone[-2:] in ("_l", "_r") else (bone, "", "")
            if name in limb:
                axis = (
                    ARM * (-1 if side == "r" else 1, 1, 1)
                    if "leg" not in name and name not in ("thigh", "shin")
                    else None
                )
                axis = np.array([0.0, 1, 0]) if axis is None else axis
                thickness = self.thickness * (1.04 if name == "thigh" else 1)
                result[i] = thickness * np.eye(3) + (limb[name] - thickness) * np.outer(axis, axis)
            elif name in ("pelvis", "abdomen"):
                result[i] = np.diag([self.hips, self.torso, self.depth])
            elif name in ("chest", "clavicle"):
                result[i] = np.diag([self.shoulders, self.torso, 0.5 + 0.5 * self.depth])
            elif name == "neck":
                result[i] = np.diag([0.5 + 0.5 * self.thickness, self.torso, 0.5 + 0.5 * self.thickness])
            elif name == "head":
                result[i] *= self.head
            elif name == "hand":
                result[i] *= self.hand
            else:
                result[i] *= 0.5 + 0.5 * self.hand
        return result * self.size


@dataclass(frozen=True)
class Placed:
    """Bones in the world: x -> linear[b] @ (x - REST[b]) + joints[b] takes a rest position with bone b."""

    rotations: np.ndarray  # (B, 3, 3)
    linear: np.ndarray  # (B, 3, 3), rotation and stretch
    joints: np.ndarray  # (B, 3)

    def moved(self, offset: np.ndarray) -> "Placed":
        return Placed(self.rotations, self.linear, self.joints + offset)

    def at(self, bone: str, rest: np.ndarray) -> np.ndarray:
        """Rest positions (..., 3) carried along rigidly with a bone."""
        i = INDEX[bone]
        return (rest - REST[i]) @ self.linear[i].T + self.joints[i]

    def skinned(self, vertices: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Vertices (V, 3) at rest to the world by linear blend skinning with weights (V, B)."""
        offset = self.joints - np.einsum("bij,bj->bi", self.linear, REST)
        packed = np.concatenate([self.linear.reshape(-1, 9), offset], 1).astype(np.float32)
        blend = weights @ packed  # (V, 12)
        return np.einsum("vij,vj->vi", blend[:, :9].reshape(-1, 3, 3), vertices) + blend[:, 9:]


def place(rotations: np.ndarray, scales: np.ndarray) -> Placed:
    """Forward kinematics from each bone's rotation in the world; the pelvis joint at the origin."""
    linear = rotations @ scales
    joints = np.zeros((len(BONES), 3))
    for i in range(1, len(BONES)):
        joints[i] = joints[PARENT[i]] + linear[PARENT[i]] @ (REST[i] - REST[PARENT[i]])
    return Placed(rotations, linear, joints)


def turn(axis: str | np.ndarray, angle: float) -> np.ndarray:
    """Rotation matrix by `angle` radians about x, y, z or a unit vector."""
    x, y, z = {"x": (1, 0, 0), "y": (0, 1, 0), "z": (0, 0, 1)}[axis] if isinstance(axis, str) else axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
