"""Shared by all tests. sapiens_mlx comes first: on Linux it must load BLAS before anything imports mlx.core."""

import sapiens_mlx  # noqa: F401  isort: skip

import gc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import Server, browsing, chromium_path, draw_photo, serving, visiting

from sapiens_mlx import zoo

if TYPE_CHECKING:
    from gradio_client import Client
    from playwright.sync_api import Browser

    from sapiens_mlx.tasks.hands import HandsResult

DATA = Path(__file__).parent / "data"
REFERENCE = Path(__file__).resolve().parents[2] / "shared/reference"


def pytest_collection_finish() -> None:
    """What is imported by now stays: no collection has to look through it again. With Gradio it is a million objects,
    of which `machine` would pay twice a test, since it lets go of models."""
    gc.freeze()


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of the complete reference fixtures, for what is too large to stand in tests/data."""
    if not REFERENCE.is_dir():
        pytest.skip("the complete reference fixtures (../shared/reference) are not here")
    return REFERENCE


@pytest.fixture
def tiny_size(monkeypatch: pytest.MonkeyPatch) -> str:
    """A size in the tables that runs in a blink: 64 wide, 18 blocks (grouped K/V in two), 128 x 96 input."""
    monkeypatch.setitem(zoo.SIZES, "tiny", zoo.Size("tiny", 64, 18, 2, 1_000_000, None, input_hw=(128, 96)))
    for name, row in zoo.TASKS.items():
        if name != "detect":
            monkeypatch.setitem(zoo.TASKS, name, replace(row, sizes=(*row.sizes, "tiny")))
    return "tiny"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A machine of one's own: empty caches, no network, models forgotten. The path is its weights folder."""
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setenv("SAPIENS_CHECKPOINT_ROOT", str(folder))
    monkeypatch.setenv("SAPIENS_MLX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from sapiens_mlx.models import models

    models.clear()
    yield folder
    models.clear()


# ---- comparisons ----------------------------------------------------------------------------------------------------


@pytest.fixture
def two_sizes(tiny_size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside "tiny" a size "wide" whose input lies on its side, and which counts as the larger network."""
    wide = replace(zoo.SIZES["tiny"], name="wide", input_hw=(96, 128), parameters=2_000_000)
    monkeypatch.setitem(zoo.SIZES, "wide", wide)
    for name, row in zoo.TASKS.items():
        if name != "detect":
            monkeypatch.setitem(zoo.TASKS, name, replace(row, sizes=(*row.sizes, "wide")))


@pytest.fixture
def weights_of_two_sizes(machine: Path, two_sizes: None) -> Path:
    """Weights of "tiny" and "wide" for every task that is compared, in this folder."""
    import rule
    from compared import COMPARED

    for task in COMPARED:
        for size in ("tiny", "wide"):
            path = machine / task / f"sapiens2_{size}_{task}.safetensors"
            rule.write_checkpoint(path, rule.tiny_shapes(task))
    return machine


@pytest.fixture
def overflowing_seg(machine: Path, two_sizes: None) -> Path:
    """Weights for seg of which one does not fit float16."""
    import rule

    path = machine / "seg/sapiens2_tiny_seg.safetensors"
    tensors = rule.tensors(rule.tiny_shapes("seg"))
    tensors["decode_head.conv_seg.bias"][3] = 1e5
    path.parent.mkdir()
    rule.save_file(tensors, path)
    return path


# ---- in a browser ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium() -> Iterator["Browser"]:
    """Chromium for one file of tests, which are skipped where it or playwright is not installed."""
    with browsing() as browser:
        yield browser


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The page as it ships, with the demo weights, for all files of tests that one process runs: each test is a visitor
    of its own. A file whose page has other weights, or must be fresh, makes a `server` of its own."""
    chromium_path()
    with serving(["app.py"], tmp_path_factory.mktemp("page"), {}) as server:
        yield server


@pytest.fixture
def visit(chromium: "Browser", server: Server) -> Iterator[Callable]:
    """Opens the page as a new visitor; in the end, no console may hold an error."""
    with visiting(chromium, server.url) as open_page:
        yield open_page


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """The file of a drawn photo. Files of tests that need another make a `photo` of their own."""
    return draw_photo(tmp_path / "two people.png")


@pytest.fixture
def hand_weights(machine: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The weights folder of a machine that has all files for hands, of small networks."""
    import made_up_hands as made_up

    from sapiens_mlx.runtime import inference

    made_up.shrink(monkeypatch)
    monkeypatch.setenv("HOME", str(tmp_path))
    inference.run(lambda progress: made_up.write_all(machine))
    return machine


@pytest.fixture
def client(server: Server, tmp_path: Path) -> "Iterator[Client]":
    """A program that calls the page of a test file's own `server`."""
    from gradio_client import Client

    client = Client(server.url, verbose=False, download_files=str(tmp_path / "received"))
    yield client
    client.close()


@pytest.fixture
def two_hands(hand_weights: Path) -> "HandsResult":
    """What small networks find in a drawn photo of a right and a left hand."""
    import made_up_hands as made_up

    import sapiens_mlx as sm

    return sm.load("hands", level="fp32")(made_up.discs("rl"))


@pytest.fixture
def hands_photo(tmp_path: Path) -> Path:
    """The file of that photo."""
    import made_up_hands as made_up
    from PIL import Image

    path = tmp_path / "photo.png"
    Image.fromarray(made_up.discs("rl")).save(path)
    return path
