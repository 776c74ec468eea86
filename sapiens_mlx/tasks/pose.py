"""Pose: every person cut out upright and alone, 308 heatmaps back, their peaks as keypoints in pixels of the photo."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..files import write_arrays, write_bytes
from ..image import write_png
from . import draw, udp
from .base import Fitted, Result
from .keypoints import keypoints
from .pose_picture import pose_picture

Part = tuple[np.ndarray, np.ndarray]  # keypoints (308, 2) and scores (308,) of one person


@dataclass
class PoseResult(Result):
    """The people of a photo, in the order of their boxes; P may be 0. All float32.

    `keypoints` (P, 308, 2) are photo pixels, (x, y) from the middle of the top left pixel; they may lie outside the
    photo. `keypoint_scores` (P, 308) are the peaks of the heatmaps, about 0..1. A keypoint whose heatmap is nowhere
    positive has a score <= 0, and its place (the crop's top left corner) means nothing. `boxes_xyxy` (P, 4) are photo
    pixels, `box_scores` (P,) 0..1. Names and links, by index: tasks.keypoints.keypoints().
    """

    NAME = "pose"

    keypoints: np.ndarray = field(repr=False)
    keypoint_scores: np.ndarray = field(repr=False)
    boxes_xyxy: np.ndarray = field(repr=False)
    box_scores: np.ndarray = field(repr=False)

    def picture(self, photo_rgb: np.ndarray | None = None, *, style: str = "readme", **options: Any) -> np.ndarray:
        """Points, links and boxes over the photo, (H, W, 3) uint8; the options are those of pose_picture()."""
        return pose_picture(
            draw.backdrop(photo_rgb, self.photo_rgb),
            self.keypoints,
            self.keypoint_scores,
            self.boxes_xyxy,
            self.box_scores,
            style=style,
            **options,
        )

    def to_json(self) -> dict[str, Any]:
        """What `<stem>_pose.json` holds: numbers in photo pixels, every keypoint with its score, however low.

        {"photo_size": {"width", "height"}, "keypoint_names": [308 names], "links": [65 pairs of indices],
         "people": [{"box_xyxy": [4 numbers], "box_score", "keypoints": [308 of {"name", "x", "y", "score"}]}]}
        """
        table = keypoints()
        return {
            "photo_size": {"width": self.photo_rgb.shape[1], "height": self.photo_rgb.shape[0]},
            "keypoint_names": list(table.names),
            "links": table.links.tolist(),
            "people": [
                {
                    "box_xyxy": [round(float(value), 3) for value in box],
                    "box_score": round(float(box_score), 6),
                    "keypoints": [
                        {
                            "name": name,
                            "x": round(float(x), 3),
                            "y": round(float(y), 3),
                            "score": round(float(score), 6),
                        }
                        for name, (x, y), score in zip(table.names, points, scores, strict=True)
                    ],
                }
                for points, scores, box, box_score in zip(
                    self.keypoints, self.keypoint_scores, self.boxes_xyxy, self.box_scores, strict=True
                )
            ],
        }

    def _write(self, path: Callable[[str], Path], picture: np.ndarray, **options: Any) -> list[Path]:
        """`<stem>_pose.png`, `<stem>_pose.json` and `<stem>_pose.npz`."""
        arrays = {name: getattr(self, name) for name in ("keypoints", "keypoint_scores", "boxes_xyxy", "box_scores")}
        return [
            write_png(path("pose.png"), picture),
            write_bytes(path("pose.json"), json.dumps(self.to_json(), allow_nan=False).encode()),
            write_arrays(path("pose.npz"), **arrays),
        ]


class PoseTask:
    name = "pose"

    def fit(
        self, photo_rgb: np.ndarray, input_hw: tuple[int, int], *, boxes_xyxy: np.ndarray, flip: bool = True
    ) -> list[Fitted]:
        """One input a person, in the order of the boxes: the crop and, with `flip`, its mirror image behind it.

        Args:
            photo_rgb: (H, W, 3) uint8.
            boxes_xyxy: (P, 4) in photo pixels; they may reach outside the photo.

        Raises:
            BoxError: if a box holds a number that is not finite, or has no area.
        """
        fitted = []
        for box in boxes_xyxy:
            crop = udp.crop_of_box(box, input_hw)
            pixels = udp.cut_out(photo_rgb, crop, input_hw)
            fitted.append(Fitted(np.stack([pixels, pixels[:, ::-1]] if flip else [pixels]), crop))
        return fitted

    def decode(self, raw: np.ndarray, fitted: Fitted) -> Part:
        """Heatmaps (1 or 2, h/4, w/4, 308) as keypoints (308, 2) in photo pixels and scores (308,), both float32."""
        input_hw = fitted.pixels.shape[1:3]
        peaks_xy, scores = udp.decode_heatmaps(udp.averaged_heatmaps(raw, keypoints().flip_indices))
        input_xy = udp.heatmap_to_input(peaks_xy, raw.shape[1:3], input_hw)
        return udp.input_to_photo(input_xy, fitted.way, input_hw).astype(np.float32), scores

    def result(
        self, parts: Sequence[Part], photo_rgb: np.ndarray, *, boxes_xyxy: np.ndarray, box_scores: np.ndarray
    ) -> PoseResult:
        """The people as one result. Nobody at all is one too, with empty arrays."""
        count = len(keypoints().names)
        return PoseResult(
            photo_rgb,
            keypoints=np.array([points for points, _ in parts], np.float32).reshape(-1, count, 2),
            keypoint_scores=np.array([scores for _, scores in parts], np.float32).reshape(-1, count),
            boxes_xyxy=np.asarray(boxes_xyxy, np.float32).reshape(-1, 4),
            box_scores=np.asarray(box_scores, np.float32).reshape(-1),
        )
