"""MANO_RIGHT.pkl as its authors give it, read as NumPy arrays without running anything of it.

It is a pickle of Python 2 with arrays of NumPy, a sparse matrix of SciPy and objects of chumpy, of which each is data:
a `_reconstruct` and its state, the parts of a matrix, a `Ch` with its array `x`, a `Select` of some elements of one.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import WeightsError
from .torch_pickle import DamagedError, Foreign, interpret

NAMES = ("v_template", "shapedirs", "posedirs", "J_regressor", "kintree_table", "weights", "f")
LARGEST_BYTES = 64 << 20  # the file has 4 MB
MOST_NUMBERS = 1 << 20  # of one array; posedirs has 315 thousand
MOST_AXES = 4
DEEPEST = 4  # of arrays in objects in objects
REMEDY = "Download MANO_RIGHT.pkl again from https://mano.is.tue.mpg.de."
_DTYPE = re.compile(r"[<|=]?([fiub])([1248])")

# What bytes without sense set off (DamagedError is a ValueError).
_SYMPTOMS = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RuntimeError, EOFError, MemoryError)


@dataclass(slots=True, eq=False)
class Made:
    """What a call in the file would have made: of what name, of which arguments, and with which state. Nothing of it
    is made."""

    name: str
    arguments: tuple[Any, ...]
    state: Any = None


def read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of NAMES, sparse ones made dense.

    Raises:
        WeightsError: it is no such file, damaged, oversized, or one of the names is no array.
    """
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise WeightsError(f"{path} is too large to be MANO_RIGHT.pkl. {REMEDY}")
        program = path.read_bytes()
    except OSError as problem:
        raise WeightsError(f"{path} could not be read ({problem.strerror or problem}). Check the path.") from problem
    try:
        found = interpret(program, outcome=_outcome, build=_build)
        if not isinstance(found, dict):
            raise DamagedError("it holds no table of arrays")
        missing = [name for name in NAMES if name not in found]
        if missing:
            raise DamagedError(f"{missing[0]} is missing")
        return {name: _array(name, found[name]) for name in NAMES}
    except _SYMPTOMS as problem:
        reason = str(problem) if isinstance(problem, DamagedError) else "its parts do not fit together"
        raise WeightsError(f"{path} is damaged, or no MANO_RIGHT.pkl: {reason}. {REMEDY}") from problem


def _outcome(callee: Any, arguments: Any) -> Any:
    if not isinstance(callee, Foreign) or callee.made or not isinstance(arguments, tuple):
        return Foreign("object", made=True)
    if callee.name in ("copy_reg _reconstructor", "copyreg _reconstructor"):
        inner = arguments[0] if arguments else None
        return Made(inner.name, ()) if isinstance(inner, Foreign) else Foreign("object", made=True)
    return Made(callee.name, arguments)


def _build(target: Any, state: Any) -> None:
    if isinstance(target, Made):
        target.state = state


def _array(name: str, value: Any, depth: int = 0) -> np.ndarray:
    """The array that an object stands for."""
    if depth > DEEPEST:
        raise DamagedError(f"{name} lies too deep")
    if isinstance(value, Made):
        match value.name.split(" "):
            case [_, "_reconstruct" | "ndarray"] if value.name.startswith("numpy"):
                return _plain(name, value.state)
            case [module, "csc_matrix" | "csr_matrix" as kind] if module.startswith("scipy.sparse"):
                return _dense(name, value.state, by_column=kind == "csc_matrix")
            case [module, kind] if module.startswith("chumpy") and isinstance(value.state, dict):
                return _chumpy(name, kind, value.state, depth)
    found = value.name if isinstance(value, Made | Foreign) else type(value).__name__
    raise DamagedError(f"{name} is not an array but {found[:100].replace(' ', '.')!r}, of which nothing was run")


