"""Checkpoints as other programs write them: recognised by names and config.json, the same network, clear refusals."""

import json
import re
from pathlib import Path

import mlx.core as mx
import numpy as np
import other_programs
import pytest
import rule
from mlx.utils import tree_flatten
from other_programs import AT_4BIT
from safetensors.numpy import load_file, save_file

import sapiens_mlx as sm
from sapiens_mlx import zoo
from sapiens_mlx.convert import convert
from sapiens_mlx.errors import SapiensError, WeightsError
from sapiens_mlx.nn.layers import QuantizedLinear
from sapiens_mlx.runtime import inference
from sapiens_mlx.weights import conversion, layouts, store

PIXELS = rule.noise("pixels", (1, 128, 96, 3))
TASKS = list(other_programs.CLASSES)
WRITERS = {"transformers": other_programs.transformers, "mlx-vlm": other_programs.mlx_vlm}
BRANCH = {"branch": other_programs.branch}


def arrays(task, weights=None, level="fp32") -> list[np.ndarray]:
    """The raw output of the tiny network."""

    def run(progress):
        raw = store.load(task, "tiny", level, weights, progress=progress).module(mx.array(PIXELS))
        return [np.array(part.astype(mx.float32)) for part in (raw if isinstance(raw, tuple) else (raw,))]

    return inference.run(run)


@pytest.fixture
def folder(machine, tiny_size, tmp_path) -> Path:
    """Where a model will be written."""
    return tmp_path / "model"


CASES = [(task, form) for task in TASKS for form in WRITERS]
CASES += [(task, "branch") for task in TASKS if task not in ("features", "matting")]  # the branch has four tasks


@pytest.mark.parametrize(("task", "form"), CASES)
def test_every_form_of_a_checkpoint_is_the_same_network(machine, folder, task, form):
    shapes = rule.tiny_shapes(task)
    rule.write_tiny(machine, task)
    expected = arrays(task)
    (WRITERS | BRANCH)[form](folder, task, shapes)
    for weights in (folder, folder / "model.safetensors"):
        for ours, theirs in zip(arrays(task, weights), expected, strict=True):
            assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("form", WRITERS)
def test_a_model_in_several_files_is_read_by_its_index(machine, folder, form):
    rule.write_tiny(machine, "seg")
    expected = arrays("seg")[0]
    WRITERS[form](folder, "seg", rule.tiny_shapes("seg"), shards=3)
    shard = folder / "model-00002-of-00003.safetensors"
    for weights in (folder, shard):
        assert np.array_equal(arrays("seg", weights)[0], expected)
    shard.unlink()
    for level in ("fp32", "4bit"):
        with pytest.raises(WeightsError, match=r"model-00002-of-00003\.safetensors is missing") as problem:
            arrays("seg", folder, level)
        assert str(problem.value).startswith("model/model.safetensors.index.json cannot be used: ")
        assert f"remove {folder / 'model.safetensors.index.json'} and download it again" in str(problem.value)


def test_a_conversion_of_several_files_is_kept_and_made_again_when_one_of_them_changes(machine, folder):
    other_programs.mlx_vlm(folder, "seg", rule.tiny_shapes("seg"), shards=2)
    first = arrays("seg", folder, "4bit")[0]
    kept = conversion.conversions()
    assert [path.name.startswith("seg-tiny-4bit") for path in kept] == [True]
    assert np.array_equal(arrays("seg", folder, "4bit")[0], first)
    shard = folder / "model-00001-of-00002.safetensors"
    tensors = mx.load(str(shard))
    name = next(name for name in tensors if name.endswith("ffn.w3.weight"))
    mx.eval(tensors)
    mx.save_safetensors(str(shard), tensors | {name: tensors[name] * 2})
    assert not np.array_equal(arrays("seg", folder, "4bit")[0], first)
    assert len(conversion.conversions()) == 2


def test_one_of_several_files_is_converted_as_the_whole_model_that_it_is_part_of(machine, folder):
    other_programs.transformers(folder, "seg", rule.tiny_shapes("seg"), shards=2)
    expected = arrays("seg", folder, "8bit")[0]
    made = convert(folder / "model-00001-of-00002.safetensors", "seg", "tiny", "8bit")
    assert made.was_there
    assert made.about.source.file == "model.safetensors.index.json"
    assert np.array_equal(arrays("seg", folder, "8bit")[0], expected)


