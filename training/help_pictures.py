"""Draws the two pictures of the page's tab Help, parts and keypoints, from true labels: `python -m training.help_pictures`.

Their seeds are far below those of scenes.py, so nothing was trained on them.
"""

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

PICTURES = Path(__file__).resolve().parents[1] / "sapiens_mlx/ui/pictures"
WEBP_QUALITY = 82
HEIGHT_PX = 860
GAP_PX = 14
GROUND = (236, 240, 243)
SMALLEST_PART = 0.0012  # of a panel's pixels, that a number still fits on


@dataclass(frozen=True)
class Panel:
    """One view of a drawn person; `size_hw` is what it takes of the picture."""

    seed: int
    view: str
    size_hw: tuple[int, int]

    def drawn(self) -> render.Scene:
        return render.draw(self.seed, self.size_hw, 1, self.view)


HALF = (HEIGHT_PX - GAP_PX) // 2
FULL = (HEIGHT_PX, 600)
BESIDE = (HALF, 560)
PARTS_PANELS = (Panel(1, "full", FULL), Panel(2, "face", BESIDE), Panel(3, "feet", BESIDE))
KEYPOINTS_PANELS = (Panel(1, "full", FULL), Panel(2, "face", BESIDE), Panel(3, "hand", BESIDE))


def calm(scene: render.Scene) -> np.ndarray:
    """The person in grey on an even ground, (H, W, 3) uint8."""
    grey = cv2.cvtColor(scene.image_rgb, cv2.COLOR_RGB2GRAY)[..., None].repeat(3, 2)
    alpha = scene.alpha[..., None]
    return np.rint(grey * alpha + np.float32(GROUND) * (1 - alpha)).astype(np.uint8)


def parts(scene: render.Scene) -> np.ndarray:
    """Each part in the page's colour, with the number of its class."""
    picture = calm(scene)
    coloured = drawing.blend(picture, drawing.colourise(scene.labels, classes().bright_rgb), 0.72)
    picture[scene.labels > 0] = coloured[scene.labels > 0]
    for number in np.unique(scene.labels[scene.labels > 0]):
        own = (scene.labels == number).astype(np.uint8)
        if own.mean() < SMALLEST_PART:
            continue
        depth = cv2.distanceTransform(np.pad(own, 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
        y, x = np.unravel_index(depth.argmax(), depth.shape)
        colour = tuple(map(int, classes().bright_rgb[number]))
        drawing.draw_text(picture, str(number), (float(x), float(y)), 17, drawing.ink_on(colour), colour, anchor="mm")
    return picture


def points(scene: render.Scene) -> np.ndarray:
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
            centre = tuple(int(round(float(value) * scale)) for value in person.keypoints[index])
            for part, colour in ((1.0, (20, 24, 28)), (0.72, PARTS[group])):
                cv2.circle(picture, centre, round(radius * part * scale), colour, cv2.FILLED, cv2.LINE_AA, shift=3)
    return picture


def joined(first: np.ndarray, upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """The first panel, and the two others one above the other beside it."""
    picture = np.full((HEIGHT_PX, FULL[1] + GAP_PX + BESIDE[1], 3), 255, np.uint8)
    picture[:, : FULL[1]] = first
    picture[:HALF, FULL[1] + GAP_PX :] = upper
    picture[HEIGHT_PX - HALF :, FULL[1] + GAP_PX :] = lower
    return picture


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    for name, panels, paint in (("parts", PARTS_PANELS, parts), ("keypoints", KEYPOINTS_PANELS, points)):
        path = PICTURES / f"{name}.webp"
        Image.fromarray(joined(*(paint(panel.drawn()) for panel in panels))).save(path, quality=WEBP_QUALITY, method=6)
        print(f"{path}  {path.stat().st_size / 1e3:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
