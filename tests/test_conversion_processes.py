"""Several processes that convert at once, those that are killed or starved, and the memory that one takes."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rule
from mlx.utils import tree_flatten
from safetensors import safe_open
from safetensors.numpy import save_file
from slowly import slowly
from tiny_models import load, written

from sapiens_mlx import zoo
from sapiens_mlx.nn.backbone import BackboneConfig
from sapiens_mlx.nn.heads import DeconvHeadConfig, Estimator
from sapiens_mlx.weights import conversion, layouts


def start(**order) -> subprocess.Popen:
    program = Path(__file__).with_name("conversion_process.py")
    return subprocess.Popen(
        [sys.executable, str(program), json.dumps(order)],
        env=os.environ | {"PYTHONPATH": str(program.parents[1])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen) -> dict:
    out, error = process.communicate("go\n", timeout=120)
    assert process.returncode == 0, error
    return json.loads(out.splitlines()[-1])


@pytest.fixture(scope="session")
def middling_root(tmp_path_factory) -> Path:
    """A weights folder with a checkpoint of 320 MB, whose conversion takes a moment."""
    root = tmp_path_factory.mktemp("middling")
    config = BackboneConfig(640, 10, (10,) * 12, 2560)
    network = Estimator(config, DeconvHeadConfig(640, (24, 16, 12, 8), (8, 8), 29, "conv_seg"))
    path = root / "seg/sapiens2_middling_seg.safetensors"
    path.parent.mkdir()
    change = layouts.ORIGINAL.change
    shapes = {n: change(n).file_shape(tuple(t.shape)) for n, t in tree_flatten(network.parameters())}
    pool = rule.noise("pool", (10_000_000,)) * np.float32(0.04)
    save_file({n: pool[: np.prod(s, dtype=int)].reshape(s) for n, s in shapes.items()}, path)
    yield root
    shutil.rmtree(root)


@pytest.fixture
def middling(machine, middling_root, monkeypatch) -> Path:
    monkeypatch.setenv("SAPIENS_CHECKPOINT_ROOT", str(middling_root))
    return middling_root / "seg/sapiens2_middling_seg.safetensors"


@pytest.fixture(scope="session")
def middling_weights(middling_root, tmp_path_factory) -> str:
    """What a process loads that nobody disturbs."""
    cache = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAPIENS_CHECKPOINT_ROOT", str(middling_root))
        patch.setenv("SAPIENS_MLX_CACHE", str(cache))
        weights = finished(start(call="load", size="middling", level="bf16"))["weights"]
    shutil.rmtree(cache)
    return weights


@pytest.mark.slow
@pytest.mark.parametrize("level", ["4bit", "bf16"])
def test_memory_holds_the_result_and_never_the_wide_original(middling, level):
    measured = finished(start(call="measure", size="middling", level=level, source=str(middling)))
    assert middling.stat().st_size > 315e6
    assert measured["grown_bytes"] < measured["result_bytes"] + 110e6


@pytest.mark.slow
def test_float64_is_not_held_as_a_whole_either(middling, tmp_path):
    with safe_open(middling, framework="numpy") as file:
        names = file.keys()
        save_file({name: file.get_tensor(name).astype(np.float64) for name in names}, tmp_path / "wide.safetensors")
    measured = finished(start(call="measure", size="middling", level="4bit", source=str(tmp_path / "wide.safetensors")))
    assert measured["grown_bytes"] < measured["result_bytes"] + 200e6


def partials(cache: Path) -> list[Path]:
    return list(cache.glob("*.partial-*")) if cache.is_dir() else []


def has_begun(cache: Path) -> bool:
    return bool(partials(cache))


def is_half_written(cache: Path) -> bool:
    return any(file.stat().st_size > 5e7 for file in cache.glob("*.partial-*/model.safetensors"))


def is_written(cache: Path) -> bool:
    return any(file.stat().st_size > 1.5e8 for file in cache.glob("*.partial-*/model.safetensors"))


def is_renamed(cache: Path) -> bool:
    return any(conversion.read(folder) for folder in cache.glob("*") if ".partial-" not in folder.name)


def at_once(cache: Path) -> bool:
    return True


@pytest.mark.parametrize(
    ("moment", "before"),
    [
        (at_once, "nothing"),
        slowly(has_begun, "a damaged one"),
        (is_half_written, "nothing"),
        slowly(is_written, "a damaged one"),
        (is_renamed, "a damaged one"),
    ],
)
def test_a_kill_leaves_the_old_or_the_new_and_the_next_run_clears_up(
    middling, middling_weights, tmp_path, moment, before
):
    cache, checkpoint, row = tmp_path / "cache", middling_checkpoint(), zoo.level("bf16")
    folder = conversion.folder_for(checkpoint, row, middling)
    if before == "a damaged one":
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(b"damaged")
    process = start(call="load", size="middling", level="bf16", waits=True)
    process.stdin.write("go\n")
    process.stdin.flush()
    while process.poll() is None:
        with contextlib.suppress(FileNotFoundError):  # renamed between two looks
            if moment(cache):
                break
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it ended before the moment came"
    found = conversion.read(folder)
    if moment is is_renamed:
        assert found is not None
    if found is not None:  # what looks whole is whole
        assert conversion.is_whole(folder, checkpoint, row, thorough=True)
    assert finished(start(call="load", size="middling", level="bf16")) == {"weights": middling_weights, "notices": []}
    assert partials(cache) == []
    assert conversion.is_whole(folder, checkpoint, row, thorough=True)


def middling_checkpoint() -> zoo.Checkpoint:
    return replace(zoo.checkpoint("seg", "0.4b"), size="middling")


def test_what_another_process_is_writing_is_left_alone_until_it_is_gone(machine, tiny_size):
    written(machine)
    other = start(call="hold")
    partial = Path(json.loads(other.stdout.readline()))
    load(level="8bit")
    assert partial.is_dir()
    other.send_signal(signal.SIGKILL)
    other.communicate()
    assert partial.is_dir()
    load(level="4bit")
    assert not partial.exists()
    assert len(conversion.conversions()) == 2


@pytest.mark.slow
def test_processes_that_convert_the_same_at_once_do_not_hurt_each_other(middling, middling_weights, tmp_path):
    processes = [start(call="load", size="middling", level="bf16", waits=True) for _ in range(3)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        assert finished(process) == {"weights": middling_weights, "notices": []}
    assert [folder.name.rsplit("-", 1)[0] for folder in (tmp_path / "cache").iterdir()] == ["seg-middling-bf16"]


def test_a_cache_deleted_in_the_middle_of_writing_costs_no_result(middling, middling_weights, tmp_path):
    process = start(call="load", size="middling", level="bf16", waits=True)
    process.stdin.write("go\n")
    process.stdin.flush()
    while not is_half_written(tmp_path / "cache"):
        assert process.poll() is None
        time.sleep(0.001)
    shutil.rmtree(tmp_path / "cache")
    answer = finished(process)
    assert answer["weights"] == middling_weights
    (notice,) = answer["notices"]
    assert "was not kept" in notice


def test_a_file_that_may_not_grow_large_enough_is_a_sentence(machine, tiny_size, tmp_path):
    written(machine)
    answer = finished(start(call="load", size="tiny", level="bf16", file_limit_bytes=100_000))
    (notice,) = answer["notices"]
    assert "cannot be written" in notice
    assert list((tmp_path / "cache").iterdir()) == []
    assert finished(start(call="load", size="tiny", level="bf16"))["weights"] == answer["weights"]
