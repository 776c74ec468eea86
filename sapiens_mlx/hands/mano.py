"""MANO, the hand model, as arrays: one's own, wilor-mlx's cache file, or what WiLoR-mini's checkpoint has of it.

MANO may not be passed on, so that none of it is in this project: it is read on the user's machine from what the user
has, or downloads after accepting its licence.
"""

import contextlib
import io
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import WeightsError
from ..files import writing
from ..weights import mano_pickle, torch_file
from ..weights.torch_file import Opened, Source

VERTICES, JOINTS, POINTS, FACES, SHAPES = 778, 16, 21, 1538, 10
POSES = 9 * (JOINTS - 1)
FINGER_TIPS = 5

# What the cache file that wilor-mlx expects holds, by name: shape, and whether they are whole numbers.
TABLE: dict[str, tuple[tuple[int, ...], bool]] = {
    "v_template": ((VERTICES, 3), False),
    "shapedirs": ((VERTICES, 3, SHAPES), False),
    "posedirs": ((POSES, 3 * VERTICES), False),
    "J_regressor": ((JOINTS, VERTICES), False),
    "parents": ((JOINTS,), True),
    "lbs_weights": ((VERTICES, JOINTS), False),
    "extra_joints_idxs": ((FINGER_TIPS,), True),
    "joint_map": ((POINTS,), True),
    "faces": ((FACES, 3), True),
}
STARTS = {"init_hand_pose": 6 * JOINTS, "init_betas": SHAPES, "init_cam": 3}  # may be absent: the network has them too
OF_MEAN = {"init_hand_pose": "pose", "init_betas": "shape", "init_cam": "cam"}
PREFIX = "mano."
OF_CHECKPOINT = {PREFIX + ("faces_tensor" if name == "faces" else name): name for name in TABLE}
OWN_NAMES = ("mano.npz", "MANO_RIGHT.pkl", "mano/MANO_RIGHT.pkl", "hands/mano.npz", "hands/MANO_RIGHT.pkl")
LARGEST_BYTES = 64 << 20  # of an .npz unpacked: MANO is 3 MB
MARK = b"written by sapiens_mlx"  # in a cache file of ours; wilor-mlx's are not ours to remove
OWN_REMEDY = (
    "Put a sound one in its place, or MANO_RIGHT.pkl from https://mano.is.tue.mpg.de, or take it away: then MANO is "
    "downloaded."
)

# What bytes without sense set off in zipfile, zlib and the reading of NumPy's headers, which are Python's literals.
_SYMPTOMS = (
    *(zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError, SyntaxError, ValueError, LookupError),
    *(TypeError, AttributeError, EOFError, RuntimeError, OverflowError, MemoryError),
)

# Which vertices are the tips of the fingers, and the order of OpenPose: conventions of the programs that use MANO.
TIPS = (744, 320, 443, 554, 671)
OPENPOSE = (0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20)


@dataclass(frozen=True, eq=False)
class Mano:
    """The arrays of TABLE by name, float32 and int32, and those of STARTS that there are."""

    arrays: dict[str, np.ndarray]

    @property
    def faces(self) -> np.ndarray:
        """(1538, 3) int32: corners of the triangles of a right hand's mesh, anticlockwise from outside."""
        return self.arrays["faces"]

    def into(self, wilor: Any) -> None:
        """Gives them to wilor-mlx's WiLoR."""
        import mlx.core as mx

        for name in TABLE:
            setattr(wilor.mano, name, mx.array(self.arrays[name]))
        for name in self.arrays.keys() & STARTS.keys():
            setattr(wilor.backbone, name, mx.array(self.arrays[name]))


def cache_file() -> Path:
    """Where wilor-mlx keeps it: made once by whichever of the two programs comes first."""
    return Path.home() / ".cache/wilor-mlx/mano.npz"


def own(folders: list[Path]) -> Path | None:
    """The user's own, in the first of the folders that has it."""
    candidates = [folder / name for folder in folders for name in OWN_NAMES]
    return next((path for path in candidates if path.is_file()), None)


def read(path: Path, remedy: str = OWN_REMEDY) -> Mano:
    """From mano.npz, or the MANO_RIGHT.pkl that its authors give. Nothing of the file is run.

    Args:
        remedy: what to do about an .npz that is damaged, as a sentence.

    Raises:
        WeightsError: it is damaged or something else.
    """
    if path.suffix == ".pkl":
        return checked(_of_pickle(path), path, mano_pickle.REMEDY)
    arrays = _npz(path, TABLE.keys() | STARTS.keys(), remedy)
    if "faces" not in arrays:
        raise WeightsError(f"{path} has no faces: wilor-mlx before 0.3 made it. {remedy}")
    return checked(arrays, path, remedy)


def of_checkpoint(
    checkpoint: Source, mean: Path, remedy: str = OWN_REMEDY, mean_remedy: str = "Put a sound one in its place."
) -> Mano:
    """From WiLoR-mini's checkpoint, of whose 2.4 GB only these tensors are read, and its mano_mean_params.npz.

    Args:
        remedy, mean_remedy: what to do about each where it is damaged or something else, as a sentence.

    Raises:
        WeightsError: one of them is.
    """
    path = Path(checkpoint.name if isinstance(checkpoint, Opened) else checkpoint)
    tensors = torch_file.read_tensors(checkpoint, OF_CHECKPOINT.__contains__)
    if missing := [one for one in OF_CHECKPOINT if one not in tensors]:
        raise WeightsError(f"{path} is no checkpoint of WiLoR: the tensor {missing[0]} is missing. {remedy}")
    arrays = {ours: tensors[theirs] for theirs, ours in OF_CHECKPOINT.items()}
    means = _npz(mean, OF_MEAN.values(), mean_remedy)
    if missing := [one for one in OF_MEAN.values() if one not in means]:
        raise WeightsError(f"{mean} has no {missing[0]}. {mean_remedy}")
    return checked(arrays | {ours: means[theirs] for ours, theirs in OF_MEAN.items()}, path, remedy)


