"""The weights that ship with the project: the default everywhere, marked as what they are, and restored when gone.

Nothing here relies on what the networks find.
"""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from urllib.parse import unquote

import av
import clips
import gradio as gr
import mlx.core as mx
import numpy as np
import pytest
import rule
from browser import REPOSITORY, RUN_MS, choose, draw_photo, radio, serving, visiting
from command_line import run
from mlx.utils import tree_flatten
from safetensors.numpy import load_file, save_file

import sapiens_mlx as sm
from sapiens_mlx import inventory, zoo
from sapiens_mlx.errors import SapiensError
from sapiens_mlx.models import models
from sapiens_mlx.runtime import inference
from sapiens_mlx.shipped import demo_folder, examples_folder
from sapiens_mlx.ui import examples, words
from sapiens_mlx.weights import store

PHOTO = np.random.default_rng(0).integers(0, 255, (90, 130, 3), np.uint8)
BOX = [[20, 5, 100, 88]]
DENSE = [task for task in zoo.TASKS if task not in ("pose", "detect")]
SHIPPED = sorted({zoo.checkpoint(task, "demo").filename for task in zoo.TASKS})


# ---- the tables -----------------------------------------------------------------------------------------------------


def test_demo_is_the_default_and_the_first_size_of_every_task():
    assert zoo.DEFAULTS.size == "demo"
    assert {row.sizes[0] for row in zoo.TASKS.values()} == {"demo"}
    assert {sm.load(task).size for task in zoo.TASKS} == {"demo"}


@pytest.mark.parametrize(
    ("task", "wanted", "size"),
    [
        ("seg", "demo", "demo"),
        ("seg", "5b", "5b"),
        ("matting", "demo", "demo"),
        ("matting", "0.4b", "1b"),  # never the demo's for whoever chose weights made for photographs
        ("seg", "rtmdet-m", "0.4b"),
        ("detect", "0.4b", "rtmdet-m"),
    ],
)
def test_a_size_that_a_task_does_not_come_in_is_replaced_by_one_of_its_kind(task, wanted, size):
    assert zoo.size_like(task, wanted) == size


def test_the_detector_goes_with_the_size():
    assert {size: zoo.detector_size(size) for size in zoo.SIZES} == {
        size: "demo" if size == "demo" else "rtmdet-m" for size in zoo.SIZES
    }
    assert zoo.checkpoint("detect", "1b") == zoo.RTMDET_M
    with pytest.raises(SapiensError, match=r"size .7b.\. Choose one of: demo, rtmdet-m"):
        sm.load("detect", "7b")


def test_the_files_that_ship_hold_the_networks_of_the_table():
    for task in zoo.TASKS:
        path = demo_folder() / zoo.checkpoint(task, "demo").filename
        shapes = store.read_shapes(path)
        if task != "detect":
            backbone = sum(np.prod(shape) for name, shape in shapes.items() if name.startswith("backbone."))
            assert backbone == pytest.approx(zoo.SIZES["demo"].parameters, rel=0.01)
    assert sum((demo_folder() / name).stat().st_size for name in SHIPPED) <= 32e6


def test_a_demo_network_needs_little_memory():
    assert inventory.needed_bytes("demo", "fp32") < inventory.needed_bytes("0.4b", "4bit") / 4


# ---- runs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", zoo.TASKS)
def test_every_task_runs_on_a_fresh_machine(machine, tmp_path, task):
    options = {"boxes_xyxy": BOX} if task == "pose" else {}
    result = sm.load(task)(PHOTO, **options)
    assert (result.report.size, result.report.licence) == ("demo", zoo.DEMO_LICENCE.name)
    assert result.report.notices == [zoo.DEMO_NOTICE]
    assert result.picture().shape == PHOTO.shape
    assert all(path.stat().st_size for path in result.save(tmp_path / "out", "photo"))


