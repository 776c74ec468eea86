"""Hands: options, odd cases and levels."""

import sys
import tomllib
from pathlib import Path

import made_up_hands as made_up
import mlx.core as mx
import numpy as np
import pytest
from PIL import Image

import sapiens_mlx as sm
from sapiens_mlx import costs, hands, inventory, runtime, zoo
from sapiens_mlx.__main__ import main
from sapiens_mlx.errors import CancelledError, LevelError, SapiensError
from sapiens_mlx.hands import crops, find, network
from sapiens_mlx.hands.weights import load
from sapiens_mlx.models import models
from sapiens_mlx.predictor import Predictor
from sapiens_mlx.runtime import inference
from sapiens_mlx.tasks.hands import notices_of

PROJECT = Path(__file__).resolve().parents[1]
PHOTO = made_up.discs("rlrll")


# ---- options and cases ----------------------------------------------------------------------------------------------


def test_a_mirrored_photo_has_not_the_mirrored_hands(hand_weights):
    """A left hand is what a right one is in the mirror, but for the pixels' own mirror of half a pixel."""
    photo = made_up.discs("r", 512, 512)
    right = sm.load("hands", level="fp32")(photo)
    swapped = np.ascontiguousarray(photo[:, ::-1, ::-1])  # red and blue too: the detector tells sides by them
    left = sm.load("hands", level="fp32")(swapped)
    assert (right.sides, left.sides) == (("right",), ("left",))
    np.testing.assert_allclose(left.own_points_m[..., 1:], right.own_points_m[..., 1:], atol=5e-3)
    np.testing.assert_allclose(left.own_points_m[..., 0], -right.own_points_m[..., 0], atol=5e-3)
    assert left.cameras[0, 1] == pytest.approx(-right.cameras[0, 1], abs=0.03)


def test_points_alone_hold_meshes(hand_weights):
    predictor = sm.load("hands", level="fp32")
    points, both = predictor(PHOTO, vertices=False), predictor(PHOTO)
    assert points.vertices is None and points.own_vertices_m is None and points.faces is None
    np.testing.assert_array_equal(points.keypoints_3d, both.keypoints_3d)
    assert both.vertices.shape == (len(both), 778, 3) and both.faces.shape == (1538, 3)


def test_a_ready_crop_is_not_what_the_network_sees(hand_weights):
    crop = np.random.default_rng(3).integers(0, 256, (256, 256, 3), np.uint8)

    def directly(progress):
        return np.array(load("fp32").run(mx.array(crop[None]))[0])

    predictor = sm.load("hands", level="fp32")
    right, left = predictor(crop, hand_crop="right"), predictor(crop[:, ::-1], hand_crop="left")
    expected = inference.run(directly)
    np.testing.assert_allclose(right.own_points_m, expected, atol=1e-5)
    np.testing.assert_allclose(left.own_points_m, expected * [-1, 1, 1], atol=1e-5)
    assert (right.sides, left.sides) == (("right",), ("left",))
    assert right.detected_xy is None and "detect" not in right.report.seconds
    assert right.report.notices == []
    wide = predictor(np.zeros((50, 200, 3), np.uint8), hand_crop="right")
    assert any("filled from its edges" in notice for notice in wide.report.notices)


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"hand_threshold": 1.5}, "hand_threshold is 1.5. Give a number from 0 to 1"),
        ({"hand_iou": float("nan")}, "hand_iou is nan"),
        ({"hand_crop": "both"}, "no 'both' hand"),
        ({"hand_norms": "mine"}, "no norms 'mine'. Choose one of: package, trained"),
    ],
)
def test_an_option_that_cannot_be_is_no_sentence(options, sentence):
    with pytest.raises(SapiensError, match=sentence):
        sm.load("hands")(PHOTO, **options)


def test_no_hand_is_no_sentence_and_no_result(hand_weights, tmp_path):
    result = sm.load("hands", level="fp32")(np.zeros((100, 150, 3), np.uint8))
    assert len(result) == 0 and result.keypoints_3d.shape == (0, 21, 3) and result.vertices.shape == (0, 778, 3)
    assert [notice for notice in result.report.notices if notice.startswith("No hand was found. Lower")]
    assert "network" not in result.report.seconds
    np.testing.assert_array_equal(result.picture(), result.photo_rgb)
    assert result.close_ups() == []
    assert len(result.save(tmp_path, "none")) == 5


