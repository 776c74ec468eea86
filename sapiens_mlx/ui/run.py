"""What happens when something is pressed: generators from Gradio's events to the inference thread and back to the page.

A handler yields {component: update}; what it leaves out stays as it is. No model is imported before the first run.
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gradio as gr

from .. import zoo
from ..errors import SapiensError
from ..tasks.base import Result
from . import background, controls, people, photos, words
from .command import command_line
from .findings import findings
from .photos import SHOWN_PX
from .problems import explained
from .progress import Step, step
from .storage import STUDIO, Visit
from .tab import TabActions, Updates, Values
from .view import View

if TYPE_CHECKING:
    from ..predictor import Predictor

NO_MASK = "People are not cut out: the weights of Body parts are not on this machine. Run Body parts once to get them."


class Actions(TabActions):
    """The handlers of the Studio tab."""

    tab = STUDIO
    _view: View

    # ---- the photo --------------------------------------------------------------------------------------------------

    def _empty_page(self, photo_there: bool) -> str:
        return words.empty(photo_there)

    def _fresh(self, visit: Visit, status: str = "") -> Updates:
        return super()._fresh(visit, status) | people.nobody_yet(self._view.boxes, self._view.people)

    def _example_shown(self, visit: Visit) -> Updates:
        view = self._view
        fresh = {view.photo: photos.in_frame(visit)} | people.nobody_yet(view.boxes, view.people)
        return fresh | self._photo_alone(visit)

    # ---- the run ----------------------------------------------------------------------------------------------------

    def run(self, request: gr.Request, **values: Any) -> Iterator[Updates]:
        """Computes one task for the photo, on the machine that serves this page, and draws it."""
        yield self.begin()  # again: the run before, which a new photo ended, may have said that it is over
        visit = self._visit(request)
        photo_rgb = None
        try:
            photo_rgb = self._photo_of_run(visit, values["photo"])
            if photo_rgb is None:
                raise SapiensError("There is no photo yet. Drop one into the frame, paste it, or take one.")
            predictor, options = self._chosen(visit, values)
            if visit.result is None:
                yield self._photo_alone(visit)
            result = yield from self._follow(visit, predictor.submit(photo_rgb, options))
            self._keep(visit, result, values)
            yield {self._view.status: words.working(step("draw", 0, 0))}
            drawn = self._drawn(visit, values) | self._told(visit, values)
            yield drawn | {self._view.status: words.working(Step("Writing the files"))}
            # All of it once more with the files, since programs that call the page get what comes last.
            done = words.line("Done", words.duration(sum(result.report.seconds.values())))
            yield drawn | self.files(request, **values) | self._idle(visit, done)
        except Exception as problem:
            yield self._idle(visit, explained(problem, visit.photo_rgb is not photo_rgb))

    def stopped(self, request: gr.Request) -> Updates:
        return self._idle(
            self._visit(request), words.line("Stopped", "The photo and the settings are as they were.", "stopped")
        )

    def _chosen(self, visit: Visit, values: Values) -> "tuple[Predictor, Any]":
        from ..predictor import Options, Predictor

        task = values["task"]
        foreground = values["foreground"] if task in controls.CUT_OUT else "none"
        if foreground == "auto" and visit.mask_of == (values["size"], values["level"]) and visit.mask is not None:
            foreground = visit.mask
        if task == background.TASK:
            background.chosen(visit, values)  # one that is missing is told before the network runs
        options = Options(**(people.options(values) if task in people.TASKS else {}), foreground=foreground)
        return Predictor(task, values["size"], values["level"], self._weights), options

    def _keep(self, visit: Visit, result: Result, values: Values) -> None:
        visit.result, visit.ran_with = result, dict(values)
        key = (values["size"], values["level"])
        if values["task"] == "seg":
            visit.mask, visit.mask_of = result.foreground_mask(), key
        elif values["task"] in controls.CUT_OUT and values["foreground"] == "auto":
            visit.mask, visit.mask_of = result.person_mask, key

    # ---- the picture ------------------------------------------------------------------------------------------------

    def redraw(self, request: gr.Request, **values: Any) -> Updates:
        """A control of the picture moved: draw it again from the kept result."""
        visit = self._visit(request)
        if not self._can_draw(visit, values):
            return gr.skip()
        try:
            return self._drawn(visit, values)
        except Exception as problem:
            return {self._view.status: explained(problem, visit.closed)}

    def cut_out(self, request: gr.Request, **values: Any) -> Iterator[Updates]:
        """People only was chosen after the run: compute where they are, once, and draw again."""
        visit = self._visit(request)
        result, photo_rgb = visit.result, visit.photo_rgb
        wanted = result is not None and result.report.task in controls.CUT_OUT and values["foreground"] == "auto"
        if not wanted or visit.mask_of == (result.report.size, result.report.level):
            yield gr.skip()
            return
        from ..predictor import Predictor

        report = result.report
        try:
            source = Predictor(report.task, report.size, report.level, self._weights).mask_source()
            if source is not None:
                yield self.begin()
                found = yield from self._follow(visit, source.submit(photo_rgb))
                visit.mask = found.foreground_mask()
            visit.mask_of = (report.size, report.level)
            yield self._drawn(visit, values)
            yield self._idle(visit, words.line("People are cut out") if source else words.notice(NO_MASK))
        except Exception as problem:
            yield self._idle(visit, explained(problem, visit.photo_rgb is not photo_rgb))

    def files(self, request: gr.Request, **values: Any) -> Updates:
        """Every file of the result, in the style shown, behind the download buttons."""
        visit, view = self._visit(request), self._view
        if not self._can_draw(visit, values):
            return gr.skip()
        result, options = self._styled(visit, values)
        try:
            paths = result.save(visit.next_folder("files"), visit.stem, side_by_side=True, **options)
            labels = [words.file_label(path) for path in paths]
        except (SapiensError, OSError) as problem:
            if visit.closed:  # the page was closed meanwhile, and its files with it
                return {view.status: gr.skip()}
            return {view.status: words.notice(str(problem), "The files could not be written")}
        updates = [
            gr.update(value=str(path), label=label, visible=True, interactive=True)
            for path, label in zip(paths, labels, strict=True)
        ]
        updates += [gr.update(visible=False)] * (len(view.downloads) - len(paths))
        return dict(zip(view.downloads, updates, strict=True))

    def _can_draw(self, visit: Visit, values: Values) -> bool:
        """Whether there is a result, and all that its picture needs."""
        if visit.result is None:
            return False
        return visit.result.report.task != background.TASK or not background.is_missing(visit, values)

    def _styled(self, visit: Visit, values: Values) -> tuple[Result, dict[str, Any]]:
        """The result as it is to be drawn (cut out or not), and the options of its picture()."""
        result = visit.result
        task = result.report.task
        if task in controls.CUT_OUT:
            result = replace(result, person_mask=visit.mask if values["foreground"] == "auto" else None)
        options = controls.options(task, values["style"], values)
        if task == background.TASK:
            options["background"] = background.chosen(visit, values)
        return result, options

    def _drawn(self, visit: Visit, values: Values) -> Updates:
        """The picture, and the photo beside or under it, at the size the page shows."""
        from ..image import read_image, shrink, write_png
        from ..tasks.draw import side_by_side

        start = time.perf_counter()
        result, options = self._styled(visit, values)
        picture = shrink(result.picture(**options), SHOWN_PX)
        folder, view = visit.next_folder("picture"), self._view
        path = write_png(folder / f"{visit.stem}_{result.report.task}.png", picture)
        alone = path
        if values["view"] == "beside":
            alone = write_png(folder / "side_by_side.png", side_by_side(read_image(visit.shown), picture))
        visit.result.report.seconds["draw"] = round(time.perf_counter() - start, 4)
        return {
            view.slider: (str(visit.shown), str(path)),
            view.picture: str(alone),
            view.command: self._command(visit, values),
            view.slider_frame: gr.update(visible=values["view"] == "slider"),
            view.picture_frame: gr.update(visible=values["view"] != "slider"),
            view.panel: gr.update(visible=True),
            view.details: gr.update(visible=True),
            view.empty: gr.update(visible=False),
        }

    def _command(self, visit: Visit, values: Values) -> str:
        """The command line of what was run, with the look that is chosen now."""
        look = {name: values[name] for name in controls.LOOK}
        report = visit.result.report
        return command_line(visit.photo_name, report, visit.ran_with | look, self._weights, visit.background_name)

    def _photo_alone(self, visit: Visit) -> Updates:
        """The photo where its first picture will be."""
        view = self._view
        return {
            view.picture: str(visit.shown),
            view.slider_frame: gr.update(visible=False),
            view.picture_frame: gr.update(visible=True),
            view.panel: gr.update(visible=True),
            view.details: gr.update(visible=False),
            view.empty: gr.update(visible=False),
        }

    def _told(self, visit: Visit, values: Values) -> Updates:
        """The card and the controls that belong to the new result."""
        view, result = self._view, visit.result
        task = result.report.task
        licence = zoo.LICENCES[result.report.licence]
        updates: Updates = {
            view.notes: words.notes(result.report),
            view.card: words.card(result.report, licence, findings(result)),
            view.style: gr.update(visible=task in controls.TWO_STYLES),
        }
        updates |= {group: gr.update(visible=name == task) for name, group in view.style_groups.items()}
        updates |= dict.fromkeys(view.downloads, gr.update(interactive=False))
        return updates

    def background_taken(self, upload: str, request: gr.Request) -> Updates:
        """A picture to put behind the cut-out."""
        try:
            name = background.take(self._visits, self._visit(request), upload)
        except SapiensError as problem:
            return {self._view.status: words.notice(str(problem), "This picture cannot be used")}
        return {self._view.background: gr.update(label=f"Picture: {name[:40]}"), self._view.status: ""}

    def boxes_found(self, boxes: list[list[Any]], request: gr.Request) -> Any:
        """The boxes of the newest result for the table, or what is in it already.

        An event of its own, which always has a value: a table that is not on the page yet breaks when it is skipped.
        """
        result = self._visit(request).result
        if result is None or result.report.task not in people.TASKS:
            return {"headers": list(people.HEADERS), "data": boxes}
        return people.rows(result.boxes_xyxy, result.box_scores)
