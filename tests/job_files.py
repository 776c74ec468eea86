"""Folders of small photos, and the command line in processes of its own, for the tests of jobs."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
PREDICT = [sys.executable, "-m", "tests.command_line_process", "predict"]
LAUNCH = shutil.which("mlx.launch", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))


def write_photos(folder: Path, count: int) -> list[Path]:
    """`count` different photos of 40 x 30 pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    paths = [folder / f"photo {number:03d}.png" for number in range(count)]
    for path in paths:
        Image.fromarray(random.integers(0, 255, (30, 40, 3), np.uint8)).save(path)
    return paths


def rows(out: Path, pattern: str = "manifest*.jsonl") -> list[dict]:
    """The whole lines of the manifests in `out`."""
    lines = [line for path in sorted(out.glob(pattern)) for line in path.read_text().splitlines(keepends=True)]
    return [json.loads(line) for line in lines if line.endswith("\n")]


def started(*arguments: object, launch: Sequence[str] = (), cwd: Path = ROOT) -> subprocess.Popen:
    """predict in a process of its own, or in those of `mlx.launch` with the options `launch`."""
    before = [LAUNCH, *launch, "--starting-port", str(free_ports()), "--env", "OPENBLAS_NUM_THREADS=1"]
    return subprocess.Popen(
        [*(before if launch else []), *PREDICT, *map(str, arguments), "--size", "tiny"],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen) -> tuple[int, str, str]:
    """The exit status, standard output and standard error of a process that must end."""
    try:
        out, error = process.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        process.kill()
        out, error = process.communicate()
        raise AssertionError(f"it did not end: {out[-2000:]}{error[-2000:]}") from None
    return process.returncode, out, error


def predicted(*arguments: object, launch: Sequence[str] = ()) -> tuple[int, str, str]:
    return ended(started(*arguments, launch=launch))


def wait_until(true: Callable[[], bool], process: subprocess.Popen) -> None:
    """Waits while the process runs; fails when it has ended before."""
    end = time.monotonic() + 60
    while not true():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)


def rank_pid(process: subprocess.Popen, rank: int) -> int:
    """The process of a rank that `mlx.launch` started."""
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            values = environment.read_bytes().split(b"\0")
            parent = int((environment.parent / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        if f"MLX_RANK={rank}".encode() in values and parent == process.pid:
            return int(environment.parent.name)
    raise AssertionError(f"rank {rank} is not running")


def kill_rank(process: subprocess.Popen, rank: int, number: int = signal.SIGKILL) -> None:
    os.kill(rank_pid(process, rank), number)


def free_ports() -> int:
    """The first of a few ports that nobody has."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return min(one.getsockname()[1], 65000)