def test_no_form_is_told_by_a_shape():
    """A convolution (3, 3, 3, 3) or (16, 3, 16, 16) would not tell."""
    convolutions = ["backbone.patch_embed.projection.weight", "decode_head.conv_layers.0.weight"]
    apart = [*convolutions, "backbone.blocks.0.attn.wq.weight"]
    described = {"architectures": ["Sapiens2ForNormalEstimation"]}
    assert layouts.form_of(apart, None) is layouts.AS_PUBLISHED
    assert layouts.form_of(apart, described) is layouts.AS_PUBLISHED
    assert layouts.form_of(apart, {"backbone_config": {}}) is layouts.MLX_VLM_BRANCH
    assert layouts.form_of([*convolutions, "backbone.blocks.0.attn.wqkv.weight"], described) is layouts.MLX_VLM
    nested = [*convolutions, "decode_head.upsample_blocks.0.children_list.0.weight"]
    assert layouts.form_of(nested, None) is layouts.MLX_VLM_BRANCH


@pytest.mark.parametrize("name", rule.manifests())
def test_forms_give_every_published_tensor_its_name_back(name):
    if name.startswith("rtmdet"):
        return
    shapes = rule.manifest(name)
    has_head = any(tensor.startswith("decode_head") for tensor in shapes)
    for tensor, shape in shapes.items():
        nested = re.sub(r"(\.upsample_blocks\.\d+)\.", r"\1.children_list.", tensor)
        assert layouts.MLX_VLM_BRANCH.original_name(nested, has_head) == tensor
        prefixed = tensor if has_head else f"backbone.{tensor}"
        assert layouts.MLX_VLM.original_name(prefixed, has_head) == tensor
        # Everything with four axes is turned, and nothing else.
        axes = layouts.MLX_VLM.axes(tensor)
        assert (axes is not None) == (len(shape) == 4), tensor


# ---- packed ---------------------------------------------------------------------------------------------------------

LEVELS = [name for name, row in zoo.LEVELS.items() if row.bits is not None]


def options_of(level: str) -> dict:
    row = zoo.level(level)
    return {"group_size": row.group_size, "bits": row.bits, "mode": row.mode}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("form", ["mlx-vlm", "branch"])
def test_packed_weights_are_taken_to_the_bit(machine, folder, form, level):
    writer = (WRITERS | BRANCH)[form]
    writer(folder, "pointmap", rule.tiny_shapes("pointmap"), packed=options_of(level))
    file = mx.load(str(folder / "model.safetensors"))
    model = inference.run(store.load, "pointmap", "tiny", level, folder)
    ours = dict(tree_flatten(model.module.parameters()))
    attention = "backbone.blocks.8.attn"  # half as many rows of keys and of values
    for part in ("weight", "scales", *(["biases"] if level.endswith("bit") else [])):
        if form == "mlx-vlm":
            joined = mx.concatenate([ours[f"{attention}.{q}.{part}"] for q in ("wq", "wk", "wv")])
            assert np.array_equal(bits(joined), bits(file[f"{attention}.wqkv.{part}"]))
        for layer in ("backbone.blocks.3.ffn.w12", "decode_head.scale_final_layer.1"):
            assert np.array_equal(bits(ours[f"{layer}.{part}"]), bits(file[f"{layer}.{part}"]))
    assert conversion.conversions() == []  # there is nothing to convert, and no copy is kept
    assert model.quantized_share > 0.5


def bits(array: mx.array) -> np.ndarray:
    return np.array(array.view(mx.uint8))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("form", ["mlx-vlm", "branch"])
def test_a_packed_network_computes_with_the_weights_its_codes_stand_for(machine, folder, form, level):
    (WRITERS | BRANCH)[form](folder, "pointmap", rule.tiny_shapes("pointmap"), packed=options_of(level))
    file = mx.load(str(folder / "model.safetensors"))
    plain = {}
    for name, tensor in file.items():
        layer, _, part = name.rpartition(".")
        if f"{layer}.scales" not in file or part == "bias":
            plain[name] = tensor
        elif part == "weight":
            scales, biases = file[f"{layer}.scales"], file.get(f"{layer}.biases")
            biases = None if biases is None else biases.astype(mx.float32)
            scales = scales if scales.dtype == mx.uint8 else scales.astype(mx.float32)
            plain[name] = mx.dequantize(tensor, scales, biases, **options_of(level), dtype=mx.float32)
    wide = folder.with_name("wide")
    wide.mkdir()
    config = json.loads((folder / "config.json").read_text())
    config.pop("quantization")
    (wide / "config.json").write_text(json.dumps(config))
    mx.save_safetensors(str(wide / "model.safetensors"), plain)
    for ours, theirs in zip(arrays("pointmap", folder, level), arrays("pointmap", wide), strict=True):
        assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max()


