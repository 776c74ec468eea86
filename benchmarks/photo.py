"""Seconds and memory of everything but the network for a photo of 12 megapixels: python -m benchmarks.photo

For each task, in a process of its own: the photo decoded from a JPEG, fitted into the network's input, a raw output of
the real full size (smooth fields, in the network's place) brought back to the photo, drawn, and written as the task's
files. Of the tasks that are cut to people, the stage "mask" is the fit and the way back of the seg network that finds
them. Pose has four people, with their mirror images.

Prints, for each stage, the median of `--turns` photos' wall and processor seconds, the three largest, their sum, that
of the first photo alone, and the peak resident memory of all above that of the process before them; the raw output is
part of it. NPZ, PLY and GLB files and the photo beside the picture are timed apart. The goals are 2 s and 600 MB, and
0.6 s for each of PLY and GLB.
"""

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import sapiens_mlx  # noqa: F401  isort: skip  (loads BLAS before mlx.core)

import cv2
import mlx.core as mx
import numpy as np

from sapiens_mlx import detect, runtime, tasks, zoo
from sapiens_mlx.image import read_image, write_png
from sapiens_mlx.shipped import examples_folder
from sapiens_mlx.tasks import draw
from sapiens_mlx.tasks.base import Fitted, Result
from sapiens_mlx.tasks.detect import DetectResult
from sapiens_mlx.tasks.keypoints import keypoints

PHOTO_HW = (3000, 4000)
INPUT_HW = (1024, 768)
PATCH_PX, EMBED_DIM = 16, 1024  # of 0.4b
PEOPLE_XYXY = np.array(
    [[300, 700, 1100, 2900], [1200, 500, 2000, 2950], [2150, 600, 2900, 2900], [3000, 800, 3800, 2950]], np.float32
)
APART = ("npz", "ply", "glb", "beside")  # endings of the stages that are not in the sum
CUT_TO_PEOPLE = ("normal", "pointmap", "albedo", "features")  # cut to a mask that another network finds


# ---- what is measured with ------------------------------------------------------------------------------------------


def write_photo(path: Path) -> None:
    """An example photo enlarged to 12 megapixels, with the grain of a camera's sensor, as JPEG of about 5 MB."""
    photo = cv2.imread(str(examples_folder() / "five_people.jpg"))
    photo = cv2.resize(photo, PHOTO_HW[::-1], interpolation=cv2.INTER_CUBIC)
    grain = np.random.default_rng(0).normal(0, 6, photo.shape).astype(np.float32)
    grain = cv2.GaussianBlur(grain, (3, 3), 0.7)
    cv2.imwrite(str(path), np.clip(photo + grain, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 92])


def field(seed: int, channels: int, size_hw: tuple[int, int] = INPUT_HW, fine: float = 0.1) -> np.ndarray:
    """(*size_hw, channels) float32: large shapes of about -1..1, and finer ones as high as `fine`."""
    random = np.random.default_rng(seed)
    shapes = cv2.resize(random.uniform(-1, 1, (16, 12, channels)).astype(np.float32), (192, 256))
    shapes += random.uniform(-fine, fine, shapes.shape).astype(np.float32)
    return cv2.resize(shapes, size_hw[::-1]).reshape(*size_hw, channels)


def people_field() -> np.ndarray:
    """(*INPUT_HW,) float32: above 0 in an ellipse for each person, below it elsewhere."""
    y, x = np.mgrid[: INPUT_HW[0], : INPUT_HW[1]].astype(np.float32) + 0.5
    scale_wh = np.float32([INPUT_HW[1] / PHOTO_HW[1], INPUT_HW[0] / PHOTO_HW[0]])
    ellipses = []
    for box in PEOPLE_XYXY:
        left, top, right, bottom = box * np.tile(scale_wh, 2)
        across, along = (2 * x - left - right) / (right - left), (2 * y - top - bottom) / (bottom - top)
        ellipses.append(1 - np.hypot(across, along))
    return np.max(ellipses, axis=0)


