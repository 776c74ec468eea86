"""`predict` of folders, globs and lists: the job, from the command line's options to what is printed at its end."""

import argparse
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import inventory, runtime, zoo
from ..errors import SapiensError
from ..files import output_folder
from ..jobs import claims, inputs, manifest, merge, ranks
from ..jobs.index import OF_CLIPS, Index, Work
from ..jobs.job import Job
from ..jobs.kinds import is_video
from ..jobs.plan import Item, Plan
from ..jobs.run import Runner, Tally
from ..models import models
from ..options import Options
from ..predictor import Predictor
from ..stop import Stop
from ..video.choices import ClipChoices
from ..video.report import Newest
from . import terminal

QUIET_S = 30.0  # between two lines of progress where there is no terminal

# Options of predict by what they are called in a manifest; a task's results depend on these beside `style` and so on.
_PEOPLE = ("boxes_xyxy", "detector", "box_threshold", "nms_threshold")
_OF_TASK = {"pose": (*_PEOPLE, "flip", "keypoint_threshold", "pose_formats"), "detect": _PEOPLE}
_OF_TASK |= {"hands": ("hand_threshold", "hand_iou", "hand_crop", "hand_norms", "vertices", "mesh_opacity")}
_OF_TASK |= {"matting": ("background",), "pointmap": ("points", "foreground"), "seg": ()}
_OF_OTHERS = ("foreground",)


def is_meant(options: argparse.Namespace) -> bool:
    """Whether what is asked for is a job with a manifest: more than photos named one by one."""
    return options.resume or ranks.launched() or any(inputs.many(text) or is_video(text) for text in options.inputs)


def merged(options: argparse.Namespace) -> int:
    """Joins what several processes wrote into the folder `options.merge`, prints what is missing, and returns the exit
    status: 0 when all is done; 1 when some is not; 2 when nothing is."""
    found = merge.merge(options.merge)
    print(json.dumps(found.to_json()) if options.json else found.as_text())
    return found.exit_status


def run(
    options: argparse.Namespace,
    predictors: list[Predictor],
    choices: Options,
    saving: dict[str, Any],
    clip_choices: ClipChoices,
) -> int:
    """Does what `options` ask for and prints the summary.

    Args:
        choices: who is in the photos.
        saving: the options of predict_files.save().

    Returns:
        The exit status: 0; 1 when some files failed; 2 when all did; 128 and the signal's number where one ended it.
        Of several processes 0 as long as they could work: mlx.launch ends all others at any other.

    Raises:
        SapiensError: nothing can be done at all.
    """
    out = output_folder(options.out).resolve()
    place = ranks.join(out) if ranks.launched() else None
    voice = _Voice(place, options.json)
    works = [_work(one, options, choices, saving, clip_choices) for one in predictors]
    _keep_networks(works, choices, voice)
    job = Job(options.inputs, os.path.relpath(Path.cwd(), out), works)
    with ExitStack() as stack:
        book = stack.enter_context(manifest.Manifest(out, place.rank if place else None))
        if place is None and (busy := [path for path in manifest.being_written(out) if path != book.path]):
            raise SapiensError(f"Another run is writing {busy[0]}. Wait for it, stop it, or give --out another folder.")
        if place is None or place.rank == 0 or place.board is None:
            job.keep(out)
        if place is None or place.rank == 0:
            ranks.clear(out, place.board if place else None)
        stop = stack.enter_context(Stop(voice.stopping))
        tally = voice.tally = Tally()
        source = stack.enter_context(_source(job, out, place, stop, tally))
        runner = Runner(
            out,
            predictors,
            works,
            choices,
            saving,
            book,
            stop,
            tally,
            clip_choices=clip_choices,
            finished=source.finished,
            told=voice.heard,
            newest=voice.newest,
        )
        runner.run(source.items)
    if not (tally.done or tally.failed or source.skipped or stop.signal) and place is None:
        raise SapiensError(
            f"No photo or video was found in {', '.join(options.inputs)}. Check the name and the endings."
        )
    voice.summary(book.path, source, tally, stop)
    if place is not None:
        return 0 if stop.signal != 2 else stop.exit_status
    if stop.signal:
        return stop.exit_status
    return 0 if not tally.failed else 1 if tally.done or source.skipped else 2


@dataclass
class _Source:
    """Where this process gets its items from: a list of its own, or the board that it shares with others."""

    items: Iterator[Item]
    plan: Plan | None = None
    board: claims.Board | None = None

    @property
    def skipped(self) -> int:
        """Files that this process passed over as done."""
        return self.plan.skipped if self.plan else 0

    @property
    def finished(self) -> Callable[[Item], None]:
        return self.board.finished if self.board else lambda item: None


@contextmanager
def _source(job: Job, out: Path, place: ranks.Ranks | None, stop: Stop, tally: Tally) -> Iterator[_Source]:
    with ExitStack() as stack:

        def planned() -> Plan:
            return Plan(job.found(out), out, job.works, stack.enter_context(closing(Index(out))))

        if place is None or place.board is None:
            plan = planned()
            yield _Source(plan.items(place.rank, place.count) if place else plan.items(), plan)
            return

        def undone(rank: int, items: list[Item]) -> list[Item]:
            path = out / manifest.name(rank)
            return claims.undone(manifest.rows(path), items, job.works, out) if path.exists() else items

        leading = planned() if place.rank == 0 else None
        board = claims.Board(place.board, place.rank, place.count, stop.asked)
        stack.callback(board.leave)
        if leading:
            board.lay_out(leading.items(), lambda: tally.seconds_each)
        yield _Source(board.items(undone), leading, board)


