"""What commands say beside their results, on standard error: notes, and one line that shows how far the work is.

Standard error may be closed, or nobody may read it any more: that stops no work.
"""

import sys
from contextlib import suppress
from typing import Any

from ..runtime import Progress, no_progress

CLEAR = "\r\x1b[K"


def is_watched() -> bool:
    """Whether there is somebody at a terminal, who sees a line change."""
    return sys.stderr is not None and sys.stderr.isatty()


def line(text: str) -> None:
    """Shows `text` in place of the line before, where somebody watches."""
    if is_watched():
        _write(CLEAR + text)


def clear() -> None:
    """Takes the line away."""
    line("")


def say(text: str) -> None:
    """A line that stays, in place of the one that changes."""
    _write(f"{CLEAR if is_watched() else ''}{text}\n")


def note(text: str) -> None:
    """What concerns every photo alike: once, and where it does not get into what other programs read."""
    say(f"note: {text}")


def agrees(question: str) -> bool:
    """Whether whoever sits at the terminal answers yes; standard input has to be open."""
    _write(f"{CLEAR if is_watched() else ''}{question} [y/N] ")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def progress_line() -> Progress:
    """Shows how far the work is in one line of a terminal. Elsewhere it only says what is going to be downloaded."""
    if sys.stderr is None:
        return no_progress
    told: set[tuple[str, str]] = set()

    def show(stage: str, done: float, total: float) -> None:
        if stage == "download":
            from ..weights import locate

            coming = locate.coming
            if coming is not None and (coming.repo, coming.notice) not in told:
                told.add((coming.repo, coming.notice))
                note(coming.sentence(total))
        amount = f"{done / 1e9:.1f} of {total / 1e9:.1f} GB" if stage == "download" else f"{done:.0f}/{total:.0f}"
        line(f"{stage} {amount}")

    return show


def _write(text: str) -> Any:
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            sys.stderr.write(text)
            sys.stderr.flush()
