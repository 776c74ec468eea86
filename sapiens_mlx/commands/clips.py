"""`predict` of clips: a video, a camera, or with --clip a folder of frames, each made a video."""

import argparse
import json
from pathlib import Path

from .. import predict_files
from ..errors import CancelledError, SapiensError
from ..jobs import ranks
from ..jobs.kinds import is_video
from ..options import Options
from ..predictor import Predictor
from ..runtime import Progress
from ..stop import Stop
from ..video.choices import ClipChoices
from ..video.clip import run_clip
from ..video.report import ClipReport, Newest
from . import terminal


def are_meant(options: argparse.Namespace) -> bool:
    """Whether every INPUT is one clip, named by itself. Videos among photos, folders and lists are a job's.

    Raises:
        SapiensError: a camera or a folder of frames stands beside what is none, or is shared out among processes.
    """
    alone = [text for text in options.inputs if _is_camera(text) or (options.clip and Path(text).is_dir())]
    if len(alone) + sum(is_video(text) for text in options.inputs) == len(options.inputs) and not ranks.launched():
        return True
    if alone:
        raise SapiensError(
            f"{alone[0]} is run as one clip, by one process: start it without mlx.launch, and name no photos, lists or "
            "other folders beside it."
        )
    return False


def _is_camera(text: str) -> bool:
    return text.isdecimal() and not Path(text).exists()


def run(options: argparse.Namespace, predictors: list[Predictor], choices: Options, clip_choices: ClipChoices) -> int:
    """Runs every task over every clip, prints the reports, and returns the exit status: 0; 1 when some failed; 2 when
    all did; 128 and the signal's number after Ctrl-C or SIGTERM, with a video of what was done."""
    asked, reports, failed = len(options.inputs) * len(predictors), [], []
    with Stop(lambda: terminal.say("stopping: what is done is made a video; Ctrl-C once more stops at once")) as stop:
        for stem, text in predict_files.stems(options.inputs):
            for predictor in predictors:
                if stop.signal:
                    break
                try:
                    report = run_clip(
                        int(text) if _is_camera(text) else text,
                        predictor,
                        options.out,
                        stem=None if _is_camera(text) else stem,
                        options=choices,
                        choices=clip_choices,
                        resume=options.resume,
                        progress=_watching(stop),
                        on_frame=_show,
                    )
                except SapiensError as problem:
                    if asked == 1:
                        terminal.clear()
                        raise
                    failed.append(predict_files.failure(text, predictor.task, problem))
                    terminal.say(f"error: {problem}")
                    continue
                reports.append(report)
                if not options.json:
                    _print_report(report)
    if options.json:
        print(json.dumps(predict_files.together([report.to_json() for report in reports], failed, asked)))
    return stop.exit_status or (1 if failed and reports else 2 if failed else 0)


def _watching(stop: Stop) -> Progress:
    """Tells of downloads and loading, and ends the run once a stop is asked for."""
    line = terminal.progress_line()

    def watch(stage: str, done: float, total: float) -> None:
        if stop.asked.is_set():
            raise CancelledError
        if stage != "frames":  # which _show() tells better
            line(stage, done, total)

    return watch


def _show(newest: Newest) -> None:
    terminal.line(newest.sentence())


def _print_report(report: ClipReport) -> None:
    terminal.clear()
    if report.video is None:
        print(f"{report.input}: stopped before the first frame was done")
    else:
        print(report.as_text())
