"""torch.save files read without PyTorch: the right numbers from good ones, a sentence for other kinds and damage."""

import io
import pickle
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from conftest import DATA
from torch_saves import FOUR, GOOD, STOP, STORED, group, mapping, named, number, storage, tensor, text, write

from sapiens_mlx.errors import WeightsError
from sapiens_mlx.weights.torch_file import read_tensors

RTMDET = DATA / "rtmdet_tiny.pth"

# ---- good files -----------------------------------------------------------------------------------------------------


def test_mmengine_file_gives_exactly_its_state_dict():
    tensors = read_tensors(RTMDET)
    checksums = {name: zlib.crc32(array) for name, array in tensors.items()}
    assert len(tensors) == 512
    assert tensors["backbone.stem.0.conv.weight"].shape == (4, 3, 3, 3)
    assert checksums["backbone.stem.0.conv.weight"] == 4058579807
    assert checksums["backbone.stem.0.bn.running_mean"] == 995407719
    assert tensors["backbone.stem.0.bn.num_batches_tracked"].dtype == np.int64
    assert {array.dtype.name for array in tensors.values()} == {"float32", "int64"}
    levels = [checksums[f"bbox_head.cls_convs.{level}.0.conv.weight"] for level in range(3)]
    assert len(set(levels)) == 1  # the three levels of the head share one storage


def test_mmengine_file_equals_the_same_tensors_in_safetensors(reference):
    from safetensors.numpy import load_file

    expected = load_file(reference / "tiny/rtmdet.safetensors")
    tensors = read_tensors(RTMDET)
    assert tensors.keys() == expected.keys()
    for name, array in expected.items():
        assert tensors[name].dtype == array.dtype
        np.testing.assert_array_equal(tensors[name], array, err_msg=name)


def test_only_wanted_storages_are_read(tmp_path):
    program = mapping(state_dict=mapping(head=GOOD, backbone=tensor(storage("not there", 9), (9,), (1,))))
    tensors = read_tensors(write(tmp_path / "a.pth", program, STORED), wanted=lambda name: name == "head")
    np.testing.assert_array_equal(tensors["head"], FOUR)


BITS = np.array([0x3F80, 0xBFC0, 0x7F80, 0x0001], np.uint16)
TYPES = [
    ("FloatStorage", FOUR, FOUR),
    ("DoubleStorage", FOUR.astype("f8"), FOUR.astype("f8")),
    ("HalfStorage", FOUR.astype("f2"), FOUR.astype("f2")),
    ("BFloat16Storage", BITS, np.array([1, -1.5, np.inf, 2.0**-133], np.float32)),
    ("LongStorage", np.array([-(2**62), 5]), np.array([-(2**62), 5])),
    ("IntStorage", FOUR.astype("i4"), FOUR.astype("i4")),
    ("ShortStorage", FOUR.astype("i2"), FOUR.astype("i2")),
    ("CharStorage", FOUR.astype("i1"), FOUR.astype("i1")),
    ("ByteStorage", FOUR.astype("u1"), FOUR.astype("u1")),
    ("BoolStorage", np.array([True, False]), np.array([True, False])),
]


@pytest.mark.parametrize(("kind", "stored", "expected"), TYPES, ids=[kind for kind, _, _ in TYPES])
def test_each_type_keeps_its_values(tmp_path, kind, stored, expected):
    program = mapping(t=tensor(storage("0", stored.size, kind), (stored.size,), (1,)))
    array = read_tensors(write(tmp_path / "a.pth", program, {"0": stored.tobytes()}))["t"]
    assert array.dtype == expected.dtype
    np.testing.assert_array_equal(array, expected)


TWELVE = np.arange(12, dtype=np.float32)
PLACES = [
    ("contiguous", (3, 4), (4, 1), 0, TWELVE.reshape(3, 4)),
    ("transposed", (4, 3), (1, 4), 0, TWELVE.reshape(3, 4).T),
    ("offset", (2, 3), (3, 1), 6, TWELVE[6:].reshape(2, 3)),
    ("every third, from the second", (4,), (3,), 1, TWELVE[1::3]),
    ("expanded", (2, 3), (0, 1), 9, np.tile(TWELVE[9:], (2, 1))),
    ("number", (), (), 5, TWELVE[5]),
    ("one element, absurd stride", (1, 1), (10**9, 77), 11, TWELVE[11:].reshape(1, 1)),
    ("empty", (0, 5), (5, 1), 0, np.empty((0, 5), np.float32)),
]


