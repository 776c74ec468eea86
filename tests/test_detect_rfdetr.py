"""RF-DETR as a detector: a small random one, made by mlx-vlm, against its raw outputs; and what there is without it."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest
import rule
from hub_server import Hub
from mlx.utils import tree_flatten
from PIL import Image

import sapiens_mlx as sm
from sapiens_mlx import detect_rfdetr, fetch, zoo
from sapiens_mlx.__main__ import main
from sapiens_mlx.detect import nms
from sapiens_mlx.errors import SapiensError, WeightsError
from sapiens_mlx.models import models
from sapiens_mlx.options import Options
from sapiens_mlx.runtime import inference
from sapiens_mlx.ui import words

PROJECT = Path(__file__).resolve().parents[1]
PHOTO = np.random.default_rng(1).integers(0, 256, (90, 130, 3), np.uint8)
RESOLUTION = 112
CONFIG = {
    "model_type": "rf-detr",
    "resolution": RESOLUTION,
    "dec_layers": 2,
    "num_queries": 30,
    "group_detr": 1,
    "patch_size": 14,
    "num_windows": 2,
    "out_feature_indexes": [1, 2],
    "backbone_config": {
        "hidden_size": 384,
        "num_hidden_layers": 2,
        "num_attention_heads": 6,
        "intermediate_size": 64,
        "patch_size": 14,
        "image_size": RESOLUTION,
        "out_feature_indexes": [0, 1],
        "window_block_indexes": [0],
    },
}


# ---- without the package --------------------------------------------------------------------------------------------


def test_the_line_that_installs_it_is_not_the_projects_extra():
    extras = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras["rfdetr"] == [detect_rfdetr.REQUIREMENT]


@pytest.mark.parametrize("task", ["pose", "detect"])
def test_without_the_package_there_is_no_line_that_installs_it(machine, tiny_size, monkeypatch, tmp_path, capsys, task):
    monkeypatch.setitem(sys.modules, "mlx_vlm", None)  # as if it were not installed
    path = tmp_path / "photo.png"
    Image.fromarray(PHOTO).save(path)
    out = tmp_path / "out"
    status = main(["predict", str(path), "--task", task, "--size", "tiny", "--detector", "rfdetr", "--out", str(out)])
    printed, error = capsys.readouterr()
    assert (status, printed, error.count("\n")) == (2, "", 1)
    assert "mlx-vlm, which is not installed" in error and f'pip install "{detect_rfdetr.REQUIREMENT}"' in error
    assert not list(out.iterdir())


def test_a_detector_that_there_is_not_is_told_with_those_that_there_are():
    with pytest.raises(SapiensError, match=r"no detector 'yolo'\. Choose one of: rtmdet, rfdetr, none"):
        sm.load("pose", "demo")(PHOTO, detector="yolo")


# ---- with it --------------------------------------------------------------------------------------------------------


def write_network(folder: Path) -> Path:
    """A small random RF-DETR as mlx-vlm keeps it, in the reference's layout. It is fond of people."""
    rfdetr = pytest.importorskip("mlx_vlm.models.rfdetr", reason="mlx-vlm is not installed")

    def make(progress):
        mx.random.seed(3)
        module = rfdetr.Model(rfdetr.ModelConfig.from_dict(json.loads(json.dumps(CONFIG))))
        tensors = dict(tree_flatten(module.parameters()))
        for name in ("query_feat.weight", "refpoint_embed.weight"):
            tensors[name] = 0.5 * mx.random.normal(tensors[name].shape)
        tensors["class_embed.bias"] = mx.array([-1.0, 0.3, 0.0] + [-4.0] * 88)
        tensors["bbox_embed.layers.2.bias"] = mx.array([0.0, 0.0, 1.2, 1.2])  # large boxes, which overlap
        path = folder / zoo.RFDETR_BASE.local_path
        path.parent.mkdir(parents=True)
        mx.save_safetensors(str(path), tensors)
        path.with_name("config.json").write_text(json.dumps(CONFIG))
        return path

    return inference.run(make)


@pytest.fixture
def network(machine):
    return write_network(machine)


def raw_people(path: Path, threshold: float, overlap: float) -> tuple[np.ndarray, np.ndarray]:
    """Boxes and scores of people from the raw outputs of the module, each step from its definition."""
    from mlx_vlm.models import rfdetr

    def run(progress):
        module = rfdetr.Model(rfdetr.ModelConfig.from_dict(json.loads(json.dumps(CONFIG))))
        module.load_weights(str(path))
        small = np.asarray(Image.fromarray(PHOTO).resize((RESOLUTION, RESOLUTION), Image.Resampling.BILINEAR))
        mean, deviation = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
        found = module(mx.array((small.astype(np.float32) / 255 - mean) / deviation)[None])
        return np.array(found["pred_logits"][0]), np.array(found["pred_boxes"][0])

    logits, boxes = inference.run(run)
    scores = 1 / (1 + np.exp(-logits.astype(np.float64)))
    people = (scores.argmax(1) == 1) & (scores[:, 1] > threshold)
    corners = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], axis=1)[people]
    height, width = PHOTO.shape[:2]
    corners = np.clip(corners * [width, height, width, height], 0, [width, height, width, height])
    kept = nms(corners - [0, 0, 1, 1], scores[people, 1], overlap)  # ours counts a pixel more
    return corners[kept], scores[people, 1][kept]


