"""What the tabs have in common: the photo comes in, a run begins, is followed, and ends.

A handler returns or yields {component: update}; what it leaves out stays as it is.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from ..errors import CancelledError, SapiensError
from ..runtime import Job
from . import consent, hands, photos, words
from .problems import noticed, raised
from .progress import Step, follow, seconds_left, step
from .storage import Visits
from .visit import Photo, Visit

if TYPE_CHECKING:
    from ..predictor import Predictor

Updates = dict[gr.blocks.Block, Any]
Values = Mapping[str, Any]
UNUSABLE = "This photo cannot be used"
NOT_TAKEN = "Too many are waiting here just now, or the connection was cut. Wait a minute, then try again."


@dataclass(frozen=True)
class RunView:
    """The components that the handlers of every tab with a Run write to."""

    run: gr.Button
    stop: gr.Button
    status: gr.HTML
    empty: gr.HTML
    panel: gr.Column


@dataclass(frozen=True)
class TabView(RunView):
    """Of a tab for photos, also the frame of the photo."""

    photo: gr.Image


class RunActions(ABC):
    """The handlers of a tab with a Run. `weights` is a folder or None, as for Predictor; `examples` the file of each
    example's button."""

    tab: str  # of storage.py: which of the visits are this tab's
    _view: RunView

    def __init__(self, view: RunView, visits: Visits, weights: str | None, examples: Mapping[gr.Button, Path]) -> None:
        self._view, self._visits, self._weights = view, visits, weights
        self._examples = {button._id: path for button, path in examples.items()}

    @abstractmethod
    def _run(self, request: gr.Request, **values: Any) -> Iterator[Updates]:
        """Computes what is chosen and shows it."""

    @abstractmethod
    def stopped(self, request: gr.Request) -> Updates | Iterator[Updates]:
        """After Stop: Gradio has closed the event's generator, which cancels the job."""

    @abstractmethod
    def example_taken(self, pressed_ms: float, request: gr.Request, event: gr.EventData) -> Updates:
        """An example was pressed: it is the visitor's, and what ran for another one ends. If a later press has come
        before this one, that one stays."""

    @abstractmethod
    def _empty_page(self, there: bool) -> str:
        """What stands where the pictures will be; `there` is whether there is something to run."""

    def _example(self, event: gr.EventData) -> Path:
        return self._examples[event.target._id]  # type: ignore[union-attr]  # an event of a button has one

    def _visit(self, request: gr.Request) -> Visit:
        return self._visits.of(request.session_hash, self.tab)

    def _check_licences(self, request: gr.Request, task: str, predictors: "Iterable[Predictor]") -> None:
        """Of hands, where the Studio asks for them. Raises as consent.check."""
        if task == hands.TASK:
            consent.check(self._visits.of(request.session_hash), predictors)

    def run_asked(self, request: gr.Request) -> Updates:
        """At once after a run is asked for, before the queue."""
        self._visit(request).waits = True
        return self.begin()

    def run(self, request: gr.Request, **values: Any) -> Iterator[Updates]:
        """The run that was asked for, on the machine that serves this page."""
        self._visit(request).waits = False
        yield self.begin()  # again: the run before, which a new photo ended, may have said that it is over
        yield from self._run(request, **values)

    def begin(self) -> Updates:
        """The page when work has begun, or is about to."""
        return {
            self._view.status: words.working(step("queued", 0, 0)),
            self._view.run: gr.update(interactive=False),
            self._view.stop: gr.update(interactive=True),
        }

    def not_taken(self, request: gr.Request) -> Updates:
        """The run that was asked for did not come: the queue is full, and refuses it before any handler sees it.

        Gradio tells of a run that Stop has ended by the same event; of that the page says something else.
        """
        visit = self._visit(request)
        if not visit.waits:
            return gr.skip()
        visit.waits = False
        return self._ready(words.notice(NOT_TAKEN, "Not run"))

    def stopping(self, request: gr.Request) -> None:
        """Stop was pressed."""
        self._visit(request).waits = False

    def _ready(self, status: str) -> Updates:
        """Ready for the next run."""
        return {
            self._view.status: status,
            self._view.run: gr.update(interactive=True),
            self._view.stop: gr.update(interactive=False),
        }


