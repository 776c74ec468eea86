"""What the Studio says of what is ticked, before a run: sizes and levels that fit, the cost, who is looked at."""

from typing import Any

import gradio as gr

from ... import runtime, zoo
from ...errors import SapiensError
from .. import hands, people, words

SIZE_WORDS = {"rtmdet-m": "rtmdet-m (0.4b or larger)", zoo.WILOR.name: "WiLoR"}
WITH_ANY_SIZE = ("detect", hands.TASK)  # they have networks of their own, which go with every size of Sapiens2


def size_choices(tasks: list[str], sizes: list[str] | None = None) -> list[tuple[str, str]]:
    """The sizes that any of the tasks comes in, as (what the page says, name): those of detectors alone, where people
    are all that is looked for, and WiLoR, where hands are. `sizes` are all that may be among them."""
    others = _of_sapiens2(tasks) or [task for task in tasks if task == "detect"] or tasks or [zoo.DEFAULTS.task]
    offered = {size for task in others for size in zoo.task_row(task).sizes}
    order = [*zoo.SIZES, *zoo.task_row("detect").sizes, *zoo.HANDS.sizes]
    names = sorted(offered if sizes is None else offered & set(sizes), key=order.index)
    return [(SIZE_WORDS.get(name, name), name) for name in names]


def changed(tasks: list[str], size: str, level: str, wanted: str, weights: str | None) -> list[Any]:
    """Updates for the sizes, the levels, what does not fit, the people, the mirrored pass, the hands, what is chosen.

    `wanted` is the size that the visitor chose last, and is taken again by the first tasks that come in it.
    """
    size, level, updates = fitting(tasks, size, level, wanted)
    return [
        *updates,
        gr.update(visible=any(task in people.TASKS for task in tasks)),
        gr.update(visible="pose" in tasks),
        gr.update(visible=hands.TASK in tasks),
        about(tasks, size, level, weights),
    ]


def about(tasks: list[str], size: str, level: str, weights: str | None) -> str:
    """What is chosen, as HTML: the weights, their licences, what is missing for them, and what a run takes."""
    missing = [hands.missing()] if hands.TASK in tasks else []
    return words.choice(tasks, size, level, _cost(tasks, size, level, weights), missing=missing)


def fitting(tasks: list[str], size: str, level: str, wanted: str) -> tuple[str, str, list[Any]]:
    """The size and the level that are chosen now, and updates for the sizes, the levels, and what does not fit."""
    from ...inventory import amount

    limit = runtime.memory_limit_bytes()
    needed = {name: _needed(tasks, name) for _, name in size_choices(tasks)}
    possible = {name: [one for one, most in levels.items() if most <= limit] for name, levels in needed.items()}
    if not any(possible.values()):  # not even WiLoR's least level, alone: it is told, and may be tried
        possible = {name: [min(levels, key=levels.__getitem__)] for name, levels in needed.items()}
    sizes = [name for name, levels in possible.items() if levels]
    chosen = next(name for name in (wanted, size, *reversed(sizes)) if name in sizes)
    alike = level if _of_sapiens2(tasks) or hands.TASK not in tasks else zoo.level_like(hands.TASK, level)
    level_there = alike if alike in possible[chosen] else possible[chosen][0]
    reasons = [
        f"{name}: at least {amount(min(levels.values()))}" for name, levels in needed.items() if not possible[name]
    ]
    missing = [f"{one}: {amount(most)}" for one, most in needed[chosen].items() if most > limit]
    new_size: dict[str, Any] = {} if chosen == size else {"value": chosen}
    updates = [
        gr.update(choices=size_choices(tasks, sizes), **new_size),
        gr.update(
            choices=possible[chosen],
            visible=tasks != ["detect"],  # whose weights are not quantized
            **({} if level_there == level else {"value": level_there}),
        ),
        words.too_large([*reasons, *missing], amount(limit)),
    ]
    return chosen, level_there, updates


def _of_sapiens2(tasks: list[str]) -> list[str]:
    return [task for task in tasks if task not in WITH_ANY_SIZE]


def _needed(tasks: list[str], size: str) -> dict[str, int]:
    """About the memory that the networks of these tasks take, by the levels that they come at; 0 for a detector."""
    from ...inventory import needed_bytes

    if _of_sapiens2(tasks) or not tasks:
        return {level: needed_bytes(size, level) for level in zoo.LEVELS}
    if hands.TASK in tasks:
        return {level: needed_bytes(zoo.WILOR.name, level) for level in zoo.HANDS.levels}
    return dict.fromkeys(zoo.LEVELS, 0)


def expected_seconds(task: str, size: str, level: str) -> float | None:
    """What a run of one task may take on this machine, as earlier ones did; None where nothing tells."""
    from ... import costs

    return costs.cost(task, zoo.size_like(task, size), zoo.level_like(task, level)).seconds


def _cost(tasks: list[str], size: str, level: str, weights: str | None) -> str:
    from ... import costs

    if not tasks:
        return ""
    try:
        parts = [costs.cost(task, zoo.size_like(task, size), zoo.level_like(task, level), weights) for task in tasks]
        return words.cost(costs.total(parts))
    except SapiensError:  # of a folder of weights that cannot be read, which the run says
        return ""
