"""What happens in the tab Live: the camera is asked for and opened, frames are computed one at a time, and it ends.

Frames come by an event of Gradio's that holds the newest one until its handler is free again, so one is in flight and
the newest wins. Each is one job of the inference thread: between two of them everybody else has a turn.
"""

import base64
import binascii
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import gradio as gr
import numpy as np

from ... import runtime, zoo
from ...errors import CancelledError, ImageError, SapiensError
from ...runtime import Progress, inference
from .. import jpeg, words
from ..controls import CUT_OUT
from ..findings import findings
from ..problems import explained
from ..progress import Step, follow
from ..storage import Visit, Visits
from ..tab import NOT_TAKEN, Updates
from . import sentences
from .view import LiveView

if TYPE_CHECKING:
    from ...predictor import Predictor
    from ...tasks.base import Result

TAB = "live"
TASKS = tuple(name for name in zoo.TASKS if name != "features")
PICTURE_PX = 960  # the longer side of a live picture
MOST_PEOPLE = 4  # in pose, the largest
# Frames of pose: between two, everybody is looked for where they were. On two cores the demo's detector took 0.18 s a
# frame, and pose 0.07 s a person.
DETECT_EVERY = 5
RATE_FRAMES = 12  # that frames a second are counted over
STYLE: dict[str, dict[str, Any]] = {"seg": {"legend": False}}


@dataclass(eq=False)
class Live:
    """One visitor's camera while it is on. Times are those of time.monotonic().

    `end` counts from the first frame on (`begun`). `done` are the times of the newest results. `boxes_xyxy` are the
    people as last found in a frame of `boxes_hw`, `boxes_age` frames ago; None where they are to be looked for.
    """

    end: float
    begun: bool = False
    done: deque[float] = field(default_factory=lambda: deque(maxlen=RATE_FRAMES))
    boxes_xyxy: np.ndarray | None = None
    boxes_hw: tuple[int, int] = (0, 0)
    boxes_age: int = 0

    @property
    def frames_per_s(self) -> float | None:
        """Of results; None before there are two."""
        if len(self.done) < 2:
            return None
        return (len(self.done) - 1) / max(1e-6, self.done[-1] - self.done[0])


