"""Asks for the licences of weights before they are downloaded, once on a machine."""

import argparse
import sys
from collections.abc import Iterable

from ..errors import LicencesError
from ..predictor import Predictor
from ..weights import consent
from . import terminal


def ask(options: argparse.Namespace, predictors: Iterable[Predictor]) -> None:
    """Shows what there is to accept for what would be downloaded, and goes on once it is accepted.

    Raises:
        LicencesError: it is not, or there is nobody to ask.
        SapiensError: a package that a task needs is not installed.
    """
    lines = list(dict.fromkeys(line for one in predictors for line in one.to_accept()))
    if not lines:
        return
    if options.accept_licences:
        for line in lines:
            terminal.note(f"accepted by --accept-licences: {line}")
    elif sys.stdin is not None and sys.stdin.isatty():
        terminal.say("The weights for hands come from others, each under a licence of its own:")
        for line in lines:
            terminal.say(f"  {line}")
        if not terminal.agrees("Accept them and download?"):
            raise LicencesError("Nothing was downloaded: the licences were not accepted.")
    else:
        consent.check()
    consent.accept()
