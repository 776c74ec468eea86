"""Poses: a vector of joint angles and hand targets within human limits, drawn from what people do, mixed over time, and
turned into rotations of the bones. Right limbs are computed as left ones and mirrored."""

from dataclasses import dataclass, replace

import numpy as np

from .hand import draw_grip
from .skeleton import ARM, BONES, INDEX, Placed, place, turn

_MIRROR = np.diag([-1.0, 1, 1])
_UPPER, _FORE = 0.285, 0.25
_ELBOW_AXIS = np.cross(ARM, (0, 0, 1))  # at rest; the forearm bends forward


@dataclass(frozen=True)
class Pose:
    """Angles in radians. Rows of two: left, right.

    `root` and `spine`, `head`: pitch forward, yaw to the left, roll to the right. `reach` (2, 5): direction from
    shoulder to hand in the chest's frame (x outward), share of the arm's length, and swivel of the elbow. `hands` (2,
    3): pronation, flexion, deviation. `legs` (2, 4): hip flexion, abduction, outward rotation, knee flexion. `grips`
    (2, 16). `seat`: sitting on something. `lift`: metres above the ground. `level`: the feet follow the ground (0..1).
    """

    root: np.ndarray
    spine: np.ndarray
    head: np.ndarray
    reach: np.ndarray
    hands: np.ndarray
    legs: np.ndarray
    grips: np.ndarray
    seat: bool = False
    lift: float = 0.0
    level: float = 1.0

    def mixed(self, other: "Pose", share: float) -> "Pose":
        """This pose moved towards another; seat and the like stay."""
        names = ("root", "spine", "head", "reach", "hands", "legs", "grips")
        return replace(self, **{n: (1 - share) * getattr(self, n) + share * getattr(other, n) for n in names})

    def placed(self, scales: np.ndarray) -> Placed:
        """The bones of a body with these stretches, the pelvis joint at the origin, facing +z before `root`."""
        r = np.tile(np.eye(3), (len(BONES), 1, 1))
        pelvis = turn("y", self.root[1]) @ turn("x", self.root[0]) @ turn("z", self.root[2])
        half = turn("y", self.spine[1] / 2) @ turn("x", self.spine[0] / 2) @ turn("z", self.spine[2] / 2)
        chest = pelvis @ half @ half
        nod = turn("y", self.head[1] / 2) @ turn("x", self.head[0] / 2) @ turn("z", self.head[2] / 2)
        for bone, rotation in (
            ("pelvis", pelvis),
            ("abdomen", pelvis @ half),
            ("chest", chest),
            ("neck", chest @ nod),
            ("head", chest @ nod @ nod),
        ):
            r[INDEX[bone]] = rotation
        for i, side in enumerate("lr"):
            for bone, rotation in {**self._arm(i), **self._leg(i)}.items():
                rotation = rotation if side == "l" else _MIRROR @ rotation @ _MIRROR
                base = pelvis if bone in ("thigh", "shin", "foot", "toes") else chest
                r[INDEX[f"{bone}_{side}"]] = base @ rotation
        return place(r, scales)

    def _arm(self, i: int) -> dict[str, np.ndarray]:
        direction = self.reach[i, :3] / max(np.linalg.norm(self.reach[i, :3]), 1e-6)
        distance = np.clip(self.reach[i, 3], 0.35, 0.995) * (_UPPER + _FORE)
        pole = np.array([0.55, -0.65, -0.55])
        pole = turn(direction, self.reach[i, 4]) @ (pole - (pole @ direction) * direction)
        pole /= max(np.linalg.norm(pole), 1e-6)
        along = (distance**2 + _UPPER**2 - _FORE**2) / (2 * distance)
        elbow = along * direction + np.sqrt(max(_UPPER**2 - along**2, 0)) * pole
        upper, fore = elbow / _UPPER, (distance * direction - elbow) / _FORE
        axis = -np.cross(direction, pole)
        rest = np.stack([ARM, _ELBOW_AXIS, np.cross(ARM, _ELBOW_AXIS)], 1)
        bones = {}
        for bone, d in (("upper_arm", upper), ("forearm", fore)):
            d = d - (d @ axis) * axis
            d /= np.linalg.norm(d)
            bones[bone] = np.stack([d, axis, np.cross(d, axis)], 1) @ rest.T
        roll, flexion, deviation = self.hands[i]
        bones["wrist"] = bones["forearm"] @ turn(ARM, roll)
        bones["hand"] = bones["wrist"] @ turn("z", -flexion) @ turn(np.cross(ARM, (0, 0, 1)), deviation)
        raised = np.clip(upper[1] + 0.2, 0, 1)
        bones["clavicle"] = turn("z", 0.35 * raised)
        return bones

    def _leg(self, i: int) -> dict[str, np.ndarray]:
        flexion, abduction, outward, knee = self.legs[i]
        thigh = turn("z", abduction) @ turn("x", -flexion) @ turn("y", outward)
        shin = thigh @ turn("x", knee)
        ankle = np.clip(flexion - knee - self.root[0], -0.45, 0.75) * self.level + (1 - self.level) * 0.45
        foot = shin @ turn("x", ankle)
        left = flexion - knee - self.root[0] - ankle
        return {
            "thigh": thigh,
            "shin": shin,
            "foot": foot,
            "toes": foot @ turn("x", np.clip(left, -0.5, 0.1) * self.level),
        }


