"""Hands in 3-D: each hand cut out, WiLoR's points, mesh and pose of it, and one camera of the whole photo."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import SapiensError
from ..files import write_arrays, write_bytes
from ..hands import camera, crops, find
from ..hands.find import Hands
from ..hands.mano import VERTICES
from ..image import write_png
from . import agreement, draw, hands_files, hands_picture
from .agreement import Agreement, DifferenceMap, Figure
from .base import Fitted, Result

MM = 1000.0  # in a metre
FULL_SCALE_MM = 10.0
NEAR_MM = 5.0
SAME_PX = 0.01  # each level finds the hands anew, and float32 need not come out alike to the last bit
MIRRORED = np.array([-1, 1, 1], np.float32)

FINGERS = ("thumb", "index", "middle", "ring", "little")
_JOINTS = {"thumb": ("cmc", "mcp", "ip", "tip")}
# OpenPose's order: the wrist, then each finger from its root to its tip.
JOINTS = (
    "wrist",
    *(f"{finger}_{joint}" for finger in FINGERS for joint in _JOINTS.get(finger, ("mcp", "pip", "dip", "tip"))),
)
LINKS = tuple((0 if at == 0 else first + at - 1, first + at) for first in range(1, 21, 4) for at in range(4))


@dataclass(frozen=True, eq=False)
class HandPart:
    """One hand as the network gives it, a left one turned round already: points (21, 3) and vertices (778, 3) in metres
    about the hand's own origin; `pose` (16, 3) and `shape` (10,); `camera` (3,) of its crop."""

    points_m: np.ndarray
    vertices_m: np.ndarray
    pose: np.ndarray
    shape: np.ndarray
    camera: np.ndarray


