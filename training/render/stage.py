"""A scene before it is drawn: who stands where in which pose, what is around them, where the camera and the lights are.
All of it follows from the seed, and none of it from the picture's size but its proportions."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .backdrop import Backdrop, chair, standing, thing
from .light import Lights
from .person import Part, Person, Posed
from .photo import Development
from .pose import Pose, draw_pose
from .skeleton import INDEX, turn


@dataclass(frozen=True)
class Camera:
    """`centre` (3,) in the world; `rotation` (3, 3) takes world directions to the frame x right, y down, z away."""

    centre: np.ndarray
    rotation: np.ndarray
    focal: float  # in parts of the picture's longer side

    def focal_px(self, size_hw: tuple[int, int]) -> float:
        return self.focal * max(size_hw)


@dataclass(frozen=True)
class Actor:
    person: Person
    poses: tuple[Pose, Pose]
    facing: tuple[float, float]
    at: np.ndarray  # (2,) x and z
    drift: np.ndarray  # (2,) metres walked during a clip

    def posed(self, time: float, detail: float) -> Posed:
        """`time` runs from 0 to 1 in a clip; a still is at 0."""
        share = 0.5 - 0.5 * np.cos(np.pi * time)
        pose = self.poses[0].mixed(self.poses[1], share) if time else self.poses[0]
        facing = self.facing[0] + share * (self.facing[1] - self.facing[0])
        return self.person.posed(pose, facing, self.at + share * self.drift, 0.0, detail)


# What the picture is of: chance, the joint it is about, how far below the joint its middle lies (in parts of its
# height),
# and its height in metres of an adult.
_VIEWS = {
    "full": (0.33, "pelvis", 0.0, (1.75, 2.7)),
    "knees": (0.11, "abdomen", 0.0, (1.2, 1.6)),
    "waist": (0.17, "neck", 0.17, (0.8, 1.15)),
    "bust": (0.11, "neck", -0.05, (0.45, 0.75)),
    "face": (0.06, "head", 0.0, (0.27, 0.42)),
    "hand": (0.04, "hand_l", 0.0, (0.28, 0.5)),
    "feet": (0.03, "shin_l", 0.0, (0.5, 1.0)),
    "far": (0.15, "pelvis", 0.0, (2.7, 6.0)),
}


# Of the picture's longer side, as the main cameras of phones: 23 to 28 mm on 35 mm film. A picture hardly shows its
# focal length, so metric depth can be no surer than this range is narrow.
_FOCAL = (0.64, 0.78)


@dataclass(frozen=True)
class Stage:
    actors: tuple[Actor, ...]
    things: tuple[Part, ...]
    backdrop: Backdrop
    camera: Camera
    lights: Lights
    development: Development
    turn_rate: float  # radians the camera goes about the middle during a clip

    @staticmethod
    def draw(seed: int, upright: bool, people: int | None = None, view: str | None = None) -> "Stage":
        """`upright`: the picture is higher than wide. At most `people`, and
        `view` (a key of the table above), else at random."""
        rng = np.random.default_rng([seed, 0])
        view = view or rng.choice(
            list(_VIEWS), p=[row[0] for row in _VIEWS.values()] / np.sum([row[0] for row in _VIEWS.values()])
        )
        _, joint, drop, extents = _VIEWS[view]
        people = people or int(rng.choice([1, 2, 3, 4, 5], p=[0.42, 0.25, 0.15, 0.1, 0.08]))
        front = rng.choice(
            [rng.normal(0, 0.5), rng.uniform(0.5, 1.6) * rng.choice([-1, 1]), rng.uniform(1.6, 4.7)],
            p=[0.62, 0.23, 0.15],
        )
        if view in ("face", "hand") and rng.random() < 0.8:
            front = rng.normal(0, 0.5)
        kind = "show" if view == "hand" else None
        first = _actor(np.random.default_rng([seed, 1, 0]), kind, np.zeros(2), front + rng.normal(0, 0.2))
        extent = rng.uniform(*extents) * (first.person.build.size if view != "far" else 1)
        if view in ("full", "knees", "waist"):
            extent *= 1 + 0.14 * (people - 1) * rng.random()
        camera = _camera(rng, first.posed(0.0, 300.0), joint, drop * extent, extent, upright, view)
        actors = [first, *_company(seed, people - 1, front, camera, upright)]
        keep = np.vstack([camera.centre, *[np.array([a.at[0], 0, a.at[1]]) for a in actors], [0.0, 1.9, 0.0]])
        around = np.random.default_rng([seed, 2])
        backdrop = Backdrop.draw(around, keep)
        things = _things(around, actors, camera, backdrop)
        return Stage(
            tuple(actors),
            things,
            backdrop,
            camera,
            Lights.draw(np.random.default_rng([seed, 3]), backdrop.outdoors),
            Development.draw(np.random.default_rng([seed, 4])),
            float(around.normal(0, 0.2)),
        )

    def camera_at(self, time: float) -> Camera:
        swing = turn("y", self.turn_rate * np.sin(np.pi * time) * 0.3)
        return Camera(swing @ self.camera.centre, self.camera.rotation @ swing.T, self.camera.focal)


def _company(seed: int, count: int, front: float, camera: Camera, upright: bool) -> Iterator[Actor]:
    """Others in view: beside the first person, or anywhere up to some metres behind; fewer where there is no room."""
    rng = np.random.default_rng([seed, 1])
    together = rng.random() < 0.5
    taken = np.zeros((1, 2))
    for i in range(count):
        own = np.random.default_rng([seed, 1, i + 1])
        for _ in range(30):
            z = own.normal(-0.15, 0.35) if together else own.uniform(-4.5, min(0.8, camera.centre[2] - 0.8))
            half = (camera.centre[2] - z) / (2 * camera.focal) * (0.75 if upright else 1.0)
            at = np.array([own.uniform(-1.05, 1.05) * max(half, 0.6), z])
            if np.linalg.norm(taken - at, axis=1).min() > 0.5 and np.linalg.norm(camera.centre[[0, 2]] - at) > 0.7:
                taken = np.vstack([taken, at])
                yield _actor(own, None, at, front + own.normal(0, 0.4) if together else own.normal(0, 1.2))
                break


def _actor(rng: np.random.Generator, kind: str | None, at: np.ndarray, facing: float) -> Actor:
    person = Person.draw(rng)
    first = draw_pose(rng, kind)
    second = draw_pose(rng, "sit" if first.seat else rng.choice(["stand", "walk"]))
    return Actor(person, (first, second), (facing, facing + rng.normal(0, 0.3)), at, rng.normal(0, 0.12, 2))


def _camera(
    rng: np.random.Generator, posed: Posed, joint: str, drop: float, extent: float, upright: bool, view: str
) -> Camera:
    """A camera that sees `extent` metres about a joint of the first person, of the picture's height (or width,
    lying)."""
    focal = float(np.exp(rng.uniform(*np.log(_FOCAL))))
    middle = posed.placed.joints[INDEX[joint]].copy()
    if joint == "head":
        middle = np.nanmean(posed.keypoints[1:3], axis=0) - (0, 0.02, 0)
    elif joint in ("pelvis", "abdomen"):
        low, high = (
            np.min([p.vertices.min(0) for p in posed.parts], 0),
            np.max([p.vertices.max(0) for p in posed.parts], 0),
        )
        if joint == "pelvis":
            middle = (low + high) / 2
            extent *= max((high - low).max() / 1.75, 0.5)
    middle[1] -= drop
    distance = max(extent * focal * (1.0 if upright else 4 / 3), 0.34)
    rise = rng.choice([rng.normal(0.08, 0.12), rng.uniform(0.2, 1.2), rng.uniform(-0.35, 0)], p=[0.74, 0.17, 0.09])
    if middle[1] + distance * np.sin(rise) < 0.15:
        rise = np.arcsin(np.clip((0.15 - middle[1]) / distance, -1, 1))
    centre = middle + distance * np.array([0, np.sin(rise), np.cos(rise)])
    roll = rng.choice([rng.normal(0, 0.03), rng.normal(0, 0.25)], p=[0.88, 0.12])
    spread = 0.10 if view in ("full", "far") else 0.16
    pan, tilt = rng.normal(0, spread / focal / 1.6, 2)
    rotation = turn("z", roll) @ turn("x", rise + tilt) @ turn("y", pan) @ np.diag([1.0, -1, -1])
    return Camera(centre, rotation, focal)


def _things(rng: np.random.Generator, actors: list[Actor], camera: Camera, backdrop: Backdrop) -> tuple[Part, ...]:
    """Seats for those who sit, clutter behind and beside people, and now and then something in front."""
    parts = []
    for actor in actors:
        if actor.poses[0].seat:
            placed = actor.posed(0.0, 100.0).placed
            height = placed.joints[0, 1] - 0.112 * actor.person.build.size
            if height > 0.1:
                pelvis = placed.joints[0]
                parts.append(standing(rng, chair(rng, height), np.array([pelvis[0], 0, pelvis[2]]), actor.facing[0]))
    away = np.array([0, -1.0])
    for _ in range(int(rng.choice([0, 2, 5, 9], p=[0.2, 0.35, 0.3, 0.15]))):
        at = np.array([rng.uniform(-3.5, 3.5), rng.uniform(-5.5, 0.5)])
        if min(np.linalg.norm(at - a.at) for a in actors) < 0.75 or np.linalg.norm(at - camera.centre[[0, 2]]) < 0.9:
            continue
        parts.append(standing(rng, thing(rng), np.array([at[0], 0, at[1]]), rng.uniform(0, 6.3)))
    if rng.random() < 0.22:  # between the camera and somebody
        target = actors[rng.integers(len(actors))].at
        share = rng.uniform(0.35, 0.75)
        at = target + share * (camera.centre[[0, 2]] - target) + rng.normal(0, 0.35, 2) - away * 0.1
        parts.append(standing(rng, thing(rng), np.array([at[0], 0, at[1]]), rng.uniform(0, 6.3)))
    return tuple(parts)
