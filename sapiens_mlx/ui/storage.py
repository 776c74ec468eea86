"""Where visitors' things are kept: a folder of the process, and visits, freed when they leave or the server stops.

Gradio deletes nothing when a page is closed or the process is told to end, so both are done here.
"""

import atexit
import contextlib
import os
import re
import secrets
import shutil
import signal
import tempfile
import threading
from collections import Counter, OrderedDict
from pathlib import Path
from types import FrameType

from .visit import Visit

PREFIX = "sapiens-studio-"
# What visits are kept of: each tab, and the second photo of one.
STUDIO, COMPARE, FEATURES, FEATURES_SECOND, VIDEO = "studio", "compare", "features", "features second", "video"
MAX_FILE_SIZE = "200mb"  # of an upload
_HASH = re.compile("[0-9a-f]{64}")  # Gradio puts what it receives into <its folder>/<hash of the content>/
MOST_VISITS = 32  # the oldest are dropped: not every program that calls the page says goodbye


# ---- the process ----------------------------------------------------------------------------------------------------


def make_process_folder() -> Path:
    """A temporary folder of this process that Gradio uses too, removed when the process ends. Old ones are swept."""
    parent = Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir())
    parent.mkdir(parents=True, exist_ok=True)
    sweep(parent)
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=parent))
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _leave)
    return folder


def sweep(parent: Path) -> None:
    """Remove the folders of processes that were killed before they could do it themselves."""
    for folder in parent.glob(f"{PREFIX}*-*"):
        number = folder.name.removeprefix(PREFIX).split("-")[0]
        if number.isdigit() and (int(number) == os.getpid() or not _is_running(int(number))):
            shutil.rmtree(folder, ignore_errors=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # somebody else's
    return True


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)  # an ordinary end, so that atexit runs


# ---- visitors -------------------------------------------------------------------------------------------------------


class Visits:
    """The visits of this process, by Gradio's session hash and the tab."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._visits: OrderedDict[tuple[str, str], Visit] = OrderedDict()
        self._holders: Counter[str] = Counter()  # of uploads: equal ones share a path
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._visits)

    def of(self, session: str, tab: str = STUDIO) -> Visit:
        """The visit of a session to a tab, begun now if it is new."""
        key = (session, tab)
        with self._lock:
            if key not in self._visits:
                self._visits[key] = Visit(self._folder / f"visit-{secrets.token_hex(16)}")
                while len(self._visits) > MOST_VISITS:
                    self._free(self._visits.popitem(last=False)[1])
            self._visits.move_to_end(key)
            return self._visits[key]

    def hold(self, visit: Visit, upload: str) -> None:
        """Remember that `upload`, a file that Gradio received, is the visitor's: it goes when its last holder does.

        Not every path that comes as one is: a request may name any file that Gradio serves, such as an example.
        """
        place = Path(upload).resolve().parent
        received = _HASH.fullmatch(place.name) and place.parent == self._folder.resolve()
        with self._lock:
            if received and not visit.closed and upload not in visit.uploads:
                visit.uploads.add(upload)
                self._holders[upload] += 1

    def release(self, visit: Visit) -> None:
        """The visitor needs none of the uploads any more."""
        with self._lock:
            self._release(visit)

    def leave(self, session: str) -> None:
        """The visitor has closed the page: stop the work, free the memory, remove the files."""
        with self._lock:
            for key in [key for key in self._visits if key[0] == session]:
                self._free(self._visits.pop(key))

    def _free(self, visit: Visit) -> None:
        visit.closed = True
        visit.forget()
        self._release(visit)

    def _release(self, visit: Visit) -> None:
        for upload in visit.uploads:
            self._holders[upload] -= 1
            if self._holders[upload] <= 0:
                del self._holders[upload]
                with contextlib.suppress(OSError):
                    Path(upload).unlink()
        visit.uploads.clear()
