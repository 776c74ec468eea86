"""Depth over a clip in one range of colours: what the network found is stored frame by frame, and drawn at the end.

A frame is a PNG of 16-bit millimetres, 0 for nothing and at most 65.535 m, no larger than a network sees it; and a PNG
of who is in front, where pictures are cut to people. A camera's frames are kept too: it cannot be read twice.
"""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..files import write_bytes
from ..image import shrink
from ..tasks.pointmap import DEPTH16_MOST_MM, PERCENTILES, REFERENCE_CLAMP_M, PointmapResult
from .frames import Frame

LONGEST_PX = 1024  # the network's own input is no longer
JPEG_QUALITY = 95


class DepthStore:
    """The depth of a clip's frames in a folder, by their count from 0."""

    def __init__(self, folder: Path, style: str) -> None:
        self._folder, self._style = folder, style
        folder.mkdir(exist_ok=True)
        self._histogram = np.zeros(DEPTH16_MOST_MM + 1, np.int64)  # pixels by millimetres
        self._busy: np.ndarray | None = None  # where anybody was in front, in any frame
        self.count = 0
        while self._gather(self.count):
            self.count += 1

    def add(self, frame: Frame, result: PointmapResult, *, keep_frame: bool) -> None:
        """Stores one more frame. Raises SapiensError where that cannot be written."""
        with np.errstate(invalid="ignore"):
            metres = np.nan_to_num(result.depth_m, nan=0, posinf=0, neginf=0)
        small = shrink(metres, LONGEST_PX)
        millimetres = np.clip(np.rint(small * 1000), 0, DEPTH16_MOST_MM).astype(np.uint16)
        number = self.count
        if keep_frame:
            write_bytes(self._path(number, "jpg"), _encoded(".jpg", frame.rgb[..., ::-1], JPEG_QUALITY))
            times = [frame.index, frame.time_s, frame.pts, frame.duration]
            write_bytes(self._path(number, "json"), json.dumps(times).encode())
        if result.person_mask is not None:
            mask = _encoded(".png", 255 * result.person_mask.astype(np.uint8))
            write_bytes(self._path(number, "mask.png"), mask, lasting=True)
        # Last: it says that the frame counts.
        write_bytes(self._path(number, "png"), _encoded(".png", millimetres), lasting=True)
        self._add_up(millimetres, result.person_mask)
        self.count += 1

    def range_m(self) -> tuple[float, float]:
        """(near, far) over all frames, by the percentiles that one photo's range is taken by."""
        counts = np.cumsum(self._histogram)
        if not counts[-1]:
            return REFERENCE_CLAMP_M
        near, far = (int(np.searchsorted(counts, counts[-1] * part / 100)) / 1000 for part in PERCENTILES[self._style])
        return max(near, 0.001), max(far, near + 0.001)

    def result(self, number: int, frame_rgb: np.ndarray) -> PointmapResult:
        """What picture() needs of the result of frame `number`, whose depth alone is as it was."""
        millimetres = self._read(self._path(number, "png"))
        size_wh = frame_rgb.shape[1::-1]
        points = np.zeros((*frame_rgb.shape[:2], 3), np.float32)
        points[..., 2] = cv2.resize(millimetres.astype(np.float32) / 1000, size_wh, interpolation=cv2.INTER_LINEAR)
        mask = self._read(self._path(number, "mask.png"))
        return PointmapResult(
            frame_rgb, points, scale=1.0, focal_px=1.0, fov_deg=1.0, person_mask=None if mask is None else mask > 127
        )

    def busy(self, size_hw: tuple[int, int]) -> np.ndarray:
        """(H, W) bool: where anybody was in front, in any frame."""
        if self._busy is None:
            return np.zeros(size_hw, bool)
        return cv2.resize(self._busy.view(np.uint8), size_hw[::-1], interpolation=cv2.INTER_NEAREST).astype(bool)

    def kept_frame(self, number: int) -> Frame:
        """A frame that add() kept."""
        index, time_s, pts, duration = json.loads(self._path(number, "json").read_bytes())
        return Frame(
            index, time_s, pts, duration, np.ascontiguousarray(self._read(self._path(number, "jpg"))[..., ::-1])
        )

    def _gather(self, number: int) -> bool:
        """Whether frame `number` is there from an earlier run; it counts then."""
        millimetres = self._read(self._path(number, "png"))
        if millimetres is None or millimetres.dtype != np.uint16:
            return False
        mask = self._read(self._path(number, "mask.png"))
        self._add_up(millimetres, None if mask is None else mask > 127)
        return True

    def _add_up(self, millimetres: np.ndarray, mask: np.ndarray | None) -> None:
        front = millimetres > 0
        if mask is not None:
            size_wh = millimetres.shape[1::-1]
            front &= cv2.resize(mask.astype(np.uint8), size_wh, interpolation=cv2.INTER_NEAREST).astype(bool)
        self._histogram += np.bincount(millimetres[front], minlength=len(self._histogram))
        self._busy = front if self._busy is None else self._busy | front

    def _read(self, path: Path) -> np.ndarray | Any:
        """None where there is none; a frame that counts has all of its pictures but, perhaps, the mask."""
        try:
            data = path.read_bytes()
        except OSError:
            return None
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None

    def _path(self, number: int, ending: str) -> Path:
        return self._folder / f"{number:08d}.{ending}"


def _encoded(ending: str, picture: np.ndarray, quality: int | None = None) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if quality is not None else []
    return cv2.imencode(ending, np.ascontiguousarray(picture), options)[1].tobytes()
