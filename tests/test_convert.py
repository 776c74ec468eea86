"""convert: the cache filled, folders to publish and to load again, and mistakes."""

import json
import shutil
import subprocess
from pathlib import Path

import command_line
import mlx.core as mx
import numpy as np
import pytest
import rule
from command_line import converted
from safetensors.numpy import save_file

import sapiens_mlx as sm
from sapiens_mlx import fetch, zoo
from sapiens_mlx.__main__ import main
from sapiens_mlx.convert import convert
from sapiens_mlx.errors import SapiensError
from sapiens_mlx.options import Options
from sapiens_mlx.runtime import inference
from sapiens_mlx.weights import store

PROJECT = Path(__file__).resolve().parents[1]
PIXELS = rule.noise("pixels", (1, 128, 96, 3))


def run(capsys, *arguments) -> tuple[int, str, str]:
    return command_line.run(capsys, "convert", *arguments)


def output(task="seg", level="8bit", weights=None) -> np.ndarray:
    def work(progress):
        raw = store.load(task, "tiny", level, weights).module(mx.array(PIXELS))
        return np.array((raw[0] if isinstance(raw, tuple) else raw).astype(mx.float32))

    return inference.run(work)


@pytest.fixture
def tiny(machine, tiny_size) -> Path:
    return rule.write_tiny(machine, "seg")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("sapiens2_0.4b_seg.safetensors", ("seg", "0.4b")),
        ("sapiens2_1b_pose.safetensors", ("pose", "1b")),
        ("sapiens2_1b_4k_pretrain.safetensors", ("features", "1b-4k")),
        ("sapiens2_demo_pointmap.safetensors", ("pointmap", "demo")),
        ("facebook/sapiens2-seg-0.4b", ("seg", "0.4b")),
        ("pose-lab/my-normal-5b-finetune", ("normal", "5b")),
        ("SAPIENS2_0.8B_Normal.safetensors", ("normal", "0.8b")),
        ("seg_and_pose_1b.safetensors", (None, "1b")),
        ("model.safetensors", (None, None)),
        ("segment_11b.safetensors", (None, None)),
        ("", (None, None)),
    ],
)
def test_task_and_size_are_read_from_names(name, told):
    assert zoo.names_in(name) == told


def test_help_has_an_example(capsys):
    with pytest.raises(SystemExit):
        main(["convert", "--help"])
    assert "example" in capsys.readouterr().out


# ---- the cache ------------------------------------------------------------------------------------------------------


def test_without_out_the_cache_is_filled_and_every_run_finds_it(tiny, tmp_path, capsys):
    report = converted(capsys, "--task", "seg", "--size", "tiny", "--level", "4bit")
    folder = Path(report["folder"])
    assert (folder.parent, report["was_there"]) == (tmp_path / "cache", False)
    assert sorted(report["files"]) == [str(folder / name) for name in ("config.json", "model.safetensors")]
    assert report["source_bytes"] == tiny.stat().st_size
    assert report["bytes"] == (folder / "model.safetensors").stat().st_size < report["source_bytes"] / 4
    assert report["peak_memory_bytes"] > report["bytes"]
    inode = (folder / "model.safetensors").stat().st_ino
    output(level="4bit")
    again = converted(capsys, tiny, "--task", "seg", "--size", "tiny", "--level", "4bit")
    assert (again["folder"], again["was_there"]) == (report["folder"], True)
    assert (folder / "model.safetensors").stat().st_ino == inode
    status, out, _ = run(capsys, "--task", "seg", "--size", "tiny", "--level", "8bit")
    assert status == 0
    assert "weights quantized" in out
    assert str(tmp_path / "cache/seg-tiny-8bit") in out


def test_a_cache_that_cannot_be_written_is_an_error_here(tiny, tmp_path, capsys):
    (tmp_path / "cache").write_text("in the way")
    status, out, error = run(capsys, "--task", "seg", "--size", "tiny", "--level", "8bit")
    assert (status, out) == (2, "")
    assert "cannot be written" in error
    assert "SAPIENS_MLX_CACHE" in error


