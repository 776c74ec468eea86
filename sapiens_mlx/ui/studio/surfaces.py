"""What the Studio can show of a photo: the picture of each task, and what is made of those. One row a surface."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ... import zoo
from ...tasks.base import Result
from .. import background, controls
from ..tab import Values
from . import pose_panel

if TYPE_CHECKING:
    from ...edits.recolour import Recoloured
    from ..visit import Photo, Visit

# Of the page's inputs, those that change a surface beside its controls.
EXTRA_INPUTS = {background.TASK: ("background", "background_colour"), "pose": pose_panel.NAMES}

ALL = "all"
SPACE = "space"
HANDS_SPACE = "hands_space"
SPACES = (SPACE, HANDS_SPACE)  # which are in the 3-D viewer
NO_PICTURE = (ALL, *SPACES)  # none of one result, over the photo


@dataclass(frozen=True)
class Surface:
    """`needs` is the task whose result it is made of. `make` gives the Result that is drawn or seen in 3-D, from that
    one. `is_there` says of a photo with that result whether there is anything to show."""

    name: str
    title: str
    needs: str
    make: "Callable[[Photo], Result]"
    is_there: "Callable[[Photo], bool]" = lambda photo: True


def _relit(photo: "Photo") -> Result:
    """Of people alone: with the edges of the matte where there is one, else of the mask."""
    from ...edits.relight import relit

    matte, seg = photo.results.get("matting"), photo.results.get("seg")
    made = relit(photo.results["normal"], photo.results.get("albedo"), None if matte is None else matte.alpha)
    mask = photo.mask if photo.mask is not None or seg is None else seg.foreground_mask()
    return replace(made, person_mask=mask)


def _recoloured(photo: "Photo") -> "Recoloured":
    from ...edits.recolour import recoloured

    return recoloured(photo.results["seg"])


def _has_meshes(photo: "Photo") -> bool:
    hands = photo.results["hands"]
    return hands.vertices is not None and len(hands) > 0


def _kept(task: str) -> "Callable[[Photo], Result]":
    return lambda photo: photo.results[task]


def _of_task(task: str) -> Surface:
    return Surface(task, zoo.task_row(task).title, task, _kept(task))


SURFACES = {
    surface.name: surface
    for surface in (
        *map(_of_task, controls.TASKS),
        Surface(SPACE, "3-D", "pointmap", _kept("pointmap")),
        Surface(HANDS_SPACE, "Hands in 3-D", "hands", _kept("hands"), _has_meshes),
        Surface("relit", "Relight", "normal", _relit),
        Surface("recoloured", "Recolour", "seg", _recoloured),
    )
}


def offered(photo: "Photo") -> list[tuple[str, str]]:
    """(title, name) of what there is to see of a photo, as the chips of the page have it."""
    rows = [row for row in SURFACES.values() if row.needs in photo.results]
    there = [(row.title, row.name) for row in rows if row.is_there(photo)]
    return there + ([("All", ALL)] if len(photo.results) > 1 else [])


def chosen(photo: "Photo", wanted: str | None) -> str:
    """The name of the surface to show: the wanted one, where there is such."""
    names = [name for _, name in offered(photo)]
    return wanted if wanted in names else names[0]


def is_cut_out(name: str) -> bool:
    """Whether it can be drawn for people only."""
    return name in (*controls.CUT_OUT, SPACE)


def result(photo: "Photo", name: str, values: Values) -> Result:
    """What the surface of this name is drawn from: cut out or not, as the values say."""
    made = SURFACES[name].make(photo)
    if is_cut_out(name):
        return replace(made, person_mask=photo.mask if values["foreground"] == "auto" else None)
    return made


def results(photo: "Photo", values: Values) -> dict[str, Result]:
    """All results of a photo, each cut out or not, as the values say."""
    return {name: result(photo, name, values) for name in photo.results}


def options(visit: "Visit", photo: "Photo", name: str, values: Values) -> dict[str, Any]:
    """The keyword arguments of the picture() of that result."""
    chosen = controls.options(name, values["style"], values)
    if name == background.TASK:
        chosen["background"] = background.chosen(visit, values)
    if name == "pose":
        chosen |= pose_panel.options(values, photo.results["pose"])
    if name == "recoloured" and chosen["part"] not in parts_there(photo):
        chosen["part"] = None  # the largest
    return chosen


def parts_there(photo: "Photo") -> list[str]:
    """What of a photo can be recoloured, the largest part first."""
    return _recoloured(photo).parts()


def look(visit: "Visit", photo: "Photo", name: str, values: Values) -> tuple:
    """What its picture and files depend on: as long as this stays the same, they do."""
    names = ("style", "foreground", *controls.names(name), *EXTRA_INPUTS.get(name, ()))
    made_of = [id(result) for result in photo.results.values()]
    return (made_of, id(photo.mask), id(visit.background), [str(values[one]) for one in names])
