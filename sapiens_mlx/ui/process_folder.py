"""The folder of this process that all of the page's files are in, and its end: nothing of it stays, however that comes.

Gradio deletes nothing when the process is told to end, so that is done here. Of a process that was killed, the next one
that starts removes the folder: a process holds a lock on its own for as long as it lives. (A process number would not
do: it is given again, and in another container means another process.)
"""

import atexit
import contextlib
import fcntl
import os
import shutil
import signal
import tempfile
import threading
import time
from pathlib import Path
from types import FrameType

from ..errors import SapiensError
from ..runtime import Job, inference
from . import storage
from .visit import remove_folder

PREFIX = "sapiens-studio-"
ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
SETTLE_S = 3.0  # that threads at work have to stop
_locks: list[int] = []  # open for as long as the process lives
_at_work: list[Job] = []  # as a signal came


def make_process_folder() -> Path:
    """A temporary folder of this process that Gradio uses too, removed when the process ends. Old ones are swept.

    Raises:
        SapiensError: it cannot be made.
    """
    parent = Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir())
    try:
        parent.mkdir(parents=True, exist_ok=True)
        sweep(parent)
        folder = _locked_folder(parent)
    except OSError as problem:
        raise SapiensError(
            f"The page has no folder for its files ({problem.strerror}). "
            "Free some space, or name another folder by GRADIO_TEMP_DIR."
        ) from problem
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    atexit.register(_end, folder)
    if threading.current_thread() is threading.main_thread():
        for number in ENDING:
            if signal.getsignal(number) != signal.SIG_IGN:  # as nohup leaves SIGHUP
                signal.signal(number, _leave)
    return folder


def sweep(parent: Path) -> None:
    """Remove the folders of processes that were killed before they could do it themselves."""
    for folder in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # a process that lives has it, or it is somebody else's
            lock = _lock(folder)
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _locked_folder(parent: Path) -> Path:
    """Raises OSError."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        try:
            lock = _lock(folder)
        except (FileNotFoundError, BlockingIOError):
            continue  # another process that has just started swept it before it had its lock
        except OSError:  # some network folders know no locks: then nobody can sweep it either
            return folder
        if os.fstat(lock).st_nlink:
            _locks.append(lock)
            return folder
        os.close(lock)


def _lock(folder: Path) -> int:
    """The lock of a folder, as an open file. Raises OSError where another process has it, or it is no folder."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        raise
    return file


# ---- the end --------------------------------------------------------------------------------------------------------


def _leave(number: int, _frame: FrameType | None) -> None:
    """An ordinary end, so that atexit runs. What runs is stopped now, before threads are waited for."""
    for other in ENDING:  # one that came during close_all() would wait here for what that holds
        signal.signal(other, signal.SIG_IGN)
    _at_work.extend(storage.close_all())
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(0)


def _end(folder: Path) -> None:
    """Removes the folder, and again when what was at work has stopped: it may have written in the meantime."""
    if threading.current_thread() is threading.main_thread():
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)
    jobs = [*_at_work, *storage.close_all()]
    remove_folder(folder)
    end = time.monotonic() + SETTLE_S
    inference.settle(SETTLE_S)
    while time.monotonic() < end and not all(job.done for job in jobs):
        time.sleep(0.05)
    remove_folder(folder)
