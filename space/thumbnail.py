"""Draws space/thumbnail.jpg, the picture that stands for the Space: an example beside what three tasks make of it.

    python -m space.thumbnail

It runs the demo weights, in a quarter of a minute.
"""

import sapiens_mlx as sm  # isort: skip

from pathlib import Path

import cv2
import numpy as np

from sapiens_mlx.image import read_image
from sapiens_mlx.shipped import examples_folder

PICTURE = Path(__file__).with_name("thumbnail.jpg")
PANEL_WH = (300, 630)  # four make 1200 x 630, the form in which links are shown elsewhere
PERSON = np.s_[80:1240, 472:1024]  # of one_person.jpg, in the form of a panel
QUALITY = 85


def main() -> None:
    photo = read_image(examples_folder() / "one_person.jpg")
    shown = [photo, sm.load("seg")(photo).picture(), sm.load("normal")(photo, foreground="auto").picture()]
    shown.append(sm.load("pose")(photo).picture())
    panels = [cv2.resize(picture[PERSON], PANEL_WH, interpolation=cv2.INTER_AREA) for picture in shown]
    cv2.imwrite(str(PICTURE), np.hstack(panels)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    print(f"{PICTURE.name}: {PICTURE.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
