"""Folders: the network's share of the time, the gain by processes, and a folder of a million names.

    python -m benchmarks.folders share --photos 50 --task features --size 0.1b --weights ~/sapiens2_host
    python -m benchmarks.folders processes --photos 48 --counts 1,2,4 --turns 3
    python -m benchmarks.folders names --count 1000000

`share` runs `predict` over copies of an example enlarged to 12 megapixels, and prints seconds, those of the network,
and their share; loading the network is part of the time. The goal is 0.9 for 0.1b or larger. `processes` runs the same
job by 1, 2 and 4 processes of mlx.launch in turns, each with one BLAS thread, and prints photos a second of each run
and the medians' ratios to one process; a run is from the first of its lines in the manifests to the last, so that
neither start nor loading counts. `names` makes a folder of empty files, and prints when the first came, when the last,
and the memory that took; then the same for a manifest of as many lines. Nothing is left behind.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import sapiens_mlx  # noqa: F401  isort: skip  (loads BLAS before mlx.core)

from benchmarks.photo import resident_bytes, write_photo
from benchmarks.processes import ROOT, measured_apart
from sapiens_mlx.jobs import inputs, manifest
from sapiens_mlx.jobs.index import Index, Work
from sapiens_mlx.shipped import examples_folder

LAUNCH = Path(sys.executable).with_name("mlx.launch")


def photos(folder: Path, count: int, megapixels: bool) -> Path:
    """`count` photos in a new folder: one of 12 megapixels again and again, or the examples in turn."""
    folder.mkdir()
    if megapixels:
        write_photo(folder / "000.jpg")
        sources = [folder / "000.jpg"]
    else:
        sources = sorted(examples_folder().glob("*.jpg"))
    for number in range(count):
        if not (path := folder / f"{number:03d}.jpg").exists():
            shutil.copyfile(sources[number % len(sources)], path)
    return folder


def predict(options: argparse.Namespace, folder: Path, out: Path, launch: list[str]) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "sapiens_mlx", "predict", str(folder), "--out", str(out), "--json"]
    command += ["--task", options.task, "--size", options.size]
    command += ["--weights", options.weights] if options.weights else []
    return subprocess.run([*launch, *command], cwd=ROOT, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)


def share(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """One job by one process."""
    taken = photos(folder / "in", options.photos, megapixels=True)
    found = json.loads(predict(options, taken, folder / "out", []).stdout)
    return {name: found[name] for name in ("done", "seconds", "network_seconds", "network_share", "peak_memory_bytes")}


def processes(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The job by each number of processes, in turns."""
    taken = photos(folder / "in", options.photos, megapixels=False)
    counts = [int(count) for count in options.counts.split(",")]
    rates: dict[int, list[float]] = {count: [] for count in counts}
    for _ in range(options.turns):
        for count in counts:
            out = folder / "out"
            rates[count].append(rate(options, taken, out, count))
            shutil.rmtree(out)
    medians = {count: statistics.median(each) for count, each in rates.items()}
    return {
        "photos_a_second": {count: [round(one, 3) for one in each] for count, each in rates.items()},
        "ratios": {count: round(median / medians[counts[0]], 2) for count, median in medians.items()},
    }


def rate(options: argparse.Namespace, taken: Path, out: Path, count: int) -> float:
    """Photos a second of one run, between the first result and the last."""
    environment = ["env", "OPENBLAS_NUM_THREADS=1"]
    launch = [str(LAUNCH), "-n", str(count), "--env", "OPENBLAS_NUM_THREADS=1"]
    predict(options, taken, out, environment if count == 1 else launch)
    times = sorted(
        datetime.fromisoformat(row["time"]) for path in manifest.paths(out) for _, row in manifest.rows(path)
    )
    return (len(times) - 1) / (times[-1] - times[0]).total_seconds()


def names(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Listing and looking up, each in a process of its own for its memory."""
    with tempfile.TemporaryDirectory() as empty:
        for number in range(options.count):
            os.close(os.open(f"{empty}/{number:07d}.jpg", os.O_CREAT | os.O_WRONLY))
        listing = measured_apart("folders", ["list", empty])
    work = Work("seg", "demo", "fp32", {})
    row = {"stem": "", "bytes": 5_000_000, "mtime_ns": 10**18, "digest": "sha256:" + "0" * 64} | work.row
    row |= {"outputs": ["x_seg.png", "x_seg_labels.png", "x_seg.npz"], "seconds": {"network": 0.1}, "time": "2026"}
    with (folder / manifest.name(None)).open("w") as file:
        for number in range(options.count):
            file.write(json.dumps({"file": f"../in/{number:07d}.jpg"} | row | {"stem": f"{number:07d}"}) + "\n")
    return {"names": options.count, "listing": listing, "manifest": measured_apart("folders", ["look", str(folder)])}


def listed(options: argparse.Namespace, folder: Path) -> dict[str, float]:
    before, start = resident_bytes("VmRSS"), time.perf_counter()
    found = inputs.expand([options.folder], ROOT, folder)
    next(found)
    first_s = time.perf_counter() - start
    count = 1 + sum(1 for _ in found)
    return {"files": count, "first_s": round(first_s, 3), "all_s": round(time.perf_counter() - start, 2)} | grown(
        before
    )


def looked_up(options: argparse.Namespace, folder: Path) -> dict[str, float]:
    before, start = resident_bytes("VmRSS"), time.perf_counter()
    index = Index(Path(options.folder))
    read_s = time.perf_counter() - start
    assert index.find("../in/0000000.jpg", Work("seg", "demo", "fp32", {}))
    return {"read_s": round(read_s, 2)} | grown(before)


def grown(before: int) -> dict[str, float]:
    return {"above_idle_megabytes": round((resident_bytes("VmHWM") - before) / 1e6, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    measures = parser.add_subparsers(required=True)
    for name, work in (("share", share), ("processes", processes)):
        one = measures.add_parser(name)
        one.set_defaults(work=work)
        one.add_argument("--photos", type=int, default=50)
        one.add_argument("--task", default="seg")
        one.add_argument("--size", default="demo")
        one.add_argument("--weights")
        one.add_argument("--counts", default="1,2,4")
        one.add_argument("--turns", type=int, default=3)
    one = measures.add_parser("names")
    one.set_defaults(work=names)
    one.add_argument("--count", type=int, default=1_000_000)
    for name, work in (("list", listed), ("look", looked_up)):  # what `names` does in processes of their own
        one = measures.add_parser(name)
        one.set_defaults(work=work)
        one.add_argument("folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps(options.work(options, Path(name)) | {"load_average": round(os.getloadavg()[0], 1)}))


if __name__ == "__main__":
    main()
