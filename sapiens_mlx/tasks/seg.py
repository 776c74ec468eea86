"""Body parts: the photo stretched into the network, 29 logits a pixel back, the largest of them at photo size."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..files import write_arrays
from ..image import write_indexed_png, write_png
from . import draw, fit
from .agreement import Agreement, DifferenceMap, Figure, bands
from .base import Fitted, Result

OPACITY = {"readme": 0.55, "reference": 0.5}


@dataclass(frozen=True)
class Classes:
    """The 29 parts in index order; 0 is the background. Colours are (29, 3) uint8 RGB.

    `swap_pairs` are the indices that change places when a photo is mirrored.
    """

    names: tuple[str, ...]
    bright_rgb: np.ndarray
    dome29_rgb: np.ndarray
    swap_pairs: tuple[tuple[int, int], ...]

    def title(self, index: int) -> str:
        """A name for people: "Left lower arm"."""
        return self.names[index].replace("_", " ").capitalize()


@cache
def classes() -> Classes:
    """The table of data/seg29.json."""
    table = json.loads((Path(__file__).parent / "data/seg29.json").read_text())
    return Classes(
        names=tuple(table["names"]),
        bright_rgb=np.array(table["bright_rgb"], np.uint8),
        dome29_rgb=np.array(table["dome29_rgb"], np.uint8),
        swap_pairs=tuple(map(tuple, table["swap_pairs"])),
    )


@dataclass
class SegResult(Result):
    """`labels` (H, W) uint8 at photo size; `logits` (h, w, 29) float32 as the network left them."""

    NAME = "seg"
    FIGURES = (
        Figure("pixel_agreement", "Equal labels", "%", higher_is_better=True),
        Figure("mean_iou", "Mean IoU", "%", higher_is_better=True),
        Figure("worst_class_iou", "Worst class, IoU", "%", higher_is_better=True),
    )

    labels: np.ndarray = field(repr=False)
    logits: np.ndarray = field(repr=False)

    def foreground_mask(self) -> np.ndarray:
        """(H, W) bool: everything that is not background."""
        return self.labels > 0

    def shares(self) -> dict[int, float]:
        """The share of the photo (0..1) of each part in it, largest first, without the background."""
        counts = label_counts(self.labels) / self.labels.size
        return {int(index): float(counts[index]) for index in np.argsort(-counts) if index and counts[index]}

    def probabilities(self) -> np.ndarray:
        """The softmax of the logits at photo size, (H, W, 29) float32: 116 bytes a pixel, 1.4 GB at 12 megapixels."""
        probabilities = fit.resize_linear(self.logits, self.labels.shape)
        for band in np.array_split(probabilities, max(1, len(probabilities) // 64)):  # views: in cache, in place
            band -= band.max(-1, keepdims=True)
            np.exp(band, out=band)
            band /= band.sum(-1, keepdims=True)
        return probabilities

    def picture(
        self,
        photo_rgb: np.ndarray | None = None,
        *,
        style: str = "readme",
        opacity: float | None = None,
        legend: bool | None = None,
    ) -> np.ndarray:
        """The parts in colour over the photo, (H, W, 3) uint8.

        Args:
            style: "readme": bright colours, the background left as it is; "reference": its own palette over everything.
            opacity: of the colours, 0..1; by default 0.55, or 0.5 in the reference's style.
            legend: list the parts and their share of the photo; by default in the readme style only.
        """
        reference = draw.is_reference(style)
        photo_rgb = draw.backdrop(photo_rgb, self.photo_rgb)
        opacity = OPACITY[style] if opacity is None else opacity
        colours = classes().dome29_rgb if reference else classes().bright_rgb
        picture = draw.blend(photo_rgb, draw.colourise(self.labels, colours), opacity)
        if not reference:
            cv2.copyTo(photo_rgb, (self.labels == 0).view(np.uint8), picture)
        if legend if legend is not None else not reference:
            entries = [
                (tuple(colours[index].tolist()), classes().title(index), _percent(share))
                for index, share in self.shares().items()
            ]
            draw.legend(picture, entries, busy=self.foreground_mask())
        return picture

    def _agreement(self, reference: "SegResult") -> Agreement:
        """Over the whole photo. IoU is of the classes that the reference has, the background among them."""
        counts = self._confusion(reference)
        hits, expected, found = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
        there = np.flatnonzero(expected)
        iou = hits[there] / (expected + found - hits)[there]
        worst = int(iou.argmin())
        values = {
            "pixel_agreement": float(hits.sum() / counts.sum()),
            "mean_iou": float(iou.mean()),
            "worst_class_iou": float(iou[worst]),
        }
        return Agreement(values, "the whole photo", {"worst_class_iou": classes().title(int(there[worst]))})

    def _confusion(self, reference: "SegResult") -> np.ndarray:
        """(29, 29) counts of pixels: rows by the reference's label, columns by this one's."""
        size = len(classes().names)
        counts = np.zeros(size * size, np.int64)
        for rows in bands(len(self.labels)):
            pairs = reference.labels[rows].astype(np.intp) * size + self.labels[rows]
            counts += np.bincount(pairs.ravel(), minlength=size * size)
        return counts.reshape(size, size)

    def _difference(self, reference: "SegResult") -> DifferenceMap:
        """1 where labels differ."""
        return DifferenceMap((self.labels != reference.labels).astype(np.float32), "", 1.0, labels=True)

    def _write(self, path: Callable[[str], Path], picture: np.ndarray, *, style: str, **options: Any) -> list[Path]:
        """`<stem>_seg.png`, `<stem>_seg_labels.png` (indexed, in the picture's colours) and `<stem>_seg.npz`."""
        palette = classes().dome29_rgb if draw.is_reference(style) else classes().bright_rgb
        return [
            write_png(path("seg.png"), picture),
            write_indexed_png(path("seg_labels.png"), self.labels, palette),
            write_arrays(path("seg.npz"), labels=self.labels, names=np.array(classes().names)),
        ]


class SegTask:
    name = "seg"
    figures = SegResult.FIGURES

    def fit(self, photo_rgb: np.ndarray, input_hw: tuple[int, int]) -> list[Fitted]:
        """One input: the whole photo, stretched."""
        return fit.stretched(photo_rgb, input_hw)

    def decode(self, raw: np.ndarray, fitted: Fitted) -> tuple[np.ndarray, np.ndarray]:
        """Logits (1, h, w, 29) as (labels (H, W) uint8, logits (h, w, 29))."""
        return labels_at(raw[0], fitted.way.photo_hw), raw[0]

    def result(self, parts: Sequence[tuple[np.ndarray, np.ndarray]], photo_rgb: np.ndarray) -> SegResult:
        return SegResult(photo_rgb, *parts[0])


def label_counts(labels: np.ndarray) -> np.ndarray:
    """(256,) float32: how many pixels of (H, W) uint8 have each label."""
    return cv2.calcHist([labels], [0], None, [256], [0, 256]).ravel()


def labels_at(logits: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """The argmax of bilinearly resized logits, without ever resizing 29 planes to photo size.

    Where the four logit vectors around a pixel have the same largest class, so has every mixture of them, and the
    label is copied. Only the pixels between differing neighbours, on the outlines of parts, are interpolated.

    Args:
        logits: (h, w, C) float32, h and w at least 2.
        size_hw: of the photo.

    Returns:
        (H, W) uint8.
    """
    rows, row_weights = _taps(logits.shape[0], size_hw[0])
    columns, column_weights = _taps(logits.shape[1], size_hw[1])
    coarse = logits.argmax(-1).astype(np.uint8)  # (h, w)
    corner = coarse[:-1, :-1]
    mixed = (corner != coarse[1:, :-1]) | (corner != coarse[:-1, 1:]) | (corner != coarse[1:, 1:])  # (h - 1, w - 1)
    labels = coarse[rows][:, columns]
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):  # photo rows between the same two logit rows
        row = rows[start]
        there = np.flatnonzero(mixed[row, columns])
        left = columns[there]
        pair = logits[row : row + 2, left]  # (2, n, C)
        pair += column_weights[there, None] * (logits[row : row + 2, left + 1] - pair)
        between = pair[0] + row_weights[start:end, None, None] * (pair[1] - pair[0])  # (k, n, C)
        labels[start:end, there] = between.argmax(-1)
    return labels


def _taps(size: int, size_out: int) -> tuple[np.ndarray, np.ndarray]:
    """For each output pixel: the first of the two inputs it lies between, and the weight of the second (0..1)."""
    at = np.clip((np.arange(size_out) + 0.5) * (size / size_out) - 0.5, 0, size - 1)
    first = np.minimum(at.astype(np.intp), size - 2)
    return first, (at - first).astype(np.float32)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.0005 else "< 0.1 %"
