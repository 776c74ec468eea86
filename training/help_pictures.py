"""Draws the two pictures of the page's tab Help, parts and keypoints, from true labels.

`python -m training.help_pictures` writes them into sapiens_mlx/ui/help/pictures.
Their seeds are far below those of scenes.py, so nothing was trained on them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from sapiens_mlx.tasks import draw as drawing
from sapiens_mlx.tasks.keypoints import keypoints
from sapiens_mlx.tasks.pose_picture import PARTS
from sapiens_mlx.tasks.seg import classes

from . import render

PICTURES = Path(__file__).resolve().parents[1] / "sapiens_mlx/ui/help/pictures"
WEBP_QUALITY = 82
HEIGHT_PX = 860
GAP_PX = 14
GROUND = (236, 240, 243)
NUMBER_PX = 17
SMALLEST_PART = 500  # pixels, that a number still fits on


Place = tuple[slice, slice]  # rows and columns


@dataclass(frozen=True)
class Panel:
    """One view of a drawn person, `size_hw` pixels of it, drawn `zoom` times as large as it would be in a picture of
    this size. Its middle is that of the labels `about`, or of all of the person."""

    seed: int
    view: str
    size_hw: tuple[int, int]
    zoom: float = 1.0
    about: tuple[int, ...] = ()

    def drawn(self) -> tuple[render.Scene, Place]:
        """The scene, and the place in it."""
        scene = render.draw(self.seed, tuple(round(self.zoom * side) for side in self.size_hw), 1, self.view)
        seen = np.isin(scene.labels, self.about) if self.about else scene.labels > 0
        place = []
        for axis, side in enumerate(self.size_hw):
            there = np.flatnonzero(seen.any(1 - axis))
            start = round((there[0] + there[-1] - side) / 2)
            start = max(0, min(start, seen.shape[axis] - side))
            place.append(slice(start, start + side))
        return scene, (place[0], place[1])


HALF = (HEIGHT_PX - GAP_PX) // 2
FULL = (HEIGHT_PX, 470)
BESIDE = (HALF, 560)
QUARTER = (HALF, (560 - GAP_PX) // 2)
MOUTH, FEET, FACE, HANDS, APPAREL = (24, 25, 26, 27, 28), (5, 14), (3,), (6, 15), (1,)
PARTS_PANELS = (
    Panel(1092, "full", FULL, 1.3),
    Panel(1004, "face", BESIDE, 2.6, MOUTH),
    Panel(1063, "full", QUARTER, 2.2, FEET),
    Panel(1063, "full", QUARTER, 2.2, APPAREL),
)
KEYPOINTS_PANELS = (
    Panel(1092, "full", FULL, 1.3),
    Panel(1004, "face", BESIDE, 1.5, FACE),
    Panel(1017, "hand", BESIDE, 1.5, HANDS),
)


def calm(scene: render.Scene) -> np.ndarray:
    """The person in grey on an even ground, (H, W, 3) uint8."""
    grey = cv2.cvtColor(scene.image_rgb, cv2.COLOR_RGB2GRAY)[..., None].repeat(3, 2)
    alpha = scene.alpha[..., None]
    return np.rint(grey * alpha + np.float32(GROUND) * (1 - alpha)).astype(np.uint8)


def parts(scene: render.Scene, place: Place) -> np.ndarray:
    """Each part in the page's colour, with the number of its class."""
    picture, labels = calm(scene)[place].copy(), scene.labels[place].copy()
    coloured = drawing.blend(picture, drawing.colourise(labels, classes().bright_rgb), 0.72)
    picture[labels > 0] = coloured[labels > 0]
    taken = np.zeros(labels.shape, bool)  # by the numbers so far
    for number in np.unique(labels[labels > 0]):
        own = (labels == number).astype(np.uint8)
        if own.sum() < SMALLEST_PART:
            continue
        depth = cv2.distanceTransform(np.pad(own, 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
        depth[taken] = 0
        y, x = np.unravel_index(depth.argmax(), depth.shape)
        taken[max(0, y - NUMBER_PX) : y + NUMBER_PX, max(0, x - 2 * NUMBER_PX) : x + 2 * NUMBER_PX] = True
        colour = tuple(map(int, classes().bright_rgb[number]))
        drawing.draw_text(
            picture, str(number), (float(x), float(y)), NUMBER_PX, drawing.ink_on(colour), colour, anchor="mm"
        )
    return picture


def points(scene: render.Scene, place: Place) -> np.ndarray:
    """Each point in view in the colour of its group."""
    picture, table = calm(scene), keypoints()
    scale = 8  # of OpenCV's fixed point
    for person in scene.people:
        box = person.box_xyxy
        large = min(box[2] - box[0], box[3] - box[1]) / 60
        for index in np.flatnonzero(person.visible):
            group = str(table.groups[index])
            share = {"face": 0.36, "right_hand": 0.62, "left_hand": 0.62, "feet": 0.8}.get(group, 1.0)
            radius = float(np.clip(large * share, 1.6, 6.5))
            centre = tuple(round(float(value) * scale) for value in person.keypoints[index])
            for part, colour in ((1.0, (20, 24, 28)), (0.72, PARTS[group])):
                cv2.circle(picture, centre, round(radius * part * scale), colour, cv2.FILLED, cv2.LINE_AA, shift=3)
    return picture[place]


def joined(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """The first, and beside it the others: two one above the other, or one above two."""
    first, upper, *lower = pictures
    lower = beside(lower)
    right = np.concatenate([upper, np.full((GAP_PX, upper.shape[1], 3), 255, np.uint8), lower])
    return beside([first, right])


def beside(pictures: Sequence[np.ndarray]) -> np.ndarray:
    gap = np.full((len(pictures[0]), GAP_PX, 3), 255, np.uint8)
    return np.concatenate([part for picture in pictures for part in (gap, picture)][1:], axis=1)


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    for name, panels, paint in (("parts", PARTS_PANELS, parts), ("keypoints", KEYPOINTS_PANELS, points)):
        path = PICTURES / f"{name}.webp"
        Image.fromarray(joined([paint(*panel.drawn()) for panel in panels])).save(path, quality=WEBP_QUALITY, method=6)
        print(f"{path}  {path.stat().st_size / 1e3:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