def raw_output(task: str, fitted: Fitted, number: int) -> Any:
    """What the network might leave for `fitted.pixels`, as passes.forward() gives it."""
    if task == "seg":
        logits = field(0, 29)
        logits[..., 0] = 3 - 20 * people_field()
        return logits[None]
    if task == "pose":
        return heatmaps(number, len(fitted.pixels))
    if task == "normal":
        return field(0, 3)[None] + np.float32([0, 0, 1])
    if task == "albedo":
        return field(0, 3)[None] / 2 + np.float32(0.5)
    if task == "matting":
        alpha = np.clip(5 * people_field()[..., None] + 0.5, 0, 1)
        return (np.concatenate([field(0, 3) / 2 + np.float32(0.5), np.ones_like(alpha)], -1) * alpha)[None]
    if task == "pointmap":
        scale, depth_m = np.float32(0.8), 3 + field(0, 1, fine=0.001)[..., 0] / 10 - (people_field() > 0)
        y, x = np.mgrid[: INPUT_HW[0], : INPUT_HW[1]].astype(np.float32) + 0.5
        rays = [(x / INPUT_HW[1] - 0.5) * scale, (y - INPUT_HW[0] / 2) / INPUT_HW[1] * scale, np.ones_like(x)]
        return (np.stack(rays, -1) * depth_m[..., None] * scale)[None], np.full((1, 1), scale)
    tokens = INPUT_HW[0] * INPUT_HW[1] // PATCH_PX**2 + 9
    return field(0, 1, (tokens, EMBED_DIM))[None, ..., 0]


def heatmaps(number: int, count: int) -> np.ndarray:
    """(count, h/4, w/4, 308) float32: a blob a keypoint; the face's and the hands' lie close together."""
    rows, columns = INPUT_HW[0] // 4, INPUT_HW[1] // 4
    random, groups = np.random.default_rng(number), keypoints().groups
    centres = {"face": (0.18, 0.5), "right_hand": (0.55, 0.3), "left_hand": (0.55, 0.7), "feet": (0.88, 0.5)}
    middle = np.array([centres.get(group, (0.5, 0.5)) for group in groups])
    spread = np.where(groups == "body", 0.3, 0.04)[:, None]
    y, x = ((middle + spread * random.uniform(-1, 1, middle.shape)) * (rows, columns)).T.astype(np.float32)
    down = np.exp(-np.square(np.arange(rows, dtype=np.float32)[:, None] - y) / 8)[:, None]  # (h, 1, 308)
    across = np.exp(-np.square(np.arange(columns, dtype=np.float32)[:, None] - x) / 8)  # (w, 308)
    maps = np.empty((count, rows, columns, len(groups)), np.float32)
    return np.multiply(down, across, out=maps)