def _plain(name: str, state: Any) -> np.ndarray:
    """NumPy's (version, shape, dtype, Fortran order, bytes)."""
    _, shape, dtype, is_fortran, data = state
    if isinstance(data, Made) and data.name == "_codecs encode" and data.arguments[1:] == ("latin1",):
        data = data.arguments[0]  # how Python 3 writes bytes for Python 2
    if isinstance(data, str):
        data = data.encode("latin-1")  # Python 2's text is bytes
    kind = _dtype(name, dtype)
    if len(shape) > MOST_AXES or not all(type(n) is int and 0 <= n <= MOST_NUMBERS for n in shape):
        raise DamagedError(f"{name} has no sensible shape")
    count = math.prod(shape)
    if not isinstance(data, bytes) or count > MOST_NUMBERS or len(data) != count * kind.itemsize:
        raise DamagedError(f"{name} has another size than described")
    return np.frombuffer(data, kind).reshape(shape, order="F" if is_fortran is True else "C")


def _dtype(name: str, value: Any) -> np.dtype:
    """Of NumPy's dtype("f8", 0, 1) with its state (version, "<", ...)."""
    if isinstance(value, Made) and value.name == "numpy dtype" and value.arguments:
        order = value.state[1] if isinstance(value.state, tuple) and len(value.state) > 1 else "<"
        kind = value.arguments[0]
        kind = kind.decode("latin-1") if isinstance(kind, bytes) else kind  # as Python 2's text may come
        match = _DTYPE.fullmatch(kind) if isinstance(kind, str) else None
        if match and order in ("<", "|", "="):
            return np.dtype(f"<{match[1]}{match[2]}")
    raise DamagedError(f"{name} is not of a plain type of number")


def _dense(name: str, state: dict[str, Any], *, by_column: bool) -> np.ndarray:
    """A sparse matrix, (rows, columns) float64."""
    shape = state["_shape"] if "_shape" in state else state["shape"]
    if (
        len(shape) != 2
        or not all(type(n) is int and 0 < n <= 1 << 16 for n in shape)
        or math.prod(shape) > MOST_NUMBERS
    ):
        raise DamagedError(f"{name} has no sensible shape")
    indices, starts, data = (_array(name, state[part], DEEPEST) for part in ("indices", "indptr", "data"))
    runs, others = (shape[1], shape[0]) if by_column else shape
    sound = indices.ndim == starts.ndim == data.ndim == 1 and indices.dtype.kind in "iu" and starts.dtype.kind in "iu"
    if not (sound and len(starts) == runs + 1 and len(indices) == len(data) == starts[-1] and starts[0] == 0):
        raise DamagedError(f"{name} is no sound sparse matrix")
    lengths: np.ndarray = np.diff(
        starts.astype(np.int64)
    )  # of a type without a sign, a fall would be a rise of billions
    if (lengths < 0).any() or (len(indices) and (indices.min() < 0 or indices.max() >= others)):
        raise DamagedError(f"{name} is no sound sparse matrix")
    dense = np.zeros((runs, others), np.float64)
    np.add.at(dense, (np.repeat(np.arange(runs), lengths), indices), data)
    return dense.T if by_column else dense


def _chumpy(name: str, kind: str, state: dict[str, Any], depth: int) -> np.ndarray:
    """chumpy's Ch, whose `x` is an array, and Select: elements `idxs` of `a` in `preferred_shape`."""
    if kind == "Ch":
        return _array(name, state["x"], depth + 1)
    if kind != "Select":
        raise DamagedError(f"{name} is a {kind[:50]} of chumpy, which is more than data")
    source = _array(name, state["a"], depth + 1).reshape(-1)
    indices = _array(name, state["idxs"], depth + 1).reshape(-1)
    if indices.dtype.kind not in "iu" or (len(indices) and (indices.min() < 0 or indices.max() >= source.size)):
        raise DamagedError(f"{name} selects what is not there")
    shape = state.get("preferred_shape")
    if shape is None:
        return source[indices]
    if not isinstance(shape, tuple) or not all(type(n) is int and 0 <= n <= MOST_NUMBERS for n in shape):
        raise DamagedError(f"{name} has no sensible shape")
    return source[indices].reshape(shape)
