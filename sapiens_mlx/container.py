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


def free_bytes() -> int | None:
    """How much more of that memory can be had; None if there is no limit. Files that the kernel holds in it are given
    back when it is wanted."""
    rooms = [_room(folder, "memory.max", "memory.current", "") for folder in _folders("")]
    version_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
    rooms += [_room(folder, *version_1) for folder in _folders("memory")]
    return min((room for room in rooms if room is not None), default=None)


def _room(folder: Path, limit: str, taken: str, prefix: str) -> int | None:
    """What a group may still take, of which version 1 names what is of all below it with a prefix; None where nothing
    says that there is a limit."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        about = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        files_bytes = sum(int(about[f"{prefix}{name}"]) for name in ("active_file", "inactive_file"))
        return int((folder / limit).read_text()) - int((folder / taken).read_text()) + files_bytes
    return None


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
