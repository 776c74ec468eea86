"""Licences that are shown and accepted before weights are downloaded: the panel of a tab, and when it is wanted; and
what is said where there is no panel."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import gradio as gr

from .. import zoo
from ..errors import LicencesError, SapiensError
from ..hosted import is_hosted
from . import words
from .problems import raised
from .visit import Visit

if TYPE_CHECKING:
    from ..predictor import Predictor

WAITING = "Not run yet: there are licences to accept"
ELSEWHERE = "The tab Studio asks for these licences before the first download."


@dataclass(frozen=True)
class Asking:
    """The components of the panel. It is hidden until show(), and hidden again by hide()."""

    panel: gr.Column
    told: gr.HTML
    accept: gr.Button

    def show(self, download_bytes: int) -> dict:
        """Updates that ask, naming about what is going to be downloaded."""
        return {self.panel: gr.update(visible=True), self.told: words.to_accept(download_bytes, is_hosted())}

    def hide(self) -> dict:
        return {self.panel: gr.update(visible=False)}


def build() -> Asking:
    """The panel, hidden, in the current Blocks."""
    with gr.Column(visible=False, elem_classes="consent") as panel:
        told = gr.HTML()
        accept = gr.Button("Accept and run", variant="primary", scale=0, min_width=180, elem_classes="accept")
    return Asking(panel, told, accept)


def is_wanted(visit: Visit, predictor: "Predictor") -> bool:
    """Whether the visitor is to be asked before this one, of hands, runs.

    On one's own machine that is once, before the first download, and never where all files are there. On a Space it is
    each visitor, once a visit, since the terms are for whoever uses the weights, and who came before has downloaded
    them. Where a package is missing nobody is asked: the run says so.
    """
    try:
        to_accept = predictor.to_accept()
    except SapiensError:
        return False
    return bool(to_accept) or (is_hosted() and not visit.accepted)


def check(studio: Visit, predictors: Iterable["Predictor"]) -> None:
    """Before a tab without the panel runs hands: whether the visitor has accepted in the Studio, by the visit of that.

    Raises:
        LicencesError: not yet; it says where that is done.
        SapiensError: the package is not installed.
    """
    if any([one.to_accept() for one in predictors]) or (is_hosted() and not studio.accepted):
        raise LicencesError(
            f"{_to_be_accepted()} Accept them in the tab Studio, which asks when Hands are ticked and run; on the "
            "command line --accept-licences does."
        )


def check_call(predictors: Iterable["Predictor"], accepts: bool) -> None:
    """Before an endpoint runs these: whether the licences of hands are accepted, where one of them is of hands.

    On a Space each call says so by itself, since what a visitor has accepted is not the next one's. Elsewhere one that
    does is remembered, as with --accept-licences.

    Raises:
        LicencesError: they are not; it says how a call accepts them.
        SapiensError: the package is not installed.
    """
    from ..weights import consent

    of_hands = [one for one in predictors if one.task == zoo.HANDS.name]
    to_accept = any([one.to_accept() for one in of_hands])
    if accepts:
        if to_accept:
            consent.accept()
    elif is_hosted() and of_hands:
        raise LicencesError(f"{_to_be_accepted()} Send accept_licences=True with each call to accept them.")
    elif to_accept:
        raise LicencesError(
            f"{_to_be_accepted()} Send accept_licences=True to accept them; the tab Studio asks for them too, and on "
            "the command line --accept-licences does."
        )


def _to_be_accepted() -> str:
    """The licences, in a sentence that says what is to be done with them."""
    from ..weights import consent

    when = "by each who uses them" if is_hosted() else "before the first download"
    return consent.sentence(when)


def accept(visit: Visit) -> None:
    """The visitor has accepted them.

    Raises:
        gr.Error: that cannot be remembered, so nothing would be downloaded.
    """
    from ..weights import consent

    try:
        consent.accept()
    except SapiensError as problem:
        raise raised(problem, "That could not be remembered") from problem
    visit.accepted = True
