"""RTMDet against the reference: names and shapes of the published checkpoint, maps of every stage, logits, distances.

data/rtmdet_io.npz holds the reference's small case (its rtmdet_io at 256 x 256, channels last but for the pixels).
"""

import json
import re

import mlx.core as mx
import numpy as np
import pytest
import rule
from mlx.utils import tree_flatten
from safetensors.numpy import load_file

from sapiens_mlx.errors import WeightsError
from sapiens_mlx.nn import cpu, plain
from sapiens_mlx.nn.rtmdet import ChannelAttention, RTMDet
from sapiens_mlx.weights import torch_file
from sapiens_mlx.weights.architecture_rtmdet import rtmdet_config
from sapiens_mlx.weights.layouts import KEEP, RTMDET

SMALL = np.load(rule.DATA / "rtmdet_io.npz")
OPS = pytest.mark.parametrize("ops", [plain, cpu], ids=["plain", "cpu"])
# Rounding noise grows a hundredfold on the way through these random networks: an evaluation in float64 is up to 8e-4
# away from the reference's own logits. cpu normalises in float64; plain cannot, since GPUs have none.
LOGIT_LIMIT = {plain: 2e-3, cpu: 1e-3}


def network(tensors: dict[str, np.ndarray], ops=plain) -> RTMDet:
    module = RTMDet(rtmdet_config({name: tensor.shape for name, tensor in tensors.items()}), ops)
    ours = {n: RTMDET.change(n).apply(mx.array(t)) for n, t in tensors.items() if not RTMDET.is_ignored(n)}
    module.load_weights(list(ours.items()), strict=True)
    return module


@pytest.fixture(scope="module")
def tiny() -> dict[str, np.ndarray]:
    return torch_file.read_tensors(rule.DATA / "rtmdet_tiny.pth")


