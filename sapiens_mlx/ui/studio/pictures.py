"""What the Studio shows of results that are kept: pictures, and what a click asks for. No network runs here."""

import time
from typing import Any

import gradio as gr

from .. import background, controls, hands, words
from ..command import command_lines
from ..findings import findings
from ..photos import SHOWN_PX
from ..places import shown_by
from ..tab import Updates, Values
from ..visit import Photo, Visit
from . import exports, hands_panel, hands_space, light, pose_panel, probing, space, surfaces
from .view import View

ALONE = ("picture", "photo")  # the views that can be asked about


class Pictures:
    """Draws for the Studio. `weights` is a folder or None, as for Predictor."""

    def __init__(self, view: View, weights: str | None) -> None:
        self._view, self._weights = view, weights

    # ---- the picture ------------------------------------------------------------------------------------------------

    def can_draw(self, visit: Visit) -> bool:
        """Whether there is a result of the photo that is worked on."""
        return visit.photo is not None and bool(visit.photo.results)

    def can_be_pressed(self, visit: Visit, values: Values) -> bool:
        """Whether one picture is shown alone, in which a place is that of the photo."""
        return values["view"] in ALONE and visit.surface not in surfaces.NO_PICTURE

    def surface(self, visit: Visit, values: Values) -> Updates:
        """All that belongs to the surface that the visit shows: its picture, its controls, what was run.

        For a pose whose people can be chosen from now on, everybody is, in the visit's look too.
        """
        photo = visit.the_photo
        visit.surface = surfaces.chosen(photo, visit.surface)
        view, name = self._view, visit.surface
        is_picture = name not in surfaces.NO_PICTURE
        chips = gr.update(choices=surfaces.offered(photo), value=name)
        updates: Updates = {
            view.surface: chips,
            view.look: gr.update(visible=name != surfaces.ALL),
            view.view: gr.update(visible=is_picture),
            view.style: gr.update(visible=name in controls.TWO_STYLES),
            view.foreground: gr.update(visible=surfaces.is_cut_out(name)),
            view.asking: gr.update(visible=is_picture),
            view.told: self._told(photo),
        }
        if visit.in_space not in ("", name):  # else the former view is seen first when it comes back, or another's
            visit.in_space, updates[view.space.viewer] = "", None
        updates[view.space.look] = gr.update(visible=name == surfaces.SPACE)
        updates[view.hands.column] = gr.update(visible=name == hands_panel.TASK)
        updates |= {group: gr.update(visible=one == name) for one, group in view.style_groups.items()}
        updates |= dict.fromkeys(view.downloads, gr.update(interactive=False))
        if name == "pose" and visit.posed is not photo.results["pose"]:  # other people than those who can be chosen
            visit.posed = pose = photo.results["pose"]
            updates |= {view.pose_inputs[one]: update for one, update in pose_panel.arrived(pose).items()}
            visit.look = values = {**values, **pose_panel.everybody(pose)}
        return updates | self._card(photo, name) | self._panel(photo, name, values) | self.drawn(visit, values)

    def _card(self, photo: Photo, name: str) -> Updates:
        if name == surfaces.ALL:
            return {self._view.card: words.cards(photo.results.values())}
        made_of = photo.results[surfaces.SURFACES[name].needs]
        return {self._view.card: words.card(made_of.report, findings(made_of))}

    def _panel(self, photo: Photo, name: str, values: Values) -> Updates:
        """What some surfaces have beside their controls, for the result that is there now."""
        if name == "pose":
            return {self._view.style_groups["pose panel"]: gr.update(visible=True)}
        if name == "relit":
            return {self._view.ball: light.drawn(photo, *(values[angle] for angle in light.ANGLES))}
        if name == "recoloured":
            return {self._view.part: _parts(photo, values["recoloured_part"])}
        return {}

    def drawn(self, visit: Visit, values: Values) -> Updates:
        """The picture of the surface in the chosen view, at the size that the page shows."""
        photo, view, name = visit.the_photo, self._view, visit.surface
        shown: Updates = {
            view.command: self._command(visit, values),
            view.notes: words.asides_area(surfaces.notices(visit, photo, name, values)),
            view.panel: gr.update(visible=True),
            view.empty: gr.update(visible=False),
        }
        if name in surfaces.SPACES:
            return shown | self._frames("space")
        from ...image import shrink, write_png

        start = time.perf_counter()
        picture = shrink(self._picture(visit, name, values), SHOWN_PX)
        photo.drawn = write_png(photo.next_folder(f"{name}-picture") / f"{photo.stem}_{name}.png", picture)
        if name in photo.results:
            photo.results[name].report.seconds["draw"] = round(time.perf_counter() - start, 4)
        if name == "pose":
            table = pose_panel.angles_table(photo.results["pose"], surfaces.of_pose(visit, photo, values))
            shown[view.angles] = gr.update(value=table, visible=bool(table))
        if name == hands_panel.TASK:
            shown |= hands_panel.drawn(view.hands, photo, values)
        if name == surfaces.ALL:
            return shown | self._frames("picture") | {view.picture: str(photo.drawn)}
        if values["view"] == "slider":
            return shown | self._frames("slider") | {view.slider: (str(photo.shown), str(photo.drawn))}
        return shown | self._frames("picture") | {view.picture: self._alone(photo, values["view"])}

    def _frames(self, which: str) -> Updates:
        return {frame: gr.update(visible=name == which) for name, frame in self._view.frames.items()}

    def _alone(self, photo: Photo, how: str) -> str:
        """The file of the picture, the photo, or both side by side; with the places that were asked about."""
        from ...image import read_image, write_png
        from ...tasks.draw import side_by_side

        base = photo.shown if how == "photo" else photo.drawn
        if how == "beside":
            both = side_by_side(read_image(photo.shown), read_image(photo.drawn))
            return str(write_png(photo.next_folder("beside") / "side_by_side.png", both))
        if not photo.points:
            return str(base)
        marked = probing.marked(read_image(base), photo.points, 1 / shown_by(photo))
        return str(write_png(photo.next_folder("marked") / base.name, marked))

    def photo_alone(self, photo: Photo) -> Updates:
        """The photo where its first picture will be."""
        view = self._view
        return self._frames("picture") | {
            view.picture: str(photo.shown),
            view.panel: gr.update(visible=True),
            view.details: gr.update(visible=False),
            view.empty: gr.update(visible=False),
        }

    def _picture(self, visit: Visit, name: str, values: Values) -> Any:
        """(H, W, 3) uint8 RGB."""
        photo = visit.the_photo
        if name == surfaces.ALL:
            return exports.sheet(visit, photo, values)
        return surfaces.result(photo, name, values).picture(**surfaces.options(visit, photo, name, values))

    def _command(self, visit: Visit, values: Values) -> str:
        """The command line of what was run, with the look that is chosen now."""
        photo, name = visit.the_photo, visit.surface
        tasks = list(photo.results) if name == surfaces.ALL else [surfaces.SURFACES[name].needs]
        look = {key: values[key] for key in controls.LOOK}
        if background.is_missing(visit, values):
            look["background"] = "none"
        # Each with its own values: pose may have been run with other boxes than those that Detect found.
        groups = ([task for task in tasks if task != "detect"], [task for task in tasks if task == "detect"])
        lines = []
        for together in filter(None, groups):
            reports = [photo.results[task].report for task in together]
            ran_with = _ran_with(photo, together) | look
            lines.append(command_lines(photo.name, reports, ran_with, self._weights, visit.background_name))
        return "\n".join(lines)

    def space(self, visit: Visit, values: Values) -> Updates:
        """A 3-D surface's own part, which comes after the surface is there: see space.connect."""
        photo = visit.the_photo
        visit.in_space, folder = visit.surface, photo.next_folder("space")
        if visit.surface == surfaces.HANDS_SPACE:
            return hands_space.updates(self._view.space, photo.results[hands_panel.TASK], folder, photo.stem)
        return space.updates(self._view.space, surfaces.results(photo, values), folder, photo.stem, values)

    # ---- what a click asks for --------------------------------------------------------------------------------------

    def ask(self, visit: Visit, x: float, y: float, values: Values) -> Updates:
        """A pixel of the photo was pressed: the first of two places, or the second. A third begins anew.

        Raises:
            SapiensError: it is outside the photo; the places are then as they were.
        """
        from ...probe import reading

        photo = visit.the_photo
        reading(photo.results, x, y)
        photo.points = [*photo.points, (x, y)] if len(photo.points) == 1 else [(x, y)]
        return self.asked(visit, values)

    def asked(self, visit: Visit, values: Values) -> Updates:
        """The answer for the places that are chosen, and the picture with them marked."""
        photo = visit.the_photo
        updates: Updates = {self._view.told: self._told(photo)}
        if self.can_be_pressed(visit, values):
            updates[self._view.picture] = self._alone(photo, values["view"])
        return updates

    def _told(self, photo: Photo) -> str:
        from ...probe import reading

        return probing.told([reading(photo.results, x, y) for x, y in photo.points])


def _parts(photo: Photo, wanted: str | None) -> Any:
    """Updates for the list of parts: those in the photo; the wanted one stays chosen where it is among them."""
    from ...tasks.seg import classes

    parts = surfaces.parts_there(photo)
    titles = [(classes().title(classes().names.index(part)), part) for part in parts]
    return gr.update(choices=titles, value=wanted if wanted in parts else next(iter(parts), None))


def _ran_with(photo: Photo, tasks: list[str]) -> dict[str, Any]:
    """The page's inputs that the results of several tasks were made with, each input as of the task that has a use for
    it."""
    ran_with = dict(photo.ran_with[tasks[0]])
    if "pose" in tasks:
        ran_with |= photo.ran_with["pose"]
    if hands.TASK in tasks:
        ran_with |= {name: photo.ran_with[hands.TASK][name] for name in hands.NAMES}
    return ran_with
