"""The photo of a tab: its frame on the page, and what comes in by it, read at once, kept upright and without EXIF."""

import contextlib
from pathlib import Path
from typing import Any

import gradio as gr

from ..errors import SapiensError
from .storage import Visits
from .visit import Photo, Visit

SHOWN_PX = 2048  # the longer side of what the page shows; downloads are of full size


def frame() -> gr.Image:
    """The component that a photo is dropped on."""
    component = gr.Image(
        label="Photo",
        show_label=False,
        sources=["upload", "clipboard", "webcam"],
        type="filepath",
        format="png",
        height=260,
        buttons=["fullscreen"],
        placeholder="Drop a photo of people here\n\nor click to choose one",
        elem_classes="photo",
    )
    leave_undecoded(component)
    return component


def leave_undecoded(component: Any) -> None:
    """Have its handlers told where the upload lies: Gradio would open an image before its size was checked.

    It writes a file beside the source of every subclass, so this is set on the one component. Its check of the path
    comes before.
    """
    component.preprocess = lambda payload: payload


def in_frame(visit: Visit) -> str | None:
    """What the frame shows. Every handler of it gives this back: Gradio makes a component that is left out anew,
    without our preprocess."""
    photo = visit.photo
    return None if photo is None else str(photo.shown)


def take(visits: Visits, visit: Visit, photo: Any) -> None:
    """Make `photo` (Gradio's image data, or None) the one that is worked on, unless it already is.

    Raises:
        SapiensError: it cannot be used; the one before is gone then too, unless this one was no upload or has gone.
    """
    upload = None if photo is None else Path(photo.path)
    if upload is not None and upload.is_relative_to(visit.folder):
        return  # what the page shows of the photo, or of one that another has replaced in the meantime
    with visit.taking:
        if upload is not None and visit.photo is not None and visit.photo.upload == upload:
            with contextlib.suppress(SapiensError):  # it has gone, where a run has taken it before its own event did
                visits.hold(visit, upload)
            return
        if upload is None:
            visit.forget_photo()
            visits.release(visit)
            return
        visits.hold(visit, upload)  # first: it may be that of the photo before, sent once more
        visit.forget_photo()
        visits.release(visit, newest=1)  # this one goes with the run
        open_file(visit, upload, photo.orig_name or upload.name).upload = upload


def forget(visit: Visit, photo: Any) -> bool:
    """Drop the one of the visitor's photos that `photo`, Gradio's image data or None, shows. Whether it showed one, be
    it one that has gone already."""
    if photo is None or not Path(photo.path).is_relative_to(visit.folder):
        return False
    with visit.taking:
        shown = [one for one in visit.photos if Path(photo.path).is_relative_to(one.folder)]
        if shown:
            visit.current = visit.photos.index(shown[0])
            visit.forget_photo()
    return True


def open_file(visit: Visit, path: str | Path, name: str) -> Photo:
    """Make a file the photo that is worked on, beside those there are. Raises SapiensError where it is none."""
    from ..image import read_image

    return keep(visit, read_image(path), name)


def keep(visit: Visit, photo_rgb: Any, name: str) -> Photo:
    """Make an (H, W, 3) uint8 RGB array the photo that is worked on, beside those there are. Raises SapiensError where
    there is no room for it."""
    from ..image import shrink, write_png

    visit.make_room(photo_rgb)
    photo = visit.new_photo(photo_rgb, name)
    photo.shown = write_png(photo.next_folder("photo") / "photo.png", shrink(photo_rgb, SHOWN_PX))
    return visit.add(photo)  # only now: a run under way reads the visitor's photos at any time
