"""Scenes as training samples: the views that the real pipelines take of a photo, varied, with their targets.

All samples are dicts of NumPy arrays; the networks' inputs are (3, h, w) uint8, RGB (the detector's: BGR).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from . import scenes
from .scenes import Scene
from .variety import calmed, occlude, photographed

TABLES = Path(__file__).resolve().parents[1] / "sapiens_mlx/tasks/data"
PATCH = 16  # pixels of an input that are one token
WINDOW = (12, 9)  # patches, down and across, of a part of a view: half as high and wide as the whole
WHOLE = ("pointmap", "matting")  # the dense tasks that are learnt from whole views, not from windows
HEATMAP_STRIDE = 4
BOX_PADDING = 1.25
DETECTOR_PX, DETECTOR_GREY, MOST_BOXES = 640, 114, 24
HALF_BODY = tuple(range(11)) + tuple(range(63, 70))  # keypoints above the hips


@dataclass(frozen=True)
class Shares:
    """How often a view for training is varied so: dense views stretched or zoomed, scenes with a calm backdrop."""

    stretched: float = 0.0
    zoomed: float = 0.5
    calm: float = 0.3


@cache
def swapped_classes() -> np.ndarray:
    """(256,) uint8: each class in a mirrored picture."""
    table = np.arange(256, dtype=np.uint8)
    for a, b in json.loads((TABLES / "seg29.json").read_text())["swap_pairs"]:
        table[a], table[b] = b, a
    return table


@cache
def swapped_keypoints() -> np.ndarray:
    """(308,): each keypoint's partner in a mirrored picture."""
    table = np.arange(308)
    pairs = np.array(json.loads((TABLES / "keypoints308.json").read_text())["flip_pairs"])
    table[pairs] = pairs[:, ::-1]
    return table


@cache
def keypoint_sides() -> np.ndarray:
    """(308,) float32: 1 for a left one, 0 for a right one, 0.5 for one without a side."""
    words = [name.split("_") for name in json.loads((TABLES / "keypoints308.json").read_text())["names"]]
    return np.array([1 if {"left", "l"} & set(w) else 0 if {"right", "r"} & set(w) else 0.5 for w in words], np.float32)


@cache
def class_sides() -> np.ndarray:
    """(256,) float32: the same of classes."""
    return (1 + np.sign(swapped_classes() - np.arange(256.0, dtype=np.float32))) / 2  # left ones come first


# ---- geometry: (2, 3) matrices from photo to input, both counted from the middle of the first pixel ------------------


