"""The command line: python -m sapiens_mlx predict | compare | convert | models | bench | verify | serve."""

import argparse
import atexit
import contextlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from . import runtime, zoo
from .arguments import argument_parser
from .errors import CancelledError, SapiensError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status: 0; 1 when some of many inputs failed, or a value is not the
    published one; 2 after one line of error."""
    try:
        options = argument_parser().parse_args(arguments)
        return COMMANDS[options.command](options)
    except SapiensError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output, `head` say, has seen enough
        sys.stdout = None
        return 0
    except (KeyboardInterrupt, CancelledError):
        print("stopped", file=sys.stderr)
        if not runtime.inference.settle(timeout_s=10):
            os._exit(130)  # a thread that is still in native code would abort an ordinary end
        return 130


def run() -> NoReturn:
    """main() as a program: the process ends with it.

    On Linux it ends before OpenBLAS does: a thread of that, if it is still leaving its last product, can miss the word
    that it is to end, and then the process would wait for it for ever.
    """
    status = [1]
    if runtime.BLAS is not None:
        atexit.register(_end, status)  # the first to be registered is the last to be called
    try:
        status[0] = main()
    except SystemExit as ending:  # after --help and --version
        status[0] = ending.code or 0
    sys.exit(status[0])


def _end(status: list[int]) -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or nobody reads it any more
            stream.flush()
    os._exit(status[0])


# ---- predict --------------------------------------------------------------------------------------------------------


def _predict(options: argparse.Namespace) -> int:
    if options.merge is not None:
        from .jobs.merge import merge

        merged = merge(options.merge)
        print(json.dumps(merged.to_json()) if options.json else merged.as_text())
        return merged.exit_status
    if not options.inputs:
        raise SapiensError("INPUT is missing: name photos, videos, folders or lists. See: predict --help")
    from . import inventory, predict_files
    from .files import output_folder
    from .jobs import ranks
    from .jobs.inputs import many
    from .jobs.kinds import is_video
    from .predictor import Options, Predictor

    names = [name.strip() for name in options.task.split(",")]
    predictors = [Predictor(name, options.size, options.level, options.weights) for name in names]
    choices = Options(**_people(options), foreground=options.foreground)
    saving = _saving(options)
    for warning in (inventory.too_large(one.task, one.size, one.level) for one in predictors):
        if warning:
            _print_note(warning)
    if options.resume or ranks.launched() or any(many(text) or is_video(text) for text in options.inputs):
        from .jobs.command import run_job

        return run_job(options, predictors, choices, saving)
    folder = output_folder(options.out)
    results, failed, told = [], [], set()
    for stem, photo in _stems(options.inputs):
        for predictor in predictors:
            try:
                done = _run_one(predictor, photo, stem, folder, choices, saving)
            except SapiensError as problem:
                if len(options.inputs) * len(predictors) == 1:
                    raise
                failed.append(predict_files.failure(photo, predictor.task, problem))
                print(f"error: {problem}", file=sys.stderr)
                continue
            results.append(done)
            notice = predictor.checkpoint.notice
            if notice in done["notices"] and notice not in told:
                told.add(notice)
                _print_note(notice)
            if not options.json:
                _print_report(done, told)
    if options.json:
        print(json.dumps(predict_files.together(results, failed, len(options.inputs) * len(predictors))))
    return 1 if failed and results else 2 if failed else 0


def _people(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of predictor.Options that say who is in the photo."""
    from .boxes import read_boxes

    boxes = list(options.boxes or [])
    if options.boxes_file:
        boxes += read_boxes(options.boxes_file)
    return {
        "boxes_xyxy": boxes or None,
        "detector": options.detector,
        "box_threshold": options.box_threshold,
        "nms_threshold": options.nms,
        "flip": not options.no_flip,
    }


def _saving(options: argparse.Namespace) -> dict[str, Any]:
    """The options of predict_files.save()."""
    return {
        "style": options.style,
        "side_by_side": options.side_by_side,
        "keypoint_threshold": options.keypoint_threshold,
        "pose_formats": _pose_formats(options.pose_formats),
        "points": options.points,
        "background": _background(options.background),
    }


def _background(text: str) -> Any:
    """The option `background` of matting's picture: read here, so that a bad one is told before a network runs."""
    from .tasks.background import resolved

    return None if text == "none" else resolved(text)


def _pose_formats(text: str) -> tuple[str, ...]:
    """The option `formats` of pose's files, checked here for the same reason."""
    if not text.strip():
        return ()
    from .tasks.pose_formats import resolved

    return resolved([name.strip() for name in text.split(",")])


def _stems(inputs: Sequence[str]) -> list[tuple[str, str]]:
    """(stem of the files to write, photo): a stem that is taken gets a number, so that nothing is overwritten."""
    taken: set[str] = set()
    stems = []
    for photo in inputs:
        stem, number = Path(photo).stem, 1
        while stem.casefold() in taken:  # a Mac's disk does not tell Photo from photo
            number += 1
            stem = f"{Path(photo).stem}-{number}"
        taken.add(stem.casefold())
        stems.append((stem, photo))
    return stems


def _run_one(
    predictor: Any, photo: str, stem: str, folder: Path, choices: Any, saving: dict[str, Any]
) -> dict[str, Any]:
    """One photo, one task: the object that --json prints."""
    from . import costs, predict_files

    result = predictor(photo, progress=_progress_line(sys.stderr), **vars(choices))
    done = predict_files.save(result, folder, stem, photo, **saving)
    costs.remember(result.report, costs.inputs_of(result, choices.flip))
    return done


