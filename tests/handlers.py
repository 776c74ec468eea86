"""The handlers of a tab for photos, with the components that it really has, called without a server and a browser."""

from collections.abc import Iterable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest

from sapiens_mlx.ui import photos
from sapiens_mlx.ui.storage import Visits
from sapiens_mlx.ui.visit import Photo, Visit

REQUEST: Any = SimpleNamespace(session_hash="a visitor")


def build(layout: ModuleType, connecting: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> SimpleNamespace:
    """A tab's `view`, `do` and `visits`; `connecting` is the function of its layout that connects them."""
    tab = SimpleNamespace(visits=Visits(folder))

    def connect(view: Any, inputs: Any, do: Any, *others: Any) -> Any:
        tab.view, tab.do = view, do
        return lambda restored: None

    monkeypatch.setattr(layout, connecting, connect)
    with gr.Blocks():
        layout.build(tab.visits, None, folder / "examples")
    return tab


def add(visit: Visit, name: str, height: int = 64, width: int = 48) -> Photo:
    """One more photo of the visitor's, of noise."""
    return photos.keep(visit, np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8), name)


def in_frame(visit: Visit) -> Any:
    """What the page sends of the photo in its frame."""
    return SimpleNamespace(path=str(visit.the_photo.shown))


def last(updates: Iterable[dict]) -> dict:
    """The last of what a handler yields. All of it must be for components: Gradio refuses any other key beside one."""
    *_, end = (one for one in updates if one != gr.skip())
    assert all(isinstance(key, gr.blocks.Block) for key in end)
    return end
