"""Sapiens2 on Apple's MLX: body parts, pose, normals, depth, albedo and mattes from a photo of people.

import sapiens_mlx as sm
result = sm.load("seg", "0.4b")("photo.jpg")  # sm.load("seg") alone takes the demo weights that ship with the project
"""

from pathlib import Path
from typing import TYPE_CHECKING

from . import platforms
from . import runtime as runtime  # on Linux it must load BLAS before anything imports mlx.core

if TYPE_CHECKING:
    from .predictor import Predictor

__version__ = "0.1.0"
__all__ = ["load"]


def load(
    task: str, size: str | None = None, level: str | None = None, weights: str | Path | None = None
) -> "Predictor":
    """A predictor for one task: call it with a photo. Nothing is read before it is needed.

    Args:
        task: "seg", "pose", "normal", "pointmap", "albedo", "matting", "features", "detect", or "hands" with
            the extra of that name.
        size: "demo", "0.4b", "0.8b", "1b" or "5b", for features also "0.1b" and "1b-4k"; default demo, whose weights
            ship with the project and were trained on drawn figures: choose 0.4b or larger for photographs.
        level: "fp32", "fp16", "bf16", "8bit", "6bit", "5bit", "4bit", "mxfp8", "mxfp4" or "nvfp4"; default bf16 on a
            GPU, fp32 on the CPU.
        weights: a folder in the reference's layout, one file, or a repository on the hub as "owner/name". Default:
            $SAPIENS_CHECKPOINT_ROOT or, where that is not set, ~/sapiens2_host, then the Hugging Face cache, then a
            download; for the size demo the project's own files.

    Raises:
        SapiensError: for a name that is not in the tables of zoo.py, and on a computer that MLX does not run on.
    """
    platforms.check()
    from .predictor import Predictor

    return Predictor(task, size, level, weights)
