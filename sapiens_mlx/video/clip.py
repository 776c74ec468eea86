"""One task over one clip: read, network, drawing and encoding at the same time, a video and numbers out.

Frames pass one by one, so memory does not grow with the clip. The video is made in closed pieces, so that a run that
was killed can go on, and joined at the end.
"""

import hashlib
import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np

from .. import __version__, runtime
from ..errors import CancelledError, ClipError, SapiensError
from ..files import expanded, output_folder, write_bytes
from ..options import Options
from ..predictor import Predictor
from ..runtime import Progress, no_progress
from ..tasks.base import Report, Result
from ..tasks.pointmap import PointmapResult
from . import charts, results, views
from .ahead import Ahead, Behind
from .choices import ClipChoices
from .depth import DepthStore
from .frames import Clip, Frame, Lacks
from .people import Looker
from .read import ClipSource, open_clip
from .report import ClipReport, Newest
from .segments import Made, Parts
from .write import join

AHEAD = 2  # frames that are read before they are needed
RATE_FRAMES = 20  # that frames a second are counted over

OnFrame = Callable[[Newest], None]


def run_clip(
    source: ClipSource,
    predictor: Predictor,
    folder: str | Path,
    *,
    stem: str | None = None,
    options: Options | None = None,
    choices: ClipChoices | None = None,
    resume: bool = False,
    keep_parts: bool = True,
    progress: Progress = no_progress,
    on_frame: OnFrame | None = None,
) -> ClipReport:
    """Runs a predictor over a clip and writes `<stem>_<task>.mp4` and what belongs to it into `folder`.

    That is `<stem>_<task>_clip.json`, the report; for pose, people and hands `<stem>_<task>.jsonl`, a line a frame; for
    pose `<stem>_pose_angles.csv` and `.png`. While it runs, a folder `.<stem>_<task>.parts` holds what is done.

    Args:
        source: as for read.open_clip().
        stem: default: the clip's name without its ending.
        options: the predictor's, for every frame.
        resume: go on with what an earlier run of the same left that was killed or stopped.
        keep_parts: whether what is done is kept for that after a stop or an error.
        progress: hears ("frames", done, total), total 0 where nobody knows, and "download" and "load" before. When it
            raises CancelledError, what is done is made a video that plays, and the report says `stopped`. So does
            KeyboardInterrupt, which is then raised again.
        on_frame: hears of every frame that is done, with its picture; on another thread than the caller's.

    Raises:
        ClipError: the clip cannot be read, or has no frame that was asked for.
        SapiensError: and its family, each with a sentence that says what to do.
    """
    options, choices = options or Options(), choices or ClipChoices()
    folder = output_folder(folder)
    clip = open_clip(source, longest_px=choices.longest_side, frames_per_s=choices.frames_per_s)
    keep_parts = keep_parts and not clip.is_live
    try:
        if resume and clip.is_live:
            raise SapiensError("A camera cannot be taken back to where it was. Begin anew, without --resume.")
        stem = stem or (Path(clip.name).stem if not clip.is_live else clip.name.replace(" ", "_"))
        job = _job(source, clip, predictor, options, choices)
        parts = Parts(folder / f".{stem}_{predictor.task}.parts", job, choices.segment, resume=resume)
        run = _Run(clip, predictor, options, choices, parts, progress, on_frame)
        try:
            run.go(folder, stem)
        except (SapiensError, OSError) as problem:
            kept = keep_parts and parts.is_worth_keeping()
            parts.close(remove=not kept)
            if kept and isinstance(problem, SapiensError):
                raise type(problem)(
                    f"{problem} What is done is kept: run the same again with --resume to go on."
                ) from problem
            raise
        except av.FFmpegError as problem:
            parts.close(remove=not keep_parts)
            reason = problem.strerror or str(problem)
            raise ClipError(
                f"The video of {clip.name} cannot be made ({reason}). Try --longest-side 1920."
            ) from problem
        except BaseException:
            parts.close(remove=not keep_parts)
            raise
        parts.close(remove=not (keep_parts and run.report.stopped))
        if run.interrupted:
            raise KeyboardInterrupt
        return run.report
    finally:
        clip.close()


