"""Reads the tensors of a torch.save file (.pth) as NumPy arrays, without PyTorch and without trusting the file.

Such a file is a zip: `data.pkl` describes the objects (see torch_pickle.py), `data/<key>` holds one storage's bytes.
"""

import contextlib
import io
import math
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import WeightsError
from .torch_pickle import DamagedError, Foreign, Tensor, interpret

_MAX_PICKLE_BYTES = 64 << 20  # training objects of long runs make some MB; a description of tensors alone about 100 KB
_MAX_TENSORS = 20_000  # RTMDet's file has 500
_MAX_DIMS = 16
_MAX_EXTENT = 1 << 40  # elements along one axis
_SHOWN_CHARACTERS = 200  # of a name from the file

# What is unpacked from the zip and made into tensors may take 8 times the file: deflated zeros and expanded (stride 0)
# tensors are small on the disk and could otherwise fill any memory.
_UNPACKED_PER_BYTE, _UNPACKED_BYTES = 8, 64 << 20

_BFLOAT16 = "torch BFloat16Storage"  # NumPy has no such type: read as uint16, handed out as float32
_DTYPES: dict[Any, np.dtype] = {
    "torch DoubleStorage": np.dtype("<f8"),
    "torch FloatStorage": np.dtype("<f4"),
    "torch HalfStorage": np.dtype("<f2"),
    _BFLOAT16: np.dtype("<u2"),
    "torch LongStorage": np.dtype("<i8"),
    "torch IntStorage": np.dtype("<i4"),
    "torch ShortStorage": np.dtype("<i2"),
    "torch CharStorage": np.dtype("i1"),
    "torch ByteStorage": np.dtype("u1"),
    "torch BoolStorage": np.dtype("?"),
}

# What bytes without sense set off in zipfile, zlib, pickletools and NumPy (DamagedError is a ValueError).
_SYMPTOMS = (zipfile.BadZipFile, zlib.error, EOFError, LookupError, RuntimeError, TypeError, ValueError, OverflowError)


@dataclass(frozen=True)
class Opened:
    """A file that lies elsewhere and can be read and sought in, and what to call it."""

    name: str
    file: BinaryIO


Source = str | Path | Opened


def read_tensors(path: Source, wanted: Callable[[str], bool] | None = None) -> dict[str, np.ndarray]:
    """The tensors of a .pth file's state dict: its entry "state_dict", or the top level where that holds tensors.

    Args:
        path: a file in the layout that torch.save has written since PyTorch 1.6.
        wanted: which names to read, by default all. Only the storages of those are read, however large the file is.

    Returns:
        C-contiguous arrays by name, in the file's order and of its shapes and types, but float32 for bfloat16.
        Take them as read-only: names that share a storage in the file share memory here.

    Raises:
        WeightsError: the file cannot be read, is of another kind, damaged or oversized, or a wanted entry is no tensor.
    """
    opened = path if isinstance(path, Opened) else None
    path = Path(path.name if isinstance(path, Opened) else path)
    with contextlib.ExitStack() as stack:
        with _refusing(path):
            file = opened.file if opened else stack.enter_context(path.open("rb"))
            archive = _Archive(path, file)
            state = archive.state_dict()
        names = [name for name in state if wanted is None or wanted(name)]
        with _refusing(path):
            if len(names) > _MAX_TENSORS:
                raise DamagedError(f"it has {len(names):,} tensors, which no model has")
            return {name: archive.tensor(name, state[name]) for name in names}


