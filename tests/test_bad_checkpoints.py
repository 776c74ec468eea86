"""Safetensors files, indices and config.json without sense: each is a sentence, whatever stands in it."""

import json
import struct

import pytest

from sapiens_mlx import zoo
from sapiens_mlx.errors import SapiensError, WeightsError
from sapiens_mlx.runtime import no_progress
from sapiens_mlx.weights import described, layouts, original, reader

SIZES = {"F32": 4, "F16": 2, "U32": 4, "F8_E4M3": 1, "F64": 8}


def write(path, tensors: dict[str, tuple[str, list[int]]]):
    """A safetensors file of these types and shapes; its numbers are nought."""
    rows, at = {}, 0
    for name, (dtype, shape) in tensors.items():
        length = SIZES[dtype]
        for extent in shape:
            length *= extent
        rows[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + length]}
        at += length
    data = json.dumps(rows).encode()
    path.write_bytes(struct.pack("<Q", len(data)) + data + bytes(at))
    return path


def convert(path) -> None:
    original.convert(path, zoo.checkpoint("features", "0.4b"), zoo.level("4bit"), None, no_progress)


CLS = {"cls_token": ("F32", [1, 1, 64])}
LAYER = "blocks.0.ffn.w3"
PACKED = {f"{LAYER}.{part}": ("F16", [64, 1]) for part in ("scales", "biases")} | CLS
AT_4BIT = {"model_type": "sapiens2", "quantization": {"group_size": 64, "bits": 4}}
TENSORS = {
    "a packed weight of one axis": (
        PACKED | {f"{LAYER}.weight": ("U32", [64])},
        AT_4BIT,
        r"its weight has the shape \(64,\)",
    ),
    "scales without axes": (
        PACKED | {f"{LAYER}.weight": ("U32", [64, 8]), f"{LAYER}.scales": ("F16", [])},
        AT_4BIT,
        r"its scales have \(\)",
    ),
    "groups of nothing": (
        PACKED | {f"{LAYER}.weight": ("U32", [64, 8])},
        AT_4BIT | {"quantization": {"group_size": 0, "bits": 4}},
        "none of the levels",
    ),
    "a type that MLX does not know": (CLS | {"x.weight": ("F8_E4M3", [2])}, None, "F8_E4M3"),
    "a merged projection without axes": (CLS | {"blocks.0.attn.wqkv.bias": ("F32", [])}, None, "has 0 rows"),
    "a token without axes": (
        {"cls_token": ("F32", []), "blocks.0.attn.wqkv.bias": ("F32", [6])},
        None,
        "keys and values of 0",
    ),
    "a token without axes, alone": ({"cls_token": ("F32", [])}, None, "is missing|do not fit together"),
    "a norm without numbers": (
        CLS | {"blocks.0.attn.q_norm.weight": ("F32", [0]), "blocks.0.attn.wk.weight": ("F32", [0, 4])},
        None,
        "do not fit together",
    ),
    "a block of hundreds of digits": (CLS | {f"blocks.{'9' * 450}.ffn.w3.weight": ("F32", [1])}, None, "is missing"),
    "an axis beyond 32 bits": (CLS | {"x.weight": ("F32", [0, 2**31])}, None, "a name or a shape that no tensor"),
}


@pytest.mark.parametrize(("tensors", "config", "says"), TENSORS.values(), ids=TENSORS)
def test_tensors_without_sense_are_no_sentence(tmp_path, tensors, config, says):
    path = write(tmp_path / "model.safetensors", tensors)
    if config is not None:
        (tmp_path / described.CONFIG).write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=says) as problem:
        convert(path)
    assert "cannot be used" in str(problem.value)


INDICES = {
    "deep": "[" * 200_000,
    "of another kind": '"text"',
    "without files": '{"weight_map": {"a": 7}}',
    "mixed": '{"weight_map": {"a": 7, "b": "c"}}',
    "lists": '{"weight_map": {"a": []}}',
    "elsewhere": '{"weight_map": {"a": "../model.safetensors"}}',
    "this folder": '{"weight_map": {"a": "."}}',
    "nameless": '{"weight_map": {"a": ""}}',
    "too long": json.dumps({"weight_map": {"a": "n" * 300}}),
    "half a letter": '{"weight_map": {"a": "\\ud800"}}',
    "with a null": '{"weight_map": {"a": "b\\u0000"}}',
    "no text": "\xff\xfe",
    "larger than any": '{"weight_map": {}}' + " " * reader.MOST_INDEX_BYTES,
}


@pytest.mark.parametrize("content", INDICES.values(), ids=INDICES)
def test_an_index_without_sense_is_no_sentence(tmp_path, content):
    path = tmp_path / reader.INDEX
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(WeightsError, match=r"index\.json") as problem:
        reader.files_of(path)
    str(problem.value).encode()  # can be written


@pytest.mark.parametrize("architectures", [5, [[]], [{}], "Sapiens2Model", {"a": 1}, [None, 7]])
@pytest.mark.parametrize("task", [[], {}, 7, None])
def test_a_config_names_no_task_and_is_no_sentence(architectures, task):
    assert described.task_of({"architectures": architectures, "task": task}) is None


def test_a_class_is_not_found_behind_what_is_none():
    assert described.task_of({"architectures": [None, 7, "Sapiens2ForPoseEstimation"]}) == "pose"
    assert described.task_of({"architectures": ["Sapiens2ForPoseEstimation"], "task": "seg"}) == "seg"


@pytest.mark.parametrize("content", ["[" * 200_000, " " * described.MOST_BYTES + "{}", "\ud800", "9" * 5000])
def test_a_config_that_cannot_be_read_is_no_sentence(tmp_path, content):
    (tmp_path / described.CONFIG).write_bytes(content.encode(errors="surrogatepass"))
    with pytest.raises(WeightsError, match=r"config\.json is damaged or cannot be read"):
        described.read(tmp_path)


def test_what_a_config_says_fills_the_screen(tmp_path):
    config = AT_4BIT | {"quantization": {"group_size": 64, "bits": 4, "mode": "m" * 100_000}}
    with pytest.raises(WeightsError) as problem:
        described.packing_of(config, "")
    assert len(str(problem.value)) < 300


def test_a_sentence_of_another_kind_or_out_of_memory_is_told_as_damage(tmp_path):
    """Only what a file can set off is the file's fault."""
    for problem in (MemoryError(), RuntimeError("[malloc] Unable to allocate"), SapiensError("as it is")):
        with pytest.raises(type(problem)) as caught, original.naming(tmp_path):
            raise problem
        assert caught.value is problem


def test_tensors_of_another_layout_are_taken(tmp_path):
    path = write(tmp_path / "a.safetensors", {"decode_head.x": ("U32", [3])} | CLS)
    assert reader.Reader(path, layouts.HEADLESS).shapes["decode_head.x"] == (3,)
