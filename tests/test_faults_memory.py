"""Out of memory in a network, and work that raises anything: a sentence, nothing lost, and the next run works."""

import gc
import json
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import clips
import cv2
import numpy as np
import pytest
import rule
from browser import Server, draw_photo, serving
from command_line import run
from compared import PHOTO, names
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from hub_machine import CONTENT, SEG, Machine
from hub_server import Hub
from job_files import rows, write_photos
from slowly import slowly

from sapiens_mlx import inventory, runtime, zoo
from sapiens_mlx.compare import compare
from sapiens_mlx.errors import MemoryFullError, SapiensError
from sapiens_mlx.models import models
from sapiens_mlx.nn.backbone import Backbone
from sapiens_mlx.nn.heads import Estimator
from sapiens_mlx.predictor import Predictor
from sapiens_mlx.runtime import InferenceThread, aside
from sapiens_mlx.tasks.seg import SegTask
from sapiens_mlx.ui.live.run import Live, _look
from sapiens_mlx.video.clip import run_clip
from sapiens_mlx.weights import store

SENTENCE = "There is not enough memory for Body parts at tiny, "


def _of_numpy() -> Exception:
    with pytest.raises(MemoryError) as told:
        np.zeros((2**20, 2**20, 2**6))
    return told.value


def _of_opencv() -> Exception:
    problem = cv2.error("(-4:Insufficient memory) Failed to allocate 10800000000 bytes in function 'OutOfMemoryError'")
    problem.code = -4
    return problem


# MLX's as its source and the reports of its users have them.
PROBLEMS = {
    "an array": lambda: RuntimeError("[malloc] Unable to allocate 9663676416 bytes."),
    "an array too large for Metal": lambda: RuntimeError(
        "[metal::malloc] Attempting to allocate 48736917632 bytes which is greater than the maximum allowed buffer "
        "size of 30150672384 bytes."
    ),
    "too many arrays for Metal": lambda: RuntimeError("[metal::malloc] Resource limit (499000) exceeded."),
    "work on its way to the GPU": lambda: RuntimeError(
        "[METAL] Command buffer execution failed: Insufficient Memory "
        "(00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)."
    ),
    "CUDA": lambda: RuntimeError("cudaMallocAsync(&data, size, stream) failed: out of memory"),
    "NumPy": _of_numpy,
    "OpenCV": _of_opencv,
}
PLACES = {"load": (Estimator, "load_weights"), "network": (Backbone, "__call__"), "decode": (SegTask, "decode")}


@pytest.fixture
def weights(machine, tiny_size) -> Path:
    for task in ("seg", "normal", "pose"):
        rule.write_tiny(machine, task)
    rule.write_detector(machine / zoo.RTMDET_M.local_path)
    return machine


@pytest.fixture
def failing(monkeypatch) -> Callable[..., None]:
    """Makes a place raise what `make` gives, the calls of it that `which` names (0 is the first)."""

    def fail(make: Callable[[], BaseException], place: str = "network", which: tuple[int, ...] = (0,)) -> None:
        holder, name = PLACES[place]
        whole, calls = getattr(holder, name), iter(range(10**6))

        def raising(*inputs: Any, **options: Any) -> Any:
            if next(calls) in which:
                raise make()
            return whole(*inputs, **options)

        monkeypatch.setattr(holder, name, raising)

    return fail


# ---- what is caught -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem", "place"),
    [
        *(slowly(name, "network") for name in PROBLEMS),
        slowly("an array", "load"),
        slowly("NumPy", "load"),
        ("OpenCV", "decode"),
    ],
)
def test_too_little_memory_is_a_sentence_and_the_next_run_works(weights, failing, problem, place):
    Predictor("normal", "tiny")(PHOTO)
    failing(PROBLEMS[problem], place)
    with pytest.raises(MemoryFullError) as told:
        Predictor("seg", "tiny")(PHOTO)
    assert str(told.value).startswith(SENTENCE)
    assert not any(word in str(told.value) for word in ("malloc", "METAL", "bytes"))
    assert (models._estimators, models._detectors) == ({}, {})
    assert Predictor("seg", "tiny")(PHOTO).labels.shape == PHOTO.shape[:2]
    for task in ("normal", "pose", "seg"):
        Predictor(task, "tiny")(PHOTO)
    assert len(models._estimators) == 2


