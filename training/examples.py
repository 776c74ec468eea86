"""Draws the pictures that ship in examples/, and the clip: `python -m training.examples [one_person ...]`.

Their seeds are far below those of scenes.py, so nothing was trained on them.
"""

import argparse
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from PIL import Image

from . import render

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
JPEG_QUALITY = 88
FRAMES_PER_S, CLIP_S = 24, 3


@dataclass(frozen=True)
class Example:
    seed: int
    size_hw: tuple[int, int]
    people: int | None
    view: str


UPRIGHT, LYING = (1600, 1200), (1200, 1600)
STILLS = {
    "one_person": Example(104, UPRIGHT, 1, "full"),
    "five_people": Example(207, LYING, 5, "full"),
    "face": Example(309, UPRIGHT, 1, "face"),
    "hands": Example(405, UPRIGHT, 1, "hand"),
    "cropped": Example(502, UPRIGHT, 2, "waist"),
    "hard": Example(203, LYING, 5, "full"),
}
CLIP = Example(702, (720, 960), 2, "full")


def draw_still(name: str) -> Path:
    example = STILLS[name]
    path = EXAMPLES / f"{name}.jpg"
    picture = render.draw(example.seed, example.size_hw, example.people, example.view).image_rgb
    Image.fromarray(picture).save(path, quality=JPEG_QUALITY)
    return path


def draw_clip() -> Path:
    import av  # for the clip alone

    path = EXAMPLES / "clip.mp4"
    height, width = CLIP.size_hw
    with av.open(path, "w") as file:
        stream = file.add_stream("libx264", rate=Fraction(FRAMES_PER_S), options={"crf": "23", "preset": "slow"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for scene in render.clip(CLIP.seed, CLIP.size_hw, FRAMES_PER_S * CLIP_S, CLIP.people, CLIP.view):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(scene.image_rgb, format="rgb24")))
        file.mux(stream.encode())
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*STILLS, "clip", []], default=[], help="default: all")
    names = parser.parse_args().names or [*STILLS, "clip"]
    EXAMPLES.mkdir(exist_ok=True)
    for name in names:
        path = draw_clip() if name == "clip" else draw_still(name)
        print(f"{path}  {path.stat().st_size / 1e6:.2f} MB", flush=True)


if __name__ == "__main__":
    main()
