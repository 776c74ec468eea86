"""What happens in the tab Features: generators that compute one photo or two, and what a press on a picture asks for.

A handler yields {component: update}; what it leaves out stays as it is. No model is imported before the first run.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from ...errors import SapiensError
from .. import photos, places, steps, words
from ..findings import findings
from ..photos import SHOWN_PX
from ..problems import explained, noticed
from ..storage import FEATURES, FEATURES_SECOND, Visits
from ..tab import TabActions, Updates, Values
from ..visit import Photo, Visit
from . import sentences
from .view import FeaturesView

if TYPE_CHECKING:
    from ...tasks.features import FeaturesResult, Similarity

TASK = "features"
BothVisits = tuple[Visit, Visit]


class FeaturesActions(TabActions):
    """The handlers of the tab."""

    tab = FEATURES
    _view: FeaturesView

    def __init__(
        self, view: FeaturesView, visits: Visits, weights: str | None, examples: Mapping[gr.Button, Path]
    ) -> None:
        super().__init__(view, visits, weights, examples)
        self.pressed = (self._presser(0), self._presser(1))

    # ---- the photos -------------------------------------------------------------------------------------------------

    def _both(self, request: gr.Request) -> BothVisits:
        """The visit of the photo and the one of the second photo."""
        return self._visit(request), self._visits.of(request.session_hash, FEATURES_SECOND)

    def _empty_page(self, photo_there: bool) -> str:
        return sentences.empty(photo_there)

    def _fresh(self, visit: Visit, status: str = "") -> Updates:
        return super()._fresh(visit, status) | {self._view.point: None}

    def second_changed(self, photo: Any, request: gr.Request) -> Updates:
        """As photo_changed, of the second photo. What is shown of the first one stays."""
        view, visit = self._view, self._both(request)[1]
        status = self._take(visit, photo)
        shown = {view.second: photos.in_frame(visit), view.status: status, view.point: None}
        return shown | {view.pictures[0].frame: gr.update(), view.pictures[1].frame: gr.update(visible=False)}

    def chosen(self, size: str, level: str) -> str:
        """What is about to be run, and whether it fits the memory."""
        from ...inventory import too_large

        return sentences.about(size, level, too_large("features", size, level))

    # ---- the run ----------------------------------------------------------------------------------------------------

    def _run(self, request: gr.Request, **values: Any) -> Iterator[Updates]:
        """Computes the features of the photo and of the second one, and draws them."""
        visits = self._both(request)
        visits[0].look = values
        taken: list[Photo | None] = []
        try:
            taken.append(self._photo_of_run(visits[0], values["photo"]))
            taken.append(self._second_of_run(visits[1], values["second"]))
            yield from self._compute(visits, values)
            shown = self._all(visits, visits[0].look)
            if values["foreground"] == "auto":
                yield shown  # else what was there before would stay, where the search is stopped
                yield from self._find_people(visits)
                shown = self._all(visits, visits[0].look)
            seconds = sum(sum(result.report.seconds.values()) for _, result in _with_results(visits))
            done = words.line("Done", words.duration(seconds))
            yield self._idle(visits[0], done) | shown
        except Exception as problem:
            yield self._idle(visits[0], explained(problem, _replaced(visits, taken)))

    def _second_of_run(self, visit: Visit, photo: Any) -> Photo | None:
        """As _photo_of_run, of the second photo, which may be missing."""
        with visit.taking:
            photos.take(self._visits, visit, photo)
            self._visits.release(visit)
        return visit.photo

    def stopped(self, request: gr.Request) -> Updates:
        stopped = words.line("Stopped", "The photos and the settings are as they were.", "stopped")
        return self._idle(self._visit(request), stopped)

    def _compute(self, visits: BothVisits, values: Values) -> Iterator[Updates]:
        """What is missing of both photos; where nothing is, all of it again."""
        from ...predictor import Predictor, Prepared

        predictor = Predictor(TASK, values["size"], values["level"], self._weights)
        wanted = (predictor.size, predictor.level)
        there = [visit for visit in visits if visit.photo is not None]
        made = {visit: steps.made_with(result) for visit, result in _with_results(visits)}
        missing = [one for one in there if made.get(one) != wanted] or there
        for visit in missing:
            if visit is not missing[0]:
                yield self._all(visits, visits[0].look)  # the first one, for this one may fail or be stopped
            name = "" if len(there) == 1 else ("Photo", "Second photo")[visits.index(visit)]
            photo = visit.the_photo
            job = predictor.submit(Prepared(photo.rgb))  # or the result would keep a copy of the photo
            result = yield from self._follow(visit, photo, job, partial(steps.named, name))
            visit.make_room(result)
            photo.results[TASK] = result

    def _find_people(self, visits: BothVisits) -> Iterator[Updates]:
        """As steps.find_people, in each photo that has a result."""
        for visit, result in _with_results(visits):
            photo = visit.the_photo
            yield from steps.find_people(photo, result, self._weights, partial(self._follow, visit, photo))

    # ---- the pictures -----------------------------------------------------------------------------------------------

    def redraw(self, request: gr.Request, **values: Any) -> Updates:
        """A control of the pictures moved: draw them again from the kept results."""
        return self._safely(request, values, self._drawn)

    def cut_out(self, request: gr.Request, **values: Any) -> Iterator[Updates]:
        """Other colours were chosen after the run: find the people, once, and draw again."""
        visits = self._both(request)
        visits[0].look = values
        taken = [visit.photo for visit in visits]
        if not _has_result(visits[0]):
            yield gr.skip()
            return
        try:
            if values["foreground"] == "auto":
                yield self.begin()
                yield from self._find_people(visits)
            status = words.line("Colours for people" if values["foreground"] == "auto" else "Colours for all")
            yield self._idle(visits[0], status) | self._all(visits, visits[0].look)
        except Exception as problem:
            yield self._idle(visits[0], explained(problem, _replaced(visits, taken)))

    def _presser(self, which: int) -> Callable:
        def pressed(request: gr.Request, event: gr.SelectData) -> Any:
            """The pixel of the photo that was pressed in a picture of it."""
            visit = self._both(request)[which]
            if not _has_result(visit):
                return gr.skip()
            return which, *places.pressed(visit.the_photo, event.index)

        return pressed

    def ask(self, request: gr.Request, **values: Any) -> Updates:
        """A place was pressed: where it is like that, in both photos."""
        return self._safely(request, values, self._alike)

    def _safely(self, request: gr.Request, values: Values, draw: Callable[[BothVisits, Values], Updates]) -> Updates:
        """What `draw` makes of the kept results, in the look of this event; nothing where there are none."""
        visits = self._both(request)
        visits[0].look = values
        if not _has_result(visits[0]):
            return gr.skip()
        try:
            return draw(visits, values)
        except Exception as problem:
            return {self._view.status: explained(problem, visits[0].closed)}

    def _results(self, visits: BothVisits, values: Values) -> "list[FeaturesResult]":
        """The result of the photo and, where there is one of the same network, of the second, cut out or not."""
        results: list[FeaturesResult] = []
        for visit, result in _with_results(visits):
            if results and steps.made_with(result) != steps.made_with(results[0]):
                break
            photo = visit.the_photo
            wanted = photo.mask if values["foreground"] == "auto" else None
            if result.person_mask is not wanted:
                result = replace(result, person_mask=wanted)  # its components are found anew
                photo.results[TASK] = result
            results.append(result)
        return results

    def _all(self, visits: BothVisits, values: Values) -> Updates:
        """Everything about new results."""
        view = self._view
        updates = self._drawn(visits, values) | self._files(visits, values)
        results = self._results(visits, values)
        report = results[0].report
        notices = list(dict.fromkeys(notice for one in results for notice in steps.notices(one, values)))
        names = [visit.the_photo.name for visit, _ in zip(visits, results, strict=False)]
        return updates | {
            view.notes: words.asides_area(notices),
            view.card: words.card(report, findings(results[0])),
            view.command: sentences.command(names, report, values["foreground"], self._weights),
            view.panel: gr.update(visible=True),
            view.empty: gr.update(visible=False),
        }

    def _drawn(self, visits: BothVisits, values: Values) -> Updates:
        """The colours of both photos, and what is like the chosen place."""
        from ...image import shrink, write_png

        results = self._results(visits, values)
        updates: Updates = {}
        look = {"opacity": values["opacity"], "smooth": values["smooth"]}
        for visit, pictures, result in zip(visits, self._view.pictures, results, strict=False):
            picture = shrink(result.picture(like=results[0], **look), SHOWN_PX)
            photo = visit.the_photo
            path = write_png(photo.next_folder("picture") / f"{photo.stem}_features.png", picture)
            updates |= {pictures.colours: str(path), pictures.frame: gr.update(visible=True)}
        for pictures in self._view.pictures[len(results) :]:
            updates[pictures.frame] = gr.update(visible=False)
        return updates | self._alike(visits, values)

    def _alike(self, visits: BothVisits, values: Values) -> Updates:
        """Where it is like the chosen place; before one is chosen, the photos as they are."""
        from ...image import shrink, write_png

        view = self._view
        updates: Updates = {}
        found = self._similar(visits, values)
        for index, (visit, pictures) in enumerate(zip(visits, view.pictures, strict=True)):
            photo = visit.photo
            if photo is not None and index < len(found):
                picture = _at_size(found[index], shrink(photo.rgb, SHOWN_PX)).picture(smooth=values["smooth"])
                path = write_png(photo.next_folder("alike") / f"{photo.stem}_similarity.png", picture)
                updates[pictures.alike] = str(path)
            elif photo is not None:
                updates[pictures.alike] = str(photo.shown)
        which = values["point"][0] if found else 0
        own, other = (found[which], found[1 - which] if len(found) > 1 else None) if found else (None, None)
        return updates | {view.told: sentences.told(own, other, which)}

    def _similar(self, visits: BothVisits, values: Values) -> "list[Similarity]":
        """For each result how like the chosen place it is; empty where none is chosen."""
        results, point = self._results(visits, values), values["point"]
        if point is None or point[0] >= len(results):
            return []
        which, x, y = point
        return [results[which].similarity(x, y, one) for one in results]

    # ---- the files --------------------------------------------------------------------------------------------------

    def files(self, request: gr.Request, **values: Any) -> Updates:
        """Every file of the results, as they are shown, behind the download buttons."""
        return self._safely(request, values, self._files)

    def _files(self, visits: BothVisits, values: Values) -> Updates:
        from ...image import write_png

        view, paths = self._view, []
        results, found = self._results(visits, values), self._similar(visits, values)
        look = {"opacity": values["opacity"], "smooth": values["smooth"], "like": results[0]}
        try:
            for index, (visit, result) in enumerate(zip(visits, results, strict=False)):
                photo = visit.the_photo
                folder, stem = photo.next_folder("files"), photo.stem
                written = result.save(folder, stem, side_by_side=True, **look)
                if found:
                    similar = found[index].picture(smooth=values["smooth"])
                    written.append(write_png(folder / f"{stem}_similarity.png", similar))
                number = "" if len(results) == 1 else f" {index + 1}"
                paths += [(path, _label(path, number)) for path in written]
        except (SapiensError, OSError) as problem:
            if visits[0].closed:  # the page was closed meanwhile, and its files with it
                return {view.status: gr.skip()}
            return {view.status: noticed(problem, "The files could not be written")}
        updates = [gr.update(value=str(path), label=label, visible=True, interactive=True) for path, label in paths]
        updates += [gr.update(visible=False)] * (len(view.downloads) - len(paths))
        return dict(zip(view.downloads, updates, strict=True))


def _has_result(visit: Visit) -> bool:
    return visit.photo is not None and TASK in visit.photo.results


def _with_results(visits: BothVisits) -> "list[tuple[Visit, FeaturesResult]]":
    """The visits that have a result, with it."""
    return [(visit, visit.the_photo.results[TASK]) for visit in visits if _has_result(visit)]


def _at_size(found: "Similarity", photo_rgb: Any) -> "Similarity":
    """The same over the photo at the size that the page shows."""
    ratio = photo_rgb.shape[1] / found.photo_rgb.shape[1]
    x, y = found.point_xy
    return replace(found, photo_rgb=photo_rgb, point_xy=(x * ratio, y * ratio))


def _label(path: Path, number: str) -> str:
    titles = {"_similarity.png": "Similarity", "_side_by_side.png": "Beside the photo", ".png": "Colours"}
    title = next((title for ending, title in titles.items() if path.name.endswith(ending)), "Arrays")
    return words.file_words(title + number, path)


def _replaced(visits: BothVisits, taken: Sequence[Photo | None]) -> bool:
    """Whether the visitor has another photo than one of those that a run has `taken`."""
    return any(visit.photo is not photo for visit, photo in zip(visits, taken, strict=False))
