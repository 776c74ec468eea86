"""A drawn scene: the picture, and what is true about every pixel and every person of it.

Frames are those of the networks' results: points x right, y down, z away from the camera; normals x right, y up, z
towards the camera. Pixel centres have whole coordinates, the camera looks through ((W - 1) / 2, (H - 1) / 2)."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from . import light
from .labels import SKIN
from .person import Posed
from .photo import blurred_behind
from .raster import at_samples, corner_weights, visible_triangles
from .stage import Camera, Stage
from .surface import unit, vertex_normals

_NEAR = 0.08  # metres


@dataclass(frozen=True)
class DrawnPerson:
    """`box_xyxy` (4,) around the pixels that show the person; `keypoints` (308, 2) pixels; `visible` (308,) bool: a
    pixel within one of the point shows this person's surface no more than the flesh there may be in front of the
    point; `keypoints_3d` (308, 3) metres, and `flesh_m` (308,) how far below the skin (or cloth) each may lie."""

    box_xyxy: np.ndarray
    keypoints: np.ndarray
    visible: np.ndarray
    keypoints_3d: np.ndarray
    flesh_m: np.ndarray


@dataclass(frozen=True)
class Scene:
    """`image_rgb` (H, W, 3) uint8; `labels` (H, W) uint8; `normals` (H, W, 3) unit; `points` (H, W, 3) metres,
    everywhere finite; `albedo` (H, W, 3) 0..1 as a display shows it; `alpha` (H, W) 0..1; `foreground` (H, W, 3) 0..1
    display values multiplied by alpha, before noise and compression; `person_index` (H, W) int16 into `people`, -1 for
    none; `people`: those who have a pixel in the picture."""

    image_rgb: np.ndarray
    labels: np.ndarray
    normals: np.ndarray
    points: np.ndarray
    albedo: np.ndarray
    alpha: np.ndarray
    foreground: np.ndarray
    person_index: np.ndarray
    focal_px: float
    people: tuple[DrawnPerson, ...]


def draw(seed: int, size_hw: tuple[int, int], people: int | None = None, view: str | None = None) -> Scene:
    """The scene of a seed: the same seed and size give the same arrays, to the bit.

    Args:
        size_hw: of the picture.
        people: at most so many (fewer where there is no room); at random when None.
        view: what the picture is of, a key of stage._VIEWS ("full", "waist", "face", "hand" ...); at random when None.
    """
    stage = Stage.draw(seed, size_hw[0] >= size_hw[1], people, view)
    return _render(stage, size_hw, 0.0, np.random.default_rng([seed, 5]))


def clip(
    seed: int, size_hw: tuple[int, int], frames: int, people: int | None = None, view: str | None = None
) -> Iterator[Scene]:
    """The same, moving: people go from one pose to another while the camera swings a little."""
    stage = Stage.draw(seed, size_hw[0] >= size_hw[1], people, view)
    for i in range(frames):
        yield _render(stage, size_hw, i / max(frames - 1, 1), np.random.default_rng([seed, 5, i]))


def _render(stage: Stage, size_hw: tuple[int, int], time: float, rng: np.random.Generator) -> Scene:
    height, width = size_hw
    camera = stage.camera_at(time)
    focal = camera.focal_px(size_hw)
    # samples lie half a pixel apart; pixel (r, c) is sample (2 r + 1, 2 c + 1)
    grid_hw = (2 * height + 1, 2 * width + 1)
    posed = [actor.posed(time, 2 * focal / max(0.3, _distance(camera, actor.at))) for actor in stage.actors]
    parts = [part for one in posed for part in one.parts] + list(stage.things)
    owner = np.array([i for i, one in enumerate(posed) for _ in one.parts] + [-1] * len(stage.things), np.int16)
    counts = [len(part.vertices) for part in parts]
    begin = np.cumsum([0, *counts[:-1]])
    vertices = np.concatenate([part.vertices for part in parts]).astype(np.float32)
    triangles = np.concatenate([part.triangles + np.int32(b) for part, b in zip(parts, begin, strict=True)])
    part_of = np.repeat(np.arange(len(parts), dtype=np.int32), [len(part.triangles) for part in parts])
    two_sided = np.array([part.two_sided for part in parts])[part_of]
    values = np.concatenate(
        [np.concatenate([vertex_normals(p.vertices, p.triangles), p.local, p.fields], 1) for p in parts]
    ).astype(np.float32)  # (V, 10)

    seen = (vertices - camera.centre.astype(np.float32)) @ camera.rotation.T.astype(np.float32)
    near = np.where(seen[:, 2] > _NEAR, 1 / np.maximum(seen[:, 2], _NEAR), 0).astype(np.float32)
    middle = np.array([(width - 1) / 2, (height - 1) / 2], np.float32)
    xy = 2 * (np.clip(seen[:, :2] * near[:, None], -50, 50) * np.float32(focal) + middle) + 1
    which, inverse = visible_triangles(xy, near, triangles, two_sided, grid_hw)

    yy, xx = np.mgrid[0 : grid_hw[0], 0 : grid_hw[1]].astype(np.float32)
    rays = np.stack(
        [
            ((xx - 1) / 2 - middle[0]) / np.float32(focal),
            ((yy - 1) / 2 - middle[1]) / np.float32(focal),
            np.ones_like(xx),
        ],
        -1,
    )
    labels, index = np.zeros(grid_hw, np.uint8), np.full(grid_hw, -1, np.int16)
    albedo, normals = np.empty((*grid_hw, 3), np.float32), np.empty((*grid_hw, 3), np.float32)
    depth = np.empty(grid_hw, np.float32)
    shine, bump = np.zeros(grid_hw, np.float32), np.zeros(grid_hw, np.float32)

    to_view = np.diag([1.0, -1, -1]) @ camera.rotation  # world to the normals' frame
    free = which < 0
    distance, normal, colour = stage.backdrop.seen(camera.centre, rays[free] @ camera.rotation.astype(np.float32))
    albedo[free], depth[free], normals[free] = colour, distance, normal @ to_view.T.astype(np.float32)
    row, column = np.nonzero(~free)
    triangle = which[row, column]
    order = np.argsort(part_of[triangle], kind="stable")
    row, column, triangle = row[order], column[order], triangle[order]
    corners = triangles[triangle]
    found = at_samples(values, corners, corner_weights(xy, near, corners, column, row))
    depth[row, column] = 1 / inverse[row, column]
    bounds = np.searchsorted(part_of[triangle], np.arange(len(parts) + 1))
    for number, part in enumerate(parts):
        here = slice(bounds[number], bounds[number + 1])
        if here.start == here.stop:
            continue
        r, c = row[here], column[here]
        paint = part.paint(found[here, 3:6], found[here, 6:])
        labels[r, c], albedo[r, c], shine[r, c], bump[r, c] = paint.labels, paint.rgb, paint.shine, paint.bump
        index[r, c] = owner[number]
    index[labels == 0] = -1
    normals[row, column] = found[:, :3] @ to_view.T.astype(np.float32)
    to_eye = rays * np.float32([-1, 1, 1])
    to_eye = unit(to_eye)
    _bend(normals, bump, depth, which, part_of, focal)
    _face(normals, to_eye)

    points = rays * depth[..., None]
    world = points.reshape(-1, 3) @ camera.rotation.astype(np.float32) + camera.centre.astype(np.float32)
    lit = light.shadow(stage.lights, vertices, triangles, two_sided, world).reshape(grid_hw)
    lit = cv2.GaussianBlur(
        lit, (0, 0), float(np.clip(stage.lights.soft * 2 * focal / np.median(depth), 1, 0.02 * grid_hw[1]))
    )
    open_ = light.corners(depth, 2 * focal)
    skin = np.isin(np.arange(29), SKIN)[labels]
    radiance = light.shade(stage.lights, albedo, normals, shine, skin, lit, open_, to_eye, to_view)

    person = labels > 0
    development = stage.development
    grey = radiance @ np.full(3, 1 / 3, np.float32)
    level = np.median(grey[person]) if person.any() else 0.2
    display = development.develop(radiance, 0.6 * float(level) + 0.4 * float(grey.mean()))
    cover = person.astype(np.float32)
    front = _to_pixels(display * cover[..., None])
    alpha = _to_pixels(cover)
    behind = display
    if development.background_blur:
        behind = blurred_behind(display, cover, development.background_blur * max(grid_hw))
    image = front + _to_pixels(behind * (1 - cover[..., None]))
    centre = (slice(1, None, 2), slice(1, None, 2))
    index = index[centre].copy()
    shown = np.unique(index[index >= 0])  # those out of sight are nobody's business
    index[index >= 0] = np.searchsorted(shown, index[index >= 0])
    return Scene(
        image_rgb=development.wear(rng, image),
        labels=labels[centre].copy(),
        normals=normals[centre].copy(),
        points=points[centre].copy(),
        albedo=np.clip(albedo[centre], 0, 1) ** np.float32(1 / 2.2),
        alpha=alpha,
        foreground=front,
        person_index=index,
        focal_px=focal,
        people=tuple(_people([posed[i] for i in shown], camera, focal, index, depth[centre])),
    )


def _distance(camera: Camera, at: np.ndarray) -> float:
    return float(np.linalg.norm(camera.centre[[0, 2]] - at))


def _to_pixels(samples: np.ndarray) -> np.ndarray:
    """(2H + 1, 2W + 1, ...) samples to (H, W, ...) pixels, by a tent one pixel wide to each side."""
    kernel = np.float32([0.25, 0.5, 0.25])
    return cv2.sepFilter2D(samples, -1, kernel, kernel)[1::2, 1::2].clip(0, 1)


def _bend(
    normals: np.ndarray, bump: np.ndarray, depth: np.ndarray, which: np.ndarray, part_of: np.ndarray, focal: float
) -> None:
    """Tilt normals by the relief `bump` (metres) that paint adds, in place (Mikkelsen 2010, for slopes on the
    screen)."""
    part = np.where(which >= 0, part_of[which], -1)
    slope = np.zeros((*bump.shape, 2), np.float32)
    per_metre = np.float32(2 * focal) / depth
    for axis in range(2):
        step = np.diff(bump, axis=1 - axis)
        same = np.diff(part, axis=1 - axis) == 0
        before = (slice(None), slice(None, -1)) if axis == 0 else (slice(None, -1), slice(None))
        slope[(*before, axis)] = step * same * per_metre[before]
    np.clip(slope, -0.6, 0.6, out=slope)
    gradient = np.stack([slope[..., 0], -slope[..., 1], np.zeros_like(bump)], -1)
    along = np.einsum("hwc,hwc->hw", gradient, normals)
    normals -= (gradient - along[..., None] * normals) * np.clip(normals[..., 2:] * 2, 0, 1)


def _face(normals: np.ndarray, to_eye: np.ndarray) -> None:
    """Make normals unit and let none look away from the eye, in place."""
    normals[:] = unit(normals)
    away = np.einsum("hwc,hwc->hw", normals, to_eye)
    # the inside of a sheet shows its other face; interpolated normals on a rim are laid down on it
    flip = away < -0.35
    normals[flip] *= -1
    away = np.where(flip, -away, away)
    rim = away < 0.02
    normals[rim] += (np.float32(0.02) - away[rim])[:, None] * to_eye[rim]
    normals[rim] = unit(normals[rim])


def _people(
    posed: list[Posed], camera: Camera, focal: float, index: np.ndarray, depth: np.ndarray
) -> Iterator[DrawnPerson]:
    height, width = index.shape
    for number, one in enumerate(posed):
        rows, columns = np.nonzero(index == number)
        box = np.float32([columns.min(), rows.min(), columns.max(), rows.max()])
        points = (one.keypoints - camera.centre) @ camera.rotation.T
        ahead = points[:, 2] > _NEAR
        xy = points[:, :2] / np.maximum(points[:, 2:], _NEAR) * focal + ((width - 1) / 2, (height - 1) / 2)
        inside = ahead & (np.round(xy) >= 0).all(1) & (np.round(xy[:, 0]) < width) & (np.round(xy[:, 1]) < height)
        shown = np.zeros(308, bool)
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                r = np.clip(np.round(np.where(inside, xy[:, 1], 0)).astype(int) + dy, 0, height - 1)
                c = np.clip(np.round(np.where(inside, xy[:, 0], 0)).astype(int) + dx, 0, width - 1)
                behind = points[:, 2] - depth[r, c]
                shown |= (index[r, c] == number) & (behind < one.flesh + 0.02) & (behind > -0.06)
        yield DrawnPerson(
            box, xy.astype(np.float32), inside & shown, points.astype(np.float32), one.flesh.astype(np.float32)
        )
