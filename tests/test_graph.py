"""The graph that a GPU would run, by inspection: which operations, of which types, and what is fused.

No GPU is needed: the plain network is built by an argument and traced, not computed. Attention and norms show on the
CPU as their parts, so their calls are recorded.
"""

import shutil

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten, tree_map
from slowly import slowly

from sapiens_mlx import runtime, zoo
from sapiens_mlx.bench.arithmetic import graph
from sapiens_mlx.models import Models
from sapiens_mlx.nn import plain
from sapiens_mlx.nn.backbone import Backbone, BackboneConfig
from sapiens_mlx.nn.heads import DeconvHeadConfig, Estimator, ShuffleHeadConfig
from sapiens_mlx.nn.layers import Part, QuantizedLinear
from sapiens_mlx.runtime import inference
from sapiens_mlx.weights import seeded
from sapiens_mlx.weights.quantize import use_packed_layers

NETWORKS = [
    (row.name, size)
    for row in zoo.TASKS.values()
    for size in row.sizes
    if row.name != "detect" and size not in ("demo", "1b-4k")  # one is in files, one evaluates on the way
]
FLOATS = {"fp16": mx.float16, "bf16": mx.bfloat16}


def in_dtype(module, dtype):
    """Its weights in the type in which a GPU has them, still lazy."""
    floats = (mx.float32, mx.float16)
    module.update(tree_map(lambda one: one.astype(dtype) if one.dtype in floats else one, module.parameters()))
    return module


@pytest.mark.parametrize("task, size", NETWORKS)
def test_no_convolution_is_dilated_with_zeros(task, size):
    """MLX on Metal would unfold the zeros of a transposed convolution's stride into a buffer of gigabytes."""
    convolutions = [step for step in graph(seeded.network(task, size), (1024, 768)) if step["name"] == "Convolution"]
    assert (len(convolutions) > 0) == (task != "features")
    for step in convolutions:
        assert list(step["arguments"][4]) == [1, 1]


def test_a_dilated_convolution_would_be_seen():
    weight = mx.zeros((5, 4, 4, 3))
    network = lambda pixels: mx.conv_transpose2d(pixels, weight, stride=2, padding=1)  # noqa: E731
    dilations = [step["arguments"][4] for step in graph(network, (8, 8)) if step["name"] == "Convolution"]
    assert [list(dilation) for dilation in dilations] == [[2, 2]]


@pytest.fixture
def fused_calls(monkeypatch):
    """The calls of MLX's fused operations: (name, shapes, dtypes, option). In the graph something small is instead."""
    calls = []

    def attention(q, k, v, *, scale, mask=None):
        calls.append(("attention", (q.shape, k.shape, v.shape), {q.dtype, k.dtype, v.dtype}, scale))
        return q

    def rms_norm(x, weight, eps):
        calls.append(("norm", (x.shape,), {x.dtype, weight.dtype}, eps))
        return x * weight

    monkeypatch.setattr(mx.fast, "scaled_dot_product_attention", attention)
    monkeypatch.setattr(mx.fast, "rms_norm", rms_norm)
    return calls


@pytest.mark.parametrize("size", [size for task, size in NETWORKS if task == "features"])
@pytest.mark.parametrize("level", FLOATS)
def test_attention_of_every_size_takes_a_fused_kernel_in_16_bit(fused_calls, size, level):
    row = zoo.SIZES[size]
    head_dim = row.embed_dim // row.num_heads
    graph(in_dtype(seeded.network("features", size), FLOATS[level]), (1024, 768), FLOATS[level])
    attention = [call for call in fused_calls if call[0] == "attention"]
    assert len(attention) == row.num_layers
    for _, (q, k, v), dtypes, scale in attention:
        assert q[-1] in (64, 80, 128)  # Metal's fused kernels
        assert q[-1] - head_dim == {76: 4}.get(head_dim, 0)
        assert q == (1, row.num_heads, 3081, q[-1])
        assert k == v == (1, k[1], 3081, q[-1])
        assert row.num_heads % k[1] == 0
        assert dtypes == {FLOATS[level]}
        assert scale == pytest.approx(head_dim**-0.5)  # of the width without padding


