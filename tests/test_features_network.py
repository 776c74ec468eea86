"""Features out of networks: tokens of pretrained backbones as the reference has them; checkpoints of other kinds
refused in a sentence; conversions; the 4K network within the memory that is said of it; files and the command line."""

import json
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
import rule
from mlx.utils import tree_flatten
from PIL import Image
from safetensors.numpy import load_file, save_file

import sapiens_mlx as sm
from sapiens_mlx import inventory, zoo
from sapiens_mlx.__main__ import main
from sapiens_mlx.convert import convert
from sapiens_mlx.errors import SapiensError, WeightsError
from sapiens_mlx.models import models
from sapiens_mlx.nn import backbone as networks
from sapiens_mlx.runtime import inference
from sapiens_mlx.shipped import demo_folder, examples_folder
from sapiens_mlx.tasks.features import FeaturesResult, FeaturesTask
from sapiens_mlx.tasks.fit import normalise, stretch
from sapiens_mlx.weights import original, store

EXAMPLE = examples_folder() / "one_person.jpg"
PHOTO = np.random.default_rng(0).integers(0, 255, (90, 130, 3), np.uint8)


@pytest.fixture
def tiny(machine, tiny_size) -> Path:
    return rule.write_tiny(machine, "features")


@pytest.fixture
def tiny_4k(machine, monkeypatch) -> str:
    """A 4K network that runs in a moment: 1024 x 768 pixels, two tokenizer blocks, 12 x 16 tokens."""
    shapes = rule.manifest("tiny/tokenizer4k")
    found = original.architecture.backbone_config(shapes, "")
    config = {"embed_dim": found.embed_dim, "num_layers": len(found.kv_heads), "num_heads": found.num_heads}
    size = zoo.Size(
        "tiny-4k", parameters=1_000_000, tera_flops=None, input_hw=(1024, 768), tokenizer_layers=2, **config
    )
    monkeypatch.setitem(zoo.SIZES, size.name, size)
    row = zoo.TASKS["features"]
    monkeypatch.setitem(zoo.TASKS, "features", replace(row, sizes=(*row.sizes, size.name)))
    checkpoint = zoo.checkpoint("features", size.name)
    rule.write_checkpoint(machine / checkpoint.local_path, shapes, salt="tiny/tokenizer4k/")
    return size.name


# ---- the network ----------------------------------------------------------------------------------------------------


def test_the_tokens_of_a_pretrained_file_are_the_references(reference, machine, monkeypatch):
    path = reference / "tiny/pretrain.safetensors"
    io = {name: np.array(x.astype(mx.float32)) for name, x in mx.load(str(path).replace(".saf", "_io.saf")).items()}
    pixels = np.ascontiguousarray(io["pixel_values"].transpose(0, 2, 3, 1))
    config = original.architecture.backbone_config(store.read_shapes(path), "")
    size = zoo.Size("own", config.embed_dim, len(config.kv_heads), config.num_heads, 1, None, pixels.shape[1:3])
    monkeypatch.setitem(zoo.SIZES, "own", size)
    monkeypatch.setitem(zoo.TASKS, "features", replace(zoo.TASKS["features"], sizes=("demo", "own")))
    predictor = sm.load("features", "own", "fp32", weights=path)
    ours = inference.run(lambda progress: np.array(predictor.module(mx.array(pixels))))
    theirs = io["raw_tokens"]
    assert ours.shape == theirs.shape
    assert np.linalg.norm(ours - theirs) / np.linalg.norm(theirs) < 3e-4


@pytest.mark.full
def test_a_full_size_backbone_gives_what_the_networks_with_a_head_are_checked_for(reference, machine):
    """0.4b's backbone is one in every checkpoint of the rule, so seg's fixture holds its features."""
    expected = load_file(reference / "full/seg_0.4b.safetensors")["features_s4"]
    shapes = rule.manifest("pretrain-0.4b")
    path = machine / zoo.checkpoint("features", "0.4b").local_path
    path.parent.mkdir()
    tensors = {name: rule.tensor(f"backbone.{name}", shape) for name, shape in shapes.items() if "rope" not in name}
    save_file(tensors, path)
    predictor = sm.load("features", "0.4b", "fp32")
    pixels = rule.nhwc(rule.noise("full/pixel_values", (1, 3, 1024, 768)))
    tokens = inference.run(lambda progress: np.array(predictor.module(pixels)))
    ours = tokens[0, 9:].reshape(64, 48, -1).transpose(2, 0, 1)[None, :, ::4, ::4]
    assert np.linalg.norm(ours - expected) / np.linalg.norm(expected) < 1e-4


