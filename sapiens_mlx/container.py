"""What a container leaves of its host on Linux: processors and memory. A Space has 2 processors of many, and 16 GB.

Control groups say it in files: in version 2 cpu.max and memory.max of one tree, in version 1 of a tree a controller.
"""

import contextlib
import math
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")


@cache
def processors() -> int:
    """How many processors this process can use: those that it may run on, or fewer if its share of their time is
    limited. At least 1."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([count, *map(math.ceil, _shares())]))


def memory_limit_bytes() -> int | None:
    """The memory that this process and those grouped with it may take together; None if there is no limit."""
    limits = [_numbers(folder, "memory.max") for folder in _folders("")]
    limits += [_numbers(folder, "memory.limit_in_bytes") for folder in _folders("memory")]
    return min((limit for (limit,) in filter(None, limits)), default=None)


def _shares() -> Iterator[float]:
    """The limits on processor time, in seconds a second."""
    limits = [_numbers(folder, "cpu.max") for folder in _folders("")]
    limits += [_numbers(folder, "cpu.cfs_quota_us", "cpu.cfs_period_us") for folder in _folders("cpu")]
    for quota, period in filter(None, limits):
        if quota > 0:  # version 1 says -1 for no limit
            yield quota / period


def _numbers(folder: Path, *names: str) -> list[int]:
    """What stands in these files; empty where one is not there, or says "max", which is no limit."""
    with contextlib.suppress(OSError, ValueError):
        return [int(word) for name in names for word in (folder / name).read_text().split()]
    return []


def _folders(controller: str) -> Iterator[Path]:
    """The folders of this process's group and of those that it lies in, of a controller of version 1; "" is version 2.

    The root comes along: in a container that is mostly its own group, whatever path it has on the host.
    """
    root = GROUPS / controller
    yield root
    with contextlib.suppress(OSError, ValueError):
        for line in OWN_GROUPS.read_text().splitlines():
            controllers, path = line.split(":", 2)[1:]
            if controller in controllers.split(","):
                group = root / path.strip("/")
                while group != root:
                    yield group
                    group = group.parent