# What an arm may do: direction of the hand from the shoulder (x outward, y up, z forward), share of its length, swivel.
_ARMS = {
    "hang": ((0.16, -1, 0.05), 0.96, 0.0),
    "swing_front": ((0.08, -1, 0.45), 0.95, 0.0),
    "swing_back": ((0.15, -1, -0.35), 0.97, 0.0),
    "hip": ((0.02, -0.42, 0.08), 0.74, 0.9),
    "chest": ((-0.28, -0.25, 0.32), 0.68, 0.0),
    "up": ((0.15, 1, 0.1), 0.93, 0.0),
    "side": ((1, 0.05, 0.1), 0.97, 0.0),
    "forward": ((-0.05, -0.05, 1), 0.95, 0.0),
    "wave": ((0.5, 0.35, 0.35), 0.62, 0.0),
    "face": ((-0.22, 0.30, 0.42), 0.52, 0.0),
    "phone": ((-0.12, 0.42, 0.22), 0.5, 0.3),
    "head": ((-0.10, 0.75, -0.05), 0.62, 0.5),
    "thigh": ((-0.02, -0.75, 0.6), 0.86, 0.2),
    "hold": ((-0.15, -0.5, 0.6), 0.68, 0.0),
    "pocket": ((0.05, -1, 0.05), 0.87, 0.3),
    "behind": ((-0.15, -0.85, -0.35), 0.86, 0.3),
    "read": ((-0.2, -0.2, 0.7), 0.66, 0.0),
    "point": ((0.5, 0.15, 0.8), 0.96, 0.0),
    "cheer": ((0.55, 0.9, 0.1), 0.85, 0.0),
}


