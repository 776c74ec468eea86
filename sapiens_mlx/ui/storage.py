"""Visitors' things on the server: visits by session and tab, uploads, and one limit over the memory of all of them.

They go when the visitor leaves, which not every program says; so also when nothing was heard for long.
"""

import contextlib
import re
import secrets
import shutil
import stat
import threading
import weakref
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic, sleep

import gradio as gr
import numpy as np

from .. import runtime
from ..errors import SapiensError
from ..hosted import is_hosted
from ..runtime import Job
from .visit import ENDED, GONE, Visit, held_bytes

# What visits are kept of: each tab, and the second photo of one.
STUDIO, COMPARE, FEATURES, FEATURES_SECOND, VIDEO = "studio", "compare", "features", "features second", "video"
MAX_FILE_SIZE = "200mb"  # of an upload
HOUR_S = 60 * 60
IDLE_S = 24 * HOUR_S  # after which a visit of which nothing was heard ends; an hour where strangers share the machine
RESTING_S, EMPTY_S = 600, 60  # after which one may give way to others; one with nothing in it
UNCLAIMED_S = HOUR_S  # that an upload waits for an event that names it; a cut one waits in vain
MCP_FOLDER, MCP_KEPT_S = "mcp", 600  # what comes by it as data is copied from there at once, so that it can go soon
TIDY_S = 60.0
MOST_SESSIONS = 64  # here, and in Gradio, which keeps a copy of every component for each
MEMORY_SHARE = 0.25  # of what networks may take: photos and results of all visitors. One of 12 MP with all is 0.7 GB
_HASH = re.compile("[0-9a-f]{64}")  # Gradio puts what it receives into <its folder>/<hash of the content>/

FULL = "There are as many visitors as this page can serve. Please try again in a few minutes."
CLOSING = "The page is being closed on the server."
NO_MEMORY = (
    "The memory that is kept for photos and results is full. "
    "Remove photos, take smaller ones, or try again in a few minutes."
)
NOT_SENT = "This file was not sent to this page. Drop it, or send it, again."

_everyone: "weakref.WeakSet[Visits]" = weakref.WeakSet()


def close_all() -> list[Job]:
    """The end of every visit of this process, for good. Returns the jobs that were at work, which stop soon."""
    return [job for visits in list(_everyone) for job in visits.close()]


@dataclass(eq=False)
class _Session:
    """One page, or one program, by Gradio's session hash (None where a request has none): a visit for each tab that was
    used."""

    seen_s: float
    visits: dict[str, Visit] = field(default_factory=dict)

    @property
    def runs(self) -> bool:
        return any(visit.runs for visit in self.visits.values())

    @property
    def is_empty(self) -> bool:
        return all(visit.is_empty for visit in self.visits.values())

    def may_go(self, now_s: float) -> bool:
        """For others to have its place."""
        return not self.runs and now_s - self.seen_s >= (EMPTY_S if self.is_empty else RESTING_S)


