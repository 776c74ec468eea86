"""Whose weights a task runs with: the licences as links, and whether those that have to be accepted were."""

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

from .. import zoo
from . import words

if TYPE_CHECKING:
    from ..predictor import Predictor

ASKED = (
    f"Where they are not here, they come from {zoo.WILOR_POSE.repo} and {zoo.WILOR_MINI.repo}. The tab Studio asks for "
    "these licences before the first download."
)


def links(task: str, size: str) -> str:
    """The licence of a network's weights; of hands those of all its parts, each with what it is of."""
    if task != zoo.HANDS.name:
        return words.licence(zoo.checkpoint(task, size).licence)
    return "; ".join(f"{escape(what)}: {words.licence(row)}" for what, row in zoo.HANDS_LICENCES.items())


def check(predictors: Iterable["Predictor"]) -> None:
    """Before a run that downloads what has licences of its own: whether they were accepted.

    Raises:
        LicencesError: they were not; it says where that is done.
        SapiensError: a package that a task needs is not installed.
    """
    from ..weights import consent

    if any([one.to_accept() for one in predictors]):
        consent.check()
