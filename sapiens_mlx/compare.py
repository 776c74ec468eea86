"""One photo at several sizes and levels: a result, a picture of it and of the differences, and numbers, each in turn.

What is done is told by compare_files.py: as JSON, tables, a picture, files.

for entry in compare("photo.jpg", "seg", ["demo:fp32", "demo:4bit"]):
    print(entry.variant, entry.agreement)
"""

import logging
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from . import fetch, passes, runtime, tasks, zoo
from .detect import validate_boxes
from .errors import SapiensError
from .image import ImageSource, given_mask, read_image, shrink
from .memory import guarded
from .models import models
from .options import FOREGROUNDS, Options
from .predictor import Predictor
from .runtime import Job, Progress, inference, no_progress
from .sheet import PICTURE_PX, Bar
from .tasks.agreement import Agreement
from .tasks.base import Report, Result
from .variants import Variant, check, chosen, most_precise
from .weights import conversion, locate

log = logging.getLogger(__name__)

LEAST_PEOPLE = 0.001  # of the photo: fewer pixels are nobody, and figures over them would mean nothing
RUNS = 3  # of each network; the median counts
SLOW_S = 3.0  # one run is enough where the CPU takes longer: its first is then no slower than the others
NO_HAND = (
    "no hand was found in the photo, so that there is nothing to compare. Take one with larger hands; on the command "
    "line also lower --hand-threshold, or say which hand a crop is of with --hand-crop."
)
ON_THE_CPU = "On the CPU every level computes in float32, so the rounding of 16-bit activations is absent here."


@dataclass(frozen=True)
class Cost:
    """What a variant takes. Bytes count weights as they are stored at its level.

    `network_seconds` is the median of `runs`. `file_bytes` is the file that holds the weights, or where none is kept,
    as of the demo's conversions, their tensors. `weights_bytes` is what they occupy in memory. `peak_memory_bytes` is
    the most that was held while loading and running (MLX's count on a GPU; on the CPU the process, less the pictures
    and results of other variants); None where the system does not tell. `quantized_share` (0..1) is of the numbers
    that make up the network.
    """

    network_seconds: float
    runs: int
    file_bytes: int
    weights_bytes: int
    peak_memory_bytes: int | None
    quantized_share: float


@dataclass
class Entry:
    """One variant, done: either `error` says why there is nothing, or all the rest is there.

    `picture` and `heat_map` are (H, W, 3) uint8 at photo size; the heat map is of the differences from the reference.
    Set `result` to None where its arrays are no longer needed: ten of a large photo are gigabytes.
    """

    variant: Variant
    error: str | None = None
    result: Result | Any = field(default=None, repr=False)
    report: Report | Any = None
    cost: Cost | Any = None
    agreement: Agreement | Any = None
    picture: np.ndarray | Any = field(default=None, repr=False)
    heat_map: np.ndarray | Any = field(default=None, repr=False)
    tile: tuple[np.ndarray, np.ndarray] | None = field(default=None, repr=False)  # both, small, for the sheet


def compare(
    photo: ImageSource,
    task: str,
    variants: Sequence[Variant | str],
    reference: Variant | str | None = None,
    **options: Any,
) -> "Comparison":
    """A comparison, to iterate over: each step computes one variant. Arguments and errors are those of Comparison."""
    return Comparison(photo, task, variants, reference, **options)


