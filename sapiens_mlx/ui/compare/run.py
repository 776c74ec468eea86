"""What happens in the tab Compare levels: generators that compute one variant after another and show each as it ends.

A handler yields {component: update}; what it leaves out stays as it is. No model is imported before the first run.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from ... import runtime, zoo
from ...errors import SapiensError
from .. import outside, people, words
from ..photos import SHOWN_PX
from ..problems import explained, noticed
from ..progress import Step
from ..storage import COMPARE
from ..tab import TabActions, Updates, Values
from ..visit import Photo, Visit
from . import sentences
from .view import CompareView

if TYPE_CHECKING:
    from ...compare import Comparison, Entry
    from ...variants import Variant

BEST = "best"  # the reference that is chosen for the visitor
PHOTO = "photo"  # one of the pictures that the slider can show
# By size, for whoever has not chosen yet.
FIRST_TICKED = {zoo.DEFAULTS.size: ("fp32", "8bit", "4bit"), zoo.WILOR.name: zoo.HANDS.levels}


@dataclass
class Compared:
    """A comparison and what the page shows of it.

    `pictures` are the files of each variant's result and differences, no larger than the page shows them; the arrays
    they were made from are let go, since ten of a large photo are gigabytes. `picked` is what the visitor has chosen
    to see, by "left", "right" and "differing"; the newest results where nothing is.
    """

    comparison: "Comparison"
    wanted: Any
    pictures: "dict[Variant, tuple[Path, Path]]" = field(default_factory=dict)
    picked: dict[str, str] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return len({*self.comparison.variants, self.comparison.reference})

    def files(self, photo: Photo) -> dict[str, str]:
        """The pictures that the slider can show: the photo, and each variant's result by its name."""
        results = {str(variant): str(files[0]) for variant, files in self.pictures.items()}
        return {PHOTO: str(photo.shown)} | results

    def differences(self) -> dict[str, str]:
        """Each variant's differences by its name."""
        return {str(variant): str(files[1]) for variant, files in self.pictures.items()}

    def shown(self) -> tuple[str, str, str]:
        """What the slider has left and right, and whose differences are shown: the visitor's choice, or the newest."""
        names = [str(variant) for variant in self.pictures]
        reference = str(self.comparison.reference)
        left = reference if len(names) > 1 and reference in names else PHOTO
        newest = next((name for name in reversed(names) if name != left), left)
        chosen = {"left": left, "right": newest, "differing": newest} | self.picked
        return chosen["left"], chosen["right"], chosen["differing"]


