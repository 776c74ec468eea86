"""What happens in the tab Video: a clip comes in, is run on a thread of its own, and becomes a video.

Every frame is one job of the inference thread, so that whoever has a photo has a turn between two of them. What was
made of a clip is removed with the next run, the next clip, or when the visitor leaves.
"""

import json
import secrets
import shutil
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

import gradio as gr

from ... import runtime, zoo
from ...errors import SapiensError
from ...runtime import Job, Progress
from .. import controls, hands, jpeg, people, words
from ..outside import for_others
from ..problems import explained, noticed, raised
from ..progress import POLL_S, Step, follow
from ..storage import MAX_FILE_SIZE, VIDEO, Visits
from ..studio import choices as studio_choices
from ..tab import RunActions, Updates, Values
from ..visit import Visit
from . import options, sentences
from .given import SHOWN_PX, Given, Running, take
from .view import VideoView

if TYPE_CHECKING:
    from ...options import Options
    from ...predictor import Predictor
    from ...video.choices import ClipChoices
    from ...video.report import ClipReport, Newest

PREVIEW_S = 0.5  # between two frames over the wire
TWO_PASSES = "pointmap"


class _GoneError(Exception):
    """The clip of a run is not the visitor's any more, so nobody wants a video of what is done."""


class VideoActions(RunActions):
    """The handlers of the tab. `most` is how many frames a run may have, or None."""

    tab = VIDEO
    _view: VideoView

    def __init__(
        self,
        view: VideoView,
        visits: Visits,
        weights: str | None,
        examples: Mapping[gr.Button, Path],
        most: int | None,
    ) -> None:
        super().__init__(view, visits, weights, examples)
        self._most = most
        self._given: WeakKeyDictionary[Visit, Given] = WeakKeyDictionary()  # gone with the visit
        self._locks: WeakKeyDictionary[Visit, threading.Lock] = WeakKeyDictionary()
        self._jobs: WeakSet[Job] = WeakSet()

    # ---- the clip ---------------------------------------------------------------------------------------------------

    def clip_given(self, upload: Any, request: gr.Request) -> Updates:
        """A clip was dropped: it is opened at once, so that a bad one is told now, and its first frame shown."""
        visit, status = self._visit(request), ""
        try:
            if not self._take(visit, upload):  # Run, pressed at once, was faster: what it has to show stays
                return self._clip(visit)
        except SapiensError as problem:
            status = noticed(problem, "This clip cannot be used")
        return self._fresh(visit, status)

    def clip_removed(self, request: gr.Request) -> Updates:
        visit = self._visit(request)
        with self._lock(visit):
            self._forget(visit)
        return self._fresh(visit)

    def example_taken(self, pressed_ms: float, request: gr.Request, event: gr.EventData) -> Updates:
        visit, path = self._visit(request), self._example(event)
        if pressed_ms < visit.pressed_ms:
            return self._fresh(visit)
        visit.pressed_ms = pressed_ms
        try:
            with self._lock(visit):
                self._forget(visit)
                self._given[visit] = take(_new_folder(visit), path, None)
        except SapiensError as problem:
            raise raised(problem) from problem  # an error, so that nothing is run
        return self._fresh(visit)

    def _take(self, visit: Visit, upload: Any) -> bool:
        """Make `upload`, Gradio's file data or None, the clip that is worked on; False where it already is: a drop and
        a Run that is pressed at once bring the same, each on its thread.

        Raises:
            SapiensError: it is no clip.
        """
        with self._lock(visit):
            given = self._given.get(visit)
            if given is not None and upload is not None and given.upload == upload.path:
                return False
            self._forget(visit, upload)
            if upload is not None:
                path = Path(upload.path)
                self._visits.hold(visit, path, "clip")
                given = take(_new_folder(visit), path, upload.orig_name or path.name)
                given.upload = upload.path
                self._given[visit] = given
            return True

    def _lock(self, visit: Visit) -> threading.Lock:
        """For whoever puts another clip in the place of the visitor's."""
        return self._locks.setdefault(visit, threading.Lock())

    def _forget(self, visit: Visit, coming: Any = None) -> None:
        """What runs is stopped without a video, and every file is removed, but the upload `coming` where the visitor
        holds it already: it was no clip before, and is looked at again."""
        given = self._given.pop(visit, None)
        if visit.job is not None:
            visit.job.cancel()
        place = () if coming is None else Path(coming.path).parts[-2:]
        if all(held.parts[-2:] != place for held in visit.uploads):
            self._visits.release(visit)
        if given is not None:
            shutil.rmtree(given.folder, ignore_errors=True)

    def _clip(self, visit: Visit) -> Updates:
        """The visitor's clip as the page shows it before a run; without one, how large it may be."""
        given = self._given.get(visit)
        in_frame = self._in_frame(given)
        shown = sentences.limits(MAX_FILE_SIZE, self._most)
        if given is not None:
            shown = sentences.given(given.name, given.poster, given.facts, in_frame is not None)
        return {self._view.clip: in_frame, self._view.given: shown}

    def _fresh(self, visit: Visit, status: str = "") -> Updates:
        """The page with a new clip, or with none."""
        view = self._view
        return self._clip(visit) | {
            view.status: status,
            view.video: "",
            view.preview: gr.update(visible=False),
            view.panel: gr.update(visible=False),
            view.empty: gr.update(value=self._empty_page(visit in self._given), visible=True),
        }

    def _in_frame(self, given: Given | None) -> str | None:
        """What the frame shows: nothing of an example, whose picture is below it. Every handler of it gives this back,
        as photos.in_frame says."""
        return str(given.path) if given is not None and given.path.is_relative_to(given.folder) else None

    def _empty_page(self, there: bool) -> str:
        return sentences.empty(there)

    # ---- what is chosen ---------------------------------------------------------------------------------------------

    def chosen(self, wanted: str, request: gr.Request, **values: Any) -> Updates:
        """Another task, size or level. `wanted` is the size that the visitor chose last."""
        view, task = self._view, values["task"]
        size, level, fitting = studio_choices.fitting([task], values["size"], values["level"], wanted)
        return {
            **dict(zip((view.size, view.level, view.too_large), fitting, strict=True)),
            view.foreground: gr.update(visible=task in controls.CUT_OUT),
            view.people: gr.update(visible=task in people.TASKS),
            view.hands: gr.update(visible=task == hands.TASK),
            view.flip: gr.update(visible=task == "pose"),
            view.about: self.about(request, **values | {"size": size, "level": level}),
        }

    def about(self, request: gr.Request, **values: Any) -> str:
        """What is about to be run, and what it takes."""
        given = self._given.get(self._visit(request))
        cost = options.cost(values, given.facts if given else None, self._weights, self._most)
        return sentences.about(values["task"], values["size"], values["level"], cost)

    # ---- the run ----------------------------------------------------------------------------------------------------

    def begin(self) -> Updates:
        waits = any(not job.done for job in self._jobs)
        update = super().begin()
        return update | {self._view.status: words.working(Step(sentences.WAITING))} if waits else update

    def _run(self, request: gr.Request, **values: Any) -> Iterator[Updates]:
        """Runs the task over the clip, on the machine that serves this page, and shows the video."""
        view, visit = self._view, self._visit(request)
        given = None
        try:
            if visit not in self._given:  # pressed before the upload was looked at
                self._take(visit, values["clip"])
            given = self._given.get(visit)
            if given is None:
                raise SapiensError(sentences.NO_CLIP)
            running = self._start(visit, given, values, request)
            yield {view.video: "", view.panel: gr.update(visible=False)}
            yield from self._follow(visit, given, running, request)
            yield self._made(visit, given, running)
        except Exception as problem:
            gone = visit.closed or (given is not None and self._given.get(visit) is not given)
            yield self._idle(visit, explained(problem, gone))

    def _start(self, visit: Visit, given: Given, values: Values, request: gr.Request) -> Running:
        """Raises SapiensError for what cannot be run."""
        from ...predictor import Predictor

        if given.running is not None and not given.running.job.done:
            raise SapiensError("This clip is being worked on already. Wait for its end, or press Stop.")
        chosen = options.within(options.choices(values), given.facts, self._most)
        of_frame = options.of_predictor(values)
        predictor = Predictor(
            values["task"], zoo.size_like(values["task"], values["size"]), values["level"], self._weights
        )
        self._check_licences(request, values["task"], [predictor])
        given.running = running = Running(folder=given.next_folder())
        given.values = dict(values)
        running.job = visit.job = runtime.aside(self._work, visit, given, running, predictor, of_frame, chosen)
        self._jobs.add(running.job)
        return running

    def _work(
        self,
        visit: Visit,
        given: Given,
        running: Running,
        predictor: "Predictor",
        of_frame: "Options",
        chosen: "ClipChoices",
        progress: Progress,
    ) -> "ClipReport":
        """On a thread of its own."""
        from ...video.clip import run_clip

        def check() -> None:
            if visit.closed or self._given.get(visit) is not given:
                raise _GoneError

        def watch(stage: str, done: float, total: float) -> None:
            check()
            progress(stage, done, total)

        def tell(newest: "Newest") -> None:
            check()
            running.tell(newest, time.monotonic())

        try:
            return run_clip(
                given.path,
                predictor,
                running.folder,
                stem=given.stem,
                options=of_frame,
                choices=chosen,
                keep_parts=False,
                progress=watch,
                on_frame=tell,
            )
        finally:
            if visit.closed:  # its files went while this was at them
                shutil.rmtree(visit.folder, ignore_errors=True)
            elif self._given.get(visit) is not given:
                shutil.rmtree(given.folder, ignore_errors=True)

    def _follow(
        self, visit: Visit, given: Given, running: Running, request: gr.Request
    ) -> Generator[Updates, None, None]:
        """Progress and the newest frame until the job is done."""
        view, shown, sent_s, told = self._view, None, 0.0, ""
        for _, seconds in follow(running.job):
            updates: Updates = {}
            newest = running.newest
            if newest is not None and newest is not shown and seconds >= sent_s + PREVIEW_S:
                shown, sent_s = newest, seconds
                updates[view.preview] = gr.update(value=_preview(newest), visible=True)
                updates[view.empty] = gr.update(visible=False)
                if not visit.closed:
                    self._visit(request)  # which is not among the oldest, though nothing was pressed for long
            if (words_now := self._progress(given, running, seconds)) != told:
                updates[view.status] = told = words_now
            yield updates or gr.skip()

    def _progress(self, given: Given, running: Running, seconds: float) -> str:
        two_passes = given.values["task"] == TWO_PASSES
        now = sentences.running(running.job.newest, running.newest, two_passes, running.passes)
        return words.working(now, seconds if running.newest is None else 0, quiet=True)  # there, the time left is told

    def stopped(self, request: gr.Request) -> Iterator[Updates]:
        """After Stop: Gradio has closed the run, which cancels its job. What is done becomes a video."""
        visit = self._visit(request)
        given = self._given.get(visit)
        running = given.running if given else None
        if given is None or running is None:
            yield self._idle(visit, sentences.stopped(None))
            return
        running.job.cancel()
        start = time.monotonic()
        while not running.job.done:
            now = Step("Making a video of what is done" if running.newest else "Stopping")
            yield {self._view.status: words.working(now, time.monotonic() - start, quiet=True)}
            time.sleep(POLL_S)
        try:
            yield self._made(visit, given, running)
        except Exception as problem:
            gone = visit.closed or self._given.get(visit) is not given
            yield self._idle(visit, explained(problem, gone))

    # ---- what came of it --------------------------------------------------------------------------------------------

    def _made(self, visit: Visit, given: Given, running: Running) -> Updates:
        """The page after a run. Raises what the run raised."""
        from ... import costs

        given.running = None
        report = running.job.result()
        if report.video is None:
            return self._idle(visit, sentences.stopped(report))
        if running.seconds_a_frame:
            costs.remember_frames(*options.timed(given.values), running.seconds_a_frame, options.how(given.values))
        given.report = report
        paths = _without_folders(report)
        chart = next((path for path in paths if path.suffix == ".png"), None)
        view = self._view
        chosen = options.choices(given.values)
        if report.stopped:  # the command line is of what was done
            chosen = replace(chosen, last_frame=chosen.first_frame + (report.frames - 1) * chosen.every)
        poster = "" if running.first_picture is None else _address(running.first_picture)
        clip_seconds = None
        if given.facts.frames:
            clip_seconds = report.frames * chosen.every / given.facts.frames_per_s
        buttons = [
            gr.update(value=str(path), label=sentences.file_label(path), visible=True, interactive=True)
            for path in paths
        ]
        buttons += [gr.update(visible=False)] * (len(view.downloads) - len(buttons))
        status = sentences.stopped(report) if report.stopped else sentences.done(report)
        made: Updates = {
            view.video: sentences.video(paths[0], poster, given.name, report.task),
            view.chart: gr.update(value=None if chart is None else str(chart), visible=chart is not None),
            view.notes: words.asides_area(report.notices),
            view.card: sentences.card(report, clip_seconds),
            view.command: sentences.command(given.name, report, given.values, chosen, self._weights),
        }
        return self._idle(visit, status) | made | dict(zip(view.downloads, buttons, strict=True))

    def _idle(self, visit: Visit, status: str) -> Updates:
        """Ready for the next run; without any result, the empty page is back."""
        view, given = self._view, self._given.get(visit)
        there = given is not None and given.report is not None
        return self._ready(status) | {
            view.preview: gr.update(visible=False),
            view.panel: gr.update(visible=there),
            view.empty: gr.update(value=self._empty_page(given is not None), visible=not there),
        }


def _new_folder(visit: Visit) -> Path:
    return visit.folder / f"clip-{secrets.token_hex(4)}"


def _preview(newest: "Newest") -> str:
    from ...image import shrink

    picture = shrink(newest.picture, SHOWN_PX)
    return sentences.preview(jpeg.address(picture), picture.shape[1], picture.shape[0], newest)


def _address(picture_rgb: Any) -> str:
    from ...image import shrink

    return jpeg.address(shrink(picture_rgb, SHOWN_PX))


def _without_folders(report: "ClipReport") -> list[Path]:
    """The files of a run, the video first. Their report is written anew, in which the server's folders stood."""
    from ...files import write_bytes

    paths = [Path(path) for path in report.files]
    names = {"video": paths[0].name, "files": [path.name for path in paths]}
    write_bytes(paths[-1], json.dumps(for_others(report.to_json()) | names, indent=1).encode())
    return paths
