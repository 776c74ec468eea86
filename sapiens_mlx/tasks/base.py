"""What every task is to the predictor: it fits a photo into inputs, and turns raw outputs back into a result."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from ..errors import SapiensError
from ..files import output_folder
from .agreement import Agreement, DifferenceMap, Figure


@dataclass
class Report:
    """How a result came about. `size` of the people found alone is their detector's. `seconds` holds the stages load,
    detect, fit, network, decode, foreground and, later, draw.

    `weights_bytes` is what the network occupies in memory, and `quantized_share` (0..1) which share of its numbers is
    kept packed; both are 0 for the people found alone. `detector` is who found the people, of zoo.DETECTORS; "" where
    nobody was looked for, boxes were given, or a function of one's own was.
    """

    task: str
    size: str
    level: str
    device: str
    compute_dtype: str
    licence: str
    seconds: dict[str, float] = field(default_factory=dict)
    weights_bytes: int = 0
    quantized_share: float = 0.0
    peak_memory_bytes: int = 0
    detector: str = ""
    notices: list[str] = field(default_factory=list)


@dataclass
class Result:
    """Base of the result types. Arrays are at photo size and never masked.

    `photo_rgb` is the (H, W, 3) uint8 photo they belong to; `person_mask` (H, W) bool, where there is one, is what
    pictures and meshes of the dense tasks are cut to.
    """

    NAME: ClassVar[str]
    FILE_OPTIONS: ClassVar[tuple[str, ...]] = ()
    FIGURES: ClassVar[tuple[Figure, ...]] = ()  # what agreement() gives, the most telling first
    OVER_PEOPLE: ClassVar[bool] = False  # outside people the arrays mean nothing

    photo_rgb: np.ndarray = field(repr=False)
    person_mask: np.ndarray | None = field(default=None, repr=False, kw_only=True)
    report: Report | Any = field(default=None, kw_only=True)  # None until the predictor sets it

    def picture(self, photo_rgb: np.ndarray | None = None, *, style: str = "readme", **options: Any) -> np.ndarray:
        """The picture of this result as (H, W, 3) uint8 RGB, over `photo_rgb` (default: the photo it was made from)."""
        raise NotImplementedError

    def save(
        self, folder: str | Path, stem: str, *, side_by_side: bool = False, style: str = "readme", **options: Any
    ) -> list[Path]:
        """Write the task's files as `<stem>_...` into `folder` and return their paths.

        Args:
            side_by_side: also the photo and the picture in one file, `<stem>_<task>_side_by_side.png`.
            options: those of picture(), and the task's own for its files (FILE_OPTIONS).

        Raises:
            SapiensError: for an option's value that cannot be, or a folder that cannot be written.
        """
        from ..image import write_png  # these bring OpenCV, which the page does without until its first run
        from .draw import side_by_side as beside

        folder = output_folder(folder)
        options["style"] = style
        picture = self.picture(**{name: value for name, value in options.items() if name not in self.FILE_OPTIONS})

        def path(ending: str) -> Path:
            return folder / f"{stem}_{ending}"

        paths = self._write(path, picture, **options)
        if side_by_side:
            paths.append(write_png(path(f"{self.NAME}_side_by_side.png"), beside(self.photo_rgb, picture)))
        return paths

    def _write(self, path: Callable[[str], Path], picture: np.ndarray, **options: Any) -> list[Path]:
        """The task's own files: path("seg.png") is where `<stem>_seg.png` goes."""
        raise NotImplementedError

    def agreement(self, reference: "Result") -> Agreement:
        """FIGURES of this result against a reference of the same task and photo.

        Of the dense tasks, those whose arrays mean nothing outside people are taken over the reference's person mask
        where it has one, so that all results are judged over the same pixels; else over the whole photo.

        Raises:
            SapiensError: when the two cannot be compared.
        """
        self._check_comparable(reference)
        return self._agreement(reference)

    def difference(self, reference: "Result") -> DifferenceMap:
        """Where this result differs from a reference, (H, W); taken over what agreement() is, and raises as it does."""
        self._check_comparable(reference)
        return self._difference(reference)

    def picture_beside(self, reference: "Result") -> np.ndarray:
        """picture() in colours that mean what they mean in the reference's."""
        return self.picture()

    def is_finite(self) -> bool:
        """Whether every number is. A network's float16 can overflow, and then is not."""
        numbers = [value for value in vars(self).values() if isinstance(value, float | np.ndarray)]
        ends = [end(number) for number in numbers if np.size(number) for end in (np.min, np.max)]  # NaN passes through
        return bool(np.isfinite(ends).all())

    def _check_comparable(self, reference: "Result") -> None:
        if not self.FIGURES or type(self) is not type(reference):
            raise SapiensError(
                f"A result of {self.NAME} cannot be compared with one of {reference.NAME}. "
                "Compare two of one task: seg, pose, normal, pointmap, albedo, matting, features or hands."
            )
        if self.photo_rgb.shape != reference.photo_rgb.shape:
            sizes = " and ".join("{1} x {0}".format(*one.photo_rgb.shape) for one in (self, reference))
            raise SapiensError(f"The results are of photos of {sizes} pixels. Compare two of the same photo.")

    def _agreement(self, reference: Any) -> Agreement:
        """The task's part of agreement()."""
        raise NotImplementedError

    def _difference(self, reference: Any) -> DifferenceMap:
        """The task's part of difference()."""
        raise NotImplementedError

    def _masked(self, **arrays: Any) -> dict[str, Any]:
        """The arrays, with the person mask beside them where there is one."""
        return arrays if self.person_mask is None else arrays | {"person_mask": self.person_mask}


@dataclass(frozen=True)
class Fitted:
    """Inputs that are decoded together (one photo, or one person's crop and its mirror image), and the way back.

    `pixels` is (n, h, w, 3) uint8 RGB; `way` is whatever the task's decode needs to return to photo pixels.
    """

    pixels: np.ndarray
    way: Any


class Task(Protocol):
    """One file in tasks/ holds one of these, as a class of three methods without state.

    `figures` are those of its result's agreement(); none where results are not compared.
    """

    name: str
    figures: tuple[Figure, ...]

    def fit(self, photo_rgb: np.ndarray, input_hw: tuple[int, int], **options: Any) -> Sequence[Fitted]:
        """The photo as network inputs: one Fitted for the dense tasks, one a person for pose."""

    def decode(self, raw: Any, fitted: Fitted) -> Any:
        """This task's part of the raw output (NumPy float32, channels last; pointmap: a pair) for `fitted.pixels`."""

    def result(self, parts: Sequence[Any], photo_rgb: np.ndarray, **options: Any) -> Result:
        """The parts, in the order of fit, as one result."""