@pytest.mark.parametrize(
    ("shape", "strides", "offset", "expected"), [p[1:] for p in PLACES], ids=[p[0] for p in PLACES]
)
def test_strides_and_offsets_pick_the_right_elements(tmp_path, shape, strides, offset, expected):
    program = mapping(t=tensor(storage("0", 12), shape, strides, offset))
    array = read_tensors(write(tmp_path / "a.pth", program, {"0": TWELVE.tobytes()}))["t"]
    assert array.flags.c_contiguous
    np.testing.assert_array_equal(array, expected)


def parameter(inner: bytes) -> bytes:
    return (
        named("torch._utils", "_rebuild_parameter") + group(inner, b"\x88", named("collections", "OrderedDict")) + b"R"
    )


# An OrderedDict as torch writes it: made, filled, then given its _metadata.
ORDERED = named("collections", "OrderedDict") + b")R(" + text("t") + GOOD + b"u" + mapping(_metadata=b"N") + b"b"
LAYOUTS = {
    "top level": mapping(t=GOOD),
    "under state_dict": mapping(epoch=number(3), state_dict=ORDERED),
    "ordered top level": ORDERED,
    "parameters": mapping(t=parameter(GOOD)),
    "foreign neighbours": mapping(
        message_hub=named("mmengine.logging", "HistoryBuffer") + b")\x81}b",
        hooks=b"](" + named("__builtin__", "getattr") + group(named("a.b", "C"), text("run")) + b"Re",
        sets=b"\x8f(" + number(1) + b"\x90",
        by_number=b"}" + number(7) + text("seven") + b"s",
        state_dict=mapping(t=GOOD),
    ),
    "protocol 4": b"\x95" + bytes(8) + mapping(t=GOOD) + b"\x94",
}


@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
@pytest.mark.parametrize("program", LAYOUTS.values(), ids=LAYOUTS)
def test_state_dict_is_found_in_every_layout(tmp_path, program, how):
    tensors = read_tensors(write(tmp_path / "a.pth", program, STORED, how, byteorder=b"little"))
    assert list(tensors) == ["t"]
    np.testing.assert_array_equal(tensors["t"], FOUR)


@pytest.mark.parametrize("protocol", range(6))
def test_plain_data_of_every_protocol_is_understood(tmp_path, protocol):
    """What Python itself writes, in every protocol's own opcodes, around a state dict that must still be found."""
    data = {
        "numbers": [0, -1, 255, 65536, 2**31, -(2**70), 1.5, True, None],
        "texts": ("é" * 300, b"\0\xff" * 200, bytearray(b"x"), ""),
        "nested": {"a": {"b": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)]}, 5: {6}, "f": frozenset((1,))},
    }
    pickled = io.BytesIO()
    pickle.Pickler(pickled, protocol).dump(data)
    program = mapping(config=pickled.getvalue()[:-1], state_dict=mapping(t=GOOD))
    np.testing.assert_array_equal(read_tensors(write(tmp_path / "a.pth", program, STORED))["t"], FOUR)


# ---- files of other kinds, and damaged ones -------------------------------------------------------------------------

KINDS = {
    "empty": (b"", "is empty"),
    "page": (b"\n<!DOCTYPE html><html>Sign in</html>", "web page"),
    "lfs pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
    "safetensors": (struct.pack("<Q", 2) + b"{}", "safetensors"),
    "before 1.6": (pickle.dumps({"a": 1}, 2), "before 1.6"),
    "noise": (b"\x01\x02\x03" * 50, "not a file of torch.save"),
    "truncated": (RTMDET.read_bytes()[:1_000_000], "cut short"),
    "start of a zip": (b"PK\x03\x04", "cut short"),
}


@pytest.mark.parametrize(("content", "words"), KINDS.values(), ids=KINDS)
def test_other_kinds_of_file_are_named(tmp_path, content, words):
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=words) as caught:
        read_tensors(path)
    assert str(path) in str(caught.value)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"nowhere\.pth could not be read"):
        read_tensors(tmp_path / "nowhere.pth")


def test_every_cut_and_every_flipped_byte_of_a_description_is_refused_or_harmless(tmp_path):
    """A sweep over one small file; whatever comes out, it must be tensors or a WeightsError."""
    good = write(tmp_path / "good.pth", mapping(state_dict=mapping(t=GOOD)), STORED).read_bytes()
    path = tmp_path / "bad.pth"
    for position in range(0, len(good), 3):
        for content in (good[:position], good[:position] + bytes([good[position] ^ 0x15]) + good[position + 1 :]):
            path.write_bytes(content)
            try:
                read_tensors(path)
            except WeightsError as problem:
                assert "bad.pth" in str(problem)