def test_a_packed_file_is_its_own_level_and_no_other(machine, folder):
    other_programs.mlx_vlm(folder, "seg", rule.tiny_shapes("seg"), packed=AT_4BIT)
    assert sm.load("seg", weights=folder).level == "4bit"
    assert sm.load("seg", weights=folder).size == "tiny"
    with pytest.raises(WeightsError) as problem:
        arrays("seg", folder, "8bit")
    said = str(problem.value)
    assert said.startswith("model/model.safetensors: its layers are packed at 4bit, from which 8bit cannot be made.")
    assert "Choose 4bit, or the original" in said


def test_a_packed_file_is_not_converted_again(machine, folder, tmp_path):
    other_programs.mlx_vlm(folder, "seg", rule.tiny_shapes("seg"), packed=AT_4BIT)
    with pytest.raises(SapiensError, match="packed already"):
        convert(folder / "model.safetensors", "seg", "tiny", "4bit", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_layers_may_be_packed_each_in_its_own_way_where_config_says_so(machine, folder):
    layer = "backbone.blocks.3.ffn.w12"
    packed = AT_4BIT | {layer: {"group_size": 32, "bits": 8}, "backbone.blocks.4.ffn.w3": False}
    other_programs.branch(folder, "seg", rule.tiny_shapes("seg"), packed=packed)
    result = sm.load("seg", weights=folder)(np.zeros((128, 96, 3), np.uint8))
    assert result.report.level == "4bit"
    assert "1 of 107 packed layers came otherwise than 4bit: 8 bits in groups of 32 (affine)." in result.report.notices
    module = inference.run(store.load, "seg", "tiny", "4bit", folder).module
    assert not isinstance(module.backbone.blocks[4].ffn.w3, QuantizedLinear)
    assert module.backbone.blocks[3].ffn.w12.scales.shape == (256, 2)


def test_floats_of_another_program_are_converted_as_usual(machine, folder):
    rule.write_tiny(machine, "seg")
    expected = arrays("seg", level="6bit")[0]
    other_programs.branch(folder, "seg", rule.tiny_shapes("seg"))
    assert np.array_equal(arrays("seg", folder, "6bit")[0], expected)


# ---- what can be wrong ----------------------------------------------------------------------------------------------


def edit(folder: Path, **config) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))


def retype(folder: Path, change) -> None:
    path = str(folder / "model.safetensors")
    tensors = mx.load(path)
    change(tensors)
    mx.eval(tensors)
    mx.save_safetensors(path, tensors)


def unpack_one(tensors):
    name = "backbone.blocks.3.ffn.w3"
    del tensors[f"{name}.scales"], tensors[f"{name}.biases"]
    tensors[f"{name}.weight"] = mx.zeros((64, 128))


def both_layouts(tensors):
    tensors["backbone.blocks.3.attn.wq.weight"] = mx.zeros((64, 64))


def scales_of_nothing(tensors):
    tensors["backbone.junk.scales"] = mx.zeros((4, 4))


def lose_scales(tensors):
    for name in [name for name in tensors if name.endswith(".biases")]:
        del tensors[name]


CONTRADICTIONS = {
    "width": ({"hidden_size": 128}, None, r"the width is 128 there and 64 in them"),
    "blocks": ({"num_hidden_layers": 24}, None, r"number of blocks is 24 there and 18"),
    "heads": ({"num_attention_heads": 4}, None, r"number of heads is 4 there and 2"),
    "task": ({"architectures": ["Sapiens2ForPoseEstimation"]}, None, r"says that it is for pose, and .* for seg"),
    "head": ({"head_config": {"upsample_out_channels": [8, 8]}}, None, r"upsampling layers is \[8, 8\] there"),
    "bits": ({"quantization": {"group_size": 64, "bits": 8}}, None, r"contradicts its tensors: .* packed in 8 bits"),
    "groups": ({"quantization": {"group_size": 32, "bits": 4}}, None, r"packed in 4 bits in groups of 32"),
    "mode": ({"quantization": {"group_size": 32, "bits": 4, "mode": "mxfp4"}}, None, r"its scales is BF16"),
    "no level": ({"quantization": {"group_size": 64, "bits": 3}}, None, r"3 bits .* none of the levels"),
    "no packing": ({"quantization": None}, None, r"is packed, and a config.json that would say how is not beside it"),
    "other quantization": ({"quantization": {"quant_method": "gptq"}}, None, r"does not say in how many bits"),
    "mixture": ({}, unpack_one, r"others, such as backbone.blocks.3.ffn.w3, are not"),
    "layouts": ({}, both_layouts, r"of several layouts"),
    "no biases": ({}, lose_scales, r"its biases is missing"),
    "scales of nothing": ({}, scales_of_nothing, r"the tensor backbone\.junk\.scales does not belong there"),
}