class TabActions(RunActions):
    """The handlers of a tab for photos."""

    NO_PHOTO = "There is no photo yet. Drop one into the frame, paste it, or take the Studio's."
    _view: TabView

    # ---- the photo --------------------------------------------------------------------------------------------------

    def photo_changed(self, photo: Any, request: gr.Request) -> Updates:
        """A photo was added or removed: it is read at once, so that a bad one is told now, and shown upright."""
        visit = self._visit(request)
        return self._fresh(visit, self._take(visit, photo))

    def example_taken(self, pressed_ms: float, request: gr.Request, event: gr.EventData) -> Updates:
        visit, path = self._visit(request), self._example(event)
        if pressed_ms < visit.pressed_ms:
            return self._example_shown(visit)
        visit.pressed_ms = pressed_ms
        try:
            with visit.taking:
                visit.forget_photo()
                self._visits.release(visit)
                photos.open_file(visit, path, path.name)
        except SapiensError as problem:
            raise raised(problem) from problem  # an error, so that nothing is run
        return self._example_shown(visit)

    def studio_photo_taken(self, request: gr.Request) -> Updates:
        """Another tab takes the photo of the Studio."""
        visit, studio = self._visit(request), self._visits.of(request.session_hash)
        taken = studio.photo
        if taken is None:
            status = words.notice("There is no photo in the Studio yet. Drop one into the frame here.")
            return {self._view.photo: photos.in_frame(visit), self._view.status: status}
        try:
            with visit.taking:
                visit.forget_photo()
                self._visits.release(visit)
                photos.keep(visit, taken.rgb, taken.name)
        except SapiensError as problem:
            return self._fresh(visit, noticed(problem, UNUSABLE))
        return self._fresh(visit)

    def _take(self, visit: Visit, photo: Any) -> str:
        """What has come of the frame, `photo`, is the visitor's; returns the status, which says why it cannot be used.

        When a photo that the server had put there, such as an example, is taken out, that one comes (Gradio 6.31), and
        not None.
        """
        try:
            if not photos.forget(visit, photo):
                photos.take(self._visits, visit, photo)
        except SapiensError as problem:
            return noticed(problem, UNUSABLE)
        return ""

    def _fresh(self, visit: Visit, status: str = "") -> Updates:
        """The page with a new photo, or with none. A tab adds what else of it belonged to the photo before."""
        view = self._view
        return {
            view.photo: photos.in_frame(visit),
            view.status: status,
            view.panel: gr.update(visible=False),
            view.empty: gr.update(value=self._empty_page(visit.photo is not None), visible=True),
        }

    def _example_shown(self, visit: Visit) -> Updates:
        """The page with an example, which is about to be run."""
        return self._fresh(visit)

    # ---- the run ----------------------------------------------------------------------------------------------------

    def _photo_of_run(self, visit: Visit, photo: Any) -> Photo:
        """The photo that a run is for. Raises as photos.take, and SapiensError where there is none."""
        with visit.taking:
            photos.take(self._visits, visit, photo)
            self._visits.release(visit)  # not at once after the upload, when the browser is still asking for the file
        if visit.photo is None:
            raise SapiensError(self.NO_PHOTO)
        return visit.photo

    def _follow(
        self,
        visit: Visit,
        photo: Photo,
        job: Job,
        naming: Callable[[Step], Step] = lambda now: now,
        expected: Sequence[float | None] = (None,),
    ) -> Generator[Updates, None, Any]:
        """Progress until the job is done, as the words change; a skip at every other poll, where Stop takes effect.

        `naming` says of each step which part of the work it is of, and `expected` how many seconds this job and those
        after it may take, where that is known. Returns the job's result. Raises what the job
        raised, and CancelledError when the visitor has dropped the photo of this run meanwhile.
        """
        visit.job = job
        if visit.closed or photo not in visit.photos:  # the page was closed while this event waited
            job.cancel()
        told = ""
        for now, seconds in follow(job):
            words_now = words.working(naming(now), seconds, seconds_left(now, seconds, expected))
            yield gr.skip() if words_now == told else {self._view.status: words_now}
            told = words_now
        result = job.result()
        if photo not in visit.photos:
            raise CancelledError
        return result

    def _idle(self, visit: Visit, status: str) -> Updates:
        """The same after a run for a visit's photo; without any result, the empty page is back."""
        view, photo = self._view, visit.photo
        there = photo is not None and bool(photo.results)
        return self._ready(status) | {
            view.panel: gr.update(visible=there),
            view.empty: gr.update(value=self._empty_page(photo is not None), visible=not there),
        }
