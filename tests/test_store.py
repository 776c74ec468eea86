"""From files to modules: strict loading, and every level."""

import mlx.core as mx
import numpy as np
import pytest
import rule
from mlx.utils import tree_flatten
from slowly import slowly
from tiny_models import PIXELS, load, output, written

from sapiens_mlx import zoo
from sapiens_mlx.errors import WeightsError
from sapiens_mlx.runtime import inference
from sapiens_mlx.weights import store


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
@pytest.mark.parametrize("level", [one if one in ("fp16", "4bit") else slowly(one) for one in zoo.LEVELS])
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
