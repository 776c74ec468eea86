"""A problem as what the page shows: a sentence for the visitor, and the rest for the log of the server."""

import logging
from html import escape

import gradio as gr

from ..errors import (
    BoxError,
    CancelledError,
    ClipError,
    ImageError,
    SapiensError,
    WeightsError,
    WeightsMissingError,
    is_memory_full,
)
from . import words
from .outside import for_others

log = logging.getLogger(__name__)

SHORTENED = "The log of the server has the folders in full."  # whoever runs the page may be the one who reads this
OF_VISITORS = (BoxError, ClipError, ImageError)  # their own files, whose names no log is to keep
PROBLEM = "That did not work"
MEMORY_FULL = (
    "There is not enough memory on the server for this now. Take a smaller photo, or fewer at once, or try again later."
)


def explained(problem: Exception, moved_on: bool = False) -> str:
    """The status for whatever ended an event. What nobody foresaw is logged, and never shown to the visitor.

    Args:
        moved_on: the visitor has taken another photo or closed the page meanwhile, which has simply stopped the event,
            whatever the problem is.
    """
    if moved_on or isinstance(problem, CancelledError):
        return words.line("Stopped", kind="stopped")
    missing = isinstance(problem, WeightsMissingError)
    return noticed(problem, "The weights are not on this machine" if missing else PROBLEM)


def noticed(problem: Exception, title: str) -> str:
    """The same as a notice of that title."""
    return words.notice(sentence(problem), title)


def raised(problem: Exception, title: str = PROBLEM) -> gr.Error:
    """The same to be raised, where what would come next is not to come."""
    return gr.Error(escape(sentence(problem), quote=False), title=title, print_exception=False)  # Gradio takes HTML


def sentence(problem: Exception) -> str:
    """What the visitor is told. What that leaves out is logged: folders, and all of what was not foreseen."""
    if isinstance(problem, SapiensError):
        whole = str(problem)
        told = for_others(whole)
        if told == whole or isinstance(problem, OF_VISITORS):
            return told
        log.warning("Told to a visitor without the folders: %s", whole)
        return f"{told} {SHORTENED}" if isinstance(problem, WeightsError) else told
    log.error("An event of the page failed", exc_info=problem)
    if is_memory_full(problem):  # outside a run, which tells which smaller network fits
        return MEMORY_FULL
    if isinstance(problem, OSError) and problem.strerror and not isinstance(problem, ConnectionError | TimeoutError):
        return f"The server could not read or write a file ({problem.strerror}). Please try again later."
    return "Something unexpected went wrong. The log of the server says what; please try again."
