"""What the Studio shows of results that are kept, when something is pressed: pictures, places, files. Nothing is run.

A handler returns {component: update}; what it leaves out stays as it is.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from ...errors import SapiensError
from .. import background, people, places, words
from ..problems import explained, noticed, raised
from ..storage import STUDIO, Visits
from ..tab import TabActions, Updates, Values
from ..visit import Visit
from . import asking, exports, pose_panel, surfaces
from .pictures import Pictures
from .view import View

NOT_WRITTEN = "The files could not be written"


class Shown(TabActions):
    """The handlers of the Studio tab that draw."""

    tab = STUDIO
    _view: View

    def __init__(self, view: View, visits: Visits, weights: str | None, examples: Mapping[gr.Button, Path]) -> None:
        super().__init__(view, visits, weights, examples)
        self._pictures = Pictures(view, weights)

    # ---- the picture ------------------------------------------------------------------------------------------------

    def _whole(self, visit: Visit) -> Updates:
        """The surface that is shown, with all that belongs to it."""
        view = self._view
        return {view.details: gr.update(visible=True)} | self._pictures.surface(visit, visit.look)

    def _kept(self, request: gr.Request, values: Values, draw: Callable[[Visit], Updates]) -> Updates:
        """What `draw` makes of the kept results, in the look of this event; nothing where there are none."""
        visit = self._visit(request)
        visit.look = values
        if not self._pictures.can_draw(visit):
            return gr.skip()
        try:
            return draw(visit)
        except Exception as problem:
            return {self._view.status: explained(problem, visit.closed)}

    def surface_picked(self, request: gr.Request, **values: Any) -> Updates:
        """Another picture of the photo is to be seen."""
        visit = self._visit(request)
        visit.surface, visit.picked = values["surface"], True
        return self._kept(request, values, self._whole)

    def redraw(self, request: gr.Request, **values: Any) -> Updates:
        """A control of the picture moved: draw it again from the kept result."""
        return self._kept(request, values, lambda visit: self._pictures.drawn(visit, values))

    def space(self, request: gr.Request, **values: Any) -> Updates:
        """The 3-D view, where that is what is shown."""
        if self._visit(request).surface not in surfaces.SPACES:
            return gr.skip()
        return self._kept(request, values, lambda visit: self._pictures.space(visit, values))

    def pressed(self, request: gr.Request, event: gr.SelectData, **values: Any) -> Updates:
        """A place in the photo or the picture was pressed: what is there?"""

        def ask(visit: Visit) -> Updates:
            if not self._pictures.can_be_pressed(visit, values):
                return gr.skip()
            return self._pictures.ask(visit, *places.pressed(visit.the_photo, event.index), values)

        return self._kept(request, values, ask)

    def asked(self, request: gr.Request, **values: Any) -> Updates:
        """The same for a place that was typed, for the keyboard."""
        return self._kept(
            request, values, lambda visit: self._pictures.ask(visit, *asking.place(values["place"]), values)
        )

    # ---- the files --------------------------------------------------------------------------------------------------

    def files(self, request: gr.Request, **values: Any) -> Updates:
        """Every file of the surface, in the style shown, behind the download buttons."""
        visit = self._visit(request)
        return self._files(visit, values) if self._pictures.can_draw(visit) else gr.skip()

    def _files(self, visit: Visit, values: Values) -> Updates:
        """The same, where there is a result."""
        view = self._view
        try:
            paths = exports.written(visit, visit.the_photo, visit.surface, values)
            labels = [words.file_label(path) for path in paths]
        except (SapiensError, OSError) as problem:
            return {view.status: gr.skip() if visit.closed else noticed(problem, NOT_WRITTEN)}
        updates = [
            gr.update(value=str(path), label=label, visible=True, interactive=True)
            for path, label in zip(paths, labels, strict=True)
        ]
        updates += [gr.update(visible=False)] * (len(view.downloads) - len(paths))
        return dict(zip(view.downloads, updates, strict=True))

    def everything(self, request: gr.Request, **values: Any) -> Updates:
        """One ZIP with every file, for the button that the browser presses next."""
        visit, view = self._visit(request), self._view
        try:
            path = exports.everything(visit, values)
        except (SapiensError, OSError) as problem:
            raise raised(problem, NOT_WRITTEN) from problem
        return {view.archive: gr.update(value=str(path), label=words.file_words("Everything", path))}

    def background_taken(self, upload: str, request: gr.Request) -> Updates:
        """A picture to put behind the cut-out."""
        try:
            name = background.take(self._visits, self._visit(request), upload)
        except SapiensError as problem:
            return {self._view.status: noticed(problem, "This picture cannot be used")}
        return {self._view.background: gr.update(label=f"Picture: {name[:40]}"), self._view.status: ""}

    def keypoints(self, request: gr.Request, **values: Any) -> Any:
        """The table of keypoints. An event of its own, as boxes_found is, and for the same reason."""
        visit = self._visit(request)
        photo = visit.photo
        if photo is None or "pose" not in photo.results:
            return pose_panel.no_rows()
        return pose_panel.rows(photo.results["pose"], surfaces.of_pose(visit, photo, values))

    def boxes_found(self, boxes: list[list[Any]], who: str, request: gr.Request) -> Any:
        """The boxes of the newest result for the table, or what is in it already, such as the visitor's own.

        An event of its own, which always has a value: a table that is not on the page yet breaks when it is skipped.
        """
        photo = self._visit(request).photo
        found = [photo.results[task] for task in people.TASKS if task in photo.results] if photo else []
        if not found or who == "own":
            return {"headers": list(people.HEADERS), "data": boxes}
        return people.rows(found[0].boxes_xyxy, found[0].box_scores)
