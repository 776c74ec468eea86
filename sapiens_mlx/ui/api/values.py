"""What programs send, checked: a wrong value is told in a sentence."""

import reprlib
from collections.abc import Sequence
from typing import Any

from ...errors import SapiensError


def names(argument: str, value: Any) -> list[str]:
    """Names given as a list or with commas; none for None. Raises SapiensError for anything else."""
    if value is None:
        return []
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise SapiensError(f"{argument} is {_brief(value)}. Give names as a list, or as a text with commas.")
    return [part.strip() for part in parts if part.strip()]


def colour(background: Any) -> str:
    """ "blur" or a colour; SapiensError for the name of a file, which would be one of this machine."""
    from PIL import ImageColor

    if background == "blur":
        return background
    try:
        ImageColor.getrgb(background)
    except (ValueError, TypeError, AttributeError) as problem:
        raise SapiensError(
            f"The background {_brief(background)} is not known. Give none, blur or a colour (#00b140 or its name), or "
            "send a picture as background_picture."
        ) from problem
    return background


def check_choice(argument: str, value: Any, choices: Sequence[str]) -> None:
    if not (isinstance(value, str) and value in choices):
        raise SapiensError(f"{argument} is {_brief(value)}. Choose one of: {', '.join(choices)}.")


def check_number(argument: str, value: Any, least: float, most: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:  # nor is NaN
        raise SapiensError(f"{argument} is {_brief(value)}. Give a number from {least} to {most}.")


def check_count(argument: str, values: Any, most: int) -> None:
    if isinstance(values, list) and len(values) > most:
        raise SapiensError(f"{argument} are {len(values)}. Give at most {most}, and the others with another call.")


def _brief(value: Any) -> str:
    """A value as its sender may know it again: it may be megabytes long."""
    return reprlib.repr(value)
