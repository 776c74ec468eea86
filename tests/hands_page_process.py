"""A page that tests can visit: the real one, with the small networks of made_up_hands.py in the place of WiLoR's.

`files` makes their weights in the weights folder, `none` makes none; `missing` is as if wilor-mlx was not installed.
"""

import sapiens_mlx  # noqa: F401  isort: skip

import os
import sys
from pathlib import Path

import made_up_hands as made_up
import pytest

from sapiens_mlx.runtime import inference
from sapiens_mlx.ui.page import serve

if __name__ == "__main__":
    which = sys.argv[1]
    if which == "missing":
        sys.modules["wilor_mlx"] = None
    else:
        made_up.shrink(pytest.MonkeyPatch())
    if which == "files":
        inference.run(lambda progress: made_up.write_all(Path(os.environ["SAPIENS_CHECKPOINT_ROOT"])))
    serve()