class LiveActions:
    """The handlers of the tab. `most` cameras are served at once, each for `limit_s` seconds."""

    def __init__(self, view: LiveView, visits: Visits, weights: str | None, limit_s: float, most: int) -> None:
        self._view, self._visits, self._weights = view, visits, weights
        self._limit_s, self._most = limit_s, most
        self._lives: WeakKeyDictionary[Visit, Live] = WeakKeyDictionary()  # gone with the visit
        self._lock = threading.Lock()

    # ---- before the camera ------------------------------------------------------------------------------------------

    def chosen(self, task: str, size: str) -> Updates:
        """Another task or size: what is about to be run, and whether it fits the memory."""
        from ...inventory import too_large

        size, level = zoo.size_like(task, size), zoo.default_level(runtime.device())
        warning = too_large(task, size, level)
        return {
            self._view.size: gr.update(choices=sizes_of(task), value=size),
            self._view.surroundings: gr.update(visible=task in CUT_OUT),
            self._view.about: sentences.about(task, size, level, larger=runtime.device() == "gpu", warning=warning),
        }

    def begin(self, request: gr.Request) -> Updates:
        """At once after Start, while the browser asks whether the page may use the camera."""
        self._visits.of(request.session_hash, TAB).waits = True
        return {
            self._view.status: words.working(Step("Asking for the camera")),
            self._view.start: gr.update(interactive=False),
            self._view.stop: gr.update(interactive=True),
        }

    def not_taken(self, request: gr.Request) -> Updates:
        """start() did not come: the queue is full. Comes after Stop as well, as in tab.py."""
        visit = self._visits.of(request.session_hash, TAB)
        return self._off(visit, words.notice(NOT_TAKEN, "Not started")) if visit.waits else gr.skip()

    def stopping(self, request: gr.Request) -> None:
        """Stop was pressed."""
        self._visits.of(request.session_hash, TAB).waits = False

    def start(self, problem: str, task: str, size: str, surroundings: bool, request: gr.Request) -> Iterator[Updates]:
        """Loads what is needed, or downloads it, and only then puts the camera on the page."""
        visit = self._visits.of(request.session_hash, TAB)
        visit.waits = False
        if problem:
            status = sentences.stopped() if problem == "stopped" else sentences.camera_problem(problem)
            yield self._off(visit, status)
            return
        try:
            live = self._place(visit)
            # Aside: what has to be downloaded is not waited for by others.
            job = runtime.aside(partial(_prepare, task, size, surroundings, self._weights))
            visit.job = job
            told = ""
            for now, seconds in follow(job):
                words_now = words.working(now, seconds)
                yield gr.skip() if words_now == told else {self._view.status: words_now}
                told = words_now
            job.result()
            if live is not self._lives.get(visit):
                raise CancelledError
            live.end = time.monotonic() + self._limit_s + OPENING_S
            yield {self._view.status: sentences.opening(), self._view.camera_frame: gr.update(visible=True)}
        except _FullError:
            yield self._off(visit, sentences.full(self._most))
        except Exception as failure:
            yield self._off(visit, explained(failure))

    def _place(self, visit: Visit) -> Live:
        """One of the places there are. Raises _FullError."""
        with self._lock:
            now = time.monotonic()
            on = [one for one, live in self._lives.items() if one is not visit and not one.closed and live.end > now]
            if len(on) >= self._most:
                raise _FullError
            self._lives[visit] = live = Live(now + LOADING_S)
            return live

    def opened(self, problem: str, request: gr.Request) -> Updates:
        """The camera of the page was opened, or not."""
        if not problem:
            return gr.skip()
        return self._off(self._visits.of(request.session_hash, TAB), sentences.camera_problem(problem))

    # ---- the camera -------------------------------------------------------------------------------------------------

    def frame(self, camera: Any, task: str, size: str, surroundings: bool, request: gr.Request) -> Updates:
        """The newest frame of the camera (Gradio's image data with a data URL) as a picture."""
        visit = self._visits.of(request.session_hash, TAB)
        live = self._lives.get(visit)
        if live is None or camera is None:
            return gr.skip()  # it was on its way when the camera was turned off
        if not live.begun:
            live.begun, live.end = True, time.monotonic() + self._limit_s
        try:
            photo_rgb = _frame_rgb(camera)
            result = self._result(visit, live, photo_rgb, task, size, surroundings)
            shown = _shown(result, photo_rgb, task)
        except Exception as problem:
            if self._lives.get(visit) is not live:
                return gr.skip()
            timely = isinstance(problem, TimeoutError) and time.monotonic() >= live.end
            return self._off(visit, sentences.ended(self._limit_s) if timely else explained(problem))
        if self._lives.get(visit) is not live:
            return gr.skip()
        live.done.append(time.monotonic())
        left_s = max(0.0, live.end - time.monotonic())
        return {
            self._view.status: sentences.running(live.frames_per_s, left_s, self._limit_s),
            self._view.picture: gr.update(value=shown, visible=True),
            self._view.empty: gr.update(visible=False),
        }

    def _result(
        self, visit: Visit, live: Live, photo_rgb: np.ndarray, task: str, size: str, surroundings: bool
    ) -> "Result | None":
        """Raises TimeoutError when the camera's time is over, and what the work raises."""
        left_s = live.end - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self._check_there(task, size)
        job = inference.submit(partial(_look, task, size, surroundings, self._weights, live, photo_rgb))
        visit.job = job
        if visit.closed:
            job.cancel()
        try:
            return job.result(left_s)
        finally:
            job.cancel()  # nothing, where it is done

    def _check_there(self, task: str, size: str) -> None:
        """No download while the camera is on: the visitor would see nothing of it, and everybody would wait for it."""
        from ... import fetch
        from ...options import Options
        from ...predictor import Predictor

        predictor = Predictor(task, zoo.size_like(task, size), weights=self._weights)
        if missing := fetch.missing(predictor, Options()):
            checkpoint = missing[0].checkpoint
            raise SapiensError(
                f"The weights of {zoo.task_row(checkpoint.task).title} {checkpoint.size} are not on this machine yet. "
                "Press Start: they are downloaded before the camera is opened."
            )

    def stopped(self, request: gr.Request) -> Updates:
        """After Stop."""
        return self._off(self._visits.of(request.session_hash, TAB), sentences.stopped())

    def _off(self, visit: Visit, status: str) -> Updates:
        """The camera is taken off the page, which turns it off; the last picture stays until the next."""
        self._lives.pop(visit, None)
        if visit.job is not None:
            visit.job.cancel()
        view = self._view
        return {
            view.status: status,
            view.camera_frame: gr.update(visible=False),
            view.start: gr.update(interactive=True, value="Start again"),
            view.stop: gr.update(interactive=False),
        }


