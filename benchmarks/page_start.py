"""Seconds until `python app.py` answers, in turns with an empty Gradio page: python -m benchmarks.page_start

Prints one JSON object: medians of both, of the difference in each turn, and of what `import sapiens_mlx` takes.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

APP = Path(__file__).resolve().parent.parent / "app.py"
EMPTY = "import gradio as gr\nwith gr.Blocks() as page:\n    gr.Markdown('empty')\npage.launch()\n"


def seconds_until_it_answers(program: Path) -> float:
    """Starts the program on a free port, waits for its page, and stops it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"GRADIO_SERVER_PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "False"}
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, program], env=environment, stdout=subprocess.DEVNULL)
    try:
        while time.perf_counter() - start < 60:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1) as page:
                    page.read()
                return time.perf_counter() - start
            except (urllib.error.URLError, OSError):
                time.sleep(0.02)
        raise TimeoutError(f"{program} did not answer within a minute")
    finally:
        process.terminate()
        process.wait()


def seconds_of_import() -> float:
    """What `import sapiens_mlx` takes in a new interpreter."""
    program = "import time; t = time.perf_counter(); import sapiens_mlx; print(time.perf_counter() - t)"
    return float(
        subprocess.run([sys.executable, "-c", program], cwd=APP.parent, check=True, capture_output=True).stdout
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--turns", type=int, default=3)
    turns = parser.parse_args().turns
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty.py"
        empty.write_text(EMPTY)
        pairs = [(seconds_until_it_answers(APP), seconds_until_it_answers(empty)) for _ in range(turns)]
    apps, empty_pages = zip(*pairs, strict=True)
    measured = {
        "app_seconds": apps,
        "empty_page_seconds": empty_pages,
        "later_seconds": [app - empty for app, empty in pairs],
        "import_seconds": [seconds_of_import() for _ in range(turns)],
    }
    print(json.dumps({name: round(statistics.median(values), 2) for name, values in measured.items()}))


if __name__ == "__main__":
    main()
