"""Measures the shipped weights on held-out drawn scenes: `python -m training.evaluate --seed 1 --scenes 200 --json`.

Runs in MLX float32 through the project's own predictors and needs only requirements.txt. `--worst 6 --out DIR` also
writes the scenes that each task does worst on as pictures.
"""

import argparse
import heapq
import json
import sys
from pathlib import Path

import cv2
import numpy as np

import sapiens_mlx as sm
from sapiens_mlx.image import write_png

from . import figures, scenes
from .scenes import Scene

TASKS = ("seg", "pose", "normal", "pointmap", "albedo", "matting", "detect")
# Average precision needs the unsure boxes too, and people who overlap more than the app's threshold lets stand.
BOX_THRESHOLD, NMS_THRESHOLD = 0.05, 0.6


class Figures:
    """Adds up what each task is measured by; one method a task, each returning how bad this scene is and a picture."""

    def __init__(self) -> None:
        self.predictors = {task: sm.load(task, "demo", "fp32") for task in TASKS}
        self.counts = np.zeros((figures.CLASSES, figures.CLASSES), np.int64)
        self.values: dict[str, list[np.ndarray]] = {}
        self.people = 0

    def _add(self, name: str, values: np.ndarray) -> None:
        self.values.setdefault(name, []).append(np.asarray(values, np.float32).ravel())

    def seg(self, scene: Scene) -> tuple[float, np.ndarray]:
        result = self.predictors["seg"](scene.image_rgb)
        counts = figures.confusion(scene.labels, result.labels)
        self.counts += counts
        return 1 - figures.mean_iou(counts), result.picture()

    def pose(self, scene: Scene) -> tuple[float, np.ndarray] | None:
        """With the true boxes."""
        if not len(scene.boxes_xyxy):
            return None
        result = self.predictors["pose"](scene.image_rgb, boxes_xyxy=scene.boxes_xyxy)
        near = np.array(
            [
                figures.near_enough(*person)
                for person in zip(scene.keypoints, result.keypoints, scene.visible, scene.boxes_xyxy, strict=True)
            ]
        )
        self._add("pck_body", near[:, list(figures.BODY)])
        self._add("pck_all", near)
        return 1 - float(np.nanmean(near)) if np.isfinite(near).any() else 0.0, result.picture()

    def normal(self, scene: Scene) -> tuple[float, np.ndarray] | None:
        result = self.predictors["normal"](scene.image_rgb)
        person = scene.labels > 0
        if not person.any():
            return None
        angles = figures.angles_deg(scene.normals[person].astype(np.float32), result.normals[person])
        self._add("normal_mean_deg", angles)
        result.person_mask = person
        return float(angles.mean()), result.picture()

    def pointmap(self, scene: Scene) -> tuple[float, np.ndarray] | None:
        result = self.predictors["pointmap"](scene.image_rgb)
        person = (scene.labels > 0) & (scene.depth_m > 0)
        if not person.any():
            return None
        errors = figures.relative_errors(scene.depth_m[person].astype(np.float32), result.depth_m[person])
        self._add("depth_absrel", errors)
        result.person_mask = person
        return float(errors.mean()), result.picture()

    def albedo(self, scene: Scene) -> tuple[float, np.ndarray] | None:
        result = self.predictors["albedo"](scene.image_rgb)
        person = scene.labels > 0
        if not person.any():
            return None
        errors = np.abs(result.albedo[person] - scene.albedo_rgb[person] / 255)
        self._add("albedo_mae", errors)
        result.person_mask = person
        return float(errors.mean()), result.picture()

    def matting(self, scene: Scene) -> tuple[float, np.ndarray]:
        result = self.predictors["matting"](scene.image_rgb)
        errors = np.abs(result.alpha - scene.alpha / 255)
        self._add("alpha_mae", errors)
        return float(errors.mean()), result.picture()

    def detect(self, scene: Scene) -> tuple[float, np.ndarray]:
        thresholds = {"box_threshold": BOX_THRESHOLD, "nms_threshold": NMS_THRESHOLD}
        found = self.predictors["detect"](scene.image_rgb, **thresholds)
        hits = figures.matches(found.boxes_xyxy, found.box_scores, scene.boxes_xyxy)
        self._add("hits", hits)
        self._add("scores", np.sort(found.box_scores)[::-1])
        self.people += len(scene.boxes_xyxy)
        sure = found.box_scores > 0.3
        right = int(hits[: sure.sum()].sum())
        missed, wrong = len(scene.boxes_xyxy) - right, int(sure.sum()) - right
        return float(missed + wrong), _boxed(scene, found.boxes_xyxy[sure])

    def summary(self) -> dict[str, float]:
        values = {name: np.concatenate(parts) for name, parts in self.values.items()}
        means = ("normal_mean_deg", "depth_absrel", "albedo_mae", "alpha_mae", "pck_body", "pck_all")
        precision = figures.average_precision(values["hits"].astype(bool), values["scores"], self.people)
        found = {"seg_miou": figures.mean_iou(self.counts), "seg_accuracy": figures.accuracy(self.counts)}
        found |= {name: float(np.nanmean(values[name], dtype=np.float64)) for name in means}
        return found | {"detector_ap50": precision}


def _boxed(scene: Scene, found_xyxy: np.ndarray) -> np.ndarray:
    """True boxes in white, those found in lime."""
    picture = scene.image_rgb.copy()
    for boxes, colour in ((scene.boxes_xyxy, (255, 255, 255)), (found_xyxy, (120, 255, 0))):
        for x1, y1, x2, y2 in np.rint(boxes).astype(int).tolist():
            cv2.rectangle(picture, (x1, y1), (x2, y2), colour, 2)
    return picture


def evaluate(seed: int, count: int, worst: int = 0, out: Path | None = None) -> dict[str, float]:
    """The figures over `count` scenes of this seed; with `worst`, that many pictures a task in `out`.

    Angles, depth and albedo are means over the pixels of all people, alpha over all pixels, mean IoU over the classes
    that occur in any scene; keypoints count where they are visible, and are near within 5 % of the box's longer side.
    """
    measured = Figures()
    pictures: dict[str, list] = {task: [] for task in TASKS}
    for number in range(count):
        scene = scenes.draw_scene(scenes.held_out_seed(seed, number))
        for task in TASKS:
            judged = getattr(measured, task)(scene)
            if judged is not None and worst:
                beside = np.concatenate([scene.image_rgb, judged[1]], axis=1)
                heapq.heappush(pictures[task], (judged[0], number, beside))
                if len(pictures[task]) > worst:
                    heapq.heappop(pictures[task])
        if (number + 1) % 20 == 0:
            print(f"{number + 1} of {count} scenes", file=sys.stderr, flush=True)
    for task, kept in pictures.items():
        for rank, (badness, number, picture) in enumerate(sorted(kept, reverse=True, key=lambda one: one[:2])):
            out.mkdir(parents=True, exist_ok=True)
            write_png(out / f"{task}_{rank:02d}_scene{number}_{badness:.3f}.png", picture)
    return measured.summary()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="another seed, other scenes; none is ever trained on")
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    parser.add_argument("--worst", type=int, default=0, metavar="K", help="write each task's K worst scenes to --out")
    parser.add_argument("--out", type=Path, default=Path("out/worst"))
    arguments = parser.parse_args()
    found = evaluate(arguments.seed, arguments.scenes, arguments.worst, arguments.out)
    if arguments.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name:16} {value:.4f}")


if __name__ == "__main__":
    main()
