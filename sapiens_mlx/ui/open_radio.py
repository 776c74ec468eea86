"""A Radio whose offer changes while events are under way."""

from typing import Any

import gradio as gr

from .. import zoo


class OpenRadio(gr.Radio):
    """A gr.Radio that takes any size or level there is from the browser, whatever is offered just now.

    Gradio checks a value against what is offered when it arrives. An event that was sent just before the offer changed,
    another task has other sizes, would fail then, and the visitor would be told so.
    """

    # No __init__ of its own: Gradio reads its signature for what an update may change.
    KNOWN = frozenset((*zoo.SIZES, *zoo.task_row("detect").sizes, *zoo.HANDS.sizes, *zoo.LEVELS))

    def get_block_name(self) -> str:
        return "radio"  # in the browser it is one

    def preprocess(self, payload: Any) -> Any:
        return payload if isinstance(payload, str) and payload in self.KNOWN else super().preprocess(payload)
