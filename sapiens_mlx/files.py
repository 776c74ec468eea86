"""Writing files and folders whole or not at all: each is written beside its name and renamed into place.

What a process that was killed leaves of that is removed by the next one that writes into the same folder.
"""

import contextlib
import errno
import fcntl
import functools
import hashlib
import itertools
import os
import re
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .errors import SapiensError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
PARTIAL = re.compile(r"\..+\.([0-9a-f]{8})-(\d+)-([0-9a-f]{4})(?:-\d+)?\.partial")
PARTIAL_FOLDER = ".partial-"
LEFT_S = 60.0  # that a file of another machine is not written to
_TOKEN = secrets.token_hex(2)  # in a container, the process that was killed had the number that this one has
_NUMBERS = itertools.count(1)  # of partial files: two threads may write one path


def expanded(path: str | os.PathLike) -> Path:
    """The path with the home in place of ~. Of a user whom nobody knows it stays, and is then simply not there."""
    return Path(os.path.expanduser(path))  # noqa: PTH111  pathlib's raises RuntimeError


def is_there(path: Path) -> bool:
    """Whether there is a file or folder, as far as we may look."""
    return os.path.exists(path)  # noqa: PTH110  pathlib's raises for a name too long, and where nobody may look


def output_folder(folder: str | Path) -> Path:
    """The folder, made if need be. Raises SapiensError where nothing can be written."""
    try:
        folder = expanded(folder)
        if folder.parts[:1] and folder.parts[0].startswith("~"):
            raise OSError("there is nobody of this name")
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as problem:
        raise not_writable(folder, problem) from problem
    return folder


def not_writable(folder: str | Path, problem: Exception) -> SapiensError:
    """That nothing can be written to a folder, and why."""
    return SapiensError(f"Nothing can be written to the folder {folder} ({_reason(problem)}). Choose another one.")


def not_written(path: str | Path, problem: Exception, otherwise: str = "choose another folder") -> SapiensError:
    """That a file could not be written, and why; `otherwise` is what can be done beside freeing some space."""
    return SapiensError(f"{path} could not be written ({_reason(problem)}). Free some space or {otherwise}.")


def _reason(problem: Exception) -> str:
    return getattr(problem, "strerror", None) or str(problem)


# ---- files ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def writing(path: str | Path, *, lasting: bool = False) -> Iterator[Path]:
    """As replacing(), with what goes wrong as a SapiensError."""
    try:
        with replacing(path, lasting=lasting) as partial:
            yield partial
    except OSError as problem:
        raise not_written(path, problem) from problem


@contextlib.contextmanager
def replacing(path: str | Path, *, lasting: bool = False, beside: Path | None = None) -> Iterator[Path]:
    """A temporary path, renamed to `path` when the block ends well and removed when it does not.

    Args:
        lasting: whole also after the power is cut, where a file can else be there by name and empty. It costs some
            milliseconds a file and the time until all of it is on the disk, so it is for what a later run trusts by
            its name: weights, pieces of videos. A photo's results are not, and a job looks whether they are empty.
        beside: what the temporary path lies beside in place of `path`; on the same disk.

    Raises:
        OSError: it could not be written.
    """
    path = Path(path)
    place = path if beside is None else beside
    _clear_once(place.parent)
    # Writers choose the format by the suffix.
    number = f"{_here()}-{os.getpid()}-{_TOKEN}-{next(_NUMBERS)}"
    partial = place.with_name(f".{path.name}.{number}.partial{path.suffix}")
    try:
        yield partial
        if lasting:
            flush(partial)
        partial.replace(path)
        if lasting:
            with contextlib.suppress(OSError):  # of a folder some disks cannot do it
                flush(path.parent)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def flush(path: Path) -> None:
    """Brings a file, or the names in a folder, onto the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: str | Path, data: bytes | memoryview, *, lasting: bool = False) -> Path:
    """`data` as the file `path`."""
    with writing(path, lasting=lasting) as partial:
        partial.write_bytes(data)
    return Path(path)


def write_arrays(path: str | Path, **arrays: np.ndarray) -> Path:
    """Named arrays as an uncompressed .npz: deflating megapixels of floats takes seconds and saves little."""
    with writing(path) as partial, partial.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # NumPy's stub takes any name for allow_pickle
    return Path(path)


# ---- what killed processes left of files ----------------------------------------------------------------------------


@functools.lru_cache(maxsize=1024)
def _clear_once(folder: Path) -> None:
    clear_partials(folder)


def clear_partials(folder: str | Path) -> None:
    """Removes what processes that were killed have left half written in a folder."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = PARTIAL.match(entry.name)
            if found and _is_left(Path(entry.path), *found.groups()):
                with contextlib.suppress(OSError):
                    Path(entry.path).unlink()


def _is_left(partial: Path, here: str, process: str, token: str) -> bool:
    if here != _here():  # of another machine, or from before this one was started: it tells by its age alone
        with tempfile.TemporaryFile(dir=partial.parent) as new:  # and the folder's clock, which may be another's too
            now_s = os.fstat(new.fileno()).st_mtime
        return abs(now_s - partial.stat().st_mtime) > LEFT_S  # in the future where the clock was put back
    if int(process) == os.getpid():
        return token != _TOKEN
    return not is_running(int(process))


@functools.cache
def _here() -> str:
    """Where the numbers of processes mean what they mean here: on this machine since its start, in this container."""
    names = [socket.gethostname()]
    with contextlib.suppress(OSError):  # on Linux
        names += [Path("/proc/sys/kernel/random/boot_id").read_text(), str(Path("/proc/self/ns/pid").readlink())]
    return hashlib.sha256("|".join(names).encode()).hexdigest()[:8]


def is_running(process: int) -> bool:
    """Whether there is a process of this number, be it somebody else's."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


# ---- folders --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def partial_folder(folder: Path) -> Iterator[Path]:
    """A new folder beside `folder`, to be filled and renamed; removed if it is still there when the block ends.

    Leftovers of others with the same parent are removed first, unless their writers live: who writes one holds a lock
    on it, which ends with the process.

    Raises:
        OSError: it cannot be made.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    _sweep(folder.parent)
    partial, lock = _locked_folder(folder)
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        os.close(lock)


def partial_name(folder: Path) -> Path:
    """A new name beside `folder` that partial_folder() takes for a leftover."""
    return folder.with_name(f"{folder.name}{PARTIAL_FOLDER}{secrets.token_hex(4)}")


def _locked_folder(folder: Path) -> tuple[Path, int]:
    """A new partial folder, and the open file that its lock hangs on: it ends with this process, however that ends."""
    while True:
        partial = partial_name(folder)
        partial.mkdir()
        try:
            lock = os.open(partial, os.O_RDONLY)
        except FileNotFoundError:  # another process came between the two, and took it for a leftover
            continue
        with contextlib.suppress(OSError):  # a disk without locks, where nobody's leftovers are removed
            fcntl.flock(lock, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if partial.stat().st_ino == os.fstat(lock).st_ino:
                return partial, lock
        os.close(lock)  # as above, a moment later


def _sweep(parent: Path) -> None:
    for folder in parent.iterdir():
        if not re.search(rf"{re.escape(PARTIAL_FOLDER)}[0-9a-f]{{8}}$", folder.name) or not folder.is_dir():
            continue
        with contextlib.suppress(OSError):
            lock = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            finally:
                os.close(lock)


def locked(file: Any) -> bool:
    """Takes the lock of an open file, which goes with the process, however that ends. False if another has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network folders know no locks
        return True
    return True