# ---- a folder to publish --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", list(zoo.LEVELS))
def test_a_published_folder_loads_as_what_it_was_made_from(tiny, tmp_path, capsys, level):
    folder = tmp_path / "out" / f"sapiens2-seg-tiny-{level}"
    report = converted(capsys, tiny, "--task", "seg", "--size", "tiny", "--level", level, "--out", folder)
    expected = output(level=level)
    tiny.unlink()
    assert np.array_equal(output(level=level, weights=folder), expected)
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name]
    names = ["LICENSE.md", "README.md", "config.json", "model.safetensors"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert report["files"] == [str(folder / name) for name in names]
    row, config = zoo.level(level), json.loads((folder / "config.json").read_text())
    assert (config["bits"], config["group_size"], config["mode"]) == (row.bits, row.group_size, row.mode)
    assert (config["quantized_share"] > 0.3) == (row.bits is not None)
    assert config["version"] == sm.__version__


def test_config_names_the_source_by_its_digest(tiny, tmp_path, capsys):
    converted(capsys, tiny, "--task", "seg", "--size", "tiny", "--level", "8bit", "--out", tmp_path / "out")
    config = json.loads((tmp_path / "out/config.json").read_text())
    told = subprocess.run(["sha256sum", str(tiny)], capture_output=True, text=True, check=True).stdout.split()[0]
    expected = {"file": tiny.name, "bytes": tiny.stat().st_size, "sha256": told, "repo": None, "is_default": False}
    assert config["source"] == expected
    model = tmp_path / "out/model.safetensors"
    told = subprocess.run(["sha256sum", str(model)], capture_output=True, text=True, check=True).stdout.split()[0]
    assert config["model"]["sha256"] == told


def test_the_licence_is_meta_s_own_text_and_comes_with_the_package(tiny, tmp_path, capsys):
    converted(capsys, tiny, "--task", "seg", "--size", "tiny", "--level", "8bit", "--out", tmp_path / "out")
    text = (tmp_path / "out/LICENSE.md").read_text(encoding="utf-8")
    assert text.startswith("# Sapiens2 License\n")
    assert "## 8. Modifications and Amendments" in text
    assert "you shall provide a copy of this Agreement with any such Sapiens Materials" in text
    assert '"weights/licences/*.md"' in (PROJECT / "pyproject.toml").read_text()


def test_a_folder_that_is_there_is_taken_for_the_same_source_alone(tiny, tmp_path):
    def made(source, repo):
        return convert(source, "seg", "tiny", "8bit", out=folder, repo=repo)

    folder, other = tmp_path / "out", tmp_path / "sapiens2_tiny_seg.safetensors"
    card = folder / "README.md"
    assert not made(tiny, "me/first").was_there
    card.write_text(card.read_text(encoding="utf-8") + "My own words.\n", encoding="utf-8")
    rule.write_checkpoint(other, rule.tiny_shapes("seg"), salt="another")
    with pytest.raises(SapiensError, match="nothing is overwritten"):
        made(other, "me/second")
    assert made(tiny, "me/first").was_there
    assert card.read_text(encoding="utf-8").endswith("My own words.\n")
    assert made(None, "me/second").was_there  # by default the same file
    assert "hf download me/second --local-dir second\n" in card.read_text(encoding="utf-8")
    tiny.unlink()
    with pytest.raises(SapiensError, match="nothing is overwritten"):
        made(None, "me/second")


# ---- loading what was published -------------------------------------------------------------------------------------


@pytest.fixture
def folder(tiny, tmp_path, capsys) -> Path:
    converted(capsys, tiny, "--task", "seg", "--size", "tiny", "--level", "8bit", "--out", tmp_path / "published")
    return tmp_path / "published"


def test_a_predictor_takes_size_and_level_from_the_folder(folder):
    predictor = sm.load("seg", weights=folder)
    assert (predictor.size, predictor.level) == ("tiny", "8bit")
    result = predictor(np.zeros((40, 30, 3), np.uint8))
    assert (result.report.size, result.report.level) == ("tiny", "8bit")


@pytest.mark.parametrize(
    ("task", "size", "level", "says"),
    [
        ("seg", "tiny", "4bit", "holds seg tiny at 8bit, not seg tiny at 4bit"),
        ("seg", "0.4b", "8bit", "not seg 0.4b at 8bit"),
        ("normal", "tiny", "8bit", "not normal tiny at 8bit"),
    ],
)
def test_a_folder_of_something_else_is_a_sentence(folder, task, size, level, says):
    with pytest.raises(SapiensError, match=says):
        inference.run(store.load, task, size, level, folder)


@pytest.mark.parametrize("damage", ["cut short", "other names", "config", "another program's"])
def test_a_damaged_folder_is_a_sentence(folder, damage):
    model, config = folder / "model.safetensors", folder / "config.json"
    if damage == "cut short":
        model.write_bytes(model.read_bytes()[:-10])
    elif damage == "other names":
        model.write_bytes(model.read_bytes().replace(b"blocks.3.ffn.w3.scales", b"blocks.3.ffn.w4.scales"))
    else:
        config.write_text("{" if damage == "config" else '{"model_type": "sapiens2"}')
    with pytest.raises(SapiensError, match=r"damaged") as problem:
        inference.run(store.load, "seg", "tiny", "8bit", folder)
    assert str(folder) in str(problem.value)


def test_a_conversion_says_nothing_of_the_detector_which_is_fetched_before_the_run(folder):
    options = Options()
    wanted = fetch.missing(sm.load("detect", "0.4b", weights=folder), options)
    assert [one.checkpoint.task for one in wanted] == ["detect"]


def test_the_mask_of_another_task_does_not_look_into_the_folder(machine, tiny_size, tmp_path, capsys):
    for task in ("seg", "normal"):
        rule.write_tiny(machine, task)
    options = ("--task", "normal", "--size", "tiny", "--level", "8bit")
    converted(capsys, *options, "--out", tmp_path / "published")
    result = sm.load("normal", weights=tmp_path / "published")(np.zeros((40, 30, 3), np.uint8), foreground="seg")
    assert result.person_mask.shape == (40, 30)


# ---- mistakes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("{source}",), "--level"),
        (("{source}", "--level", "3bit", "--task", "seg"), "no quantization level '3bit'"),
        (("{source}", "--level", "8bit", "--task", "nose"), "no task 'nose'"),
        (("{unnamed}", "--task", "seg", "--level", "8bit"), "does not tell the size (--size 0.4b). Add it."),
        ((), "Say the task"),
        (("model/file.safetensors", "--level", "8bit"), "There is no file model/file.safetensors"),
        (("not a repo", "--level", "8bit"), "There is no file not a repo"),
        (("me/a--b", "--level", "8bit"), "There is no file me/a--b"),
        (("{source}/..", "--level", "8bit"), "There is no file"),
        (("{folder}", "--level", "8bit"), "is a folder. Give the checkpoint's file"),
        (("facebook/sapiens2-seg-0.4b", "--task", "pose", "--level", "8bit"), "is named for seg, and --task says pose"),
        (("{source}", "--task", "pose", "--size", "tiny", "--level", "8bit"), "weights for seg, not for pose"),
        (("{source}", "--size", "0.4b", "--level", "8bit"), "size tiny, not 0.4b"),
        (("{source}", "--task", "seg", "--size", "tiny", "--level", "fp32"), "no copy is kept. Add --out DIR"),
        (("--task", "seg", "--size", "demo", "--level", "4bit"), "no copy is kept. Add --out DIR"),
        (("--task", "detect", "--size", "demo", "--level", "4bit", "--out", "{new}"), "nothing to convert"),
        (("{source}", "--task", "seg", "--size", "tiny", "--level", "8bit", "--out", "{source}"), "is a file"),
        (("{source}", "--task", "seg", "--size", "tiny", "--level", "8bit", "--out", "{folder}"), "is not empty"),
        (("{source}", "--task", "seg", "--size", "tiny", "--level", "8bit", "--out", "/proc/x"), "cannot be written"),
        (("{source}", "--task", "seg", "--size", "tiny", "--level", "8bit", "--upload", "me/it"), "add --out DIR"),
        (("facebook/sapiens2-albedo-0.4b", "--level", "8bit"), "not published yet"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(tiny, tmp_path, capsys, arguments, says):
    if not arguments:
        arguments = ("--level", "8bit")
    places = {"source": tiny, "folder": tiny.parent, "new": tmp_path / "new", "unnamed": tiny.parent / "a.safetensors"}
    shutil.copy(tiny, places["unnamed"])
    status, out, error = run(capsys, *(argument.format(**places) for argument in arguments))
    assert (status, out) == (2, "")
    assert says in error
    assert error.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["weights"]


def test_a_layer_too_narrow_for_a_level_is_a_sentence(machine, tiny_size, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(zoo.SIZES, "tiny", zoo.Size("tiny", 32, 20, 2, 1, None, (128, 96)))
    path = rule.write_checkpoint(machine / "seg/sapiens2_tiny_seg.safetensors", rule.manifest("tiny/seg"))
    arguments = (path, "--task", "seg", "--size", "tiny", "--level", "4bit", "--out", tmp_path / "out")
    status, _, error = run(capsys, *arguments)
    assert status == 2
    assert "groups of 64" in error
    assert not (tmp_path / "out").exists()


def test_two_float_types_that_are_not_read_together_are_a_sentence(machine, tiny_size, capsys):
    tensors = {name: tensor.astype(np.float64) for name, tensor in rule.tensors(rule.tiny_shapes("seg")).items()}
    name = "decode_head.conv_seg.bias"
    tensors[name] = tensors[name].astype(np.float16)
    path = machine / "sapiens2_tiny_seg.safetensors"
    save_file(tensors, path)
    length = int.from_bytes(path.read_bytes()[:8], "little")
    header, data = json.loads(path.read_bytes()[8 : 8 + length]), path.read_bytes()[8 + length :]
    header[name]["dtype"] = "BF16"  # as wide as float16
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    status, _, error = run(capsys, path, "--level", "8bit")
    assert status == 2
    assert "F64 and others as BF16" in error