def _progress_line(stream: Any) -> runtime.Progress:
    """Shows how far the work is in one line of a terminal. Elsewhere it only says what is going to be downloaded."""
    if stream is None:  # closed by whoever started us
        return runtime.no_progress
    told: set[str] = set()

    def show(stage: str, done: float, total: float) -> None:
        if stage == "download":
            from .weights import locate

            coming = locate.coming
            if coming is not None and coming.repo not in told:
                told.add(coming.repo)
                _print_note(coming.sentence(total))
        if not stream.isatty():
            return
        amount = f"{done / 1e9:.1f} of {total / 1e9:.1f} GB" if stage == "download" else f"{done:.0f}/{total:.0f}"
        stream.write(f"\r\x1b[K{stage} {amount}")
        stream.flush()

    return show


def _print_note(text: str) -> None:
    """What concerns every photo alike: once, and where it does not get into what other programs read."""
    if sys.stderr is not None:
        print(f"{_cleared_line(sys.stderr)}note: {text}", file=sys.stderr)


def _cleared_line(stream: Any) -> str:
    """What takes the progress line away."""
    return "\r\x1b[K" if stream.isatty() else ""


def _print_report(done: dict[str, Any], told: set[str]) -> None:
    """The report for people, without the notices that were `told` before."""
    if sys.stderr is not None:
        sys.stderr.write(_cleared_line(sys.stderr))
    seconds = ", ".join(f"{stage} {value:.1f}" for stage, value in done["seconds"].items())
    share = f"{done['quantized_share']:.0%} of the weights quantized, " if done["quantized_share"] else ""
    precision = f"{done['level']} ({share}{done['compute_dtype']} on {done['device']})"
    print(f"{done['input']}: {done['task']} {done['size']} at {precision}")
    print(f"  seconds: {seconds}; peak memory {done['peak_memory_bytes'] / 1e9:.1f} GB; weights: {done['licence']}")
    for notice in done["notices"]:
        if notice not in told:
            print(f"  note: {notice}")
    for path in done["files"]:
        print(f"  {path}")


# ---- compare --------------------------------------------------------------------------------------------------------


def _compare(options: argparse.Namespace) -> int:
    from . import compare_files
    from .compare import Comparison
    from .files import output_folder
    from .variants import parse_list

    comparison = Comparison(
        options.photo,
        options.task,
        parse_list(options.levels, options.size, options.variants),
        options.reference,
        weights=options.weights,
        runs=options.runs,
        foreground=options.foreground,
        **_people(options),
    )
    folder, stem = output_folder(options.out), Path(options.photo).stem
    try:
        for entry in comparison.run(_progress_line(sys.stderr)):
            entry.result = None  # its pictures and numbers are enough
            if sys.stderr is not None:
                sys.stderr.write(_cleared_line(sys.stderr))
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
        print(f"error: {error}", file=sys.stderr)
    if options.json:
        print(json.dumps(compare_files.to_json(comparison) | {"files": paths}, allow_nan=False))
    else:
        print("", compare_files.to_text(comparison), "", *paths, sep="\n")
    return 1 if errors else 0


# ---- convert --------------------------------------------------------------------------------------------------------


def _convert(options: argparse.Namespace) -> int:
    from .convert import convert

    if options.upload:
        _check_upload(options)
    outcome = convert(
        options.source,
        options.task,
        options.size,
        options.level,
        out=options.out,
        repo=options.upload,
        weights=options.weights,
        progress=_progress_line(sys.stderr),
    )
    if sys.stderr is not None:
        sys.stderr.write(_cleared_line(sys.stderr))
    if not options.json:
        _print_conversion(outcome)
    uploaded = _upload(outcome.folder, options) if options.upload else None
    if options.json:
        print(json.dumps(outcome.to_json() | {"uploaded": uploaded}))
    elif options.upload:
        print(f"sent to {uploaded}" if uploaded else f"Nothing was sent; {outcome.folder} is kept.")
    return 0


def _print_conversion(outcome: Any) -> None:
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
    from .weights import publish

    if options.out is None:
        raise SapiensError("--upload sends the folder that --out names: add --out DIR.")
    if not (options.yes or (sys.stdin is not None and sys.stdin.isatty())):
        raise SapiensError("--upload asks before it sends, and this is no terminal. Add --yes to send without asking.")
    publish.check_upload(options.upload)


def _upload(folder: Path, options: argparse.Namespace) -> str | None:
    """The address of what was sent; None when the user would rather not."""
    from .weights import publish

    print(publish.plan(folder, options.upload), file=sys.stderr)
    if not options.yes:
        print("Send it? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            return None
    return publish.upload(folder, options.upload)


# ---- bench, verify, models and serve --------------------------------------------------------------------------------


def _bench(options: argparse.Namespace) -> int:
    from .bench.measure import as_text, measure

    result = measure(
        options.task,
        options.size,
        options.level or zoo.default_level(runtime.device()),
        options.weights,
        turns=options.turns,
        against=options.against,
        progress=_progress_line(sys.stderr),
    )
    if sys.stderr is not None:
        sys.stderr.write(_cleared_line(sys.stderr))
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
            progress=_progress_line(sys.stderr),
        )
        done.append(one)
        if sys.stderr is not None:
            sys.stderr.write(_cleared_line(sys.stderr))
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