class Comparison:
    """Several variants on one photo. Iterating computes what is not yet done; `entries` holds what is.

    The reference is computed first, since all others are measured by it, then the rest in the order asked. Only one
    network is in memory at a time. Where a variant fails, its entry says why, and the others go on; Stop (a
    CancelledError out of `progress`) keeps what is done, and iterating again goes on from there.
    """

    def __init__(
        self,
        photo: ImageSource,
        task: str,
        variants: Sequence[Variant | str],
        reference: Variant | str | None = None,
        *,
        weights: str | Path | None = None,
        runs: int | None = None,
        foreground: str | Path | np.ndarray = "auto",
        name: str | None = None,
        **options: Any,
    ) -> None:
        """
        Args:
            photo: path, bytes, PIL image, or (H, W, 3) uint8 RGB array.
            variants: 2 to 10, as Variant or as text ("0.4b:bf16").
            reference: what all are measured by, one of them or another; a level alone is looked for among them, at
                the largest size. Default: the most precise level of those that fit the memory, at the largest size;
                should it fail, the next takes its place, and `notices` says so.
            weights: as for Predictor.
            runs: how often each network runs, of which the median is taken; default 3, or 1 where the CPU takes more
                than 3 s for the first.
            foreground: where normals, depth and albedo are compared: "auto" (over people, when weights that find them
                are here), "none" (everywhere), an (H, W) bool array, or a picture file that is light on people.
            name: the photo's, for what is written; default its file's.
            options: those of options.Options for pose. People are found once, and are the same for all.

        Raises:
            SapiensError: for variants that cannot be compared, a name that is not in the tables, a bad photo.
        """
        self.task = zoo.task_row(task).name
        self.figures = tasks.figures(task)
        if not self.figures:
            compared = ", ".join(name for name in zoo.task_names() if tasks.figures(name))
            raise SapiensError(f"Results of {task} cannot be compared. Choose one of: {compared}.")
        parsed = [one if isinstance(one, Variant) else Variant.parse(one) for one in variants]
        self.variants = [one.of_task(self.task) for one in parsed]
        self._asked_reference = None if reference is None else chosen(reference, self.variants).of_task(self.task)
        check(self.variants, self._asked_reference)
        if not zoo.task_row(task).across_sizes and _sizes_differ(*self.variants, self._asked_reference):
            raise SapiensError(
                f"{zoo.task_row(task).title} of different sizes have nothing in common to compare. Choose one size."
            )
        self.weights = None if weights is None else str(weights)
        for variant in {*self.variants, self._asked_reference or self.variants[0]}:
            self._predictor(variant)  # checks size and weights
        if runs is not None and runs < 1:
            raise SapiensError(f"{runs} runs are too few. Give 1 or more.")
        self.runs = runs
        self.options = Options(**options)  # foreground is ours: it is found once
        self.photo_rgb = read_image(photo)
        if self.options.boxes_xyxy is not None:
            validate_boxes(self.options.boxes_xyxy, self.photo_rgb.shape[:2])
        self.name = name or (Path(photo).name if isinstance(photo, str | Path) else "photo.png")
        self.foreground = foreground
        if isinstance(foreground, str) and foreground in {*FOREGROUNDS} - {"auto", "none"}:
            raise SapiensError(f"Results cannot be compared over {foreground}. Choose auto, none, or a picture file.")
        self._mask = given_mask(foreground, self.photo_rgb.shape[:2])
        self.reference = self._asked_reference or most_precise(self.variants)
        self.running: Variant | None = None
        self.notices: list[str] = [ON_THE_CPU] if runtime.device() == "cpu" else []
        self._done: dict[Variant, Entry] = {}
        self._reference_result: Any = None
        self.bar: Bar | None = None

    def __iter__(self) -> Iterator[Entry]:
        return self.run()

    @property
    def entries(self) -> list[Entry]:
        """What is done, in the order asked; a reference that was not among the variants stands first."""
        order = [*([] if self.reference in self.variants else [self.reference]), *self.variants]
        return [self._done[variant] for variant in order if variant in self._done]

    @property
    def is_mixed(self) -> bool:
        """Whether sizes differ, so that a level alone does not name a variant."""
        return _sizes_differ(*self.variants, self.reference)

    def run(self, progress: Progress = no_progress) -> Iterator[Entry]:
        """Computes what is not yet done and yields each entry as it ends; `running` names the one under way.

        Raises:
            SapiensError: when the reference that was asked for fails: there is nothing to measure by then.
            CancelledError: from `progress`.
        """
        while (variant := self._next()) is not None:
            self.running = variant
            self._done.pop(variant, None)  # the reference, where it failed before
            try:
                entry = self._entry(variant, progress)
            finally:
                self.running = None
            self._done[variant] = entry
            if entry.error and variant == self.reference:
                self._replace_reference(entry)
            yield entry
        self._reference_result = None  # 144 MB of 12 megapixels

    def submit(self) -> Job:
        """One step of run() in the background; what it has to download comes before its turn on the inference thread.
        The Job's result is the entry, or None where all is done."""
        variant = self._next()
        missing = variant is not None and fetch.missing(self._predictor(variant), self.options)
        begin = runtime.aside if missing else inference.submit
        return begin(lambda progress: next(self.run(progress), None))

    def arrays(self) -> Iterator[np.ndarray]:
        """All that is kept of it in memory, but for the tiles, which are small; some may come twice."""
        entries = list(self._done.values())
        for one in (self, self._reference_result, *entries, *(entry.result for entry in entries)):
            if one is not None:
                yield from (value for value in list(vars(one).values()) if isinstance(value, np.ndarray))

    def _next(self) -> Variant | None:
        """What is computed next; a reference that has failed, again, as long as anything is left to measure by it."""
        left = [one for one in self.variants if one not in self._done]
        before = self._done.get(self.reference)
        return self.reference if before is None or (left and before.error) else next(iter(left), None)

    def _replace_reference(self, failed: Entry) -> None:
        if self._asked_reference is not None:
            raise SapiensError(f"There is nothing to compare with: {failed.error}")
        left = [variant for variant in self.variants if variant not in self._done]
        if left:
            self.reference = most_precise(left)
            self._notice(f"{failed.variant} failed, so {self.reference} is the reference in its place.")

    def _notice(self, text: str) -> None:
        if text not in self.notices:
            self.notices.append(text)

    @property
    def predictors(self) -> list[Predictor]:
        """One for each variant that is computed, the reference among them."""
        return [self._predictor(variant) for variant in dict.fromkeys([self.reference, *self.variants])]

    def _predictor(self, variant: Variant) -> Predictor:
        return Predictor(self.task, variant.size, variant.level, self.weights)

    # ---- computing --------------------------------------------------------------------------------------------------

    def _entry(self, variant: Variant, progress: Progress) -> Entry:
        try:
            missing = fetch.missing(self._predictor(variant), self.options)
            work = partial(fetch.then_run, missing, self._computed, variant, progress=progress)
            return guarded(work, self.task, variant.size, variant.level)
        except SapiensError as problem:
            return Entry(variant, f"{variant}: {problem}")
        except RuntimeError as problem:  # MLX's own: a kernel that is not there, say
            if isinstance(problem.__cause__, KeyboardInterrupt):  # so Python 3.11 tells of Ctrl-C during an import
                raise problem.__cause__ from None
            log.error("%s could not be computed", variant, exc_info=problem)
            return Entry(variant, f"{variant} could not be computed here. Choose a smaller size or another level.")

    def _computed(self, variant: Variant, progress: Progress) -> Entry:
        """In one turn on the inference thread, so that nobody else's network counts as this one's."""
        result, cost = self._measure(variant, progress)
        reference = self._reference_result
        if variant == self.reference:
            self._find_people(result, progress)
            reference = self._reference_result = result
        result.person_mask = reference.person_mask
        return self._compared(Entry(variant, None, result, result.report, cost), reference)

    def _measure(self, variant: Variant, progress: Progress) -> tuple[Result, Cost]:
        predictor = self._predictor(variant)
        models.clear()  # so that one variant's memory is not counted as another's
        can_tell_peak = _forget_peak()
        result: Any = predictor(self.photo_rgb, progress=progress, **vars(self.options))
        if not result.is_finite():
            raise SapiensError(passes.not_finite(variant.level))
        if self.task == "hands" and not len(result):
            raise SapiensError(NO_HAND)
        result.photo_rgb = self.photo_rgb  # one copy for all
        self._share_people(result)
        for notice in result.report.notices:
            self._notice(notice)
        reports = [result.report]
        while len(reports) < self._wanted_runs(reports[0]):
            again = predictor(self.photo_rgb, progress=progress, **vars(self.options))  # with the boxes that were found
            reports.append(again.report)
        peak_bytes = max(report.peak_memory_bytes for report in reports) - self._kept_bytes()
        cost = Cost(
            network_seconds=statistics.median(report.seconds["network"] for report in reports),
            runs=len(reports),
            file_bytes=_file_bytes(predictor) or result.report.weights_bytes,
            weights_bytes=result.report.weights_bytes,
            peak_memory_bytes=peak_bytes if can_tell_peak else None,
            quantized_share=result.report.quantized_share,
        )
        return result, cost

    def _wanted_runs(self, first: Report) -> int:
        slow = runtime.device() == "cpu" and first.seconds["network"] > SLOW_S
        return self.runs or (1 if slow else RUNS)

    def _kept_bytes(self) -> int:
        """What the variants that are done hold of the process's memory; of MLX's they hold nothing."""
        if runtime.device() == "gpu":
            return 0
        arrays = {id(array): array for array in self.arrays() if array is not self.photo_rgb}
        return sum(array.nbytes for array in arrays.values())

    def _share_people(self, result: Any) -> None:
        """The boxes of the first pose are everyone's; its scores, too, since boxes that are given have none."""
        if self.task != "pose":
            return
        if self._reference_result is not None:
            result.box_scores = self._reference_result.box_scores
        else:
            self.options = Options(**vars(self.options) | {"boxes_xyxy": result.boxes_xyxy})

    def _find_people(self, reference: Result, progress: Progress) -> None:
        """The mask that normals, depth and albedo are compared over, by a network of its own."""
        if not reference.OVER_PEOPLE:
            return
        if self._mask is None and isinstance(self.foreground, str) and self.foreground == "auto":
            try:
                self._mask = self._people(progress)
            except SapiensError as problem:
                self._notice(f"Figures are over the whole photo: {problem}")
        reference.person_mask = self._mask

    def _people(self, progress: Progress) -> np.ndarray:
        """(H, W) bool; SapiensError where there is nobody, or nothing to find them with."""
        source = self._predictor(self.reference).mask_source()
        if source is None:
            raise SapiensError("neither seg nor matting weights are on this machine.")
        found: Any = source(self.photo_rgb, progress=progress)
        mask = found.foreground_mask()
        if mask.mean() < LEAST_PEOPLE:
            raise SapiensError("nobody was found in it.")
        return mask

    def _compared(self, entry: Entry, reference: Result) -> Entry:
        result = entry.result
        difference = result.difference(reference)
        entry.agreement = result.agreement(reference)
        entry.picture = result.picture_beside(reference)
        entry.heat_map = difference.picture(self.photo_rgb, bar=False)
        entry.tile = shrink(entry.picture, PICTURE_PX), shrink(entry.heat_map, PICTURE_PX).copy()
        difference.draw_bar(entry.heat_map)  # only now: a sheet has one bar for all
        self.bar = difference.bar()
        return entry


# ---- one variant ----------------------------------------------------------------------------------------------------


def _sizes_differ(*variants: Variant | None) -> bool:
    return len({variant.size for variant in variants if variant is not None}) > 1


def _forget_peak() -> bool:
    """Makes the peak count from here. False where the system does not let us; on a GPU each result counts anew."""
    if runtime.device() == "gpu":
        return True
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # macOS without a GPU
        return False
    return True


def _file_bytes(predictor: Predictor) -> int | None:
    """The size of the file that holds the weights at the predictor's level; None where there is none."""
    given = conversion.published(predictor.weights)
    if given is not None:
        return given.model_bytes
    level = zoo.level(predictor.level)
    if predictor.task == "hands":
        from .hands.weights import local

        path = local(level.name, predictor.weights).pose
        return path.stat().st_size if path else None
    source = locate.find_local(predictor.checkpoint, predictor.weights, level)
    if level.dtype == "float32":
        return conversion.source_of(source).bytes if source else None
    kept = conversion.kept(predictor.checkpoint, level, source, predictor.weights)
    return (kept[0] / conversion.MODEL).stat().st_size if kept else None
