"""Where the files for hands come from: one's own, the hub with its licences, MANO out of a checkpoint or a pickle."""

import io
import json
import os
import pickle
import pty
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import made_up_hands as made_up
import numpy as np
import pytest
import torch_saves
from hub_server import Hub
from PIL import Image
from test_torch_file_hostile import ATTACKS, canary  # noqa: F401  (a fixture)

from sapiens_mlx import inventory, zoo
from sapiens_mlx.errors import LicencesError, WeightsError
from sapiens_mlx.hands import mano
from sapiens_mlx.hands import weights as files
from sapiens_mlx.predictor import Predictor
from sapiens_mlx.runtime import inference
from sapiens_mlx.weights import consent, hub, mano_pickle, remote, torch_file
from sapiens_mlx.weights.torch_file import Opened

PROJECT = Path(__file__).resolve().parents[1]
SPARSE = {"indices": np.int32([0, 2, 1]), "indptr": np.int32([0, 1, 1, 3]), "data": np.float64([5, 6, 7])}


@pytest.fixture
def home(machine, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return machine


# ---- MANO_RIGHT.pkl -------------------------------------------------------------------------------------------------


def short(value: str) -> bytes:
    """Text as Python 2 writes it: bytes."""
    return b"U" + bytes([len(value)]) + value.encode("latin-1")


def whole(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def array(values: np.ndarray, kind: str | None = None, shape: tuple | None = None, size: int | None = None) -> bytes:
    """An array as NumPy for Python 2 pickles it, or one whose parts contradict each other."""
    values = np.ascontiguousarray(values)
    kind, shape = kind or values.dtype.str[1:], values.shape if shape is None else shape
    data = values.tobytes()[:size]
    dtype = torch_saves.named("numpy", "dtype") + torch_saves.group(short(kind), whole(0), whole(1)) + b"R"
    dtype += torch_saves.group(whole(3), short("<"), b"N", b"N", b"N", whole(-1), whole(-1), whole(0)) + b"b"
    made = torch_saves.named("numpy.core.multiarray", "_reconstruct")
    made += torch_saves.group(torch_saves.named("numpy", "ndarray"), torch_saves.group(whole(0)), short("b")) + b"R"
    text = b"T" + struct.pack("<I", len(data)) + data
    return made + torch_saves.group(whole(1), torch_saves.group(*map(whole, shape)), dtype, b"\x89", text) + b"b"


def thing(module: str, name: str, **state: bytes) -> bytes:
    """An object of Python 2 with its state."""
    return torch_saves.named(module, name) + b")\x81" + entries(state) + b"b"


def entries(state: dict[str, bytes]) -> bytes:
    return b"}(" + b"".join(short(name) + value for name, value in state.items()) + b"u"


def sparse(shape: tuple[int, int] = (4, 3), **parts: np.ndarray) -> bytes:
    state = {name: array(values) for name, values in (SPARSE | parts).items()}
    return thing("scipy.sparse.csc", "csc_matrix", _shape=torch_saves.group(*map(whole, shape)), **state)


def right_hand() -> dict[str, bytes]:
    """What MANO_RIGHT.pkl holds by name, each made the way that its authors' programs did."""
    arrays = made_up.mano_arrays()
    regressor = arrays["J_regressor"].astype(np.float64)
    columns = [np.nonzero(column)[0] for column in regressor.T]
    parents = np.stack([arrays["parents"].astype(np.uint32), np.arange(16, dtype=np.uint32)])
    flat = arrays["shapedirs"].astype(np.float64).reshape(-1)
    posedirs = arrays["posedirs"].T.reshape(778, 3, 135).astype(np.float64)
    return {
        "v_template": array(arrays["v_template"].astype(np.float64)),
        "shapedirs": thing(
            "chumpy.reordering",
            "Select",
            a=thing("chumpy.ch", "Ch", x=array(np.concatenate([[9.0], flat]))),
            idxs=array(np.arange(1, 1 + flat.size)),
            preferred_shape=torch_saves.group(whole(778), whole(3), whole(10)),
        ),
        "posedirs": thing("chumpy.ch", "Ch", x=array(posedirs)),
        "J_regressor": thing(
            "scipy.sparse.csc",
            "csc_matrix",
            _shape=torch_saves.group(whole(16), whole(778)),
            indices=array(np.concatenate(columns).astype(np.int32)),
            indptr=array(np.cumsum([0, *map(len, columns)]).astype(np.int32)),
            data=array(np.concatenate([regressor[rows, at] for at, rows in enumerate(columns)])),
        ),
        "kintree_table": array(parents),
        "weights": array(arrays["lbs_weights"].astype(np.float64)),
        "f": array(arrays["faces"].astype(np.uint32)),
        "bs_style": short("lbs"),
    }


def write_pickle(path: Path, beside: bytes | None = None, **changed: bytes | None) -> Path:
    state = {name: value for name, value in (right_hand() | changed).items() if value is not None}
    if beside is not None:
        state["more"] = beside
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x80\x02" + entries(state) + b".")
    return path


def same(found: mano.Mano, but: tuple[str, ...] = ()) -> None:
    for name, expected in made_up.mano_arrays().items():
        if name not in but:
            np.testing.assert_array_equal(found.arrays[name], expected, err_msg=name)


def test_a_pickle_of_python_2_is_not_read(tmp_path):
    found = mano.read(write_pickle(tmp_path / "MANO_RIGHT.pkl"))
    same(found, ("extra_joints_idxs",))
    assert found.arrays["extra_joints_idxs"].tolist() == list(mano.TIPS)
    assert found.arrays["parents"][0] == -1


def test_a_pickle_of_todays_python_is_not_read(tmp_path):
    sparse_matrices = pytest.importorskip("scipy.sparse", reason="SciPy, which wilor-mlx brings, is not installed")
    arrays = made_up.mano_arrays()
    state = {
        "v_template": arrays["v_template"],
        "shapedirs": arrays["shapedirs"],
        "posedirs": arrays["posedirs"].T.reshape(778, 3, 135),
        "J_regressor": sparse_matrices.csc_matrix(arrays["J_regressor"]),
        "kintree_table": np.stack([arrays["parents"], np.arange(16)]),
        "weights": arrays["lbs_weights"],
        "f": arrays["faces"],
    }
    for form in (sparse_matrices.csc_matrix, sparse_matrices.csr_matrix):
        path = tmp_path / "MANO_RIGHT.pkl"
        path.write_bytes(pickle.dumps(state | {"J_regressor": form(arrays["J_regressor"])}, protocol=2))
        same(mano.read(path), ("extra_joints_idxs",))


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_an_attack_in_a_pickle_runs(canary, attack):  # noqa: F811
    modules = set(sys.modules)
    path = canary.with_name("MANO_RIGHT.pkl")
    same(mano.read(write_pickle(path, beside=attack)), ("extra_joints_idxs",))
    places = (attack, thing("chumpy.ch", "Ch", x=attack), thing("chumpy.reordering", "Select", a=attack, idxs=attack))
    for place in places:
        with pytest.raises(WeightsError, match=r"MANO_RIGHT\.pkl is damaged, or no MANO_RIGHT"):
            mano.read(write_pickle(path, v_template=place))
    with pytest.raises(WeightsError, match="is damaged"):
        mano.read(write_pickle(path, J_regressor=thing("scipy.sparse.csc", "csc_matrix", _shape=attack, data=attack)))
    path.write_bytes(b"\x80\x02" + attack + b".")
    with pytest.raises(WeightsError, match=r"no table of arrays|is damaged"):
        mano.read(path)
    assert not canary.exists() and set(sys.modules) == modules


ROW = np.arange(12.0).reshape(4, 3)
BROKEN = {
    "missing": (None, "v_template is missing"),
    "text": (short("here"), "not an array but 'str'"),
    "other class": (
        thing("numpy", "poly1d", x=array(ROW)),
        r"not an array but 'numpy\.poly1d', of which nothing was run",
    ),
    "of chumpy, computing": (thing("chumpy.ch", "add", a=array(ROW), b=array(ROW)), "a add of chumpy, which is more"),
    "too few bytes": (array(ROW, size=95), "another size than described"),
    "too many bytes": (array(ROW, shape=(4, 2)), "another size than described"),
    "huge": (array(ROW, shape=(1 << 21, 1 << 21)), "another size than described"),
    "negative": (array(ROW, shape=(-4, -3)), "no sensible shape"),
    "objects": (array(ROW, kind="O8"), "not of a plain type"),
    "wrong shape": (array(ROW), r"v_template is \(4, 3\), not \(778, 3\)|holds no MANO"),
    "whole numbers": (array(np.zeros((778, 3), np.int64)), "v_template is int64"),
    "not finite": (array(np.full((778, 3), np.nan)), "v_template holds what is no finite number"),
    "selects too far": (
        thing("chumpy.reordering", "Select", a=array(ROW), idxs=array(np.array([12]))),
        "selects what is not there",
    ),
    "a name of tuples, short to write and endless in words": (
        torch_saves.named("numpy.core.multiarray", "_reconstruct")
        + b")R"
        + torch_saves.group(
            whole(1),
            torch_saves.group(),
            torch_saves.named("numpy", "dtype") + torch_saves.group(b")" + b"2\x86" * 23) + b"R",
            b"\x89",
            short(""),
        )
        + b"b",
        "not of a plain type",
    ),
    "in itself": (b"}q\x05" + short("x") + b"h\x05s", "not an array but 'dict'"),
    "deep": (
        torch_saves.named("chumpy.ch", "Ch")
        + b")\x81"
        + b"".join(b"}" + short("x") + torch_saves.named("chumpy.ch", "Ch") + b")\x81" for _ in range(9))
        + array(ROW)
        + b"".join(b"sb" for _ in range(9))
        + b"0" * 0,
        "damaged",
    ),
}


@pytest.mark.parametrize(("value", "sentence"), BROKEN.values(), ids=BROKEN)
def test_a_damaged_pickle_is_no_sentence(tmp_path, value, sentence):
    path = write_pickle(tmp_path / "MANO_RIGHT.pkl", v_template=value)
    tracemalloc.start()
    try:
        with pytest.raises(WeightsError, match=sentence) as problem:
            mano.read(path)
        assert tracemalloc.get_traced_memory()[1] < 8 * path.stat().st_size
    finally:
        tracemalloc.stop()
    assert "mano.is.tue.mpg.de" in str(problem.value) and "\n" not in str(problem.value)


@pytest.mark.parametrize("name", ["kintree_table", "posedirs"])
@pytest.mark.parametrize("shape", [(), (0,), (4,)])
def test_a_pickle_of_arrays_without_axes_is_no_sentence(tmp_path, name, shape):
    path = write_pickle(tmp_path / "MANO_RIGHT.pkl", **{name: array(np.zeros(shape))})
    with pytest.raises(WeightsError, match=rf"holds no MANO: {name} is"):
        mano.read(path)


@pytest.mark.parametrize(
    "parts",
    [
        {"indices": np.int32([0, 4, 1])},
        {"indices": np.int32([0, -1, 1])},
        {"indices": np.int32([0, 2])},
        {"indptr": np.int32([0, 2, 1, 3])},
        {"indptr": np.int32([1, 1, 1, 3])},
        {"indptr": np.int32([0, 3])},
        {"data": np.float64([5, 6])},
        {"data": ROW},
    ],
)
def test_a_sparse_matrix_that_points_elsewhere_is_read(tmp_path, parts):
    path = write_pickle(tmp_path / "MANO_RIGHT.pkl", J_regressor=sparse(**parts))
    with pytest.raises(WeightsError, match="no sound sparse matrix"):
        mano.read(path)


def test_a_sparse_matrix_is_not_its_dense_form(tmp_path):
    path = write_pickle(tmp_path / "MANO_RIGHT.pkl", J_regressor=sparse())
    expected = np.zeros((4, 3))
    expected[[0, 2, 1], [0, 2, 2]] = [5, 6, 7]
    np.testing.assert_array_equal(mano_pickle.read(path)["J_regressor"], expected)


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "large", "folder"])
def test_what_is_no_pickle_is_no_sentence(tmp_path, damage):
    path = write_pickle(tmp_path / "MANO_RIGHT.pkl")
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:100_000])
    elif damage == "large":
        with path.open("ab") as file:
            file.truncate(mano_pickle.LARGEST_BYTES + 1)
    elif damage == "folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes(b"" if damage == "empty" else b"<html>")
    with pytest.raises(WeightsError, match=r"MANO_RIGHT\.pkl"):
        mano.read(path)


