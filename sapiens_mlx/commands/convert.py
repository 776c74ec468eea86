"""`convert`: quantize a checkpoint once, to keep or to publish."""

import argparse
import json
import sys
from pathlib import Path

from ..convert import Outcome
from ..convert import convert as convert_weights
from ..errors import SapiensError
from ..weights import publish
from . import terminal


def convert(options: argparse.Namespace) -> int:
    """Writes the weights at another level, sends them where that is asked for, and returns the exit status."""
    if options.upload:
        _check_upload(options)
    outcome = convert_weights(
        options.source,
        options.task,
        options.size,
        options.level,
        out=options.out,
        repo=options.upload,
        weights=options.weights,
        progress=terminal.progress_line(),
    )
    terminal.clear()
    if not options.json:
        _print_conversion(outcome)
    uploaded = _upload(outcome.folder, options) if options.upload else None
    if options.json:
        print(json.dumps(outcome.to_json() | {"uploaded": uploaded}))
    elif options.upload:
        print(f"sent to {uploaded}" if uploaded else f"Nothing was sent; {outcome.folder} is kept.")
    return 0


def _print_conversion(outcome: Outcome) -> None:
    about = outcome.about
    how = "was there already" if outcome.was_there else f"{outcome.seconds:.1f} seconds"
    print(f"{about.task} {about.size} at {about.level}: {outcome.folder} ({how})")
    print(
        f"  {about.model_bytes / 1e6:,.1f} MB from {about.source.bytes / 1e6:,.1f} MB; "
        f"{100 * about.quantized_share:.1f} % of the weights quantized; "
        f"peak memory {outcome.peak_memory_bytes / 1e9:.1f} GB; weights: {about.licence}"
    )
    for path in outcome.files:
        print(f"  {path}")


def _check_upload(options: argparse.Namespace) -> None:
    """Refuses before minutes of work what could not be sent after them."""
    if options.out is None:
        raise SapiensError("--upload sends the folder that --out names: add --out DIR.")
    if not (options.yes or (sys.stdin is not None and sys.stdin.isatty())):
        raise SapiensError("--upload asks before it sends, and this is no terminal. Add --yes to send without asking.")
    publish.check_upload(options.upload)


def _upload(folder: Path, options: argparse.Namespace) -> str | None:
    """The address of what was sent; None when the user would rather not."""
    terminal.say(publish.plan(folder, options.upload))
    if not (options.yes or terminal.agrees("Send it?")):
        return None
    return publish.upload(folder, options.upload)
