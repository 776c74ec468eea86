"""Writing files whole or not at all: each is written beside its name and renamed into place."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .errors import SapiensError


def output_folder(folder: str | Path) -> Path:
    """The folder, made if need be. Raises SapiensError where nothing can be written."""
    folder = Path(folder).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as problem:
        reason = problem.strerror or str(problem)
        raise SapiensError(
            f"Nothing can be written to the folder {folder} ({reason}). Choose another one."
        ) from problem
    return folder


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[Path]:
    """A temporary path in the same folder, renamed to `path` when the block ends well and removed when it does not."""
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial{path.suffix}")  # writers choose the format by suffix
    try:
        yield partial
        partial.replace(path)
    except OSError as problem:
        reason = problem.strerror or str(problem)
        raise SapiensError(
            f"{path} could not be written ({reason}). Free some space or choose another folder."
        ) from problem
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def write_bytes(path: str | Path, data: bytes) -> Path:
    """`data` as the file `path`."""
    with writing(path) as partial:
        partial.write_bytes(data)
    return Path(path)


def write_arrays(path: str | Path, **arrays: np.ndarray) -> Path:
    """Named arrays as an uncompressed .npz: deflating megapixels of floats takes seconds and saves little."""
    with writing(path) as partial, partial.open("wb") as file:
        np.savez(file, **arrays)
    return Path(path)