@pytest.mark.slow
@pytest.mark.parametrize("level", zoo.LEVELS)
@pytest.mark.parametrize("task", [*DENSE, "pose"])
def test_every_level_fits_the_widths_of_the_demo(machine, task, level):
    model = inference.run(store.load, task, "demo", level)
    raw = inference.run(lambda progress: model.module(mx.zeros((1, 384, 288, 3)).astype(model.compute_dtype)))
    for part in raw if isinstance(raw, tuple) else (raw,):
        assert inference.run(lambda progress, part=part: mx.all(mx.isfinite(part)).item())
    assert store.conversions() == []  # they are made in no time


def test_people_are_found_by_the_detector_of_the_size(machine, tiny_size):
    rule.write_tiny(machine, "pose")
    rule.write_detector(machine / zoo.RTMDET_M.local_path)
    alone = {"box_threshold": 0.999, "flip": False}  # hardly ever anybody, and then the whole photo
    for size, detector, notice in (("demo", "demo", 1), ("tiny", "rtmdet-m", 0)):
        for task in ("pose", "detect"):
            models.clear()
            report = sm.load(task, size)(PHOTO, **alone).report
            assert set(models._detectors) == {(detector, None)}
            assert report.notices.count(zoo.DEMO_NOTICE) == notice


def test_boxes_that_nobody_looked_for_say_nothing_of_weights(machine):
    assert sm.load("detect")(PHOTO, boxes_xyxy=BOX).report.notices == []


@pytest.mark.parametrize("foreground", ["auto", "seg", "matting"])
def test_a_picture_cut_to_people_says_it_once(machine, foreground):
    result = sm.load("normal")(PHOTO, foreground=foreground)
    assert result.person_mask.shape == PHOTO.shape[:2]
    assert result.report.notices == [zoo.DEMO_NOTICE]


def test_the_detector_is_widened_to_32_bit_and_may_carry_counts_of_training_steps(machine, tmp_path):
    tensors = load_file(demo_folder() / "rtmdet_demo_person.safetensors")
    tensors["backbone.stem.0.bn.num_batches_tracked"] = np.array(7, np.int64)
    save_file(tensors, tmp_path / "mine.safetensors")
    for weights in (None, tmp_path / "mine.safetensors"):
        module = inference.run(store.load_detector, "demo", weights)
        assert {tensor.dtype for _, tensor in tree_flatten(module.parameters())} == {mx.float32}


def test_weights_of_ones_own_come_before_those_that_ship(machine, tmp_path):
    tensors = load_file(demo_folder() / "sapiens2_demo_seg.safetensors")
    tensors["decode_head.conv_seg.bias"] = np.where(np.arange(29) == 7, 6e4, 0).astype(np.float16)
    own = tmp_path / "own/seg/sapiens2_demo_seg.safetensors"
    own.parent.mkdir(parents=True)
    save_file(tensors, own)
    for weights in (own, tmp_path / "own"):
        assert (sm.load("seg", weights=weights)(PHOTO).labels == 7).all()
    assert sm.load("normal", weights=tmp_path / "own")(PHOTO).normals.shape == PHOTO.shape  # it has seg alone


# ---- the command line -----------------------------------------------------------------------------------------------


def test_the_notice_goes_to_standard_error_once_and_the_output_stays_json(machine, tmp_path, capsys):
    photos = [draw_photo(tmp_path / name, (96, 128)) for name in ("a.png", "b.png")]
    status, out, error = run(capsys, "predict", *photos, "--task", "seg,normal", "--out", tmp_path, "--json")
    assert status == 0
    assert [(done["size"], done["notices"]) for done in json.loads(out)["results"]] == [("demo", [zoo.DEMO_NOTICE])] * 4
    assert error == f"note: {zoo.DEMO_NOTICE}\n"
    status, out, error = run(capsys, "predict", *photos, "--out", tmp_path)
    assert (zoo.DEMO_NOTICE in out, error.count(zoo.DEMO_NOTICE)) == (False, 1)


