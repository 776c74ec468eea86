"""Checkpoints with the names and shapes of the published ones and seeded random numbers, for measuring where the real
ones are not at hand. What a network computes with them means nothing; how long it takes does.
"""

import zlib
from pathlib import Path

import mlx.nn as nn
import numpy as np
from safetensors.numpy import save_file

from .. import zoo
from ..errors import SapiensError
from ..nn import rope
from ..nn.backbone import Backbone, BackboneConfig
from ..nn.heads import DeconvHeadConfig, Estimator, ScaleConfig, ShuffleHeadConfig
from ..nn.layers import tensors_of
from . import layouts
from .reader import Shapes

FULL_ATTENTION = 8  # so many blocks at either end have a K/V head for each query head; between, one for two

# Widths of the upsampling layers and of the convolutions behind them, by task; what differs, by task and size.
# Matting's are not in any configuration that is published: they are the normals'.
WIDTHS = {
    "seg": ((512, 256, 128, 64), (64, 64)),
    "pose": ((1024, 768), (512, 512, 256)),
    "normal": ((768, 512, 256, 128), (64, 32, 16)),
    "pointmap": ((1536, 768, 512, 256), (64, 32, 16)),
    "albedo": ((768, 512, 256, 128), (64, 32, 16)),
    "matting": ((768, 512, 256, 128), (64, 32, 16)),
}
OTHER_WIDTHS = {
    ("pose", "1b"): ((1536, 1024), (768, 512, 256)),
    ("normal", "5b"): ((1536, 768, 512, 256), (128, 64, 32)),
    ("pointmap", "5b"): ((1536, 768, 768, 768), (128, 64, 32)),
    ("albedo", "5b"): ((1536, 768, 512, 256), (64, 32, 16)),
}
SCALE = ScaleConfig((1536, 512, 128), (6144, 512, 128, 1))
CHANNELS = {"seg": 29, "pose": 308, "matting": 4}  # of the output; 3 for all others

TOKENS = ("cls_token", "storage_tokens", "w_cls", "local_pos_embed")
NORMS = ("ln1", "ln2", "norm", "bn", "q_norm", "k_norm")


def noise(seed: str, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normal float32 of that shape, the same for the same seed on every machine."""
    return np.random.default_rng(zlib.crc32(seed.encode())).standard_normal(shape, dtype=np.float32)


def tensor(name: str, shape: tuple[int, ...], salt: str = "") -> np.ndarray:
    """The float32 tensor called `name` in a checkpoint, in torch's layout, about as large as in a trained network."""
    *_, parent, leaf = ("", *name.split("."))
    n = noise(salt + name, shape)
    if leaf in TOKENS:
        return np.float32(0.5) * n
    if leaf == "bias":
        return np.float32(0.02) * n
    if parent == "gamma":
        return np.float32(0.2) * (1 + np.float32(0.1) * n)
    if parent in NORMS:
        return 1 + np.float32(0.1) * n
    return n / np.float32(np.sqrt(np.prod(shape[1:])))


def network(task: str, size: str) -> nn.Module:
    """The network of `task` at `size` in plain MLX, with lazy arrays: nothing is allocated.

    Raises:
        SapiensError: for an unknown task or size, the size demo, whose own weights are always there, or the detector
            and hands, which are of other families.
    """
    zoo.checkpoint(task, size)  # which says what is wrong with the names
    if task in ("detect", "hands") or size == "demo":
        raise SapiensError(f"There are no seeded weights for {task} at {size}. Choose another task and size.")
    row = zoo.SIZES[size]
    kv_heads = [row.num_heads] * row.num_layers
    for block in range(FULL_ATTENTION, row.num_layers - FULL_ATTENTION):
        kv_heads[block] //= 2
    backbone = BackboneConfig(
        row.embed_dim,
        row.num_heads,
        tuple(kv_heads),
        4 * row.embed_dim,
        tokenizer_layers=row.tokenizer_layers,
        tokenizer_ffn_dim=4 * row.embed_dim,
    )
    if task == "features":
        return Backbone(backbone)
    upsampling, convolutions = OTHER_WIDTHS.get((task, size), WIDTHS[task])
    channels, final = CHANNELS.get(task, 3), zoo.task_row(task).final_layer
    if task in ("seg", "pose"):
        return Estimator(backbone, DeconvHeadConfig(row.embed_dim, upsampling, convolutions, channels, final))
    head = ShuffleHeadConfig(
        row.embed_dim,
        upsampling,
        convolutions,
        channels,
        final,
        weighted_norm=task == "albedo",
        sigmoid=task == "matting",
        scale=SCALE if task == "pointmap" else None,
    )
    return Estimator(backbone, head)


def shapes(module: nn.Module) -> Shapes:
    """Names and shapes of its tensors as a published checkpoint has them."""
    change = layouts.ORIGINAL.change
    return {name: change(name).file_shape(tuple(one.shape)) for name, one in tensors_of(module)}


def write(path: Path, task: str, size: str) -> None:
    """Writes the checkpoint of `task` at `size` as a safetensors file. All of it is in memory meanwhile."""
    module = network(task, size)
    tensors = {name: tensor(name, shape) for name, shape in shapes(module).items()}
    prefix = "" if isinstance(module, Backbone) else "backbone."
    tensors[f"{prefix}rope_embed.periods"] = rope.periods(zoo.SIZES[size].embed_dim // zoo.SIZES[size].num_heads)
    save_file(tensors, path)