class Visits:
    """The visits of this process, whose folder is `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sessions: OrderedDict[str | None, _Session] = OrderedDict()  # the longest unseen first
        self._holders: Counter[Path] = Counter()  # of uploads: equal ones share a path
        self._unclaimed: dict[tuple[Path, int], float] = {}  # files that nobody holds, and since when
        self._own: set[Path] = set()
        self._listed: Sequence[set[str]] = ()
        self._closed = False
        self._lock = threading.Lock()
        _everyone.add(self)
        threading.Thread(target=_keep_tidy, args=(weakref.ref(self),), name="tidy", daemon=True).start()

    def __len__(self) -> int:
        return sum(len(session.visits) for session in list(self._sessions.values()))

    def page_is_built(self, listed: Sequence[set[str]] = ()) -> None:
        """What Gradio has put beside the uploads until now, such as the pictures of Help, is the page's own. `listed`
        are its lists of what came and what was served, in which it leaves the names of files that we have removed."""
        self._own, self._listed = set(self._files()), listed

    # ---- who is here ------------------------------------------------------------------------------------------------

    def of(self, session: str | None, tab: str = STUDIO) -> Visit:
        """The visit of a session to a tab, begun now if it is new.

        Raises:
            gr.Error: there is no place for one more, or nothing can be written.
        """
        with self._lock:
            if self._closed:
                raise gr.Error(CLOSING, print_exception=False)
            found = self._sessions.get(session)
            if found is None:
                self._make_place()
                found = self._sessions[session] = _Session(monotonic())
            found.seen_s = monotonic()
            self._sessions.move_to_end(session)
            if tab not in found.visits:
                try:
                    folder = self._folder / f"visit-{secrets.token_hex(16)}"
                    found.visits[tab] = Visit(folder, room=self._make_room)
                except SapiensError as problem:
                    raise gr.Error(str(problem), print_exception=False) from problem
            return found.visits[tab]

    def _make_place(self) -> None:
        """For one more session. Made-up ones cannot have the place of one that runs or was just used."""
        if len(self._sessions) < MOST_SESSIONS:
            return
        resting = [name for name, one in self._sessions.items() if one.may_go(monotonic())]
        if not resting:
            raise gr.Error(FULL, print_exception=False)
        self._free(min(resting, key=lambda name: not self._sessions[name].is_empty))

    def leave(self, session: str | None) -> None:
        """The visitor has closed the page: stop the work, free the memory, remove the files."""
        with self._lock:
            self._free(session)

    def close(self) -> list[Job]:
        """The end of all visits, as the process is about to end; there are none from now on."""
        with self._lock:
            self._closed = True
            jobs = [visit.job for session in self._sessions.values() for visit in session.visits.values() if visit.job]
            for session in list(self._sessions):
                self._free(session)
        return jobs

    def _free(self, session: str | None) -> None:
        gone = self._sessions.pop(session, None)
        for visit in gone.visits.values() if gone else ():
            visit.closed = True
            visit.forget()
            self._release(visit)

    # ---- uploads ----------------------------------------------------------------------------------------------------

    def hold(self, visit: Visit, upload: str | Path, what: str = "photo") -> None:
        """Remember that `upload`, a file that Gradio received, is the visitor's: it goes when its last holder does.

        Not every path that comes as one is: a request may name any file that Gradio serves, such as an example.

        Raises:
            SapiensError: it is no upload of this page, or not there any more.
        """
        with self._lock:
            if visit.closed:
                raise SapiensError(ENDED)
            path = self._received(Path(upload), what)
            if path in visit.uploads:
                del visit.uploads[path]
            else:
                self._holders[path] += 1
            visit.uploads[path] = None  # the newest, whether it was held or not

    def _received(self, path: Path, what: str) -> Path:
        """The one way to write the path of an upload. Raises as hold."""
        folder = self._folder.resolve()
        try:
            place = path.parent.resolve()
            path = place / path.name
            is_file = stat.S_ISREG(path.lstat().st_mode)  # of a link, the link itself
        except FileNotFoundError as problem:
            # Also what the page still shows of a visit that has ended.
            raise SapiensError(GONE.format(what) if place.is_relative_to(folder) else NOT_SENT) from problem
        except (OSError, ValueError, RuntimeError) as problem:  # a null character, a circle of links
            raise SapiensError(NOT_SENT) from problem
        if not (is_file and _HASH.fullmatch(place.name) and place.parent == folder) or path in self._own:
            raise SapiensError(NOT_SENT)
        return path

    def release(self, visit: Visit, newest: int = 0) -> None:
        """The visitor needs none of the uploads any more, but those `newest` that were held last."""
        with self._lock:
            self._release(visit, newest)

    def _release(self, visit: Visit, newest: int = 0) -> None:
        for upload in list(visit.uploads)[: -newest or None]:
            del visit.uploads[upload]
            self._holders[upload] -= 1
            if self._holders[upload] <= 0:
                del self._holders[upload]
                with contextlib.suppress(OSError):
                    upload.unlink()

    # ---- memory -----------------------------------------------------------------------------------------------------

    def _make_room(self, visit: Visit, coming: list[np.ndarray]) -> None:
        """For a photo or a result of a visit, within the limit over what all visitors have.

        One result is always allowed where nothing else is kept but its photo: to compute it has taken more.

        Raises:
            SapiensError: others, and the visitor's own, leave too little.
        """
        limit = MEMORY_SHARE * runtime.memory_limit_bytes()
        with self._lock:
            for let_go in self._in_turn(visit):
                if self._held_bytes(coming) <= limit:
                    return
                let_go()
            alone = 0 if visit.photo is None else visit.photo.rgb.nbytes
            if self._held_bytes(coming) > limit and self._held_bytes() > alone:
                raise SapiensError(NO_MEMORY)

    def _in_turn(self, visit: Visit) -> Iterator[Callable[[], None]]:
        """What can be let go, one after another: results of the visitor's other photos; sessions that rest; results of
        what others are not looking at."""
        yield from _others_results(visit)
        for name, session in list(self._sessions.items()):
            if visit not in session.visits.values() and session.may_go(monotonic()):
                yield partial(self._free, name)
        for session in list(self._sessions.values()):
            for other in session.visits.values():
                if other is not visit and not other.runs:
                    yield from _others_results(other)

    def _held_bytes(self, coming: Iterable[np.ndarray] = ()) -> int:
        return held_bytes((visit for session in self._sessions.values() for visit in session.visits.values()), coming)

    # ---- what nobody asks for any more ------------------------------------------------------------------------------

    def tidy(self) -> None:
        """End visits of which nothing was heard for long, remove uploads that no event has named and folders of visits
        that have ended, and forget the names of files that are gone: with each run come some, for as long as the
        process lives."""
        with self._lock:
            now_s = monotonic()
            for name, session in list(self._sessions.items()):
                if session.runs:
                    session.seen_s = now_s
                elif now_s - session.seen_s >= (HOUR_S if is_hosted() else IDLE_S):
                    self._free(name)
            present = {visit.folder for session in self._sessions.values() for visit in session.visits.values()}
            for folder in self._folder.glob("visit-*"):
                if folder not in present:  # what was at work as the visit ended has made it again
                    shutil.rmtree(folder, ignore_errors=True)
            since = {file: self._unclaimed.get(file, now_s) for file in self._nobodys()}
            for (path, _), seen_s in since.items():
                if now_s - seen_s >= (MCP_KEPT_S if path.parent.parent.name == MCP_FOLDER else UNCLAIMED_S):
                    with contextlib.suppress(OSError):
                        path.unlink()
            self._unclaimed = since
            for names in self._listed:
                names.difference_update([name for name in list(names) if not Path(name).exists()])

    def _nobodys(self) -> Iterator[tuple[Path, int]]:
        """Files that came and that nobody holds, and when each was last written to."""
        for path in self._files():
            with contextlib.suppress(OSError):
                if path not in self._holders and path not in self._own:
                    yield path, path.lstat().st_mtime_ns

    def _files(self) -> Iterator[Path]:
        """What Gradio has put into the folder. An upload that came in part lies there by itself."""
        folder = self._folder.resolve()
        yield from folder.glob(f"{MCP_FOLDER}/*/*")
        yield from (path for path in folder.glob("*/*") if _HASH.fullmatch(path.parent.name))
        yield from (path for path in folder.glob("tmp*") if path.is_file())


def _others_results(visit: Visit) -> Iterator[Callable[[], None]]:
    """Of the photos of a visit that are not worked on, the first first."""
    for photo in list(visit.photos):
        if photo is not visit.photo and photo.results:
            yield photo.forget_results


def _keep_tidy(visits: "weakref.ref[Visits]") -> None:
    """On a thread of its own, for as long as there are these visits."""
    while True:
        sleep(TIDY_S)
        there = visits()
        if there is None:
            return
        there.tidy()
        del there
