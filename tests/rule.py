"""Weights and inputs rebuilt from names and shapes, so that no checkpoint has to ship with the tests.

The rule is the one the reference fixtures were made with, which weights/seeded.py holds.
"""

import gzip
import json
import shutil
from functools import cache
from pathlib import Path

import mlx.core as mx
import numpy as np
from safetensors.numpy import save, save_file

from sapiens_mlx import zoo
from sapiens_mlx.nn.backbone import Backbone, BackboneConfig
from sapiens_mlx.nn.heads import DeconvHeadConfig, Estimator, ScaleConfig, ShuffleHeadConfig
from sapiens_mlx.weights.seeded import noise, shapes, tensor

DATA = Path(__file__).parent / "data"
Shapes = dict[str, tuple[int, ...]]


def pixel_values(case: str, shape: tuple[int, ...]) -> np.ndarray:
    """A case's (B, 3, H, W) input: noise rounded to float16, as the fixtures keep it."""
    return noise(f"tiny/{case}/pixel_values", shape).astype(np.float16).astype(np.float32)


def manifest(name: str) -> Shapes:
    """Names and torch shapes of a real checkpoint ("seg-0.4b") or of a tiny parity case ("tiny/seg")."""
    with gzip.open(DATA / "manifests.json.gz", "rt") as file:
        return {key: tuple(shape) for key, shape in json.load(file)[name].items()}


def manifests() -> list[str]:
    """The names that manifest() knows."""
    with gzip.open(DATA / "manifests.json.gz", "rt") as file:
        return list(json.load(file))


def tiny_shapes(task: str) -> Shapes:
    """A checkpoint of `task` at the size "tiny" of conftest.py, whose widths suit every quantization level."""
    backbone = BackboneConfig(64, 2, (2,) * 8 + (1, 1) + (2,) * 8, 128)
    if task == "features":
        return shapes(Backbone(backbone))
    if task == "seg":
        head = DeconvHeadConfig(64, (24, 16, 12, 8), (8, 8), 29, "conv_seg")
    elif task == "pose":
        head = DeconvHeadConfig(64, (24, 16), (16, 16, 12), 308, "conv_pose")
    else:
        head = ShuffleHeadConfig(
            64,
            (24, 16, 12, 8),
            (8, 6, 4),
            out_channels=4 if task == "matting" else 3,
            final=f"conv_{task}",
            weighted_norm=task == "albedo",
            scale=ScaleConfig((24, 12, 64), (64, 64, 32, 1)) if task == "pointmap" else None,
        )
    return shapes(Estimator(backbone, head))


def tensors(names: Shapes, salt: str = "") -> dict[str, np.ndarray]:
    """Every tensor but RoPE's periods, which a file may leave out."""
    return {name: tensor(name, shape, salt) for name, shape in names.items() if not name.endswith("periods")}


def write_checkpoint(path: Path, names: Shapes, salt: str = "") -> Path:
    """The checkpoint as a safetensors file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors(names, salt), path)
    return path


@cache
def _tiny_file(task: str) -> bytes:
    return save(tensors(tiny_shapes(task)))


def write_tiny(folder: Path, task: str) -> Path:
    """A tiny checkpoint of `task` where the reference's layout has it."""
    name = zoo.task_row(task).published_as or task
    path = folder / name / f"sapiens2_tiny_{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_tiny_file(task))
    return path


def write_detector(path: Path) -> Path:
    """A small RTMDet in the published file's format. It finds boxes in anything."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(DATA / "rtmdet_tiny.pth", path))


def nhwc(array: np.ndarray) -> mx.array:
    """(B, C, H, W) to an MLX (B, H, W, C)."""
    return mx.array(np.ascontiguousarray(array.transpose(0, 2, 3, 1)))
