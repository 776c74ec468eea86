"""The ground everything runs on: BLAS before MLX, and one thread for all inference."""

import subprocess
import sys
import threading

import pytest

from sapiens_mlx import runtime
from sapiens_mlx.errors import CancelledError
from sapiens_mlx.runtime import InferenceThread

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="macOS has Accelerate and Metal")
# Hides the system's library, so that the one inside OpenCV's wheel is what is left.
WITHOUT_SYSTEM_BLAS = """
import ctypes
load = ctypes.CDLL
def hiding(name, *rest, **options):
    if name == "libopenblas.so.0":
        raise OSError("hidden")
    return load(name, *rest, **options)
ctypes.CDLL = hiding
"""
SPEED = """
import time
import sapiens_mlx
from sapiens_mlx import runtime
import mlx.core as mx
a = mx.random.normal((1024, 1024)); mx.eval(a, a @ a)
def processor_seconds():
    start = time.process_time()
    mx.eval(a @ a)
    return time.process_time() - start
print(runtime.BLAS)
print(2 * 1024**3 / min(processor_seconds() for _ in range(5)) / 1e9)
"""


def printed(program: str) -> tuple[list[str], str]:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.splitlines(), done.stderr


@ON_LINUX
def test_matrix_products_use_the_blas_that_was_loaded():
    """Stock MLX does 5 GFLOP a processor second, OpenBLAS over 50: a factor no other work on the machine can hide."""
    (library, speed), _ = printed(SPEED)
    assert "openblas" in library
    assert float(speed) > 20


@ON_LINUX
def test_the_blas_in_opencvs_wheel_serves_where_the_system_has_none():
    (library, speed), _ = printed(WITHOUT_SYSTEM_BLAS + SPEED)
    assert "opencv_python_headless.libs" in library
    assert float(speed) > 20


@ON_LINUX
def test_mlx_imported_too_early_is_told_once():
    _, error = printed("import mlx.core, sapiens_mlx")
    assert error.count("Import sapiens_mlx first") == 1


@ON_LINUX
def test_memory_that_is_freed_is_used_again_until_it_is_given_back():
    """A page that the kernel has to clear is a fault; an array of 64 MB has 16384 of them."""
    program = """
import resource
import sapiens_mlx
from sapiens_mlx import runtime
import mlx.core as mx
from pathlib import Path
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6
def work():
    mx.eval(mx.zeros((2**24,)) + 1)
work()
before = faults()
for _ in range(5): work()
print(faults() - before)
held = resident_mb()
runtime.release_memory()
print(held - resident_mb())
"""
    (again, given_back), _ = printed(program)
    assert int(again) < 5000  # of 81920
    assert float(given_back) > 40


def test_all_work_runs_on_one_thread_in_order():
    thread, order = InferenceThread(), []
    jobs = [thread.submit(lambda progress, i=i: order.append((i, threading.current_thread().name))) for i in range(50)]
    for job in jobs:
        job.result(timeout_s=5)
    assert order == [(i, "inference") for i in range(50)]


def test_work_that_needs_more_work_does_not_wait_for_itself():
    thread = InferenceThread()
    assert thread.run(lambda progress: thread.run(lambda progress: 7)) == 7


def test_an_error_reaches_whoever_waits_and_the_thread_lives_on():
    thread = InferenceThread()

    def fail(progress):
        raise ZeroDivisionError("this one")

    with pytest.raises(ZeroDivisionError, match="this one"):
        thread.run(fail)
    assert thread.run(lambda progress: 7) == 7


def test_stop_before_and_during_the_work():
    thread, started, go_on = InferenceThread(), threading.Event(), threading.Event()

    def wait(progress):
        started.set()
        go_on.wait(5)
        progress("network", 1, 2)

    running, queued = thread.submit(wait), thread.submit(lambda progress: pytest.fail("ran though it was cancelled"))
    started.wait(5)
    for job in (running, queued):
        job.cancel()
    go_on.set()
    for job in (running, queued):
        with pytest.raises(CancelledError):
            job.result(timeout_s=5)


def test_a_watcher_hears_every_report_and_the_job_keeps_the_newest():
    thread, heard = InferenceThread(), []
    job = thread.submit(lambda progress: progress("network", 3, 24), progress=lambda *report: heard.append(report))
    job.result(timeout_s=5)
    assert heard[-1] == job.newest == ("network", 3, 24)


def test_the_memory_limit_is_of_this_machine():
    assert 1e8 < runtime.memory_limit_bytes() < 1e13
    assert runtime.peak_memory_bytes() > 1e7
