"""Task, size, level and a photo in; a result out. Everything that computes runs on the one inference thread."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from . import fetch, passes, runtime, tasks, zoo
from .detect import People, RTMDetDetector, validate_boxes, whole_photo
from .errors import WeightsError
from .files import expanded, is_there
from .image import ImageSource, given_mask, read_image
from .memory import guarded, guarding
from .models import models
from .options import NO_FOREGROUND, Options
from .runtime import Job, Progress, inference, no_progress
from .stages import Stages
from .tasks.base import Fitted, Report, Result
from .tasks.detect import DetectResult
from .weights import locate, store

if TYPE_CHECKING:
    from .detect_rfdetr import RFDETRDetector
    from .hands.find import Hands
    from .hands.network import HandNetworks

# By network: what there is to tell of its loading, for its next report. For the inference thread only.
_untold: dict[tuple[str, str, str, str | None], list[str]] = {}


@dataclass(frozen=True)
class Prepared:
    """A photo that was read before its turn, and for the tasks that take it whole fitted into inputs of `input_hw`.

    `photo_rgb` is (H, W, 3) uint8, not copied: nobody may write to it any more.
    """

    photo_rgb: np.ndarray
    fitted: Sequence[Fitted] | None = None
    input_hw: tuple[int, int] | None = None


class Predictor:
    """One task at one size and level. Making one is free: weights are looked for and read at the first photo."""

    def __init__(
        self, task: str, size: str | None = None, level: str | None = None, weights: str | Path | None = None
    ) -> None:
        """
        Args:
            task, size, level: names from zoo.py; default size zoo.DEFAULTS.size, default level by device. "detect"
                takes any size, and is the detector that goes with it; a file of one's own is taken for an RTMDet-m.
                "hands" takes any, too, for WiLoR, and comes at some levels.
            weights: a folder in the reference's layout, one file, or a model that says what it is, whose size and level
                are then the defaults: a folder that `convert --out`, mlx-vlm or transformers wrote, or such a
                repository on the hub as "owner/name". Default: see weights/locate.py.

        Raises:
            SapiensError: for a name that is not in the tables.
            WeightsError: when `weights` does not exist, or is a conversion that cannot be read.
        """
        self.task = zoo.task_row(task).name
        self.weights = None if weights is None else str(expanded(weights))
        if self.weights and not (is_there(Path(self.weights)) or locate.repo_named(self.weights)):
            raise WeightsError(
                f"There is no file or folder {weights}. Give the path of a checkpoint or weights folder."
            )
        own_detector = task == "detect" and self.weights is not None and Path(self.weights).is_file()
        given = store.given(self.weights) if task != "hands" else None
        if given is not None and given.task in (None, task):
            size, level = size or given.size, level or given.level
        self.checkpoint = zoo.checkpoint(task, size or ("rtmdet-m" if own_detector else zoo.DEFAULTS.size))
        self.size = self.checkpoint.size
        self._level = zoo.level_of(task, level).name if level else None
        # One model is one task's: the detector's and the mask's weights lie only in a folder of all.
        self._folder = self.weights if self.weights and Path(self.weights).is_dir() and given is None else None

    @property
    def level(self) -> str:
        """The quantization level; fp32 for the detector, whose weights are not quantized."""
        return "fp32" if self.task == "detect" else self._level or zoo.default_level(runtime.device())

    @property
    def _network(self) -> tuple[str, str, str, str | None]:
        return self.task, self.size, self.level, self.weights

    @property
    def module(self) -> nn.Module:
        """The network, loaded if need be: (B, *input_hw, 3) normalised float to the raw output, channels last. Of hands
        it is wilor-mlx's WiLoR, which is no module: (B, 256, 256, 3) uint8 to arrays by name."""
        return inference.run(self._load_module)

    def __call__(self, photo: ImageSource, *, progress: Progress = no_progress, **options: Any) -> Result:
        """The result for one photo.

        Args:
            photo: path, bytes, PIL image, or (H, W, 3) uint8 RGB array.
            progress: hears (stage, done, total), and may raise CancelledError.
            options: the fields of Options by name.

        Raises:
            ImageError, BoxError, WeightsError: each with a sentence that says what to do.
        """
        chosen = Options(**options)
        return fetch.then_run(fetch.missing(self, chosen), self._predict, photo, chosen, progress=progress)

    def submit(self, photo: "ImageSource | Prepared", options: "Options | None" = None) -> Job:
        """The same in the background: a Job to wait for, watch and cancel."""
        options = options or Options()
        if missing := fetch.missing(self, options):
            return runtime.aside(fetch.then_run, missing, self._predict, photo, options)
        return inference.submit(self._predict, photo, options)

    def prepare(self, photo_rgb: np.ndarray) -> "Prepared":
        """What `begin` takes: an (H, W, 3) uint8 photo, fitted for the network on the thread of the caller."""
        if self.task in ("pose", "detect", "hands"):  # there something has to be found first, by a network
            return Prepared(photo_rgb)
        input_hw = zoo.SIZES[self.size].input_hw
        return Prepared(photo_rgb, tasks.get(self.task).fit(photo_rgb, input_hw), input_hw)

    def begin(self, prepared: "Prepared", options: "Options | None" = None) -> Job:
        """As submit(), up to the network's end: the Job's result is a function without arguments that gives the Result.
        It is NumPy's work alone, and may be called once, on any thread, while the network is at the next photo."""
        return inference.submit(self._begin, prepared, options or Options())

    def mask_source(self) -> "Predictor | None":
        """What finds the people that pictures are cut to with foreground="auto": seg or matting, whichever's weights
        are on this machine; seg first, since it comes in every size. None where neither is.

        The demo's ship with the project; where their files are gone, seg's error says how to restore them.
        """
        candidates = [self._mask_predictor(task) for task in ("seg", "matting")]
        last_resort = candidates[0] if candidates[0].checkpoint.bundled else None
        return next((one for one in candidates if store.is_here(one.checkpoint, one.level, self._folder)), last_resort)

    def to_accept(self) -> list[str]:
        """The licences to show before this one's weights are downloaded, a line each. Empty where they are here, ask
        for nothing, or were accepted: see weights/consent.py.

        Raises:
            SapiensError: the task needs a package that is not installed.
        """
        if self.task != "hands":
            return []
        from .hands.weights import to_accept

        return to_accept(self.level, self.weights)

    def detector(self) -> "Predictor":
        """What finds people for this one where its task is pose: the detector that goes with its size, by itself."""
        return self if self.task == "detect" else Predictor("detect", self.size, weights=self._folder)

    def _mask_predictor(self, task: str) -> "Predictor":
        return Predictor(task, zoo.size_like(task, self.size), self._level, self._folder)

    # ---- on the inference thread ------------------------------------------------------------------------------------

    @guarding
    def _load_module(self, progress: Progress) -> nn.Module:
        try:
            if self.task == "detect":
                return models.detector(self.size, self.weights, progress)
            model = self._load(progress)
            return model.wilor if self.task == "hands" else model.module
        finally:
            self._keep_notices()

    def _load(self, progress: Progress) -> Any:
        """A store.Model, or of hands HandNetworks, which run alike."""
        if self.task == "hands":
            return models.hands(self.level, self.weights, progress)
        return models.estimator(self.task, self.size, self.level, self.weights, progress)

    def _predict(self, photo: "ImageSource | Prepared", options: Options, progress: Progress) -> Result:
        return self._begin(photo, options, progress)()

    @guarding
    def _begin(self, photo: "ImageSource | Prepared", options: Options, progress: Progress) -> Callable[[], Result]:
        """Everything that needs a network; what is called afterwards decodes and reports."""
        try:
            return self._begun(photo, options, progress)
        except BaseException:
            self._keep_notices()
            raise

    def _keep_notices(self) -> None:
        """For the next report of this network: what there was to tell has none, and the next may be somebody else's."""
        _untold.setdefault(self._network, []).extend(store.take_notices())

    def _begun(self, photo: "ImageSource | Prepared", options: Options, progress: Progress) -> Callable[[], Result]:
        stages = Stages()
        notices: list[str] = []
        # Its detector and its mask go with a network: where they are the demo's, so is the network, and once is enough.
        uses_weights = self.task != "detect" or (options.boxes_xyxy is None and options.detector == "rtmdet")
        if self.checkpoint.notice and uses_weights:
            notices.append(self.checkpoint.notice)
        if runtime.device() == "gpu":
            mx.reset_peak_memory()
        with stages.stage("fit"):
            prepared = photo if isinstance(photo, Prepared) else Prepared(read_image(photo))
        photo_rgb = prepared.photo_rgb

        mask = given_mask(options.foreground, photo_rgb.shape[:2])  # a bad one is told before the network runs
        people: People | Any = None
        model = None
        if self.task in ("pose", "detect"):
            people = self._people(photo_rgb, options, stages, notices, progress)
        if self.task == "detect":
            mask = None
            finish: Callable[[], Result] = partial(DetectResult, photo_rgb, people.boxes_xyxy, people.box_scores)
        else:
            with stages.stage("load"):
                model = self._load(progress)
            fit_options: dict[str, Any] = {}
            result_options: dict[str, Any] = {}
            if self.task == "hands":
                hands = self._hands(model, photo_rgb, options, stages, notices, progress)
                fit_options = {"hands": hands}
                result_options = {"hands": hands, "faces": model.faces, "vertices": options.vertices}
            if self.task == "pose":
                fit_options = {"boxes_xyxy": people.boxes_xyxy, "flip": options.flip}
                result_options = {"boxes_xyxy": people.boxes_xyxy, "box_scores": people.box_scores}
            if (enlarged := passes.enlarged(photo_rgb, self.size, model.input_hw)) is not None:
                notices.append(enlarged)
            finish = self._infer(model, prepared, stages, progress, fit_options, result_options)
            if mask is None and options.foreground != "none" and self.task not in NO_FOREGROUND:
                mask = self._found_mask(photo_rgb, str(options.foreground), stages, notices, progress)

        looked = people is not None and options.boxes_xyxy is None
        detector = options.detector if looked and isinstance(options.detector, str) else ""
        checkpoint = zoo.RFDETR_BASE if self.task == "detect" and detector == "rfdetr" else self.checkpoint
        report = Report(
            task=self.task,
            size=checkpoint.size,
            level=self.level,
            device=runtime.device_name(),
            compute_dtype=runtime.compute_dtype(zoo.level(self.level).dtype),
            licence=_licences(checkpoint),
            weights_bytes=model.nbytes if model else 0,
            quantized_share=model.quantized_share if model else 0.0,
            detector=detector,
            notices=notices + _untold.pop(self._network, []) + store.take_notices(),
        )

        def finished() -> Result:
            result = finish()
            if mask is not None:
                result.person_mask = mask
            if not result.is_finite():
                report.notices.append(passes.not_finite(self.level))
            report.seconds = {name: round(seconds, 4) for name, seconds in stages.seconds.items()}
            report.peak_memory_bytes = runtime.peak_memory_bytes()
            result.report = report
            return result

        return partial(guarded, finished, self.task, self.size, self.level)

    def _infer(
        self,
        model: store.Model,
        prepared: "Prepared",
        stages: Stages,
        progress: Progress,
        fit_options: dict[str, Any],
        result_options: dict[str, Any],
    ) -> Callable[[], Result]:
        """Fit and network, batch by batch, so that neither inputs nor raw outputs pile up; and what gives the result.

        Crops of people are decoded between the batches, for there may be many; a whole photo is when it is called for.
        """
        task = tasks.get(self.task)
        with stages.stage("fit"):
            fitted = prepared.fitted
            if fitted is None or prepared.input_hw != model.input_hw:
                fitted = task.fit(prepared.photo_rgb, model.input_hw, **fit_options)
        most, count = passes.inputs_at_once(model), len(fitted)
        parts: deque[Any] = deque()

        def decoded(raw: Any, one: Fitted, number: int) -> Any:
            with stages.stage("decode"):
                self._naming(progress, number, count)("decode", 0, 1)
                return task.decode(raw, one)

        for batch in stages.each("fit", passes.batches(fitted, most)):
            pixels = np.concatenate([one.pixels for one in batch])
            with stages.stage("network"):
                raw = passes.in_turns(model, pixels, most, self._naming(progress, len(parts), count))
            start = 0
            for one in batch:
                rows = slice(start, start := start + len(one.pixels))
                part = partial(decoded, passes.cut(raw, rows), one, len(parts))
                parts.append(part() if self.task == "pose" else part)
            del raw  # 120 MB of a person and its mirror image, in the way of the next network

        def finish() -> Result:
            ready = [part() if self.task != "pose" else part for part in passes.emptied(parts)]
            with stages.stage("decode"):
                return task.result(ready, prepared.photo_rgb, **result_options)

        return finish

    def _naming(self, progress: Progress, done: int, total: int) -> Progress:
        """With several people or hands, the network's reports say which one it is at."""
        if total < 2:
            return progress
        what = "hand" if self.task == "hands" else "person"
        return lambda stage, blocks, all_blocks: progress(f"{what} {done + 1} of {total}", blocks, all_blocks)

    def _hands(
        self,
        model: "HandNetworks",
        photo_rgb: np.ndarray,
        options: Options,
        stages: Stages,
        notices: list[str],
        progress: Progress,
    ) -> "Hands":
        from .hands import find
        from .tasks.hands import notices_of

        photo_hw = photo_rgb.shape[:2]
        model.use_norms(options.hand_norms)
        if options.hand_crop is not None:
            hands = find.whole(photo_hw, options.hand_crop)
        else:
            with stages.stage("detect"):
                progress("hands", 0, 1)
                hands = find.find(model.detector, photo_rgb, options.hand_threshold, options.hand_iou)
        notices += notices_of(hands, photo_hw, options.hand_crop is not None, passes.inputs_at_once(model))
        return hands

    def _people(
        self, photo_rgb: np.ndarray, options: Options, stages: Stages, notices: list[str], progress: Progress
    ) -> People:
        photo_hw, detector = photo_rgb.shape[:2], options.detector
        if options.boxes_xyxy is not None:
            boxes = validate_boxes(options.boxes_xyxy, photo_hw)
            return People(boxes, np.ones(len(boxes), np.float32))
        if isinstance(detector, str):
            if detector == "none":
                return whole_photo(photo_hw)
            weights = self.detector().weights
            with stages.stage("load"):
                network: RFDETRDetector | RTMDetDetector
                if detector == "rfdetr":
                    network = models.rfdetr(weights, progress)
                else:
                    network = RTMDetDetector(models.detector(self.size, weights, progress))
            detector = partial(network, box_threshold=options.box_threshold, nms_threshold=options.nms_threshold)
        with stages.stage("detect"):
            progress("detect", 0, 1)
            people = detector(photo_rgb)
        if len(people) == 0 and self.task == "pose":
            notices.append("Nobody was found, so the whole photo was taken as one person.")
            return whole_photo(photo_hw)
        return people

    def _found_mask(
        self, photo_rgb: np.ndarray, foreground: str, stages: Stages, notices: list[str], progress: Progress
    ) -> np.ndarray | None:
        """(H, W) bool from a second network. None, with a notice, where "auto" finds no weights that can be used."""
        source = self.mask_source() if foreground == "auto" else self._mask_predictor(foreground)
        if source is None:
            notices.append(
                "People are not cut out: neither seg nor matting weights are on this machine. "
                "Run Body parts once to get them."
            )
            return None
        try:
            with stages.stage("foreground"):
                progress = _as_foreground(progress)
                found: Any = source._infer(source._load(progress), Prepared(photo_rgb), Stages(), progress, {}, {})()
                return found.foreground_mask()
        except WeightsError as problem:
            if foreground != "auto":
                raise
            notices.append(f"People are not cut out: {problem}")
            return None


def _licences(checkpoint: zoo.Checkpoint) -> str:
    """By name, for the report; of hands those of all that they are made with."""
    if checkpoint.task != "hands":
        return checkpoint.licence.name
    return ", ".join(f"{licence.name} ({what})" for what, licence in zoo.HANDS_LICENCES.items())


def _as_foreground(progress: Progress) -> Progress:
    """The network of the mask reports as the stage "foreground"."""
    return lambda stage, done, total: progress("foreground" if stage == "network" else stage, done, total)
