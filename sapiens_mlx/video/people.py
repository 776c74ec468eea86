"""The result of one frame after another, with people's numbers where the task is about people."""

from dataclasses import replace
from typing import Any

import numpy as np

from .. import tasks
from ..options import Options
from ..predictor import Predictor
from ..runtime import Progress
from ..tasks.base import Result
from ..tasks.detect import DetectResult
from .frames import Frame
from .track import Tracker

ABOUT_PEOPLE = ("pose", "detect")


class Looker:
    """One task over frames in their order. People are looked for in every `detect_every`-th of them."""

    def __init__(self, predictor: Predictor, options: Options, detect_every: int, keypoint_threshold: float) -> None:
        self._predictor, self._options = predictor, options
        self._detect_every, self._keypoint_threshold = detect_every, keypoint_threshold
        self._tracker = Tracker() if predictor.task in ABOUT_PEOPLE else None
        self._frames = 0

    def __call__(self, frame: Frame, progress: Progress) -> tuple[Result, list[int] | None]:
        """The result, and the numbers of its people in their order; None for a task that is not about people.

        Raises what the predictor raises.
        """
        if self._tracker is None:
            return self._predictor(frame.rgb, progress=progress, **vars(self._options)), None
        report = None
        if self._frames % self._detect_every == 0:
            found: Any = self._predictor.detector()(frame.rgb, progress=progress, **vars(self._options))
            people, report = self._tracker.found(found.boxes_xyxy, found.box_scores, frame.time_s), found.report
        else:
            people = self._tracker.still(frame.time_s)
        self._frames += 1
        people = [track for track in people if _is_in_sight(track.box_xyxy, frame.rgb.shape[:2])]
        boxes = np.array([track.box_xyxy for track in people], np.float32).reshape(-1, 4)
        scores = np.array([track.score for track in people], np.float32)
        numbers = [track.number for track in people]
        if self._predictor.task == "detect":
            return DetectResult(frame.rgb, boxes, scores, report=report), numbers
        result = self._pose(self._tracker, frame, boxes, scores, numbers, progress)
        if report is not None:  # what the look for people took; and all there is to tell where nobody was found
            looking = {"detect": sum(report.seconds.values())}
            result.report = result.report or replace(report, seconds={})
            result.report.seconds = looking | result.report.seconds
        return result, numbers

    def _pose(
        self,
        tracker: Tracker,
        frame: Frame,
        boxes: np.ndarray,
        scores: np.ndarray,
        numbers: list[int],
        progress: Progress,
    ) -> Result:
        if not len(boxes):
            return tasks.get("pose").result([], frame.rgb, boxes_xyxy=boxes, box_scores=scores)
        options = replace(self._options, boxes_xyxy=boxes)
        result: Any = self._predictor(frame.rgb, progress=progress, **vars(options))
        result.box_scores = scores
        points = np.concatenate([result.keypoints, result.keypoint_scores[..., None]], axis=-1)
        tracker.moved(dict(zip(numbers, points, strict=True)), self._keypoint_threshold)
        return result

    def state(self) -> dict[str, Any] | None:
        """What a later run needs to go on as if it had not stopped, as JSON can hold it."""
        return None if self._tracker is None else {"frames": self._frames, "tracker": self._tracker.state()}

    def restore(self, state: dict[str, Any] | None) -> None:
        """Goes on where another one gave this state."""
        if self._tracker is not None and state is not None:
            self._frames = state["frames"]
            self._tracker.restore(state["tracker"])


def _is_in_sight(box_xyxy: np.ndarray, size_hw: tuple[int, int]) -> bool:
    """Whether a box still covers some of the frame: one that moves with its person may leave it."""
    x1, y1, x2, y2 = box_xyxy
    return bool(x2 - x1 >= 1 and y2 - y1 >= 1 and x2 > 0 and y2 > 0 and x1 < size_hw[1] and y1 < size_hw[0])
