"""Drawn scenes kept on disk: rendered ahead of time, packed small, and read back as arrays in the photo's pixels.

`python -m training.scenes --count 20000 --workers 2` draws until the cache holds so many. Stop it when you like.
"""

import argparse
import multiprocessing
import os
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from . import render

CACHE = Path("~/.cache/studio-training").expanduser()
SCENES = CACHE / "scenes"

# Scenes to train on have the even seeds from here, scenes to measure on the odd ones: no scene is both.
FIRST_SEED = 2**32
HELD_OUT_STRIDE = 100_000  # scenes that one --seed of evaluate may draw before it meets the next seed's

SIZES_HW = ((512, 384), (512, 384), (384, 512), (448, 448))  # upright most often, as the networks' input is
FARTHEST_M = 1000.0
LEAST_SHARE = 0.001  # of the picture's pixels: of whom less is seen is nobody to find


def training_seed(number: int) -> int:
    """The seed of training scene `number` (0, 1, ...): even."""
    return FIRST_SEED + 2 * number


def held_out_seed(seed: int, number: int) -> int:
    """The seed of scene `number` of the evaluation called `seed`: odd, so never trained on.

    Raises:
        ValueError: for a number so large that another evaluation's scenes would be drawn.
    """
    if not 0 <= number < HELD_OUT_STRIDE:
        raise ValueError(f"scene {number} is not among the {HELD_OUT_STRIDE} of one evaluation; choose another seed")
    return FIRST_SEED + 2 * (seed * HELD_OUT_STRIDE + number) + 1


def size_of(seed: int) -> tuple[int, int]:
    """Height and width that the scene of this seed is drawn at."""
    return SIZES_HW[np.random.default_rng((seed, 1)).integers(len(SIZES_HW))]


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture and what is true of it, at its own size. Frames as in the tasks: see normal.py and pointmap.py.

    `depth_m` is 0 where there is nothing; `foreground_rgb` is already multiplied by alpha. Outside people normals and
    albedo may be anything.
    """

    image_rgb: np.ndarray  # (H, W, 3) uint8
    labels: np.ndarray  # (H, W) uint8
    normals: np.ndarray  # (H, W, 3) int8, 127 times a unit vector
    depth_m: np.ndarray  # (H, W) float16
    albedo_rgb: np.ndarray  # (H, W, 3) uint8
    alpha: np.ndarray  # (H, W) uint8
    foreground_rgb: np.ndarray  # (H, W, 3) uint8
    boxes_xyxy: np.ndarray  # (P, 4) float32
    keypoints: np.ndarray  # (P, 308, 2) float32, photo pixels from the middle of the first
    visible: np.ndarray  # (P, 308) bool
    focal_px: np.ndarray  # () float32

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.partial")
        with partial.open("wb") as file:
            np.savez_compressed(file, **{field.name: getattr(self, field.name) for field in fields(self)})
        partial.replace(path)

    @staticmethod
    def read(path: Path) -> "Scene":
        with np.load(path) as arrays:
            return Scene(**{field.name: arrays[field.name] for field in fields(Scene)})


def draw_scene(seed: int, size_hw: tuple[int, int] | None = None) -> Scene:
    """The scene of this seed, drawn now."""
    from .render import draw

    return _packed(draw(seed, size_hw or size_of(seed)))


def _packed(drawn: "render.Scene") -> Scene:
    counts = [int((drawn.person_index == number).sum()) for number in range(len(drawn.people))]
    people = [p for p, count in zip(drawn.people, counts, strict=True) if count >= LEAST_SHARE * drawn.labels.size]
    return Scene(
        image_rgb=drawn.image_rgb,
        labels=drawn.labels,
        normals=np.rint(127 * drawn.normals).astype(np.int8),
        depth_m=np.clip(drawn.points[..., 2], 0, FARTHEST_M).astype(np.float16),
        albedo_rgb=_bytes(drawn.albedo),
        alpha=_bytes(drawn.alpha),
        foreground_rgb=_bytes(drawn.foreground),
        boxes_xyxy=np.array([p.box_xyxy for p in people], np.float32).reshape(-1, 4),
        keypoints=np.array([p.keypoints for p in people], np.float32).reshape(-1, 308, 2),
        visible=np.array([p.visible for p in people], bool).reshape(-1, 308),
        focal_px=np.float32(drawn.focal_px),
    )


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8)


def path_of(seed: int) -> Path:
    return SCENES / f"{seed}.npz"


def listed() -> list[Path]:
    """All scenes in the cache to train on, by name."""
    return sorted(SCENES.glob("*.npz"))


def _keep(seed: int) -> float:
    """Draws one scene into the cache; seconds taken."""
    cv2.setNumThreads(1)
    start = time.perf_counter()
    draw_scene(seed).write(path_of(seed))
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="scenes that the cache shall hold")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--prune", action="store_true", help="first remove all scenes: after the renderer has changed")
    arguments = parser.parse_args()
    for path in SCENES.glob("*.partial" if not arguments.prune else "*"):
        path.unlink()
    missing = [seed for n in range(arguments.count) if not path_of(seed := training_seed(n)).exists()]
    print(f"{arguments.count - len(missing)} scenes are here, {len(missing)} to draw into {SCENES}", flush=True)
    start = time.perf_counter()
    # A fresh process now and then, so that nothing that leaks adds up.
    with multiprocessing.get_context("spawn").Pool(arguments.workers, maxtasksperchild=500) as pool:
        for done, seconds in enumerate(pool.imap_unordered(_keep, missing), start=1):
            if done % 100 == 0:
                rate = done / (time.perf_counter() - start)
                size = sum(path.stat().st_size for path in SCENES.glob("*.npz")) / 1e9
                print(f"{done} drawn, {rate:.2f} a second ({seconds:.2f} s each), {size:.2f} GB", flush=True)


if __name__ == "__main__":
    main()