def test_people_are_not_those_of_the_raw_outputs(network):
    detector = inference.run(lambda progress: detect_rfdetr.load(progress=progress))
    boxes, scores = raw_people(network, 0.3, 0.5)
    people = inference.run(lambda progress: detector(PHOTO, box_threshold=0.3, nms_threshold=0.5))
    assert 1 < len(people) < 30, "the test would show nothing"
    np.testing.assert_allclose(people.boxes_xyxy, boxes, atol=0.05)
    np.testing.assert_allclose(people.box_scores, scores, atol=1e-3)


def test_thresholds_do_not_do_what_they_say(network):
    def run(progress):
        detector = detect_rfdetr.load(progress=progress)
        usual = detector(PHOTO)
        return (
            usual,
            detector(PHOTO, box_threshold=float(np.median(usual.box_scores))),
            detector(PHOTO, nms_threshold=1.0),
            detector(PHOTO, box_threshold=1.0),
        )

    usual, sure, overlapping, nobody = inference.run(run)
    assert 0 < len(sure) < len(usual) < len(overlapping) and len(nobody) == 0
    assert nobody.boxes_xyxy.shape == (0, 4)


def test_pose_and_people_come_from_it_and_the_report_does_not_say_so(network, machine, tiny_size):
    rule.write_tiny(machine, "pose")
    found = sm.load("detect", "tiny")(PHOTO, detector="rfdetr", nms_threshold=0.1)
    assert (found.report.size, found.report.licence) == ("rfdetr-base", "Apache License 2.0")
    pose = sm.load("pose", "tiny")(PHOTO, detector="rfdetr", nms_threshold=0.1, flip=False)
    np.testing.assert_array_equal(pose.boxes_xyxy, found.boxes_xyxy)
    assert (pose.report.size, pose.report.licence, pose.report.detector) == ("tiny", "Sapiens2 License", "rfdetr")
    assert "RF-DETR (Apache License 2.0)" in words.card(pose.report, "")
    given = sm.load("pose", "tiny")(PHOTO, detector="rfdetr", boxes_xyxy=[[1, 2, 60, 80]], flip=False)
    assert given.report.detector == ""
    assert len(models._detectors) == 1


def test_weights_of_sixteen_bit_break_it(network):
    halves = {name: one.astype(mx.bfloat16) for name, one in mx.load(str(network)).items()}
    mx.save_safetensors(str(network), halves)
    people = inference.run(lambda progress: detect_rfdetr.load(progress=progress)(PHOTO))
    assert len(people) and people.boxes_xyxy.dtype == np.float32


@pytest.mark.parametrize("damage", ["cut", "another", "config", "no config"])
def test_damaged_files_are_no_sentence(network, damage):
    config = network.with_name("config.json")
    if damage == "cut":
        network.write_bytes(network.read_bytes()[:5000])
    elif damage == "another":
        mx.save_safetensors(str(network), {"a": mx.zeros(3)})
    elif damage == "config":
        config.write_text("{")
    else:
        config.unlink()
    with pytest.raises(WeightsError, match=r"no RF-DETR that mlx-vlm can read|config\.json") as problem:
        inference.run(lambda progress: detect_rfdetr.load(progress=progress))
    assert "\n" not in str(problem.value)


def test_everybody_waits_while_it_is_downloaded(network):
    def missing(**options):
        wanted = fetch.missing(sm.load("detect", "rtmdet-m"), Options(**options))
        return [one.checkpoint for one in wanted]

    assert missing(detector="rfdetr") == []
    network.with_name("config.json").unlink()
    assert missing(detector="rfdetr") == [zoo.RFDETR_BASE]
    network.unlink()
    assert missing(detector="rfdetr") == [zoo.RFDETR_BASE]
    assert missing(detector="rfdetr", boxes_xyxy=[[0, 0, 9, 9]]) == []


def test_it_is_not_downloaded_with_its_configuration(tmp_path):
    """In a process of its own: huggingface_hub reads its environment when it is imported."""
    path = write_network(tmp_path / "made")
    repo = zoo.RFDETR_BASE.repo
    photo = tmp_path / "photo.png"
    Image.fromarray(PHOTO).save(photo)
    files = {f"{repo}/{name}": path.with_name(name).read_bytes() for name in ("config.json", "model.safetensors")}
    settings = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(PROJECT),
        "HOME": str(tmp_path),
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DOWNLOAD_TIMEOUT": "2",
    }
    command = [sys.executable, "-m", "sapiens_mlx", "predict", str(photo), "--task", "detect", "--size", "rtmdet-m"]
    command += ["--detector", "rfdetr", "--out", str(tmp_path / "out"), "--json"]
    with Hub(files) as hub:
        settings["HF_ENDPOINT"] = hub.endpoint
        done = subprocess.run(command, env=settings, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, json.loads(done.stdout)["size"]) == (0, "rfdetr-base"), done.stderr
    assert json.loads((tmp_path / "out/photo_detect.json").read_text())["people"]
