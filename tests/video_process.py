"""Runs a clip in a process of its own, which tests kill or starve: `python video_process.py ORDER`, ORDER being JSON.

It knows the size "tiny", prints a line of JSON for every frame that is done and one for the report, or the error.
"""

import sapiens_mlx  # noqa: F401  isort: skip

import json
import resource
import sys

from conversion_process import add_sizes

from sapiens_mlx.errors import SapiensError
from sapiens_mlx.options import Options
from sapiens_mlx.predictor import Predictor
from sapiens_mlx.video.choices import ClipChoices
from sapiens_mlx.video.clip import run_clip


def main(order: dict) -> None:
    add_sizes()
    if order.get("file_limit_bytes"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["file_limit_bytes"],) * 2)
    try:
        report = run_clip(
            order["source"],
            Predictor(order["task"], order["size"]),
            order["out"],
            options=Options(**order.get("options", {})),
            choices=ClipChoices(**order.get("choices", {})),
            resume=order.get("resume", False),
            on_frame=lambda newest: print(json.dumps({"done": newest.done}), flush=True),
        )
    except SapiensError as problem:
        print(json.dumps({"error": str(problem)}), flush=True)
    else:
        print(json.dumps(report.to_json()), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