def run(module: RTMDet, pixels: np.ndarray, ops) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Logits and distances for (B, 3, H, W) pixels."""
    with mx.stream(mx.cpu if ops is cpu else mx.default_device()):
        logits, distances = module(rule.nhwc(pixels.astype(np.float32)))
        return [np.array(x) for x in logits], [np.array(x) for x in distances]


def assert_outputs(outputs, logits, distances, ops) -> None:
    for level in range(3):
        assert outputs[0][level].shape == logits[level].shape
        assert np.abs(outputs[0][level] - logits[level]).max() < LOGIT_LIMIT[ops]
        assert (np.abs(outputs[1][level] - distances[level]) / distances[level]).max() < 1e-3


def test_names_and_shapes_of_the_published_checkpoint():
    shapes = rule.manifest("rtmdet-m-person")
    module = RTMDet(rtmdet_config(shapes))
    ours = {n: RTMDET.change(n).file_shape(tuple(t.shape)) for n, t in tree_flatten(module.parameters())}
    assert ours == {n: s for n, s in shapes.items() if not RTMDET.is_ignored(n)}
    # The stem's first weight, (24, 3, 3, 3), has the same shape in either order of axes: only its name tells.
    changed = {n for n in ours if RTMDET.change(n) is not KEEP}
    assert changed == {n for n, shape in shapes.items() if len(shape) == 4}


@pytest.mark.parametrize(
    "change",
    [
        lambda shapes: shapes.pop("backbone.stem.2.conv.weight"),
        lambda shapes: shapes.pop("backbone.stage3.0.conv.weight"),
        lambda shapes: shapes.update({"neck.out_convs.0.conv.weight": (192,)}),
    ],
)
def test_a_checkpoint_without_the_telling_tensors_is_refused(change):
    shapes = rule.manifest("rtmdet-m-person")
    change(shapes)
    with pytest.raises(WeightsError, match=r"the tensor (backbone|neck)\.\S+\.conv\.weight"):
        rtmdet_config(shapes)


@OPS
def test_every_stage_gives_the_reference_maps(tiny, ops):
    module = network(tiny, ops)
    with mx.stream(mx.cpu if ops is cpu else mx.default_device()):
        maps = module.backbone(rule.nhwc(SMALL["pixels"].astype(np.float32)))
        stages = {"backbone": maps, "neck": module.neck(maps)}
        for name, outputs in stages.items():
            for level, output in enumerate(outputs):
                expected = SMALL[f"{name}_{level}_every_29th"]
                found = np.array(output).ravel()[::29]
                assert np.linalg.norm(found - expected) / np.linalg.norm(expected) < 3e-4, (name, level)


@OPS
def test_small_input_gives_the_reference_logits_and_distances(tiny, ops):
    outputs = run(network(tiny, ops), SMALL["pixels"], ops)
    logits, distances = ([SMALL[f"{kind}_{level}"] for level in range(3)] for kind in ("logits", "distances"))
    assert_outputs(outputs, logits, distances, ops)


def reference_outputs(case: dict[str, np.ndarray], tag: str = "") -> tuple[list[np.ndarray], list[np.ndarray]]:
    return tuple([case[f"{tag}{kind}_{level}"].transpose(0, 2, 3, 1) for level in range(3)] for kind in ("cls", "bbox"))


@OPS
def test_full_input_gives_the_reference_logits_and_distances(tiny, ops, reference):
    case = load_file(reference / "tiny/rtmdet_io.safetensors")
    pixels = case["in640x640.pixel_values_quarter"].repeat(4, 2).repeat(4, 3)
    assert_outputs(run(network(tiny, ops), pixels, ops), *reference_outputs(case, "in640x640."), ops)


@pytest.mark.full
@OPS
def test_full_size_network_gives_the_reference_logits_and_distances(ops, reference):
    case = load_file(reference / "full/rtmdet_m.safetensors")
    shapes = json.loads((reference / "manifests/rtmdet-m-person.json").read_text())["tensors"]
    tensors = {}
    for name, shape in shapes.items():
        seed = re.sub(r"((?:cls|reg)_convs)\.\d(\.\d+\.conv\.)", r"\1.0\2", name)  # the levels share these
        given = case.get(f"override.{name}")
        tensors[name] = rule.tensor(seed, tuple(shape)) if given is None else given.reshape(shape)
    pixels = case["pixel_values_quarter"].repeat(4, 2).repeat(4, 3)
    assert_outputs(run(network(tensors, ops), pixels, ops), *reference_outputs(case), ops)


def test_photos_of_a_batch_do_not_touch_each_other(tiny):
    module = network(tiny, cpu)
    pixels = np.random.default_rng(1).standard_normal((2, 3, 64, 96), dtype=np.float32)
    together = run(module, pixels, cpu)
    for photo in range(2):
        for both, alone in zip(together, run(module, pixels[photo : photo + 1], cpu), strict=True):
            for ours, expected in zip(both, alone, strict=True):
                np.testing.assert_allclose(ours[photo : photo + 1], expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16], ids=["float16", "bfloat16"])
def test_sixteen_bit_weights_compute_in_sixteen_bit(tiny, dtype):
    module = network(tiny)
    module.set_dtype(dtype)
    logits, distances = module(mx.zeros((1, 64, 64, 3), dtype))
    assert {x.dtype for x in (*logits, *distances)} == {dtype}


def test_channel_attention_does_not_overflow_in_float16():
    attention = ChannelAttention(1)
    attention.fc.weight, attention.fc.bias = mx.ones((1, 1, 1, 1), mx.float16), mx.zeros((1,), mx.float16)
    gated = attention(mx.full((1, 200, 200, 1), -2.0, mx.float16))  # the sum of it is beyond float16
    assert gated[0, 0, 0, 0].item() == pytest.approx(-2 / 6, abs=1e-3)


def test_a_size_that_strides_do_not_divide_is_refused(tiny):
    with pytest.raises(ValueError, match="multiples of 32, not 48 x 64"):
        network(tiny)(mx.zeros((1, 48, 64, 3)))
