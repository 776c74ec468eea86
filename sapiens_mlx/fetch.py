"""What a run has to download: done before its turn on the inference thread, so that nobody else waits for it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from . import zoo
from .errors import SapiensError
from .options import Options
from .runtime import Progress, inference
from .weights import conversion, locate, store

if TYPE_CHECKING:
    from .predictor import Predictor


@dataclass(frozen=True)
class Missing:
    """Weights of `checkpoint` that are nowhere on this machine; come(progress=..., tell=...) downloads them."""

    checkpoint: zoo.Checkpoint
    come: Callable[..., Any]


def missing(predictor: "Predictor", options: Options) -> list[Missing]:
    """What a run would have to download. On any thread.

    A mask's weights, where seg or matting was asked for by name, are not among it: they are downloaded when they are
    loaded.
    """
    try:
        return _of_the_task(predictor) + _of_the_detector(predictor, options)
    except SapiensError:  # which loading tells of
        return []


def _of_the_task(predictor: "Predictor") -> list[Missing]:
    if predictor.task == "detect":
        return []
    if predictor.task == zoo.HANDS.name:
        from .hands import check_installed, weights

        check_installed()
        wanted = predictor.level, predictor.weights
        return [Missing(zoo.WILOR_POSE, partial(weights.fetch, *wanted))] if weights.download_bytes(*wanted) else []
    return _of_checkpoint(predictor.checkpoint, predictor.level, predictor.weights)


def _of_the_detector(predictor: "Predictor", options: Options) -> list[Missing]:
    if predictor.task not in ("pose", "detect") or options.boxes_xyxy is not None:
        return []
    detector = predictor.detector()
    if options.detector == "rfdetr":
        from . import detect_rfdetr

        detect_rfdetr.check_installed()  # else the network's weights would come for nothing
        there = detect_rfdetr.are_here(detector.weights)
        return [] if there else [Missing(zoo.RFDETR_BASE, partial(detect_rfdetr.fetch, detector.weights))]
    if options.detector == "rtmdet":
        return _of_checkpoint(detector.checkpoint, detector.level, detector.weights)
    return []


def _of_checkpoint(checkpoint: zoo.Checkpoint, level: str, weights: str | None) -> list[Missing]:
    """A conversion for another task is told of by loading; it says nothing of the detector."""
    is_taken = checkpoint.task != "detect" and conversion.published(weights) is not None
    if checkpoint.bundled or is_taken or store.is_here(checkpoint, level, weights):
        return []
    wanted = None if checkpoint.task == "detect" else zoo.level(level)
    return [Missing(checkpoint, partial(locate.find, checkpoint, weights, wanted))]


def then_run(coming: list[Missing], work: Callable[..., Any], *args: Any, progress: Progress) -> Any:
    """`work(*args, progress=...)` on the inference thread, once what is missing has come, on this thread.

    Raises as what brings it does, and what the work raises.
    """
    notices: list[str] = []
    for one in coming:
        one.come(progress=progress, tell=notices.append)
        progress("queued", 0, 0)
    return inference.run(_told, notices, work, *args, progress=progress)


def _told(notices: list[str], work: Callable[..., Any], *args: Any, progress: Progress) -> Any:
    store.add_notices(notices)  # only now: who ran meanwhile would have taken them for theirs
    return work(*args, progress=progress)
