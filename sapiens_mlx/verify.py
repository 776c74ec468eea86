"""Whether a download and an installation are right: published weights, a published photo, and what they must give.

The expected values come from the tests of the transformers library, so the input is built as that library builds it
(verify_input.py), RoPE is computed in float32 as there, and the weights are taken in float32.
"""

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from . import runtime, tasks, verify_input, zoo
from .errors import ImageError, SapiensError
from .files import expanded, write_bytes
from .image import read_image
from .memory import guarded
from .models import models
from .nn.backbone import EXTRA_TOKENS
from .passes import forward
from .runtime import Progress, inference, no_progress
from .tasks.base import Fitted
from .tasks.fit import Way
from .tasks.keypoints import keypoints
from .weights import conversion, locate, store

PUBLISHED_VALUES = Path(__file__).with_name("data") / "published_values.json"
LEVEL = "fp32"
TIMEOUT_S = 30
MOST_BYTES = 20_000_000  # of the photo, which has 0.1 MB
COMPOSITE_RGB = (177, 64, 0)

Found = dict[str, np.ndarray]


@dataclass(frozen=True)
class Check:
    """One published array and what came out here. Each value may differ by `tolerance` * (1 + its size)."""

    name: str
    expected: np.ndarray
    found: np.ndarray
    tolerance: float

    @property
    def largest_difference(self) -> float:
        """NaN where there is one."""
        return float(np.abs(self.found - self.expected).max())

    @property
    def passed(self) -> bool:
        return bool((np.abs(self.found - self.expected) <= self.tolerance * (1 + np.abs(self.expected))).all())


@dataclass(frozen=True)
class Verification:
    """One checkpoint, verified."""

    task: str
    size: str
    weights: Path
    photo: Path
    device: str
    licence: str
    seconds: float
    checks: list[Check]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """What --json prints; a number that is none is null."""
        return {
            "task": self.task,
            "size": self.size,
            "passed": self.passed,
            "weights": str(self.weights),
            "photo": str(self.photo),
            "device": self.device,
            "compute_dtype": "float32",
            "rope_dtype": "float32",
            "licence": self.licence,
            "seconds": round(self.seconds, 2),
            "checks": [
                {
                    "name": check.name,
                    "passed": check.passed,
                    "expected": check.expected.tolist(),
                    "found": _finite(check.found.tolist()),
                    "largest_difference": _finite(check.largest_difference),
                    "tolerance": check.tolerance,
                }
                for check in self.checks
            ],
        }

    def as_text(self) -> str:
        """A table for people: every check, with what was expected and found, and the verdict."""
        lines = [
            f"{self.task} {self.size}, float32 with RoPE in float32, on {self.device}",
            f"  weights {self.weights} ({self.licence})",
            f"  photo   {self.photo}",
        ]
        for check in self.checks:
            verdict = "PASS" if check.passed else "FAIL"
            allowed = f"{check.tolerance:g} + {100 * check.tolerance:g} %"
            lines.append(f"  {verdict}  {check.name}: differs by {check.largest_difference:.2g}, allowed {allowed}")
            lines += [f"        expected  {_numbers(check.expected)}", f"        found     {_numbers(check.found)}"]
        passed = sum(check.passed for check in self.checks)
        lines.append(
            f"{'PASS' if self.passed else 'FAIL'}  {self.task} {self.size}: "
            f"{passed} of {len(self.checks)} checks, {self.seconds:.0f} seconds"
        )
        if not self.passed:
            lines.append(
                "The weights are damaged or of another version, the photo is another one, or this machine computes "
                "wrongly. Remove the weights and download them again; if it stays, please report it with --json."
            )
        return "\n".join(lines)


