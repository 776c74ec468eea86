"""Checkpoints: a safetensors file's header, the config.json beside it and an index, apart by null characters.

What is behind the header is nought, so that it need not be made up. All of it is read as store.load would.
"""

import contextlib
import json
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import mlx.core as mx

from sapiens_mlx import zoo
from sapiens_mlx.errors import SapiensError
from sapiens_mlx.nn.backbone import Backbone, BackboneConfig
from sapiens_mlx.runtime import no_progress
from sapiens_mlx.weights import described, original, reader
from sapiens_mlx.weights.seeded import shapes

WORDS = [
    b'"dtype":"F16"',
    b'"BF16"',
    b'"F64"',
    b'"F8_E4M3"',
    b'"U32"',
    b'"shape":[',
    b'"data_offsets":[',
    b"__metadata__",
]
WORDS += [b"backbone.", b"blocks.0.", b"attn.wqkv.weight", b".scales", b".biases", b"cls_token", b"decode_head."]
WORDS += [b"rope_embed.periods", b"tokenizer.blocks.0.ffn.w3.weight", b'"model_type":"sapiens2"', b'"quantization":{']
WORDS += [
    b'"group_size":64',
    b'"bits":4',
    b'"mode":"affine"',
    b'"architectures":["Sapiens2Model"]',
    b'"backbone_config":{',
]
WORDS += [
    b'"weight_map":{',
    b"model.safetensors",
    b'"hidden_size":',
    b"null",
    b"[[]]",
    b"{}",
    b"-1",
    b"1e99",
    b"\\ud800",
]
MOST_BYTES = 10_000_000
FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-"))
SMALL = BackboneConfig(embed_dim=64, num_heads=2, kv_heads=(2, 1), ffn_dim=64)
zoo.SIZES["small"] = zoo.Size("small", 64, 2, 2, 1, None, input_hw=(32, 32))
zoo.TASKS["features"] = replace(zoo.TASKS["features"], sizes=("small",))


def once(data: bytes) -> None:
    header, config, index = [*data.split(b"\0", 2), b"", b""][:3]
    path, beside, names = (FOLDER / name for name in ("model.safetensors", described.CONFIG, reader.INDEX))
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(min(8 + len(header) + _length(header), MOST_BYTES))
    beside.write_bytes(config) if config else beside.unlink(missing_ok=True)
    with contextlib.suppress(SapiensError):
        names.write_bytes(index)
        with original.naming(names):
            reader.files_of(names)
    level = zoo.level("4bit" if b"quantization" in config else "fp32")
    with contextlib.suppress(SapiensError):
        original.convert(path, zoo.checkpoint("features", "small"), level, mx.bfloat16, no_progress)
    with contextlib.suppress(SapiensError):
        if (found := described.read(FOLDER)) is not None:
            described.task_of(found), described.size_of(found), described.level_of(found)


def _length(header: bytes) -> int:
    """Of what the header says is behind it; 0 for one without sense."""
    try:
        return max(0, *(int(one["data_offsets"][1]) for one in json.loads(header).values() if "data_offsets" in one))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError):
        return 0


def seeds() -> Iterator[bytes]:
    said = {"model_type": "sapiens2", "architectures": ["Sapiens2Model"], "hidden_size": 64, "num_hidden_layers": 2}
    said |= {"num_attention_heads": 2, "num_key_value_heads_per_layer": [2, 1], "intermediate_size": 64}
    plain = {name: ("F16", shape) for name, shape in shapes(Backbone(SMALL)).items() if not name.endswith("periods")}
    index = json.dumps({"weight_map": {"cls_token": "model.safetensors"}}).encode()
    yield _header(plain)
    yield b"\0".join([_header(plain), json.dumps(said).encode(), index])
    yield b"\0".join(
        [_header(plain | {"more": ("F8_E4M3", (2, 2))}), json.dumps({"backbone_config": {}} | said).encode()]
    )
    packed = dict(plain)
    for name, (_, shape) in plain.items():
        if ".blocks." in f".{name}" and name.endswith(".weight") and len(shape) == 2:
            layer = name.removesuffix(".weight")
            packed[name] = ("U32", (shape[0], shape[1] // 8))
            packed |= {f"{layer}.{part}": ("F16", (shape[0], shape[1] // 64)) for part in ("scales", "biases")}
    yield b"\0".join([_header(packed), json.dumps(said | {"quantization": {"group_size": 64, "bits": 4}}).encode()])


def _header(tensors: dict[str, tuple[str, tuple[int, ...]]]) -> bytes:
    at, rows = 0, {}
    for name, (dtype, shape) in tensors.items():
        length = {"F16": 2, "U32": 4, "F8_E4M3": 1}[dtype]
        for extent in shape:
            length *= extent
        rows[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + length]}
        at += length
    return json.dumps(rows, separators=(",", ":")).encode()
