"""What a frame of the video shows: the result over the frame, beside it, or alone."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..tasks import draw
from ..tasks.base import Result

OVERLAY_OPACITY = 0.6  # of a task's picture over people where it covers all of them
DIMMED = 0.25  # what a cut-out leaves of the brightness of everything else


def shown(result: Result, view: str, numbers: list[int] | None, **options: Any) -> np.ndarray:
    """One frame of the video, (H, W, 3) uint8, or twice as wide and a little more for "side-by-side".

    Args:
        numbers: of the people, for the tasks about them.
        options: of the result's picture().
    """
    if numbers is not None:
        options["numbers"] = numbers
    if result.NAME == "seg":
        options["legend"] = False  # it would jump: parts come and go
    if view == "side-by-side":
        return draw.side_by_side(result.photo_rgb, result.picture(**options))
    return (_ALONE if view == "alone" else _OVER).get(result.NAME, _as_it_is)(result, options)


def _as_it_is(result: Result, options: dict[str, Any]) -> np.ndarray:
    return result.picture(**options)


def _on_black(result: Result, options: dict[str, Any]) -> np.ndarray:
    return result.picture(np.zeros_like(result.photo_rgb), **options)


def _solid_on_black(result: Result, options: dict[str, Any]) -> np.ndarray:
    return result.picture(np.zeros_like(result.photo_rgb), **options | {"opacity": 1.0})


def _over_people(result: Result, options: dict[str, Any]) -> np.ndarray:
    """The picture over people where it is known where they are, else over everything."""
    picture = draw.blend(result.photo_rgb, result.picture(**options), OVERLAY_OPACITY)
    if result.person_mask is not None:
        picture = np.where(result.person_mask[..., None], picture, result.photo_rgb)
    return picture


def _lit(result: Any, options: dict[str, Any]) -> np.ndarray:
    """People as they are and everything else dimmed; over a background of one's choice, where there is one."""
    if options.get("background") is not None:
        return result.picture(**options)
    light = DIMMED + (1 - DIMMED) * result.alpha[..., None]
    return np.rint(result.photo_rgb * light).astype(np.uint8)


_Drawn = dict[str, Callable[[Result, dict[str, Any]], np.ndarray]]
_ALONE: _Drawn = {"pose": _on_black, "detect": _on_black, "hands": _on_black, "seg": _solid_on_black}
_OVER: _Drawn = {
    "normal": _over_people,
    "pointmap": _over_people,
    "albedo": _over_people,
    "features": _over_people,
    "matting": _lit,
}