# ---- mano.npz -------------------------------------------------------------------------------------------------------


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


# ---- WiLoR-mini's checkpoint ----------------------------------------------------------------------------------------


def write_mean(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **made_up.starts())
    return path


def test_mano_is_not_what_the_checkpoint_has(tmp_path):
    path = made_up.write_checkpoint(tmp_path / "wilor_final.ckpt")
    found = mano.of_checkpoint(path, write_mean(tmp_path / "mano_mean_params.npz"))
    same(found)
    assert found.arrays["init_hand_pose"].shape == (1, 96)
    np.testing.assert_array_equal(found.arrays["init_cam"], np.float32([[4.5, -0.1, 0]]))


def test_all_of_a_checkpoint_is_read_for_it(tmp_path):
    """2 GB of other tensors, which the disk does not really hold, are neither read nor in memory."""
    path = made_up.write_checkpoint(tmp_path / "wilor_final.ckpt")
    data, fetched = path.read_bytes(), []

    def fetch(start, end):
        fetched.append(end - start)
        return data[start:end]

    with io.BufferedReader(remote.RemoteFile(len(data), fetch), 1 << 16) as file:
        found = torch_file.read_tensors(Opened("there/wilor_final.ckpt", file), mano.OF_CHECKPOINT.__contains__)
    assert set(found) == set(mano.OF_CHECKPOINT)
    others = 300 * 1000 * 4
    assert sum(fetched) < len(data) - others + 1_000_000 and len(data) > others
    np.testing.assert_array_equal(found["mano.posedirs"], made_up.mano_arrays()["posedirs"])