def _keep_networks(works: list[Work], choices: Options, voice: "_Voice") -> None:
    """Has all networks of the job stay in memory, from photo to photo."""
    networks = [work for work in works if work.task != "detect"]
    models.kept = max(models.kept, len(networks) + (choices.foreground in ("auto", "seg", "matting")))
    needed = sum(inventory.needed_bytes(work.size, work.level, work.task) for work in networks)
    if len(networks) > 1 and needed > runtime.memory_limit_bytes():
        voice.say(
            f"note: The networks of these tasks take {inventory.amount(needed)} together and do not fit the memory, so "
            "every photo loads them anew. It is faster to run one task after another, each over all files."
        )


# ---- what is asked for ----------------------------------------------------------------------------------------------


def _work(
    predictor: Predictor,
    options: argparse.Namespace,
    choices: Options,
    saving: dict[str, Any],
    clip_choices: ClipChoices,
) -> Work:
    """The task, with what of the options its results depend on where that is not the default."""
    names = ("style", "side_by_side", *_OF_TASK.get(predictor.task, _OF_OTHERS))
    defaults = vars(Options()) | vars(zoo.DEFAULTS) | {"side_by_side": False, "pose_formats": (), "background": "none"}
    asked = vars(choices) | saving | {"background": options.background}
    chosen = {name: asked[name] for name in names if asked[name] != defaults[name]}
    clip, default = vars(clip_choices), vars(ClipChoices())
    said = {"style", "keypoint_threshold", "background", "mesh_opacity"}
    no_matter = {*said, "segment"}  # makes no difference in the end
    of_clips = {name: clip[name] for name in clip if name not in no_matter and clip[name] != default[name]}
    if of_clips:
        chosen[OF_CLIPS] = of_clips
    if options.weights:
        chosen["weights"] = options.weights
    return Work(predictor.task, predictor.size, predictor.level, json.loads(json.dumps(chosen)))


# ---- what is said ---------------------------------------------------------------------------------------------------


class _Voice:
    """Notes and errors on standard error, one line of progress there, the summary on standard output; each with the
    rank where there are several."""

    def __init__(self, place: ranks.Ranks | None, as_json: bool) -> None:
        self._place, self._as_json = place, as_json
        self._name = f"rank {place.rank}: " if place else ""
        self._told: set[str] = set()
        self._error = ""
        self._lock, self._last = threading.Lock(), time.monotonic()
        self.tally: Tally | None = None
        if place and place.board is None and place.rank == 0:
            self.say("note: The output folder is not shared by all, so each process takes its own part of the files.")

    def stopping(self) -> None:
        """At the first signal."""
        at_once = "" if self._place else "; Ctrl-C once more stops at once"
        self.say(f"stopping after the photo in hand; a video goes on from there when run again{at_once}")

    def heard(self, item: Item, report: dict[str, Any]) -> None:
        """Of one task of one file: its report, or its row with `error`."""
        with self._lock:
            if "error" in report:
                said = merge.shown(f"{item.file}: {report['error']}")
                if said != self._error:  # each task of a file that cannot be read would say the same
                    self.say(f"error: {said}")
                self._error = said
                return
            for notice in report.get("notices", ()):
                if notice in report.get("lacking", ()):  # of this clip alone
                    self.say(f"note: {merge.shown(item.file)}: {notice}")
                elif notice not in self._told:
                    self._told.add(notice)
                    self.say(f"note: {notice}")
        self._progress(item)

    def newest(self, item: Item, newest: Newest) -> None:
        """Of a frame of a video, which may be as long as many photos."""
        self._show(f"{merge.shown(item.file)}: {newest.sentence()}")

    def _progress(self, item: Item) -> None:
        if (tally := self.tally) is not None:
            files = tally.done + tally.failed
            each = f"{files} files, {files / tally.wall_s:.2f} a second, {tally.failed} failed"
            self._show(f"{each}; {merge.shown(item.file)}")

    def _show(self, text: str) -> None:
        """How far the job is: at a terminal at once, elsewhere now and then."""
        if self._as_json:
            return
        if terminal.is_watched():
            terminal.line(f"{self._name}{text[:100]}")
        elif time.monotonic() - self._last > QUIET_S:
            self._last = time.monotonic()
            self.say(text)

    def say(self, text: str) -> None:
        terminal.say(f"{self._name}{text}")

    def summary(self, book: Path, source: _Source, tally: Tally, stop: Stop) -> None:
        wall_s = tally.wall_s
        found = {
            "manifest": str(book),
            "done": tally.done,
            "skipped": source.skipped,
            "failed": tally.failed,
            "stopped": bool(stop.signal),
            "seconds": round(wall_s, 3),
            "network_seconds": round(tally.network_s, 3),
            "network_share": round(tally.network_s / wall_s, 4),
            "peak_memory_bytes": tally.peak_memory_bytes,
            "device": runtime.device_name(),
        }
        if self._place:
            found |= {"rank": self._place.rank, "ranks": self._place.count, "shared": self._place.board is not None}
        if source.board and source.board.orphaned:
            self.say("note: Rank 0 has gone before all files were listed. Run the same again to complete the job.")
        if self._place and self._place.rank == 0 and not self._as_json:
            self.say(f"note: When all have ended: predict --merge {book.parent}")
        terminal.clear()
        with suppress(OSError, ValueError):
            if self._as_json:
                print(json.dumps(found), flush=True)
                return
            how = "stopped: " if stop.signal else ""
            print(
                f"{self._name}{how}{tally.done} files done, {source.skipped} done before, {tally.failed} failed in "
                f"{wall_s:.1f} s; the network was at work {found['network_share']:.0%} of that time",
                flush=True,
            )
            print(f"{self._name}  {book}", flush=True)