@dataclass
class HandsResult(Result):
    """The hands of a photo, by falling score; N may be 0. All float32 but `sides`, "left" or "right" for each.

    In the photo, in pixels from the middle of the top left one: `boxes_xyxy` (N, 4) with `scores` (N,) 0..1;
    `keypoints_xy` (N, 21, 2), the projection of `keypoints_3d`; `detected_xy` (N, 21, 2) with `detected_scores` (N, 21)
    0..1, the detector's own points, rougher, None for a ready crop. Names and links, by index: JOINTS and LINKS.

    In space, in millimetres, x right, y down, z away from the camera: `keypoints_3d` (N, 21, 3), and `vertices`
    (N, 778, 3) of the mesh, None where only points were asked for. `translations_mm` (N, 3) is where each hand's origin
    lies; less that, and by 1000, they are the network's own metres. `focal_px` is the camera's, which looks at the
    middle of the photo. It is that of a very long lens, as the network has it: sizes are true to about the hand's own,
    distances only between points of one hand.

    `mano_pose` (N, 16, 3) are rotations as axis times angle, in radians, of the wrist and 15 joints, `mano_shape`
    (N, 10) the shape; both of a right hand: of a left one those of its mirror image. `cameras` (N, 3) is each crop's
    weak-perspective camera, scale and shift; `centres_xy` (N, 2) and `crops_px` (N,) are the crops. `faces` (F, 3) are
    the mesh's triangles, anticlockwise from outside for a right hand.
    """

    NAME = "hands"
    FIGURES = (
        Figure("mean_shift_mm", "Mean shift of points", "mm", higher_is_better=False),
        Figure("p95_shift_mm", "95th percentile of shifts", "mm", higher_is_better=False),
        Figure("pck_5mm", "Within 5 mm", "%", higher_is_better=True),
        Figure("mean_shift_px", "Mean shift in the photo", "px", higher_is_better=False),
    )

    sides: tuple[str, ...]
    scores: np.ndarray = field(repr=False)
    boxes_xyxy: np.ndarray = field(repr=False)
    keypoints_xy: np.ndarray = field(repr=False)
    keypoints_3d: np.ndarray = field(repr=False)
    vertices: np.ndarray | None = field(repr=False)
    mano_pose: np.ndarray = field(repr=False)
    mano_shape: np.ndarray = field(repr=False)
    cameras: np.ndarray = field(repr=False)
    translations_mm: np.ndarray = field(repr=False)
    focal_px: float
    centres_xy: np.ndarray = field(repr=False)
    crops_px: np.ndarray = field(repr=False)
    detected_xy: np.ndarray | None = field(default=None, repr=False)
    detected_scores: np.ndarray | None = field(default=None, repr=False)
    faces: np.ndarray | Any = field(default=None, repr=False)  # there where the vertices are

    def __len__(self) -> int:
        return len(self.sides)

    @property
    def own_points_m(self) -> np.ndarray:
        """(N, 21, 3) metres about each hand's own origin, in the camera's axes: as the network gives them."""
        return (self.keypoints_3d - self.translations_mm[:, None]) / np.float32(MM)

    @property
    def own_vertices_m(self) -> np.ndarray | None:
        """(N, 778, 3), as own_points_m; None where only points were asked for."""
        return None if self.vertices is None else (self.vertices - self.translations_mm[:, None]) / np.float32(MM)

    def project(self, points_mm: np.ndarray) -> np.ndarray:
        """Points (..., 3) of the camera frame as (..., 2) float32 pixels of the photo."""
        return camera.project(points_mm, self.focal_px, self.photo_rgb.shape[:2])

    def picture(self, photo_rgb: np.ndarray | None = None, *, style: str = "readme", **options: Any) -> np.ndarray:
        """Meshes, skeletons and labels over the photo, (H, W, 3) uint8. Both styles are the same; the options are those
        of hands_picture.hands_picture()."""
        draw.is_reference(style)
        return hands_picture.hands_picture(draw.backdrop(photo_rgb, self.photo_rgb), self, **options)

    def close_ups(self, photo_rgb: np.ndarray | None = None, **options: Any) -> list[tuple[np.ndarray, str]]:
        """A square picture of each hand, large, with what it is in words; the options are those of close_ups()."""
        return hands_picture.close_ups(draw.backdrop(photo_rgb, self.photo_rgb), self, **options)

    def _agreement(self, reference: "HandsResult") -> Agreement:
        """Over all points of all hands, each about its hand's own origin."""
        self._check_same_hands(reference)
        shifts = self._shifts_mm(reference)
        moved_px = np.hypot(*np.moveaxis(self.keypoints_xy - reference.keypoints_xy, -1, 0))
        values = {
            "mean_shift_mm": agreement.mean(shifts),
            "p95_shift_mm": float(np.percentile(shifts, 95)) if shifts.size else math.nan,
            "pck_5mm": agreement.mean(shifts <= NEAR_MM),
            "mean_shift_px": agreement.mean(moved_px),
        }
        hands = f"{len(self)} hands" if len(self) != 1 else "1 hand"
        return agreement.noted(values, f"{shifts.size} points of {hands}")

    def _difference(self, reference: "HandsResult") -> DifferenceMap:
        """How far points moved, in millimetres, on the skeleton of the reference's hands."""
        self._check_same_hands(reference)
        values = np.full(self.photo_rgb.shape[:2], np.nan, np.float32)
        for points, shifts, size in zip(
            reference.keypoints_xy, self._shifts_mm(reference), reference.crops_px, strict=True
        ):
            hands_picture.mark_shifts(values, points, shifts, LINKS, float(size))
        return DifferenceMap(values, "millimetres moved", FULL_SCALE_MM)

    def _check_same_hands(self, reference: "HandsResult") -> None:
        same = self.sides == reference.sides
        if not same or not np.allclose(self.crops_px, reference.crops_px, rtol=0, atol=SAME_PX):
            raise SapiensError("The results are of different hands. Give both the same photo and thresholds.")

    def _shifts_mm(self, reference: "HandsResult") -> np.ndarray:
        """(N, 21) float32."""
        return np.float32(MM) * np.linalg.norm(self.own_points_m - reference.own_points_m, axis=-1)

    def to_json(self) -> dict[str, Any]:
        """What `<stem>_hands.json` holds: see hands_files.to_json()."""
        return hands_files.to_json(self)

    def _write(self, path: Callable[[str], Path], picture: np.ndarray, **options: Any) -> list[Path]:
        """`<stem>_hands.png`, `.json` and `.npz`; with meshes also `.glb` and `.obj`."""
        names = ["scores", "boxes_xyxy", "keypoints_xy", "detected_xy", "detected_scores", "keypoints_3d", "vertices"]
        names += ["mano_pose", "mano_shape", "cameras", "translations_mm", "centres_xy", "crops_px"]
        arrays = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        arrays |= {"sides": np.array(self.sides, "<U5"), "focal_px": np.float32(self.focal_px)}
        paths = [
            write_png(path("hands.png"), picture),
            write_bytes(path("hands.json"), json.dumps(self.to_json(), allow_nan=False).encode()),
            write_arrays(path("hands.npz"), **arrays),
        ]
        if self.vertices is not None:
            paths.append(hands_files.write_glb(path("hands.glb"), self))
            paths.append(hands_files.write_obj(path("hands.obj"), self))
        return paths