def test_part_of_a_hand_is_not_told(hand_weights):
    photo = made_up.discs("r", 400, 400)[:, 180:]
    result = sm.load("hands", level="fp32")(np.ascontiguousarray(photo))
    assert len(result) == 1 and result.boxes_xyxy[0, 0] < 0
    assert any(notice.startswith("1 hand reaches beyond the photo") for notice in result.report.notices)


def test_twenty_hands_are_not_found_or_take_one_batch(hand_weights, monkeypatch):
    batches = []
    run = network.HandNetworks.run
    monkeypatch.setattr(
        network.HandNetworks, "run", lambda self, pixels, *rest: batches.append(len(pixels)) or run(self, pixels, *rest)
    )
    heard = []
    predictor = sm.load("hands", level="fp32")
    result = predictor(made_up.discs("rl" * 10, 960, 1280), progress=lambda stage, *_: heard.append(stage))
    assert len(result) == 20 and batches == [8, 8, 4]
    assert "20 hands were found, and computed a few at a time to stay within the memory." in result.report.notices
    assert {"hand 1 of 20", "hand 9 of 20", "hand 17 of 20"} <= set(heard)
    alone = predictor(made_up.discs("rl" * 10, 960, 1280), hand_threshold=float(result.scores[0]) - 1e-4)
    np.testing.assert_allclose(alone.own_points_m[0], result.own_points_m[0], atol=1e-5)


def test_of_more_hands_than_a_photo_can_hold_the_surest_are_taken():
    """Whatever the thresholds: each takes seconds of the one thread that all visitors of a page share."""
    raw = np.zeros((1, 69, 300), np.float32)
    raw[0, 0], raw[0, 1], raw[0, 2:4] = np.arange(300) % 20 * 25 + 10, np.arange(300) // 20 * 25 + 10, 20.0
    raw[0, 4] = np.linspace(0.1, 0.9, 300)
    found = find.find(lambda photo: mx.array(raw), np.zeros((512, 512, 3), np.uint8), 0.0, 1.0)
    assert len(found) == find.MOST
    np.testing.assert_allclose(found.scores, raw[0, 4, ::-1][: find.MOST])
    assert any("the 100 surest hands" in said for said in notices_of(found, (512, 512), False, at_once=8))


def test_twelve_megapixels_are_no_sentence(hand_weights):
    result = sm.load("hands", level="fp32")(made_up.discs("rl", 3000, 4000))
    assert result.sides in (("right", "left"), ("left", "right"))
    said = [notice for notice in result.report.notices if "4000 x 3000" in notice]
    assert said and "smaller than about 94 pixels are easily missed" in said[0]
    low, high = result.boxes_xyxy[:, :2], result.boxes_xyxy[:, 2:]
    assert ((low > 0) & (high < [4000, 3000])).all()


@pytest.mark.parametrize("missing", ["all", "old"])
def test_without_the_package_there_is_no_line_that_installs_it(machine, monkeypatch, tmp_path, capsys, missing):
    if missing == "all":
        monkeypatch.setitem(sys.modules, "wilor_mlx", None)  # as if it were not installed
    else:
        pytest.importorskip("wilor_mlx", reason=made_up.REASON)
        monkeypatch.setitem(sys.modules, "wilor_mlx.detector", None)  # as one that has no detector
    path = tmp_path / "photo.png"
    Image.fromarray(PHOTO).save(path)
    status = main(["predict", str(path), "--task", "hands", "--out", str(tmp_path / "out"), "--accept-licences"])
    printed, error = capsys.readouterr()
    assert (status, printed, error.count("\n")) == (2, "", 1)
    assert "the package wilor-mlx" in error and 'pip install ".[hands]"' in error
    assert hands.REQUIREMENT in error
    with pytest.raises(SapiensError, match="wilor-mlx"):
        sm.load("hands")(PHOTO)


def test_stop_waits_for_the_whole_network(hand_weights):
    heard = []

    def stop(stage, done, total):
        heard.append((stage, done))
        if stage == "network" and done == 2:
            raise CancelledError

    with pytest.raises(CancelledError):
        sm.load("hands", level="fp32")(made_up.discs("r"), progress=stop)
    assert [done for stage, done in heard if stage == "network"] == [0, 1, 2]
    assert len(sm.load("hands", level="fp32")(made_up.discs("r"))) == 1