def test_models_lists_the_demo_with_its_licence_and_what_it_is_good_for(machine, capsys):
    text = run(capsys, "models")[1]
    assert text.count("ships with the project, no download") == len(zoo.TASKS)
    assert f"{zoo.DEMO_LICENCE.name}: {zoo.DEMO_LICENCE.url}" in text
    assert zoo.DEMO_NOTICE in text


# ---- gone, damaged, installed ---------------------------------------------------------------------------------------


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of the project, without its history, that a test may spoil."""
    folder = tmp_path / "clone"
    shutil.copytree(REPOSITORY / "sapiens_mlx", folder / "sapiens_mlx", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("assets/demo", "examples"):
        shutil.copytree(REPOSITORY / name, folder / name)
    for name in ("app.py", "pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, folder)
    return folder


def predict(tmp_path: Path, *arguments: str, **where) -> subprocess.CompletedProcess:
    photo = draw_photo(tmp_path / "photo.png", (96, 128))
    command = [sys.executable, "-m", "sapiens_mlx", "predict", str(photo), "--out", str(tmp_path / "out"), *arguments]
    own = {"SAPIENS_CHECKPOINT_ROOT": str(tmp_path / "none"), "SAPIENS_MLX_CACHE": str(tmp_path / "cache")}
    environment = os.environ | own | {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"} | where.pop("env", {})
    return subprocess.run(command, capture_output=True, text=True, env=environment, **where)


def spoil(path: Path, how: str) -> None:
    whole = path.read_bytes()
    contents = {"cut short": whole[:-1000], "empty": b"", "a pointer": b"version https://git-lfs.github.com/spec/v1\n"}
    path.unlink()
    if how != "gone":
        path.write_bytes(contents[how])


@pytest.mark.slow
@pytest.mark.parametrize("how", ["gone", "cut short", "empty", "a pointer"])
@pytest.mark.parametrize("task", ["seg", "detect"])
def test_a_file_that_is_gone_or_damaged_is_named_with_how_to_restore_it(clone, tmp_path, task, how):
    path = clone / "assets/demo" / zoo.checkpoint(task, "demo").filename
    spoil(path, how)
    done = predict(tmp_path, "--task", task, cwd=clone)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert path.name in done.stderr
    assert f"run `git checkout -- assets/demo` in {clone}" in done.stderr


def test_a_mask_whose_file_is_gone_leaves_the_result_and_says_how_to_restore_it(clone, tmp_path):
    for task in ("seg", "matting"):
        spoil(clone / "assets/demo" / zoo.checkpoint(task, "demo").filename, "gone")
    done = predict(tmp_path, "--task", "normal", "--foreground", "auto", "--json", cwd=clone)
    assert done.returncode == 0, done.stderr
    demo, why = json.loads(done.stdout)["notices"]
    assert demo == zoo.DEMO_NOTICE
    assert "sapiens2_demo_seg.safetensors" in why
    assert "git checkout -- assets/demo" in why


@pytest.mark.slow
def test_an_installed_package_brings_the_weights_and_the_examples(clone, tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", str(clone), "--no-deps", "--wheel-dir", str(tmp_path / "wheel")]
    built = subprocess.run(command, capture_output=True, text=True)
    if "No matching distribution found for setuptools" in built.stderr:
        pytest.skip("no package index is at hand to build a wheel with")
    assert built.returncode == 0, built.stderr
    installed = tmp_path / "installed"
    with zipfile.ZipFile(next((tmp_path / "wheel").glob("*.whl"))) as wheel:
        wheel.extractall(installed)
    modules = {path.relative_to(clone) for path in (clone / "sapiens_mlx").rglob("*.py")}
    assert {path.relative_to(installed) for path in (installed / "sapiens_mlx").rglob("*.py")} == modules
    assert {path.name for path in (installed / "sapiens_mlx/demo").glob("*.safetensors")} == set(SHIPPED)
    listed = "from sapiens_mlx.ui import examples; print([path.name for path in examples.files()])"
    where = {"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": str(installed)}}
    names = subprocess.run([sys.executable, "-c", listed], capture_output=True, text=True, **where)
    assert names.stdout.strip() == str([path.name for path in examples.files()])

    done = predict(tmp_path, "--task", "seg,detect", **where)
    assert done.returncode == 0, done.stderr
    spoil(installed / "sapiens_mlx/demo/sapiens2_demo_seg.safetensors", "cut short")
    done = predict(tmp_path, **where)
    assert done.returncode == 2
    assert "sapiens2_demo_seg.safetensors" in done.stderr
    assert "Install the package again" in done.stderr


# ---- the page -------------------------------------------------------------------------------------------------------


def test_an_example_that_is_no_picture_keeps_the_page_from_starting(tmp_path):
    whole = clips.write(tmp_path / "whole.mp4", 24)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[:2000])
    silent = tmp_path / "silent.mp4"
    with av.open(str(silent), "w") as clip:  # with sound alone
        stream = clip.add_stream("aac", rate=44100)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 44100
        clip.mux(stream.encode(sound) + stream.encode(None))
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no picture")
    with gr.Blocks():
        built = examples.build(tmp_path / "icons", [cut, whole, silent, bad])
    assert list(built.values()) == [whole]


def test_the_page_says_what_the_weights_are_and_under_which_licence():
    for task in zoo.TASKS:
        assert zoo.DEMO_NOTICE in words.choice([task], "demo", "fp32")
        larger = zoo.size_like(task, "0.4b")
        assert zoo.DEMO_NOTICE not in words.choice([task], larger, "fp32")
        licence = "Apache License 2.0" if task == "detect" else "Sapiens2 License"
        assert licence in words.choice([task], larger, "fp32")
    assert "not published yet" in words.choice(["albedo"], "0.4b", "fp32")
    assert "not published yet" not in words.choice(["albedo"], "demo", "fp32")


def test_the_card_of_a_run_says_which_share_of_the_weights_is_quantized(capsys, tmp_path):
    shares = {}
    for level in ("fp16", "4bit"):
        report = sm.load("seg", "demo", level)(PHOTO).report
        shares[level], card = report.quantized_share, words.card(report, "")
        memory = inventory.amount(report.weights_bytes)
        quantized = f"{report.quantized_share:.0%} of them quantized; " if report.quantized_share else ""
        assert f"weights stored as {level} ({quantized}{memory} in memory), computed in " in card
    assert shares["fp16"] == 0 and 0.5 < shares["4bit"] < 0.9
    report = sm.load("detect", "demo")(PHOTO).report
    assert "weights stored as fp32, computed in" in words.card(report, "")

    options = ["--task", "seg", "--level", "4bit", "--out", tmp_path]
    status, out, _ = run(capsys, "predict", examples_folder() / "face.jpg", *options)
    assert status == 0 and f"4bit ({shares['4bit']:.0%} of the weights quantized, " in out


def test_captions_come_from_the_names_of_the_files():
    assert examples.caption(Path("examples/one_person.jpg")) == "One person"


@pytest.mark.slow
@pytest.mark.browser
def test_an_example_runs_at_a_press_and_the_page_says_what_it_was_made_with(chromium, tmp_path):
    from playwright.sync_api import expect

    first, second = (examples.caption(path) for path in examples.files()[:2])
    with serving(["app.py"], tmp_path, {}) as server:
        # Not visiting(): the first example's photo is gone before the browser asks for it, which its console tells.
        page = chromium.new_page(viewport={"width": 1440, "height": 900})
        page.goto(server.url)
        expect(page.locator(".choice")).to_contain_text(zoo.DEMO_NOTICE, timeout=RUN_MS)
        expect(page.locator(".example")).to_have_count(len(examples.files()))
        page.get_by_role("button", name=first).click()
        page.get_by_role("button", name=second).click()  # before the first is done: the second is what counts
        expect(page.locator("#status .done")).to_be_visible(timeout=RUN_MS)
        expect(page.locator(".cm-content")).to_contain_text(
            f"predict {examples.files()[1].name} --task seg --size demo", timeout=RUN_MS
        )
        expect(page.locator(".notes-area").first).to_contain_text(zoo.DEMO_NOTICE)
        expect(page.locator("#run")).to_be_enabled()

        licence = page.locator(".card a")
        assert licence.get_attribute("download") == "LICENSE.txt"
        assert "MIT" in unquote(licence.get_attribute("href").removeprefix("data:text/plain;charset=utf-8,"))
        for button in page.locator(".example img").all():
            assert button.evaluate("image => image.naturalWidth") > 0

        choose(page, "pointmap")
        page.get_by_role("button", name=first).click()
        expect(page.locator(".card")).to_contain_text("Depth demo", timeout=RUN_MS)
        page.locator("#run").click()  # the example is the photo now
        expect(page.locator("#status .done")).to_be_visible(timeout=RUN_MS)
        page.close()


@pytest.mark.slow
@pytest.mark.browser
def test_the_size_stays_with_the_visitor_from_task_to_task(chromium, tmp_path):
    from playwright.sync_api import expect

    with serving(["app.py"], tmp_path, {}) as server, visiting(chromium, server.url) as open_page:
        page = open_page()

        expect(page.locator(".example")).to_have_count(len(examples.files()))  # all of the page is there
        expect(radio(page, "demo")).to_be_checked()
        choose(page, "0.4b")
        expect(page.locator(".choice")).to_contain_text("Sapiens2 License")
        expect(page.locator(".choice")).not_to_contain_text(zoo.DEMO_NOTICE)
        for task, size in (("matting", "1b"), ("detect", "rtmdet-m"), ("pose", "0.4b")):
            choose(page, task)
            expect(radio(page, size)).to_be_checked()
            expect(radio(page, "fp32")).to_be_visible(visible=task != "detect")
        choose(page, "demo")
        for task in ("matting", "detect", "albedo"):
            choose(page, task)
            expect(radio(page, "demo")).to_be_checked()
            expect(page.locator(".choice")).to_contain_text(zoo.DEMO_NOTICE, timeout=RUN_MS)


@pytest.mark.slow
@pytest.mark.browser
def test_the_page_opens_without_a_file_and_tells_when_it_is_missed(chromium, clone, tmp_path):
    from playwright.sync_api import expect

    for task in ("seg", "matting"):
        spoil(clone / f"assets/demo/sapiens2_demo_{task}.safetensors", "gone")
    with serving(["app.py"], tmp_path, {}, clone) as server, visiting(chromium, server.url) as open_page:
        page = open_page()
        page.locator(".example").first.click()
        expect(page.get_by_role("alert")).to_contain_text("sapiens2_demo_seg.safetensors", timeout=RUN_MS)
        expect(page.get_by_role("alert")).to_contain_text("git checkout -- assets/demo")
        choose(page, "normal")
        page.locator("#run").click()  # which would be cut out by one of the two
        expect(page.locator("#status .done")).to_be_visible(timeout=RUN_MS)
        expect(page.locator(".notes-area").first).to_contain_text("People are not cut out: ")
        expect(page.locator(".notes-area").first).to_contain_text("git checkout -- assets/demo")


@pytest.mark.slow
@pytest.mark.browser
def test_without_examples_the_page_is_as_it_was(chromium, clone, tmp_path):
    from playwright.sync_api import expect

    shutil.rmtree(clone / "examples")
    (clone / "examples").mkdir()
    (clone / "examples/broken.jpg").write_bytes(b"no picture")
    with serving(["app.py"], tmp_path, {}, clone) as server, visiting(chromium, server.url) as open_page:
        page = open_page()
        expect(page.locator("#run")).to_be_visible()
        assert page.locator(".examples").count() == 0
