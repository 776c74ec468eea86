"""Pose: every person cut out upright and alone, 308 heatmaps back, their peaks as keypoints in pixels of the photo."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .. import zoo
from ..errors import SapiensError
from ..files import write_arrays, write_bytes
from ..image import write_png
from . import agreement, draw, pose_formats, pose_tables, udp
from .agreement import Agreement, DifferenceMap, Figure
from .base import Fitted, Result
from .keypoints import keypoints
from .pose_picture import point_radii, pose_picture

NEAR_PX = 5.0
FULL_SCALE_PX = 10.0
DISC = 1.5  # radius of a shift on the map, by that of the point in the picture: colours need room

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
    FILE_OPTIONS = ("formats",)
    FIGURES = (
        Figure("mean_shift_px", "Mean shift", "px", higher_is_better=False),
        Figure("p95_shift_px", "95th percentile of shifts", "px", higher_is_better=False),
        Figure("pck_5px", "Within 5 px (PCK)", "%", higher_is_better=True),
    )

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

    def _agreement(self, reference: "PoseResult") -> Agreement:
        """Over the points that are confident in the reference: its score at least zoo.DEFAULTS.keypoint_threshold."""
        confident = self._confident(reference)
        shifts = self._shifts_px(reference)[confident]
        values = {
            "mean_shift_px": agreement.mean(shifts),
            "p95_shift_px": float(np.percentile(shifts, 95)) if shifts.size else math.nan,
            "pck_5px": agreement.mean(shifts <= NEAR_PX),
        }
        people = f"{len(confident)} people" if len(confident) != 1 else "1 person"
        return agreement.noted(values, f"{shifts.size} confident points of {people}")

    def _difference(self, reference: "PoseResult") -> DifferenceMap:
        """How far points moved, in photo pixels, in a disc about each confident one; the farthest lie on top."""
        values: np.ndarray = np.full(self.photo_rgb.shape[:2], np.nan, np.float32)
        shifts, confident = self._shifts_px(reference), self._confident(reference)
        discs = []
        for person, shown in enumerate(confident):
            radii = point_radii(values.shape, self.keypoints[person], shown, self.boxes_xyxy[person])
            discs += [
                (shifts[person, index], self.keypoints[person, index], radii[index]) for index in np.nonzero(shown)[0]
            ]
        for shift, (x, y), radius in sorted(discs, key=lambda disc: disc[0]):
            reach = max(2.0, DISC * radius)
            top, left = max(0, math.ceil(y - reach)), max(0, math.ceil(x - reach))
            place = values[top : max(0, int(y + reach) + 1), left : max(0, int(x + reach) + 1)]
            rows, columns = np.ogrid[: place.shape[0], : place.shape[1]]
            place[(rows + top - y) ** 2 + (columns + left - x) ** 2 <= reach**2] = shift
        return DifferenceMap(values, "pixels moved", FULL_SCALE_PX)

    def _confident(self, reference: "PoseResult") -> np.ndarray:
        """(P, 308) bool. SapiensError where the results are not of the same people."""
        if not np.array_equal(self.boxes_xyxy, reference.boxes_xyxy):
            raise SapiensError("The poses are of different boxes. Give both the same boxes_xyxy to compare them.")
        return reference.keypoint_scores >= zoo.DEFAULTS.keypoint_threshold

    def _shifts_px(self, reference: "PoseResult") -> np.ndarray:
        """(P, 308) float32 photo pixels."""
        return np.hypot(*np.moveaxis(self.keypoints - reference.keypoints, -1, 0))

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

    def table(self) -> list[pose_tables.KeypointRow]:
        """A row for every keypoint of every person, however low its score."""
        return pose_tables.keypoint_rows(self.keypoints, self.keypoint_scores)

    def _write(
        self,
        path: Callable[[str], Path],
        picture: np.ndarray,
        *,
        formats: Sequence[str] = (),
        keypoint_threshold: float = zoo.DEFAULTS.keypoint_threshold,
        **options: Any,
    ) -> list[Path]:
        """`<stem>_pose.png`, `<stem>_pose.json` and `<stem>_pose.npz`, and a file more for each of `formats`, which are
        names of pose_formats.FORMATS. The threshold says which points OpenPose's layout and the angles go without."""
        formats = pose_formats.resolved(formats)
        photo = path("pose").name.removesuffix("_pose")
        arrays = {name: getattr(self, name) for name in ("keypoints", "keypoint_scores", "boxes_xyxy", "box_scores")}
        return [
            write_png(path("pose.png"), picture),
            write_bytes(path("pose.json"), json.dumps(self.to_json(), allow_nan=False).encode()),
            write_arrays(path("pose.npz"), **arrays),
            *(
                write_bytes(path(ending), written(self, keypoint_threshold, photo))
                for ending, written in (pose_formats.FORMATS[name] for name in formats)
            ),
        ]


@dataclass(frozen=True, eq=False)
class _Crops(Sequence[Fitted]):
    """What fit() gives: the crops of a photo, as inputs."""

    photo_rgb: np.ndarray
    crops: list[udp.Crop]
    input_hw: tuple[int, int]
    flip: bool

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, index: int) -> Fitted:
        crop = self.crops[index]
        pixels = udp.cut_out(self.photo_rgb, crop, self.input_hw)
        return Fitted(np.stack([pixels, pixels[:, ::-1]] if self.flip else [pixels]), crop)


class PoseTask:
    name = "pose"
    figures = PoseResult.FIGURES

    def fit(
        self, photo_rgb: np.ndarray, input_hw: tuple[int, int], *, boxes_xyxy: np.ndarray, flip: bool = True
    ) -> Sequence[Fitted]:
        """One input a person, in the order of the boxes: the crop and, with `flip`, its mirror image behind it.

        Each is cut out when it is asked for, and not kept: 2.4 MB a crop, of however many people.

        Args:
            photo_rgb: (H, W, 3) uint8.
            boxes_xyxy: (P, 4) in photo pixels; they may reach outside the photo.

        Raises:
            BoxError: if a box holds a number that is not finite, or has no area.
        """
        return _Crops(photo_rgb, [udp.crop_of_box(box, input_hw) for box in boxes_xyxy], input_hw, flip)

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
