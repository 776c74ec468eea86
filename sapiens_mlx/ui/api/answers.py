"""What programs are told: a sentence, and nothing of this machine."""

import gradio as gr

from ...errors import CancelledError
from ..problems import sentence


def told(problem: Exception) -> gr.Error:
    """A problem as programs hear of it: what the page says of it, in a sentence."""
    if isinstance(problem, gr.Error):
        return problem
    if isinstance(problem, CancelledError):
        return gr.Error("The call was stopped.", print_exception=False)
    return gr.Error(sentence(problem), print_exception=False)
