"""How many processors and how much memory a container leaves, read from files as Linux has them."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sapiens_mlx import container

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")

# What /proc/self/cgroup says in version 1 of control groups, and in version 2.
OLD = "3:cpuset:/\n2:cpu,cpuacct:/docker/a\n1:memory:/docker/a\n0::/\n"
NEW = "0::/\n"


@pytest.fixture
def in_groups(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable]:
    """Puts this process, which may run on 16 processors, into groups with these files."""
    monkeypatch.setattr(container, "GROUPS", tmp_path / "groups")
    monkeypatch.setattr(container, "OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(container.os, "sched_getaffinity", lambda process: range(16))

    def put(own: str, files: dict[str, str]) -> None:
        (tmp_path / "own").write_text(own)
        for name, text in files.items():
            path = tmp_path / "groups" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")

    container.processors.cache_clear()
    yield put
    container.processors.cache_clear()


@pytest.mark.parametrize(
    ("own", "files", "processors"),
    [
        (NEW, {"cpu.max": "200000 100000"}, 2),
        (NEW, {"cpu.max": "150000 100000"}, 2),
        (NEW, {"cpu.max": "5000 100000"}, 1),
        (NEW, {"cpu.max": "6400000 100000"}, 16),
        (NEW, {"cpu.max": "max 100000"}, 16),
        (NEW, {"cpu.max": ""}, 16),
        ("0::/a/b\n", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000"}, 3),
        ("0::/../b\n", {"cpu.max": "400000 100000"}, 4),
        (OLD, {"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 2),
        (OLD, {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 16),
        (OLD, {"cpu/docker/a/cpu.cfs_quota_us": "50000", "cpu/docker/a/cpu.cfs_period_us": "50000"}, 1),
        (OLD, {}, 16),
        ("what is this", {}, 16),
    ],
)
def test_processors_are_those_that_a_container_leaves(in_groups, own, files, processors):
    in_groups(own, files)
    assert container.processors() == processors


@pytest.mark.parametrize(
    ("own", "files", "limit"),
    [
        (NEW, {"memory.max": "17179869184"}, 2**34),
        (NEW, {"memory.max": "max"}, None),
        ("0::/a/b\n", {"a/memory.max": "17179869184", "a/b/memory.max": "8589934592"}, 2**33),
        (OLD, {"memory/memory.limit_in_bytes": "17179869184"}, 2**34),
        (OLD, {"memory/docker/a/memory.limit_in_bytes": "17179869184", "memory/memory.limit_in_bytes": "99e9"}, 2**34),
        (OLD, {}, None),
    ],
)
def test_memory_is_what_a_container_leaves(in_groups, own, files, limit):
    in_groups(own, files)
    assert container.memory_limit_bytes() == limit


STAT_BYTES = "anon 700\nactive_file 30\ninactive_file 20\ntotal_active_file 300\ntotal_inactive_file 200"


def grouped(folder: str, limit: int | str, taken: int) -> dict[str, str]:
    """The files of a group that has taken so many bytes, 50 of them for files; of version 1 below memory/, 500."""
    names = ("limit_in_bytes", "usage_in_bytes") if folder.startswith("memory/") else ("max", "current")
    said = dict(zip(names, (str(limit), str(taken)), strict=True)) | {"stat": STAT_BYTES}
    return {f"{folder}memory.{name}": text for name, text in said.items()}


@pytest.mark.parametrize(
    ("own", "files", "free"),
    [
        (NEW, grouped("", 10_000, 4000), 6050),
        (NEW, grouped("", "max", 4000), None),
        (NEW, {"memory.max": "10000", "memory.current": "4000"}, None),
        ("0::/a/b\n", grouped("a/", 10_000, 9000) | grouped("a/b/", 5000, 1000), 1050),
        ("0::/a/b\n", grouped("a/", 10_000, 4000) | grouped("a/b/", 5000, 1000), 4050),
        (OLD, grouped("memory/docker/a/", 10_000, 4000) | grouped("memory/", 2**63 - 4096, 40_000), 6500),
        (OLD, {}, None),
    ],
)
def test_free_memory_is_that_of_the_fullest_group_around_this_process(in_groups, own, files, free):
    in_groups(own, files)
    assert container.free_bytes() == free


def test_one_processor_to_run_on_is_one_thread_everywhere():
    program = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import sapiens_mlx
import numpy as np
from threadpoolctl import threadpool_info
from sapiens_mlx.nn import cpu
print(cpu._pool()._max_workers, {blas["num_threads"] for blas in threadpool_info() if blas["user_api"] == "blas"})
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "1 {1}\n", done.stderr
