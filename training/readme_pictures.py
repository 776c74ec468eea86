"""Draws README's pictures, one a task, by the demo weights on the drawn examples: `python -m training.readme_pictures`

It writes them into assets/tasks. To show photographs, name some that may be published in EXAMPLES, and a published
size in SIZE.
"""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

import sapiens_mlx as sm
from sapiens_mlx.image import read_image
from sapiens_mlx.shipped import examples_folder

PICTURES = Path(__file__).resolve().parents[1] / "assets/tasks"
SIZE = "demo"
EXAMPLES = {
    "seg": "face.jpg",
    "pose": "one_person.jpg",
    "normal": "hands.jpg",
    "pointmap": "hands.jpg",
    "albedo": "face.jpg",
    "matting": "cropped.jpg",
    "features": "hands.jpg",
    "detect": "five_people.jpg",
}
HIGH, WIDE = 440, 330
WEBP_QUALITY = 80


def picture(task: str) -> np.ndarray:
    """(HIGH, WIDE, 3) uint8: the middle of what the task draws."""
    options = {"foreground": "auto"} if task in ("normal", "pointmap", "albedo") else {}
    photo = read_image(examples_folder() / EXAMPLES[task])
    drawn = sm.load(task, SIZE)(photo, **options).picture()
    scale = max(HIGH / drawn.shape[0], WIDE / drawn.shape[1])
    wide, high = (round(scale * side) for side in drawn.shape[1::-1])
    small = cv2.resize(drawn, (wide, high), interpolation=cv2.INTER_AREA)
    top, left = (high - HIGH) // 2, (wide - WIDE) // 2
    return np.ascontiguousarray(small[top : top + HIGH, left : left + WIDE])


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    for task in EXAMPLES:
        Image.fromarray(picture(task)).save(PICTURES / f"{task}.webp", quality=WEBP_QUALITY, method=6)


if __name__ == "__main__":
    main()
