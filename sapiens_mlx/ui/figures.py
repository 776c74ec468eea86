"""Small drawings (SVG) of what each task shows, for the page before its first picture. All of one drawn figure."""

# The figure's parts in drawing order: what it is, and the SVG shape. 60 x 84 units.
_LIMBS = (
    ("leg_left", "M34 46 L37 60 L37 76"),
    ("leg_right", "M26 46 L23 60 L23 76"),
    ("arm_left", "M36 27 L46 37 L50 25"),
    ("arm_right", "M24 27 L15 38 L16 50"),
)
_TORSO = "M23 24 Q30 21 37 24 L35.5 48 Q30 50 24.5 48 Z"
_HEAD = (30, 13, 7)

_GREY = {part: "#9aa7b2" for part in ("leg_left", "leg_right", "arm_left", "arm_right", "torso", "head")}
_PARTS = {
    "leg_left": "#4f7cff",
    "leg_right": "#2fb5d6",
    "arm_left": "#f0a202",
    "arm_right": "#e4572e",
    "torso": "#7c5cd6",
    "head": "#27a567",
}
_ALBEDO = {
    "leg_left": "#56709b",
    "leg_right": "#56709b",
    "arm_left": "#d9a066",
    "arm_right": "#d9a066",
    "torso": "#c8553d",
    "head": "#d9a066",
}
_JOINTS = (
    *((30, 13), (24, 27), (15, 38), (16, 50), (36, 27), (46, 37), (50, 25), (26, 46), (23, 60), (23, 76)),
    *((34, 46), (37, 60), (37, 76)),
)
_BONES = "M30 13 L30 25 M24 27 L36 27 M24 27 L15 38 L16 50 M36 27 L46 37 L50 25 M30 25 L26 46 L23 60 L23 76"
_BONES += " M26 46 L34 46 L37 60 L37 76"

# Of hands: the wrist and each finger from its root to its tip, and its colour in the pictures.
_FINGERS = (
    ("#e84855", "M30 76 L19 65 L11 55 L6 45"),
    ("#f5b041", "M30 76 L21 46 L18 32 L16 20"),
    ("#58c46c", "M30 76 L29 43 L29 27 L29 13"),
    ("#409cff", "M30 76 L37 45 L40 31 L42 19"),
    ("#ba68eb", "M30 76 L44 50 L50 39 L54 30"),
)
_PALM = "M30 76 L19 65 L21 46 L29 43 L37 45 L44 50 Z"

_GRADIENTS = {
    # As normals look: towards the camera violet, to its left and right green-blue and pink.
    "normal": (("0", "#6fd0c0"), ("0.45", "#8a8df5"), ("1", "#e07ab8")),
    "pointmap": (("0", "#3b3f9e"), ("0.35", "#2ab0b4"), ("0.7", "#c9d23e"), ("1", "#e2622b")),
}


def figure(task: str) -> str:
    """A decorative drawing of what `task` makes of a figure, as SVG text."""
    return f'<svg viewBox="0 0 60 84" aria-hidden="true" focusable="false">{_inside(task)}</svg>'


def _inside(task: str) -> str:
    if task == "seg":
        return _person(_PARTS)
    if task == "albedo":
        return _person(_ALBEDO)
    if task == "pose":
        points = "".join(f'<circle cx="{x}" cy="{y}" r="2.1" fill="#ffd21f" stroke="#111"/>' for x, y in _JOINTS)
        return f'{_person(_GREY, 0.45)}<path d="{_BONES}" fill="none" stroke="#0f8f83" stroke-width="1.6"/>{points}'
    if task == "hands":
        return _hand()
    if task == "detect":
        frame = '<rect x="9" y="4" width="46" height="77" fill="none" stroke="#2fae3f" stroke-width="2"/>'
        return _person(_GREY) + frame
    if task == "matting":
        squares = "".join(
            f'<rect x="{6 * column}" y="{6 * row}" width="6" height="6"/>'
            for row in range(14)
            for column in range(10)
            if (row + column) % 2
        )
        return f'<g fill="#8796a3" opacity="0.28">{squares}</g>{_person(_ALBEDO)}'
    return _gradient(task)


def _person(colours: dict[str, str], opacity: float = 1) -> str:
    limbs = "".join(f'<path d="{shape}" stroke="{colours[part]}"/>' for part, shape in _LIMBS)
    x, y, radius = _HEAD
    return (
        f'<g opacity="{opacity}"><g fill="none" stroke-width="6.5" stroke-linecap="round" stroke-linejoin="round">'
        f'{limbs}</g><path d="{_TORSO}" fill="{colours["torso"]}"/>'
        f'<circle cx="{x}" cy="{y}" r="{radius}" fill="{colours["head"]}"/></g>'
    )


def _hand() -> str:
    flesh = "".join(f'<path d="{shape}"/>' for _, shape in _FINGERS)
    bones = "".join(f'<path d="{shape}" stroke="{colour}"/>' for colour, shape in _FINGERS)
    joints = "".join(
        f'<circle cx="{x}" cy="{y}" r="2.2" fill="{colour}" stroke="#111" stroke-width="0.8"/>'
        for colour, shape in _FINGERS
        for x, y in (point.split() for point in shape.removeprefix("M").split(" L"))
    )
    return (
        f'<g fill="none" stroke="#9aa7b2" stroke-width="9" stroke-linecap="round" stroke-linejoin="round" '
        f'opacity="0.45">{flesh}<path d="{_PALM}" fill="#9aa7b2"/></g>'
        f'<g fill="none" stroke-width="1.8">{bones}</g>{joints}'
    )


def _gradient(task: str) -> str:
    """The figure as one surface: shaded across for normals, from near to far for depth."""
    name = f"figure-{task}"
    stops = "".join(f'<stop offset="{offset}" stop-color="{colour}"/>' for offset, colour in _GRADIENTS[task])
    across = 'x1="12" y1="0" x2="52" y2="0"' if task == "normal" else 'x1="0" y1="4" x2="0" y2="80"'
    colours = dict.fromkeys(_GREY, f"url(#{name})")
    return (
        f'<defs><linearGradient id="{name}" gradientUnits="userSpaceOnUse" {across}>{stops}</linearGradient></defs>'
        + _person(colours)
    )
