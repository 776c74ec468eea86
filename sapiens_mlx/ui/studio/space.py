"""The surface 3-D: the pointmap as a mesh or as points in the page's viewer, seen from where the camera stood.

The viewer (Babylon.js in gr.Model3D) turns about the middle of a model's bounds, and its field of view is its own. So
the file that it gets has bounds about a point straight ahead of the camera, as far away as the people are, and the
viewer stands where what is there is as large as it was in the photo. Files to download have neither.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import gradio as gr

from ... import zoo
from ...tasks.base import Result
from .. import words

if TYPE_CHECKING:
    import numpy as np

    from ...tasks.pointmap import PointmapResult

TASK = "pointmap"
KINDS = (("Mesh", "mesh"), ("Points", "points"))
COLOURS = (("Photo", "photo"), ("Body parts", "seg"), ("Normals", "normal"))
POINTS = (20_000, 1_000_000, 200_000, 10_000)  # least, most, at first (4 MB, quick in any browser), step
CONTROLS = ("space_as", "space_colours", "space_points")

OPACITY = 0.7  # of the parts' colours: a little of the photo's light and shadow gives them their shape
VIEW_RAD = 0.8  # of the viewer, from its top to its bottom
BAND_ROWS = 64
MOST_COUNTED = 512  # rows or columns that the first view is worked out from

MISSING = "There are no results of {0} for this photo yet, so it has its own colours. Tick {0} and press Run."
NOTHING = "There is nothing before the camera to show: no pixel of the photo has a depth."
HOW = {
    "mesh": "The mesh is cut where depth jumps.",
    "points": "Every point is one pixel of the screen: come closer, or allow more of them, to see them apart or dense.",
}
TURN = "Seen from the direction of the camera. Drag to turn, scroll or pinch to come closer, drag with Ctrl to move."


@dataclass(frozen=True)
class Space:
    """The components that the surface writes to; its controls are among the page's inputs, by the names in CONTROLS,
    and lie in the row `look`, which is of this surface alone where another one has the viewer."""

    viewer: gr.Model3D
    look: gr.Row
    again: gr.Button
    told: gr.HTML
    downloads: tuple[gr.DownloadButton, gr.DownloadButton]


def build(inputs: dict[str, Any]) -> Space:
    """Lay the surface out in the current Blocks, in a column of its own. Fills `inputs` with the controls."""
    least, most, start, step = POINTS
    with gr.Column(elem_classes="space"):
        viewer = gr.Model3D(
            label="3-D",
            show_label=False,
            interactive=False,
            display_mode="solid",
            clear_color=(0, 0, 0, 0),  # the style sheet's background shines through, in light and in dark
            elem_classes=["viewer"],
        )
        told = gr.HTML(elem_classes="told-area")
        with gr.Row(elem_classes="style") as look:
            inputs["space_as"] = gr.Radio(list(KINDS), value="mesh", label="As", elem_classes="chips small")
            inputs["space_colours"] = gr.Radio(
                list(COLOURS), value="photo", label="Colours", elem_classes="chips small"
            )
            inputs["space_points"] = gr.Slider(least, most, value=start, step=step, label="Most points")
        with gr.Row(elem_classes="files"):
            again = gr.Button("Back to the camera's view", size="sm", min_width=150)
            downloads = tuple(gr.DownloadButton("", visible=False, size="sm", min_width=150) for _ in range(2))
    return Space(viewer, look, again, told, cast(Any, downloads))


def connect(
    space: Space, controls: Mapping[str, Any], opened: Sequence[Any], show: Callable, **event: Any
) -> list[gr.events.Dependency]:
    """Call `show`, which gives updates(), after the events `opened`, and when a control moves; returns these calls.

    Tried in Gradio 6.31: a viewer never appears, nor does it ever after until it is emptied, where its first value
    comes in the event that makes its column visible, from a generator (which gives its last one twice), or before that,
    or where its value changes while it is hidden. So `show` is no generator, and `opened` are events that end with the
    surface on the page. What hides it may empty the viewer (value None), so that no former photo is seen first.

    Args:
        controls: the page's inputs by name.
        opened: events that have brought the surface into view, or a new result into the surface.
        event: the arguments of the calls.
    """
    moved = [controls[name] for name in CONTROLS]
    triggers = [one.release if isinstance(one, gr.Slider) else one.input for one in moved]
    return [*(one.then(show, **event) for one in opened), gr.on([*triggers, space.again.click], show, **event)]


def updates(
    space: Space, results: Mapping[str, Result], folder: Path, stem: str, values: Mapping[str, Any]
) -> dict[Any, Any]:
    """What to write to the surface's components for results that have a pointmap among them.

    `folder` is a new one every time: the viewer opens a file, and stands where the camera stood, when its name is new.
    """
    viewed, paths = make(results, folder, values), files(results, folder, stem, values)
    cloud = values["space_as"] == "points"
    titles = ("Points", "3-D points" if cloud else "3-D mesh")
    labels = [words.file_words(title, path) for title, path in zip(titles, paths, strict=True)]
    return {
        space.viewer: gr.update(
            value=str(viewed),
            camera_position=camera_position(results),
            height=height(results),
            elem_classes=["viewer", "cloud"] if cloud else ["viewer"],
        ),
        space.told: told(results, values),
    } | {
        button: gr.update(value=str(path), label=label, visible=True)
        for button, path, label in zip(space.downloads, paths, labels, strict=True)
    }


# ---- files ----------------------------------------------------------------------------------------------------------


def make(results: Mapping[str, Result], folder: Path, values: Mapping[str, Any]) -> Path:
    """Write the GLB for the viewer into `folder`: what files() writes, with bounds about the point it turns about, in
    colours that are the right ones once the viewer has changed them."""
    colours_rgb = before_tone_mapping(colours(results, values["space_colours"]))
    return _write_glb(results, folder / "view.glb", values, colours_rgb, distance_m(results))


def files(results: Mapping[str, Result], folder: Path, stem: str, values: Mapping[str, Any]) -> list[Path]:
    """Write what is shown for other programs: `<stem>_pointmap.ply`, and a GLB mesh or points as is chosen."""
    from ...tasks import scene

    result, most = _pointmap(results), int(values["space_points"])
    colours_rgb = colours(results, values["space_colours"])
    ply = scene.write_ply(folder / f"{stem}_pointmap.ply", result.points, colours_rgb, result.in_front(), most)
    return [ply, _write_glb(results, folder / f"{stem}_pointmap.glb", values, colours_rgb)]


def _write_glb(
    results: Mapping[str, Result],
    path: Path,
    values: Mapping[str, Any],
    colours_rgb: "np.ndarray",
    centre_m: float | None = None,
) -> Path:
    from ...tasks import scene

    result, most = _pointmap(results), int(values["space_points"])
    shown = result.points, colours_rgb, result.in_front()
    if values["space_as"] == "points":
        return scene.write_glb_points(path, *shown, most, centre_m)
    return scene.write_glb(path, *shown, result.focal_px, most, centre_m)


def colours(results: Mapping[str, Result], choice: str) -> "np.ndarray":
    """(H, W, 3) uint8: the photo, the body parts over it, or the normals; the photo where their result is missing."""
    result: Any = results.get(choice)
    if result is None:
        return results[TASK].photo_rgb
    if choice == "seg":
        return result.picture(legend=False, opacity=OPACITY)
    return replace(result, person_mask=None).picture()  # whom the mesh shows is for the pointmap's mask


def before_tone_mapping(colours_rgb: "np.ndarray") -> "np.ndarray":
    """What the viewer's tone mapping turns into (..., 3) uint8 `colours_rgb`; dark ones would come out far too dark.

    It is Khronos PBR Neutral, which takes from all channels, in linear light, what a reflection adds: 0.04, and less
    where the least channel x is below 0.08, so that 6.25 x^2 remains of it. It also dims what is lighter than 0.8,
    which stays so: it leaves no value that would come out as white.
    """
    import numpy as np

    table, changed = _tone_table(), np.empty_like(colours_rgb)
    for top in range(0, len(colours_rgb), BAND_ROWS):  # in bands, which stay in the cache
        band = colours_rgb[top : top + BAND_ROWS]
        least = np.minimum(np.minimum(band[..., 0], band[..., 1]), band[..., 2])
        table.take(least[..., None].astype(np.intp) * 256 + band, out=changed[top : top + BAND_ROWS])
    return changed


@cache
def _tone_table() -> "np.ndarray":
    """(65536,) uint8: the value for 256 * the least channel + a channel."""
    import numpy as np

    from ...tasks.scene import linear

    light = linear().astype(np.float64)
    added = np.where(light < 0.04, np.sqrt(light / 6.25), light + 0.04) - light  # by the least channel
    wanted = light + added[:, None]  # (256, 256)
    srgb = np.where(wanted <= 0.0031308, 12.92 * wanted, 1.055 * wanted ** (1 / 2.4) - 0.055)
    return np.clip(np.rint(255 * srgb), 0, 255).astype(np.uint8).ravel()


# ---- the first view -------------------------------------------------------------------------------------------------


def camera_position(results: Mapping[str, Result]) -> tuple[float, float, float]:
    """(alpha, beta, radius) of gr.Model3D, in degrees and metres, that shows the photo's view.

    Along the camera's line of sight, at the distance where the people are as large in the viewer as in the photo. Where
    the photo was taken with the viewer's own field of view, that is where the camera stood.
    """
    half_px = results[TASK].photo_rgb.shape[0] / 2
    return 90.0, 90.0, distance_m(results) * half_px / _focal_px(results) / math.tan(VIEW_RAD / 2)


def distance_m(results: Mapping[str, Result]) -> float:
    """How far away the people are: the median of their depth, or of everything's where nobody is known to be."""
    import numpy as np

    depth_m = _pointmap(results).depth_m[_people(results)]
    return float(np.median(depth_m)) if depth_m.size else 1.0


