"""What can be chosen for one photo, checked; without MLX, for those that only pass it on."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import zoo
from .errors import SapiensError

if TYPE_CHECKING:
    from .detect import Detector

FOREGROUNDS = ("none", "auto", "matting", "seg")
NO_FOREGROUND = ("pose", "seg", "matting", "hands")  # tasks whose pictures are not cut to people


@dataclass(frozen=True)
class Options:
    """What can be chosen for one photo.

    `boxes_xyxy` are (P, 4) people in photo pixels, for pose; no detector is loaded then. `detector` is "rtmdet",
    "rfdetr" (with the optional package mlx-vlm), "none" (the whole photo is one person) or a callable, photo to People;
    its thresholds are 0..1. `flip` averages pose with the mirrored photo, as the reference does. `foreground` is what
    pictures and meshes of the dense tasks are cut to: "none", "auto", "matting", "seg", an (H, W) bool array, or a
    picture file that is light on people.

    Of hands: `hand_threshold` and `hand_iou` are those of the hand detector, 0..1. `vertices` of False leaves the
    meshes out and gives points alone. `hand_crop` of "left" or "right" says that the photo is a ready crop of that
    hand: none is looked for. `hand_norms` is how the network's refinement normalises: "package", each hand by itself,
    as wilor-mlx 0.3 does; or "trained", by the statistics that came with the weights, as WiLoR in PyTorch.
    """

    boxes_xyxy: Sequence[Sequence[float]] | np.ndarray | None = None
    detector: "str | Detector" = "rtmdet"
    box_threshold: float = zoo.DEFAULTS.box_threshold
    nms_threshold: float = zoo.DEFAULTS.nms_threshold
    flip: bool = zoo.DEFAULTS.flip
    foreground: str | Path | np.ndarray = zoo.DEFAULTS.foreground
    hand_threshold: float = zoo.DEFAULTS.hand_threshold
    hand_iou: float = zoo.DEFAULTS.hand_iou
    vertices: bool = True
    hand_crop: str | None = None
    hand_norms: str = zoo.DEFAULTS.hand_norms

    def __post_init__(self) -> None:
        if isinstance(self.detector, str) and self.detector not in zoo.DETECTORS:
            raise SapiensError(
                f"There is no detector {self.detector!r}. Choose one of: {', '.join(zoo.DETECTORS)}; "
                "or pass a function of your own, photo to People."
            )
        if self.hand_crop is not None and self.hand_crop not in zoo.HAND_SIDES:
            raise SapiensError(f"There is no {self.hand_crop!r} hand. Say whether the crop is of a left or right one.")
        if self.hand_norms not in zoo.HAND_NORMS:
            raise SapiensError(f"There are no norms {self.hand_norms!r}. Choose one of: {', '.join(zoo.HAND_NORMS)}.")
        for name in ("box_threshold", "nms_threshold", "hand_threshold", "hand_iou"):
            value = getattr(self, name)
            if not isinstance(value, Real) or not 0 <= float(value) <= 1:  # nor is NaN
                raise SapiensError(f"{name} is {value!r:.100}. Give a number from 0 to 1.")