OPENING_S = 30.0  # for the browser to open the camera
LOADING_S = 60 * 60.0  # a download may take long; who stops or leaves gives the place back at once


class _FullError(Exception):
    pass


def sizes_of(task: str) -> list[str]:
    """The sizes that this machine may take a camera's frames with: on a processor the demo's alone."""
    return [size for size in zoo.task_row(task).sizes if size == "demo" or runtime.device() == "gpu"]


def _frame_rgb(camera: Any) -> np.ndarray:
    """The frame as (H, W, 3) uint8 RGB, no longer than PICTURE_PX. Raises ImageError."""
    from ...image import read_image, shrink

    _, _, data = (camera.url or "").partition("base64,")
    try:
        return shrink(read_image(base64.b64decode(data)), PICTURE_PX)
    except binascii.Error as problem:
        raise ImageError("The camera's frame did not arrive whole. Press Start again.") from problem


def _shown(result: "Result | None", photo_rgb: np.ndarray, task: str) -> str:
    """The picture of a frame as HTML, the picture itself inside: no file is written."""
    from ...image import shrink

    picture = photo_rgb if result is None else shrink(result.picture(**STYLE.get(task, {})), PICTURE_PX)
    found = "nobody in sight" if result is None else findings(result)
    return sentences.picture(jpeg.address(picture), picture.shape[1], picture.shape[0], task, found)


# ---- the network ----------------------------------------------------------------------------------------------------


def _prepare(task: str, size: str, surroundings: bool, weights: str | None, progress: Progress) -> None:
    """Downloads and loads all that a frame takes, by a look at a grey one. There pose finds nobody, and gets a box."""
    from ...predictor import Predictor

    grey_rgb = np.full((480, 640, 3), 127, np.uint8)
    if _look(task, size, surroundings, weights, Live(0), grey_rgb, progress) is None:
        predictor = Predictor(task, zoo.size_like(task, size), weights=weights)
        predictor(grey_rgb, boxes_xyxy=[[0, 0, 639, 479]], flip=False, progress=progress)


def _look(
    task: str,
    size: str,
    surroundings: bool,
    weights: str | None,
    live: Live,
    photo_rgb: np.ndarray,
    progress: Progress,
) -> "Result | None":
    """The result for one frame; None where pose finds nobody. For frames of a camera on the inference thread."""
    from ...predictor import Predictor

    predictor = Predictor(task, zoo.size_like(task, size), weights=weights)
    if task == "pose":
        boxes = _people(predictor, live, photo_rgb, progress)
        if not len(boxes):
            return None
        return predictor(photo_rgb, boxes_xyxy=boxes, flip=False, progress=progress)
    hide = task in CUT_OUT and not surroundings
    return predictor(photo_rgb, foreground="auto" if hide else "none", progress=progress)


def _people(predictor: "Predictor", live: Live, photo_rgb: np.ndarray, progress: Progress) -> np.ndarray:
    """The largest boxes of people, (P, 4), from left to right; looked for where nobody is known, and now and then."""
    size_hw = photo_rgb.shape[:2]
    if live.boxes_xyxy is None or live.boxes_hw != size_hw or live.boxes_age >= DETECT_EVERY:
        found: Any = predictor.detector()(photo_rgb, progress=progress)
        boxes = found.boxes_xyxy
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        boxes = boxes[np.argsort(-areas)[:MOST_PEOPLE]]
        live.boxes_xyxy = boxes[np.argsort(boxes[:, 0])] if len(boxes) else None
        live.boxes_hw, live.boxes_age = size_hw, 0
    live.boxes_age += 1
    return np.empty((0, 4), np.float32) if live.boxes_xyxy is None else live.boxes_xyxy