@pytest.mark.parametrize("name", ["0.1b", "0.4b", "0.8b", "1b", "5b", "1b-4k"])
def test_every_published_backbone_is_the_network_of_its_size(name):
    shapes = rule.manifest(f"pretrain-{name}")
    module = original.build(shapes, "features", name, zoo.level("fp32"))
    size = zoo.SIZES[name]
    assert sum(x.size for _, x in tree_flatten(module.parameters())) == pytest.approx(size.parameters, rel=0.01)
    assert module.grid_hw(size.input_hw) == (64, 48)


@pytest.mark.parametrize(("size", "other"), [("1b", "1b-4k"), ("1b-4k", "1b")])
def test_the_4k_network_is_told_from_the_one_it_is_like(size, other):
    with pytest.raises(WeightsError, match=f"of size {other}, not {size}"):
        original.build(rule.manifest(f"pretrain-{other}"), "features", size, zoo.level("fp32"))


def test_tokens_are_taken_apart_wrongly():
    raw = np.arange((9 + 12) * 2, dtype=np.float32).reshape(1, 21, 2)
    for pixels in ((64, 48), (256, 192)):  # a token of 16 pixels, or of 64
        fitted = FeaturesTask().fit(PHOTO, pixels)[0]
        features, cls, storage = FeaturesTask().decode(raw, fitted)
        assert features.shape == (4, 3, 2) and storage.shape == (8, 2)
        assert (cls == raw[0, 0]).all() and (storage == raw[0, 1:9]).all()
        assert (features[1, 2] == raw[0, 9 + 3 + 2]).all()


def test_what_a_photo_gives_is_what_the_module_gives(tiny):
    predictor = sm.load("features", "tiny", "fp32")
    found = predictor(PHOTO)
    pixels = normalise(stretch(PHOTO, (128, 96)))[None]
    tokens = inference.run(lambda progress: np.array(predictor.module(mx.array(pixels))))[0]
    assert tokens.shape == (9 + 48, 64)
    np.testing.assert_allclose(found.features.reshape(48, 64), tokens[9:], atol=1e-5)
    np.testing.assert_allclose(np.vstack([found.cls, found.storage]), tokens[:9], atol=1e-5)


def test_the_demos_features_are_the_backbone_of_its_seg(machine):
    pixels = rule.noise("pixels", (1, 384, 288, 3))

    def run(progress) -> list[np.ndarray]:
        loaded = [store.load(task, "demo", "fp32") for task in ("features", "seg")]
        assert loaded[0].nbytes < loaded[1].nbytes  # the head is not in memory
        return [np.array(one.backbone(mx.array(pixels))) for one in loaded]

    ours, theirs = inference.run(run)
    assert np.array_equal(ours, theirs)
    assert zoo.checkpoint("features", "demo").filename == zoo.checkpoint("seg", "demo").filename


@pytest.mark.parametrize("level", ["mxfp8", "mxfp4", "nvfp4"])
def test_levels_pack_the_blocks_and_a_tokenizers_blocks(tiny_4k, level):
    module = inference.run(store.load, "features", tiny_4k, level).module
    packed = [name for name, x in tree_flatten(module.parameters()) if x.dtype == mx.uint32]
    assert len(packed) == 6 * (len(module.blocks) + len(module.tokenizer.blocks))


# ---- checkpoints of another kind ------------------------------------------------------------------------------------


