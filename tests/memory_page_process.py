"""A page that tests can visit whose networks lack memory: the real one, with the size "tiny", where each network raises
what MLX does for as long as the file $NO_MEMORY is there."""

import sapiens_mlx  # noqa: F401  isort: skip

import os
from pathlib import Path
from typing import Any

from sapiens_mlx.nn.backbone import Backbone

from .page_process import add_tiny

compute = Backbone.__call__


def lacking(self: Backbone, *inputs: Any, **options: Any) -> Any:
    if Path(os.environ["NO_MEMORY"]).exists():
        raise RuntimeError("[malloc] Unable to allocate 9663676416 bytes.")
    return compute(self, *inputs, **options)


if __name__ == "__main__":
    from sapiens_mlx.ui.page import serve

    Backbone.__call__ = lacking
    add_tiny()
    serve()
