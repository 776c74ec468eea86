"""A page with nothing but the 3-D surface, of made-up results: a person 2 m away before a wall at 4 m."""

import sapiens_mlx  # noqa: F401  isort: skip

import os
import tempfile
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from sapiens_mlx.tasks.base import Result
from sapiens_mlx.tasks.normal import NormalResult
from sapiens_mlx.tasks.pointmap import PointmapResult
from sapiens_mlx.tasks.seg import SegResult
from sapiens_mlx.ui.studio import space
from sapiens_mlx.ui.theme import STYLE_SHEETS, theme

HEIGHT, WIDTH = 600, 500
FOCAL_PX = HEIGHT / 2 / np.tan(space.VIEW_RAD / 2)  # of a camera with the viewer's own field of view
PERSON = np.s_[150:550, 100:250]  # left of the middle, so that a mirrored view would show
PERSON_M, WALL_M = 2.0, 4.0
SHIRT, LEGS, SKY, GRASS = (200, 60, 40), (40, 60, 150), (120, 170, 210), (90, 140, 60)


def photo() -> np.ndarray:
    """(H, W, 3) uint8: four colours, of which no two are in each other's place when it is turned or mirrored."""
    picture = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    picture[: HEIGHT // 2], picture[HEIGHT // 2 :] = SKY, GRASS
    picture[150:350, 100:250], picture[350:550, 100:250] = SHIRT, LEGS
    return picture


def results(focal_px: float = FOCAL_PX) -> dict[str, Result]:
    """Of body parts, normals and the pointmap, as a pinhole camera would have them."""
    rgb, people = photo(), np.zeros((HEIGHT, WIDTH), bool)
    people[PERSON] = True
    depth_m = np.where(people, PERSON_M, WALL_M)
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    rays = np.stack([(x - WIDTH / 2) / focal_px, (y - HEIGHT / 2) / focal_px, np.ones_like(x)], -1)
    points = (rays * depth_m[..., None]).astype(np.float32)
    facing = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    facing[..., 2] = 1
    labels = 23 * people.astype(np.uint8)
    return {
        "seg": SegResult(rgb, labels, np.zeros((2, 2, 29), np.float32)),
        "normal": NormalResult(rgb, facing),
        "pointmap": PointmapResult(rgb, points, 1.0, float(focal_px), 50.0),
    }


def main() -> None:
    """Serve it. The check box takes the results of body parts and normals away."""
    folder = Path(os.environ["GRADIO_TEMP_DIR"])
    folder.mkdir(parents=True, exist_ok=True)
    inputs: dict[str, Any] = {}
    with gr.Blocks() as demo:
        run, away = gr.Button("Run", elem_id="run"), gr.Button("Away")
        inputs["alone"] = gr.Checkbox(False, label="Pointmap alone")
        with gr.Column(visible=False) as column:
            surface = space.build(inputs)

        def show(alone: bool, **values: Any) -> dict:
            there = results()
            if alone:
                there = {"pointmap": there["pointmap"]}
            return space.updates(surface, there, Path(tempfile.mkdtemp(dir=folder)), "drawn", values)

        opened = [run.click(lambda: gr.update(visible=True), None, column)]
        away.click(lambda: (gr.update(visible=False), None), None, [column, surface.viewer])
        outputs = [surface.viewer, surface.told, *surface.downloads]
        space.connect(surface, inputs, opened, show, inputs_kwargs=inputs, outputs=outputs)
    demo.launch(theme=theme(), css_paths=STYLE_SHEETS, ssr_mode=False)


if __name__ == "__main__":
    main()