def test_another_tasks_checkpoint_is_refused(tiny, machine, tiny_size):
    seg = rule.write_tiny(machine, "seg")
    with pytest.raises(WeightsError, match="these are weights for seg, not for features"):
        sm.load("features", "tiny", "fp32", weights=seg)(PHOTO)
    with pytest.raises(WeightsError, match="a pretrained backbone, which gives features and has no head for seg"):
        sm.load("seg", "tiny", "fp32", weights=tiny)(PHOTO)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.pop("blocks.3.ln1.weight"), "the tensor blocks.3.ln1.weight is missing"),
        (lambda t: t.update(extra=np.zeros(3, np.float32)), "the tensor extra does not belong there"),
        (lambda t: t.update({"ln1.weight": np.zeros(3, np.float32)}), r"the tensor ln1.weight has the shape \(3,\)"),
        (lambda t: t.pop("cls_token"), "not weights for features: the tensor cls_token is missing"),
        (lambda t: t.update({"rope_embed.periods": np.zeros(8, np.float32)}), "does not hold the periods"),
    ],
    ids=["missing", "left over", "misshapen", "another network", "periods"],
)
def test_loading_is_not_strict(tiny, change, says):
    tensors = load_file(tiny)
    change(tensors)
    save_file(tensors, tiny)
    with pytest.raises(WeightsError, match=says):
        sm.load("features", "tiny", "fp32")(PHOTO)


def test_the_demos_file_must_be_whole_but_for_its_head(machine, tmp_path):
    tensors = load_file(demo_folder() / "sapiens2_demo_seg.safetensors")

    def features(taken: dict) -> FeaturesResult:
        save_file(taken, tmp_path / "mine.safetensors")
        models.clear()
        return sm.load("features", "demo", "fp32", weights=tmp_path / "mine.safetensors")(PHOTO)

    assert np.array_equal(features(tensors).features, sm.load("features", "demo", "fp32")(PHOTO).features)
    with pytest.raises(WeightsError, match=r"the tensor backbone\.ln1\.weight is missing"):
        features({name: x for name, x in tensors.items() if name != "backbone.ln1.weight"})


# ---- conversions, inventory -----------------------------------------------------------------------------------------


def test_a_conversion_gives_what_the_checkpoint_gives_and_is_kept(tiny, tmp_path, machine):
    expected = sm.load("features", "tiny", "8bit")(PHOTO).features
    assert [folder.name.rsplit("-", 1)[0] for folder in store.conversions()] == ["features-tiny-8bit"]
    models.clear()
    assert np.array_equal(sm.load("features", "tiny", "8bit")(PHOTO).features, expected)  # out of the cache

    outcome = convert(task="features", size="tiny", level="8bit", out=tmp_path / "mine")
    card = (outcome.folder / "README.md").read_text()
    assert "pipeline_tag: image-feature-extraction" in card and "facebook/sapiens2-pretrain-tiny" in card
    models.clear()
    published = sm.load("features", level="8bit", weights=outcome.folder)
    assert published.size == "tiny"
    assert np.array_equal(published(PHOTO).features, expected)
    with pytest.raises(SapiensError, match="holds features tiny"):
        sm.load("seg", "tiny", "8bit", weights=outcome.folder)(PHOTO)


def test_the_demos_backbone_can_be_converted(machine, tmp_path):
    outcome = convert(task="features", size="demo", level="8bit", out=tmp_path / "mine")
    expected = sm.load("features", "demo", "8bit")(PHOTO).features
    models.clear()
    found = sm.load("features", "demo", "8bit", weights=outcome.folder)(PHOTO).features
    assert np.array_equal(found, expected)
    assert not [name for name in mx.load(str(outcome.folder / "model.safetensors")) if "head" in name]


def test_the_published_repositories_are_those_of_the_pretrained_backbones():
    found = {size: zoo.checkpoint("features", size) for size in ("0.1b", "5b", "1b-4k")}
    assert [one.repo for one in found.values()] == [f"facebook/sapiens2-pretrain-{size}" for size in found]
    assert found["1b-4k"].local_path == "pretrain/sapiens2_1b_4k_pretrain.safetensors"
    assert {one.licence for one in found.values()} == {zoo.SAPIENS2_LICENCE}


def test_models_lists_every_backbone_and_what_fits(machine):
    listing = inventory.listing(None, int(8e9))
    rows = {row["size"]: row for row in listing["checkpoints"] if row["task"] == "features"}
    assert list(rows) == list(zoo.TASKS["features"].sizes)
    assert rows["1b-4k"]["repo"] == "facebook/sapiens2-pretrain-1b-4k"
    assert "fp32" not in listing["fits"]["1b-4k"] and "4bit" in listing["fits"]["1b-4k"]


