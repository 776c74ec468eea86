"""Numbers of the 29 classes by name, from the project's own table."""

from sapiens_mlx.tasks.seg import classes

_NUMBER = {name.upper(): number for number, name in enumerate(classes().names)}
BACKGROUND = 0
APPAREL, EYEGLASS, FACE_NECK, HAIR = (_NUMBER[name] for name in ("APPAREL", "EYEGLASS", "FACE_NECK", "HAIR"))
TORSO, UPPER_CLOTHING, LOWER_CLOTHING = (_NUMBER[name] for name in ("TORSO", "UPPER_CLOTHING", "LOWER_CLOTHING"))
UPPER_LIP, LOWER_LIP, TONGUE = (_NUMBER[name] for name in ("UPPER_LIP", "LOWER_LIP", "TONGUE"))
UPPER_TEETH, LOWER_TEETH = _NUMBER["UPPER_TEETH"], _NUMBER["LOWER_TEETH"]

SKIN = tuple(
    number
    for name, number in _NUMBER.items()
    if name in ("FACE_NECK", "TORSO") or name.endswith(("_ARM", "_LEG", "_HAND", "_FOOT"))
)


def sided(part: str) -> tuple[int, int]:
    """Numbers of a part's left and right, as in sided("UPPER_ARM")."""
    return _NUMBER[f"LEFT_{part}"], _NUMBER[f"RIGHT_{part}"]
