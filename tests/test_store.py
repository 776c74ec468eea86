"""From files to modules: strict loading, every level, and conversions that are kept, checked and made again."""

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

import mlx.core as mx
import numpy as np
import pytest
import rule
from mlx.utils import tree_flatten
from safetensors import safe_open
from safetensors.numpy import save_file

import sapiens_mlx as sm
from sapiens_mlx import zoo
from sapiens_mlx.convert import convert
from sapiens_mlx.errors import CancelledError, WeightsError, WeightsMissingError
from sapiens_mlx.nn.backbone import BackboneConfig
from sapiens_mlx.nn.heads import DeconvHeadConfig, Estimator
from sapiens_mlx.runtime import inference
from sapiens_mlx.weights import conversion, layouts, store

PIXELS = rule.noise("pixels", (1, 128, 96, 3))


def load(task="seg", level="fp32", **options):
    return inference.run(store.load, task, "tiny", level, **options)


def output(model) -> np.ndarray:
    return inference.run(lambda progress: np.array(model.module(mx.array(PIXELS)).astype(mx.float32)))


def written(machine, change=None, task="seg"):
    """A tiny checkpoint in the weights folder after `change` has been at its tensors."""
    tensors = rule.tensors(rule.tiny_shapes(task))
    if change:
        change(tensors)
    path = machine / f"{task}/sapiens2_tiny_{task}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)
    return path


def missing(tensors):
    del tensors["backbone.blocks.3.ffn.w3.bias"]


def missing_head(tensors):
    del tensors["decode_head.conv_seg.weight"]


def missing_keys(tensors):
    del tensors["backbone.blocks.9.attn.wk.weight"]


def left_over(tensors):
    tensors["backbone.blocks.3.attn.gate.weight"] = np.zeros(3, np.float32)


def misshapen(tensors):
    tensors["decode_head.conv_seg.weight"] = np.zeros((29, 9, 1, 1), np.float32)


