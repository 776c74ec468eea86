"""Cases of a test that the default run leaves out: what they would find, another case of it mostly finds too."""

from typing import Any

import pytest


def slowly(*case: Any) -> Any:
    """One case for pytest.mark.parametrize, marked slow."""
    return pytest.param(*case, marks=pytest.mark.slow)