def test_a_large_read_is_one_request_or_comes_without_end():
    data, fetched = bytes(range(256)) * (36 << 10), []  # 9 MB

    def fetch(start, end):
        fetched.append(end - start)
        return data[start:end]

    with io.BufferedReader(remote.RemoteFile(len(data), fetch), 1 << 16) as file:
        assert file.read(len(data)) == data
    assert max(fetched) <= 4 << 20 and sum(fetched) == len(data)
    fetched.clear()
    file = io.BufferedReader(remote.RemoteFile(400 << 20, fetch), 1 << 16)
    with pytest.raises(hub.UnavailableError, match="far more of it is read"):
        file.read(400 << 20)
    assert not fetched


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"lbs_weights": None}, "the tensor mano.lbs_weights is missing"),
        ({"v_template": np.zeros((777, 3), np.float32)}, "v_template is float32"),
        ({"faces": np.full((1538, 3), 900)}, "faces points outside"),
    ],
)
def test_another_checkpoint_is_no_sentence(tmp_path, change, sentence):
    arrays = {name: value for name, value in (made_up.mano_arrays() | change).items() if value is not None}
    path = made_up.write_checkpoint(tmp_path / "wilor_final.ckpt", arrays)
    with pytest.raises(WeightsError, match=sentence):
        mano.of_checkpoint(path, write_mean(tmp_path / "mean.npz"))


