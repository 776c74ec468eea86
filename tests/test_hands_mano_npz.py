"""MANO out of mano.npz, wilor-mlx's own file or one like it: what is wrong with it is a sentence."""

import struct
import zipfile

import made_up_hands as made_up
import numpy as np
import pytest
from test_torch_file_hostile import ATTACKS, canary  # noqa: F401  (a fixture)

from sapiens_mlx.errors import WeightsError
from sapiens_mlx.hands import mano


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"faces": None}, "no faces: wilor-mlx before 0.3 made it"),
        ({"posedirs": None}, "posedirs is missing"),
        ({"faces": np.full((1538, 3), 778)}, "faces points outside of 0 to 777"),
        ({"joint_map": np.full(21, -1)}, "joint_map points outside"),
        ({"parents": np.arange(16)}, "parents is no tree"),
        ({"shapedirs": np.zeros((778, 3, 300))}, "shapedirs is float64"),
        ({"shapedirs": np.full((778, 3, 10), np.inf)}, "shapedirs holds what is no finite number"),
        ({"init_cam": np.zeros(4)}, "init_cam is float64"),
        ({"v_template": np.array([{}] * 3)}, r"is damaged, cut short, or no \.npz of arrays"),
    ],
)
def test_a_damaged_cache_is_no_sentence(tmp_path, change, sentence):
    path = tmp_path / "mano.npz"
    arrays = {name: value for name, value in (made_up.mano_arrays() | change).items() if value is not None}
    np.savez(path, **arrays)
    with pytest.raises(WeightsError, match=sentence) as problem:
        mano.read(path)
    assert str(problem.value).endswith(mano.OWN_REMEDY)


def headed(text: str, data: bytes = b"") -> bytes:
    """A .npy file with that in the place of its header."""
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text.encode() + data


def described(shape: str, kind: str = "<f4") -> bytes:
    return headed(f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}", bytes(12))


MEMBERS = {
    "open bracket": headed("("),
    "no dictionary": headed("[" * 5000),
    "huge": described("(10000000000000,)"),
    "beyond whole numbers": described("(1000000000000000000000,)"),
    "nothing, beyond whole numbers": described("(0, 1000000000000000000000)"),
    "of nothing, beyond whole numbers": described("(1000000000000000000000,)", "|V0"),
    "negative": described("(-3,)"),
    "words": described("(3,)", "<U1"),
    "later version": b"\x93NUMPY\x09\0",
    "other file": b"here",
}


@pytest.mark.parametrize("member", MEMBERS.values(), ids=MEMBERS)
def test_an_array_that_is_none_is_no_sentence(tmp_path, member):
    path = tmp_path / "mano.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("faces.npy", member)
    with pytest.raises(WeightsError, match=r"is damaged, cut short, or no \.npz of arrays"):
        mano.read(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
@pytest.mark.parametrize("is_broken", [True, False])
def test_an_array_packed_in_another_way_is_no_sentence(tmp_path, method, is_broken):
    path = tmp_path / "mano.npz"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("faces.npy", described("(3,)"))
        at = archive.getinfo("faces.npy").header_offset + 30 + len("faces.npy")
    data = bytearray(path.read_bytes())
    if is_broken:
        data[at + 9 : at + 20] = b"\xff" * 11
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=r"is damaged, cut short, or no \.npz of arrays"):
        mano.read(path)


@pytest.mark.parametrize("damage", ["cut", "text", "bomb"])
def test_what_is_no_npz_is_no_sentence(tmp_path, damage):
    path = made_up.write_mano(tmp_path / "mano.npz")
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:10_000])
    elif damage == "text":
        path.write_text("<html>")
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("v_template.npy", bytes(70 << 20))
    with pytest.raises(WeightsError, match=r"mano\.npz"):
        mano.read(path)