def _finite(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return value if np.isfinite(value) else None


def _numbers(array: np.ndarray) -> str:
    return " ".join(f"{value:10.5g}" for value in np.ravel(array))


# ---- what can be verified -------------------------------------------------------------------------------------------


@cache
def _table(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text("utf-8"))


def verifiable() -> dict[str, str]:
    """The size that there are published values for, by task."""
    return dict(name.split("-", 1) for name in _table(PUBLISHED_VALUES)["sets"])


def _published(task: str, size: str) -> dict[str, Any]:
    zoo.checkpoint(task, size)  # a name that is not in the tables is told first
    found = _table(PUBLISHED_VALUES)["sets"].get(f"{task}-{size}")
    if found is None:
        known = ", ".join(f"{task} {size}" for task, size in verifiable().items())
        raise SapiensError(f"There are no published values for {task} {size}. Choose one of: {known}.")
    return found


# ---- running it -----------------------------------------------------------------------------------------------------


def verify(
    task: str,
    size: str | None = None,
    *,
    weights: str | Path | None = None,
    photo: str | Path | None = None,
    progress: Progress = no_progress,
) -> Verification:
    """Run the published checkpoint on the published photo, and compare.

    Args:
        size: default: the one that there are values for.
        weights: as for Predictor; default: see weights/locate.py.
        photo: a copy of the photo; default: downloaded once into the cache.

    Raises:
        SapiensError: nothing is published for that task and size, or the photo cannot be had or is another one.
        WeightsError: as store.load raises it.
    """
    size = size or verifiable().get(zoo.task_row(task).name, zoo.DEFAULTS.size)
    published = _published(task, size)
    path = _photo() if photo is None else expanded(photo)
    photo_rgb = _checked(path)
    work = partial(inference.run, _verify, task, size, weights, path, photo_rgb, published, progress=progress)
    return guarded(work, task, size, LEVEL)


def _verify(
    task: str,
    size: str,
    weights: str | Path | None,
    photo: Path,
    photo_rgb: np.ndarray,
    published: dict[str, Any],
    progress: Progress,
) -> Verification:
    start = time.perf_counter()
    checkpoint = zoo.checkpoint(task, size)
    models.clear()  # room for another network
    # The original, where a smaller copy of it might be had too; or what `convert --out` made of it.
    if weights is not None and conversion.published(weights) is not None:
        source = expanded(weights)
    else:
        source = locate.find(checkpoint, weights, progress=progress)
    model = store.load(task, size, LEVEL, source, rope_dtype=mx.float32, progress=progress)
    found = FOUND[task](model, photo_rgb, published, progress)
    checks = []
    for name, values in published["values"].items():
        expected = np.array(values, np.float64)
        if found[name].shape != expected.shape:
            raise SapiensError(
                f"{name} has the shape {found[name].shape} where {expected.shape} is published. "
                "Choose the published weights of that task and size."
            )
        checks.append(Check(name, expected, found[name].astype(np.float64), published["tolerance"]))
    seconds = time.perf_counter() - start
    return Verification(task, size, source, photo, runtime.device_name(), checkpoint.licence.name, seconds, checks)


# ---- the photo ------------------------------------------------------------------------------------------------------


def _photo() -> Path:
    """The published photo in our cache, downloaded if it is not there."""
    url = _table(PUBLISHED_VALUES)["photo"]["url"]
    path = store.cache_folder() / "verify" / url.rsplit("/", 1)[1]
    if path.is_file():
        return path
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
            data = answer.read(MOST_BYTES)
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as problem:
        reason = " ".join(str(getattr(problem, "reason", None) or problem).split())  # in one line
        raise SapiensError(
            f"The photo cannot be downloaded from {url} ({reason}). "
            "Check the connection, or get it elsewhere and name it with --photo FILE."
        ) from problem
    try:
        _check_size(read_image(data), url)
    except ImageError as problem:
        raise SapiensError(
            f"What {url} gave is not the photo. Get it elsewhere and name it with --photo FILE."
        ) from problem
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise SapiensError(
            f"The photo cannot be kept in {path.parent} ({problem.strerror}). Set SAPIENS_MLX_CACHE to another folder."
        ) from problem
    return write_bytes(path, data, lasting=True)


def _checked(path: Path) -> np.ndarray:
    photo_rgb = read_image(path)
    _check_size(photo_rgb, str(path))
    return photo_rgb


def _check_size(photo_rgb: np.ndarray, name: str) -> None:
    about = _table(PUBLISHED_VALUES)["photo"]
    if photo_rgb.shape[:2] != tuple(about["size_hw"]):
        (height, width), wanted = photo_rgb.shape[:2], "{1} x {0}".format(*about["size_hw"])
        raise SapiensError(
            f"{name} is {width} x {height} pixels, and the photo of the published values {wanted}. "
            f"Take the one of {about['url']}."
        )


# ---- what is compared, by its name in the table ---------------------------------------------------------------------


def _features(model: store.Model, photo_rgb: np.ndarray, published: dict, progress: Progress) -> Found:
    fitted = verify_input.stretched(photo_rgb, model.input_hw)
    tokens = forward(model, fitted.pixels, progress)
    return {
        "cls[0,:5]": tokens[0, 0, :5],
        "storage[0,0,:5]": tokens[0, 1, :5],
        "patches[0,0,:5]": tokens[0, EXTRA_TOKENS, :5],
    }


def _seg(model: store.Model, photo_rgb: np.ndarray, published: dict, progress: Progress) -> Found:
    fitted = verify_input.stretched(photo_rgb, model.input_hw)
    logits = forward(model, fitted.pixels, progress)
    half = Way((logits.shape[1] // 2, logits.shape[2] // 2))
    labels, _ = tasks.get("seg").decode(logits, Fitted(fitted.pixels, half))
    return {
        "logits[0,0,:3,:3]": logits[0, :3, :3, 0],
        "labels at half the input [50:53,50:53]": labels[50:53, 50:53],
    }


def _pose(model: store.Model, photo_rgb: np.ndarray, published: dict, progress: Progress) -> Found:
    x, y, width, height = published["box_xywh"]
    fitted = verify_input.person(photo_rgb, np.array([x, y, x + width, y + height]), model.input_hw)
    raw = np.concatenate([forward(model, one[None], progress) for one in fitted.pixels])
    mirrored = raw[1, :, ::-1, keypoints().flip_indices[0]]
    pose = tasks.get("pose")
    alone, averaged = pose.decode(raw[:1], fitted), pose.decode(raw, fitted)
    crop = fitted.way
    return {
        "heatmaps[0,0,70:73,70:73]": raw[0, 70:73, 70:73, 0],
        "keypoints[:3] without flip": alone[0][:3],
        "scores[:3] without flip": alone[1][:3],
        "heatmaps of the mirror, mapped back [0,0,70:73,70:73]": mirrored[70:73, 70:73],
        "keypoints[:3] with flip": averaged[0][:3],
        "scores[:3] with flip": averaged[1][:3],
        "crop_xyxy": np.concatenate([crop.center_xy - crop.scale_wh / 2, crop.center_xy + crop.scale_wh / 2]),
    }


def _normal(model: store.Model, photo_rgb: np.ndarray, published: dict, progress: Progress) -> Found:
    fitted = verify_input.letterboxed(photo_rgb, model.input_hw)
    raw = forward(model, fitted.pixels, progress)
    normals = tasks.get("normal").decode(raw, fitted)
    return {"raw[0,0,:3,:3]": raw[0, :3, :3, 0], "unit, on the photo [0,:3,:3]": normals[:3, :3, 0]}


def _pointmap(model: store.Model, photo_rgb: np.ndarray, published: dict, progress: Progress) -> Found:
    fitted = verify_input.letterboxed(photo_rgb, model.input_hw)
    points, scale = forward(model, fitted.pixels, progress)
    points_m, _, _ = tasks.get("pointmap").decode((points, scale), fitted)
    return {
        "scale": scale.reshape(()),
        "raw[0,0,:3,:3]": points[0, :3, :3, 0],
        "metres, on the photo [0,:3,:3]": points_m[:3, :3, 0],
    }


def _matting(model: store.Model, photo_rgb: np.ndarray, published: dict, progress: Progress) -> Found:
    fitted = verify_input.stretched(photo_rgb, model.input_hw)
    raw = forward(model, fitted.pixels, progress)
    matting = tasks.get("matting")
    result: Any = matting.result([matting.decode(raw, fitted)], photo_rgb)
    composite = result.picture(background=COMPOSITE_RGB)
    return {
        "foreground[0,0,100:103,100:103]": raw[0, 100:103, 100:103, 0],
        "alpha on the photo [300:303,300:303]": result.alpha[300:303, 300:303],
        "composite over (177,64,0), red [300:303,300:303]": composite[300:303, 300:303, 0],
    }


FOUND: dict[str, Callable[[store.Model, np.ndarray, dict, Progress], Found]] = {
    "features": _features,
    "seg": _seg,
    "pose": _pose,
    "normal": _normal,
    "pointmap": _pointmap,
    "matting": _matting,
}
