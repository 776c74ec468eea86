"""The Sapiens2 networks against the reference: names and shapes of every checkpoint, and numbers of small ones."""

from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
import rule
from mlx.utils import tree_flatten
from safetensors.numpy import load_file

from sapiens_mlx.nn import cpu, plain, rope
from sapiens_mlx.nn.backbone import Backbone
from sapiens_mlx.nn.heads import Estimator
from sapiens_mlx.weights import architecture, layouts

EXPECTED = np.load(rule.DATA / "tiny_expected.npz")
HEAD_CASES = {
    "seg": ("conv_seg", "logits"),
    "pose": ("conv_pose", "heatmaps"),
    "normal": ("conv_normal", "normal"),
    "pointmap": ("conv_pointmap", "pointmap"),
    "albedo": ("conv_albedo", "albedo"),
}
BACKBONE_CASES = {
    "pretrain": ("raw_tokens", (2, 3, 256, 192)),
    "gqa4": ("features", (2, 3, 128, 160)),
    "tokenizer4k": ("raw_tokens", (1, 3, 1024, 768)),
    "headdim76": ("features", (1, 3, 256, 192)),
    "headdim80": ("features", (1, 3, 256, 192)),
}
OPS = pytest.mark.parametrize("ops", [plain, cpu], ids=["plain", "cpu"])


def built(shapes, final=None, ops=plain, rope_dtype=mx.bfloat16):
    if final is None:
        return Backbone(architecture.backbone_config(shapes, "", rope_dtype), ops)
    config = architecture.backbone_config(shapes, "backbone.", rope_dtype)
    return Estimator(config, architecture.head_config(shapes, final), ops)


def loaded(case, final=None, ops=plain, rope_dtype=mx.bfloat16):
    shapes = rule.manifest(f"tiny/{case}")
    module = built(shapes, final, ops, rope_dtype)
    tensors = rule.tensors(shapes, salt=f"tiny/{case}/")
    change = layouts.ORIGINAL.change
    module.load_weights([(n, change(n).apply(mx.array(t))) for n, t in tensors.items()], strict=True)
    return module


