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
from sapiens_mlx.predictor import Predictor
from sapiens_mlx.tasks.base import Result

from . import figures, scenes
from .scenes import Scene

TASKS = ("seg", "pose", "normal", "pointmap", "albedo", "matting", "detect")
# Average precision needs the unsure boxes too, and people who overlap more than the app's threshold lets stand.
BOX_THRESHOLD, NMS_THRESHOLD = 0.05, 0.6
SURE = 0.3


def predicted(predictor: Predictor, scene: Scene) -> Result | None:
    """What a task finds in a scene: pose with the true boxes, dense tasks over the true people. None where there is
    nobody to measure it on."""
    if predictor.task == "detect":
        return predictor(scene.image_rgb, box_threshold=BOX_THRESHOLD, nms_threshold=NMS_THRESHOLD)
    if predictor.task == "pose":
        return predictor(scene.image_rgb, boxes_xyxy=scene.boxes_xyxy) if len(scene.boxes_xyxy) else None
    person = scene.labels > 0
    if predictor.task in ("seg", "matting"):
        return predictor(scene.image_rgb)
    return predictor(scene.image_rgb, foreground=person) if person.any() else None


class Figures:
    """Adds up what each task is measured by; one method a task, each returning how bad this scene is."""

    def __init__(self) -> None:
        self.counts = np.zeros((figures.CLASSES, figures.CLASSES), np.int64)
        self.values: dict[str, list[np.ndarray]] = {}
        self.people = 0

    def add(self, scene: Scene, result: Result) -> float:
        return getattr(self, result.NAME)(scene, result)

    def _add(self, name: str, values: np.ndarray) -> None:
        self.values.setdefault(name, []).append(np.asarray(values, np.float32).ravel())

    def seg(self, scene: Scene, result: Result) -> float:
        counts = figures.confusion(scene.labels, result.labels)
        self.counts += counts
        return 1 - figures.mean_iou(counts)

    def pose(self, scene: Scene, result: Result) -> float:
        near = np.array(
            [
                figures.near_enough(*person)
                for person in zip(scene.keypoints, result.keypoints, scene.visible, scene.boxes_xyxy, strict=True)
            ]
        )
        self._add("pck_body", near[:, list(figures.BODY)])
        self._add("pck_all", near)
        return 1 - float(np.nanmean(near)) if np.isfinite(near).any() else 0.0

    def normal(self, scene: Scene, result: Result) -> float:
        person = scene.labels > 0
        angles = figures.angles_deg(scene.normals[person].astype(np.float32), result.normals[person])
        self._add("normal_mean_deg", angles)
        return float(angles.mean())

    def pointmap(self, scene: Scene, result: Result) -> float:
        person = (scene.labels > 0) & (scene.depth_m > 0)
        errors = figures.relative_errors(scene.depth_m[person].astype(np.float32), result.depth_m[person])
        self._add("depth_absrel", errors)
        return float(errors.mean()) if errors.size else 0.0

    def albedo(self, scene: Scene, result: Result) -> float:
        person = scene.labels > 0
        errors = np.abs(result.albedo[person] - scene.albedo_rgb[person] / 255)
        self._add("albedo_mae", errors)
        return float(errors.mean())

    def matting(self, scene: Scene, result: Result) -> float:
        errors = np.abs(result.alpha - scene.alpha / 255)
        self._add("alpha_mae", errors)
        return float(errors.mean())

    def detect(self, scene: Scene, result: Result) -> float:
        """People missed and boxes that are nobody's."""
        hits = figures.matches(result.boxes_xyxy, result.box_scores, scene.boxes_xyxy)
        self._add("hits", hits)
        self._add("scores", np.sort(result.box_scores)[::-1])
        self.people += len(scene.boxes_xyxy)
        sure = int((result.box_scores > SURE).sum())
        right = int(hits[:sure].sum())
        return float(len(scene.boxes_xyxy) - right + sure - right)

    def summary(self) -> dict[str, float]:
        """By name, of the tasks that were added."""
        values = {name: np.concatenate(parts) for name, parts in self.values.items()}
        found: dict[str, float] = {}
        if self.counts.any():
            found = {"seg_miou": figures.mean_iou(self.counts), "seg_accuracy": figures.accuracy(self.counts)}
        for name in ("normal_mean_deg", "depth_absrel", "albedo_mae", "alpha_mae", "pck_body", "pck_all"):
            if name in values:
                found[name] = float(np.nanmean(values[name], dtype=np.float64))
        if "hits" in values:
            hits = values["hits"].astype(bool)
            found["detector_ap50"] = figures.average_precision(hits, values["scores"], self.people)
        return found


def _picture(scene: Scene, result: Result) -> np.ndarray:
    """The photo, and what was found beside it; true boxes in white, those found in lime."""
    if result.NAME != "detect":
        return np.concatenate([scene.image_rgb, result.picture()], axis=1)
    picture = scene.image_rgb.copy()
    found = result.boxes_xyxy[result.box_scores > SURE]
    for boxes, colour in ((scene.boxes_xyxy, (255, 255, 255)), (found, (120, 255, 0))):
        for x1, y1, x2, y2 in np.rint(boxes).astype(int).tolist():
            cv2.rectangle(picture, (x1, y1), (x2, y2), colour, 2)
    return np.concatenate([scene.image_rgb, picture], axis=1)


def evaluate(seed: int, count: int, worst: int = 0, out: Path | None = None) -> dict[str, float]:
    """The figures over `count` scenes of this seed; with `worst`, that many pictures a task in `out`.

    Angles, depth and albedo are means over the pixels of all people, alpha over all pixels, mean IoU over the classes
    that occur in any scene; keypoints count where they are visible, and are near within 5 % of the box's longer side.
    """
    measured = Figures()
    predictors = [sm.load(task, "demo", "fp32") for task in TASKS]
    pictures: dict[str, list] = {task: [] for task in TASKS}
    for number in range(count):
        scene = scenes.draw_scene(scenes.held_out_seed(seed, number))
        for predictor in predictors:
            result = predicted(predictor, scene)
            badness = 0.0 if result is None else measured.add(scene, result)
            if worst and result is not None:
                kept = pictures[predictor.task]
                heapq.heappush(kept, (badness, number, _picture(scene, result)))
                if len(kept) > worst:
                    heapq.heappop(kept)
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