class HandsTask:
    name = "hands"
    figures = HandsResult.FIGURES

    def fit(self, photo_rgb: np.ndarray, input_hw: tuple[int, int], *, hands: Hands) -> Sequence[Fitted]:
        """One input a hand: its square of the photo, that of a left hand mirrored, since the network knows right ones.
        The way back is whether it is a right hand."""
        fitted = []
        for centre, side, is_right in zip(hands.centres_xy, hands.crops_px, hands.is_right, strict=True):
            pixels = crops.square(photo_rgb, centre, side, input_hw[0])
            fitted.append(Fitted((pixels if is_right else pixels[:, ::-1])[None], bool(is_right)))
        return fitted

    def decode(self, raw: tuple[np.ndarray, ...], fitted: Fitted) -> HandPart:
        """The network's arrays of one hand, a left one's turned round."""
        points, vertices, wrist, fingers, shape, cameras = (array[0] for array in raw)
        turn = np.ones(3, np.float32) if fitted.way else MIRRORED
        return HandPart(
            points * turn, vertices * turn, np.concatenate([wrist, fingers]), shape, cameras * turn[[1, 0, 1]]
        )

    def result(
        self,
        parts: Sequence[HandPart],
        photo_rgb: np.ndarray,
        *,
        hands: Hands,
        faces: np.ndarray | None = None,
        vertices: bool = True,
    ) -> HandsResult:
        """The hands as one result, before one camera. Without any it is one too, with empty arrays.

        Args:
            faces: (F, 3) of the mesh.
            vertices: whether the mesh is wanted, beside the points.
        """
        photo_hw = photo_rgb.shape[:2]

        def stacked(name: str, *shape: int) -> np.ndarray:
            return np.array([getattr(part, name) for part in parts], np.float32).reshape(len(parts), *shape)

        focal, cameras = camera.focal_px(photo_hw), stacked("camera", 3)
        places = camera.translations_m(cameras, hands.centres_xy, hands.crops_px, photo_hw, focal)

        def placed(points_m: np.ndarray) -> np.ndarray:
            return np.float32(MM) * (points_m + places[:, None])

        points = placed(stacked("points_m", -1, 3) if parts else np.empty((0, len(JOINTS), 3), np.float32))
        mesh = None
        if vertices:
            mesh = placed(stacked("vertices_m", -1, 3) if parts else np.empty((0, VERTICES, 3), np.float32))
        return HandsResult(
            photo_rgb,
            sides=tuple("right" if one else "left" for one in hands.is_right),
            scores=hands.scores,
            boxes_xyxy=hands.boxes_xyxy,
            keypoints_xy=camera.project(points, focal, photo_hw),
            keypoints_3d=points,
            vertices=mesh,
            mano_pose=stacked("pose", 16, 3),
            mano_shape=stacked("shape", 10),
            cameras=cameras,
            translations_mm=np.float32(MM) * places,
            focal_px=focal,
            centres_xy=hands.centres_xy,
            crops_px=hands.crops_px,
            detected_xy=hands.points_xy,
            detected_scores=hands.point_scores,
            faces=faces if vertices else None,
        )


def notices_of(hands: Hands, photo_hw: tuple[int, int], is_crop: bool, at_once: int) -> list[str]:
    """What there is to say of the hands found in a photo, as sentences. `at_once` is how many are computed together at
    the most; where memory is short, it may be fewer."""
    if is_crop:
        return notices_of_size(photo_hw, is_crop)
    height, width = photo_hw
    said = []
    if not len(hands):
        said.append(
            "No hand was found. Lower the hand threshold (--hand-threshold), or cut the photo to one hand and say "
            "which it is (--hand-crop left or right)."
        )
    said += notices_of_size(photo_hw, is_crop)
    low, high = hands.boxes_xyxy[:, :2], hands.boxes_xyxy[:, 2:]
    cut = int(((low < -CUT_PX) | (high > np.array([width - 1, height - 1]) + CUT_PX)).any(1).sum())
    if cut:
        which = "1 hand reaches" if cut == 1 else f"{cut} hands reach"
        said.append(f"{which} beyond the photo: what is not seen of a hand is guessed.")
    if len(hands) == find.MOST:
        said.append(f"These are the {find.MOST} surest hands. Raise the hand threshold if some of them are none.")
    if len(hands) > at_once:
        said.append(f"{len(hands)} hands were found, and computed a few at a time to stay within the memory.")
    return said


def notices_of_size(photo_hw: tuple[int, int], is_crop: bool) -> list[str]:
    """Those of notices_of() that are alike for all photos of that size, as for the frames of a clip."""
    height, width = photo_hw
    if is_crop:
        if max(photo_hw) <= 2 * min(photo_hw):
            return []
        return [
            f"The picture is {width} x {height} pixels, and a crop of a hand is about square: what is missing of the "
            "square was filled from its edges."
        ]
    if max(photo_hw) < LARGE_PX:
        return []
    smallest = math.ceil(SMALLEST_PX * max(photo_hw) / crops.DETECTOR_PX)
    return [
        f"Hands are looked for in the photo shrunk to {crops.DETECTOR_PX} pixels: in one of {width} x {height}, hands "
        f"smaller than about {smallest} pixels are easily missed. Cut it into parts to find those."
    ]


SMALLEST_PX = 12  # of the detector's input, whose finest cells are 8 wide
LARGE_PX = 3000
CUT_PX = 2.0
