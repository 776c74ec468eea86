"""What is around people: the inside of a large box whose faces are painted as a room, a street, a meadow or a studio,
and things standing in it."""

from dataclasses import dataclass

import cv2
import numpy as np

from .face import Paint
from .person import Part
from .skeleton import turn
from .solids import ball, box, joined, tube
from .surface import Mesh, vertex_normals
from .texture import SIZE, draw_colour, fractal, leaves, linear, look_up, surface, writing

_WALL = 512  # pixels of a painted wall


@dataclass(frozen=True)
class Backdrop:
    """A box low..high (3,) metres in axes turned by `yaw`, with six faces (x low, x high, y low ...): tile and metres
    a tile, 0 for one that is stretched over its whole face."""

    low: np.ndarray
    high: np.ndarray
    yaw: float
    faces: tuple[tuple[np.ndarray, float], ...]
    outdoors: bool

    @staticmethod
    def draw(rng: np.random.Generator, keep: np.ndarray) -> "Backdrop":
        """Surroundings that hold all points `keep` (N, 3)."""
        kind = rng.choice(["room", "outdoors", "studio", "collage"], p=[0.42, 0.30, 0.12, 0.16])
        yaw = rng.choice([0.0, rng.uniform(-0.7, 0.7)])
        local = keep @ turn("y", yaw)
        low, high = local.min(0), local.max(0)
        margin = {"room": (0.5, 3.0), "outdoors": (8.0, 30.0), "studio": (0.6, 3.0), "collage": (0.5, 4.0)}[kind]
        low -= rng.uniform(*margin, 3)
        high += rng.uniform(*margin, 3)
        low[1], high[1] = 0.0, max(high[1], rng.uniform(2.3, 3.6))
        if kind == "outdoors":
            high[1] = max(high[1], 40.0)
            ground = surface(rng, rng.choice(["grass", "plaster", "bricks", "tiles", "planks", "marble", "foliage"]))
            walls = [_panorama(rng) for _ in range(2)]
            faces = [(walls[i % 2], 0.0) for i in range(4)]
            sky = np.full((8, 8, 3), walls[0][-1].mean(0), np.float32)
            order = [faces[0], faces[1], (ground, rng.uniform(0.7, 3)), (sky, 1.0), faces[2], faces[3]]
        elif kind == "studio":
            colour = draw_colour(rng, vivid=0.08)
            noise = fractal(rng, slope=2)[..., None]
            tile = (colour * (0.7 + 0.6 * noise)).astype(np.float32)
            order = [(tile, 0.0)] * 6
        else:
            paint = _wall if kind == "room" else _collage
            walls = [paint(rng) for _ in range(3)]
            floor = surface(rng, rng.choice(["planks", "tiles", "plaster", "cloth", "marble", "plain", "leaves"]))
            ceiling = np.full((8, 8, 3), draw_colour(rng, rng.uniform(0.5, 1)), np.float32)
            order = [
                (walls[0], 0.0),
                (walls[1], 0.0),
                (floor, rng.uniform(0.5, 2)),
                (ceiling, 1.0),
                (walls[2], 0.0),
                (walls[0], 0.0),
            ]
        return Backdrop(low, high, float(yaw), tuple(order), kind == "outdoors")

    def seen(self, origin: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For rays (N, 3) in the world from inside: distance in lengths of the ray, world normal (N, 3), colour (N,
        3)."""
        axes = turn("y", self.yaw).astype(np.float32)
        ray = rays @ axes
        start = (origin @ axes).astype(np.float32)
        ray[np.abs(ray) < 1e-6] = 1e-6
        exits = (np.where(ray > 0, self.high, self.low).astype(np.float32) - start) / ray
        axis = exits.argmin(1)
        distance = np.take_along_axis(exits, axis[:, None], 1)[:, 0]
        face = 2 * axis + (np.take_along_axis(ray, axis[:, None], 1)[:, 0] > 0)
        colour, normal = np.zeros_like(rays), np.zeros_like(rays)
        for number, (tile, metres) in enumerate(self.faces):
            at = np.flatnonzero(face == number)
            if not len(at):
                continue
            hit = start + ray[at] * distance[at, None]
            across, up = ((2, 1), (0, 2), (0, 1))[number // 2]
            size = (self.high - self.low)[[across, up]] if metres == 0 else np.array([metres, metres])
            uv = (hit[:, [across, up]] - self.low[[across, up]].astype(np.float32)) / size.astype(np.float32)
            colour[at] = look_up(tile, uv[:, 0], uv[:, 1])
            normal[at] = axes[:, number // 2] * (1 if number % 2 == 0 else -1)
        return distance, normal, colour


def _repeat(tile: np.ndarray, times: int) -> np.ndarray:
    small = cv2.resize(tile, (_WALL // times, _WALL // times), interpolation=cv2.INTER_AREA)
    return np.tile(small, (times + 1, times + 1, 1))[:_WALL, :_WALL].copy()


def _wall(rng: np.random.Generator) -> np.ndarray:
    """A wall from the floor (row 0) up: pictures, windows, doors, shelves."""
    tile = _repeat(
        surface(
            rng,
            rng.choice(
                ["plain", "plaster", "bricks", "planks", "stripes", "tiles", "marble"],
                p=[0.3, 0.3, 0.1, 0.1, 0.08, 0.07, 0.05],
            ),
        ),
        int(rng.choice([1, 2, 3, 4])),
    )
    if rng.random() < 0.5:
        tile[: int(rng.uniform(8, 40))] = draw_colour(rng)
    for _ in range(int(rng.choice([0, 1, 3, 6, 10]))):
        wide, tall = (rng.uniform(0.05, 0.3, 2) * _WALL).astype(int)
        x, y = int(rng.uniform(0, _WALL - wide)), int(rng.uniform(0.2, 1) * (_WALL - tall))
        kind = rng.choice(["picture", "window", "door", "shelf"], p=[0.4, 0.25, 0.12, 0.23])
        if kind == "door":
            y, tall, wide = 0, int(_WALL * 0.75), int(_WALL * rng.uniform(0.12, 0.2))
        inner = {
            "picture": lambda: _collage(rng, SIZE),
            "window": lambda: _panorama(rng)[128:, :256] * rng.uniform(1.5, 4),
            "door": lambda: surface(rng, rng.choice(["plain", "planks"])),
            "shelf": lambda: _books(rng),
        }[kind]()
        frame = max(2, int(rng.uniform(0.004, 0.02) * _WALL))
        tile[y : y + tall, x : x + wide] = draw_colour(rng)
        inside = tile[y + frame : y + tall - frame, x + frame : x + wide - frame]
        if inside.size:
            inside[:] = cv2.resize(
                np.ascontiguousarray(inner), (inside.shape[1], inside.shape[0]), interpolation=cv2.INTER_AREA
            )
            if kind == "window":
                inside[:, inside.shape[1] // 2 - 2 : inside.shape[1] // 2 + 2] = tile[y, x]
    if rng.random() < 0.2:  # curtains
        x0, x1 = np.sort(rng.integers(0, _WALL, 2))
        folds = 0.6 + 0.4 * np.sin(np.arange(x1 - x0) * rng.uniform(0.15, 0.5) + 3 * np.sin(np.arange(x1 - x0) * 0.05))
        tile[:, x0:x1] = draw_colour(rng) * folds[None, :, None]
    return tile


def _books(rng: np.random.Generator) -> np.ndarray:
    tile = np.zeros((SIZE, SIZE, 3), np.float32)
    rows = int(rng.integers(2, 6))
    for row in range(rows):
        x, y0 = 0, row * SIZE // rows
        while x < SIZE:
            wide, tall = int(rng.integers(4, 18)), int(SIZE / rows * rng.uniform(0.6, 0.95))
            tile[y0 : y0 + tall, x : x + wide] = draw_colour(rng) * rng.uniform(0.7, 1.1, (1, min(wide, SIZE - x), 1))
            x += wide + int(rng.integers(0, 3))
    return tile


def _collage(rng: np.random.Generator, size: int = _WALL) -> np.ndarray:
    """Something with the colours, edges and frequencies of a photograph."""
    colours = [draw_colour(rng, vivid=0.12) for _ in range(int(rng.integers(3, 8)))]
    tile = leaves(rng, colours, int(rng.choice([30, 150, 500])), rng.uniform(0.1, 0.5), size)
    if rng.random() < 0.6:
        tile *= 0.5 + fractal(rng, size, rng.uniform(0.8, 1.6))[..., None]
    if rng.random() < 0.3:
        tile[:SIZE, :SIZE] = writing(rng, tile[:SIZE, :SIZE], draw_colour(rng), 5)
    if rng.random() < 0.5:
        tile = cv2.GaussianBlur(tile, (0, 0), rng.uniform(0.8, 6), borderType=cv2.BORDER_REFLECT)
    return tile


def _panorama(rng: np.random.Generator) -> np.ndarray:
    """From the ground (row 0) up: trees or houses, hills, then the sky."""
    sky = np.array(
        [linear(np.array(c)) for c in ((0.45, 0.65, 0.95), (0.75, 0.8, 0.85), (0.95, 0.75, 0.6), (0.12, 0.14, 0.22))]
    )[rng.choice(4, p=[0.45, 0.35, 0.12, 0.08])]
    share = np.linspace(0, 1, _WALL)[:, None, None]
    tile = (sky * (1.6 - 0.7 * share) * np.ones((1, _WALL, 1))).astype(np.float32)
    if rng.random() < 0.6:
        cloud = np.clip(fractal(rng, _WALL, 1.3) * 2.2 - 0.9, 0, 1)[..., None] * 0.8
        tile = tile * (1 - cloud) + cloud * sky.max() * 1.3
    x = np.arange(_WALL)
    for layer in range(int(rng.integers(1, 4))):
        top = rng.uniform(0.05, 0.45) / (1 + 0.4 * layer)
        if rng.random() < 0.55:  # trees
            crown = fractal(rng, _WALL, 1.2)[0]
            green = cv2.resize(surface(rng, "foliage"), (_WALL, _WALL))
            height = (top * (0.5 + crown) * _WALL).astype(int)
            mask = np.arange(_WALL)[:, None] < height
            tile[mask] = green[mask]
        else:  # houses
            left = 0
            while left < _WALL:
                wide, tall = int(rng.uniform(20, 110)), int(top * rng.uniform(0.5, 1.5) * _WALL)
                house = draw_colour(rng) * np.ones((tall, min(wide, _WALL - left), 3))
                step, gap = int(rng.integers(8, 20)), rng.uniform(0.3, 0.6)
                yy, xx = np.mgrid[0:tall, 0 : house.shape[1]]
                house[((yy % step) > step * gap) & ((xx % step) > step * gap)] *= rng.uniform(0.1, 2)
                tile[:tall, left : left + wide] = house[:_WALL]
                left += wide
    return tile[:, x]


def thing(rng: np.random.Generator) -> Mesh:
    """A thing that stands on the floor about the origin."""
    kind = rng.choice(["box", "boxes", "ball", "pole", "table", "chair", "plant", "lamp", "shelf", "cylinder"])
    if kind == "box":
        size = rng.uniform(0.15, 1.1, 3)
        return _moved(box(size), (0, size[1] / 2, 0))
    if kind == "boxes":
        sizes, height, parts = rng.uniform(0.15, 0.5, (3, 3)), 0.0, []
        for size in sizes:
            parts.append(_moved(box(size), (rng.normal(0, 0.05), height + size[1] / 2, rng.normal(0, 0.05))))
            height += size[1]
        return joined(parts)
    if kind == "ball":
        radius = rng.uniform(0.06, 0.4)
        return _moved(ball(radius), (0, radius if rng.random() < 0.7 else rng.uniform(0.5, 2), 0))
    if kind == "pole":
        return tube(
            np.linspace((0, 0, 0), (rng.normal(0, 0.1), rng.uniform(1, 3.5), 0), 5), rng.uniform(0.015, 0.12), 12
        )
    if kind == "cylinder":
        height, radius = rng.uniform(0.2, 1.2), rng.uniform(0.06, 0.35)
        return tube(
            np.array([(0, 0, 0), (0, height, 0), (0, height + 0.001, 0)]), np.array([radius, radius, 0.001]), 20
        )
    if kind == "plant":
        pot = tube(np.array([(0, 0, 0), (0, 0.3, 0), (0, 0.301, 0)]), np.array([0.11, 0.15, 0.01]), 14)
        parts = [pot]
        for _ in range(int(rng.integers(8, 26))):
            direction = rng.normal(0, 1, 3) * (1, 0.4, 1) + (0, 0.9, 0)
            tip = direction / np.linalg.norm(direction) * rng.uniform(0.3, 0.9)
            path = np.linspace((0, 0.3, 0), tip + np.array([0, 0.3, 0]), 5)
            path[:, 1] += 0.1 * np.sin(np.linspace(0, 3, 5))
            parts.append(tube(path, np.array([0.006, 0.02, 0.04, 0.03, 0.002]) * rng.uniform(0.6, 1.5), 5))
        return joined(parts)
    if kind == "lamp":
        height = rng.uniform(1.2, 1.8)
        shade = _moved(ball(np.array([0.18, 0.13, 0.18]), 10), (0, height, 0))
        return joined([tube(np.linspace((0, 0, 0), (0, height, 0), 4), 0.015, 8), shade])
    if kind == "shelf":
        wide, tall = rng.uniform(0.5, 1.5), rng.uniform(0.8, 2.1)
        boards = [_moved(box(np.array([wide, 0.03, 0.3])), (0, y, 0)) for y in np.linspace(0.02, tall, 5)]
        sides = [_moved(box(np.array([0.03, tall, 0.3])), (s * wide / 2, tall / 2, 0)) for s in (1, -1)]
        return joined(boards + sides)
    return chair(rng, rng.uniform(0.4, 0.5)) if kind == "chair" else _table(rng)


def chair(rng: np.random.Generator, seat: float) -> Mesh:
    """Something to sit on, its top `seat` metres high, its back towards -z."""
    wide = rng.uniform(0.42, 0.6)
    if rng.random() < 0.35 or seat < 0.2:
        return _moved(box(np.array([rng.uniform(0.45, 1.8), seat, 0.5])), (0, seat / 2, -0.03))
    parts = [_moved(box(np.array([wide, 0.05, 0.45])), (0, seat - 0.025, 0.0))]
    parts += [
        tube(np.linspace((x * wide * 0.45, 0, z * 0.2), (x * wide * 0.45, seat, z * 0.2), 3), 0.02, 6)
        for x in (1, -1)
        for z in (1, -1)
    ]
    if rng.random() < 0.7:
        parts.append(_moved(box(np.array([wide, rng.uniform(0.25, 0.6), 0.04])), (0, seat + 0.35, -0.24)))
    return joined(parts)


def _table(rng: np.random.Generator) -> Mesh:
    wide, deep, tall = rng.uniform(0.6, 1.8), rng.uniform(0.5, 0.9), rng.uniform(0.45, 0.95)
    top = _moved(box(np.array([wide, 0.04, deep])), (0, tall, 0))
    legs = [
        tube(np.linspace((x * wide * 0.45, 0, z * deep * 0.42), (x * wide * 0.45, tall, z * deep * 0.42), 3), 0.025, 6)
        for x in (1, -1)
        for z in (1, -1)
    ]
    items = [
        _moved(
            box(rng.uniform(0.04, 0.25, 3)), (rng.uniform(-0.4, 0.4) * wide, tall + 0.1, rng.uniform(-0.3, 0.3) * deep)
        )
        for _ in range(int(rng.integers(0, 5)))
    ]
    return joined([top, *legs, *items])


def _moved(mesh: Mesh, offset: tuple) -> Mesh:
    return Mesh((mesh.vertices + np.float32(offset)).astype(np.float32), mesh.triangles)


def standing(rng: np.random.Generator, mesh: Mesh, at: np.ndarray, yaw: float) -> Part:
    """A thing in the world, with a surface of its own."""
    tile, metres, shine = surface(rng), rng.uniform(0.15, 1.0), float(rng.choice([0.03, 0.1, 0.4]))
    normal = vertex_normals(mesh.vertices, mesh.triangles)
    axis = np.abs(normal).argmax(1)
    across = np.where(axis == 0, mesh.vertices[:, 2], mesh.vertices[:, 0])
    up = np.where(axis == 1, mesh.vertices[:, 2], mesh.vertices[:, 1])
    fields = np.zeros((len(axis), 4), np.float32)
    fields[:, 0], fields[:, 1] = across / metres, up / metres

    def paint(local: np.ndarray, uv: np.ndarray) -> Paint:
        n = len(uv)
        return Paint(
            np.zeros(n, np.uint8),
            look_up(tile, uv[:, 0], uv[:, 1]),
            np.full(n, shine, np.float32),
            np.zeros(n, np.float32),
        )

    vertices = mesh.vertices @ turn("y", yaw).T + at
    return Part(vertices.astype(np.float32), mesh.triangles, mesh.vertices, fields, paint, True)
