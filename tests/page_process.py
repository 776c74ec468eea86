"""A page that tests can visit: the real one, with the size "tiny" of conftest.py in its tables."""

import sapiens_mlx  # noqa: F401  isort: skip

from dataclasses import replace

from sapiens_mlx import zoo


def add_tiny() -> None:
    zoo.SIZES["tiny"] = zoo.Size("tiny", 64, 18, 2, 1_000_000, None, input_hw=(128, 96))
    for name, row in zoo.TASKS.items():
        if name != "detect":
            zoo.TASKS[name] = replace(row, sizes=(*row.sizes, "tiny"))


if __name__ == "__main__":
    from sapiens_mlx.ui.page import serve

    add_tiny()
    serve()
