"""The photos of the Studio and its runs: generators from Gradio's events to the inference thread and back to the page.

A handler yields {component: update}; what it leaves out stays as it is. No model is imported before the first run.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from ... import zoo
from ...errors import SapiensError
from ...tasks.base import Result
from .. import consent, controls, hands, people, photos, steps, words
from ..problems import explained, sentence
from ..progress import Step
from ..tab import Updates, Values
from ..visit import Photo, Visit
from . import choices
from .shown import Shown

if TYPE_CHECKING:
    from ...predictor import Predictor

# What others build on comes first: the mask of people from seg or matting, the boxes of people from detect.
ORDER = ("seg", "matting", "detect", "pose", hands.TASK, "normal", "pointmap", "albedo")
MOST_PHOTOS = 24


class Actions(Shown):
    """The handlers of the Studio tab: its photos and its runs."""

    NO_PHOTO = "There is no photo yet. Drop one into the frame, paste it, or take one."

    # ---- the photos -------------------------------------------------------------------------------------------------

    def _empty_page(self, photo_there: bool) -> str:
        return words.empty(photo_there)

    def _fresh(self, visit: Visit, status: str = "") -> Updates:
        view = self._view
        fresh = super()._fresh(visit, status) | people.nobody_yet(view.boxes, view.people) | self._strip(visit)
        fresh |= view.consent.hide()
        if visit.photo is not None and visit.photo.results:  # another one of several, which has been run
            fresh |= self._whole(visit) | {view.status: status}
        return fresh

    def _example_shown(self, visit: Visit) -> Updates:
        view = self._view
        fresh = {view.photo: photos.in_frame(visit)} | people.nobody_yet(view.boxes, view.people) | self._strip(visit)
        return fresh | self._pictures.photo_alone(visit.the_photo)

    def _strip(self, visit: Visit) -> Updates:
        """The small pictures of all photos, where there are several."""
        several = len(visit.photos) > 1
        shown = [(str(one.shown), words.photo_caption(one.name, len(one.results))) for one in visit.photos if several]
        return {self._view.strip: gr.update(value=shown, selected_index=visit.current, visible=several)}

    def photos_added(self, uploads: list[str], request: gr.Request) -> Updates:
        """More photos beside the one in the frame; those that cannot be used are told, and the others taken."""
        visit, problems = self._visit(request), []
        with visit.taking:
            for upload in uploads:
                try:
                    self._visits.hold(visit, str(upload))
                    if len(visit.photos) >= MOST_PHOTOS:
                        raise SapiensError(f"At most {MOST_PHOTOS} photos go in at once. Remove some to add others.")
                    photos.open_file(visit, upload, Path(upload).name)
                except SapiensError as problem:
                    problems.append(sentence(problem))
            self._visits.release(visit)
        told = " ".join(dict.fromkeys(problems))
        return self._fresh(visit, words.notice(told, "Not every photo can be used") if told else "")

    def photo_picked(self, request: gr.Request, event: gr.SelectData) -> Updates:
        """Another one of several photos is to be worked on."""
        visit = self._visit(request)
        if event.index < len(visit.photos):  # else one has gone meanwhile
            visit.current = event.index
        return self._fresh(visit) | {self._view.status: gr.skip()}

    # ---- what is ticked ---------------------------------------------------------------------------------------------

    def choices_changed(self, tasks: list[str], size: str, level: str, wanted: str) -> list[Any]:
        """What depends on the tasks, the size and the level: see choices.changed."""
        return choices.changed(tasks, size, level, wanted, self._weights)

    # ---- the run ----------------------------------------------------------------------------------------------------

    def _run(self, request: gr.Request, **values: Any) -> Iterator[Updates]:
        """Computes what is ticked for every photo, on the machine that serves this page, and shows each as it ends."""
        yield self._view.consent.hide()
        visit, first = self._visit(request), None
        visit.look, visit.picked = values, False
        try:
            first = self._photo_of_run(visit, values["photo"])
            jobs = self._jobs(visit, values)
            with_hands = any(task == hands.TASK for _, task in jobs)
            if with_hands and consent.is_wanted(visit, self._predictor(hands.TASK, values)):
                yield self._idle(visit, words.line(consent.WAITING, kind="stopped")) | self._ask(values)
                return
            if not first.results:
                yield self._pictures.photo_alone(first)
            failed = yield from self._all(visit, jobs, values)
            ended = self._idle(visit, self._ended(visit, jobs, failed))
            if self._pictures.can_draw(visit):  # the photo that is worked on now may not have been there at the start
                ended |= self._files(visit, visit.look)
            yield ended
        except Exception as problem:
            moved_on = visit.closed or (first is not None and first not in visit.photos)
            yield self._idle(visit, explained(problem, moved_on))

    def licences_accepted(self, request: gr.Request) -> Updates:
        """They are: the run that waited for it comes next."""
        consent.accept(self._visit(request))
        return self._view.consent.hide()

    def _ask(self, values: Values) -> Updates:
        from ...hands.weights import download_bytes

        level = zoo.level_like(hands.TASK, values["level"])
        return self._view.consent.show(sum(download_bytes(level, self._weights).values()))

    def _predictor(self, task: str, values: Values) -> "Predictor":
        from ...predictor import Predictor

        size, level = zoo.size_like(task, values["size"]), zoo.level_like(task, values["level"])
        return Predictor(task, size, level, self._weights)

    def _jobs(self, visit: Visit, values: Values) -> list[tuple[Photo, str]]:
        """What is ticked and not there yet; where all of it is, what is ticked for the photo that is shown."""
        if not values["tasks"]:
            raise SapiensError("Nothing is ticked under What to see. Tick at least one.")
        ticked = [task for task in ORDER if task in values["tasks"]]
        in_turn = sorted(visit.photos, key=lambda photo: photo is not visit.photo)
        wanted = [(photo, task) for photo in in_turn for task in ticked]
        if values["people"] == "own":  # boxes that are of this photo alone
            wanted = [(photo, task) for photo, task in wanted if photo is visit.photo or task not in people.TASKS]
        missing = [(photo, task) for photo, task in wanted if not _is_there(photo, task, values)]
        return missing or [(visit.the_photo, task) for task in ticked]

    def _all(
        self, visit: Visit, jobs: list[tuple[Photo, str]], values: Values
    ) -> Generator[Updates, None, dict[str, SapiensError]]:
        """One job after another. Returns what failed, by its name, where something else did not."""
        failed: dict[str, SapiensError] = {}
        expected = [choices.expected_seconds(task, values["size"], values["level"]) for _, task in jobs]
        for number, (photo, task) in enumerate(jobs, start=1):
            name = self._name_of_job(visit, photo, task)
            naming = partial(steps.named, "" if len(jobs) == 1 else f"{name} ({number} of {len(jobs)})")
            try:
                yield from self._one(visit, photo, task, values, naming, expected[number - 1 :])
            except SapiensError as problem:
                failed[name] = problem
                continue
            if photo is visit.photo:
                if not visit.picked:
                    visit.surface = task
                yield self._whole(visit)
            yield self._strip(visit)
        if len(failed) == len(jobs):
            raise next(iter(failed.values()))
        return failed

    def _name_of_job(self, visit: Visit, photo: Photo, task: str) -> str:
        title = zoo.task_row(task).title
        return f"{photo.name}: {title}" if len(visit.photos) > 1 else title

    def _one(
        self,
        visit: Visit,
        photo: Photo,
        task: str,
        values: Values,
        naming: Callable[[Step], Step],
        expected: Sequence[float | None],
    ) -> Generator[Updates, None, None]:
        """Compute one result, and where people are, if its picture is to be cut out."""
        from ... import costs
        from ...predictor import Prepared

        predictor = self._predictor(task, values)
        options, detector = self._options(photo, task, values)
        job = predictor.submit(Prepared(photo.rgb), options)  # or each result would keep a copy of the photo
        result = yield from self._follow(visit, photo, job, naming, expected)
        costs.remember(result.report, costs.inputs_of(result, values["flip"]))
        if detector:
            result.report.detector = detector  # whose boxes of this photo were taken again
        visit.make_room(result)
        photo.results[task], photo.ran_with[task] = result, values
        photo.results = {name: photo.results[name] for name in controls.TASKS if name in photo.results}
        if values["foreground"] == "auto":
            for one in _to_cut_out(photo, task):
                yield from self._find_people(visit, photo, one)

    def _options(self, photo: Photo, task: str, values: Values) -> tuple[Any, str]:
        """options.Options, and which detector's people they are where those of an earlier result are taken."""
        from ...detect import People
        from ...options import Options

        if task == hands.TASK:
            return Options(**hands.options(values)), ""
        if task not in people.TASKS:
            return Options(), ""
        options = people.options(values)
        if task == "pose" and values["people"] == "find" and _is_there(photo, "detect", values):
            found = photo.results["detect"]
            boxes = People(found.boxes_xyxy, found.box_scores)
            return Options(**options | {"detector": lambda photo_rgb: boxes}), values["detector"]
        return Options(**options), ""

    def _find_people(self, visit: Visit, photo: Photo, result: Result) -> Generator[Updates, None, str]:
        """As steps.find_people."""
        return steps.find_people(photo, result, self._weights, partial(self._follow, visit, photo))

    def cut_out(self, request: gr.Request, **values: Any) -> Iterator[Updates]:
        """People only was chosen after the run: compute where they are, once, and draw again."""
        visit = self._visit(request)
        photo = visit.photo
        cut = [] if photo is None else [result for task, result in photo.results.items() if task in controls.CUT_OUT]
        wanted = bool(cut) and values["foreground"] == "auto"
        if photo is None or not wanted or steps.is_found(photo, cut[0]):
            yield gr.skip()
            return
        try:
            yield self.begin()
            told = yield from self._find_people(visit, photo, cut[0])
            ended = self._idle(visit, words.notice(told) if told else words.line("People are cut out"))
            if visit.photo is photo:  # and in the look of now
                ended |= self._pictures.drawn(visit, visit.look)
            yield ended
        except Exception as problem:
            yield self._idle(visit, explained(problem, photo not in visit.photos))

    def _ended(self, visit: Visit, jobs: list[tuple[Photo, str]], failed: dict[str, SapiensError]) -> str:
        if failed:
            told = " ".join(f"{name}: {sentence(problem)}" for name, problem in failed.items())
            return words.notice(told, "Done, except")
        seconds = sum(sum(photo.results[task].report.seconds.values()) for photo, task in jobs if task in photo.results)
        return words.line("Done", words.duration(seconds))

    def stopped(self, request: gr.Request) -> Updates:
        return self._idle(
            self._visit(request), words.line("Stopped", "The photo and the settings are as they were.", "stopped")
        )


def _is_there(photo: Photo, task: str, values: Values) -> bool:
    """Whether the photo has the result that these values ask for."""
    return task in photo.results and _wanted(task, photo.ran_with[task]) == _wanted(task, values)


def _wanted(task: str, values: Values) -> dict[str, Any]:
    """What decides a result, besides the photo. Raises as people.options."""
    network = {"size": zoo.size_like(task, values["size"]), "level": zoo.level_like(task, values["level"])}
    if task == hands.TASK:
        return network | hands.options(values)
    if task not in people.TASKS:
        return network
    who = people.options(values) | {"flip": task == "pose" and values["flip"]}
    return who | network | ({"level": None} if task == "detect" else {})


def _to_cut_out(photo: Photo, task: str) -> list[Result]:
    """What people are to be found for, now that a task has run: itself, or those that lacked what it tells."""
    if task in controls.CUT_OUT:
        return [photo.results[task]]
    if task not in steps.SOURCES or photo.mask is not None:
        return []
    return [photo.results[one] for one in controls.CUT_OUT if one in photo.results][:1]