class CompareActions(TabActions):
    """The handlers of the tab."""

    tab = COMPARE
    _view: CompareView

    def _empty_page(self, photo_there: bool) -> str:
        return sentences.empty(photo_there)

    def _fresh(self, visit: Visit, status: str = "") -> Updates:
        return super()._fresh(visit, status) | people.nobody_yet(self._view.boxes, self._view.people)

    # ---- what is chosen ---------------------------------------------------------------------------------------------

    def task_changed(self, task: str, sizes: Sequence[str], reference: str, *levels: Sequence[str]) -> Updates:
        """Another task: the sizes it comes in, and all that depends on them."""
        offered = [size for size in zoo.task_row(task).sizes if size in self._view.levels]
        updates = self.sizes_changed(task, sizes, reference, *levels)
        # Of what comes in one size, none is ticked: those of the task before wait for the next.
        shown: dict[str, Any] = {"visible": False} if task == zoo.HANDS.name else {"visible": True, "choices": offered}
        of_sizes = updates[self._view.sizes] | gr.update(**shown)
        return updates | {
            self._view.sizes: of_sizes,
            self._view.foreground: gr.update(visible=_is_over_people(task)),
            self._view.people_part: gr.update(visible=task in people.TASKS),
        }

    def sizes_changed(self, task: str, sizes: Sequence[str], reference: str, *levels: Sequence[str]) -> Updates:
        """Other sizes: what of them fits, and what can be the reference.

        A component is given a value only where that is another one, else a click under way would be undone.
        """
        view = self._view
        ticked = dict(zip(view.levels, levels, strict=True))
        chosen = self._chosen_sizes(task, sizes)
        chosen = chosen or [zoo.size_like(task, next(iter(sizes), zoo.DEFAULTS.size))]  # one is always ticked
        same = task == zoo.HANDS.name or set(chosen) == set(sizes)
        updates: Updates = {view.sizes: gr.update() if same else gr.update(value=chosen)}
        fitting: dict[str, list[str]] = {}
        for size, box in view.levels.items():
            updates[view.size_groups[size]] = gr.update(visible=size in chosen)
            if size not in chosen:
                continue
            needed, limit = _needed_bytes(size), runtime.memory_limit_bytes()
            fitting[size] = [level for level in needed if needed[level] <= limit]
            wanted = [level for level in ticked[size] if level in fitting[size]] or _to_begin_with(fitting[size])
            changes: dict[str, Any] = {} if len(fitting[size]) == len(needed) else {"choices": fitting[size]}
            changes |= {} if wanted == ticked[size] else {"value": wanted}
            ticked[size], updates[box] = wanted, gr.update(**changes)
            too_large = {level: amount for level, amount in needed.items() if level not in fitting[size]}
            updates[view.too_large[size]] = sentences.too_large(too_large, limit)
        references = reference_choices(fitting)
        known = reference in [name for _, name in references]
        value: dict[str, Any] = {} if known else {"value": BEST}
        updates[view.reference] = gr.update(choices=references, **value)
        updates[view.about] = sentences.about(task, {size: ticked[size] for size in chosen})
        return updates

    def levels_changed(self, task: str, sizes: Sequence[str], *levels: Sequence[str]) -> str:
        """What is chosen, in words."""
        ticked = dict(zip(self._view.levels, levels, strict=True))
        return sentences.about(task, {size: ticked[size] for size in self._chosen_sizes(task, sizes)})

    def _chosen_sizes(self, task: str, sizes: Sequence[str]) -> list[str]:
        """Those of the task that are ticked; of hands the one there is."""
        names = zoo.task_row(task).sizes
        wanted = names if task == zoo.HANDS.name else sizes
        return [size for size in self._view.levels if size in wanted and size in names]

    # ---- the run ----------------------------------------------------------------------------------------------------

    def _run(self, request: gr.Request, **values: Any) -> Iterator[Updates]:
        """Computes each variant in turn, on the machine that serves this page, and shows it as it ends."""
        visit = self._visit(request)
        photo = None
        try:
            photo = self._photo_of_run(visit, values["photo"])
            compared = self._compared(photo, values, request)
            yield self._published(photo)  # what is done already, where the run before was stopped; else the empty page
            while (yield from self._next(visit, photo, compared)) is not None:
                yield self._published(photo)
            yield self._published(photo) | self._ready(_ended_well(compared)) | self._exports(photo)
        except Exception as problem:
            replaced = visit.photo is not photo
            yield ({} if replaced else self._kept(visit)) | self._ready(explained(problem, replaced))

    def _kept(self, visit: Visit) -> Updates:
        """What is done of a comparison that has ended early; nothing where that cannot be shown either."""
        try:
            return self._published(visit.photo) | self._exports(visit.photo)
        except Exception as problem:
            if not visit.closed:
                explained(problem)  # for the log
            return {}

    def _compared(self, photo: Photo, values: Values, request: gr.Request) -> Compared:
        """What these choices ask for: a comparison that Stop has left unfinished goes on, any other begins anew."""
        from ...compare import Comparison
        from ...variants import Variant, check

        task = values["task"]
        sizes = self._chosen_sizes(task, values["sizes"])
        order = list(zoo.LEVELS).index  # not that in which they were ticked
        variants = [Variant(size, level) for size in sizes for level in sorted(values[levels_name(size)], key=order)]
        reference = None if values["reference"] in (None, BEST) else Variant.parse(values["reference"])
        check(variants, reference)
        foreground = values["foreground"] if _is_over_people(task) else "auto"
        who = people.options(values) if task in people.TASKS else {}
        wanted = (task, variants, reference, foreground, who)
        before = photo.compared
        if before is not None and before.wanted == wanted and len(before.comparison.entries) < before.total:
            return before
        photo.compared = None
        made = Comparison(
            photo.rgb,
            task,
            variants,
            reference,
            weights=self._weights,
            foreground=foreground,
            name=photo.name,
            **who,
        )
        self._check_licences(request, task, made.predictors)
        photo.compared = Compared(made, wanted)
        return photo.compared

    def _next(self, visit: Visit, photo: Photo, compared: Compared) -> "Generator[Updates, None, Entry | None]":
        """Progress until one more variant is done.

        Returns its entry, None when all are done. Raises as _follow, and SapiensError where there is nothing left to
        compare with.
        """
        job = compared.comparison.submit()
        return (yield from self._follow(visit, photo, job, partial(_naming, compared)))

    def stopped(self, request: gr.Request) -> Updates:
        """After Stop: Gradio has closed the event's generator, which cancels the job. What is done stays."""
        visit = self._visit(request)
        compared = _compared_of(visit.photo)
        if compared is None or not compared.comparison.entries:
            return self._ready(words.line("Stopped", "The photo and the settings are as they were.", "stopped"))
        done = f"{len(compared.comparison.entries)} of {compared.total} are done. Compare goes on with the rest."
        return self._kept(visit) | self._ready(words.line("Stopped", done, "stopped"))

    # ---- what is shown ----------------------------------------------------------------------------------------------

    def _published(self, photo: Photo | None) -> Updates:
        """Everything about the variants that are done."""
        view, compared = self._view, _compared_of(photo)
        if photo is None or compared is None or not compared.comparison.entries:
            there = {view.panel: gr.update(visible=False)}
            return there | {view.empty: gr.update(value=sentences.empty(photo is not None), visible=True)}
        from .chart import charts

        comparison = compared.comparison
        outside.clear(comparison)  # here, since also what failed or was stopped has something to say
        for entry in comparison.entries:
            _keep_pictures(photo, compared, entry)
        updates: Updates = {
            view.panel: gr.update(visible=True),
            view.empty: gr.update(visible=False),
            view.pictures: gr.update(visible=bool(compared.pictures)),
            view.table: sentences.table(comparison),
            view.charts: charts(comparison),
            view.notes: sentences.notes(comparison),
            view.exports: gr.update(visible=False),
        }
        return updates | (self._pictures(photo, compared) if compared.pictures else {})

    def _pictures(self, photo: Photo, compared: Compared) -> Updates:
        view, comparison = self._view, compared.comparison
        left, right, differing = compared.shown()
        variants = [(sentences.title(comparison, variant), str(variant)) for variant in compared.pictures]
        height, width = photo.rgb.shape[:2]
        files = compared.files(photo)
        return {
            view.left: gr.update(choices=[("Photo", PHOTO), *variants], value=left),
            view.right: gr.update(choices=[("Photo", PHOTO), *variants], value=right),
            view.differing: gr.update(choices=variants, value=differing),
            view.slider: (files[left], files[right]),
            view.difference: compared.differences()[differing],
            view.gallery: sentences.gallery(comparison, photo.shown, compared.pictures, (height, width)),
        }

    def pair_picked(self, left: str, right: str, request: gr.Request) -> Any:
        """Other pictures for the slider."""
        photo = self._visit(request).photo
        compared = _compared_of(photo)
        files = compared.files(photo) if photo and compared else {}
        if compared is None or not {left, right} <= files.keys():
            return gr.skip()  # a new comparison has begun meanwhile
        compared.picked |= {"left": left, "right": right}
        return files[left], files[right]

    def differing_picked(self, variant: str, request: gr.Request) -> Any:
        """The differences of another variant."""
        compared = _compared_of(self._visit(request).photo)
        files = compared.differences() if compared else {}
        if compared is None or variant not in files:
            return gr.skip()
        compared.picked["differing"] = variant
        return files[variant]

    def _exports(self, photo: Photo | None) -> Updates:
        """The files and the command line of what is done."""
        from ...compare_files import command_line, sheet, to_csv
        from ...files import write_bytes
        from ...image import write_png

        view, compared = self._view, _compared_of(photo)
        if photo is None or compared is None or not compared.comparison.entries:
            return {}
        comparison = compared.comparison
        outside.clear(comparison)  # again: what was stopped may have been at work until now
        folder, stem = photo.next_folder("files"), f"{photo.stem}_compare_{comparison.task}"
        try:
            table = write_bytes(folder / f"{stem}.csv", to_csv(comparison).encode())
            picture = write_png(folder / f"{stem}.png", sheet(comparison))
        except SapiensError as problem:
            return {view.status: noticed(problem, "The files could not be written")}
        return {
            view.exports: gr.update(visible=True),
            view.csv: gr.update(value=str(table), label=words.file_words("Table", table)),
            view.sheet: gr.update(value=str(picture), label=words.file_words("All as one picture", picture)),
            view.command: outside.for_others(command_line(comparison)),
        }