def wrong_periods(tensors):
    tensors["backbone.rope_embed.periods"] = np.ones(8, np.float32)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (missing, r"backbone\.blocks\.3\.ffn\.w3\.bias is missing"),
        (missing_head, r"conv_seg\.weight is missing"),
        (missing_keys, r"backbone\.blocks\.9\.attn\.wk\.weight is missing"),
        (left_over, r"backbone\.blocks\.3\.attn\.gate\.weight does not belong"),
        (misshapen, r"conv_seg\.weight has the shape \(29, 9, 1, 1\) where \(29, 8, 1, 1\) is expected"),
        (wrong_periods, r"periods"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_checkpoint_that_does_not_fit_is_refused_and_the_tensor_named(machine, tiny_size, change, says):
    path = written(machine, change)
    with pytest.raises(WeightsError, match=says) as problem:
        load()
    assert path.name in str(problem.value)


def test_rope_periods_in_the_file_are_compared_and_may_be_absent(machine, tiny_size):
    from sapiens_mlx.nn import rope

    written(machine, lambda tensors: tensors.update({"backbone.rope_embed.periods": rope.periods(32)}))
    with_periods = output(load())
    written(machine)
    from sapiens_mlx.models import models

    models.clear()
    assert np.array_equal(output(load()), with_periods)


def test_a_checkpoint_of_another_task_is_recognised(machine, tiny_size):
    path = written(machine, task="pose")
    with pytest.raises(WeightsError, match="weights for pose, not for seg"):
        load(weights=path)


def test_a_checkpoint_of_another_size_is_recognised(machine, tiny_size):
    path = written(machine)
    with pytest.raises(WeightsError, match=r"size tiny, not 0\.4b"):
        inference.run(store.load, "seg", "0.4b", "fp32", path)


@pytest.mark.parametrize("content", ["empty", "truncated", "text", "half header"])
def test_a_damaged_file_is_a_sentence(machine, tiny_size, content):
    path = written(machine)
    whole = path.read_bytes()
    damaged = {"empty": b"", "truncated": whole[:-100], "text": b"<html>no</html>" * 99, "half header": whole[:50]}
    path.write_bytes(damaged[content])
    with pytest.raises(WeightsError, match="damaged, cut short, or not a safetensors file"):
        load()


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_any_float_storage_is_accepted(machine, tiny_size, dtype):
    reference = output(load(weights=written(machine)))
    path = written(machine, lambda tensors: tensors.update({n: t.astype(dtype) for n, t in tensors.items()}))
    ours = output(load(weights=path))
    assert np.linalg.norm(ours - reference) < 2e-2 * np.linalg.norm(reference)


def test_integers_in_place_of_weights_are_refused(machine, tiny_size):
    path = written(machine, lambda tensors: tensors.update({n: t.astype(np.int32) for n, t in tensors.items()}))
    with pytest.raises(WeightsError, match="stored as I32"):
        load(weights=path)


@pytest.mark.parametrize("task", ["seg", "pose", "normal", "pointmap", "albedo", "matting"])
@pytest.mark.parametrize("level", list(zoo.LEVELS))
def test_every_task_runs_at_every_level(machine, tiny_size, task, level):
    written(machine, task=task)
    model = load(task, level)
    raw = inference.run(lambda progress: mx.eval(y := model.module(mx.array(PIXELS))) or y)
    for part in raw if isinstance(raw, tuple) else (raw,):
        assert mx.all(mx.isfinite(part)).item()
    dtypes = {tensor.dtype for name, tensor in tree_flatten(model.module.parameters()) if "blocks.0.ffn.w3" in name}
    row = zoo.level(level)
    packed = set() if row.bits is None else {mx.uint32, mx.float16 if row.mode == "affine" else mx.uint8}
    assert dtypes == packed | {getattr(mx, row.dtype)}


@pytest.mark.parametrize(("level", "limit"), [("fp16", 5e-3), ("bf16", 2e-2), ("8bit", 6e-2), ("4bit", 7e-1)])
def test_levels_cost_the_precision_they_should(machine, tiny_size, level, limit):
    path = written(machine)
    reference = output(load(weights=path))
    error = np.linalg.norm(output(load(level=level, weights=path)) - reference) / np.linalg.norm(reference)
    assert 1e-6 < error < limit


def test_convolutions_are_not_quantized(machine, tiny_size):
    written(machine, task="normal")
    model = load("normal", "4bit")
    packed = [n for n, t in tree_flatten(model.module.parameters()) if t.dtype == mx.uint32]
    assert len(packed) == 18 * 6
    assert all(".attn.w" in n or ".attn.proj." in n or ".ffn.w" in n for n in packed)


def test_a_kept_conversion_gives_the_same_numbers_and_needs_no_source(machine, tiny_size):
    path = written(machine)
    first = output(load(level="8bit"))
    assert [folder.name.rsplit("-", 1)[0] for folder in conversion.conversions()] == ["seg-tiny-8bit"]
    assert np.array_equal(output(load(level="8bit")), first)
    path.unlink()
    assert np.array_equal(output(load(level="8bit")), first)
    with pytest.raises(WeightsMissingError):
        load(level="4bit")


def test_a_conversion_of_another_file_is_not_taken(machine, tiny_size):
    written(machine)
    first = output(load(level="8bit"))
    written(machine, lambda tensors: tensors.update({"decode_head.conv_seg.bias": np.ones(29, np.float32)}))
    second = output(load(level="8bit"))
    assert np.abs(second - first).max() > 0.5


@pytest.mark.parametrize("damage", ["config", "model cut", "model gone", "older format"])
def test_a_damaged_conversion_is_made_again(machine, tiny_size, damage):
    written(machine)
    first = output(load(level="8bit"))
    (folder,) = conversion.conversions()
    model, config = folder / "model.safetensors", folder / "config.json"
    if damage == "config":
        config.write_text("{")
    elif damage == "model cut":
        model.write_bytes(model.read_bytes()[:-10])
    elif damage == "model gone":
        model.unlink()
    else:
        config.write_text(config.read_text().replace('"format": 2', '"format": 1'))
    assert np.array_equal(output(load(level="8bit")), first)
    assert conversion.conversions() == [folder]
    assert model.is_file()


def test_stop_while_converting_leaves_nothing(machine, tiny_size):
    written(machine)

    def stop(stage, done, total):
        if stage == "load" and done > total / 2:
            raise CancelledError

    with pytest.raises(CancelledError):
        load(level="8bit", progress=stop)
    assert conversion.conversions() == []


# ---- a cache that changes, is damaged, or takes nothing -------------------------------------------------------------


def only(machine) -> Path:
    (folder,) = conversion.conversions()
    return folder


def test_a_touched_conversion_is_verified_by_its_digest_and_taken(machine, tiny_size):
    written(machine)
    first = output(load(level="8bit"))
    model = only(machine) / "model.safetensors"
    os.utime(model, (1, 1))
    inode = model.stat().st_ino
    assert np.array_equal(output(load(level="8bit")), first)
    assert model.stat().st_ino == inode  # it was not made again
    assert conversion.read(model.parent).model_mtime_ns == model.stat().st_mtime_ns  # and is not verified again


@pytest.mark.parametrize("keeps_time", [False, True], ids=["and another time", "and its old time"])
def test_changed_bytes_of_the_same_size_are_noticed(machine, tiny_size, keeps_time):
    """With the old time put back, a load trusts them; asking thoroughly does not."""
    path = written(machine)
    first = output(load(level="8bit"))
    model = only(machine) / "model.safetensors"
    times = model.stat()
    content = bytearray(model.read_bytes())
    content[-1000:] = bytes(1000)
    model.write_bytes(content)
    if keeps_time:
        os.utime(model, ns=(times.st_atime_ns, times.st_mtime_ns))
        checkpoint, row = zoo.checkpoint("seg", "tiny"), zoo.level("8bit")
        assert conversion.is_whole(model.parent, checkpoint, row)
        assert not conversion.is_whole(model.parent, checkpoint, row, thorough=True)
        convert(path, level="8bit")
    assert np.array_equal(output(load(level="8bit")), first)


def test_the_conversion_of_another_task_in_its_place_is_not_taken(machine, tiny_size):
    written(machine)
    first = output(load(level="8bit"))
    mine = only(machine)
    shutil.rmtree(mine)
    written(machine, task="normal")
    load("normal", "8bit")
    only(machine).rename(mine)
    assert np.array_equal(output(load(level="8bit")), first)


def test_tensors_of_other_names_are_noticed_though_size_and_time_are_right(machine, tiny_size):
    written(machine)
    first = output(load(level="8bit"))
    model = only(machine) / "model.safetensors"
    times = model.stat()
    model.write_bytes(model.read_bytes().replace(b"blocks.3.ffn.w3.scales", b"blocks.3.ffn.w4.scales"))
    os.utime(model, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert np.array_equal(output(load(level="8bit")), first)
    model.unlink()
    assert np.array_equal(output(load(level="8bit")), first)


def test_a_conversion_that_vanishes_while_it_is_loaded_is_made_again(machine, tiny_size, tmp_path):
    written(machine)
    first = output(load(level="8bit"))

    def vanish(stage, done, total):
        if (done, total) == (0, 1):
            shutil.rmtree(tmp_path / "cache")

    assert np.array_equal(output(load(level="8bit", progress=vanish)), first)


def full_disk(cache: Path) -> None:
    mounted(cache, "size=256k")


def read_only_disk(cache: Path) -> None:
    mounted(cache, "size=9m,ro")


def mounted(cache: Path, options: str) -> None:
    cache.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(cache)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")


def file_in_the_way(cache: Path) -> None:
    cache.write_text("in the way")


@pytest.mark.parametrize(
    ("obstacle", "says"),
    [(full_disk, "its disk has 0.3 MB left"), (read_only_disk, "Read-only file system"), (file_in_the_way, "File exi")],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_cache_that_takes_nothing_is_said_once_and_is_no_error(machine, tiny_size, tmp_path, obstacle, says):
    reference = output(load(level="8bit", weights=written(machine)))
    cache = tmp_path / "cache"
    shutil.rmtree(cache)
    obstacle(cache)
    store.take_notices()
    try:
        assert np.array_equal(output(load(level="8bit")), reference)
        (notice,) = store.take_notices()
        assert "The conversion to 8bit was not kept" in notice
        assert says in notice
        assert "SAPIENS_MLX_CACHE" in notice
        load(level="8bit")
        assert store.take_notices() == []
    finally:
        with contextlib.suppress(OSError):
            subprocess.run(["umount", str(cache)], capture_output=True, check=False)


def test_what_was_not_kept_is_in_the_report_of_the_photo(machine, tiny_size, tmp_path):
    written(machine)
    (tmp_path / "cache").write_text("in the way")
    predictor = sm.load("seg", "tiny", "8bit")
    photo = np.zeros((40, 30, 3), np.uint8)
    assert any("was not kept" in notice for notice in predictor(photo).report.notices)
    assert not any("was not kept" in notice for notice in predictor(photo).report.notices)


# ---- several processes, and those that are killed -------------------------------------------------------------------


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


@pytest.mark.parametrize("level", ["4bit", "bf16"])
def test_memory_holds_the_result_and_never_the_wide_original(middling, level):
    measured = finished(start(call="measure", size="middling", level=level, source=str(middling)))
    assert middling.stat().st_size > 315e6
    assert measured["grown_bytes"] < measured["result_bytes"] + 110e6


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
        (has_begun, "a damaged one"),
        (is_half_written, "nothing"),
        (is_written, "a damaged one"),
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


def test_the_published_detector_file_loads(machine):
    rule.write_detector(machine / zoo.RTMDET_M.local_path)
    module = inference.run(store.load_detector, "rtmdet-m")
    assert sum(tensor.size for _, tensor in tree_flatten(module.parameters())) > 100_000


def test_a_layer_too_narrow_for_a_level_is_a_sentence(machine, tiny_size, monkeypatch):
    monkeypatch.setitem(zoo.SIZES, "tiny", zoo.Size("tiny", 32, 20, 2, 1, None, (128, 96)))
    path = machine / "seg/sapiens2_tiny_seg.safetensors"
    rule.write_checkpoint(path, rule.manifest("tiny/seg"))
    with pytest.raises(WeightsError, match="groups of 64"):
        load(level="4bit")