@pytest.mark.parametrize(("config", "change", "says"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_a_config_that_contradicts_its_tensors_is_a_sentence(machine, folder, config, change, says):
    other_programs.mlx_vlm(folder, "seg", rule.tiny_shapes("seg"), packed=AT_4BIT)
    edit(folder, **config)
    if change:
        retype(folder, change)
    with pytest.raises(WeightsError, match=says) as problem:
        arrays("seg", folder, "4bit")
    assert str(problem.value).startswith("model/model.safetensors cannot be used: ")


def test_biases_of_a_layer_whose_packing_has_none_are_a_sentence(machine, folder):
    other_programs.mlx_vlm(folder, "seg", rule.tiny_shapes("seg"), packed=options_of("mxfp4"))
    layer = "backbone.blocks.3.ffn.w3"
    retype(folder, lambda tensors: tensors.update({f"{layer}.biases": mx.zeros((64, 4))}))
    with pytest.raises(WeightsError, match=rf"the tensor {layer}\.biases does not belong there"):
        arrays("seg", folder, "mxfp4")


def test_a_config_that_tells_of_packed_layers_where_none_is_packed_is_a_sentence(machine, folder):
    other_programs.branch(folder, "seg", rule.tiny_shapes("seg"), quantization=AT_4BIT)
    with pytest.raises(WeightsError, match="says that its layers are packed, and none of them is"):
        arrays("seg", folder, "4bit")


def test_a_mixture_that_config_tells_of_is_taken(machine, folder):
    other_programs.mlx_vlm(folder, "seg", rule.tiny_shapes("seg"), packed=AT_4BIT)
    retype(folder, unpack_one)
    edit(folder, quantization=AT_4BIT | {"backbone.blocks.3.ffn.w3": False})
    assert np.isfinite(arrays("seg", folder, "4bit")[0]).all()


def test_channels_last_without_its_config_is_refused_and_not_guessed(machine, folder):
    other_programs.branch(folder, "seg", rule.tiny_shapes("seg"))
    (folder / "config.json").unlink()
    with pytest.raises(WeightsError, match=r"has the shape .* is expected"):
        arrays("seg", folder / "model.safetensors")


@pytest.mark.parametrize("config", ["{", "[]", '"text"'])
def test_a_damaged_config_is_a_sentence(machine, folder, config):
    other_programs.mlx_vlm(folder, "seg", rule.tiny_shapes("seg"), packed=AT_4BIT)
    (folder / "config.json").write_text(config)
    with pytest.raises(SapiensError, match=r"config\.json"):
        sm.load("seg", "tiny", "4bit", folder).module  # noqa: B018


def test_names_from_inside_transformers_are_told_how_to_be_saved(machine, folder):
    folder.mkdir()
    save_file({"model.embeddings.cls_token": np.zeros((1, 1, 64), np.float32)}, folder / "model.safetensors")
    with pytest.raises(WeightsError, match="save_original_format"):
        arrays("seg", folder / "model.safetensors")


def test_a_folder_with_several_layouts_says_which_was_taken(machine, folder):
    other_programs.transformers(folder, "seg", rule.tiny_shapes("seg"))
    tensors = load_file(folder / "model.safetensors")
    tensors["decode_head.conv_seg.bias"] += 1
    save_file(tensors, folder / "sapiens2_tiny_seg.safetensors")
    result = sm.load("seg", "tiny", "fp32", folder)(np.zeros((128, 96, 3), np.uint8))
    taken = [notice for notice in result.report.notices if "several layouts" in notice]
    assert len(taken) == 1
    assert taken[0].endswith("taken is sapiens2_tiny_seg.safetensors, not model.safetensors.")
    alone = arrays("seg", folder / "model.safetensors")[0]
    assert np.allclose(arrays("seg", folder)[0], alone + 1, atol=1e-5)


def test_a_model_of_another_task_in_the_folder_is_recognised(machine, folder):
    other_programs.transformers(folder, "pose", rule.tiny_shapes("pose"))
    with pytest.raises(WeightsError, match="weights for pose, not for seg"):
        arrays("seg", folder)
