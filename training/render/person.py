"""One person: figure, face, hair, clothes and pose, as parts in the world that know how to paint themselves."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import body, foot, hand, head, labels
from . import keypoints as points_of
from .face import Face, Paint, paint_face
from .hair import Headwear, draw_hair_colour, draw_headwear
from .outfit import Outfit, draw_skin
from .pose import Pose
from .skeleton import BONES, INDEX, Build, Placed
from .solids import box, grid_mesh, joined, tube
from .surface import Mesh
from .texture import draw_colour, grain


@dataclass(frozen=True)
class Part:
    """A mesh in the world with, per vertex, the `local` (V, 3) place and `fields` (V, 4) that `paint` (N, 3), (N, 4)
    reads at each sample. Background things paint label 0."""

    vertices: np.ndarray
    triangles: np.ndarray
    local: np.ndarray
    fields: np.ndarray
    paint: Callable[[np.ndarray, np.ndarray], Paint]
    two_sided: bool = False


@dataclass(frozen=True)
class Posed:
    """`parts` in the world, `keypoints` (308, 3), and `flesh` (308,) metres of body in front of a point in plain
    view."""

    parts: list[Part]
    keypoints: np.ndarray
    flesh: np.ndarray
    placed: Placed


@dataclass(frozen=True)
class Person:
    """Everything about somebody that a pose does not change."""

    build: Build
    identity: head.Identity
    face: Face
    headwear: Headwear
    outfit: Outfit
    held: Mesh | None
    held_rgb: np.ndarray
    scarf: bool

    @staticmethod
    def draw(rng: np.random.Generator) -> "Person":
        build = Build.draw(rng)
        woman = build.breasts > 0.012 or rng.random() < 0.15
        child = build.size < 0.82
        young = float(np.clip((0.9 - build.size) / 0.35, 0, 1))
        skin = draw_skin(rng)
        hair = draw_hair_colour(rng, skin.mean() < 0.15)
        held = None
        if rng.random() < 0.12:
            held = rng.choice(["phone", "cup", "book", "stick"])
            held = {
                "phone": box(np.array([0.15, 0.075, 0.01])),
                "cup": tube(np.array([[0, -0.05, 0], [0, 0.0, 0], [0, 0.05, 0.0]]), 0.035, 14),
                "book": box(np.array([0.2, 0.14, 0.025])),
                "stick": tube(np.linspace((0, -0.6, 0), (0, 0.5, 0), 6), 0.015),
            }[held]
        return Person(
            build=build,
            identity=head.Identity.draw(rng, young),
            face=Face.draw(rng, skin, hair, bearded=not woman and not child and rng.random() < 0.42, child=child),
            headwear=draw_headwear(rng, hair, woman),
            outfit=Outfit.draw(rng, skin, woman, child),
            held=held,
            held_rgb=draw_colour(rng),
            scarf=rng.random() < 0.04,
        )

    def posed(self, pose: Pose, facing: float, at: np.ndarray, ground: float, detail: float) -> Posed:
        """Stand (sit, lie) somewhere.

        Args:
            facing: radians the person is turned about the vertical; 0 faces +z.
            at: (2,) x and z of the pelvis. ground: height of the floor.
            detail: of the meshes, about the size in samples of a metre of this person.
        """
        pose = Pose(**{**pose.__dict__, "root": pose.root + np.array([0, facing, 0])})
        placed = pose.placed(self.build.scales())
        # coarser far away: triangles of about two samples
        step = 14 if detail > 260 else 24
        main = self._body(placed, step)
        extremities = [self._foot(placed, i, 6 if detail > 400 else 12) for i in range(2)]
        lowest = min(part.vertices[:, 1].min() for part in (main, *extremities))
        offset = np.array([at[0], ground - lowest + pose.lift, at[1]])
        placed = placed.moved(offset)
        parts = [
            Part(
                p.vertices + offset.astype(np.float32),
                *[getattr(p, k) for k in ("triangles", "local", "fields", "paint", "two_sided")],
            )
            for p in (main, *extremities)
        ]
        joints = []
        for i in range(2):
            part, chain = self._hand(placed, pose, i, 4500 if detail > 600 else 8000)
            parts.append(part)
            joints.append(chain)
        parts += self._head(placed, 4500 if detail > 450 else 10000 if detail > 150 else 16000)
        parts += self._extras(placed)
        points, flesh = points_of.body_points(placed, tuple(joints), self.outfit.shoes)
        face = points_of.face_points(self.face)
        set_here = ~np.isnan(face[:, 0])
        points[set_here] = self._from_head(placed, face[set_here])
        flesh[set_here] = 0.02
        return Posed(parts, points, flesh, placed)

    def _from_head(self, placed: Placed, points: np.ndarray) -> np.ndarray:
        return placed.at("head", self.identity.shape(points) + head.ORIGIN)

    def _body(self, placed: Placed, step: int) -> Part:
        template = body.template(step)
        rest = template.shaped(self.build)
        # folds on clothes: outward in the rest pose
        rest = rest + template.normals * self.outfit.displaced(template.vertices, template.fields)[:, None]
        return Part(
            placed.skinned(rest, template.weights),
            template.triangles,
            template.vertices,
            template.fields,
            self.outfit.paint_body,
        )

    def _foot(self, placed: Placed, right: int, step: int) -> Part:
        template = foot.template(self.outfit.shoes, step)
        mesh = template.mesh
        weights = template.weights
        if right:
            mesh = mesh.mirrored()
            weights = weights.copy()
            for bone in ("foot", "toes"):
                weights[:, INDEX[f"{bone}_r"]], weights[:, INDEX[f"{bone}_l"]] = (
                    weights[:, INDEX[f"{bone}_l"]].copy(),
                    0,
                )
        vertices = placed.skinned(mesh.vertices, weights).astype(np.float32)
        fields = np.zeros((len(vertices), 4), np.float32)
        return Part(
            vertices, mesh.triangles, mesh.vertices, fields, lambda xyz, f: self.outfit.paint_foot(bool(right), xyz, f)
        )

    def _hand(self, placed: Placed, pose: Pose, right: int, step: int) -> tuple[Part, np.ndarray]:
        template = hand.template(step)
        vertices, joints = hand.posed(template, pose.grips[right])
        mirror = np.array([-1.0 if right else 1.0, 1, 1])
        bone = f"hand_{'r' if right else 'l'}"
        origin = placed.joints[INDEX[bone]]

        def world(points: np.ndarray) -> np.ndarray:
            return (points @ hand.REST_AXES.T * mirror) @ placed.linear[INDEX[bone]].T + origin

        triangles = template.mesh.triangles[:, ::-1] if right else template.mesh.triangles
        part = Part(
            world(vertices).astype(np.float32),
            triangles,
            template.mesh.vertices,
            np.zeros((len(vertices), 4), np.float32),
            lambda xyz, f: self.outfit.paint_hand(bool(right), xyz, f),
        )
        return part, world(joints)

    def _head(self, placed: Placed, step: int) -> list[Part]:
        mesh = head.template(step).mesh
        local = head.opened(mesh.vertices, self.face.mouth_open)
        if self.face.mouth_open > 0.003:  # the mouth is a hollow
            middle = head.MOUTH_Y - self.face.mouth_open / 2
            inside = (local[:, 0] / (self.face.mouth_width * 0.8)) ** 2 + (
                (local[:, 1] - middle) / (0.5 * self.face.mouth_open)
            ) ** 2
            local[:, 2] -= 0.010 * np.clip(1.3 - inside, 0, 1) * (local[:, 2] > 0.06)
        parts = [self._on_head(placed, Mesh(local, mesh.triangles), self._paint_head)]
        for kind, worn in self.headwear.meshes:
            parts.append(
                self._on_head(placed, worn, lambda xyz, f, kind=kind: self.headwear.paint(kind, xyz), two_sided=True)
            )
        return parts

    def _on_head(self, placed: Placed, mesh: Mesh, paint: Callable, two_sided: bool = False) -> Part:
        vertices = self._from_head(placed, mesh.vertices.astype(np.float64)).astype(np.float32)
        return Part(
            vertices,
            mesh.triangles,
            mesh.vertices.astype(np.float32),
            np.zeros((len(vertices), 4), np.float32),
            paint,
            two_sided,
        )

    def _paint_head(self, xyz: np.ndarray, fields: np.ndarray) -> Paint:
        paint = self.outfit.skin(xyz)
        paint.labels[:] = labels.FACE_NECK
        noise = grain(xyz, 1100)
        paint_face(self.face, xyz, paint, self.headwear.hair_rgb, noise)
        if self.outfit.neck == "turtle" and self.outfit.sleeve > 0:
            collar = (xyz[:, 1] < -0.125) & (xyz[:, 2] < 0.04)
            paint.rgb[collar] = self.outfit.upper_tile[:4].mean((0, 1))
            paint.labels[collar] = labels.UPPER_CLOTHING
        if self.headwear.clear is not None:
            x, y, wide, tall = self.headwear.clear
            lens = (((np.abs(xyz[:, 0]) - x) / wide) ** 4 + ((xyz[:, 1] - y) / tall) ** 4 < 1) & (xyz[:, 2] > 0.03)
            paint.labels[lens] = labels.EYEGLASS
            paint.rgb[lens] = paint.rgb[lens] * 0.9 + 0.04
            paint.shine[lens] = 0.5
        return paint

    def _extras(self, placed: Placed) -> list[Part]:
        parts = []
        outfit = self.outfit
        if outfit.skirt:
            parts.append(self._skirt(placed))
        worn = []
        if outfit.straps == "pack":
            pack = box(np.array([0.28, 0.42, 0.14]), 3)
            bulge = 1 - 0.25 * ((pack.vertices / (0.14, 0.21, 0.07)) ** 2).sum(1, keepdims=True) / 3
            worn.append(("chest", Mesh(pack.vertices * bulge + np.float32([0, 1.27, -0.20]), pack.triangles)))
        elif outfit.straps == "bag":
            bag = box(np.array([0.09, 0.2, 0.27]), 2)
            worn.append(("pelvis", Mesh(bag.vertices + np.float32([-0.23, 0.92, 0.02]), bag.triangles)))
        if self.scarf:
            turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
            ring = np.stack([0.072 * np.sin(turn), 1.51 + 0.02 * np.cos(turn) * -1, 0.075 * np.cos(turn) - 0.02], -1)
            worn.append(
                (
                    "neck",
                    joined(
                        [
                            tube(ring, 0.032, 10, closed=True),
                            tube(np.linspace((0.03, 1.5, 0.09), (0.05, 1.1, 0.15), 8), 0.035, 10),
                        ]
                    ),
                )
            )
        for bone, mesh in worn:
            vertices = placed.at(bone, mesh.vertices.astype(np.float64)).astype(np.float32)
            parts.append(
                Part(
                    vertices,
                    mesh.triangles,
                    mesh.vertices,
                    np.zeros((len(vertices), 4), np.float32),
                    self._paint_apparel,
                    True,
                )
            )
        if self.held is not None:
            i = INDEX["hand_r"]
            local = self.held.vertices @ hand.REST_AXES[:, [0, 1, 2]].T * (-1, 1, 1) + hand.REST_AXES @ (
                0.085,
                0.0,
                0.035,
            ) * (-1, 1, 1)
            vertices = (local @ placed.linear[i].T + placed.joints[i]).astype(np.float32)
            parts.append(
                Part(
                    vertices,
                    self.held.triangles,
                    self.held.vertices,
                    np.zeros((len(vertices), 4), np.float32),
                    self._paint_held,
                    True,
                )
            )
        return parts

    def _paint_apparel(self, xyz: np.ndarray, fields: np.ndarray) -> Paint:
        n = len(xyz)
        tone = 0.85 + 0.3 * grain(xyz, 400)[:, None]
        return Paint(
            np.full(n, labels.APPAREL, np.uint8),
            (self.outfit.apparel_rgb * tone).astype(np.float32),
            np.full(n, 0.05, np.float32),
            0.001 * self.outfit.creases(xyz),
        )

    def _paint_held(self, xyz: np.ndarray, fields: np.ndarray) -> Paint:
        n = len(xyz)
        rgb = np.broadcast_to(self.held_rgb.astype(np.float32), (n, 3)).copy()
        return Paint(np.zeros(n, np.uint8), rgb, np.full(n, 0.3, np.float32), np.zeros(n, np.float32))

    def _skirt(self, placed: Placed) -> Part:
        """Rings about hips and legs, hanging from the waist and swung along by the thighs."""
        outfit = self.outfit
        turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        y = np.linspace(1.04, outfit.skirt, 26)[:, None]
        below = np.clip(0.93 - y, 0, 1)
        waist = np.interp(y, (0.85, 0.93, 1.04), (1.0, 1.0, 0.80))
        pleats = (0.004 + 0.05 * below) * np.sin(turn * 9 + 2 * np.sin(turn * 2)) * (0.3 + outfit.skirt_flare)
        rx = 0.185 * waist + outfit.skirt_flare * below * 0.6 + pleats
        rz = 0.145 * waist + outfit.skirt_flare * below * 0.7 + 0.02 * below + pleats
        rz = (
            rz
            + 0.02 * (np.cos(turn) < 0) * np.exp(-(((y - 0.92) / 0.08) ** 2))
            + self.build.belly * 0.9 * (np.cos(turn) > 0) * np.exp(-(((y - 1.03) / 0.1) ** 2))
        )
        points = np.stack([rx * np.sin(turn), np.broadcast_to(y, rx.shape), rz * np.cos(turn) - 0.008], -1)
        mesh = grid_mesh(points, around=True)
        v = mesh.vertices
        weights = np.zeros((len(v), len(BONES)), np.float32)
        leg = np.clip((0.96 - v[:, 1]) / 0.3, 0, 0.9)
        left = np.clip(v[:, 0] / 0.14 * 0.5 + 0.5, 0, 1)
        knee = np.clip((0.50 - v[:, 1]) / 0.4, 0, 0.8)
        for side, share in (("l", left), ("r", 1 - left)):
            weights[:, INDEX[f"thigh_{side}"]] = leg * share * (1 - knee)
            weights[:, INDEX[f"shin_{side}"]] = leg * share * knee
        weights[:, 0] = 1 - leg
        return Part(
            placed.skinned(v, weights), mesh.triangles, v, np.zeros((len(v), 4), np.float32), outfit.paint_skirt, True
        )
