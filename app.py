"""The door: `python app.py` opens the page. The same, options included, as `python -m sapiens_mlx serve`."""

import sys

from sapiens_mlx.__main__ import run

if __name__ == "__main__":
    run(["serve", *sys.argv[1:]])