def test_a_mean_without_its_arrays_is_no_sentence(tmp_path):
    path = made_up.write_checkpoint(tmp_path / "wilor_final.ckpt")
    np.savez(tmp_path / "mean.npz", pose=np.zeros(96, np.float32))
    with pytest.raises(WeightsError, match=r"mean\.npz has no shape"):
        mano.of_checkpoint(path, tmp_path / "mean.npz")


@pytest.mark.parametrize("attack", list(ATTACKS.values())[:6], ids=list(ATTACKS)[:6])
def test_an_attack_in_the_checkpoint_runs(canary, attack):  # noqa: F811
    path = made_up.write_checkpoint(canary.with_name("wilor_final.ckpt"), beside=attack)
    mean = write_mean(canary.with_name("mean.npz"))
    same(mano.of_checkpoint(path, mean))
    made_up.write_checkpoint(path, instead={"mano.v_template": attack})
    with pytest.raises(WeightsError, match=r"'mano\.v_template' is not a tensor"):
        mano.of_checkpoint(path, mean)
    assert not canary.exists()


# ---- which file is taken --------------------------------------------------------------------------------------------


def test_ones_own_mano_does_not_come_first(home):
    cache = made_up.write_mano(mano.cache_file())
    assert files.local("fp32").mano == cache
    own = write_pickle(home / "mano/MANO_RIGHT.pkl")
    assert files.local("fp32").mano == own
    better = made_up.write_mano(home / "mano.npz")
    assert files.local("fp32").mano == better
    given = write_pickle(home.parent / "given/MANO_RIGHT.pkl")
    assert files.local("fp32", given.parent).mano == given


