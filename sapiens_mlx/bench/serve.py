"""One network in a process of its own that runs when it is told to, and says what that took.

Its only argument is a JSON object, the job; each line on standard input is a command, and each answer a JSON object in
a line on standard output. This file imports nothing of the project: a peer must run as it is installed.
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

SEED = 0


class Network(Protocol):
    """A network that is loaded, with its input in place."""

    about: dict[str, Any]  # of the program: its name, its version, ...

    def run(self) -> Any:
        """One forward pass, waited for. Returns the raw output, in whatever the program has for it."""

    def arrays(self, output: Any) -> list[np.ndarray]:
        """The output channels last, float32."""

    def device_peak_bytes(self) -> int | None:
        """The most memory the device held; None where that is the process's own."""

    def machine(self) -> dict[str, float]:
        """What the machine can do at best, as far as the program measures it."""


class RefusedError(Exception):
    """The program cannot do the job; the message says why."""


def pixels(input_hw: Sequence[int]) -> np.ndarray:
    """The input of all programs: (1, H, W, 3) standard normal float32."""
    return np.random.default_rng(SEED).standard_normal((1, *input_hw, 3), dtype=np.float32)


def serve(load: Callable[[dict[str, Any]], Network]) -> None:
    """Loads the network and obeys until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not come between the answers

    def answer(**values: Any) -> None:
        print(json.dumps(values), file=answers, flush=True)

    try:
        start = time.perf_counter()
        network = load(json.loads(sys.argv[1]))
        answer(load_seconds=time.perf_counter() - start, **network.about)
        output = None
        for line in sys.stdin:
            command, _, argument = line.rstrip("\n").partition(" ")
            if command == "run":
                output = None  # the last one's memory is free again
                start = time.perf_counter()
                output = network.run()
                answer(seconds=time.perf_counter() - start)
            elif command == "save":
                np.savez(argument, *network.arrays(output))
                answer()
            elif command == "peak":
                answer(peak_memory_bytes=network.device_peak_bytes() or resident_peak_bytes())
            elif command == "machine":
                answer(**network.machine())
    except RefusedError as problem:
        answer(refused=str(problem))
    except Exception as problem:  # another program's, which may raise anything
        answer(refused=f"{type(problem).__name__}: {str(problem).partition(chr(10))[0]}")


def resident_peak_bytes() -> int:
    """The most memory this process has held. What getrusage() says would include the parent's on Linux."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
