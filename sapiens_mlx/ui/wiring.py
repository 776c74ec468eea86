"""Which event does what where the tabs do the same: Run, the examples, Stop; and how events share the machine."""

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from .tab import RunActions, RunView

MODEL: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1}  # shared by every event that runs a network
DRAWING: dict[str, Any] = {"concurrency_id": "drawing", "concurrency_limit": 2}
PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


def connect_run(
    view: RunView,
    do: RunActions,
    examples: Sequence[gr.Button],
    taken: Sequence[gr.blocks.Block],
    turns: Mapping[str, Any] = MODEL,
    also: Sequence[Any] = (),
    **event: Any,
) -> list[gr.events.Dependency]:
    """Connect Run, and the examples, each of which is taken and then run.

    Args:
        examples: their buttons, of which there may be none.
        taken: what taking an example changes.
        turns: with which other events it takes turns.
        also: other triggers after which there is a run.
        event: of the run: its inputs and outputs, and how its progress is shown.

    Returns:
        The runs, for Stop to cancel.
    """
    # Of an example pressed while another one runs, "multiple" keeps the run: it comes when that one has ended.
    again = "multiple"

    def runs_after(trigger: Any, asks: str = "once", runs: str = "always_last") -> gr.events.Dependency:
        """The run that begins when `trigger` comes. `asks` and `runs` are trigger modes: a second press that comes
        before the first is answered is none; one at the very end of a run, when Gradio has not closed it yet, is kept.
        """
        waiting = [view.status, view.run, view.stop]
        run = trigger(
            do.run_asked, None, waiting, queue=False, scroll_to_output=True, trigger_mode=asks, **PRIVATE
        ).then(do.run, **event, trigger_mode=runs, api_visibility="private", **turns)
        run.failure(do.not_taken, None, waiting, queue=False, **PRIVATE)
        return run

    running = [runs_after(trigger) for trigger in (view.run.click, *also)]
    if examples:
        clicks = [button.click for button in examples]
        # One at a time, each with the time of the press: requests of one browser may overtake each other. By the clock
        # that counts from the page's opening, as a visit does, and is never set back.
        time_ms = gr.Number(visible=False)
        pressed = gr.on(
            clicks,
            do.example_taken,
            time_ms,
            taken,
            js="() => performance.now()",
            trigger_mode=again,
            **PRIVATE,
            concurrency_limit=1,
        )
        running.append(runs_after(pressed.success, again, again))
    return running


def connect_stop(
    view: RunView, do: RunActions, running: Sequence[gr.events.Dependency], outputs: Sequence[gr.blocks.Block]
) -> None:
    """Connect Stop, which ends whichever of `running` is under way; `outputs` are what the end changes.

    "Stopped", and with it Run, comes when Gradio has cancelled the event, and through the queue, so after
    its last report. Otherwise that report would stand, or the next run would be the one that is cancelled.
    """
    view.stop.click(do.stopping, None, None, cancels=list(running), queue=False, **PRIVATE).then(
        do.stopped, None, outputs, concurrency_limit=None, **PRIVATE
    )