def test_a_checkpoint_at_hand_is_not_used(home):
    made_up.write_checkpoint(home / "hands/wilor_final.ckpt")
    assert files.local("fp32").mano is None  # half of it
    write_mean(home / "hands/mano_mean_params.npz")
    found = files.local("fp32").mano
    same(files._mano(found, lambda *_: None))
    same(mano.read(mano.cache_file()))


@pytest.mark.parametrize("nested", [True, False])
def test_files_beside_a_given_one_are_not_taken(home, tmp_path, nested):
    folder = tmp_path / "mine"
    place = folder / "hands" if nested else folder
    place.mkdir(parents=True)
    for name in ("wilor-mlx", "hand-detector", "wilor-mlx-int4"):
        (place / f"{name}.safetensors").touch()
    found = files.local("fp32", folder)
    assert (found.pose, found.detector) == (place / "wilor-mlx.safetensors", place / "hand-detector.safetensors")
    assert files.local("4bit", folder).pose == place / "wilor-mlx-int4.safetensors"
    beside = files.local("fp32", place / "wilor-mlx.safetensors")
    assert beside.detector == place / "hand-detector.safetensors"
    with pytest.raises(WeightsError, match="no file or folder"):
        files.local("fp32", tmp_path / "nowhere")
    assert files.local("fp32", "mlx-community/sapiens2-pose-0.4b-4bit") == files.local("fp32")  # of the other task


def test_what_to_do_about_a_damaged_mano_harms_its_owner(home):
    arrays = made_up.mano_arrays()
    del arrays["faces"]
    own, cache = home / "mano.npz", mano.cache_file()
    for path in (cache, own):
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **arrays)
        with pytest.raises(WeightsError, match="has no faces") as problem:
            files._mano(files.local("fp32").mano, lambda *_: None)
        assert str(path) in str(problem.value)
        assert ("Remove" in str(problem.value)) == (path == cache)
    own.unlink()
    cache.unlink()
    del arrays["lbs_weights"]
    checkpoint = made_up.write_checkpoint(home / "hands/wilor_final.ckpt", arrays)
    write_mean(home / "hands/mano_mean_params.npz")
    with pytest.raises(WeightsError, match="is no checkpoint of WiLoR") as problem:
        files._mano(files.local("fp32").mano, lambda *_: None)
    assert str(checkpoint) in str(problem.value) and "Remove" not in str(problem.value)
    repo = zoo.WILOR_MINI.repo
    downloaded = home / f"models--{repo.replace('/', '--')}/snapshots/0/wilor_final.ckpt"
    assert f"models --remove {repo}`" in files._remedy(downloaded)


def test_models_do_not_list_them(home, monkeypatch):
    rows = {
        row["size"]: row for row in inventory.listing(None, 16_000_000_000)["checkpoints"] if row["task"] == "hands"
    }
    assert set(rows) == {"wilor", "4bit", "detector", "mano"} and not any(row["file"] for row in rows.values())
    assert {row["licence"] for row in rows.values()} == {one.name for one in zoo.HANDS_LICENCES.values()}
    (home / "hands").mkdir()
    (home / "hands/wilor-mlx.safetensors").write_bytes(b"12345678")
    listing = inventory.listing(None, 16_000_000_000)
    assert any(row["size"] == "wilor" and row["bytes"] == 8 for row in listing["checkpoints"])
    text = inventory.as_text(listing)
    assert "BasinShapers/wilor-mlx" in text and "https://mano.is.tue.mpg.de/license.html" in text


# ---- licences -------------------------------------------------------------------------------------------------------


