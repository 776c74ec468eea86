"""One file a task; the predictor gets each by its name."""

from importlib import import_module

from .. import zoo
from .agreement import Figure
from .base import Task

_CLASSES = {
    "seg": "SegTask",
    "pose": "PoseTask",
    "normal": "NormalTask",
    "pointmap": "PointmapTask",
    "albedo": "AlbedoTask",
    "matting": "MattingTask",
    "features": "FeaturesTask",
    "hands": "HandsTask",
}


def get(name: str) -> Task:
    """The task of that name, imported now: the tasks bring OpenCV with them."""
    zoo.task_row(name)
    return getattr(import_module(f".{name}", __name__), _CLASSES[name])()


def figures(name: str) -> tuple[Figure, ...]:
    """What results of that task are compared by, the most telling first; empty where they are not compared."""
    zoo.task_row(name)
    return get(name).figures if name in _CLASSES else ()