def keep(mano: Mano) -> Path:
    """Writes the cache file. Raises SapiensError where it cannot be written."""
    path = cache_file()
    with contextlib.suppress(OSError):  # said better below
        path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path, lasting=True) as partial:
        with partial.open("wb") as file:
            np.savez(file, **mano.arrays)  # type: ignore[arg-type]  # NumPy's stub takes any name for allow_pickle
        with zipfile.ZipFile(partial, "a") as archive:
            archive.comment = MARK
    return path


def ours() -> Path | None:
    """The cache file where this program wrote it, and not wilor-mlx."""
    path = cache_file()
    try:
        with zipfile.ZipFile(path) as archive:
            return path if archive.comment == MARK else None
    except (OSError, *_SYMPTOMS):
        return None


def checked(arrays: dict[str, np.ndarray], path: Path, remedy: str) -> Mano:
    """Of the right shapes and types, finite, and with indices that point at something.

    Raises:
        WeightsError: what is wrong with which of them.
    """
    shapes = {name: row[0] for name, row in TABLE.items()} | {name: (1, size) for name, size in STARTS.items()}
    made: dict[str, np.ndarray] = {}
    for name, shape in shapes.items():
        if name not in arrays:
            if name in STARTS:
                continue
            raise WeightsError(f"{path} holds no MANO: {name} is missing. {remedy}")
        array, whole = arrays[name], TABLE.get(name, ((), False))[1]
        if array.dtype.kind not in ("iu" if whole else "f") or array.size != np.prod(shape):
            raise WeightsError(
                f"{path} holds no MANO: {name} is {array.dtype} {array.shape}, not "
                f"{'whole numbers' if whole else 'floats'} {shape}. {remedy}"
            )
        if name not in STARTS and array.shape != shape:
            raise WeightsError(f"{path} holds no MANO: {name} is {array.shape}, not {shape}. {remedy}")
        made[name] = np.ascontiguousarray(array.reshape(shape).astype(np.int32 if whole else np.float32))
        if not np.isfinite(made[name]).all():
            raise WeightsError(f"{path} is damaged: {name} holds what is no finite number. {remedy}")
    order = np.arange(JOINTS)
    limits = {"faces": VERTICES, "extra_joints_idxs": VERTICES, "joint_map": JOINTS + FINGER_TIPS}
    for name, limit in limits.items():
        if made[name].min() < 0 or made[name].max() >= limit:
            raise WeightsError(f"{path} is damaged: {name} points outside of 0 to {limit - 1}. {remedy}")
    if not ((made["parents"][1:] >= 0) & (made["parents"][1:] < order[1:])).all():
        raise WeightsError(f"{path} is damaged: parents is no tree of joints. {remedy}")
    return Mano(made)


def _of_pickle(path: Path) -> dict[str, np.ndarray]:
    found = mano_pickle.read(path)
    for name, axes in (("kintree_table", 2), ("posedirs", 3)):
        if found[name].ndim != axes or not found[name].size:
            raise WeightsError(f"{path} holds no MANO: {name} is {found[name].shape}. {mano_pickle.REMEDY}")
    parents = found["kintree_table"][0].astype(np.int64).astype(np.int32)  # the root's is -1, written as 2^32 - 1
    posedirs = found["posedirs"]
    return {
        "v_template": found["v_template"],
        "shapedirs": found["shapedirs"],
        "posedirs": posedirs.reshape(-1, posedirs.shape[-1]).T,
        "J_regressor": found["J_regressor"],
        "parents": parents,
        "lbs_weights": found["weights"],
        "extra_joints_idxs": np.array(TIPS, np.int32),
        "joint_map": np.array(OPENPOSE, np.int32),
        "faces": found["f"],
    }


def _npz(path: Path, names: Iterable[str], remedy: str) -> dict[str, np.ndarray]:
    """Those of the named arrays that an .npz has."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            unpacked = sum(entry.file_size for entry in archive.infolist())
            if unpacked > LARGEST_BYTES:
                raise WeightsError(f"{path} unpacks to {unpacked:,} bytes, and MANO has 3 million. {remedy}")
            found = [name for name in names if f"{name}.npy" in entries]
            return {name: _npy(archive, entries[f"{name}.npy"]) for name in found}
    except WeightsError:
        raise
    except OSError as problem:
        raise WeightsError(f"{path} could not be read ({problem.strerror or problem}). {remedy}") from problem
    except _SYMPTOMS as problem:
        raise WeightsError(f"{path} is damaged, cut short, or no .npz of arrays. {remedy}") from problem


def _npy(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    """An array of plain numbers. What its header says is held against the bytes that there are before any is made."""
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("compressed in another way than NumPy's")
    file = io.BytesIO(archive.read(entry))  # no more than its file_size
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[np.lib.format.read_magic(file)]
    shape, is_fortran, dtype = read_header(file)
    data = file.read()
    if dtype.kind not in "fiu" or not all(0 <= n <= len(data) for n in shape):
        raise ValueError("no array of numbers")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError("another size than described")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if is_fortran else "C")