def test_licences_are_accepted_by_themselves(home, monkeypatch):
    pytest.importorskip("wilor_mlx", reason=made_up.REASON)
    predictor = Predictor("hands")
    assert not consent.is_accepted()
    assert predictor.to_accept() == consent.lines() and len(consent.lines()) == 3
    with pytest.raises(
        LicencesError, match=r"CC BY-NC-ND 4\.0.*ultralytics.*mano\.is\.tue\.mpg\.de.*--accept-licences"
    ):
        predictor(np.zeros((50, 50, 3), np.uint8))
    consent.accept()
    assert consent.is_accepted() and predictor.to_accept() == []
    consent.file().unlink()
    assert not consent.is_accepted()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 2, "accepted": []}', '{"format": 1, "accepted": 3}'])
def test_a_damaged_memory_of_licences_is_an_acceptance(home, tmp_path, content):
    consent.accept()
    path = consent.file()
    assert json.loads(path.read_text())["accepted"]
    path.write_text(content)
    assert not consent.is_accepted()


def test_licences_are_asked_for_where_all_is_here(home, monkeypatch):
    made_up.shrink(monkeypatch)
    inference.run(lambda progress: made_up.write_all(home))
    assert Predictor("hands", level="fp32").to_accept() == []
    assert len(Predictor("hands", level="fp32")(made_up.discs("r"))) == 1


# ---- from the hub, in a process of its own --------------------------------------------------------------------------

PROGRAM = """
import sapiens_mlx, sys, pytest, made_up_hands
made_up_hands.shrink(pytest.MonkeyPatch())
from sapiens_mlx.__main__ import run
run()
"""


