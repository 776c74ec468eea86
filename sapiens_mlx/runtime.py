"""What the machine is and how it is used: BLAS on Linux, the device, its memory, and the one inference thread.

Import this before mlx.core: on Linux it puts OpenBLAS where MLX's matrix products will find it.
"""

import contextlib
import ctypes
import gc
import logging
import os
import platform
import queue
import sys
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from . import container
from .errors import CancelledError, SapiensError

log = logging.getLogger(__name__)

# progress(stage, done, total): stages are "queued", "start", "download" (bytes), "load" (tensors), "digest" (MB),
# "detect", "hands", "network", "foreground", "person 2 of 5" and "hand 1 of 2" (blocks of a network), "decode"; of
# clips "frames", of bench "weights" and "turn". It may raise CancelledError to stop the work at that point.
Progress = Callable[[str, float, float], None]


def no_progress(stage: str, done: float, total: float) -> None:
    """For callers that do not watch."""


# ---- BLAS -----------------------------------------------------------------------------------------------------------


def _wheel_blas() -> list[str]:
    """OpenBLAS inside OpenCV's wheel, behind the Fortran runtime it needs. Empty where there is none."""
    try:
        files = distribution("opencv-python-headless").files or []
    except PackageNotFoundError:
        return []
    libraries = [file for file in files if "opencv_python_headless.libs" in str(file)]
    wanted = ("libquadmath", "libgfortran", "libopenblas")  # in the order in which each needs the one before
    return [str(file.locate()) for prefix in wanted for file in libraries if file.name.startswith(prefix)]


def _preload_blas() -> str | None:
    """Load OpenBLAS with global symbols, so that MLX's own (reference) BLAS is never called. 37 times faster products.

    The system's library comes first, then the one in OpenCV's wheel. Returns the path taken, None if there is none.
    """
    # Read when it is loaded, by NumPy's own too. Idle threads would look for work for 2^26 ticks before they sleep, in
    # the way of the threads that have some; 2^12 is enough from one product to the next.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "12")
    # It would start a thread for each processor of the host, where a container may use the time of a few.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", str(container.processors()))
    if "mlx.core" in sys.modules:
        warnings.warn(
            "mlx.core was imported before sapiens_mlx, so matrix products will be slow on this machine. "
            "Import sapiens_mlx first.",
            RuntimeWarning,
            stacklevel=3,
        )
        return None
    for chain in (["libopenblas.so.0"], _wheel_blas()):
        try:
            for library in chain:
                ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
        except OSError:
            continue
        if chain:
            return chain[-1]
    warnings.warn(
        "No OpenBLAS was found, so matrix products will be about 37 times slower. "
        "Install it: apt-get install libopenblas0-pthread (or pip install opencv-python-headless).",
        RuntimeWarning,
        stacklevel=3,
    )
    return None


BLAS = _preload_blas() if sys.platform == "linux" else None  # macOS has Accelerate and Metal


# ---- device and memory ----------------------------------------------------------------------------------------------


@cache
def device() -> str:
    """ "gpu" (Metal or CUDA) or "cpu"."""
    import mlx.core as mx

    return "gpu" if mx.default_device().type == mx.DeviceType.gpu else "cpu"


def compute_dtype(storage: str) -> str:
    """The dtype of activations for weights kept in `storage`: the same on a GPU, float32 on the CPU."""
    return "float32" if device() == "cpu" else storage


@cache
def device_name() -> str:
    """For people: the chip or the processor."""
    import mlx.core as mx

    if device() == "gpu":
        info = mx.device_info()
        return str(info.get("device_name") or info.get("architecture") or "GPU")
    return f"CPU ({platform.machine()}, {container.processors()} threads)"


@cache
def memory_limit_bytes() -> int:
    """How much memory models and activations may take together: 70 % of what the device can use."""
    import mlx.core as mx

    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if device() == "gpu":
        info = mx.device_info()
        total = int(info.get("max_recommended_working_set_size") or info.get("memory_size") or total)
    else:
        total = min(total, container.memory_limit_bytes() or total)
    return int(0.7 * total)


def free_memory_bytes() -> int:
    """How much more memory this process can have, where it must not ask for more: on the CPU of Linux. There MLX
    crashes on memory that it is not given, and the kernel ends a process that fills more than there is. Elsewhere the
    system swaps, or an error tells, and there is no end to it: sys.maxsize."""
    if sys.platform != "linux" or device() == "gpu":
        return sys.maxsize
    import resource

    rooms = [sys.maxsize]
    with contextlib.suppress(OSError, ValueError, KeyError):
        about = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        rooms.append(1024 * sum(int(about[name].split()[0]) for name in ("MemAvailable", "SwapFree")))
    if (room := container.free_bytes()) is not None:
        rooms.append(room)
    with contextlib.suppress(OSError, ValueError):
        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        rooms += [] if limit == resource.RLIM_INFINITY else [limit - pages * resource.getpagesize()]
    return max(0, min(rooms))


