"""A reader run on one file in a process of its own, whose time and memory are measured.

As a program: `python limited.py READER FILE` prints what came of it as JSON.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST_S, MOST_BYTES = 2, 1 << 30  # for a file under 10 MB; of processor time, since other tests may run beside
COUNTED_S = 0.17  # slowness()'s loop, where MOST_S is meant: on a processor of 2026 with nothing else to do
KILLED_S, KILLED_BYTES = 30, 8 << 30  # where one that takes for ever is ended


@dataclass(frozen=True)
class Outcome:
    """What a reader said: its sentence, or "read"; what it took; and how slow the machine was."""

    said: str
    processor_s: float
    peak_bytes: int
    slower: float

    @property
    def is_small(self) -> bool:
        return self.processor_s < MOST_S * self.slower and self.peak_bytes < MOST_BYTES


def run(reader: str, path: Path) -> Outcome:
    """Anything but a SapiensError fails, and so does a process that had to be ended."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, __file__, reader, str(path)]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=4 * KILLED_S)
    assert not process.returncode, f"{reader} ended with {process.returncode}: {process.stderr[-2000:]}"
    return Outcome(**json.loads(process.stdout.splitlines()[-1]))


def _readers() -> dict[str, Callable[[Path], object]]:
    from sapiens_mlx.boxes import read_boxes
    from sapiens_mlx.image import read_image, read_mask
    from sapiens_mlx.weights import mano_pickle, torch_file

    def checkpoint(path: Path) -> None:
        from sapiens_mlx.weights import layouts, original, reader

        with original.naming(path):
            reader.Reader(path, layouts.ORIGINAL)

    return {
        "image": read_image,
        "mask": lambda path: read_mask(path, (64, 64)),
        "boxes": read_boxes,
        "pth": torch_file.read_tensors,
        "mano": mano_pickle.read,
        "checkpoint": checkpoint,
    }


def peak_bytes() -> int:
    """On Linux by another count than the usual one, which begins with that of the process that started this."""
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def slowness() -> float:
    """How many times longer than it should this machine takes now for a plain loop; 1 where it does not."""
    start, number = time.process_time(), 0
    for step in range(2_000_000):
        number += step % 7
    return max(1.0, (time.process_time() - start) / COUNTED_S)


def main() -> None:
    import sapiens_mlx  # noqa: F401  first, for its BLAS
    from sapiens_mlx.errors import SapiensError

    read = _readers()[sys.argv[1]]
    resource.setrlimit(resource.RLIMIT_CPU, (KILLED_S, KILLED_S))
    resource.setrlimit(resource.RLIMIT_AS, (KILLED_BYTES, KILLED_BYTES))
    before = resource.getrusage(resource.RUSAGE_SELF)
    try:
        read(Path(sys.argv[2]))
        said = "read"
    except SapiensError as problem:
        said = str(problem)
    after = resource.getrusage(resource.RUSAGE_SELF)
    processor_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    outcome = Outcome(said, processor_s, peak_bytes(), slowness())
    print(json.dumps(asdict(outcome)))


if __name__ == "__main__":
    main()
