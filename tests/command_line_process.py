"""The command line in a process of its own, with the size "tiny" of conftest.py in its tables."""

import sapiens_mlx  # noqa: F401  isort: skip

from sapiens_mlx.__main__ import run
from tests.page_process import add_tiny

if __name__ == "__main__":
    add_tiny()
    run()
