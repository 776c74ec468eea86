"""Checkpoints by hypothesis: tensors come as they were written, and files without sense are a sentence."""

import io
import json
import struct

import numpy as np
import properties  # noqa: F401  how hypothesis runs
import pytest
import torch_saves
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.numpy import save_file

from sapiens_mlx.errors import WeightsError
from sapiens_mlx.weights import described, layouts, mano_pickle, original, reader, torch_file

NAMES = st.text("abc.0123", min_size=1, max_size=12)
SHAPES = st.lists(st.integers(0, 4), max_size=4).map(tuple)
FLOATS = arrays.arrays(np.float32, SHAPES, elements=st.floats(-9, 9, width=32))
KINDS = {np.float32: "FloatStorage", np.float64: "DoubleStorage", np.int64: "LongStorage", np.uint8: "ByteStorage"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**70) | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
KEYS = [
    "model_type",
    "architectures",
    "task",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "use_tokenizer",
]
KEYS += ["backbone_config", "head_config", "quantization", "quantization_config", "num_key_value_heads_per_layer"]
CONFIGS = st.dictionaries(st.sampled_from(KEYS), JSON | st.sampled_from([{"bits": 4, "group_size": 64}, 64, ["seg"]]))
OPCODES = st.sampled_from(
    [bytes([code]) for code in b"().0123NRQ]ade}busht\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94"]
)
PARTS = OPCODES | st.sampled_from(
    [torch_saves.GOOD, torch_saves.storage("0", 4), b"cos\nsystem\n", b"K\1", b"h\0", b"q\1"]
)
PROGRAMS = st.lists(PARTS | st.binary(max_size=3), max_size=40).map(b"".join)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("weights")


@given(tensors=st.dictionaries(NAMES, FLOATS, min_size=1, max_size=5))
def test_safetensors_are_not_read_back(folder, tensors):
    path = folder / "sound.safetensors"
    save_file(tensors, path)
    assert reader.read_shapes(path) == {name: tensor.shape for name, tensor in tensors.items()}
    found = reader.Tensors(path)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(np.array(found.take(name)), tensor)


@given(
    head=JSON
    | st.dictionaries(
        NAMES,
        st.fixed_dictionaries(
            {
                "dtype": st.sampled_from(["F32", "F8_E4M3", "U8", "x"]),
                "shape": st.lists(st.integers(-1, 2**40), max_size=10),
                "data_offsets": st.lists(st.integers(-1, 99), max_size=3),
            }
        ),
    ),
    size=st.integers(0, 99),
    body=st.integers(0, 99),
)
def test_a_header_of_anything_is_no_sentence(folder, head, size, body):
    data, path = json.dumps(head).encode(), folder / "any.safetensors"
    path.write_bytes(struct.pack("<Q", len(data) + size) + data + bytes(body))
    try:
        with original.naming(path):
            reader.Reader(path, layouts.ORIGINAL)
    except WeightsError as problem:
        assert str(problem).startswith("any.safetensors cannot be used: ")


@given(config=CONFIGS, layer=NAMES)
def test_a_config_of_anything_is_no_sentence(folder, config, layer):
    (folder / described.CONFIG).write_text(json.dumps({"model_type": "sapiens2"} | config))
    found = described.read(folder)
    if found is not None:
        described.task_of(found), described.size_of(found), described.is_plain(found, layer)
        try:
            described.packing_of(found, layer)
        except WeightsError as problem:
            assert "packed" in str(problem)


@given(index=JSON | st.fixed_dictionaries({"weight_map": JSON}))
def test_an_index_of_anything_is_no_sentence(folder, index):
    path = folder / reader.INDEX
    path.write_text(json.dumps(index))
    try:
        assert reader.files_of(path) == []
    except WeightsError as problem:
        assert reader.INDEX in str(problem)


@given(
    dtype=st.sampled_from(list(KINDS)),
    shape=SHAPES,
    turn=st.randoms(use_true_random=False),
    offset=st.integers(0, 3),
)
def test_a_tensor_of_torch_is_not_read_back(folder, dtype, shape, turn, offset):
    numbers = np.arange(np.prod(shape, dtype=int) + offset).astype(dtype)
    whole = numbers[offset:].reshape(shape)
    axes = list(range(len(shape)))
    turn.shuffle(axes)
    view = whole.transpose(axes)
    strides = tuple(max(step, 0) // whole.itemsize for step in view.strides)
    stored = torch_saves.storage("0", len(numbers), KINDS[dtype])
    program = torch_saves.mapping(
        state_dict=torch_saves.mapping(t=torch_saves.tensor(stored, view.shape, strides, offset))
    )
    path = torch_saves.write(folder / "sound.pth", program, {"0": numbers.tobytes()})
    np.testing.assert_array_equal(torch_file.read_tensors(path)["t"], view)


@given(program=PROGRAMS, data=st.binary(max_size=40))
def test_a_pickle_of_anything_is_no_sentence(folder, program, data):
    path = torch_saves.write(folder / "any.pth", torch_saves.mapping(state_dict=program), torch_saves.STORED)
    attacked = folder / "MANO_RIGHT.pkl"
    attacked.write_bytes(b"\x80\2" + program + torch_saves.STOP)
    for read in (
        lambda: torch_file.read_tensors(path),
        lambda: torch_file.read_tensors(
            torch_file.Opened("any.pth", io.BytesIO(path.read_bytes()[: -len(data)] + data))
        ),
        lambda: mano_pickle.read(attacked),
    ):
        try:
            read()
        except WeightsError as problem:
            assert str(problem).endswith(".")
