"""RF-DETR as the person detector, run by the optional package mlx-vlm. RGB (H, W, 3) uint8 in, People out.

Weights are those that mlx-vlm's author converted, in float32: model.safetensors with config.json beside it.
"""

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from . import zoo
from .detect import People
from .errors import SapiensError, WeightsError, is_memory_full
from .runtime import Progress, no_progress
from .weights import locate, original

REQUIREMENT = "mlx-vlm>=0.7.10,<0.8"  # the extra "rfdetr" of pyproject.toml
PERSON = "person"  # of the classes of COCO


class RFDETRDetector:
    """Finds people with RF-DETR. Call it on the thread that loaded the network."""

    def __init__(self, module: Any, resolution: int) -> None:
        from mlx_vlm.models.rfdetr.generate import RFDETRPredictor
        from mlx_vlm.models.rfdetr.processing_rfdetr import RFDETRProcessor

        self.module = module
        self._predictor = RFDETRPredictor(module, RFDETRProcessor(resolution))

    def __call__(
        self,
        photo_rgb: np.ndarray,
        *,
        box_threshold: float = zoo.DEFAULTS.box_threshold,
        nms_threshold: float = zoo.DEFAULTS.nms_threshold,
    ) -> People:
        """The people in `photo_rgb` (H, W, 3) uint8, by falling score; possibly none.

        Args:
            box_threshold: boxes must score more than this, 0..1. What scores higher as something else is no person.
            nms_threshold: of two people that overlap by more than this (IoU, 0..1) the better one stays.
        """
        self._predictor.nms_threshold = nms_threshold
        with np.errstate(over="ignore"):  # of scores that are 0
            found = self._predictor.predict(photo_rgb, score_threshold=box_threshold)
        people = np.array([name == PERSON for name in found.class_names], bool)
        boxes, scores = found.boxes[people], found.scores[people]
        solid = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])  # clipped to the photo, a box may be empty
        boxes, scores = boxes[solid], scores[solid]
        order = np.argsort(-scores, kind="stable")
        return People(boxes[order], scores[order])


def load(weights: str | Path | None = None, *, progress: Progress = no_progress) -> RFDETRDetector:
    """RF-DETR, downloaded if it is nowhere on this machine. Call it on the inference thread.

    Args:
        weights: a folder in the reference's layout, or the file, beside its config.json; default: see locate.find.

    Raises:
        SapiensError: mlx-vlm is not installed.
        WeightsMissingError: when the files cannot be had.
        WeightsError: when they are damaged, or of another network.
    """
    check_installed()
    path, config = fetch(weights, progress=progress)
    progress("load", 0, 1)
    from mlx_vlm.models import rfdetr

    with original.naming(path):
        try:
            about = rfdetr.ModelConfig.from_dict(json.loads(config.read_text("utf-8")))
            module = rfdetr.Model(about)
            module.load_weights(list(rfdetr.Model.sanitize(mx.load(str(path))).items()), strict=True)
        except (OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError) as problem:
            if is_memory_full(problem):
                raise
            raise WeightsError(f"it is no RF-DETR that mlx-vlm can read ({_first_line(problem)})") from problem
    module.set_dtype(mx.float32)
    module.eval()
    mx.eval(module.parameters())
    return RFDETRDetector(module, about.resolution)


def fetch(
    weights: str | Path | None = None,
    *,
    progress: Progress = no_progress,
    tell: Callable[[str], None] = lambda notice: None,
) -> tuple[Path, Path]:
    """The file of the weights and its config.json, downloaded where they are not here. On any thread; raises as
    locate.find, whose arguments these are."""
    path = locate.find(zoo.RFDETR_BASE, weights, progress=progress, tell=tell)
    config = _beside(path)
    return path, config if config.is_file() else locate.find(zoo.RFDETR_BASE_CONFIG, progress=progress, tell=tell)


def are_here(weights: str | Path | None = None) -> bool:
    """Whether nothing has to be downloaded. Raises WeightsError where `weights` names nothing that exists."""
    path = locate.find_local(zoo.RFDETR_BASE, weights)
    return path is not None and (_beside(path).is_file() or locate.find_local(zoo.RFDETR_BASE_CONFIG) is not None)


def _beside(path: Path) -> Path:
    return path.with_name(zoo.RFDETR_BASE_CONFIG.filename)


def check_installed() -> None:
    """Raises SapiensError, with the line that installs it, where mlx-vlm is not there or cannot be used."""
    remedy = f'Run: pip install "{REQUIREMENT}" (or choose the detector rtmdet).'
    if find_spec("mlx_vlm") is None:
        raise SapiensError(f"RF-DETR needs the package mlx-vlm, which is not installed. {remedy}")
    try:
        import mlx_vlm.models.rfdetr.generate  # noqa: F401
    except ImportError as problem:
        raise SapiensError(
            f"RF-DETR needs another version of the package mlx-vlm ({_first_line(problem)}). {remedy}"
        ) from problem


def _first_line(problem: Exception) -> str:
    return (str(problem).splitlines() or [type(problem).__name__])[0][:200]
