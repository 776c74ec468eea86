"""Files of boxes and of weights made to be long to read or to fill the memory: under 10 MB, none takes 2 s or 1 GB."""

import json
import random
import struct
import zipfile

import limited
import pytest
import torch_saves
from torch_saves import FOUR, GOOD, STOP, STORED, mapping, text


def header(rows: dict) -> bytes:
    data = json.dumps(rows, separators=(",", ":")).encode()
    return struct.pack("<Q", len(data)) + data


def tensors(names: list[str], length: int = 0) -> bytes:
    """A safetensors file of tensors of so many numbers; the last says how wide the network is."""
    names, size = [*names, "cls_token"], 4 * length
    rows = {
        name: {"dtype": "F32", "shape": [length], "data_offsets": [at * size, (at + 1) * size]}
        for at, name in enumerate(names)
    }
    rows["cls_token"]["shape"] = [length, 1]
    return header(rows) + bytes(size * len(names))


def many_of_one_tensor(path):
    """A state dict of two hundred thousand names for one tensor, deflated."""
    names = b"".join(text(f"{n:x}") + b"h\1" for n in range(230_000))
    state = b"}" + text("t") + GOOD + b"q\1s(" + names + b"u"
    torch_saves.write(path, mapping(state_dict=state), STORED, how=zipfile.ZIP_DEFLATED)


def zip_of_entries(path):
    entry = struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 65_535, 65_535, len(entry) * 200_000, 0, 0)
    path.write_bytes(b"PK\3\4" + entry * 200_000 + end)


def zeros_that_were_deflated(path):
    numbers, noise = 17_000_000, random.Random(0).randbytes(9_000_000)  # the larger the file, the more it may hold
    program = mapping(state_dict=mapping(t=torch_saves.tensor(torch_saves.storage("0", numbers), (numbers,), (1,))))
    torch_saves.write(path, program, {"0": bytes(4 * numbers)}, how=zipfile.ZIP_DEFLATED, noise=noise)


def text_of_emoji(path):
    """Four bytes a letter, as Python keeps it, for all that stands beside one."""
    beside = text("a" * 60_000_000 + "\N{GRINNING FACE}")
    torch_saves.write(path, mapping(meta=beside, state_dict=mapping(t=GOOD)), STORED, how=zipfile.ZIP_DEFLATED)


def steps(path):
    torch_saves.write(path, b"N" + b"N0" * 4_000_000, how=zipfile.ZIP_DEFLATED)


def containers(path):
    torch_saves.write(path, b"(" + b"}" * 990_000 + b"t", how=zipfile.ZIP_DEFLATED)


def file_of(data: bytes):
    return lambda path: path.write_bytes(data)


def picked_from_picked(path):
    """chumpy's Select of a Select of a Select, of a million numbers each, by as many."""
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\0tU\1btR"
    state = b"(K\1(J" + struct.pack("<I", 1 << 20) + b"t" + b"cnumpy\ndtype\n(U\2u1K\0K\1tR(K\3U\1|NNNJ\xff\xff\xff\xff"
    state += b"J\xff\xff\xff\xffK\0tb\x89T" + struct.pack("<I", 1 << 20) + bytes(1 << 20) + b"tb"
    value = array + state + b"q\1"
    for number in range(2, 6):
        made = (
            b"cchumpy.reordering\nSelect\n)R}(U\1ah" + bytes([number - 1]) + b"U\4idxsh" + bytes([number - 1]) + b"ub"
        )
        value = value + b"0" + made + b"q" + bytes([number])
    names = ("v_template", "shapedirs", "posedirs", "J_regressor", "kintree_table", "weights", "f")
    rows = b"".join(text(name) + b"h\5" for name in names)
    path.write_bytes(b"\x80\2" + value + b"0}(" + rows + b"u" + STOP)


CASES = {
    "boxes line by line": ("boxes", file_of(b"1,2,3,4\n" * 490_000), "more than 10,000 boxes"),
    "boxes in a list": ("boxes", file_of(b"[" + b"[1,2,3,4]," * 390_000 + b"[1,2,3,4]]"), "more than 10,000 boxes"),
    "boxes, empty": ("boxes", file_of(b"[" + b"{}," * 1_300_000 + b"{}]"), "a person has no"),
    "boxes, as many as are read": ("boxes", file_of(b"1,2,3,4\n" * 10_000), "read"),
    "boxes, a file of 10 MB": ("boxes", file_of(b"1,2,3,4\n" * 1_200_000), "larger than 4 MB"),
    "boxes, a number of a million digits": ("boxes", file_of(b"[[1,2,3," + b"9" * 1_000_000 + b"]]"), "digits"),
    "zip of entries": ("pth", zip_of_entries, "0 data.pkl"),
    "zeros that were deflated": ("pth", zeros_that_were_deflated, "read"),
    "text of emoji": ("pth", text_of_emoji, "read"),
    "steps": ("pth", steps, "too many steps"),
    "containers": ("pth", containers, "no state_dict"),
    "one tensor under many names": ("pth", many_of_one_tensor, "230,001 tensors"),
    "picked from picked": ("mano", picked_from_picked, "read"),
    "steps of a pickle": ("mano", file_of(b"\x80\2" + b"N0" * 4_000_000 + STOP), "too many steps"),
    "tensors without numbers": ("checkpoint", file_of(tensors([f"{n:x}" for n in range(150_000)])), "150,001 tensors"),
    "projections that are merged": (
        "checkpoint",
        file_of(tensors([f"blocks.{n}.attn.wqkv.bias" for n in range(19_000)], 3)),
        "read",
    ),
    "a name of megabytes": ("checkpoint", file_of(tensors(["n" * 9_000_000])), "a name or a shape that no tensor"),
    "a million axes": (
        "checkpoint",
        file_of(header({"t": {"dtype": "F32", "shape": [1] * 1_000_000, "data_offsets": [0, 4]}}) + bytes(4)),
        "a name or a shape that no tensor",
    ),
}


@pytest.mark.parametrize(("reader", "make", "says"), CASES.values(), ids=CASES)
def test_a_small_file_takes_long_or_fills_the_memory(tmp_path, reader, make, says):
    path = tmp_path / "file"
    make(path)
    assert path.stat().st_size < 10_000_000
    outcome = limited.run(reader, path)
    assert says in outcome.said and len(outcome.said) < 1000
    assert outcome.is_small, outcome


def test_the_good_tensor_is_lost_in_all_this(tmp_path):
    """What the files above stand around is read where nothing is wrong."""
    path = torch_saves.write(tmp_path / "file", mapping(state_dict=mapping(t=GOOD)), STORED)
    assert limited.run("pth", path).said == "read" and FOUR.size == 4
