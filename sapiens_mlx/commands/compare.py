"""`compare`: one photo at several levels and sizes."""

import argparse
import json
from pathlib import Path

from .. import compare_files
from ..compare import Comparison
from ..errors import CancelledError, SapiensError
from ..files import output_folder
from ..predict_files import shortened
from ..variants import parse_list
from . import licences, terminal
from .people import people_of


def compare(options: argparse.Namespace) -> int:
    """Runs the variants, shows each as it ends, and returns the exit status: 0; 1 when some failed."""
    comparison = Comparison(
        options.photo,
        options.task,
        parse_list(options.levels, options.size, options.variants),
        options.reference,
        weights=options.weights,
        runs=options.runs,
        foreground=options.foreground,
        **people_of(options),
    )
    licences.ask(options, comparison.predictors)
    folder, stem = output_folder(options.out), shortened(Path(options.photo).stem)
    try:
        for entry in comparison.run(terminal.progress_line()):
            entry.result = None  # its pictures and numbers are enough
            terminal.clear()
            if not (options.json or entry.error):
                print(compare_files.in_a_line(comparison, entry), flush=True)
    except (KeyboardInterrupt, CancelledError):
        if comparison.entries:
            compare_files.save(comparison, folder, stem)  # what is done is done
        raise
    errors = [entry.error for entry in comparison.entries if entry.error]
    if len(errors) == len(comparison.entries):
        raise SapiensError(errors[0])
    paths = [str(path) for path in compare_files.save(comparison, folder, stem)]
    for error in errors:
        terminal.say(f"error: {error}")
    if options.json:
        print(json.dumps(compare_files.to_json(comparison) | {"files": paths}, allow_nan=False))
    else:
        print("", compare_files.to_text(comparison), "", *paths, sep="\n")
    return 1 if errors else 0
