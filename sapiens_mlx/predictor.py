"""Task, size, level and a photo in; a result out. Everything that computes runs on the one inference thread."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from . import runtime, tasks, zoo
from .detect import Detector, People, RTMDetDetector, validate_boxes, whole_photo
from .errors import SapiensError, WeightsError
from .image import ImageSource, read_image, read_mask
from .inventory import activation_bytes
from .models import models
from .runtime import Job, Progress, inference, no_progress
from .tasks.base import Fitted, Report, Result
from .tasks.detect import DetectResult
from .tasks.fit import normalise
from .weights import locate, store

if TYPE_CHECKING:
    from .hands.find import Hands
    from .hands.network import HandNetworks

# On the CPU two inputs at once gain 5 % at the size demo, and more of them, or of a larger network, nothing: 0.4b pose
# takes as long an input, 0.5 GB more, and Stop would wait for both.
CPU_BATCH, CPU_BATCH_BYTES = 2, 1e9


# A photo with less than this share of the 4K network's pixels is told that it is enlarged.
SMALL_SHARE = 0.25

FOREGROUNDS = ("none", "auto", "matting", "seg")
NO_FOREGROUND = ("pose", "seg", "matting", "hands")  # tasks whose pictures are not cut to people
HAND_SIDES = ("left", "right")
HAND_NORMS = ("package", "trained")


@dataclass(frozen=True)
class Options:
    """What can be chosen for one photo.

    `boxes_xyxy` are (P, 4) people in photo pixels, for pose; no detector is loaded then. `detector` is "rtmdet",
    "rfdetr" (with the optional package mlx-vlm), "none" (the whole photo is one person) or a callable, photo to People;
    its thresholds are 0..1. `flip` averages pose with the mirrored photo, as the reference does. `foreground` is what
    pictures and meshes of the dense tasks are cut to: "none", "auto", "matting", "seg", an (H, W) bool array, or a
    picture file that is light on people.

    Of hands: `hand_threshold` and `hand_iou` are those of the hand detector, 0..1. `vertices` of False leaves the
    meshes out and gives points alone. `hand_crop` of "left" or "right" says that the photo is a ready crop of that
    hand: none is looked for. `hand_norms` is how the network's refinement normalises: "package", each hand by itself,
    as wilor-mlx 0.3 does; or "trained", by the statistics that came with the weights, as WiLoR in PyTorch.
    """

    boxes_xyxy: Sequence[Sequence[float]] | np.ndarray | None = None
    detector: "str | Detector" = "rtmdet"
    box_threshold: float = zoo.DEFAULTS.box_threshold
    nms_threshold: float = zoo.DEFAULTS.nms_threshold
    flip: bool = zoo.DEFAULTS.flip
    foreground: str | Path | np.ndarray = zoo.DEFAULTS.foreground
    hand_threshold: float = zoo.DEFAULTS.hand_threshold
    hand_iou: float = zoo.DEFAULTS.hand_iou
    vertices: bool = True
    hand_crop: str | None = None
    hand_norms: str = zoo.DEFAULTS.hand_norms

    def __post_init__(self) -> None:
        if isinstance(self.detector, str) and self.detector not in zoo.DETECTORS:
            raise SapiensError(
                f"There is no detector {self.detector!r}. Choose one of: {', '.join(zoo.DETECTORS)}; "
                "or pass a function of your own, photo to People."
            )
        if self.hand_crop is not None and self.hand_crop not in HAND_SIDES:
            raise SapiensError(f"There is no {self.hand_crop!r} hand. Say whether the crop is of a left or right one.")
        if self.hand_norms not in HAND_NORMS:
            raise SapiensError(f"There are no norms {self.hand_norms!r}. Choose one of: {', '.join(HAND_NORMS)}.")
        for name in ("box_threshold", "nms_threshold", "hand_threshold", "hand_iou"):
            if not 0 <= getattr(self, name) <= 1:  # nor is NaN
                raise SapiensError(f"{name} is {getattr(self, name)}. Give a number from 0 to 1.")


@dataclass(frozen=True)
class Prepared:
    """A photo that was read before its turn, and for the tasks that take it whole fitted into inputs of `input_hw`.

    `photo_rgb` is (H, W, 3) uint8, not copied: nobody may write to it any more.
    """

    photo_rgb: np.ndarray
    fitted: Sequence[Fitted] | None = None
    input_hw: tuple[int, int] | None = None


@dataclass
class _Stages:
    """Seconds by stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def each(self, name: str, batches: Iterator[list[Fitted]]) -> Iterator[list[Fitted]]:
        """The batches; the time it takes to make them counts as that stage's."""
        while True:
            with self.stage(name):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch


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
        self.weights = None if weights is None else str(Path(weights).expanduser())
        if self.weights and not (Path(self.weights).exists() or locate.repo_named(self.weights)):
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
        return inference.run(self._predict, photo, Options(**options), progress=progress)

    def submit(self, photo: ImageSource, options: "Options | None" = None) -> Job:
        """The same in the background: a Job to wait for, watch and cancel."""
        return inference.submit(self._predict, photo, options or Options())

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

    def _load_module(self, progress: Progress) -> nn.Module:
        if self.task == "detect":
            return models.detector(self.size, self.weights, progress)
        if self.task == "hands":
            return models.hands(self.level, self.weights, progress).wilor
        return self._load(progress).module

    def _load(self, progress: Progress) -> "store.Model | HandNetworks":
        if self.task == "hands":
            return models.hands(self.level, self.weights, progress)
        return models.estimator(self.task, self.size, self.level, self.weights, progress)

    def _predict(self, photo: ImageSource, options: Options, progress: Progress) -> Result:
        return self._begin(photo, options, progress)()

    def _begin(self, photo: "ImageSource | Prepared", options: Options, progress: Progress) -> Callable[[], Result]:
        """Everything that needs a network; what is called afterwards decodes and reports."""
        stages, notices = _Stages(), []
        # Its detector and its mask go with a network: where they are the demo's, so is the network, and once is enough.
        uses_weights = self.task != "detect" or (options.boxes_xyxy is None and options.detector == "rtmdet")
        if self.checkpoint.notice and uses_weights:
            notices.append(self.checkpoint.notice)
        if runtime.device() == "gpu":
            mx.reset_peak_memory()
        with stages.stage("fit"):
            prepared = photo if isinstance(photo, Prepared) else Prepared(read_image(photo))
        photo_rgb = prepared.photo_rgb

        given_mask = _given_mask(options.foreground, photo_rgb.shape[:2])  # a bad one is told before the network runs
        people = model = None
        if self.task in ("pose", "detect"):
            people = self._people(photo_rgb, options, stages, notices, progress)
        mask = None
        if self.task == "detect":
            finish: Callable[[], Result] = partial(DetectResult, photo_rgb, people.boxes_xyxy, people.box_scores)
        else:
            with stages.stage("load"):
                model = self._load(progress)
            fit_options, result_options = {}, {}
            if self.task == "hands":
                hands = self._hands(model, photo_rgb, options, stages, notices, progress)
                fit_options = {"hands": hands}
                result_options = {"hands": hands, "faces": model.faces, "vertices": options.vertices}
            if self.task == "pose":
                fit_options = {"boxes_xyxy": people.boxes_xyxy, "flip": options.flip}
                result_options = {"boxes_xyxy": people.boxes_xyxy, "box_scores": people.box_scores}
            if (enlarged := _enlarged(photo_rgb, self.size, model.input_hw)) is not None:
                notices.append(enlarged)
            finish = self._infer(model, prepared, stages, progress, fit_options, result_options)
            if given_mask is not None:
                mask = given_mask
            elif options.foreground != "none" and self.task not in NO_FOREGROUND:
                mask = self._found_mask(photo_rgb, options.foreground, stages, notices, progress)

        looked = people is not None and options.boxes_xyxy is None and isinstance(options.detector, str)
        detector = options.detector if looked else ""
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
            notices=notices + store.take_notices(),
        )

        def finished() -> Result:
            result = finish()
            if mask is not None:
                result.person_mask = mask
            report.seconds = {name: round(seconds, 4) for name, seconds in stages.seconds.items()}
            report.peak_memory_bytes = runtime.peak_memory_bytes()
            result.report = report
            return result

        return finished

    def _infer(
        self,
        model: store.Model,
        prepared: "Prepared",
        stages: _Stages,
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
        most, parts, count = _inputs_at_once(model), deque(), len(fitted)

        def decoded(raw: Any, one: Fitted, number: int) -> Any:
            with stages.stage("decode"):
                self._naming(progress, number, count)("decode", 0, 1)
                return task.decode(raw, one)

        for batch in stages.each("fit", _batches(fitted, most)):
            pixels = np.concatenate([one.pixels for one in batch])
            with stages.stage("network"):
                raw = _forward_in_turns(model, pixels, most, self._naming(progress, len(parts), count))
            start = 0
            for one in batch:
                rows = slice(start, start := start + len(one.pixels))
                part = partial(decoded, _cut(raw, rows), one, len(parts))
                parts.append(part() if self.task == "pose" else part)
            del raw  # 120 MB of a person and its mirror image, in the way of the next network

        def finish() -> Result:
            ready = [part() if self.task != "pose" else part for part in _emptied(parts)]
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
        stages: _Stages,
        notices: list[str],
        progress: Progress,
    ) -> "Hands":
        from .hands import find, network
        from .tasks.hands import notices_of

        photo_hw = photo_rgb.shape[:2]
        model.use_norms(options.hand_norms)
        if options.hand_crop is not None:
            hands = find.whole(photo_hw, options.hand_crop)
        else:
            with stages.stage("detect"):
                progress("hands", 0, 1)
                hands = find.find(model.detector, photo_rgb, options.hand_threshold, options.hand_iou)
        notices += notices_of(hands, photo_hw, options.hand_crop is not None, network.AT_ONCE)
        return hands

    def _people(
        self, photo_rgb: np.ndarray, options: Options, stages: _Stages, notices: list[str], progress: Progress
    ) -> People:
        photo_hw, detector = photo_rgb.shape[:2], options.detector
        if options.boxes_xyxy is not None:
            boxes = validate_boxes(options.boxes_xyxy, photo_hw)
            return People(boxes, np.ones(len(boxes), np.float32))
        if isinstance(detector, str):
            if detector == "none":
                return whole_photo(photo_hw)
            weights = self.weights if self.task == "detect" else self._folder
            with stages.stage("load"):
                if detector == "rfdetr":
                    network = models.rfdetr(weights, progress)
                else:
                    network = RTMDetDetector(models.detector(self.size, weights, progress))
            thresholds = {"box_threshold": options.box_threshold, "nms_threshold": options.nms_threshold}
            detector = partial(network, **thresholds)
        with stages.stage("detect"):
            progress("detect", 0, 1)
            people = detector(photo_rgb)
        if len(people) == 0 and self.task == "pose":
            notices.append("Nobody was found, so the whole photo was taken as one person.")
            return whole_photo(photo_hw)
        return people

    def _found_mask(
        self, photo_rgb: np.ndarray, foreground: str, stages: _Stages, notices: list[str], progress: Progress
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
                found = source._infer(source._load(progress), Prepared(photo_rgb), _Stages(), progress, {}, {})()
                return found.foreground_mask()
        except WeightsError as problem:
            if foreground != "auto":
                raise
            notices.append(f"People are not cut out: {problem}")
            return None


def _given_mask(foreground: str | Path | np.ndarray, photo_hw: tuple[int, int]) -> np.ndarray | None:
    """The user's own mask as (H, W) bool; None where `foreground` is a word."""
    if isinstance(foreground, np.ndarray):
        if foreground.shape != photo_hw:
            raise SapiensError(f"The mask is {foreground.shape}, the photo {photo_hw}. Make them equal.")
        return foreground.astype(bool)
    return None if foreground in FOREGROUNDS else read_mask(foreground, photo_hw)


def _licences(checkpoint: zoo.Checkpoint) -> str:
    """By name, for the report; of hands those of all that they are made with."""
    if checkpoint.task != "hands":
        return checkpoint.licence.name
    return ", ".join(f"{licence.name} ({what})" for what, licence in zoo.HANDS_LICENCES.items())


def _enlarged(photo_rgb: np.ndarray, size: str, input_hw: tuple[int, int]) -> str | None:
    """What there is to say of a photo that the 4K network gains nothing from; None for any other."""
    photo_pixels, pixels = photo_rgb[..., 0].size, input_hw[0] * input_hw[1]
    if not zoo.size_row(size).tokenizer_layers or photo_pixels > SMALL_SHARE * pixels:
        return None
    height, width = photo_rgb.shape[:2]
    return (
        f"The photo is {width} x {height} pixels, and {size} takes {input_hw[1]} x {input_hw[0]}: it was enlarged, "
        "which adds no detail. For a photo of this size choose another size of the network."
    )


# ---- the network ----------------------------------------------------------------------------------------------------


def forward(model: store.Model, pixels: np.ndarray, progress: Progress) -> Any:
    """Raw output for (n, h, w, 3) uint8 RGB as float32 NumPy."""
    progress("network", 0, 1)
    raw = model.run(mx.array(pixels if model.takes_bytes else normalise(pixels)), progress)
    outputs = raw if isinstance(raw, tuple) else (raw,)
    arrays = tuple(np.array(output.astype(mx.float32), copy=False) for output in outputs)
    return arrays if isinstance(raw, tuple) else arrays[0]


def _forward_in_turns(model: store.Model, pixels: np.ndarray, most: int, progress: Progress) -> Any:
    """forward() of at most `most` inputs at a time: where memory is short, a crop goes before its mirror image."""
    starts = range(0, len(pixels), most)
    raws = [
        forward(model, pixels[start : start + most], _turn_of(progress, turn, len(starts)))
        for turn, start in enumerate(starts)
    ]
    if len(raws) == 1:
        return raws[0]
    if isinstance(raws[0], tuple):
        return tuple(np.concatenate(arrays) for arrays in zip(*raws, strict=True))
    return np.concatenate(raws)


def _turn_of(progress: Progress, turn: int, turns: int) -> Progress:
    """The reports of one network after another count on."""
    return lambda stage, done, total: progress(stage, turn * total + done, turns * total)


def _emptied(parts: deque) -> Iterator[Any]:
    """Its elements in order, each out of it before it is handed on, so that nothing else holds them."""
    while parts:
        yield parts.popleft()


def _cut(raw: Any, rows: slice) -> Any:
    return tuple(array[rows] for array in raw) if isinstance(raw, tuple) else raw[rows]


def _as_foreground(progress: Progress) -> Progress:
    """The network of the mask reports as the stage "foreground"."""
    return lambda stage, done, total: progress("foreground" if stage == "network" else stage, done, total)


def _inputs_at_once(model: store.Model) -> int:
    """How many inputs go through the network together: what fits half of the memory that the weights leave, and on the
    CPU few enough that they take no more than CPU_BATCH_BYTES."""
    if model.takes_bytes:
        from .hands import network

        room = (runtime.memory_limit_bytes() - models.nbytes) / 2 / network.HAND_BYTES
        return max(1, min(network.AT_ONCE, int(room)))
    embed_dim = model.backbone.config.embed_dim
    bytes_each = activation_bytes(embed_dim, model.input_hw, model.compute_dtype.size)
    most = (runtime.memory_limit_bytes() - models.nbytes) / 2 / bytes_each
    if runtime.device() == "cpu":
        most = min(most, CPU_BATCH, CPU_BATCH_BYTES / bytes_each)
    return max(1, int(most))


def _batches(fitted: Sequence[Fitted], most: int) -> Iterator[list[Fitted]]:
    """Runs of `fitted` with at most `most` inputs each; what belongs together stays together, be it more than `most`.

    Besides a run only the first of the next one is held.
    """
    batch: list[Fitted] = []
    for one in fitted:
        if batch and sum(len(other.pixels) for other in batch) + len(one.pixels) > most:
            yield batch
            batch = []
        batch.append(one)
    if batch:
        yield batch
