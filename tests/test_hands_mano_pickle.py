"""MANO out of MANO_RIGHT.pkl, the pickle of Python 2 that its authors give away: read whole, and nothing of it run."""

import pickle
import struct
import sys
import tracemalloc
from pathlib import Path

import made_up_hands as made_up
import numpy as np
import pytest
import torch_saves
from made_up_hands import same
from test_torch_file_hostile import ATTACKS, TRICKS, canary  # noqa: F401  (a fixture)

from sapiens_mlx.errors import WeightsError
from sapiens_mlx.hands import mano
from sapiens_mlx.weights import mano_pickle

SPARSE = {"indices": np.int32([0, 2, 1]), "indptr": np.int32([0, 1, 1, 3]), "data": np.float64([5, 6, 7])}


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


@pytest.mark.parametrize(("outcome", "trick"), TRICKS.values(), ids=TRICKS)
def test_a_trick_in_a_pickle_runs_or_does_not_end(canary, outcome, trick):  # noqa: F811
    path = canary.with_name("MANO_RIGHT.pkl")
    same(mano.read(write_pickle(path)), ("extra_joints_idxs",))  # imports what a read does
    modules = set(sys.modules)
    write_pickle(path, beside=trick)
    if outcome == "loads":
        same(mano.read(path), ("extra_joints_idxs",))
    else:
        with pytest.raises(WeightsError, match=r"MANO_RIGHT\.pkl is damaged, or no MANO_RIGHT"):
            mano.read(path)
    with pytest.raises(WeightsError, match=r"MANO_RIGHT\.pkl is damaged, or no MANO_RIGHT"):
        mano.read(write_pickle(path, v_template=trick))
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
    "huge": (array(ROW, shape=(1 << 20, 1 << 20)), "another size than described"),
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
        {"indptr": np.uint32([0, 2, 1, 3])},  # without a sign a fall is a rise of billions, and fills the memory
        {"indptr": np.uint8([0, 2, 1, 3])},
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
