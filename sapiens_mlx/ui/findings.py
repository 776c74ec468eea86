"""What a result says in one line, for the card of what was run."""

from collections.abc import Callable
from typing import Any

from .. import zoo
from ..tasks.base import Result


def findings(result: Result) -> str:
    """Such as "2 people, 501 of 616 keypoints above 0.3"; empty where the picture says it all."""
    return _FINDINGS.get(result.report.task, lambda _: "")(result)


def _seg(result: Any) -> str:
    return f"{_count(len(result.shares()), 'part', 'parts')}, on {result.foreground_mask().mean():.0%} of the photo"


def _pose(result: Any) -> str:
    above = int((result.keypoint_scores > zoo.DEFAULTS.keypoint_threshold).sum())
    points = f"{above} of {result.keypoint_scores.size} keypoints above {zoo.DEFAULTS.keypoint_threshold}"
    return f"{_people(result)}, {points}"


def _pointmap(result: Any) -> str:
    near, far = result.depth_range_m()
    return (
        f"{near:.2f} to {far:.2f} m away; the camera sees {result.fov_deg:.0f}° across. "
        "Metres are the network's estimate, and differ a little from photo to photo."
    )


def _features(result: Any) -> str:
    rows, columns, channels = result.features.shape
    return (
        f"{columns} x {rows} patches, {channels} numbers each; the colours hold {result.components.share:.0%} of their "
        "variance"
    )


def _hands(result: Any) -> str:
    sides = [f"{result.sides.count(side)} {side}" for side in ("left", "right") if side in result.sides]
    return f"{_count(len(result), 'hand', 'hands')}{': ' if sides else ''}{', '.join(sides)}"


def _people(result: Any) -> str:
    return _count(len(result.boxes_xyxy), "person", "people")


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


_FINDINGS: dict[str, Callable[[Any], str]] = {
    "seg": _seg,
    "pose": _pose,
    "pointmap": _pointmap,
    "features": _features,
    "detect": _people,
    "hands": _hands,
}