def test_a_size_that_does_not_fit_is_told_before_it_is_loaded(machine, monkeypatch, capsys, tmp_path):
    needed = inventory.needed_bytes("1b-4k", "fp32", "features")
    monkeypatch.setattr(inventory.runtime, "memory_limit_bytes", lambda: needed - 1)
    told = inventory.too_large("features", "1b-4k", "fp32")
    assert inventory.amount(needed) in told and "4bit" in told
    monkeypatch.setattr(inventory.runtime, "memory_limit_bytes", lambda: needed)
    assert inventory.too_large("features", "1b-4k", "fp32") == ""

    monkeypatch.setattr(inventory.runtime, "memory_limit_bytes", lambda: int(1e6))
    photo = tmp_path / "photo.png"
    Image.fromarray(PHOTO).save(photo)
    main(["predict", str(photo), "--task", "features", "--out", str(tmp_path)])
    assert "note: demo at fp32 takes about" in capsys.readouterr().err


# ---- 4K -------------------------------------------------------------------------------------------------------------


def test_chunks_of_windows_change_the_result_or_hold_more_than_one(tiny_4k, monkeypatch):
    predictor = sm.load("features", tiny_4k, "fp32")
    pixels = mx.array(rule.noise("pixels", (1, 1024, 768, 3)))
    seen: list[tuple[tuple[int, ...], int, int]] = []

    def run(progress) -> np.ndarray:
        tokens = predictor.module(pixels, step=lambda x, done, total: seen.append((x.shape, done, total)))
        return np.array(tokens)

    whole = inference.run(run)
    assert [(done, total) for _, done, total in seen] == [(i + 1, len(seen)) for i in range(len(seen))]
    seen.clear()
    monkeypatch.setattr(networks, "WINDOWS_AT_A_TIME", 50)  # of 192: three whole chunks and a rest
    assert np.linalg.norm(inference.run(run) - whole) / np.linalg.norm(whole) < 1e-4
    chunks = [shape for shape, _, _ in seen if shape[1] == 17]
    assert [shape[0] for shape in chunks] == [50, 50, 50, 50, 50, 50, 42, 42]
    assert seen[-1][1:] == (len(seen), len(seen))


def test_a_small_photo_in_the_4k_network_is_not_told(tiny_4k):
    predictor = sm.load("features", tiny_4k, "fp32")
    report = predictor(PHOTO).report
    assert any("enlarged, which adds no detail" in notice for notice in report.notices)
    large = np.zeros((1000, 700, 3), np.uint8)
    assert predictor(large).report.notices == []


# ---- files and the command line -------------------------------------------------------------------------------------


def test_files_hold_the_arrays_and_the_picture(tiny, tmp_path):
    found = sm.load("features", "tiny", "fp32")(PHOTO)
    paths = found.save(tmp_path, "a", side_by_side=True)
    assert [path.name for path in paths] == ["a_features.png", "a_features.npz", "a_features_side_by_side.png"]
    with np.load(paths[1]) as arrays:
        assert set(arrays) == {"features", "cls", "storage"}
        assert all(np.array_equal(arrays[name], getattr(found, name)) for name in arrays)
    assert (np.asarray(Image.open(paths[0])) == found.picture()).all()


def test_the_command_line_gives_features_and_compares_them(machine, tmp_path, capsys):
    options = ["--task", "features", "--out", str(tmp_path), "--json"]
    assert main(["predict", str(EXAMPLE), "--foreground", "auto", *options]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["task"], report["size"]) == ("features", "demo")
    with np.load(tmp_path / "one_person_features.npz") as arrays:
        assert arrays["features"].shape == (24, 18, 192)
        assert arrays["person_mask"].shape == (1600, 1200)
    assert main(["compare", str(EXAMPLE), "--levels", "fp32,4bit", *options]) == 0
    levels = json.loads(capsys.readouterr().out)["levels"]
    assert [row["figures"]["mean_cosine"] == 1 for row in levels] == [True, False]
