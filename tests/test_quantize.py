"""Quantized layers: unpacking to the bit, products, errors, widths, memory, and every level on the demo weights."""

from pathlib import Path
from types import SimpleNamespace

import mlx.core as mx
import numpy as np
import pytest
import rule
from mlx.utils import tree_flatten

from sapiens_mlx import runtime, zoo
from sapiens_mlx.errors import WeightsError
from sapiens_mlx.models import models
from sapiens_mlx.nn import cpu, plain
from sapiens_mlx.nn.layers import QuantizedLinear
from sapiens_mlx.nn.unpack import unpack
from sapiens_mlx.runtime import inference
from sapiens_mlx.weights import original, quantize, store

PACKED = [name for name, row in zoo.LEVELS.items() if row.bits is not None]
DENSE_TASKS = [name for name in zoo.TASKS if name != "detect"]


def options(level: str) -> dict:
    row = zoo.level(level)
    return {"group_size": row.group_size, "bits": row.bits, "mode": row.mode}


def random_packed(level: str, rows: int, columns: int) -> list[mx.array]:
    """Any bits at all as codes and, where scales are codes, every scale there is: what no real weight would show."""
    row, rng = zoo.level(level), np.random.default_rng(rows * columns)
    weight = mx.array(rng.integers(0, 2**32, (rows, columns * row.bits // 32), dtype=np.uint32))
    groups = (rows, columns // row.group_size)
    if row.mode == "affine":
        return [weight, *(mx.array(rng.standard_normal(groups, dtype=np.float32)) for _ in range(2))]
    return [weight, mx.array(np.resize(np.arange(256, dtype=np.uint8), groups))]


def unpacked(level: str, packed: list[mx.array]) -> np.ndarray:
    weight, scales, *biases = (np.array(tensor) for tensor in packed)
    out = np.empty((len(weight), weight.shape[1] * 32 // zoo.level(level).bits), np.float32)
    with np.errstate(invalid="ignore", over="ignore"):  # one of the scales is infinite
        unpack(weight, scales, biases[0] if biases else None, out, **options(level))
    return out


@pytest.mark.parametrize("shape", [(1, 64), (3, 192), (96, 192), (64, 576), (129, 1088), (300, 4096)])
@pytest.mark.parametrize("level", PACKED)
def test_unpacking_gives_the_bits_that_mlx_gives(level, shape):
    packed = random_packed(level, *shape)
    ours = unpacked(level, packed)
    theirs = np.array(mx.dequantize(*packed, dtype=mx.float32, **options(level)))
    number = ~np.isnan(theirs)
    assert number.mean() > 0.9
    assert np.array_equal(np.isnan(ours), ~number)
    assert np.array_equal(ours.view(np.uint32)[number], theirs.view(np.uint32)[number])


@pytest.mark.parametrize("level", PACKED)
def test_a_quantized_layer_multiplies_by_the_weight_it_stands_for(level):
    weight = rule.noise("weight", (96, 192)) / 14
    x = mx.array(rule.noise("x", (2, 37, 192)))
    row = zoo.level(level)
    tensors = quantize.pack("layer.weight", mx.array(weight), row)
    dense = unpacked(level, [t.astype(mx.float32) if t.dtype == mx.float16 else t for t in tensors.values()])
    expected = np.array(x, np.float64) @ dense.T
    for ops in (cpu, plain):  # what a GPU runs must at least take the same tensors
        layer = QuantizedLinear((96, 192), **options(level), ops=ops)
        layer.load_weights([(name.split(".")[1], t) for name, t in tensors.items()] + [("bias", mx.zeros((96,)))])
        assert np.abs(np.array(layer(x)) - expected).max() < 1e-5, ops.__name__
        assert np.array_equal(np.array(layer.unpacked()), dense)


@pytest.mark.skipif(runtime.device() != "cpu", reason="a GPU multiplies packed weights as they are")
def test_the_memory_for_unpacking_goes_with_the_last_network(machine, tiny_size):
    def run(progress):
        rule.write_tiny(machine, "seg")
        model = models.estimator("seg", "tiny", "8bit", None, progress)
        model.run(mx.zeros((1, 128, 96, 3)))
        before = cpu._kept.memory.size
        models.clear()
        return before, cpu._kept.memory

    before, after = inference.run(run)
    assert before > 1000
    assert after is None


def test_layers_one_after_the_other_do_not_spoil_each_other():
    """On the CPU they are unpacked into the same memory, while MLX would compute their products later."""
    x = mx.array(rule.noise("x", (5, 192)))
    products, expected = [], []
    for number, (level, rows) in enumerate([("4bit", 640), ("8bit", 96), ("nvfp4", 64), ("6bit", 640)]):
        packed = mx.quantize(mx.array(rule.noise(f"weight {number}", (rows, 192))), **options(level))
        weight, scales, *biases = packed
        products.append(cpu.quantized_linear(x, weight, scales, biases[0] if biases else None, **options(level)))
        expected.append(x @ mx.dequantize(*packed, dtype=mx.float32, **options(level)).T)
    for ours, theirs in zip(products, expected, strict=True):
        assert np.abs(np.array(ours) - np.array(theirs)).max() < 1e-4


@pytest.mark.parametrize(
    ("level", "limit"),
    [
        ("8bit", 0.006),
        ("6bit", 0.024),
        ("5bit", 0.05),
        ("4bit", 0.1),
        ("mxfp8", 0.03),
        ("mxfp4", 0.13),
        ("nvfp4", 0.11),
    ],
)
def test_a_weight_loses_no_more_than_its_level_says(level, limit):
    """8bit at 0.006 tells scales made from float32 (0.54 %) from those made from bfloat16 (0.87 %)."""
    weight = rule.noise("weight", (512, 1024)) / 32
    tensors = quantize.pack("layer.weight", mx.array(weight), zoo.level(level))
    stored = unpacked(level, [t.astype(mx.float32) if t.dtype == mx.float16 else t for t in tensors.values()])
    assert 0.5 * limit < np.linalg.norm(stored - weight) / np.linalg.norm(weight) < limit


@pytest.mark.parametrize(
    ("level", "columns", "suiting"),
    [
        ("4bit", 96, "fp32, fp16, bf16, mxfp8, mxfp4, nvfp4"),
        ("mxfp8", 48, "fp32, fp16, bf16"),
        ("nvfp4", 48, "fp32, fp16, bf16"),  # whole groups of 16, and yet too narrow for Metal's kernels
    ],
)
def test_a_width_that_does_not_suit_is_a_sentence_with_the_levels_that_do(level, columns, suiting):
    with pytest.raises(WeightsError) as problem:
        quantize.pack("backbone.blocks.3.attn.wq.weight", mx.zeros((8, columns)), zoo.level(level))
    said = str(problem.value)
    assert said.startswith(f"backbone.blocks.3.attn.wq.weight has 8 rows and {columns} columns, and {level} needs")
    assert said.endswith(suiting)


def test_a_width_that_does_not_suit_is_no_fault_of_the_file():
    with (
        pytest.raises(WeightsError) as problem,
        original.naming(Path("weights/sapiens2_0.4b_seg.safetensors")),
    ):
        quantize.pack("backbone.blocks.3.attn.wq.weight", mx.zeros((8, 96)), zoo.level("4bit"))
    said = str(problem.value)
    assert said.startswith("sapiens2_0.4b_seg.safetensors: backbone.blocks.3.attn.wq.weight has 8 rows")
    assert said.endswith("fp32, fp16, bf16, mxfp8, mxfp4, nvfp4.") and "remove" not in said


def test_every_published_network_can_be_packed_at_every_level():
    for name in rule.manifests():
        if not name.startswith(("tiny/", "rtmdet")):
            for tensor, shape in rule.manifest(name).items():
                if quantize.is_quantized(tensor.removesuffix(".weight"), zoo.level("4bit")):
                    assert all(quantize.takes(zoo.level(level), shape[1]) for level in PACKED), (name, tensor, shape)


def test_the_share_counts_weights_and_neither_scales_nor_bytes(machine, tiny_size):
    shapes = rule.tiny_shapes("pointmap")
    rule.write_tiny(machine, "pointmap")
    count = {name: int(np.prod(shape)) for name, shape in shapes.items()}
    packed = sum(size for name, size in count.items() if quantize.QUANTIZED.fullmatch(name.removesuffix(".weight")))
    for level in ("8bit", "5bit", "mxfp4", "nvfp4"):
        module = inference.run(store.load, "pointmap", "tiny", level).module
        assert quantize.quantized_share(module) == pytest.approx(packed / sum(count.values()), rel=1e-12)
    assert quantize.quantized_share(inference.run(store.load, "pointmap", "tiny", "bf16").module) == 0


@pytest.mark.slow
@pytest.mark.parametrize("task", DENSE_TASKS)
@pytest.mark.parametrize("level", list(zoo.LEVELS))
def test_the_demo_weights_run_at_every_level(machine, task, level):
    model = inference.run(store.load, task, "demo", level)
    pixels = rule.noise("pixels", (1, *model.input_hw, 3))

    def run(progress) -> SimpleNamespace:
        before = model.nbytes
        raw = model.module(mx.array(pixels))
        arrays = [np.array(part.astype(mx.float32)) for part in (raw if isinstance(raw, tuple) else (raw,))]
        return SimpleNamespace(arrays=arrays, grown_bytes=model.nbytes - before)

    outcome = inference.run(run)
    assert all(np.isfinite(array).all() for array in outcome.arrays)
    assert outcome.grown_bytes == 0
    packed = sum(tensor.dtype == mx.uint32 for _, tensor in tree_flatten(model.module.parameters()))
    linear = 6 * len(model.module.backbone.blocks) + (2 if task == "pointmap" else 0)
    assert packed == (0 if zoo.level(level).bits is None else linear)
