"""Click anything, for the page: what the results say about a place and between two, as HTML, and the places marked."""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ...probe import Distance, NearJoint, NearKeypoint, Reading, Vector

HINT = "In the views Picture and Photo, press any place to read it, and a second one for the distance between them."
ONE_MORE = "Press a second place for the distance between the two."
LEVEL = "Camera taken as level. Metres are the network's estimate."
OFF_PERSON = "Not on a person: normal, depth and albedo mean little here."
NO_DISTANCE = "No distance: for both places there must be a depth. Run Depth, and press people."
NOTHING = "None of the results says anything about this place."

INK, PAPER = (0, 0, 0), (255, 255, 255)
LABEL = (15, 118, 110)  # the page's green, on which white reads


def told(readings: Sequence["Reading"]) -> str:
    """What stands beside the picture: what to do, what one place is, or what two are and how far apart they lie."""
    from ...probe import between

    if not readings:
        return f'<section class="probe"><p class="told">{HINT}</p></section>'
    places = "".join(_place(one, number) for number, one in enumerate(readings, start=1))
    if len(readings) == 1:
        return f'<section class="probe" role="status">{places}<p class="told">{ONE_MORE}</p></section>'
    known = all(one.position_m is not None for one in readings)
    apart = distance(between(*readings)) if known else f'<p class="told">{NO_DISTANCE}</p>'
    return f'<section class="probe" role="status">{apart}{places}</section>'


def distance(found: "Distance") -> str:
    """How far place 2 is from place 1."""
    vertical = _centimetres(abs(found.vertical_cm))
    side = "" if vertical == _centimetres(0) else f" (2 is {'higher' if found.vertical_cm > 0 else 'lower'})"
    rows = {
        "Straight": _centimetres(found.straight_cm),
        "Horizontal": _centimetres(found.horizontal_cm),
        "Vertical": vertical + side,
    }
    return f'<div><h3>From 1 to 2</h3>{_list(rows)}<p class="told">{LEVEL}</p></div>'


def _place(one: "Reading", number: int) -> str:
    rows = {
        "Body part": escape(one.part.replace("_", " ").capitalize()) if one.part else "",
        "Keypoint": _keypoint(one.keypoint) if one.keypoint else "",
        "Joint": _joint(one.joint) if one.joint else "",
        "Depth": _metres(one.depth_m) if one.depth_m is not None else "",
        "Position": _position(one.position_m) if one.position_m else "",
        "Normal": _normal(one.normal) if one.normal else "",
        "Albedo": _albedo(one.albedo) if one.albedo else "",
        "Opacity": f"{one.alpha:.0%}" if one.alpha is not None else "",
    }
    rows = {name: text for name, text in rows.items() if text}
    guessed = one.on_person is False and any(name in rows for name in ("Depth", "Normal", "Albedo"))
    note = f'<p class="aside">{OFF_PERSON}</p>' if guessed else ""
    body = _list(rows) if rows else f'<p class="told">{NOTHING}</p>'
    return f"<div><h3>Place {number} <small>at {int(one.x)}, {int(one.y)} px</small></h3>{body}{note}</div>"


def _list(rows: dict[str, str]) -> str:
    return "<dl>" + "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in rows.items()) + "</dl>"


def _keypoint(near: "NearKeypoint") -> str:
    name = escape(near.name.replace("_", " ").capitalize())
    return f"{name} of person {near.person + 1}, {near.distance_px:.0f} px away, score {near.score:.2f}"


def _joint(near: "NearJoint") -> str:
    name = escape(near.name.replace("_", " ").capitalize())
    return f"{name} of hand {near.hand + 1}, a {near.side} one, {near.distance_px:.0f} px away"


def _position(position_m: "Vector") -> str:
    """From where the camera stands."""
    x, y, z = position_m
    across, along = "right" if x >= 0 else "left", "down" if y >= 0 else "up"
    return f"{_metres(abs(x))} {across}, {_metres(abs(y))} {along}, {_metres(z)} away"


def _normal(unit: "Vector") -> str:
    """Such as "0.50 right, 0.10 up, 0.86 towards the camera"."""
    names = (("right", "left"), ("up", "down"), ("towards the camera", "away from it"))
    return ", ".join(
        f"{abs(value):.2f} {ahead if value >= 0 else back}" for value, (ahead, back) in zip(unit, names, strict=True)
    )


def _albedo(rgb: "Vector") -> str:
    hexadecimal = "#" + "".join(f"{round(255 * min(1.0, max(0.0, value))):02x}" for value in rgb)
    return f'<i class="swatch" style="background:{hexadecimal}" aria-hidden="true"></i>{hexadecimal}'


def _metres(metres: float) -> str:
    return f"{metres:.2f} m"


def _centimetres(centimetres: float) -> str:
    return f"{centimetres:.1f} cm" if centimetres < 1000 else f"{centimetres:.0f} cm"


def marked(picture_rgb: np.ndarray, points_xy: Sequence[tuple[float, float]], scale: float) -> np.ndarray:
    """A copy of the picture with its places ringed and numbered, and a line from the first to the second.

    Args:
        picture_rgb: (h, w, 3) uint8, the photo or a picture of it, as large as it is shown.
        points_xy: one place or two, in pixels of the photo, from its left and its top edge.
        scale: pixels of the picture by pixels of the photo.
    """
    import cv2  # with the drawing, what the page does without until its first run

    from ...tasks import draw

    marked_rgb = picture_rgb.copy()
    height, width = marked_rgb.shape[:2]
    line = draw.line_width_px((height, width))
    ring, px = max(8, 5 * line), draw.text_px((height, width))
    places = [(x * scale, y * scale) for x, y in points_xy]
    sixteenths = [tuple(round(16 * (value - 0.5)) for value in place) for place in places]  # OpenCV's own fractions
    for colour, wide in ((INK, 3 * line), (PAPER, line)):  # white with a black rim reads on anything
        if len(places) == 2:
            start, end = _outside_rings(places, ring)
            cv2.line(marked_rgb, start, end, colour, wide, cv2.LINE_AA, shift=4)
        for centre in sixteenths:
            cv2.circle(marked_rgb, centre, 16 * ring, colour, wide, cv2.LINE_AA, shift=4)
    for number, (x, y) in enumerate(places):
        other_x = places[1 - number][0] if len(places) == 2 else 0.0
        to_right = (x >= other_x and x < width - 4 * ring - px) or x < 4 * ring + px  # away from the line, where room
        at_x = x + (1 if to_right else -1) * 1.4 * ring
        draw.draw_text(marked_rgb, f" {number + 1} ", (at_x, y), px, PAPER, LABEL, "lm" if to_right else "rm")
    return marked_rgb


def _outside_rings(places: list[tuple[float, float]], ring: float) -> tuple[tuple[int, int], tuple[int, int]]:
    """Both ends of the line, in sixteenths of a pixel: it stops at the rings, so that the places stay clear."""
    start, end = np.array(places) - 0.5
    length = max(float(np.hypot(*(end - start))), 1e-6)
    cut = (end - start) * min(0.5, ring / length)
    (x1, y1), (x2, y2) = (np.rint(16 * one).astype(int).tolist() for one in (start + cut, end - cut))
    return (x1, y1), (x2, y2)