def _focal_px(results: Mapping[str, Result]) -> float:
    """The focal length that takes the people's points to their pixels.

    That is the pointmap's own where the points lie on the rays of its camera, from which a small network's stray.
    """
    import numpy as np

    result = _pointmap(results)
    rows, columns = _people(results)
    photo_h, photo_w = result.photo_rgb.shape[:2]
    pixels = np.stack([columns + 0.5 - photo_w / 2, rows + 0.5 - photo_h / 2], axis=-1)
    points = result.points[rows, columns].astype(np.float64)
    slopes = points[:, :2] / points[:, 2:]
    focal_px = float((pixels * slopes).sum() / max((slopes**2).sum(), 1e-12))
    least = photo_h / 20  # a field of view of 169 degrees
    return focal_px if least < focal_px < math.inf else max(least, photo_h / 2 / math.tan(VIEW_RAD / 2))


def _people(results: Mapping[str, Result]) -> "tuple[np.ndarray, np.ndarray]":
    """Rows and columns of every n-th pixel that people are on, or of all that is shown where nobody is known to be."""
    import numpy as np

    result = _pointmap(results)
    step = max(1, max(result.depth_m.shape) // MOST_COUNTED)
    coarse = np.s_[::step, ::step]
    shown, seg = result.in_front()[coarse], results.get("seg")
    if seg is not None and result.person_mask is None:
        people = shown & cast(Any, seg).foreground_mask()[coarse]
        shown = people if people.any() else shown
    rows, columns = np.nonzero(shown)
    return rows * step, columns * step


def height(results: Mapping[str, Result]) -> str:
    """The viewer's, as CSS: as a picture's, and no more than lets all of the photo's width in."""
    return height_of(*results[TASK].photo_rgb.shape[:2])


def height_of(rows: float, columns: float) -> str:
    """The same for what is to be seen of any height and width."""
    return f"max(200px, min(var(--picture-height), {100 * rows / columns:.2f}cqw))"


def told(results: Mapping[str, Result], values: Mapping[str, Any]) -> str:
    """What there is to know about the view, as HTML."""
    choice = values["space_colours"]
    missing = MISSING.format(zoo.task_row(choice).title) if choice != "photo" and choice not in results else ""
    nothing = "" if _pointmap(results).in_front().any() else NOTHING
    about = f"{HOW[values['space_as']]} {TURN}"
    return f'<div class="notes">{words.asides([nothing, missing])}<p>{about}</p></div>'


def _pointmap(results: Mapping[str, Result]) -> "PointmapResult":
    return cast("PointmapResult", results[TASK])
