"""People keep their numbers from frame to frame: a box belongs to the track whose last box it overlaps most.

This is the matching of SORT and of the IoU tracker, taken greedily by falling overlap. Two people of whom one stands
exactly before the other may exchange their numbers. Between frames in which people are looked for, boxes move with the
keypoints found in them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

LEAST_IOU = 0.3  # below it a box is somebody else's
KEPT_S = 1.0  # how long a number waits for somebody who is not seen
STRAY = 0.2  # of the longer side of a box: a point that strays farther from how most moved was found on somebody else
FEWEST_POINTS = 8  # that a box is moved by
SCALES = (0.5, 2.0)  # a box changes by no more, whatever its points do


@dataclass
class Track:
    """Somebody with a number, from 1. `box_xyxy` (4,) float32 is where they were last; `seen_s` when.

    `found_box_xyxy` and `found_points` are the box by which they were last found, and the keypoints in it: (n, 3) as
    x, y and score.
    """

    number: int
    box_xyxy: np.ndarray
    score: float
    seen_s: float
    found_box_xyxy: np.ndarray = field(repr=False)
    found_points: np.ndarray | None = field(default=None, repr=False)


class Tracker:
    """The people of a clip so far. `present` are those of the newest frame, in the order of their numbers."""

    def __init__(self, least_iou: float = LEAST_IOU, kept_s: float = KEPT_S) -> None:
        self._least_iou, self._kept_s = least_iou, kept_s
        self._tracks: list[Track] = []
        self._next = 1
        self.present: list[Track] = []

    def found(self, boxes_xyxy: np.ndarray, scores: np.ndarray, time_s: float) -> list[Track]:
        """`present`, after people were looked for and found in boxes (P, 4) with scores (P,)."""
        still_here = {track.number for track in self.present}  # however long the frame before is ago
        self._tracks = [
            track for track in self._tracks if track.number in still_here or time_s - track.seen_s <= self._kept_s
        ]
        owners = match(np.array([track.box_xyxy for track in self._tracks]), boxes_xyxy, self._least_iou)
        present = []
        for index, (box, score) in enumerate(zip(boxes_xyxy, scores, strict=True)):
            owner = owners.get(index)
            if owner is None:
                track = Track(self._next, box, float(score), time_s, box)
                self._next += 1
                self._tracks.append(track)
            else:
                track = self._tracks[owner]
                track.box_xyxy = track.found_box_xyxy = np.asarray(box, np.float32)
                track.score, track.seen_s, track.found_points = float(score), time_s, None
            present.append(track)
        self.present = sorted(present, key=lambda track: track.number)
        return self.present

    def still(self, time_s: float) -> list[Track]:
        """`present`, in a frame in which nobody was looked for: they are taken to be where they were."""
        for track in self.present:
            track.seen_s = time_s
        return self.present

    def moved(self, points: Mapping[int, np.ndarray], keypoint_threshold: float) -> None:
        """Moves the boxes of `present` with their keypoints, by number, (n, 3) as x, y and score, for the frame to
        come."""
        for track in self.present:
            now = points.get(track.number)
            if now is None:
                continue
            now = np.asarray(now, np.float32)
            if track.found_points is None:
                track.found_points = now
            else:
                track.box_xyxy = moved_box(track.found_box_xyxy, track.found_points, now, keypoint_threshold)

    def state(self) -> dict[str, Any]:
        """All there is to know, as JSON can hold it."""
        return {
            "next": self._next,
            "present": [track.number for track in self.present],
            "tracks": [
                {
                    "number": track.number,
                    "box": track.box_xyxy.tolist(),
                    "score": track.score,
                    "seen_s": track.seen_s,
                    "found_box": track.found_box_xyxy.tolist(),
                    "found_points": None if track.found_points is None else track.found_points.tolist(),
                }
                for track in self._tracks
            ],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on where another tracker gave this state."""
        self._next = state["next"]
        self._tracks = [
            Track(
                row["number"],
                np.array(row["box"], np.float32),
                row["score"],
                row["seen_s"],
                np.array(row["found_box"], np.float32),
                None if row["found_points"] is None else np.array(row["found_points"], np.float32),
            )
            for row in state["tracks"]
        ]
        by_number = {track.number: track for track in self._tracks}
        self.present = [by_number[number] for number in state["present"]]


def iou(a_xyxy: np.ndarray, b_xyxy: np.ndarray) -> np.ndarray:
    """Overlap of every box of (A, 4) with every one of (B, 4) as intersection over union, (A, B), 0..1."""
    a, b = np.asarray(a_xyxy, np.float64).reshape(-1, 1, 4), np.asarray(b_xyxy, np.float64).reshape(1, -1, 4)
    shared = np.prod(np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None), axis=-1)
    areas = [np.prod(np.clip(one[..., 2:] - one[..., :2], 0, None), axis=-1) for one in (a, b)]
    union = areas[0] + areas[1] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def match(tracks_xyxy: np.ndarray, boxes_xyxy: np.ndarray, least_iou: float) -> dict[int, int]:
    """Which box belongs to which track, by index: the pair that overlaps most first, and each in one pair only."""
    overlaps = iou(tracks_xyxy, boxes_xyxy)
    owners: dict[int, int] = {}
    for flat in np.argsort(-overlaps, axis=None, kind="stable"):
        track, box = divmod(int(flat), overlaps.shape[1])
        if overlaps[track, box] < least_iou:
            break
        if box not in owners and track not in owners.values():
            owners[box] = track
    return owners


def moved_box(box_xyxy: np.ndarray, before: np.ndarray, now: np.ndarray, keypoint_threshold: float) -> np.ndarray:
    """The box (4,) whose person had the keypoints `before` (n, 3), for the same person with the keypoints `now`.

    The margins between the points and the sides of the box stay in proportion. Points count that were seen both times
    and moved about as all do; with few of them the box stays where it is.
    """
    both = (before[:, 2] > keypoint_threshold) & (now[:, 2] > keypoint_threshold)
    both &= ~_astray(before[:, :2], now[:, :2], both, STRAY * np.max(box_xyxy[2:] - box_xyxy[:2]))
    if both.sum() < FEWEST_POINTS:
        return box_xyxy
    low, high = before[both, :2].min(axis=0), before[both, :2].max(axis=0)
    new_low, new_high = now[both, :2].min(axis=0), now[both, :2].max(axis=0)
    scale = np.clip((new_high - new_low) / np.maximum(high - low, 1), *SCALES)
    return np.concatenate([new_low - (low - box_xyxy[:2]) * scale, new_high + (box_xyxy[2:] - high) * scale]).astype(
        np.float32
    )


def _astray(before: np.ndarray, now: np.ndarray, seen: np.ndarray, limit_px: float) -> np.ndarray:
    """(n,) bool: which points lie farther than that from where the motion of most, a shift and a scale, takes them."""
    if not seen.any():
        return np.zeros(len(seen), bool)
    low, middle, high = np.percentile(before[seen], (20, 50, 80), axis=0)
    new_low, new_middle, new_high = np.percentile(now[seen], (20, 50, 80), axis=0)
    scale = (new_high - new_low) / np.maximum(high - low, 1)
    return np.linalg.norm(now - (new_middle + (before - middle) * scale), axis=1) > limit_px
