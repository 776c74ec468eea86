"""One file a task; the predictor gets each by its name."""

from importlib import import_module

from .. import zoo
from .base import Task

_CLASSES = {
    "seg": "SegTask",
    "pose": "PoseTask",
    "normal": "NormalTask",
    "pointmap": "PointmapTask",
    "albedo": "AlbedoTask",
    "matting": "MattingTask",
}


def get(name: str) -> Task:
    """The task of that name, imported now: the tasks bring OpenCV with them."""
    zoo.task_row(name)
    return getattr(import_module(f".{name}", __name__), _CLASSES[name])()
