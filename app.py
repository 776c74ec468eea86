"""The door: `python app.py` serves the page. The same as `python -m sapiens_mlx serve`."""

import argparse
import sys

import sapiens_mlx  # noqa: F401  first: on Linux it must load BLAS before anything imports mlx.core
from sapiens_mlx.errors import SapiensError


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="app.py",
        description="Serve Sapiens2 MLX Studio, a page for photos of people.",
        epilog="Example: python app.py --port 7861 --weights ~/sapiens2_host",
    )
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1, or $GRADIO_SERVER_NAME)")
    parser.add_argument("--port", type=int, help="port to listen on (default 7860, or $GRADIO_SERVER_PORT)")
    parser.add_argument("--share", action="store_true", help="make a public link through Gradio's relay")
    parser.add_argument("--auth", metavar="USER:PASSWORD", help="ask visitors for this login")
    parser.add_argument("--weights", metavar="DIR", help="folder with checkpoints, or one checkpoint")
    options = parser.parse_args()

    from sapiens_mlx.ui.page import serve  # after --help, which should not wait for Gradio

    try:
        serve(**vars(options))
    except SapiensError as problem:
        print(problem, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
