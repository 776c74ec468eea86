"""A job at work: files are read ahead, the network runs, results are written behind, so that the network never waits.

Reading: decode, turn upright, fit; a few threads. Network: the one inference thread, handed file after file by the
caller's thread. Writing: the way back to the photo, drawing, encoding, the manifest's line; a few threads. What waits
between them is bounded: READ_AHEAD photos and AHEAD_BYTES of pixels on one side, WRITERS + 1 results on the other.
"""

import errno
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import predict_files
from ..container import processors
from ..errors import CancelledError, ClipError, SapiensError, WeightsError, is_memory_full
from ..image import read_image
from ..options import Options
from ..predictor import Predictor, Prepared
from ..stop import Stop
from ..video.choices import ClipChoices
from ..video.report import Newest
from . import kinds, manifest
from .index import Work
from .plan import Item

READERS = 2
READ_AHEAD = 2
WRITERS = max(1, min(4, processors() // 2))
AHEAD_BYTES = 1_000_000_000
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # what will be no better at the next file


@dataclass
class Tally:
    """What came of a job so far. Files count as failed where any task of them did. Seconds are of this process."""

    done: int = 0
    failed: int = 0
    network_s: float = 0.0
    began: float = field(default_factory=time.perf_counter)
    peak_memory_bytes: int = 0

    @property
    def wall_s(self) -> float:
        return time.perf_counter() - self.began

    @property
    def seconds_each(self) -> float:
        """Seconds a file, 0 before the first."""
        files = self.done + self.failed
        return self.wall_s / files if files else 0.0


@dataclass
class _Read:
    """A file in hand: its photo for each task, or the problem with it; and what of it is still to be written."""

    item: Item
    photos: dict[str, Prepared] = field(default_factory=dict)
    nbytes: int = 0
    about: dict[str, Any] = field(default_factory=dict)  # bytes, mtime_ns, digest
    problem: Exception | None = None
    open_tasks: int = 0
    is_video: bool = False
    failed: bool = False
    is_unfinished: bool = False
    results: dict[str, Any] = field(default_factory=dict)  # of tasks that say something together


class _Room:
    """Bytes of photos that may be in hand at once; one photo always may."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit, self._taken, self._change = limit_bytes, 0, threading.Condition()

    def take(self, nbytes: int) -> None:
        with self._change:
            self._change.wait_for(lambda: not self._taken or self._taken + nbytes <= self._limit)
            self._taken += nbytes

    def give(self, nbytes: int) -> None:
        with self._change:
            self._taken -= nbytes
            self._change.notify_all()


class Runner:
    """Runs items through predictors, and writes their files and the manifest."""

    def __init__(
        self,
        out: Path,
        predictors: list[Predictor],
        works: list[Work],
        choices: Options,
        saving: dict[str, Any],
        book: manifest.Manifest,
        stop: Stop,
        tally: Tally,
        *,
        clip_choices: ClipChoices | None = None,
        finished: Callable[[Item], None] = lambda item: None,
        told: Callable[[Item, dict[str, Any]], None] = lambda item, report: None,
        newest: Callable[[Item, Newest], None] = lambda item, newest: None,
    ) -> None:
        """
        Args:
            predictors, works: one a task, in the same order.
            saving: the options of predict_files.save().
            clip_choices: for videos; None for the defaults.
            finished: called when all of an item is in the manifest.
            told: hears (item, report) of each result, and (item, row with `error`) of each failure; from many threads.
            newest: hears (item, frame) of each frame of a video that is done, from a thread of its own.
        """
        self._out, self._choices, self._saving, self._book, self._stop = out, choices, saving, book, stop
        self._predictors = {one.task: one for one in predictors}
        self._works = {work.task: work for work in works}
        self._clip_choices, self._finished = clip_choices or ClipChoices(), finished
        self._told, self._newest = told, newest
        self.tally = tally
        self._lock, self._room = threading.Lock(), _Room(AHEAD_BYTES)
        self._places = threading.Semaphore(WRITERS + 1)
        self._fatal: BaseException | None = None
        self._no_video = threading.Event()
        self._no_video.set()

    def run(self, items: Iterator[Item]) -> None:
        """Does the items until there are no more or `stop` is asked for; then ends the file in hand.

        Raises:
            SapiensError: what would be no better at the next file: no weights, a full disk, inputs that cannot be read.
        """
        self.tally.began = time.perf_counter()
        ready: queue.Queue[_Read | None] = queue.Queue(READ_AHEAD)
        source = threading.Lock()
        readers = [
            threading.Thread(target=self._keep_reading, args=(items, source, ready), name=f"reading-{number}")
            for number in range(READERS)
        ]
        with ThreadPoolExecutor(WRITERS, "writing") as writers:
            for reader in readers:
                reader.daemon = True
                reader.start()
            try:
                self._serve(ready, writers)
            except BaseException:
                self._stop.ask()
                raise
            finally:
                self._drain(ready, readers)
        if self._fatal is not None:
            raise self._fatal

    # ---- reading ----------------------------------------------------------------------------------------------------

    def _keep_reading(self, items: Iterator[Item], source: threading.Lock, ready: queue.Queue) -> None:
        try:
            while not self._stop.asked.is_set():
                with source:
                    if not self._between_videos():
                        break
                    item = next(items, None)
                    if item is None:
                        break
                    # Once for all: a file that goes, or is damaged, meanwhile must not become another kind.
                    is_video = kinds.is_video(os.path.join(self._out, item.file))
                    if is_video:
                        self._no_video.clear()
                read = self._read(item, is_video)
                self._room.take(read.nbytes)
                ready.put(read)
        except BaseException as problem:  # the listing's: told by the caller's thread
            self._give_up(problem)
        finally:
            ready.put(None)

    def _between_videos(self) -> bool:
        """Waits until no video is in hand: it may take hours, and other processes would wait for what is read ahead.
        False where a stop was asked for meanwhile."""
        while not self._no_video.wait(0.1):
            if self._stop.asked.is_set():
                return False
        return True

    def _read(self, item: Item, is_video: bool) -> _Read:
        """The item's photo, decoded once for all its tasks; of a video no more than what tells it from others. What is
        wrong with it is kept for its turn."""
        read = _Read(item, open_tasks=len(item.tasks), is_video=is_video)
        path = os.path.join(self._out, item.file)
        try:
            if item.problem:
                raise SapiensError(item.problem)
            if is_video:
                read.about = _about(path)
                return read
            photo_rgb = read_image(path)
            read.nbytes, read.about = photo_rgb.nbytes, _about(path)
            for task in item.tasks:
                if not self._is_held(read, task):
                    read.photos[task] = self._predictors[task].prepare(photo_rgb)
        except Exception as problem:  # one file's, whatever it is
            read.problem = problem
        return read

    # ---- the network ------------------------------------------------------------------------------------------------

    def _serve(self, ready: queue.Queue, writers: ThreadPoolExecutor) -> None:
        """Hands the network file after file."""
        ended = 0
        while not self._stop.asked.is_set():
            read = ready.get()
            if read is None:
                ended += 1
                if ended == READERS:
                    return
                continue
            for task in read.item.tasks:
                self._places.acquire()
                pending, problem = None, read.problem
                if problem is None and task in read.photos:
                    try:
                        pending = self._network(task, read.photos.pop(task))
                    except WeightsError:  # nor will the next file find any
                        raise
                    except Exception as found:  # one file's, whatever it is
                        problem = found
                elif problem is None and read.is_video and not self._is_held(read, task):
                    pending, problem = self._video(read, task)
                writers.submit(self._write, read, task, pending, problem)
            del read

    def _network(self, task: str, photo: Prepared) -> Callable[[], Any]:
        job = self._predictors[task].begin(photo, self._choices)
        try:
            return job.result()
        except BaseException:
            job.cancel()  # Ctrl-C once more
            raise

    def _video(self, read: _Read, task: str) -> tuple[Callable[[], Any] | None, Exception | None]:
        """A whole video, whose package reads, computes and writes by itself."""
        folder, stem = self._place(read.item)
        path = Path(os.path.normpath(os.path.join(self._out, read.item.file)))
        predictor, asked = self._predictors[task], self._stop.asked
        try:
            report = kinds.run_video(
                path,
                predictor,
                self._choices,
                self._clip_choices,
                folder,
                stem,
                asked,
                lambda newest: self._newest(read.item, newest),
            )
        except WeightsError:
            raise
        except Exception as problem:
            return None, problem
        return report.to_json, None

    # ---- writing ----------------------------------------------------------------------------------------------------

    def _write(self, read: _Read, task: str, pending: Callable[[], Any] | None, problem: Exception | None) -> None:
        item = read.item
        try:
            work = self._works[task].for_file(os.path.join(self._out, item.file))
            row = {"file": item.file, "stem": item.stem} | read.about | work.row
            try:
                if problem is not None:
                    raise problem
                row |= self._held(read, task) if pending is None else self._results(read, task, pending)
            except CancelledError:  # a video is not done before its end, and has not failed
                read.is_unfinished = True
                return
            except Exception as found:  # one file's, and the rest goes on
                if _is_full(found):
                    raise
                row["error"] = _sentence(found)
            with self._lock:
                read.failed |= "error" in row
            self._book.add(row)
            if "error" in row:
                self._told(item, row)
        except BaseException as found:
            self._give_up(found)
        finally:
            self._places.release()
            self._closed(read)

    def _results(self, read: _Read, task: str, pending: Callable[[], Any]) -> dict[str, Any]:
        """The fields of the row that say what was written."""
        folder, stem = self._place(read.item)
        report = result = pending()
        if not read.is_video:
            report = predict_files.save(result, folder, stem, read.item.file, **self._saving)
            if task in predict_files.TOGETHER and set(predict_files.TOGETHER) <= set(read.item.tasks):
                with self._lock:
                    read.results[task] = result
                    together = dict(read.results)  # all of them for whoever comes last, and for nobody else
                report["files"] += predict_files.save_together(together, task, folder, stem)
        self._told(read.item, report)
        with self._lock:
            self.tally.peak_memory_bytes = max(self.tally.peak_memory_bytes, report["peak_memory_bytes"])
            self.tally.network_s += report["seconds"].get("network", 0.0)
        outputs = [os.path.relpath(path, self._out) for path in report["files"]]
        lacks = {name: report[name] for name in ("missing", "doubtful") if report.get(name)}
        return {"outputs": outputs, "seconds": report["seconds"]} | lacks

    def _is_held(self, read: _Read, task: str) -> bool:
        """Whether the task was done of a file with these very bytes."""
        row = read.item.held.get(task)
        return row is not None and row.get("digest") == read.about.get("digest")

    def _held(self, read: _Read, task: str) -> dict[str, Any]:
        row = read.item.held[task]
        return {"outputs": row["outputs"], "seconds": row.get("seconds", {})}

    def _place(self, item: Item) -> tuple[Path, str]:
        """The folder and the stem of its results."""
        path = self._out / item.stem
        return path.parent, path.name

    def _closed(self, read: _Read) -> None:
        """One task of the file has come to its end; after the last, so has the file."""
        with self._lock:
            read.open_tasks -= 1
            if read.open_tasks:
                return
            self.tally.failed += read.failed
            self.tally.done += not (read.failed or read.is_unfinished)
        self._room.give(read.nbytes)
        if read.is_video:
            self._no_video.set()
        if self._fatal is None and not read.is_unfinished:
            try:
                self._finished(read.item)
            except BaseException as problem:
                self._give_up(problem)

    # ---- ends -------------------------------------------------------------------------------------------------------

    def _give_up(self, problem: BaseException) -> None:
        with self._lock:
            self._fatal = self._fatal or problem
        self._stop.ask()

    def _drain(self, ready: queue.Queue, readers: list[threading.Thread]) -> None:
        """Lets the readers out of their waiting; what they have read is dropped."""
        while any(reader.is_alive() for reader in readers):
            try:
                read = ready.get(timeout=0.05)
            except queue.Empty:
                continue
            if read is not None:
                self._room.give(read.nbytes)


def _about(path: str) -> dict[str, Any]:
    """Raises ClipError where it cannot be read, as a video may be: a photo was, just before."""
    try:
        status = os.stat(path)
        return {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns, "digest": manifest.digest(path)}
    except (OSError, ValueError) as problem:  # a ValueError of a name with a null character
        reason = getattr(problem, "strerror", None) or problem
        raise ClipError(
            f"{os.path.normpath(path)} cannot be read ({reason}). Check its name and that you may read it."
        ) from problem


def _is_full(problem: BaseException | None) -> bool:
    while problem is not None:
        if isinstance(problem, OSError) and problem.errno in FULL:
            return True
        problem = problem.__cause__
    return False


def _sentence(problem: Exception) -> str:
    if isinstance(problem, SapiensError):
        return str(problem)
    if is_memory_full(problem):  # of reading, drawing or writing: what a network lacks is a SapiensError
        return "There is not enough memory for this file. Make it smaller, or close other programs."
    return f"This file met a mistake in the program ({type(problem).__name__}: {problem}). Please report it."
