"""The examples: whatever lies in examples/, each a button with a small picture of it and its name."""

from collections.abc import Sequence
from pathlib import Path

import gradio as gr
from PIL import Image

from ..files import output_folder, writing
from ..shipped import examples_folder

SIDE_PX = 320  # of the small pictures: two pixels to each of the page's
EASIEST_FIRST = ("one_person", "five_people", "face", "hands", "cropped", "hard")


def files() -> list[Path]:
    """The pictures, ours in their order and any others by name; none where the folder is empty or gone."""
    places = {stem: place for place, stem in enumerate(EASIEST_FIRST)}
    return sorted(examples_folder().glob("*.jpg"), key=lambda path: (places.get(path.stem, len(places)), path.name))


def clips() -> list[Path]:
    """The clips among them."""
    return sorted(examples_folder().glob("*.mp4"))


def caption(path: Path) -> str:
    """What the page calls a picture: one_person.jpg is "One person"."""
    return path.stem.replace("_", " ").capitalize()


def build(folder: Path, paths: Sequence[Path] | None = None) -> dict[gr.Button, Path]:
    """The buttons and the file of each of `paths`, or of all pictures, in the current Blocks; nothing where there is
    no example.

    `folder` is where the small pictures go. It is served as it is, since Gradio's cache forgets them after a day.

    Raises:
        SapiensError: they cannot be written there.
    """
    output_folder(folder)
    icons = {path: icon for path in (files() if paths is None else paths) if (icon := _icon(path, folder))}
    if not icons:
        return {}
    gr.set_static_paths([folder])
    with gr.Column(elem_classes="examples"):
        gr.HTML("<h2>Or press an example: it runs at once</h2>")
        with gr.Row():
            return {
                gr.Button(caption(path), icon=str(icon), size="sm", min_width=96, elem_classes="example"): path
                for path, icon in icons.items()
            }


def _icon(path: Path, folder: Path) -> Path | None:
    """The small picture of one in `folder`, made by the first tab that has it; None for what is no picture. Raises
    SapiensError where it cannot be written."""
    icon = folder / f"{path.name.removesuffix('.jpg')}.jpg"
    if icon.is_file():
        return icon
    try:
        with _first_frame(path) if path.suffix == ".mp4" else Image.open(path) as picture:
            picture.thumbnail((SIDE_PX, SIDE_PX))  # a JPEG is read at a part of its size, in a few milliseconds
            small = picture.convert("RGB")
    except OSError:
        return None
    with writing(icon) as partial:
        small.save(partial)
    return icon


def _first_frame(path: Path) -> Image.Image:
    """Raises OSError for what is no clip."""
    import av

    try:
        with av.open(str(path)) as clip:
            return next(clip.decode(video=0)).to_image()
    except (av.FFmpegError, IndexError, StopIteration) as problem:  # damaged, nothing to see in it, or no frame
        raise OSError(f"{path} is no clip") from problem
