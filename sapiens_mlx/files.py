"""Writing files whole or not at all: each is written beside its name and renamed into place."""

import contextlib
import fcntl
import os
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .errors import SapiensError

PARTIAL = re.compile(r"\..+\.(\d+)\.partial")
LEFT_S = 60.0  # that a file is not written to


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


def locked(file: Any) -> bool:
    """Takes the lock of an open file, which goes with the process, however that ends. False if another has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network folders know no locks
        return True
    return True


def clear_partials(folder: str | Path) -> None:
    """Removes what processes that were killed have left half written in a folder."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = PARTIAL.match(entry.name)
            if found and not _is_alive(int(found[1])):
                with contextlib.suppress(OSError):
                    if time.time() - entry.stat().st_mtime > LEFT_S:  # of another machine it may be
                        Path(entry.path).unlink()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


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