class _Run:
    def __init__(
        self,
        clip: Clip,
        predictor: Predictor,
        options: Options,
        choices: ClipChoices,
        parts: Parts,
        progress: Progress,
        on_frame: OnFrame | None,
    ) -> None:
        self._clip, self._predictor, self._options, self._choices = clip, predictor, options, choices
        self._parts, self._progress, self._on_frame = parts, progress, on_frame
        self._total = choices.chosen.count(clip.total)
        self._done = 0  # frames that have been through the network
        self._finished = 0  # and those drawn and encoded, which another thread counts
        self._times: deque[float] = deque(maxlen=RATE_FRAMES + 1)
        self._like: Result | None = None  # the first frame's features, whose colours all frames have
        self._notices: dict[str, None] = dict.fromkeys([parts.notice] if parts.notice else [])
        self._lacks = Lacks()
        self.interrupted = False
        self.report = ClipReport(
            clip.name, predictor.task, predictor.size, predictor.level, view=choices.view, resumed_frames=parts.frames
        )

    def go(self, folder: Path, stem: str) -> None:
        start = time.perf_counter()
        parts = self._parts
        if self._predictor.task == "pointmap":
            parts = self._depth()
        else:
            self._all_in_one()
        lacks, report = self._lacks, self.report
        report.missing, report.doubtful, report.lacking = lacks.missing, lacks.doubtful, lacks.sentences()
        self._notices |= dict.fromkeys(report.lacking)
        parts.close_piece(counts=not report.stopped)
        report.frames = parts.frames
        report.resumed_frames = min(report.resumed_frames, report.frames)  # depth may have stored more than it drew
        if not parts.frames and not report.stopped:
            raise ClipError(
                f"No frame that was asked for of {self._clip.name} can be decoded. {' '.join(self._notices)}"
            )
        report.wall_s = round(time.perf_counter() - start, 3)
        report.seconds = {stage: round(spent, 3) for stage, spent in report.seconds.items()}
        fresh = report.frames - report.resumed_frames
        report.frames_per_s = round(fresh / report.wall_s, 4) if fresh and report.wall_s else None
        report.peak_memory_bytes = runtime.peak_memory_bytes()
        if parts.frames:
            self._write(parts, folder, stem)

    # ---- one pass ---------------------------------------------------------------------------------------------------

    def _all_in_one(self) -> None:
        parts, choices = self._parts, self._choices
        look = Looker(self._predictor, self._options, choices.detect_every, choices.keypoint_threshold)
        look.restore(parts.state)
        self._done = self._finished = skip = parts.frames
        if skip and self._predictor.task == "features":
            with self._stoppable():
                first = next(self._clip.frames(choices.chosen))
                self._like, _ = look(first, self._watch)
            if self.report.stopped:
                return

        def work(frame: Frame) -> tuple[Any, ...]:
            result, numbers = look(frame, self._watch)
            drawn = None
            if self._predictor.task == "features":
                self._like = self._like or result
                # While the network waits: its colours are products of matrices, which come out alike to the last bit
                # only where nobody changes the number of BLAS's threads meanwhile.
                drawn = self._picture(result, numbers)
            self._take_report(result)
            closes = (self._done + 1) % choices.segment == 0
            return result, numbers, drawn, look.state() if closes else None

        def finish(
            frame: Frame, result: Result, numbers: list[int] | None, drawn: np.ndarray | None, state: Any
        ) -> None:
            line = results.line(frame, result, numbers) if result.NAME in results.WRITTEN else None
            self._add(parts, frame, self._picture(result, numbers) if drawn is None else drawn, line, state)

        self._through(self._clip.frames(choices.chosen, skip), work, finish)
        self._lacks = self._clip.lacks

    # ---- depth: two passes ------------------------------------------------------------------------------------------

    def _depth(self) -> Parts:
        """Returns the parts that hold the video: after a stop in the first pass others, whose range is not the last."""
        clip, choices, parts = self._clip, self._choices, self._parts
        store = DepthStore(parts.folder / "depth", choices.style)
        look = Looker(self._predictor, self._options, 1, choices.keypoint_threshold)
        self._done = self._finished = self.report.resumed_frames = store.count

        def work(frame: Frame) -> tuple[Any, ...]:
            result, _ = look(frame, self._watch)
            self._take_report(result)
            return (result,)

        def keep(frame: Frame, result: PointmapResult) -> None:
            store.add(frame, result, keep_frame=clip.is_live)
            if self._on_frame is not None:
                self._tell(frame, self._picture(result, None, depth_range_m=store.range_m()))

        self._through(clip.frames(choices.chosen, store.count), work, keep)
        self._lacks = clip.lacks  # the second pass does not read on to the end
        if self.report.stopped:
            parts = Parts(parts.folder / "stopped", {}, choices.segment, resume=False)
        range_m, busy = store.range_m(), store.busy(clip.size_hw)
        self.report.depth_range_m = range_m
        first = parts.frames
        if clip.is_live:
            frames: Iterator[Frame] = (store.kept_frame(number) for number in range(first, store.count))
        else:
            frames = islice(clip.frames(choices.chosen, first), store.count - first)
        numbers = iter(range(first, store.count))

        def draw(frame: Frame) -> None:
            result = store.result(next(numbers), frame.rgb)
            self._add(parts, frame, self._picture(result, None, depth_range_m=range_m, busy=busy), None, None)

        self._done = self._finished = first
        self._times.clear()
        if self.report.stopped:  # what is stored is drawn all the same
            self._progress = no_progress
        self._through(frames, lambda frame: (), draw)
        return parts

    # ---- what both do -----------------------------------------------------------------------------------------------

    def _through(
        self, frames: Iterator[Frame], work: Callable[[Frame], tuple[Any, ...]], finish: Callable[..., None]
    ) -> None:
        """Every frame through `work`, here, and with what that gives through `finish`, on a thread behind. A stop ends
        it with what is done; the report says so."""
        ahead, behind = Ahead(frames, AHEAD), Behind(finish, 1)
        try:
            try:
                with self._stoppable():
                    self._watch("frames", 0, 0)
                    for frame in ahead:
                        behind.put(frame, *work(frame))
                        self._done += 1
                        self._watch("frames", 0, 0)
            except ClipError as problem:
                if not (self._clip.is_live and self._done):
                    raise
                self.report.stopped = True  # nothing can be had twice of a camera
                self._notices[str(problem)] = None
            behind.settle()
        finally:
            behind.close()
            ahead.close()

    @contextmanager
    def _stoppable(self) -> Iterator[None]:
        try:
            yield
        except CancelledError:
            self.report.stopped = True
        except KeyboardInterrupt:
            self.report.stopped = self.interrupted = True

    def _add(self, parts: Parts, frame: Frame, picture: np.ndarray, line: str | None, state: Any) -> None:
        every = self._choices.every
        made = Made(frame.pts, frame.duration * every, picture, line)
        parts.add(made, self._clip.rate / every, self._clip.time_base, state)
        self._tell(frame, picture)

    def _picture(self, result: Result, numbers: list[int] | None, **options: Any) -> np.ndarray:
        choices, task = self._choices, self._predictor.task
        if task == "pose":
            options["keypoint_threshold"] = choices.keypoint_threshold
        elif task == "matting":
            options["background"] = choices.background
        elif task == "hands":
            options["opacity"] = choices.mesh_opacity
        elif task == "features":
            options["like"] = self._like
        return views.shown(result, choices.view, numbers, style=choices.style, **options)

    def _watch(self, stage: str, done: float, total: float) -> None:
        """What the predictor tells of its stages is told as frames: there, a stop takes effect at once."""
        if stage in ("download", "load"):
            self._progress(stage, done, total)
        else:
            self._progress("frames", self._done, max(self._total or 0, self._done if self._total else 0))

    def _tell(self, frame: Frame, picture: np.ndarray) -> None:
        self._times.append(time.monotonic())
        self._finished += 1
        if self._on_frame is None:
            return
        span_s = self._times[-1] - self._times[0]
        rate = (len(self._times) - 1) / span_s if span_s > 0 else None
        done = self._finished
        total = max(self._total, done) if self._total else None
        left_s = (total - done) / rate if rate and total else None
        self._on_frame(Newest(frame.index, frame.time_s, done, total, rate, left_s, picture))

    def _take_report(self, result: Result) -> None:
        """How the results came about, from that of the first; notices and seconds from all."""
        report = result.report
        if report is None:
            return
        for stage, spent in report.seconds.items():
            self.report.seconds[stage] = self.report.seconds.get(stage, 0.0) + spent
        of_frame = self._notices_of_frame(result)
        self._notices |= dict.fromkeys(notice for notice in report.notices if notice not in of_frame)
        if not self.report.device or report.task == self.report.task != "detect":
            self._copy(report)

    def _notices_of_frame(self, result: Any) -> set[str]:
        """What is said of the hands of this frame alone: of a thousand frames that would be a thousand sentences."""
        if result.NAME != "hands":
            return set()
        from ..hands.network import AT_ONCE
        from ..tasks.hands import notices_of, notices_of_size

        frame_hw, is_crop = result.photo_rgb.shape[:2], self._options.hand_crop is not None
        return set(notices_of(result, frame_hw, is_crop, AT_ONCE)) - set(notices_of_size(frame_hw, is_crop))

    def _copy(self, report: Report) -> None:
        for name in ("device", "compute_dtype", "licence"):
            setattr(self.report, name, getattr(report, name))

    def _write(self, parts: Parts, folder: Path, stem: str) -> None:
        """The files, the report among them, which is told of all."""
        task, report, choices = self._predictor.task, self.report, self._choices
        paths: list[Path] = []
        if task in results.WRITTEN:
            rows = results.write(folder / f"{stem}_{task}.jsonl", parts.lines())
            paths.append(rows)
            if task == "hands":
                self._notices |= dict.fromkeys(results.without_hands(rows))
            if task == "pose" and choices.charts:
                table, chart = (folder / f"{stem}_pose_angles.{ending}" for ending in ("csv", "png"))
                threshold = choices.keypoint_threshold
                paths += charts.write_angles(results.read(rows), table, chart, threshold, self._clip.name)
        video = folder / f"{stem}_{task}.mp4"
        sound = self._clip.sound_path if choices.sound else None
        self._notices |= dict.fromkeys(join(parts.pieces(), video, self._clip.time_base, sound))
        about = folder / f"{stem}_{task}_clip.json"
        report.video, report.files = str(video), [str(path) for path in (video, *paths, about)]
        report.notices = list(self._notices)
        write_bytes(about, json.dumps(report.to_json(), indent=1).encode())


def _job(
    source: ClipSource, clip: Clip, predictor: Predictor, options: Options, choices: ClipChoices
) -> dict[str, Any]:
    """What a run that goes on with another's pieces has to have in common with it, by words for people."""
    about: list[Any] = [clip.name]
    if not (clip.is_live or isinstance(source, int)):
        path = expanded(source)
        stat = path.stat()
        about += [str(path.resolve()), stat.st_size if path.is_file() else clip.total, stat.st_mtime_ns]
    frames = asdict(choices)
    job = {
        "clip": about,
        "task": predictor.task,
        "size": predictor.size,
        "level": predictor.level,
        "weights": predictor.weights,
        **{name.replace("_", " "): _as_text(value) for name, value in (vars(options) | frames).items()},
        "version": [__version__, av.__version__],
    }
    return json.loads(json.dumps(job))


def _as_text(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return hashlib.sha256(value.tobytes()).hexdigest()
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, list | tuple):
        return [_as_text(one) for one in value]
    return str(value) if isinstance(value, Path) else getattr(value, "__qualname__", type(value).__name__)