class DetectorNetwork:
    """In the place of RTMDet's network: maps that hold a few hundred candidates, at any pixels."""

    def __init__(self) -> None:
        sides = [detect.INPUT_PX // stride for stride in detect.STRIDES]
        self._logits = [mx.array(5 * field(side, 1, (side, side)) - 3)[None] for side in sides]
        self._distances = [mx.array(60 + 40 * field(side, 4, (side, side)))[None] for side in sides]
        mx.eval(self._logits, self._distances)
        self.bbox_head = SimpleNamespace(rtm_cls=[SimpleNamespace(weight=mx.zeros(1))])  # whose dtype is looked at

    def __call__(self, pixels: mx.array) -> tuple[list[mx.array], list[mx.array]]:
        mx.eval(pixels)
        return self._logits, self._distances


# ---- what is measured -----------------------------------------------------------------------------------------------


class Stages:
    """Wall and processor seconds of one turn, by stage."""

    def __init__(self) -> None:
        self.wall: dict[str, float] = {}
        self.processor: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start, start_processor = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.wall[name] = self.wall.get(name, 0.0) + time.perf_counter() - start
            self.processor[name] = self.processor.get(name, 0.0) + time.process_time() - start_processor


def predicted(task: str, photo: Path, stages: Stages) -> Result:
    """What the predictor does with a photo, the network left out. On the inference thread, as there."""
    with stages.stage("decode"):
        photo_rgb = read_image(photo)
    people = None
    if task in ("pose", "detect"):
        detector = detect.RTMDetDetector(DetectorNetwork())
        with stages.stage("detect"):
            people = detector(photo_rgb)
    if task == "detect":
        return DetectResult(photo_rgb, people.boxes_xyxy, people.box_scores)
    scores = np.array([0.9, 0.8, 0.7, 0.6], np.float32)
    result_options = {"boxes_xyxy": PEOPLE_XYXY, "box_scores": scores} if task == "pose" else {}
    result = inferred(task, photo_rgb, stages, ("fit", "way back"), **result_options)
    if task in CUT_TO_PEOPLE:
        result.person_mask = inferred("seg", photo_rgb, stages, ("mask", "mask")).foreground_mask()
    return result


def inferred(task: str, photo_rgb: np.ndarray, stages: Stages, names: tuple[str, str], **options: Any) -> Result:
    """Fit and way back, under these names."""
    the_task = tasks.get(task)
    with stages.stage(names[0]):
        fit_options = {"boxes_xyxy": options["boxes_xyxy"]} if task == "pose" else {}
        fitted = the_task.fit(photo_rgb, INPUT_HW, **fit_options)
    parts = []
    for number, one in enumerate(fitted):
        raw = raw_output(task, one, number)
        with stages.stage(names[1]):
            parts.append(the_task.decode(raw, one))
    with stages.stage(names[1]):
        return the_task.result(parts, photo_rgb, **options)


def saved(result: Result, folder: Path, stages: Stages) -> None:
    """What Result.save() does, file by file."""
    with stages.stage("draw"):
        picture = result.picture()

    with ExitStack() as current:  # the file that is being written: from the asking for its path to the next one's

        def path(ending: str) -> Path:
            current.close()
            current.enter_context(stages.stage(ending))
            return folder / f"photo_{ending}"

        current.enter_context(stages.stage("files"))
        result._write(path, picture, style="readme")
    with stages.stage("beside"):
        write_png(folder / "photo_side_by_side.png", draw.side_by_side(result.photo_rgb, picture))


def measure(task: str, photo: Path, folder: Path, turns: int) -> dict[str, Any]:
    """One task, in this process."""
    idle = resident_bytes("VmRSS")
    every = []
    for _ in range(turns):
        stages = Stages()
        result = runtime.inference.run(lambda progress, stages=stages: predicted(task, photo, stages))
        saved(result, folder, stages)
        del result
        every.append(stages)
    wall, processor = (
        {name: round(statistics.median(getattr(one, which)[name] for one in every), 3) for name in every[0].wall}
        for which in ("wall", "processor")
    )
    counted = [name for name in wall if not name.endswith(APART)]
    return {
        "seconds": wall,
        "processor_seconds": processor,
        "sum": round(sum(wall[name] for name in counted), 2),
        "processor_sum": round(sum(processor[name] for name in counted), 2),
        "first_sum": round(sum(every[0].wall[name] for name in counted), 2),
        "largest": sorted(counted, key=wall.get, reverse=True)[:3],
        "idle_bytes": idle,
        "above_idle_bytes": resident_bytes("VmHWM") - idle,
    }


def resident_bytes(which: str) -> int:
    """The memory that this process has now (VmRSS), or has had at most (VmHWM); elsewhere than on Linux the latter."""
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(which))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def as_text(task: str, found: dict[str, Any]) -> str:
    stages = ", ".join(f"{name} {seconds:.2f}" for name, seconds in found["seconds"].items())
    return (
        f"{task}: {found['sum']:.2f} s (processor {found['processor_sum']:.2f}, first photo {found['first_sum']:.2f}), "
        f"{found['above_idle_bytes'] / 1e6:.0f} MB above idle; largest: {', '.join(found['largest'])}\n  {stages}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default=",".join(zoo.TASKS))
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_photo(folder / "photo.jpg")
        for task in options.task.split(","):
            # One process a task: peak memory cannot be set back.
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
                found = process.submit(measure, task, folder / "photo.jpg", folder, options.turns).result()
            results[task] = found | {"file_bytes": {path.name: path.stat().st_size for path in folder.glob("photo_*")}}
            for path in folder.glob("photo_*"):
                path.unlink()
            if not options.json:
                print(as_text(task, found), flush=True)
    if options.json:
        machine = {"device": runtime.device_name(), "load_average": round(os.getloadavg()[0], 1)}
        print(json.dumps({"turns": options.turns, **machine, "tasks": results}))


if __name__ == "__main__":
    main()