def _keep_pages() -> None:
    """Have the C library keep what is freed for the next array, up to 1 GiB at its end, until release_memory().

    MLX's CPU backend allocates each intermediate anew, and large ones are mapped and unmapped by default: the kernel
    clears their pages each time. That was 1.8 million page faults and a quarter of the processor time of 0.4b seg.
    What is kept is for all threads: with an arena each, the peak of a photo of 12 megapixels was 100 to 200 MB higher.
    """
    with contextlib.suppress(OSError, AttributeError):  # a C library other than glibc
        libc, m_trim_threshold, m_mmap_max, m_arena_max = ctypes.CDLL("libc.so.6"), -1, -4, -8
        libc.mallopt(m_mmap_max, 0)
        libc.mallopt(m_trim_threshold, 2**30)
        libc.mallopt(m_arena_max, 1)


if sys.platform == "linux":
    _keep_pages()


def limit_cache() -> None:
    """Have MLX hold at most a quarter of this machine's share for reuse on a GPU, where its own limit is nearly all
    memory: other programs are at work beside it. What is wired down stays as the system has it."""
    import mlx.core as mx

    if device() == "gpu":
        mx.set_cache_limit(memory_limit_bytes() // 4)


def release_memory() -> None:
    """Give back what MLX and the C library hold for reuse: for when a network has been dropped."""
    import mlx.core as mx

    gc.collect()  # compiled parts of a network and their functions hold each other
    mx.clear_cache()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").malloc_trim(0)


def peak_memory_bytes() -> int:
    """The most memory this process has held: MLX's own count on a GPU, the resident set on the CPU."""
    import resource

    import mlx.core as mx

    if device() == "gpu":
        return mx.get_peak_memory()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


# ---- the inference thread -------------------------------------------------------------------------------------------


class Job:
    """Work under way on the inference thread: wait for its result, see how far it is, or stop it."""

    def __init__(self, watch: Progress = no_progress) -> None:
        self._future: Future = Future()
        self._cancelled = threading.Event()
        self._watch = watch
        self._newest = ("queued", 0.0, 0.0)

    def progress(self, stage: str, done: float, total: float) -> None:
        """The callback handed to the work: remembers the newest report and is where Stop takes effect."""
        self._newest = (stage, done, total)
        if self._cancelled.is_set():
            raise CancelledError
        self._watch(stage, done, total)

    @property
    def newest(self) -> tuple[str, float, float]:
        """(stage, done, total) of the newest report; ("queued", 0, 0) before the first."""
        return self._newest

    @property
    def done(self) -> bool:
        return self._future.done()

    def cancel(self) -> None:
        """Ask the work to stop; it does at its next report, within one block of the network."""
        self._cancelled.set()

    def result(self, timeout_s: float | None = None) -> Any:
        """The work's result. Raises what the work raised, or TimeoutError."""
        return self._future.result(timeout_s)

    def do(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Does the work on this thread, which lives on whatever that raises: it is handed to whoever waits.

        What would end a thread there too, as SystemExit, is told as a SapiensError.
        """
        try:
            self.progress("start", 0, 0)
            self._future.set_result(work(*args, progress=self.progress, **kwargs))
        except Exception as problem:
            self._future.set_exception(problem)
        except BaseException as problem:
            log.error("Work was broken off", exc_info=problem)
            name = type(problem).__name__
            self._future.set_exception(SapiensError(f"The work was broken off ({name}). Please try again."))


class InferenceThread:
    """The one thread that loads, evaluates and converts to NumPy. MLX streams belong to the thread that made them."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def submit(self, work: Callable[..., Any], *args: Any, progress: Progress = no_progress, **kwargs: Any) -> Job:
        """Queue `work(*args, progress=..., **kwargs)` and return its Job at once. `progress` hears every report too."""
        job = Job(watch=progress)
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="inference", daemon=True)
                self._thread.start()
        self._queue.put((job, work, args, kwargs))
        return job

    def run(self, work: Callable[..., Any], *args: Any, progress: Progress = no_progress, **kwargs: Any) -> Any:
        """The result of `work` done on the inference thread; called directly when already on it."""
        if threading.current_thread() is self._thread:
            return work(*args, progress=progress, **kwargs)
        job = self.submit(work, *args, progress=progress, **kwargs)
        try:
            return job.result()
        except BaseException:
            job.cancel()  # Ctrl-C in the waiting thread stops the work too
            raise

    def settle(self, timeout_s: float) -> bool:
        """Waits until all work handed in so far has ended. False when it has not after that time."""
        if self._thread is None:
            return True
        try:
            self.submit(lambda progress: None).result(timeout_s)
        except TimeoutError:
            return False
        return True

    def _serve(self) -> None:
        while True:
            job, work, args, kwargs = self._queue.get()
            job.do(work, *args, **kwargs)
            del job, work, args, kwargs  # a photo and its result, which nobody may want while this waits


inference = InferenceThread()


def aside(work: Callable[..., Any], *args: Any, **kwargs: Any) -> Job:
    """Begins `work(*args, progress=..., **kwargs)` on a thread of its own, and returns its Job at once.

    For long work of many networks: each of them waits for its turn on the inference thread, and others have theirs
    between.
    """
    job = Job()
    threading.Thread(target=job.do, args=(work, *args), kwargs=kwargs, name="aside", daemon=True).start()
    return job
