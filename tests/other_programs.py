"""Writes a checkpoint as other programs do: transformers, mlx-vlm, and the branch of it that mlx-community used.

Made from the original's tensors, with nothing of those programs, by what their files look like; that the files really
look so is what test_parity.py is for.
"""

import json
import re
from pathlib import Path

import mlx.core as mx
import numpy as np
from rule import Shapes, tensors

CLASSES = {
    "features": "Sapiens2Model",
    "seg": "Sapiens2ForSemanticSegmentation",
    "pose": "Sapiens2ForPoseEstimation",
    "normal": "Sapiens2ForNormalEstimation",
    "pointmap": "Sapiens2ForPointmapEstimation",
    "matting": "Sapiens2ForImageMatting",
}
AT_4BIT = {"group_size": 64, "bits": 4, "mode": "affine"}  # `packed` or config.json's "quantization"
CONFIG = {"model_type": "sapiens2", "hidden_size": 64, "num_hidden_layers": 18, "num_attention_heads": 2}
BRANCH_BACKBONE = {"embed_dims": 64, "num_layers": 18, "num_heads": 2, "feedforward_channels": 128}
LINEAR = re.compile(r".*blocks\.\d+\.(attn\.(wqkv|w[qkv]|proj)|ffn\.(w12|w3))|decode_head\.scale_final_layer\.\d")


def transformers(folder: Path, task: str, shapes: Shapes, *, shards: int = 1, **config) -> Path:
    """What save_pretrained() leaves: the original's names and axes, no periods, several files where it is large."""
    folder.mkdir(parents=True)
    config = CONFIG | {"architectures": [CLASSES[task]], "intermediate_size": 128} | config
    (folder / "config.json").write_text(json.dumps(config))
    write({name: mx.array(tensor) for name, tensor in tensors(shapes).items()}, folder, shards, {"format": "pt"})
    return folder


def mlx_vlm(folder: Path, task: str, shapes: Shapes, *, shards: int = 1, packed: dict | None = None, **config) -> Path:
    """mlx-vlm 0.7: queries, keys and values merged, "backbone." always, channels last, periods."""
    folder.mkdir(parents=True)
    ours = channels_last(shapes)
    for name in [name for name in ours if re.search(r"\.attn\.wq\.", name)]:
        parts = [ours.pop(name.replace(".wq.", f".{part}.")) for part in ("wq", "wk", "wv")]
        ours[name.replace(".wq.", ".wqkv.")] = mx.concatenate(parts)
    if task == "features":
        ours = {f"backbone.{name}": tensor for name, tensor in ours.items()}
    ours["backbone.rope_embed.periods"] = mx.array(100.0 ** (np.arange(8) / 8)).astype(mx.bfloat16)
    config = CONFIG | {"architectures": [CLASSES[task]]} | quantization(packed) | config
    (folder / "config.json").write_text(json.dumps(config))
    write(pack(ours, packed), folder, shards, {"format": "mlx"})
    return folder


def branch(folder: Path, task: str, shapes: Shapes, *, packed: dict | None = None, **config) -> Path:
    """mlx-vlm's branch add-sapiens2, which made mlx-community's files: `children_list`, a config of its own."""
    folder.mkdir(parents=True)
    renamed = {
        re.sub(r"(upsample_blocks\.\d+)\.", r"\1.children_list.", name): tensor
        for name, tensor in channels_last(shapes).items()
    }
    own = {"model_type": "sapiens2", "task": task, "backbone_config": BRANCH_BACKBONE, "head_config": {"task": task}}
    (folder / "config.json").write_text(json.dumps(own | quantization(packed) | config))
    write(pack(renamed, packed), folder, 1, None)
    return folder


def channels_last(shapes: Shapes) -> dict[str, mx.array]:
    """(O, I, kh, kw) as (O, kh, kw, I); transposed convolutions, (I, O, kh, kw), as (O, kh, kw, I) too."""
    ours = {}
    for name, tensor in tensors(shapes).items():
        if tensor.ndim == 4:
            tensor = tensor.transpose(1, 2, 3, 0) if ".deconv_layers." in name else tensor.transpose(0, 2, 3, 1)
        ours[name] = mx.array(np.ascontiguousarray(tensor))
    return ours


def quantization(packed: dict | None) -> dict:
    return {} if packed is None else {"quantization": packed}


def pack(ours: dict[str, mx.array], packed: dict | None) -> dict[str, mx.array]:
    """The Linear layers as mlx.nn.quantize leaves them, in bfloat16 around it; as `packed` says, layer by layer."""
    if packed is None:
        return ours
    written = {}
    default = {name: value for name, value in packed.items() if not isinstance(value, (dict, bool))}
    for name, tensor in ours.items():
        layer = name.removesuffix(".weight")
        own = packed.get(layer, True)
        options = default | (own if isinstance(own, dict) else {})
        tensor = tensor.astype(mx.bfloat16)
        is_linear = name != layer and LINEAR.fullmatch(layer)
        if is_linear and own and tensor.shape[1] % options["group_size"] == 0:
            parts = zip(("weight", "scales", "biases"), mx.quantize(tensor, **options), strict=False)
            written |= {f"{layer}.{part}": packed_part for part, packed_part in parts}
        else:
            written[name] = tensor
    return written


def write(ours: dict[str, mx.array], folder: Path, shards: int, metadata: dict | None) -> None:
    """One file, or `shards` of them and the index that names them."""
    names = sorted(ours)
    if shards == 1:
        mx.save_safetensors(str(folder / "model.safetensors"), ours, metadata)
        return
    weight_map = {}
    for number in range(shards):
        file = f"model-{number + 1:05d}-of-{shards:05d}.safetensors"
        part = {name: ours[name] for name in names[number::shards]}
        mx.save_safetensors(str(folder / file), part, metadata)
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": sum(tensor.nbytes for tensor in ours.values())}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
