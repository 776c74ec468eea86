"""A problem as what the page shows: a sentence for the visitor, and the rest for the log of the server."""

import logging

from ..errors import CancelledError, SapiensError, WeightsMissingError
from . import words

log = logging.getLogger(__name__)


def explained(problem: Exception, moved_on: bool = False) -> str:
    """The status for whatever ended an event. What nobody foresaw is logged, and never shown to the visitor.

    Args:
        moved_on: the visitor has taken another photo or closed the page meanwhile, which has simply stopped the event,
            whatever the problem is.
    """
    if moved_on or isinstance(problem, CancelledError):
        return words.line("Stopped", kind="stopped")
    if isinstance(problem, WeightsMissingError):
        return words.notice(str(problem), "The weights are not on this machine")
    if isinstance(problem, SapiensError):
        return words.notice(str(problem))
    log.error("An event of the page failed", exc_info=problem)
    return words.notice("Something unexpected went wrong. The log of the server says what; please try again.")
