"""A Radio whose offer changes while events are under way."""

from abc import ABCMeta
from typing import Any

import gradio as gr
from gradio.component_meta import ComponentMeta

from .. import zoo


class _Unwritten(ComponentMeta):
    """Gradio's own would write a .pyi beside this file, into the clone or among the installed packages, which type
    checkers would read in place of it. It has nothing else to add to a class without events of its own."""

    def __new__(cls, *of_class: Any) -> Any:
        return ABCMeta.__new__(cls, *of_class)


class OpenRadio(gr.Radio, metaclass=_Unwritten):
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