@pytest.mark.parametrize("level", FLOATS)
@pytest.mark.parametrize("task", ["seg", "pose", "normal", "pointmap", "albedo", "matting"])
def test_nothing_of_a_16_bit_network_is_computed_in_float32_but_norms(fused_calls, monkeypatch, task, level):
    size = zoo.task_row(task).sizes[1]
    normed = []
    monkeypatch.setattr(plain, "instance_norm_silu", lambda x, eps: normed.append(x.dtype) or x)
    steps = graph(in_dtype(seeded.network(task, size), FLOATS[level]), (1024, 768), FLOATS[level])
    large = [step for step in steps for _, shape, _ in step["outputs"] if np.prod(shape) > 50_000]
    assert len(large) > 100
    # Lazy weights are made in float32 here; what is computed with them is what depends on the input.
    reached = {"input"}
    wide = []
    for step in steps:
        if any(name in reached for name, _, _ in step["inputs"]):
            reached |= {name for name, _, _ in step["outputs"]}
            wide += [step["name"] for _, _, dtype in step["outputs"] if dtype == mx.float32]
    assert wide == []
    assert set(normed) <= {FLOATS[level]}
    assert {dtype for name, _, dtypes, _ in fused_calls if name == "norm" for dtype in dtypes} == {FLOATS[level]}


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_instance_norm_accumulates_in_float32_and_gives_back_what_it_got(dtype):
    steps = graph(lambda pixels: plain.instance_norm_silu(pixels, 1e-5), (64, 48), dtype)
    assert steps[-1]["outputs"][0][2] == dtype
    assert {step["inputs"][0][2] for step in steps if step["name"] == "Reduce"} == {mx.float32}


@pytest.mark.parametrize("level", [name for name, row in zoo.LEVELS.items() if row.bits])
def test_packed_layers_stay_packed(level):
    """A quantized product, not a weight that is unpacked for a dense one."""
    module = seeded.network("features", "0.4b")
    use_packed_layers(module, zoo.level(level), plain)
    packed = [layer for layer in module.modules() if isinstance(layer, QuantizedLinear)]
    assert len(packed) == 24 * 6
    for number, layer in enumerate(packed):  # what is equal would be computed once
        layer.weight = mx.full(layer.weight.shape, number, mx.uint32)
    steps = graph(module, (1024, 768))
    assert sum(step["name"] == "QuantizedMatmul" for step in steps) == len(packed)
    assert not [step for step in steps if "Dequantize" in step["name"]]


def test_on_a_gpu_the_parts_are_compiled_and_what_is_held_for_reuse_is_bounded(machine, monkeypatch):
    limits = []
    monkeypatch.setattr(runtime, "device", lambda: "gpu")
    monkeypatch.setattr(runtime, "memory_limit_bytes", lambda: 8_000_000_000)
    monkeypatch.setattr(mx, "set_cache_limit", limits.append)
    monkeypatch.setattr(mx, "set_wired_limit", lambda limit: pytest.fail("wired memory is the system's matter"))
    model = inference.run(lambda progress: Models().estimator("seg", "demo", "8bit", None, progress))
    assert limits == [2_000_000_000]
    assert len(parts(model.module)) == zoo.SIZES["demo"].num_layers + 1
    assert all(part._compiled is not None for part in parts(model.module))
    assert model.backbone.blocks[0].ffn._ops is plain
    tensors = [tensor.dtype for _, tensor in tree_flatten(model.module.parameters())]
    assert set(tensors) == {mx.bfloat16, mx.uint32}


# ---- compiled parts -------------------------------------------------------------------------------------------------

CONFIG = BackboneConfig(32, 2, (2, 1, 2), 64)
HEADS = {
    "seg": DeconvHeadConfig(32, (8, 6), (6,), 5, "conv_seg"),
    "normal": ShuffleHeadConfig(32, (8, 6), (6,), 3, "conv_normal"),
    "albedo": ShuffleHeadConfig(32, (8, 6), (6,), 3, "conv_albedo", weighted_norm=True),
}


def parts(module):
    return [part for part in module.modules() if isinstance(part, Part)]


@pytest.mark.skipif(shutil.which("g++") is None, reason="MLX compiles for the CPU by g++")
@pytest.mark.parametrize("name", [one if one == "seg" else slowly(one) for one in HEADS])
def test_compiled_it_computes_the_same(name):
    module = Estimator(CONFIG, HEADS[name])
    pixels = mx.random.normal((2, 64, 48, 3))
    expected = module(pixels)
    mx.eval(module.parameters(), expected)
    assert len(parts(module)) == 3 + 1  # the blocks, and the head
    for part in parts(module):
        part.compile()
    assert np.abs(np.array(module(pixels)) - np.array(expected)).max() < 1e-5
    assert module(pixels[:1, :32]).shape[:3] == (
        1,
        *(n // 2 if axis == 0 else n for axis, n in enumerate(expected.shape[1:3])),
    )


def test_its_parts_are_traced_once_for_all_passes_of_a_shape(monkeypatch):
    module, traced = Backbone(CONFIG), []
    for block in parts(module):
        forward = block.forward
        monkeypatch.setattr(block, "forward", lambda *x, forward=forward: traced.append(x[0].shape) or forward(*x))
        block.compile()
    for _ in range(3):
        module(mx.zeros((1, 64, 48, 3)))  # not evaluated, so that no compiler is needed
    assert len(traced) == 3
    module(mx.zeros((2, 64, 48, 3)))
    assert len(traced) == 6
