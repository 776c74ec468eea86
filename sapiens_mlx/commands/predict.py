"""`predict`: what is asked for, and which way it goes: photo by photo, as clips, or as a job over folders."""

import argparse
import json
from typing import Any

from .. import costs, inventory, predict_files
from ..errors import SapiensError
from ..files import output_folder
from ..options import Options
from ..predictor import Predictor
from ..tasks import background, pose_formats
from ..tasks.base import Result
from ..video.arguments import choices_of
from . import clips, folders, licences, terminal
from .people import people_of


def predict(options: argparse.Namespace) -> int:
    """Runs what `options` ask for and returns the exit status: 0; 1 when some of many inputs failed; 2 when all did."""
    if options.merge is not None:
        return folders.merged(options)
    if not options.inputs:
        raise SapiensError("INPUT is missing: name photos, videos, folders or lists. See: predict --help")
    names = [name.strip() for name in options.task.split(",")]
    predictors = [Predictor(name, options.size, options.level, options.weights) for name in names]
    choices = Options(**people_of(options), foreground=options.foreground)
    saving = _saving(options)
    licences.ask(options, predictors)
    clip_choices = choices_of(options, saving["background"], saving["mesh_opacity"])
    for warning in (inventory.too_large(one.task, one.size, one.level) for one in predictors):
        if warning:
            terminal.note(warning)
    if clips.are_meant(options):
        return clips.run(options, predictors, choices, clip_choices)
    if folders.is_meant(options):
        return folders.run(options, predictors, choices, saving, clip_choices)
    return _photos(options, predictors, choices, saving)


def _saving(options: argparse.Namespace) -> dict[str, Any]:
    """The options of predict_files.save(), read here so that a bad one is told before a network runs."""
    formats = [name.strip() for name in options.pose_formats.split(",") if name.strip()]
    return {
        "style": options.style,
        "side_by_side": options.side_by_side,
        "keypoint_threshold": options.keypoint_threshold,
        "pose_formats": pose_formats.resolved(formats) if formats else (),
        "points": options.points,
        "mesh_opacity": options.mesh_opacity,
        "background": None if options.background == "none" else background.resolved(options.background),
    }


def _photos(options: argparse.Namespace, predictors: list[Predictor], choices: Options, saving: dict[str, Any]) -> int:
    folder = output_folder(options.out)
    asked = len(options.inputs) * len(predictors)
    results, failed, told = [], [], set()
    for stem, photo in predict_files.stems(options.inputs):
        of_photo: dict[str, Result] = {}
        for predictor in predictors:
            try:
                result = predictor(photo, progress=terminal.progress_line(), **vars(choices))
                done = predict_files.save(result, folder, stem, photo, **saving)
                if predictor.task in predict_files.TOGETHER:  # others would be kept in memory for nothing
                    of_photo[predictor.task] = result
                done["files"] += predict_files.save_together(of_photo, predictor.task, folder, stem)
                costs.remember(result.report, costs.inputs_of(result, choices.flip))
            except SapiensError as problem:
                if asked == 1:
                    raise
                failed.append(predict_files.failure(photo, predictor.task, problem))
                terminal.say(f"error: {problem}")
                continue
            results.append(done)
            notice = predictor.checkpoint.notice
            if notice in done["notices"] and notice not in told:
                told.add(notice)
                terminal.note(notice)
            if not options.json:
                _print_report(done, told)
    if options.json:
        print(json.dumps(predict_files.together(results, failed, asked)))
    return 1 if failed and results else 2 if failed else 0


def _print_report(done: dict[str, Any], told: set[str]) -> None:
    """The report for people, without the notices that were `told` before."""
    terminal.clear()
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