def test_the_network_is_loaded_anew_for_each_photo(hand_weights):
    predictor = sm.load("hands", level="fp32")
    first, again = predictor(PHOTO), predictor(PHOTO)
    np.testing.assert_array_equal(first.keypoints_3d, again.keypoints_3d)
    assert [key[0] for key in models._estimators] == ["hands"] and models.nbytes > 1e6
    assert again.report.seconds["load"] < first.report.seconds["load"]
    found = inference.run(
        lambda progress: predictor.module(mx.zeros((1, 256, 256, 3), mx.uint8))["pred_vertices"].shape
    )
    assert found == (1, 778, 3)


# ---- levels ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level, near_mm", [("bf16", 2.0), ("4bit", 20.0)])
def test_a_level_is_far_from_float32(hand_weights, level, near_mm):
    exact, other = sm.load("hands", level="fp32")(PHOTO), sm.load("hands", level=level)(PHOTO)
    agreement = other.agreement(exact)
    assert 0 < agreement.values["mean_shift_mm"] < near_mm
    assert other.report.level == level and other.report.weights_bytes < exact.report.weights_bytes
    assert (other.report.quantized_share > 0) == (level == "4bit")


def test_blocks_in_sixteen_bit_change_the_rest(hand_weights):
    """As on a GPU, where the blocks compute in bfloat16; rotations come out of float32 all the same."""

    def run(progress):
        found = load("bf16"), load("fp32")
        wide = network.load(
            hand_weights / "hands/wilor-mlx.safetensors",
            hand_weights / "hands/hand-detector.safetensors",
            hands_mano(hand_weights),
            zoo.level("bf16"),
            compute_dtype=mx.bfloat16,
        )
        crop = mx.array(crops.square(PHOTO, (60, 240), 200, 256)[None])
        outputs = [networks.run(crop) for networks in (wide, *found)]
        assert all(one.dtype == mx.float32 for one in outputs[0])
        return [np.array(raw[0]) for raw in outputs]

    half, mixed, exact = inference.run(run)
    np.testing.assert_allclose(half, exact, atol=5e-3)
    np.testing.assert_allclose(mixed, exact, atol=2e-3)


def hands_mano(folder):
    from sapiens_mlx.hands import mano

    return mano.read(folder / "hands/mano.npz")


def test_levels_that_there_are_not_are_no_sentence():
    with pytest.raises(SapiensError, match=r"Hands do not come at 8bit\. Choose one of: fp32, bf16, 4bit"):
        sm.load("hands", level="8bit")
    with pytest.raises(SapiensError, match="does not come in size 'huge'"):
        sm.load("hands", "huge")
    assert {sm.load("hands", size).size for size in (None, *zoo.SIZES)} == {"wilor"}


def test_a_file_of_the_other_level_is_no_sentence(hand_weights):
    plain, packed = (hand_weights / f"hands/{name}.safetensors" for name in ("wilor-mlx", "wilor-mlx-int4"))
    with pytest.raises(LevelError, match=r"layers are plain floats, and 4bit was asked for\. Choose fp32 or bf16"):
        Predictor("hands", level="4bit", weights=plain)(PHOTO)
    with pytest.raises(LevelError, match=r"layers are packed in 4 bits, and bf16 was asked for\. Choose 4bit"):
        Predictor("hands", level="bf16", weights=packed)(PHOTO)


def test_the_line_that_installs_it_is_not_the_projects_extra():
    extras = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras["hands"] == [hands.REQUIREMENT]
    assert hands.REQUIREMENT in (PROJECT / "requirements-dev.txt").read_text().splitlines()


def test_what_a_run_costs_is_not_told(machine, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    exact, packed = (costs.cost("hands", "demo", level) for level in ("fp32", "4bit"))
    assert set(exact.downloads) == {"wilor-mlx.safetensors", "hand-detector.safetensors", "mano.npz"}
    assert 2.4e9 < exact.download_bytes < 2.8e9 and packed.download_bytes < 0.7e9
    assert 3e9 < exact.memory_bytes < 4e9 and packed.memory_bytes < exact.memory_bytes / 2
    monkeypatch.setattr(runtime, "memory_limit_bytes", lambda: 2_500_000_000)
    assert "4bit would fit" in inventory.too_large("hands", "wilor", "fp32")