@contextlib.contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Turns the symptoms of a damaged or made-up file into a sentence for the user."""
    try:
        yield
    except WeightsError:
        raise
    except OSError as problem:
        reason = problem.strerror or str(problem)
        raise WeightsError(f"{path} could not be read ({reason}). Check the path, or download it again.") from problem
    except _SYMPTOMS as problem:
        # The words of other libraries are not for users, and may quote the file.
        reason = str(problem) if isinstance(problem, DamagedError) else "its parts do not fit together"
        raise WeightsError(
            f"{path} is cut short, damaged or no plain torch.save file: {reason}. Download it again from its publisher."
        ) from problem


class _Archive:
    """The zip. Nothing is unpacked to the disk, and all that is read counts against a bound set by the file's size."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        file_bytes = file.seek(0, io.SEEK_END)
        file.seek(0)
        _refuse_other_kinds(path, file.read(512), file_bytes)
        self._bytes_left = _UNPACKED_PER_BYTE * file_bytes + _UNPACKED_BYTES
        self._zip = zipfile.ZipFile(file)
        names = self._zip.namelist()
        pickles = [name for name in names if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(pickles) != 1:
            raise DamagedError(f"a zip with {len(pickles)} data.pkl where 1 is expected")
        self._folder = pickles[0].removesuffix("data.pkl")
        self._storages: dict[str, bytes] = {}
        if self._folder + "byteorder" in names and self._read("byteorder", 16) != b"little":
            raise DamagedError("it was written on a big-endian machine")

    def state_dict(self) -> dict[str, Any]:
        """Names and what stands behind them: descriptions of tensors, plain data, or foreign objects."""
        root = interpret(self._read("data.pkl", _MAX_PICKLE_BYTES))
        if isinstance(root, dict):
            if isinstance(root.get("state_dict"), dict):
                return root["state_dict"]
            if any(isinstance(value, Tensor) for value in root.values()):
                return root
        raise WeightsError(
            f"{self._path} holds no state_dict: tensors by name were expected. "
            "Download the original checkpoint, or save your network's state_dict() with torch.save."
        )

    def tensor(self, name: str, value: Any) -> np.ndarray:
        """The array behind one entry of the state dict, read if need be."""
        kind = value.storage.kind if isinstance(value, Tensor) else None
        if kind not in _DTYPES:
            found = kind or (value.name if isinstance(value, Foreign) else type(value).__name__)
            raise WeightsError(
                f"{self._path}: {name[:_SHOWN_CHARACTERS]!r} is not a tensor of a known type but "
                f"{found[:_SHOWN_CHARACTERS].replace(' ', '.')!r}. Nothing of it was run; get the original checkpoint."
            )
        dtype = _DTYPES[kind]
        count = _checked_count(value)
        self._spend(count * (4 if kind == _BFLOAT16 else dtype.itemsize))
        array = _strided(np.frombuffer(self._storage_bytes(value, dtype.itemsize), dtype), value, count)
        return (array.astype(np.uint32) << 16).view(np.float32) if kind == _BFLOAT16 else array

    def _storage_bytes(self, tensor: Tensor, item_bytes: int) -> bytes:
        key = tensor.storage.key
        if key not in self._storages:
            self._storages[key] = self._read(f"data/{key}")
        if len(self._storages[key]) != tensor.storage.elements * item_bytes:
            raise DamagedError("a storage has another size than described")
        return self._storages[key]

    def _read(self, name: str, limit_bytes: int | None = None) -> bytes:
        entry = self._zip.getinfo(self._folder + name)
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DamagedError("its zip is compressed in an unknown way")
        if limit_bytes is not None and entry.file_size > limit_bytes:
            raise DamagedError(f"its {name} is too large")
        self._spend(entry.file_size)
        data = self._zip.read(entry)  # unpacks no more than file_size, and verifies the checksum
        if len(data) != entry.file_size:
            raise DamagedError("an entry has another size than listed")
        return data

    def _spend(self, size_bytes: int) -> None:
        self._bytes_left -= size_bytes
        if self._bytes_left < 0:
            raise DamagedError("its contents unpack to far more than its own size")


def _checked_count(tensor: Tensor) -> int:
    """The number of elements of a tensor that lies within its storage. PyTorch has no negative strides."""
    shape, strides, offset = tensor.shape, tensor.strides, tensor.offset
    plain = isinstance(shape, tuple) and isinstance(strides, tuple) and len(shape) == len(strides) <= _MAX_DIMS
    if not plain or not all(type(n) is int and 0 <= n <= _MAX_EXTENT for n in (*shape, *strides, offset)):
        raise DamagedError("a tensor has no sensible shape or strides")
    count = math.prod(shape)
    last = offset + sum((extent - 1) * stride for extent, stride in zip(shape, strides, strict=True))
    if count and last >= tensor.storage.elements:
        raise DamagedError("a tensor reaches beyond its storage")
    return count


def _strided(flat: np.ndarray, tensor: Tensor, count: int) -> np.ndarray:
    """The part of a storage (N,) that a checked tensor describes: in place where it lies in one piece, else a copy."""
    if not count:
        return np.empty(tensor.shape, flat.dtype)
    steps = [stride * flat.itemsize for stride in tensor.strides]
    view = np.lib.stride_tricks.as_strided(flat[tensor.offset :], tensor.shape, steps, writeable=False)
    if view.flags.c_contiguous:
        return flat[tensor.offset : tensor.offset + count].reshape(tensor.shape)
    return np.ascontiguousarray(view)


def _refuse_other_kinds(path: Path, head: bytes, file_bytes: int) -> None:
    """A sentence for each kind of file that people do end up with under this name. `head` is the file's beginning."""
    text = head.lstrip().lower()
    if head.startswith(b"PK\x03\x04"):
        return
    if not file_bytes:
        what, remedy = "is empty", "Download it again."
    elif text.startswith(b"<"):
        what, remedy = "is a web page and not a checkpoint", "Download the file itself, after logging in where needed."
    elif text.startswith(b"version https://git-lfs"):
        what, remedy = "is a Git LFS pointer and not the file itself", "Fetch it with `git lfs pull`, or download it."
    elif head[8:9] == b"{":
        what, remedy = "is a safetensors file and not one of torch.save", "Give it its own ending, .safetensors."
    elif head.startswith(b"\x80"):
        what = "is in the layout of PyTorch before 1.6, which is not read here"
        remedy = "Load it in a current PyTorch and save its state_dict() again with torch.save."
    else:
        what, remedy = "is not a file of torch.save", "Download the original checkpoint."
    raise WeightsError(f"{path} {what} ({file_bytes:,} bytes). {remedy}")
