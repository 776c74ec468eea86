"""Shared by all tests. sapiens_mlx comes first: on Linux it must load BLAS before anything imports mlx.core."""

import sapiens_mlx  # noqa: F401  isort: skip

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sapiens_mlx import zoo

DATA = Path(__file__).parent / "data"
REFERENCE = Path(__file__).resolve().parents[2] / "shared/reference"


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
