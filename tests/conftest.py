"""Shared by all tests. sapiens_mlx comes first: on Linux it must load BLAS before anything imports mlx.core."""

import sapiens_mlx  # noqa: F401  isort: skip

from pathlib import Path

import pytest

DATA = Path(__file__).parent / "data"
REFERENCE = Path(__file__).resolve().parents[2] / "shared/reference"


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of the complete reference fixtures, for what is too large to stand in tests/data."""
    if not REFERENCE.is_dir():
        pytest.skip("the complete reference fixtures (../shared/reference) are not here")
    return REFERENCE
