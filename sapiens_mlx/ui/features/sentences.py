"""What the tab Features says: the way in, what is about to be run, what a press has found, the command line."""

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ... import zoo
from ...tasks.base import Report
from .. import words
from ..outside import DIR

if TYPE_CHECKING:
    from ...tasks.features import Similarity

SHOWS = (
    ("Colours", "what the network tells apart: the three main components of its features, as red, green and blue"),
    ("Click for similar", "press any pixel: how like it every other place looks to the network"),
    ("In another photo too", "add a second photo, and see where in it the same is"),
    ("Arrays", "a vector for every patch, and the tokens that stand for the whole photo"),
)
CLICK = "Press any place in a picture: all that looks like it to the network lights up."


def empty(photo_there: bool = False) -> str:
    """What stands where the pictures will be."""
    steps = ("Add a photo of people", "Add a second one, if you like", "Press Run")
    return words.empty_page("What does the network see?", steps, words.shows(SHOWS), photo_there)


def about(size: str, level: str, warning: str = "") -> str:
    """What is about to be run. `warning` says that it does not fit the memory."""
    row = zoo.SIZES[size]
    large = ""
    if row.tokenizer_layers:
        height, width = row.input_hw
        large = f"It takes {width} x {height} pixels: a smaller photo is enlarged, which adds no detail."
    return words.asides([warning, large]) + words.choice(["features"], size, level)


def told(own: "Similarity | None", other: "Similarity | None", which: int) -> str:
    """One line over the pictures: what to do or, after a click, what was asked for and found."""
    if own is None:
        return f'<p class="told">{CLICK}</p>'
    x, y = own.point_xy
    photo = ("the photo", "the second photo")[which] if other is not None else "the photo"
    text = f"Like the place at {x:.0f}, {y:.0f} of {photo}."
    if other is not None:
        text += f" The best match in the other photo has a cosine of {other.values.max():.2f}, and a ring around it."
    return f'<p class="told" role="status">{text}</p>'


def command(names: Sequence[str], report: Report, foreground: str, weights: str | None) -> str:
    """`python -m sapiens_mlx predict ...` for a shell, that writes the same colours and arrays."""
    parts = ["predict", *names, "--task", "features", "--size", report.size, "--level", report.level]
    if weights is not None:
        parts += ["--weights", DIR]
    parts += ["--out", "out"]
    if foreground != zoo.DEFAULTS.foreground:
        parts += ["--foreground", foreground]
    return f"python -m sapiens_mlx {shlex.join(parts)}"
