"""What a run has to download: done before its turn on the inference thread, so that nobody else waits for it."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from . import zoo
from .errors import WeightsError
from .options import Options
from .runtime import Progress, inference
from .weights import conversion, locate, store

if TYPE_CHECKING:
    from .predictor import Predictor

Missing = tuple[zoo.Checkpoint, str, str | None]  # with its level, and where it is looked for


def missing(predictor: "Predictor", options: Options) -> list[Missing]:
    """The checkpoints of a run that are nowhere on this machine. On any thread.

    Those of hands and RF-DETR, smaller and in several files, are not among them: they are downloaded when they are
    loaded. So is a mask's, where seg or matting was asked for by name.
    """
    if options.detector == "rfdetr" and find_spec("mlx_vlm") is None:
        return []  # which loading tells of, before anything comes
    task, wanted = predictor.task, []
    if task not in ("detect", "hands"):
        wanted.append((predictor.checkpoint, predictor.level, predictor.weights))
    if task in ("pose", "detect") and options.boxes_xyxy is None and options.detector == "rtmdet":
        detector = predictor.detector()
        wanted.append((detector.checkpoint, detector.level, detector.weights))
    try:
        return [one for one in wanted if not _is_there(*one)]
    except WeightsError:  # which loading tells of
        return []


def _is_there(checkpoint: zoo.Checkpoint, level: str, weights: str | None) -> bool:
    """Whether nothing has to be downloaded. A conversion for another task is told of by loading; it says nothing of
    the detector."""
    is_taken = checkpoint.task != "detect" and conversion.published(weights) is not None
    return checkpoint.bundled or is_taken or store.is_here(checkpoint, level, weights)


def then_run(coming: list[Missing], work: Callable[..., Any], *args: Any, progress: Progress) -> Any:
    """`work(*args, progress=...)` on the inference thread, once what is missing has come, on this thread.

    Raises as locate.find does, and what the work raises.
    """
    notices: list[str] = []
    for checkpoint, level, weights in coming:
        wanted = None if checkpoint.task == "detect" else zoo.level(level)
        locate.find(checkpoint, weights, wanted, progress=progress, tell=notices.append)
        progress("queued", 0, 0)
    return inference.run(_told, notices, work, *args, progress=progress)


def _told(notices: list[str], work: Callable[..., Any], *args: Any, progress: Progress) -> Any:
    store.add_notices(notices)  # only now: who ran meanwhile would have taken them for theirs
    return work(*args, progress=progress)
