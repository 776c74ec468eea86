"""What the Studio can show of a photo: the picture of each task, and what is made of those. One row a surface."""

import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ... import zoo
from ...tasks.base import Result
from .. import background, controls, steps
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
        chosen |= pose_panel.options(of_pose(visit, photo, values), photo.results["pose"])
    if name == "recoloured" and chosen["part"] not in parts_there(photo):
        chosen["part"] = None  # the largest
    return chosen


def notices(visit: "Visit", photo: "Photo", name: str, values: Values) -> list[str]:
    """What there is to know about a surface, or about all results, each once."""
    tasks = list(photo.results) if name == ALL else [SURFACES[name].needs]
    told = [notice for task in tasks for notice in steps.notices(photo.results[task], values)]
    if background.TASK in tasks and background.is_missing(visit, values):
        told.append(background.MISSING)
    return list(dict.fromkeys(told))


def parts_there(photo: "Photo") -> list[str]:
    """What of a photo can be recoloured, the largest part first."""
    return _recoloured(photo).parts()


def of_pose(visit: "Visit", photo: "Photo", values: Values) -> Values:
    """The values for the pose of a photo: where the people who can be chosen now are another pose's, everybody."""
    pose = photo.results.get("pose")
    return values if pose is None or pose is visit.posed else {**values, **pose_panel.everybody(pose)}


@dataclass(frozen=True, eq=False)
class Look:
    """What a picture and its files depend on: as long as this is the same, they are.

    `made_of` are the results and arrays, weakly: what has been replaced is not kept for this. Another that comes in its
    place is not the same, wherever it lies in memory.
    """

    made_of: "tuple[weakref.ref | None, ...]"
    chosen: tuple[str, ...]

    def is_same(self, now: "Look") -> bool:
        """Whether this is the look `now`, of which everything is there still."""
        if self.chosen != now.chosen or len(self.made_of) != len(now.made_of):
            return False
        pairs = zip(self.made_of, now.made_of, strict=True)
        return all(new is old if new is None or old is None else new() is old() for old, new in pairs)


def look(visit: "Visit", photo: "Photo", name: str, values: Values) -> Look:
    """That of a surface, or of the sheet of all results."""
    values = of_pose(visit, photo, values)
    shown = photo.results if name == ALL else (name,)
    names = [one for task in shown for one in (*controls.names(task), *EXTRA_INPUTS.get(task, ()))]
    made_of = (*photo.results.values(), photo.mask, visit.background)
    refs = tuple(None if one is None else weakref.ref(one) for one in made_of)
    return Look(refs, tuple(str(values[one]) for one in ("style", "foreground", *names)))