LIES = {
    "storage shorter than described": mapping(t=tensor(storage("0", 5), (4,), (1,))),
    "storage longer than described": mapping(t=tensor(storage("0", 3), (3,), (1,))),
    "storage of negative size": mapping(t=tensor(storage("0", -4), (4,), (1,))),
    "storage that is not in the zip": mapping(t=tensor(storage("1", 4), (4,), (1,))),
    "storage outside the folder": mapping(t=tensor(storage("../../x", 4), (4,), (1,))),
    "storage read as two types": mapping(a=GOOD, t=tensor(storage("0", 4, "DoubleStorage"), (4,), (1,))),
    "shape beyond the storage": mapping(t=tensor(storage("0", 4), (5,), (1,))),
    "offset beyond the storage": mapping(t=tensor(storage("0", 4), (1,), (1,), 4)),
    "stride beyond the storage": mapping(t=tensor(storage("0", 4), (2, 2), (3, 1))),
    "negative stride": mapping(t=tensor(storage("0", 4), (4,), (-1,), 3)),
    "negative offset": mapping(t=tensor(storage("0", 4), (1,), (1,), -1)),
    "negative extents": mapping(t=tensor(storage("0", 4), (-2, -2), (1, 1))),
    "more extents than strides": mapping(t=tensor(storage("0", 4), (2, 2), (1,))),
    "forty axes": mapping(t=tensor(storage("0", 4), (1,) * 40, (1,) * 40)),
    "extents that overflow": mapping(t=tensor(storage("0", 4), (2**62, 4), (0, 1))),
    "empty with extents that overflow": mapping(t=tensor(storage("0", 4), (0, 2**40, 2**40), (1, 1, 1))),
    "expanded to a terabyte": mapping(t=tensor(storage("0", 4), (2**38,), (0,))),
    "a number of 3 million digits": mapping(t=tensor(storage("0", 4), (256**1_200_000,), (1,))),
    "shape that is text": mapping(t=GOOD.replace(group(number(4)), text("four"), 1)),
}


@pytest.mark.parametrize("program", LIES.values(), ids=LIES)
def test_tensor_that_does_not_fit_its_storage_is_refused(tmp_path, program):
    with pytest.raises(WeightsError, match=r"a\.pth is cut short, damaged or no plain"):
        read_tensors(write(tmp_path / "a.pth", program, STORED))


def test_flipped_bit_in_a_storage_is_noticed(tmp_path):
    path = write(tmp_path / "a.pth", mapping(t=GOOD), STORED)
    path.write_bytes(path.read_bytes().replace(FOUR.tobytes(), FOUR[::-1].tobytes()))
    with pytest.raises(WeightsError, match="damaged"):
        read_tensors(path)


ZEROS = 400 << 20
BOMBS = {
    "deflated storage": (mapping(t=tensor(storage("0", ZEROS // 4), (1,), (1,))), {"0": ZEROS}, 0),
    "deflated description": (b"", {}, 80 << 20),
    "deflated storages": (
        mapping(**{f"t{i}": tensor(storage(str(i), 8 << 20, "ByteStorage"), (1,), (1,)) for i in range(30)}),
        {str(i): 8 << 20 for i in range(30)},
        0,
    ),
}


@pytest.mark.parametrize(("program", "storages", "padding"), BOMBS.values(), ids=BOMBS)
def test_zip_bomb_is_refused_before_it_fills_the_memory(tmp_path, program, storages, padding):
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("archive/data.pkl", "w") as entry:
            entry.write(b"\x80\x02" + program)
            for _ in range(padding >> 20):
                entry.write(b"N0" * (1 << 19))
            entry.write(STOP)
        for key, size in storages.items():
            with archive.open(f"archive/data/{key}", "w") as entry:
                for _ in range(size >> 20):
                    entry.write(bytes(1 << 20))
    assert path.stat().st_size < 4 << 20
    tracemalloc.start()
    with pytest.raises(WeightsError, match=r"too large|far more"):
        read_tensors(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 128 << 20


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (number(5), "no state_dict"),
        (mapping(meta=text("x")), "no state_dict"),
        (b"](" + GOOD + b"e", "no state_dict"),
        (mapping(t=text("x"), u=GOOD), "'t' is not a tensor"),
        (mapping(t=named("mmcv", "Weight") + b")R", u=GOOD), r"mmcv\.Weight"),
        (mapping(t=tensor(storage("0", 4, "ComplexFloatStorage"), (4,), (1,)), u=GOOD), "ComplexFloatStorage"),
    ],
    ids=["a number", "no tensors", "a list", "text", "foreign object", "unknown type"],
)
def test_what_is_no_tensor_is_refused_where_one_is_wanted(tmp_path, program, words):
    path = write(tmp_path / "a.pth", program, STORED)
    with pytest.raises(WeightsError, match=words):
        read_tensors(path)
