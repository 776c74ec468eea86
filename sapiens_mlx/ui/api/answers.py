"""What programs are told: a sentence, and nothing of this machine."""

import logging

import gradio as gr

from ...errors import CancelledError, SapiensError
from ..outside import for_others

log = logging.getLogger(__name__)


def told(problem: Exception) -> gr.Error:
    """A problem as programs hear of it: a sentence, and nothing of this machine."""
    if isinstance(problem, gr.Error):
        return problem
    if isinstance(problem, CancelledError):
        return gr.Error("The call was stopped.", print_exception=False)
    if isinstance(problem, SapiensError):
        return gr.Error(for_others(str(problem)), print_exception=False)
    log.error("A call of the page's API failed", exc_info=problem)
    if isinstance(problem, OSError) and problem.strerror:
        return gr.Error(
            f"The server could not use a file of its own ({problem.strerror}). Please tell those who run it, and try "
            "again later.",
            print_exception=False,
        )
    return gr.Error(
        "Something unexpected went wrong. The log of the server says what; please try again.", print_exception=False
    )