def sampled(case: str, key: str, ours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Our values and the reference's at the places that were kept of an output."""
    assert ours.shape == tuple(EXPECTED[f"{case}.{key}.shape"])
    return ours.ravel()[EXPECTED[f"{case}.{key}.index"]], EXPECTED[f"{case}.{key}.values"]


def relative(ours: np.ndarray, reference: np.ndarray) -> float:
    return float(np.linalg.norm(ours - reference) / np.linalg.norm(reference))


def assert_close(case: str, key: str, ours: np.ndarray, limit: float = 3e-4) -> None:
    values, reference = sampled(case, key, ours)
    assert relative(values, reference) < limit
    assert np.abs(values - reference).max() < 5e-3


def nchw(x: mx.array) -> np.ndarray:
    return np.array(x).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("name", [n for n in rule.manifests() if not n.startswith(("tiny/", "rtmdet"))])
def test_names_and_shapes_of_every_published_checkpoint(name):
    shapes = rule.manifest(name)
    task = name.split("-")[0]
    module = built(shapes, None if task == "pretrain" else f"conv_{task}")
    ours = {n: layouts.ORIGINAL.change(n).file_shape(tuple(t.shape)) for n, t in tree_flatten(module.parameters())}
    assert ours == {n: s for n, s in shapes.items() if not layouts.ORIGINAL.is_ignored(n)}


@OPS
@pytest.mark.parametrize("case", HEAD_CASES)
def test_task_networks_give_the_reference_output(case, ops):
    final, key = HEAD_CASES[case]
    module = loaded(case, final, ops)
    batch = 2 if case == "pointmap" else 1
    size = (128, 96) if case in ("seg", "pose") else (256, 192)
    pixels = rule.nhwc(rule.pixel_values(case, (batch, 3, *size)))
    assert_close(case, "features", nchw(module.backbone.feature_map(pixels)))
    output = module(pixels)
    if case == "pointmap":
        output, scale = output
        assert_close(case, "scale", np.array(scale))
    assert_close(case, key, nchw(output))


@OPS
@pytest.mark.parametrize("case", BACKBONE_CASES)
def test_backbones_give_the_reference_tokens(case, ops):
    key, shape = BACKBONE_CASES[case]
    module = loaded(case, ops=ops)
    pixels = rule.nhwc(rule.pixel_values(case, shape))
    output = np.array(module(pixels)) if key == "raw_tokens" else nchw(module.feature_map(pixels))
    assert_close(case, key, output)


def test_grouped_heads_in_the_wrong_order_would_be_seen():
    """The tolerance tells k0 k0 k1 k1 from k0 k1 k0 k1."""
    key, shape = BACKBONE_CASES["gqa4"]

    class Interleaved:
        swiglu = staticmethod(plain.swiglu)

        @staticmethod
        def attention(q, k, v, scale):
            order = mx.array([0, 2, 1, 3])
            if k.shape[2] == q.shape[2]:
                return plain.attention(q, k, v, scale)
            out = plain.attention(q[:, :, order], k, v, scale)
            return out.reshape(*q.shape)[:, :, order].reshape(*out.shape)

    wrong = loaded("gqa4", ops=Interleaved).feature_map(rule.nhwc(rule.pixel_values("gqa4", shape)))
    assert relative(*sampled("gqa4", key, nchw(wrong))) > 3e-3


def test_rope_in_float32_differs_as_much_as_the_reference_says():
    key, shape = BACKBONE_CASES["pretrain"]
    pixels = rule.nhwc(rule.pixel_values("pretrain", shape))
    wide = np.array(loaded("pretrain", rope_dtype=mx.float32)(pixels))
    assert 3e-4 < relative(*sampled("pretrain", key, wide)) < 5e-3


@pytest.mark.parametrize("head_dim", [8, 16, 64, 76, 80])
def test_rope_periods_are_the_references_to_the_bit_and_tables_within_a_step_of_bfloat16(head_dim):
    assert np.array_equal(rope.periods(head_dim), EXPECTED[f"rope.periods.d{head_dim}"])
    for grid_hw, step in (((8, 6), 1), ((16, 12), 1), ((64, 48), 29)):
        for name, table in zip(("sin", "cos"), rope.tables(grid_hw, head_dim), strict=True):
            theirs = EXPECTED[f"rope.{name}.d{head_dim}.{grid_hw[0]}x{grid_hw[1]}"]
            assert np.allclose(table[::step], theirs, rtol=2**-8, atol=0)


@OPS
def test_subpixel_form_of_a_transposed_convolution_is_exact(ops):
    weight = rule.noise("weight", (5, 7, 4, 4))  # (in, out, 4, 4)
    x = rule.noise("x", (2, 3, 6, 5))
    from sapiens_mlx.nn.layers import Deconv

    layer = Deconv(5, 7, ops)
    layer.weight = layouts.SUBPIXEL.apply(mx.array(weight))
    expected = np.zeros((2, 2 * 3 + 2, 2 * 6 + 2, 7))  # the definition: every input pixel adds its 4 x 4 stamp
    for row in range(3):
        for column in range(6):
            stamp = np.einsum("bi,iokl->bklo", x[:, row, column], weight)
            expected[:, 2 * row : 2 * row + 4, 2 * column : 2 * column + 4] += stamp
    assert np.abs(np.array(layer(mx.array(x))) - expected[:, 1:-1, 1:-1]).max() < 1e-4


@pytest.mark.parametrize("head_dim", [16, 64, 76, 80])
@pytest.mark.parametrize("kv_heads", [4, 2])
def test_cpu_attention_is_attention(head_dim, kv_heads):
    q = mx.array(rule.noise("q", (2, 300, 4, head_dim)))  # 300 rows: one full block and a rest
    k, v = (mx.array(rule.noise(n, (2, 300, kv_heads, head_dim))) for n in "kv")
    wide = [np.repeat(np.array(x), 4 // kv_heads, axis=2).astype(np.float64) for x in (k, v)]
    scores = np.einsum("blhd,bmhd->bhlm", np.array(q, np.float64), wide[0]) * head_dim**-0.5
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    expected = np.einsum("bhlm,bmhd->blhd", weights / weights.sum(-1, keepdims=True), wide[1]).reshape(2, 300, -1)
    for ops in (plain, cpu):
        assert np.abs(np.array(ops.attention(q, k, v, head_dim**-0.5)) - expected).max() < 1e-5


@pytest.mark.parametrize("size", [1e-3, 1, 3, 10, 1e3])
def test_cpu_attention_of_scores_of_any_size(size):
    """Scores up to a bound go to exp as they are, larger ones less their row's largest."""
    q, k, v = (mx.array(rule.noise(name, (1, 300, 2, 16))) for name in "qkv")
    q, k = q * size, k * size
    expected = np.array(plain.attention(q, k, v, 0.25))
    assert np.abs(np.array(cpu.attention(q, k, v, 0.25)) - expected).max() < 2e-5


@pytest.mark.parametrize("shape", [(1, 1, 1, 4), (2, 37, 50, 24), (1, 300, 200, 32)])
def test_cpu_operations_equal_the_plain_ones(shape):
    x = mx.array(rule.noise("x", shape)) * 40  # far enough out for exp to overflow
    weight, bias = mx.array(rule.noise("w", (6, 3, 3, shape[-1]))), mx.array(rule.noise("b", (6,)))
    for name, arguments in {
        "swiglu": (x,),
        "silu": (x,),
        "conv3x3": (x, weight, bias),
        "deconv4x4": (x, mx.array(rule.noise("v", (4 * 5, 2, 2, shape[-1])))),
    }.items():
        ours, theirs = (np.array(getattr(ops, name)(*arguments)) for ops in (cpu, plain))
        assert np.isfinite(ours).all(), name
        assert np.abs(ours - theirs).max() <= 2e-6 * np.abs(theirs).max() + 1e-6, name


@pytest.mark.parametrize("name, kernel, channels_out", [("conv3x3", 3, 5), ("deconv4x4", 2, 20)])
@pytest.mark.parametrize("height", [1, 2, 7, 8])
def test_convolutions_in_bands_fit_together_at_their_seams(monkeypatch, name, kernel, channels_out, height):
    monkeypatch.setattr(cpu, "UNFOLDED_VALUES", 1)  # a row at a time, on every thread
    x = mx.array(rule.noise("x", (2, height, 6, 3)))
    arguments = [x, mx.array(rule.noise("w", (channels_out, kernel, kernel, 3)))]
    if name == "conv3x3":
        arguments.append(mx.array(rule.noise("b", (channels_out,))))
    ours, theirs = (np.array(getattr(ops, name)(*arguments)) for ops in (cpu, plain))
    assert np.abs(ours - theirs).max() < 1e-5


@pytest.mark.parametrize("shape", [(1, 1, 1, 4), (2, 37, 50, 24), (1, 512, 384, 16)])
def test_instance_norm_does_not_lose_digits_over_a_large_picture(shape):
    x = rule.noise("x", shape) * 40 + 7
    wide = x.astype(np.float64)
    normed = (wide - wide.mean((1, 2), keepdims=True)) / np.sqrt(wide.var((1, 2), keepdims=True) + 1e-5)
    expected = normed / (1 + np.exp(-normed))
    assert np.abs(np.array(cpu.instance_norm_silu(mx.array(x), 1e-5)) - expected).max() < 1e-5 * max(1, expected.max())
    # MLX's own float32 sum on the CPU drifts with the number of pixels: that path is for GPUs.
    assert np.abs(np.array(plain.instance_norm_silu(mx.array(x), 1e-5)) - expected).max() < 1e-3


def test_matting_head_is_a_sigmoid_over_the_normal_head():
    shapes = rule.manifest("tiny/normal")
    shapes = {n.replace("conv_normal", "conv_matting"): s for n, s in shapes.items()}
    shapes["decode_head.conv_matting.weight"] = (4, *shapes["decode_head.conv_matting.weight"][1:])
    shapes["decode_head.conv_matting.bias"] = (4,)
    module = built(shapes, "conv_matting")
    out = module(mx.array(rule.noise("x", (1, 128, 96, 3))))
    assert out.shape == (1, 128, 96, 4)
    assert mx.all(out == 0.5).item()  # the weights are still zero


def test_input_that_is_no_multiple_of_the_patch_is_refused():
    module = loaded("gqa4")
    with pytest.raises(ValueError, match="multiples of 16"):
        module(mx.zeros((1, 100, 96, 3)))


# ---- all that the fixtures hold, where they are -------------------------------------------------------------------


@pytest.mark.parametrize("case", ["seg", "pose", "normal", "pointmap", "albedo", "pretrain", "gqa4", "tokenizer4k"])
def test_the_rule_rebuilds_the_shipped_weights(reference: Path, case: str):
    ours = rule.tensors(rule.manifest(f"tiny/{case}"), salt=f"tiny/{case}/")
    theirs = mx.load(str(reference / f"tiny/{case}.safetensors"))
    assert all(np.array_equal(np.array(theirs[name]), tensor) for name, tensor in ours.items())


@pytest.mark.full
@pytest.mark.parametrize("name", ["seg_0.4b", "pose_0.4b"])
def test_full_size_networks_give_the_reference_output(reference: Path, name: str):
    expected = load_file(reference / f"full/{name}.safetensors")
    task = name.split("_")[0]
    shapes = rule.manifest(f"{task}-0.4b")
    module = built(shapes, f"conv_{task}", cpu)
    change = layouts.ORIGINAL.change
    module.load_weights(
        [(n, change(n).apply(mx.array(rule.tensor(n, s)))) for n, s in shapes.items() if "rope" not in n]
    )
    features = module.backbone.feature_map(rule.nhwc(rule.noise("full/pixel_values", (1, 3, 1024, 768))))
    output = nchw(module.decode_head(features))
    if task == "seg":
        import cv2

        assert relative(nchw(features)[:, :, ::4, ::4], expected["features_s4"]) < 1e-4
        assert relative(output[:, :, ::32, ::32], expected["logits_s32"]) < 2e-4
        assert relative(output[:, :, 13::32, 13::32], expected["logits_s32_off13"]) < 2e-4
        labels = cv2.imread(str(reference / "full/seg_0.4b_argmax.png"), cv2.IMREAD_UNCHANGED)
        assert (output[0].argmax(0) == labels).mean() > 0.999
    else:
        assert relative(output[:, :, 5::16, 5::16], expected["heatmaps_s16_off5"]) < 2e-4
        clear = expected["maxval"] - expected["second_max"] > 1e-3
        assert np.array_equal(output[0].reshape(308, -1).argmax(1)[clear], expected["argmax"][clear])
        from sapiens_mlx.tasks import udp

        xy, scores = udp.decode_heatmaps(output[0])
        keypoints = udp.heatmap_to_input(xy, (256, 192), (1024, 768))
        steady = expected["keypoint_sensitivity"] < 0.05  # noise is no Gaussian peak: some refinements are chaotic
        assert steady.sum() > 50
        assert np.abs(keypoints - expected["keypoints"][0])[steady].max() < 0.5
        assert np.abs(scores - expected["scores"][0]).max() < 1e-3