def test_the_networks_memory_is_free_though_somebody_still_holds_the_error(weights, monkeypatch):
    networks = []

    def full(self, *inputs, **options):
        networks.append(weakref.ref(self))
        raise RuntimeError("[malloc] Unable to allocate 9663676416 bytes.")

    monkeypatch.setattr(Backbone, "__call__", full)
    job = Predictor("seg", "tiny").submit(PHOTO)
    with pytest.raises(MemoryFullError) as told:
        job.result()
    gc.collect()
    assert len(networks) == 1 and networks[0]() is None
    assert told.value.__cause__ is told.value.__context__ is None


def test_other_problems_of_mlx_are_not_taken_for_it(weights, failing):
    failing(lambda: RuntimeError("[METAL] Command buffer execution failed: Caused GPU Timeout Error."))
    with pytest.raises(RuntimeError, match="Timeout"):
        Predictor("seg", "tiny")(PHOTO)
    assert len(models._estimators) == 1


def test_a_detector_without_memory_is_told_too(weights, monkeypatch):
    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr(store, "load_detector", full)
    with pytest.raises(MemoryFullError, match="not enough memory for Pose at tiny"):
        Predictor("pose", "tiny")(PHOTO)
    with pytest.raises(MemoryFullError, match=r"not enough memory for People\. Take a smaller photo or"):
        Predictor("detect", "tiny")(PHOTO)