def placed(
    center_xy: np.ndarray, factor_xy: np.ndarray, input_hw: tuple[int, int], angle_deg: float = 0.0, flip: bool = False
) -> np.ndarray:
    """The photo scaled by `factor_xy`, turned by `angle_deg` and mirrored, with `center_xy` in the input's middle."""
    angle = np.radians(angle_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.diag(factor_xy)
    if flip:
        linear = np.diag([-1.0, 1.0]) @ linear
    middle = (np.array(input_hw[::-1]) - 1) / 2
    return np.concatenate([linear, (middle - linear @ center_xy)[:, None]], axis=1)


def dense_matrix(
    scene: Scene, input_hw: tuple[int, int], stretched: bool, rng: np.random.Generator | None, zoomed_share: float
) -> np.ndarray:
    """The whole photo as the dense tasks see it, or with `rng` often nearer, turned and mirrored."""
    height, width = scene.labels.shape
    center = np.array([width - 1, height - 1]) / 2
    factor = np.array([input_hw[1] / width, input_hw[0] / height])
    if not stretched:
        factor[:] = factor.min()
    if rng is None:
        return placed(center, factor, input_hw)
    if rng.random() < zoomed_share:
        zoom = np.exp(rng.uniform(np.log(0.75), np.log(2.0)))
        factor *= zoom
        if len(scene.boxes_xyxy):
            box = scene.boxes_xyxy[rng.integers(len(scene.boxes_xyxy))]
            aim = rng.uniform(box[:2], np.maximum(box[2:], box[:2] + 1e-3))
            # As zoom grows from 1 the view may move away from the photo's middle towards the person.
            center = center + (aim - center) * np.clip(2 * (zoom - 1), 0, 1)
        if stretched:
            factor *= np.exp(rng.uniform(-0.1, 0.1, 2))
    angle = rng.normal(0, 7) if rng.random() < 0.2 else 0.0
    return placed(center, factor, input_hw, angle, flip=rng.random() < 0.5)


def crop_matrix(
    box_xyxy: np.ndarray, input_hw: tuple[int, int], angle_deg: float = 0.0, flip: bool = False
) -> np.ndarray:
    """The person in the box as pose sees it: 1.25 times the box, grown to the input's ratio, over w - 1 steps (UDP)."""
    x1, y1, x2, y2 = box_xyxy
    width, height = BOX_PADDING * (x2 - x1), BOX_PADDING * (y2 - y1)
    aspect = input_hw[1] / input_hw[0]
    width, height = max(width, height * aspect), max(height, width / aspect)
    factor = np.array([(input_hw[1] - 1) / width, (input_hw[0] - 1) / height])
    return placed(np.array([x1 + x2, y1 + y2]) / 2, factor, input_hw, angle_deg, flip)


def is_mirror(matrix: np.ndarray) -> bool:
    return np.linalg.det(matrix[:, :2]) < 0


def warp(
    array: np.ndarray, matrix: np.ndarray, size_hw: tuple[int, int], filter_: int = cv2.INTER_LINEAR
) -> np.ndarray:
    return cv2.warpAffine(array, matrix, size_hw[::-1], flags=filter_)


def chw(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image.transpose(2, 0, 1))


# ---- samples --------------------------------------------------------------------------------------------------------


def shown(
    scene: Scene, matrix: np.ndarray, input_hw: tuple[int, int], rng: np.random.Generator | None, covered_share: float
) -> tuple[np.ndarray, np.ndarray]:
    """The picture of a view (h, w, 3), varied with `rng`, and the bool mask (h, w) of what is covered in it."""
    image, covered = warp(scene.image_rgb, matrix, input_hw), np.zeros(input_hw, bool)
    if rng is not None:
        if rng.random() < covered_share:
            covered = occlude(image, rng)
        image = photographed(image, rng)
    return image, covered


def keypoints_in(
    scene: Scene, matrix: np.ndarray, input_hw: tuple[int, int], covered: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All people's keypoints in a view: x and y in input pixels (P, 308, 2), and whether each is visible and whether it
    is inside (P, 308)."""
    keypoints, visible = scene.keypoints, scene.visible
    if is_mirror(matrix):
        keypoints, visible = keypoints[:, swapped_keypoints()], visible[:, swapped_keypoints()]
    input_xy = keypoints @ matrix[:, :2].T + matrix[:, 2]
    last = np.array(input_hw[::-1]) - 1
    inside = ((input_xy >= -0.5) & (input_xy <= last + 0.5)).all(axis=-1)
    input_xy = np.nan_to_num(input_xy)
    x, y = np.moveaxis(np.clip(np.rint(input_xy), 0, last).astype(int), -1, 0)
    return input_xy, visible & inside & ~covered[y, x], inside


def sides_of(labels: np.ndarray, input_xy: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Which side of somebody each patch (h / 16, w / 16) float32 shows more of: 1 left, 0 right, 0.5 neither.

    Where no class says it the nearest visible keypoint with a side does.
    """
    rows, columns = (n // PATCH for n in labels.shape)
    patches = labels.reshape(rows, PATCH, columns, PATCH)
    found = class_sides()[patches].mean((1, 3))
    sided = visible & (keypoint_sides() != 0.5)
    unsaid = ((patches > 0).mean((1, 3)) > 0.25) & (found == 0.5)
    if sided.any() and unsaid.any():
        middles_xy = PATCH * (np.argwhere(unsaid)[:, ::-1] + 0.5) - 0.5
        away = np.linalg.norm(middles_xy[:, None] - input_xy[sided], axis=-1)
        found[unsaid] = keypoint_sides()[np.nonzero(sided)[1][away.argmin(axis=1)]]
    return (1 + np.sign(found - 0.5)).astype(np.float32) / 2


def aimed(scene: Scene, matrix: np.ndarray, input_hw: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Row and column (2,) int64, in patches, of a window of a view's: most often with some of a person in it.

    Half of the windows aim at a class of the scene's, each as likely as the others: small parts would seldom be met.
    """
    room = np.array(input_hw) // PATCH - WINDOW
    if not len(scene.boxes_xyxy) or rng.random() < 0.15:
        return rng.integers(0, room + 1)
    classes = np.flatnonzero(np.bincount(scene.labels.ravel())[1:]) + 1
    if len(classes) and rng.random() < 0.6:
        places = np.flatnonzero(scene.labels == rng.choice(classes))
        y, x = divmod(int(rng.choice(places)), scene.labels.shape[1])
        aim = np.array([x, y], np.float64)
    else:
        box = scene.boxes_xyxy[rng.integers(len(scene.boxes_xyxy))]
        aim = rng.uniform(box[:2], np.maximum(box[2:], box[:2] + 1e-3))
    x, y = matrix[:, :2] @ aim + matrix[:, 2]
    near = np.array([y, x]) / PATCH - np.array(WINDOW) * rng.uniform(0.25, 0.75, 2)
    return np.clip(np.rint(near), 0, room).astype(np.int64)


def labels_in(scene: Scene, matrix: np.ndarray, input_hw: tuple[int, int], covered: np.ndarray) -> np.ndarray:
    """The classes (h, w) uint8 in a view."""
    labels = warp(scene.labels, matrix, input_hw, cv2.INTER_NEAREST)
    if is_mirror(matrix):
        labels = swapped_classes()[labels]
    labels[covered] = 0
    return labels


def dense_targets(
    scene: Scene, matrix: np.ndarray, input_hw: tuple[int, int], covered: np.ndarray
) -> dict[str, np.ndarray]:
    """What is true of a view, for all dense tasks.

    `rigid` says whether lengths and angles are kept: normals and points mean nothing in a view stretched by more than
    a little. `as_taken` says whether the view is the whole photo: what is cut out of one was taken by no camera, so its
    focal length teaches nothing. `points` are metric points times `scale`, with the optical axis in the view's middle.
    """
    depth = warp(scene.depth_m.astype(np.float32), matrix, input_hw, cv2.INTER_NEAREST)
    normals = warp(scene.normals.astype(np.float32) / 127, matrix, input_hw, cv2.INTER_NEAREST)
    albedo = warp(scene.albedo_rgb, matrix, input_hw)
    matte = warp(np.dstack([scene.foreground_rgb, scene.alpha]), matrix, input_hw)
    matte[covered] = 0
    first, stretch, last = np.linalg.svd(matrix[:, :2])
    factor = np.sqrt(stretch.prod())
    turn = (first @ last).astype(np.float32)  # the matrix without its stretching
    # The picture's y points down, the normals' up.
    flat = normals[..., :2] * np.array([1, -1], np.float32) @ turn.T
    normals = np.dstack([flat * np.array([1, -1], np.float32), normals[..., 2]])
    photo_hw = scene.labels.shape
    whole = min(input_hw[0] / photo_hw[0], input_hw[1] / photo_hw[1])
    focal_px = float(scene.focal_px) * factor
    scale = input_hw[1] / focal_px
    columns = (np.arange(input_hw[1]) - (input_hw[1] - 1) / 2) / focal_px
    rows = (np.arange(input_hw[0]) - (input_hw[0] - 1) / 2) / focal_px
    z = depth * np.float32(scale)
    points = np.stack([z * columns[None].astype(np.float32), z * rows[:, None].astype(np.float32), z])
    return {
        "labels": labels_in(scene, matrix, input_hw, covered),
        "normals": chw(normals).astype(np.float16),
        "points": np.clip(points, -6e4, 6e4).astype(np.float16),
        "scale": np.float32(scale),
        "albedo": chw(albedo),
        "matte": chw(matte),
        "rigid": np.float32(stretch[0] / stretch[1] < 1.03),
        "as_taken": np.float32(abs(factor / whole - 1) < 0.01),
    }


def of_window(targets: dict[str, np.ndarray], corner: np.ndarray) -> dict[str, np.ndarray]:
    """What of dense_targets the window at `corner` asks for: all but what WHOLE tasks are taught by."""
    (top, left), (height, width) = PATCH * corner, (PATCH * n for n in WINDOW)
    part = np.s_[..., top : top + height, left : left + width]
    found = {name: np.ascontiguousarray(targets[name][part]) for name in ("labels", "normals", "albedo")}
    return found | {"rigid": targets["rigid"], "corner": corner}


def dense_sample(
    scene: Scene,
    input_hw: tuple[int, int],
    stretched: bool,
    rng: np.random.Generator | None = None,
    windowed: bool = False,
    zoomed_share: float = Shares.zoomed,
) -> dict[str, np.ndarray]:
    """A view with the targets of all dense tasks; varied with `rng`, else as the tasks themselves would fit it.

    With `windowed` and `rng` the targets are those of a window, whose `corner` is given in patches; `whole` has
    those of WHOLE, which are of the view.
    """
    matrix = dense_matrix(scene, input_hw, stretched, rng, zoomed_share)
    image, covered = shown(scene, matrix, input_hw, rng, covered_share=0.08)
    found, targets = {"pixels": chw(image)}, dense_targets(scene, matrix, input_hw, covered)
    if not windowed:
        return found | targets
    whole = {name: targets[name] for name in ("labels", "points", "scale", "matte", "rigid", "as_taken")}
    input_xy, visible, _ = keypoints_in(scene, matrix, input_hw, covered)
    found["sides"] = sides_of(targets["labels"], input_xy, visible)
    return found | of_window(targets, aimed(scene, matrix, input_hw, rng)) | {"whole": whole}


def pose_sample(
    scene: Scene,
    person: int,
    input_hw: tuple[int, int],
    rng: np.random.Generator | None = None,
    windowed: bool = False,
) -> dict[str, np.ndarray]:
    """One person's crop, and the keypoints in heatmap pixels (308, 2) with their weights: 1 for a visible one, 0 where
    a hidden one or one outside the crop leaves the network free, as `visible` and `inside`. With `windowed` and `rng`
    it also has the dense tasks' targets for a window, as dense_sample gives them."""
    box, angle, flip = scene.boxes_xyxy[person].astype(np.float64), 0.0, False
    keypoints, visible = scene.keypoints[person], scene.visible[person]
    if rng is not None:
        upper = np.isin(np.arange(308), HALF_BODY) & visible
        if rng.random() < 0.15 and upper.sum() > 5:  # half of a body fills the crop
            low, high = keypoints[upper].min(axis=0), keypoints[upper].max(axis=0)
            grow = 0.15 * (high - low).max()
            box = np.concatenate([low - grow, high + grow])
        middle, size = (box[:2] + box[2:]) / 2, np.maximum(box[2:] - box[:2], 2.0)
        middle = middle + size * rng.uniform(-0.08, 0.08, 2)
        size = size * np.exp(rng.uniform(np.log(0.8), np.log(1.3)))
        box = np.concatenate([middle - size / 2, middle + size / 2])
        angle = float(np.clip(rng.normal(0, 14), -45, 45)) if rng.random() < 0.4 else 0.0
        flip = rng.random() < 0.5
    matrix = crop_matrix(box, input_hw, angle, flip)
    image, covered = shown(scene, matrix, input_hw, rng, covered_share=0.12)
    input_xy, visible, inside = keypoints_in(scene, matrix, input_hw, covered)
    last, heatmap_last = np.array(input_hw[::-1]) - 1, np.array(input_hw[::-1]) // HEATMAP_STRIDE - 1
    found = {
        "pixels": chw(image),
        "keypoints": (input_xy[person] / last * heatmap_last).astype(np.float32),
        "visible": visible[person].astype(np.float32),
        "inside": inside[person].astype(np.float32),
        "sides": sides_of(labels_in(scene, matrix, input_hw, covered), input_xy, visible),
    }
    if windowed:
        targets = dense_targets(scene, matrix, input_hw, covered)
        found |= of_window(targets, aimed(scene, matrix, input_hw, rng))
    return found


def detector_sample(pictures: list[Scene], rng: np.random.Generator | None = None) -> dict[str, np.ndarray]:
    """One scene in the top left of a grey square, as the detector fits photos, or four as a mosaic.

    `boxes` are (24, 4) input pixels, and `people` says how many of them there are.
    """
    canvas = np.full((DETECTOR_PX, DETECTOR_PX, 3), DETECTOR_GREY, np.uint8)
    half = DETECTOR_PX // 2
    boxes: list[np.ndarray] = []
    for number, scene in enumerate(pictures):
        room = DETECTOR_PX if len(pictures) == 1 else half
        corner = np.array([0, 0]) if len(pictures) == 1 else half * np.array([number % 2, number // 2])
        height, width = scene.labels.shape
        factor = room / max(height, width)
        flip = False
        if rng is not None:
            factor *= rng.uniform(0.5, 1.0) if len(pictures) == 1 and rng.random() < 0.3 else 1.0
            flip = rng.random() < 0.5
        size = max(1, int(height * factor + 0.5)), max(1, int(width * factor + 0.5))
        image = cv2.resize(scene.image_rgb, size[::-1], interpolation=cv2.INTER_LINEAR)
        scaled = scene.boxes_xyxy * np.tile(np.array(size[::-1]) / (width, height), 2)
        if flip:
            image = image[:, ::-1]
            scaled = np.stack([size[1] - scaled[:, 2], scaled[:, 1], size[1] - scaled[:, 0], scaled[:, 3]], axis=1)
        if rng is not None:
            image = photographed(np.ascontiguousarray(image), rng)
        canvas[corner[1] : corner[1] + size[0], corner[0] : corner[0] + size[1]] = image
        scaled = np.clip(scaled, 0, np.tile(size[::-1], 2)) + np.tile(corner, 2)
        boxes += [box for box in scaled if min(box[2:] - box[:2]) >= 4]
    kept = np.zeros((MOST_BOXES, 4), np.float32)
    kept[: len(boxes)] = np.array(boxes[:MOST_BOXES]).reshape(-1, 4)
    return {"pixels": chw(canvas[..., ::-1]), "boxes": kept, "people": np.int64(min(len(boxes), MOST_BOXES))}


def scored_people(scene: Scene, least: int = 12) -> list[int]:
    """The people of whom enough is seen to learn their keypoints from."""
    return [n for n, visible in enumerate(scene.visible) if visible.sum() >= least]


def endless(kind: str, input_hw: tuple[int, int], rng: np.random.Generator, shares: Shares) -> Iterator[dict]:
    """Varied samples of random scenes. `kind` is dense (a view with a window), pose (a crop), trunk (both, of one
    scene, with windows) or detector.

    The list of scenes is read again now and then, since scenes are drawn while training goes on.
    """
    while True:
        paths = scenes.listed()
        for _ in range(2000):
            yield _sample(kind, input_hw, paths, rng, shares)


def _sample(kind: str, input_hw: tuple[int, int], paths: list[Path], rng: np.random.Generator, shares: Shares) -> dict:
    def pick() -> Scene:
        scene = Scene.read(paths[rng.integers(len(paths))])
        return calmed(scene, rng) if rng.random() < shares.calm else scene

    def dense(scene: Scene) -> dict:
        return dense_sample(scene, input_hw, stretched, rng, windowed=True, zoomed_share=shares.zoomed)

    if kind == "detector":
        return detector_sample([pick() for _ in range(4 if rng.random() < 0.35 else 1)], rng)
    scene, stretched = pick(), rng.random() < shares.stretched
    if kind == "dense":
        return dense(scene)
    while not (people := scored_people(scene)):
        scene = pick()
    person, windowed = people[rng.integers(len(people))], kind == "trunk"
    pose = pose_sample(scene, person, input_hw, rng, windowed)
    return {"dense": dense(scene), "pose": pose} if windowed else pose
