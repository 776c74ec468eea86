"""What the runs of several tabs share: how a step is named, and where people are, for pictures of them alone."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from ..errors import SapiensError
from ..tasks.base import Result
from . import controls
from .problems import sentence
from .progress import Step
from .visit import Photo

CUT_OUT = (*controls.CUT_OUT, "features")  # tasks whose pictures can be of people alone
SOURCES = ("seg", "matting")  # tasks that tell where people are
NOT_CUT_OUT = "People are not cut out:"
NO_WEIGHTS = "the weights of Body parts are not on this machine. Run Body parts once in the Studio to get them."


def named(name: str, now: Step) -> Step:
    """The step with what it is of; all of it where the name is empty."""
    return replace(now, words=f"{name}: {now.words}") if name else now


def made_with(result: Result) -> tuple[str, str]:
    """Its size and level."""
    return result.report.size, result.report.level


def is_found(photo: Photo, result: Result) -> bool:
    """Whether it is known where people are, as the size and level of the result see it."""
    return photo.mask is not None and photo.mask_of == made_with(result)


def find_people(
    photo: Photo, result: Result, weights: str | None, follow: Callable[..., Generator[Any, None, Any]]
) -> Generator[Any, None, str]:
    """Put into `photo.mask` where people are, as the size and level of a result see it: from seg or matting where they
    ran, else by a run of one.

    Args:
        weights: a folder or None, as for Predictor.
        follow: the tab's `_follow` of that photo.

    Returns:
        Why there is no mask, as a sentence that the reports of the results concerned say too; "" where there is one.
    """
    if is_found(photo, result):
        return ""
    found, why = None, NO_WEIGHTS
    try:
        found = yield from _found(photo, result, weights, follow)
    except SapiensError as problem:  # the result is there all the same
        why = sentence(problem)
    photo.mask, photo.mask_of = None if found is None else found.foreground_mask(), made_with(result)
    told = f"{NOT_CUT_OUT} {why}" if found is None else ""
    for task in CUT_OUT:
        if task in photo.results:
            report = photo.results[task].report
            report.notices = [*_others(report.notices), told] if told else _others(report.notices)
    return told


def _found(
    photo: Photo, result: Result, weights: str | None, follow: Callable[..., Generator[Any, None, Any]]
) -> Generator[Any, None, Any]:
    """The result that has the mask; None where there are no weights for one."""
    from ..predictor import Predictor, Prepared

    for task in SOURCES:
        if task in photo.results and made_with(photo.results[task]) == made_with(result):
            return photo.results[task]
    source = Predictor(result.report.task, *made_with(result), weights).mask_source()
    if source is None:
        return None
    return (yield from follow(source.submit(Prepared(photo.rgb)), partial(named, "Cutting out people")))


def notices(result: Result, values: Mapping[str, Any]) -> list[str]:
    """Those of its report; that people are not cut out only where they are to be."""
    told = result.report.notices
    return list(told) if values["foreground"] == "auto" else _others(told)


def _others(told: list[str]) -> list[str]:
    return [notice for notice in told if not notice.startswith(NOT_CUT_OUT)]
