"""What a run will cost, before it is started: bytes to download, memory, and seconds as earlier runs here took them.

Nothing is asked of a network. Earlier runs stand in a small file in the folder of kept conversions.
"""

import contextlib
import json
import math
import statistics
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import zoo

if TYPE_CHECKING:
    from .tasks.base import Report

FILE = "seconds.json"
FORMAT = 1
KEPT_RUNS = 5  # of each network: their median is what is expected, so that a first, slow one does not count for long
DETECTOR_PARAMETERS = 24_700_000  # of RTMDet-m, as its authors state
PERSON_AND_MIRROR = 2  # inputs of pose, for one person

_lock = threading.Lock()


# ---- earlier runs ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """An earlier run: seconds of the network for one input, and of the rest but the loading of weights and a mask."""

    task: str
    size: str
    level: str
    network_seconds: float
    other_seconds: float


def remember(report: "Report", inputs: int = 1) -> None:
    """Keep how long a run took. What cannot be written is not kept, and nobody is told.

    Args:
        inputs: how many went through the network: see inputs_of.
    """
    stage = "detect" if report.task == "detect" else "network"
    network = report.seconds.get(stage)
    if not network or inputs < 1:
        return
    others = [seconds for name, seconds in report.seconds.items() if name not in (stage, "load", "foreground")]
    run = [round(network / inputs, 4), round(sum(others), 4)]
    _keep("runs", (report.device, report.task, report.size, report.level), run)


def remember_frames(task: str, size: str, level: str, seconds: float, how: str = "") -> None:
    """Keep how many seconds a frame of a clip took on this machine, as remember() does; `how` tells runs apart that
    take longer than others of the same network."""
    from . import runtime

    if seconds > 0:
        _keep("frames", (runtime.device_name(), task, size, level, how), [round(seconds, 4), 0.0])


def _keep(what: str, names: tuple[str, ...], run: list[float]) -> None:
    with _lock, contextlib.suppress(OSError, ValueError):  # a SapiensError is a ValueError
        from .files import write_bytes

        both = {name: _kept(name) for name in ("runs", "frames")}
        kept = both[what]
        key = "|".join(names)
        kept[key] = [*kept.pop(key, []), run][-KEPT_RUNS:]
        path = _file()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, json.dumps({"format": FORMAT, **both}, allow_nan=False, indent=0).encode())


def inputs_of(result: Any, flip: bool = zoo.DEFAULTS.flip) -> int:
    """How many inputs went through the network for a result: of pose each person, with `flip` twice; of hands each."""
    if result.report.task == "hands":
        return len(result.scores)
    if result.report.task != "pose":
        return 1
    return len(result.boxes_xyxy) * (PERSON_AND_MIRROR if flip else 1)


def frame_seconds(task: str, size: str, level: str, how: str = "") -> float | None:
    """How long a frame of a clip takes on this machine, by earlier clips; None where there was none."""
    from . import runtime

    runs = _kept("frames").get("|".join((runtime.device_name(), task, size, level, how)))
    return statistics.median(seconds for seconds, _ in runs) if runs else None


def _expected(task: str, size: str, level: str) -> tuple[float, float, bool] | None:
    """Seconds of the network for one input, of the rest, and whether that is a guess; None where nothing is known.

    Of the runs of this task and size; those at another level count where none was at this one, since levels take
    equally long. A guess is made of another task at this size, or else, by the operations that the authors state, of
    another size, the nearest first.
    """
    runs = _runs_here()
    same = [run for run in runs if (run.task, run.size) == (task, size)]
    if same:
        found = [run for run in same if run.level == level] or same
        return *_median(found), False
    if task == "detect":
        return None
    runs = [run for run in runs if run.task != "detect"]
    if same := [run for run in runs if run.size == size]:
        return *_median(same), True
    flops = zoo.SIZES[size].tera_flops if size in zoo.SIZES else None
    if not flops:
        return None
    known = {run.size: zoo.SIZES[run.size].tera_flops for run in runs if run.size in zoo.SIZES}
    ratios = {name: flops / of_size for name, of_size in known.items() if of_size}
    for of_task in (True, False):
        sizes = {run.size for run in runs if run.size in ratios and (run.task == task or not of_task)}
        if sizes:
            nearest = min(sizes, key=lambda name: abs(math.log(ratios[name])))
            found = [run for run in runs if run.size == nearest and (run.task == task or not of_task)]
            network, others = _median(found)
            return network * ratios[nearest], others, True
    return None


def _median(runs: Sequence[Run]) -> tuple[float, float]:
    return (
        statistics.median(run.network_seconds for run in runs),
        statistics.median(run.other_seconds for run in runs),
    )


def _runs_here() -> list[Run]:
    from . import runtime

    found = []
    for key, runs in _kept().items():
        device, *names = key.split("|")
        if device == runtime.device_name() and len(names) == 3:
            task, size, level = names
            found += [Run(task, size, level, *seconds) for seconds in runs]
    return found