class Elsewhere:
    """A hub with all files, and processes that run the command line with small networks."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        made_up.shrink(monkeypatch)
        made = folder / "made"
        inference.run(lambda progress: made_up.write_all(made))
        made_up.write_checkpoint(made / "wilor_final.ckpt")
        write_mean(made / "mano_mean_params.npz")
        names = {
            zoo.WILOR_POSE: "hands/wilor-mlx.safetensors",
            zoo.WILOR_POSE_4BIT: "hands/wilor-mlx-int4.safetensors",
            zoo.HAND_DETECTOR: "hands/hand-detector.safetensors",
            zoo.WILOR_MINI: "wilor_final.ckpt",
            zoo.MANO_MEAN: "mano_mean_params.npz",
        }
        self.files = {f"{one.repo}/{one.filename}": (made / name).read_bytes() for one, name in names.items()}
        self.folder, self.photo = folder, folder / "photo.png"
        self.mano = folder / ".cache/wilor-mlx/mano.npz"
        Image.fromarray(made_up.discs("rl")).save(self.photo)

    def run(self, hub: Hub | None, *options: str, stdin: int = subprocess.DEVNULL) -> subprocess.CompletedProcess:
        command = ["predict", str(self.photo), "--task", "hands", "--out", str(self.folder / "out"), "--json", *options]
        return self.command(hub, *command, stdin=stdin)

    def command(self, hub: Hub | None, *arguments: str, stdin: int = subprocess.DEVNULL) -> subprocess.CompletedProcess:
        settings = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{PROJECT}:{PROJECT / 'tests'}",
            "HOME": str(self.folder),
            "HF_HOME": str(self.folder / "hf"),
            "SAPIENS_MLX_CACHE": str(self.folder / "cache"),
            "HF_ENDPOINT": hub.endpoint if hub else "http://127.0.0.1:9",
            "HF_HUB_DOWNLOAD_TIMEOUT": "2",
        }
        command = [sys.executable, "-c", PROGRAM, *arguments]
        return subprocess.run(
            command, env=settings, capture_output=True, stdin=stdin, text=True, timeout=120, check=False
        )


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    return Elsewhere(tmp_path, monkeypatch)


def test_without_a_terminal_it_downloads_unasked(elsewhere):
    with Hub(elsewhere.files) as hub:
        done = elsewhere.run(hub)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert "--accept-licences" in done.stderr and "MANO licence" in done.stderr
        assert not hub.requests
        done = elsewhere.run(hub, "--accept-licences")
        report = json.loads(done.stdout)
        assert done.returncode == 0 and len(report["files"]) == 5, done.stderr
        assert "Downloading BasinShapers/wilor-mlx" in done.stderr and "CC BY-NC-ND 4.0" in done.stderr
        # Of the checkpoint only parts, and none of it is kept.
        checkpoint = [one.path for one in hub.requests if "wilor_final.ckpt" in one.path and one.method == "GET"]
        assert len(checkpoint) > 1
    assert not list((elsewhere.folder / "hf").rglob("*wilor_final*"))
    with np.load(elsewhere.mano) as kept:
        assert set(kept.files) == {*mano.TABLE, *mano.STARTS}
        np.testing.assert_array_equal(kept["posedirs"], made_up.mano_arrays()["posedirs"])
    again = elsewhere.run(None)  # offline, and nothing more is asked
    assert again.returncode == 0, again.stderr


def test_what_hands_brought_stays(elsewhere):
    with Hub(elsewhere.files) as hub:
        assert elsewhere.run(hub, "--accept-licences").returncode == 0
    remove = ("models", "--remove", "hands", "--json")
    done = elsewhere.command(None, *remove)
    removed = json.loads(done.stdout)["removed"]
    assert set(removed) == {zoo.WILOR_POSE.repo, zoo.WILOR_MINI.repo, "mano.npz", consent.FILE}, done.stderr
    assert not elsewhere.mano.exists() and not list((elsewhere.folder / "hf").rglob("*.safetensors"))
    assert not (elsewhere.folder / "cache" / consent.FILE).exists()
    made_up.write_mano(elsewhere.mano)  # by wilor-mlx
    done = elsewhere.command(None, *remove)
    assert done.returncode == 2 and "nothing of hands to remove" in done.stderr
    assert elsewhere.mano.exists()


def test_a_hub_without_ranges_gives_no_mano(elsewhere):
    with Hub(elsewhere.files, ranges=False) as hub:
        done = elsewhere.run(hub, "--accept-licences", "--level", "4bit")
    assert done.returncode == 0, done.stderr
    assert "The hub gives no parts of files: all 2.4 GB of wilor_final.ckpt come, of which MANO is 5 MB." in done.stderr
    same(mano.read(elsewhere.mano))
    assert json.loads(done.stdout)["level"] == "4bit"


@pytest.mark.parametrize("status", [429, 503])
def test_all_of_the_checkpoint_is_downloaded_for_another_fault(elsewhere, status):
    with Hub(elsewhere.files) as hub:
        assert elsewhere.run(hub, "--accept-licences").returncode == 0
    elsewhere.mano.unlink()
    with Hub(elsewhere.files, cdn_status=status) as hub:
        done = elsewhere.run(hub)
        asked = [one for one in hub.requests if "wilor_final.ckpt" in one.path and one.method == "GET"]
    error = done.stderr.splitlines()[-1]
    assert done.returncode == 2 and f"HTTP {status}" in error and "download the file of 2.4 GB from" in error
    assert asked and all(one.start is not None for one in asked)
    assert not list((elsewhere.folder / "hf").rglob("*wilor_final*"))


@pytest.mark.parametrize("answer", ["n", "", "y"])
def test_at_a_terminal_it_downloads_without_a_yes(elsewhere, answer):
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    with Hub(elsewhere.files) as hub:
        done = elsewhere.run(hub, stdin=theirs)
        asked = len(hub.requests)
    os.close(ours)
    os.close(theirs)
    assert all(line in done.stderr for line in consent.lines()) and "Accept them and download? [y/N]" in done.stderr
    assert (done.returncode, bool(asked)) == ((0, True) if answer == "y" else (2, False)), done.stderr
    assert (elsewhere.folder / "cache" / consent.FILE).exists() == (answer == "y")


@pytest.mark.parametrize("fault", ["gone", "cut", "web page", "nobody"])
def test_what_the_hub_does_not_give_is_no_sentence(elsewhere, fault):
    kept = dict(elsewhere.files)
    if fault == "gone":
        del kept[f"{zoo.WILOR_MINI.repo}/{zoo.WILOR_MINI.filename}"]
    how = {"cut": {"cut_after": 0}, "web page": {"page": "hub"}}.get(fault, {})
    with Hub(kept, **how) as hub:
        done = elsewhere.run(None if fault == "nobody" else hub, "--accept-licences")
    assert done.returncode == 2 and done.stdout == ""
    error = done.stderr.splitlines()[-1]
    assert error.startswith("error: The weights for Hands (") and "https://huggingface.co/" in error
    assert "Traceback" not in done.stderr
