"""People alone: the detector's boxes as a result, a picture of them, and files."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..files import write_bytes
from ..image import write_png
from . import draw
from .base import Result

LIME: draw.Colour = (0, 255, 0)

# left, top, right, bottom in whole pixels; right and bottom are the first outside
Rectangle = tuple[int, int, int, int]


@dataclass
class DetectResult(Result):
    """`boxes_xyxy` (P, 4) in photo pixels and `box_scores` (P,) in 0..1, float32, by falling score; P may be 0."""

    NAME = "detect"

    boxes_xyxy: np.ndarray = field(repr=False)
    box_scores: np.ndarray = field(repr=False)

    def picture(
        self,
        photo_rgb: np.ndarray | None = None,
        *,
        style: str = "readme",
        line_width: float | None = None,
        numbers: Sequence[int] | None = None,
    ) -> np.ndarray:
        """Lime boxes labelled "person 0.93" over the photo, (H, W, 3) uint8. Both styles are the same.

        In a crowd the labels are "0.93", and of those that would cover others the least sure are left out.

        Args:
            line_width: in photo pixels; None: in proportion to the photo.
            numbers: (P,) of the people, from 1, to stand in the labels: in a video they keep theirs.

        Raises:
            SapiensError: for an unknown style, or a line width that is not above 0.
        """
        draw.is_reference(style)
        draw.check_size("line width", line_width)
        picture = draw.backdrop(photo_rgb, self.photo_rgb).copy()
        photo_hw = picture.shape[:2]
        width = max(2, draw.line_width_px(photo_hw)) if line_width is None else max(1, round(line_width))
        frames = [_frame_of(box, photo_hw) for box in self.boxes_xyxy]
        for frame in frames[::-1]:  # the surest last, over the others
            _draw_frame(picture, frame, width)
        names = ["person"] * len(frames) if numbers is None else [f"person {number}" for number in numbers]
        texts = [f"{name} {score:.2f}" for name, score in zip(names, self.box_scores, strict=True)]
        places = _places(frames, texts, photo_hw)
        if None in places:  # a crowd: the numbers alone find more room
            texts = [f"{score:.2f}" for score in self.box_scores] if numbers is None else [str(n) for n in numbers]
            places = _places(frames, texts, photo_hw)
        for text, place in zip(texts, places, strict=True):
            if place is not None:
                draw.draw_text(picture, text, place[:2], draw.text_px(photo_hw), draw.BLACK, LIME)
        return picture

    def to_json(self) -> dict[str, Any]:
        """What `<stem>_detect.json` holds.

        {"photo_size": {"width", "height"}, "format", "people": [{"box_xyxy": [4 numbers], "box_score"}], and "report"
        where there is one}
        """
        height, width = self.photo_rgb.shape[:2]
        contents: dict[str, Any] = {
            "photo_size": {"width": width, "height": height},
            "format": "xyxy, photo pixels",
            "people": [
                {"box_xyxy": [round(float(value), 3) for value in box], "box_score": round(float(score), 6)}
                for box, score in zip(self.boxes_xyxy, self.box_scores, strict=True)
            ],
        }
        if self.report is not None:
            contents["report"] = asdict(self.report)
        return contents

    def _write(self, path: Callable[[str], Path], picture: np.ndarray, **options: Any) -> list[Path]:
        """`<stem>_detect.png` and `<stem>_detect.json`."""
        text = json.dumps(self.to_json(), allow_nan=False, indent=1)
        return [write_png(path("detect.png"), picture), write_bytes(path("detect.json"), text.encode())]


def _frame_of(box_xyxy: np.ndarray, photo_hw: tuple[int, int]) -> Rectangle:
    """The pixels under a box. Sides beyond the photo lie at its edge, so that the box of a cut-off person is closed."""
    height, width = photo_hw
    x1, y1, x2, y2 = np.rint(np.clip(box_xyxy, 0, [width - 1, height - 1] * 2)).astype(int).tolist()
    return x1, y1, x2 + 1, y2 + 1


def _draw_frame(picture: np.ndarray, frame: Rectangle, width: int) -> None:
    """A lime frame with a thin black edge on either side, in place: lime alone is lost on bright grass and white.

    The line lies inside the frame, where the photo's edge does not cut it.
    """
    rim = max(1, round(width / 4))
    for inset, thickness, colour in ((0, width + 2 * rim, draw.BLACK), (rim, width, LIME)):
        left, top = frame[0] + inset, frame[1] + inset
        right, bottom = max(left, frame[2] - inset), max(top, frame[3] - inset)  # below 0 they would count from the end
        for side in (
            picture[top : top + thickness, left:right],
            picture[max(top, bottom - thickness) : bottom, left:right],
            picture[top:bottom, left : left + thickness],
            picture[top:bottom, max(left, right - thickness) : right],
        ):
            side[:] = colour


def _places(frames: list[Rectangle], texts: list[str], photo_hw: tuple[int, int]) -> list[Rectangle | None]:
    """Where each text with its background may stand: at its frame's left, above it, in its top or below it.

    The first of these that is inside the picture and covers no text before it; None where there is none.
    """
    height, width = photo_hw
    px = draw.text_px(photo_hw)
    pad = max(2, round(0.25 * px))  # as draw_text puts around text with a background
    places: list[Rectangle | None] = []
    for (left, top, _, bottom), text in zip(frames, texts, strict=True):
        text_w, text_h = draw.text_size(text, px)
        label_w, label_h = text_w + 2 * pad, text_h + pad
        x = min(left, width - label_w)
        tried = [(x, y, x + label_w, y + label_h) for y in (top - label_h, top, bottom)]
        inside = [place for place in tried if x >= 0 and place[1] >= 0 and place[3] <= height]
        free = [place for place in inside if not any(other and _overlap(place, other) for other in places)]
        places.append(free[0] if free else None)
    return places


def _overlap(a: Rectangle, b: Rectangle) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