def _file() -> Path:
    from .weights.conversion import cache_folder

    return cache_folder() / FILE


def _kept(what: str = "runs") -> dict[str, list[list[float]]]:
    """What the file holds of photos ("runs") or of clips ("frames"), by device, task, size and level; what is damaged
    in it is left out."""
    try:
        content = json.loads(_file().read_bytes())
        runs = content.get(what, {}) if content["format"] == FORMAT else {}
        return {str(key): [run for run in value if _is_run(run)] for key, value in runs.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}


def _is_run(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(seconds, int | float) and math.isfinite(seconds) and seconds >= 0 for seconds in value)
    )


# ---- a run that is wanted -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cost:
    """What running a network would take here.

    `downloads` are about the bytes of each file that is not on this machine, by its name; of a level that packs
    weights, those of a conversion to it, where the hub may have one. `memory_bytes` is about what weights and
    activations take together, 0 for a person detector, which is small; `memory_limit_bytes` what there is for it.
    `seconds` is by earlier runs, without downloading and loading; None where they do not tell, and a rough figure
    where it is `guessed`. `reason` says, as a sentence, why it cannot be run well; "" where it can.
    """

    memory_bytes: int
    memory_limit_bytes: int
    downloads: Mapping[str, int] = field(default_factory=dict)
    seconds: float | None = None
    guessed: bool = False
    reason: str = ""

    @property
    def download_bytes(self) -> int:
        return sum(self.downloads.values())


def cost(task: str, size: str, level: str, weights: str | Path | None = None, *, inputs: int | None = None) -> Cost:
    """What running `task` would take here.

    Args:
        weights: as for Predictor.
        inputs: how many go through the network; default 1, and for pose one person with the mirror image.

    Raises:
        SapiensError: for a name that is not in the tables, or a folder of weights that cannot be read.
    """
    from . import inventory, runtime

    checkpoint, row = zoo.checkpoint(task, size), zoo.level_of(task, level)
    if task == "hands":
        size = checkpoint.size
    if inputs is None:
        inputs = PERSON_AND_MIRROR if task == "pose" else 1
    is_detector = task == "detect"
    reason = inventory.too_large(task, size, level)
    downloads = _download(checkpoint, row, weights)
    if downloads is None:
        downloads, reason = {}, zoo.task_row(task).notice
    if task == "pose":
        downloads |= _download(zoo.checkpoint("detect", size), zoo.level("fp32"), _folder(weights)) or {}
    expected = _expected(task, checkpoint.size if is_detector else size, "fp32" if is_detector else level)
    network, others, guessed = expected or (0.0, 0.0, False)
    return Cost(
        memory_bytes=0 if is_detector else inventory.needed_bytes(size, level, task),
        memory_limit_bytes=runtime.memory_limit_bytes(),
        downloads=downloads,
        seconds=network * inputs + others if expected else None,
        guessed=guessed,
        reason=reason,
    )


def total(costs: Iterable[Cost]) -> Cost:
    """Of several run one after the other for one photo: one network at a time is in memory, and what two of them share
    is downloaded once. Raises ValueError where there are none."""
    parts = list(costs)
    if not parts:
        raise ValueError("There is no cost to add up. Give one or more.")
    largest = max(parts, key=lambda part: part.memory_bytes)
    seconds = [part.seconds for part in parts if part.seconds is not None]
    return Cost(
        memory_bytes=largest.memory_bytes,
        memory_limit_bytes=largest.memory_limit_bytes,
        downloads={name: size for part in parts for name, size in part.downloads.items()},
        seconds=sum(seconds) if len(seconds) == len(parts) else None,
        guessed=any(part.guessed for part in parts),
        reason=next((part.reason for part in parts if part.reason), ""),
    )


def _download(checkpoint: zoo.Checkpoint, level: zoo.Level, weights: str | Path | None) -> dict[str, int] | None:
    """About the bytes of the file that would be downloaded, by its name; None where there is nowhere to get it."""
    from .inventory import bytes_each
    from .weights import locate, store

    if checkpoint.task == "hands":
        from .hands.weights import download_bytes

        return download_bytes(level.name, weights)
    if checkpoint.bundled or store.is_here(checkpoint, level.name, weights):
        return {}
    if not checkpoint.published and locate.repo_named(weights) is None:
        return None
    if checkpoint.task == "detect":
        return {checkpoint.filename: int(DETECTOR_PARAMETERS * bytes_each("fp32"))}
    parameters = zoo.SIZES[checkpoint.size].parameters
    if level.bits is None:
        return {checkpoint.filename: int(parameters * bytes_each("fp32"))}
    return {f"{checkpoint.filename} at {level.name}": int(parameters * bytes_each(level.name))}


def _folder(weights: str | Path | None) -> str | Path | None:
    """`weights` where it is a folder of several checkpoints, which may hold the detector's too."""
    from .weights import locate

    return None if locate.is_one_model(weights) else weights
