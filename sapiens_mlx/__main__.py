"""The command line, `sapiens-mlx` or `python -m sapiens_mlx`, and its commands: predict, compare, convert and so on."""

import argparse
import atexit
import contextlib
import io
import json
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from . import platforms, runtime, zoo
from .arguments import argument_parser
from .commands import terminal
from .errors import CancelledError, SapiensError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status: 0; 1 when some of many inputs failed, or a value is not the
    published one; 2 after one line of error, or when all failed; 128 and the number of the signal that stopped it."""
    try:
        platforms.check()
        options = argument_parser().parse_args(arguments)
        return COMMANDS[options.command](options)
    except SapiensError as problem:
        terminal.say(f"error: {problem}")
        return 2
    except BrokenPipeError:  # the reader of our output, `head` say, has seen enough
        sys.stdout = None
        return 0
    except (KeyboardInterrupt, CancelledError):
        settled = False
        with contextlib.suppress(KeyboardInterrupt):  # once more: nobody wants to wait
            terminal.say("stopped")
            settled = runtime.inference.settle(timeout_s=10)
        if not settled:
            os._exit(130)  # a thread that is still in native code would abort an ordinary end
        return 130


def run(arguments: Sequence[str] | None = None) -> NoReturn:
    """main() as a program: the process ends with it.

    On Linux it ends before OpenBLAS does: a thread of that, if it is still leaving its last product, can miss the word
    that it is to end, and then the process would wait for it for ever.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name of a file may be no text, or none that a terminal can show
        sys.stdout.reconfigure(errors="backslashreplace")
    status: list[Any] = [1]
    if runtime.BLAS is not None:
        atexit.register(_end, status)  # the first to be registered is the last to be called
    try:
        status[0] = main(arguments)
    except SystemExit as ending:  # after --help and --version
        status[0] = ending.code or 0
    sys.exit(status[0])


def _end(status: list[int]) -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or nobody reads it any more
            stream.flush()
    os._exit(status[0])


# ---- the commands: the code of each is imported when it is asked for -------------------------------------------------


def _predict(options: argparse.Namespace) -> int:
    from .commands.predict import predict

    return predict(options)


def _compare(options: argparse.Namespace) -> int:
    from .commands.compare import compare

    return compare(options)


def _convert(options: argparse.Namespace) -> int:
    from .commands.convert import convert

    return convert(options)


def _bench(options: argparse.Namespace) -> int:
    from .bench.measure import as_text, measure

    result = measure(
        options.task,
        options.size,
        options.level or zoo.default_level(runtime.device()),
        options.weights,
        turns=options.turns,
        against=options.against,
        progress=terminal.progress_line(),
    )
    terminal.clear()
    print(json.dumps(result, allow_nan=False) if options.json else as_text(result))
    return 0


def _verify(options: argparse.Namespace) -> int:
    from .verify import verify

    done = []
    for task in options.task.split(","):
        one = verify(
            task.strip(),
            options.size,
            weights=options.weights,
            photo=options.photo,
            progress=terminal.progress_line(),
        )
        done.append(one)
        terminal.clear()
        if not options.json:
            print(one.as_text(), flush=True)
    passed = all(one.passed for one in done)
    if options.json:
        print(json.dumps({"passed": passed, "results": [one.to_json() for one in done]}, allow_nan=False))
    return 0 if passed else 1


def _models(options: argparse.Namespace) -> int:
    from . import inventory

    if options.remove:
        removed = inventory.remove(options.remove)
        if options.json:
            freed_bytes = sum(one.bytes for one in removed)
            print(json.dumps({"removed": [one.name for one in removed], "freed_bytes": freed_bytes}))
        else:
            print("\n".join(f"removed {one.name} ({inventory.amount(one.bytes)})" for one in removed))
        return 0
    listing = inventory.listing(options.weights, options.memory or runtime.memory_limit_bytes())
    print(json.dumps(listing) if options.json else inventory.as_text(listing))
    return 0


def _serve(options: argparse.Namespace) -> int:
    from .ui.page import serve

    serve(
        host=options.host,
        port=options.port,
        auth=options.auth,
        share=options.share,
        weights=options.weights,
        mcp=options.mcp,
    )
    return 0


COMMANDS = {
    "predict": _predict,
    "compare": _compare,
    "convert": _convert,
    "models": _models,
    "bench": _bench,
    "verify": _verify,
    "serve": _serve,
}

if __name__ == "__main__":
    run()