def _draw_arms(rng: np.random.Generator, wanted: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    first = wanted[rng.integers(len(wanted))]
    second = first if rng.random() < 0.5 else wanted[rng.integers(len(wanted))]
    reach, hands = np.zeros((2, 5)), np.zeros((2, 3))
    for i, name in enumerate((first, second)):
        if rng.random() < 0.12:  # anywhere in front
            direction, share, swivel = rng.normal((0.3, 0, 0.5), 0.6), rng.uniform(0.5, 0.99), 0.0
        else:
            direction, share, swivel = _ARMS[name]
        length = np.linalg.norm(direction)
        reach[i] = [
            *(np.array(direction) / length + rng.normal(0, 0.07, 3)),
            share + rng.normal(0, 0.03),
            swivel + rng.normal(0, 0.2),
        ]
        roll = {"hang": 0.5, "hip": 1.0, "thigh": 1.2, "up": 0.0, "side": 0.9, "forward": 0.7}.get(name, 0.1)
        hands[i] = np.clip(rng.normal((roll, 0.05, 0), (0.45, 0.25, 0.12)), (-1.2, -0.9, -0.3), (1.5, 1.1, 0.4))
    return reach, hands


_EASY = (
    "hang",
    "hang",
    "hang",
    "hip",
    "chest",
    "pocket",
    "hold",
    "behind",
    "phone",
    "face",
    "wave",
    "read",
    "head",
    "up",
    "side",
    "point",
    "cheer",
    "forward",
)
_KINDS = {
    "stand": 0.40,
    "walk": 0.14,
    "run": 0.04,
    "sit": 0.16,
    "squat": 0.05,
    "kneel": 0.04,
    "floor": 0.05,
    "lie": 0.03,
    "lunge": 0.03,
    "bend": 0.03,
    "jump": 0.02,
    "kick": 0.01,
}


def draw_pose(rng: np.random.Generator, kind: str | None = None) -> Pose:
    """One of the things people do, with everybody's own variation. `kind` is a key of the table above, or "show": hands
    before the body."""
    kind = kind or rng.choice(list(_KINDS), p=list(_KINDS.values()))
    n = rng.normal
    u = rng.uniform
    root, spine = np.array([n(0, 0.03), 0.0, n(0, 0.03)]), n(0, (0.08, 0.15, 0.06))
    head = np.clip(n((0.05, 0, 0), (0.22, 0.4, 0.12)), (-0.7, -1.1, -0.4), (0.7, 1.1, 0.4))
    legs = np.stack([(n(0, 0.06), n(0.06, 0.05), n(0.12, 0.12), abs(n(0, 0.07))) for _ in range(2)])
    arms, seat, lift, level = _EASY, False, 0.0, 1.0
    swap = rng.random() < 0.5
    if kind == "stand" and rng.random() < 0.5:  # the weight on one leg
        legs[0] += (0.2, 0.08, 0.15, u(0.1, 0.5))
        root[2] += u(-0.06, 0.06)
    elif kind in ("walk", "run"):
        phase, big = u(0, 1), 1.7 if kind == "run" else 1.0
        legs[0] += (0.42 * big * phase + 0.1, 0, 0, (0.1 + 0.5 * (1 - phase)) * big)
        legs[1] += (-0.33 * big * phase, 0, 0, 0.15 + 0.55 * big * phase * u(0.2, 1))
        arms = ("swing_back", "swing_front", "swing_front", "hang", "hold")
        root[0] += 0.06 * big
        lift, level = (u(0, 0.12), 0.4) if kind == "run" else (0.0, 0.6)
    elif kind == "show":
        arms = ("wave", "read", "chest", "hold", "forward", "face", "point", "hip")
    elif kind == "sit":
        legs = np.stack([(u(1.3, 1.65), u(0.02, 0.35), n(0.05, 0.15), u(0.9, 1.75)) for _ in range(2)])
        if rng.random() < 0.2:  # legs crossed
            legs[0] = (1.85, -0.18, 0.1, 1.45)
        spine[0] += u(-0.1, 0.5)
        arms, seat = ("thigh", "thigh", "thigh", "hold", "chest", "face", "read", "phone", "hang", "wave", "head"), True
    elif kind == "squat":
        legs = np.stack([(u(1.7, 2.1), u(0.15, 0.5), u(0, 0.3), u(1.9, 2.3)) for _ in range(2)])
        spine[0] += u(0.2, 0.6)
        arms = ("hold", "forward", "thigh", "read", "face")
    elif kind == "kneel":
        legs[0], legs[1] = (u(1.3, 1.6), 0.1, 0.1, u(1.4, 1.7)), (u(-0.1, 0.2), 0.1, 0.1, u(1.5, 1.9))
        if rng.random() < 0.4:
            legs[0] = legs[1] + (0.05, 0.05, 0, 0.05)
        arms = ("thigh", "hold", "hang", "read", "up")
    elif kind == "floor":
        legs = np.stack([(u(1.4, 1.7), u(0.4, 0.7), u(0.5, 0.9), u(1.9, 2.3)) for _ in range(2)])
        if rng.random() < 0.4:
            legs = np.stack([(u(1.4, 2.0), u(0.0, 0.3), 0.1, u(0.1, 1.9)) for _ in range(2)])
        root[0] += u(-0.3, 0.1)
        arms = ("thigh", "hold", "behind", "face", "read", "hang")
    elif kind == "lie":
        root[0] += rng.choice([-1.55, 1.55])
        root[2] += u(-0.3, 0.3)
        legs += (0.15, 0.1, 0, 0.3) * np.abs(n(0, 1, (2, 4)))
        arms, level = ("hang", "head", "up", "side", "chest", "face"), 0.0
    elif kind == "lunge":
        legs[0], legs[1] = (u(0.9, 1.4), 0.1, 0.1, u(0.9, 1.5)), (u(-0.6, -0.3), 0.05, 0.1, u(0.2, 0.8))
    elif kind == "bend":
        spine[0] += u(0.4, 0.9)
        root[0] += u(0.3, 0.8)
        legs[:, 0] += root[0]
        legs[:, 3] += u(0, 0.4)
        arms = ("hang", "forward", "hold", "thigh", "hip")
    elif kind == "jump":
        legs = np.stack([(u(-0.3, 1.2), u(0.0, 0.6), 0.1, u(0.2, 1.8)) for _ in range(2)])
        lift, level, arms = u(0.15, 0.5), 0.0, ("up", "cheer", "side", "forward", "wave")
    elif kind == "kick":
        legs[0] += (u(0.7, 1.5), 0.2, 0, u(0, 0.6))
        level, arms = 0.6, ("side", "hold", "swing_front", "wave")
    reach, hands = _draw_arms(rng, arms)
    grips = np.stack([draw_grip(rng) for _ in range(2)])
    spine = np.clip(spine, (-0.35, -0.6, -0.35), (1.2, 0.6, 0.35))
    if swap:
        legs = legs[::-1].copy()
    return Pose(root, spine, head, reach, hands, legs, grips, seat, lift, level)