def test_a_conversion_that_there_was_no_memory_to_load_is_kept(weights, failing, tmp_path):
    Predictor("seg", "tiny", "4bit")(PHOTO)
    kept = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    models.clear()
    failing(PROBLEMS["an array"], "load")
    with pytest.raises(MemoryFullError):
        Predictor("seg", "tiny", "4bit")(PHOTO)
    assert kept and [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == kept


@pytest.mark.parametrize(
    ("network", "free_gb", "choices"),
    [
        (("seg", "1b", "fp32"), 100, "Choose the size 0.8b or the level fp16, take a smaller photo, or"),
        (("seg", "1b", "fp32"), 3.6, "Choose the size 0.4b or the level 8bit, take a smaller photo, or"),
        (("normal", "5b", "bf16"), 0.5, "Choose the size demo, take a smaller photo, or"),
        (("matting", "1b", "4bit"), 0, "Take a smaller photo or"),
        (("detect", "demo", "fp32"), 100, "Take a smaller photo or"),
        (("hands", "wilor", "fp32"), 100, "Choose the level bf16, take a smaller photo, or"),
    ],
)
def test_the_sentence_names_what_fits(monkeypatch, network, free_gb, choices):
    monkeypatch.setattr(runtime, "free_memory_bytes", lambda: free_gb * 1e9)
    monkeypatch.setattr(runtime, "memory_limit_bytes", lambda: 50e9)
    assert inventory.memory_full(*network).partition(". ")[2] == f"{choices} close other programs."


# ---- before it happens ----------------------------------------------------------------------------------------------

ON_LINUX = pytest.mark.skipif(runtime.free_memory_bytes() == sys.maxsize, reason="MLX itself tells of it here")


@ON_LINUX
def test_a_network_that_does_not_fit_what_is_free_is_not_begun(weights, monkeypatch):
    """MLX's allocator of the CPU crashes where it is given no memory, and the kernel ends who takes too much."""
    seg = Predictor("seg", "tiny")
    seg(PHOTO)
    monkeypatch.setitem(zoo.SIZES, "tiny", zoo.Size("tiny", 64, 18, 2, 10**15, None, input_hw=(128, 96)))
    assert seg(PHOTO) is not None  # it is in memory, whatever is said of its size
    with pytest.raises(MemoryFullError, match="not enough memory for Normals at tiny"):
        Predictor("normal", "tiny")(PHOTO)
    assert not models._estimators


@ON_LINUX
def test_what_is_free_counts_the_limit_of_the_process():
    program = """
import resource
import numpy as np
from sapiens_mlx import runtime
free = runtime.free_memory_bytes()
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 500_000_000, resource.RLIM_INFINITY))
left = runtime.free_memory_bytes()
held = np.ones(300_000_000, np.uint8)
print(free, left, runtime.free_memory_bytes())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    free, left, then = map(int, done.stdout.split())
    assert free > left > 400_000_000
    assert 100_000_000 < then < 250_000_000


@pytest.mark.slow
def test_the_detector_counts_as_in_memory(weights):
    pose = Predictor("pose", "tiny")
    pose(PHOTO, boxes_xyxy=[[0, 0, 50, 50]])
    alone = models.nbytes
    pose(PHOTO)
    detector = pose.detector().module
    assert models.nbytes - alone == sum(tensor.nbytes for _, tensor in detector_tensors(detector)) > 1e4


def detector_tensors(module: Any) -> list[tuple[str, Any]]:
    from mlx.utils import tree_flatten

    return tree_flatten(module.parameters())


# ---- the ways in ----------------------------------------------------------------------------------------------------


def test_a_photo_of_a_folder_that_lacked_memory_is_a_failed_row_and_is_done_next_time(
    weights, failing, tmp_path, capsys
):
    write_photos(tmp_path / "in", 3)
    failing(PROBLEMS["work on its way to the GPU"], which=(1,))
    arguments = ("predict", tmp_path / "in", "--out", tmp_path / "out", "--size", "tiny", "--json")
    status, out, error = run(capsys, *arguments)
    summary = json.loads(out)
    assert (status, summary["done"], summary["failed"]) == (1, 2, 1)
    failed = [row for row in rows(tmp_path / "out") if "error" in row]
    assert len(failed) == 1 and failed[0]["error"].startswith(SENTENCE)
    assert failed[0]["error"] in error
    status, out, _ = run(capsys, *arguments)
    assert (status, json.loads(out)["done"], json.loads(out)["skipped"]) == (0, 1, 2)
    assert len(list((tmp_path / "out").glob("*_seg.png"))) == 3


def test_work_on_a_photo_that_ends_a_thread_is_a_failed_row_too(weights, failing, tmp_path, capsys):
    write_photos(tmp_path / "in", 3)
    failing(SystemExit, which=(1,))
    status, out, _ = run(capsys, "predict", tmp_path / "in", "--out", tmp_path / "out", "--size", "tiny", "--json")
    assert (status, json.loads(out)["done"], json.loads(out)["failed"]) == (1, 2, 1)


def test_one_photo_on_the_command_line_is_one_line_of_error(weights, failing, tmp_path, capsys):
    photo = write_photos(tmp_path, 1)[0]
    failing(PROBLEMS["an array"])
    status, out, error = run(capsys, "predict", photo, "--out", tmp_path / "out", "--size", "tiny")
    assert (status, out) == (2, "")
    assert error.startswith(f"error: {SENTENCE}") and error.count("\n") == 1
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    "problem", [PROBLEMS["an array"], PROBLEMS["NumPy"], GeneratorExit], ids=["array", "NumPy", "exit"]
)
def test_a_comparison_goes_on_with_the_other_levels(weights, failing, problem):
    failing(problem, which=(1,))
    entries = list(compare(PHOTO, "seg", ["tiny:fp32", "tiny:8bit", "tiny:4bit"], runs=1))
    assert names(entries) == ["tiny:fp32", "tiny:8bit", "tiny:4bit"]
    assert [entry.error is None for entry in entries] == [True, False, True]
    assert "malloc" not in entries[1].error and entries[1].error.startswith("tiny:8bit: ")
    assert entries[2].agreement is not None


def test_a_comparison_of_which_every_level_fails_comes_to_its_end(weights, failing):
    """As the page takes it: one entry at a time. The failed reference was tried again, for ever."""
    failing(PROBLEMS["an array"], which=tuple(range(100)))
    comparison = compare(PHOTO, "seg", ["tiny:fp32", "tiny:8bit"], runs=1)
    steps = [next(comparison.run(), None) for _ in range(3)]
    assert [entry and str(entry.variant) for entry in steps] == ["tiny:fp32", "tiny:8bit", None]


def test_a_comparison_quotes_no_library(weights, failing):
    failing(lambda: RuntimeError("[Matmul::eval_gpu] no kernel in /usr/lib/libmlx.so"), which=(1,))
    entries = list(compare(PHOTO, "seg", ["tiny:fp32", "tiny:8bit"], runs=1))
    assert entries[1].error == ("tiny:8bit could not be computed here. Choose a smaller size or another level.")


def test_a_clip_that_lacks_memory_keeps_what_is_done_and_goes_on(weights, failing, tmp_path):
    source = clips.write(tmp_path / "clip.mp4", 4)
    failing(PROBLEMS["an array"], which=(2,))
    with pytest.raises(MemoryFullError, match=SENTENCE):
        run_clip(source, Predictor("seg", "tiny"), tmp_path / "out")
    report = run_clip(source, Predictor("seg", "tiny"), tmp_path / "out", resume=True)
    assert report.frames == 4


@pytest.mark.parametrize("problem", [PROBLEMS["an array"], SystemExit], ids=["memory", "SystemExit"])
def test_a_live_frame_ends_in_a_sentence_and_the_next_one_is_computed(weights, failing, problem):
    failing(problem)
    look = (_look, "seg", "tiny", True, None, Live(0), PHOTO)
    with pytest.raises(SapiensError, match=r"not enough memory|broken off"):
        runtime.inference.submit(*look).result()
    assert runtime.inference.submit(*look).result().labels.shape == PHOTO.shape[:2]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("page")
    rule.write_tiny(folder / "weights", "seg")
    with serving(["-m", "tests.memory_page_process"], folder, {"NO_MEMORY": str(folder / "served/no memory")}) as page:
        yield page


@pytest.mark.slow
def test_a_program_that_calls_the_page_gets_the_sentence_and_then_its_result(server: Server, client: Client, tmp_path):
    photo = handle_file(draw_photo(tmp_path / "a.png", (120, 160)))
    lacking = server.files / "no memory"
    lacking.touch()
    with pytest.raises(AppError, match=SENTENCE):
        client.predict(photo=photo, size="tiny", api_name="/predict")
    with pytest.raises(AppError, match="There is not enough memory"):
        client.predict(photo=photo, size="tiny", levels=["fp32", "4bit"], runs=1, api_name="/compare")
    lacking.unlink()
    assert client.predict(photo=photo, size="tiny", api_name="/predict")[1]["task"] == "seg"


# ---- work that raises anything --------------------------------------------------------------------------------------


class _OfOurOwn(BaseException):
    pass


@pytest.mark.parametrize("problem", [SystemExit, KeyboardInterrupt, GeneratorExit, _OfOurOwn])
def test_whatever_work_raises_whoever_waits_gets_a_sentence_and_the_thread_lives_on(problem):
    def end(progress):
        raise problem

    thread = InferenceThread()
    for begin in (thread.submit, aside):
        with pytest.raises(SapiensError, match=rf"broken off \({problem.__name__}\). Please try again"):
            begin(end).result(5)
    assert thread.run(lambda progress: 7) == 7


def test_a_thread_that_waits_for_work_holds_no_photo():
    thread, photo = InferenceThread(), np.zeros(9, np.uint8)
    gone = weakref.ref(photo)
    thread.run(lambda photo, progress: None, photo)
    del photo
    end_s = time.monotonic() + 5  # the thread may be on its way back to waiting
    while gone() is not None and time.monotonic() < end_s:
        time.sleep(0.01)
    assert gone() is None


# ---- downloads ------------------------------------------------------------------------------------------------------

DOWNLOADING = """
import time
import numpy as np
from sapiens_mlx.errors import CancelledError
from sapiens_mlx.predictor import Predictor
from sapiens_mlx.runtime import inference

job = Predictor("seg", "0.4b").submit(np.zeros((60, 80, 3), np.uint8))
while job.newest[0] != "download":
    time.sleep(0.01)
print(inference.submit(lambda progress: "another visitor's").result(20), job.done)
job.cancel()
try:
    job.result(20)
except CancelledError:
    print("stopped")
"""


def test_a_download_of_one_visitor_keeps_nobody_else_waiting(tmp_path, monkeypatch):
    monkeypatch.setattr("hub_machine.PROGRAM", DOWNLOADING)
    with Hub({f"{SEG.repo}/{SEG.filename}": CONTENT}, pause_s=1) as hub:
        process = Machine(tmp_path).start(hub)
        out, error = process.communicate(timeout=60)
    assert out.splitlines() == ["another visitor's False", "stopped"], error