def _compared_of(photo: Photo | None) -> Compared | None:
    return None if photo is None else photo.compared


def levels_name(size: str) -> str:
    """What the levels of a size are called among the page's inputs."""
    return "levels_" + "".join(letter if letter.isalnum() else "_" for letter in size)


def levels_of(size: str) -> tuple[str, ...]:
    """Those that weights of a size come at."""
    return zoo.HANDS.levels if size == zoo.WILOR.name else tuple(zoo.LEVELS)


def reference_choices(levels: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """What the others can be measured by: the best of what is ticked, or any one level of the sizes chosen."""
    named = [(f"{size} {level}", f"{size}:{level}") for size, names in levels.items() for level in names]
    return [("The most precise that fits", BEST), *named]


def _needed_bytes(size: str) -> dict[str, int]:
    """About the memory of each level of a size."""
    from ...inventory import needed_bytes

    return {level: needed_bytes(size, level) for level in levels_of(size)}


def _to_begin_with(fitting: Sequence[str]) -> list[str]:
    """What is ticked of a size that is chosen for the first time: the level that runs by default, and a small one."""
    wanted = (zoo.default_level(runtime.device()), "4bit")
    return [level for level in fitting if level in wanted]


def _is_over_people(task: str) -> bool:
    """Whether results of the task mean nothing outside people."""
    from ..controls import CUT_OUT

    return task in CUT_OUT


def _naming(compared: Compared, now: Step) -> Step:
    """The step with the variant that it is of, and which of how many that is."""
    running = compared.comparison.running
    if running is None:
        return now
    number = len(compared.comparison.entries) + 1
    name = sentences.title(compared.comparison, running)
    return Step(f"{name} ({number} of {compared.total}): {now.words}", now.share)


def _keep_pictures(photo: Photo, compared: Compared, entry: "Entry") -> None:
    """Write what the page shows of an entry, once, and let its arrays go."""
    if entry.picture is None:
        return
    from ...image import shrink, write_png

    folder = photo.next_folder(f"compared-{entry.variant.size}-{entry.variant.level}")
    compared.pictures[entry.variant] = (
        write_png(folder / f"{photo.stem}_{entry.variant.level}.png", shrink(entry.picture, SHOWN_PX)),
        write_png(folder / f"{photo.stem}_{entry.variant.level}_difference.png", shrink(entry.heat_map, SHOWN_PX)),
    )
    entry.picture = entry.heat_map = entry.result = None


def _ended_well(compared: Compared) -> str:
    """How a comparison ended that nothing has stopped."""
    entries = compared.comparison.entries
    failed = sum(entry.error is not None for entry in entries)
    if failed == len(entries):
        return words.notice("None of the variants could be computed. The table says why.")
    what = f"{len(entries) - failed} of {len(entries)} variants are done; the table says why the others are not."
    return words.line("Done", what if failed else f"{len(entries)} variants")
