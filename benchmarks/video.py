"""Memory and speed against the length of a clip: python -m benchmarks.video --task seg --seconds 10,60

The example clip is played again and again until it is as long as wanted. Every length runs in a process of its own.
Prints one JSON object: for each length the frames, frames a second and peak memory, and the memory of the longest over
that of the shortest.
"""

import argparse
import json
import tempfile
from fractions import Fraction
from itertools import chain, islice
from itertools import count as count_up
from pathlib import Path
from typing import Any

import sapiens_mlx as sm  # isort: skip  (loads BLAS before mlx.core)

from benchmarks.processes import ROOT, measured_apart
from sapiens_mlx import runtime
from sapiens_mlx.options import Options
from sapiens_mlx.video.choices import Chosen, ClipChoices
from sapiens_mlx.video.clip import run_clip
from sapiens_mlx.video.read import open_clip
from sapiens_mlx.video.write import Encoder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--task", default="seg")
    parser.add_argument("--size", default="demo")
    parser.add_argument("--seconds", default="10,60")
    parser.add_argument("--rate", type=int, default=10, help="frames a second of the clip")
    parser.add_argument("--longest-side", type=int, default=640)
    parser.add_argument("--one", type=int, help="measure this length here")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(_measured(options, options.one)))
        return
    lengths = [int(text) for text in options.seconds.split(",")]
    common = [
        f"--{name}={getattr(options, name.replace('-', '_'))}" for name in ("task", "size", "rate", "longest-side")
    ]
    rows = [measured_apart("video", [*common, f"--one={length}"]) for length in lengths]
    peaks = [row["peak_memory_bytes"] for row in rows]
    print(
        json.dumps(
            {"task": options.task, "size": options.size, "lengths": rows, "ratio": peaks[-1] / peaks[0]}, indent=1
        )
    )


def _measured(options: argparse.Namespace, seconds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        path.write_bytes(_clip(seconds * options.rate, options.rate, options.longest_side))
        made_bytes = runtime.peak_memory_bytes()
        report = run_clip(
            path,
            sm.load(options.task, options.size),
            folder,
            options=Options(flip=False),
            choices=ClipChoices(detect_every=5),
        )
    return {
        "seconds": seconds,
        "frames": report.frames,
        "frames_per_s": report.frames_per_s,
        "peak_memory_bytes": report.peak_memory_bytes,
        "before_bytes": made_bytes,
    }


def _clip(count: int, rate: int, longest_px: int) -> bytes:
    """The example clip, repeated, as the bytes of an MP4 file."""
    source = open_clip(ROOT / "examples/clip.mp4", longest_px=longest_px)
    encoder = Encoder(source.size_hw, Fraction(rate), Fraction(1, rate))
    again = chain.from_iterable(source.frames(Chosen()) for _ in count_up())  # read anew: frames are not kept
    for index, frame in enumerate(islice(again, count)):
        encoder.add(frame.rgb, index)
    return encoder.finished()


if __name__ == "__main__":
    main()
