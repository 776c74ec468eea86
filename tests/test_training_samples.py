"""The demo weights' training: the views and windows of scenes that samples are made of."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from made_up_scene import made_up_scene

from training import scenes


def test_a_scene_comes_back_from_disk_as_it_was(tmp_path):
    scene = made_up_scene()
    scene.write(tmp_path / "1.npz")
    again = scenes.Scene.read(tmp_path / "1.npz")
    assert all(np.array_equal(a, b) for a, b in zip(vars(scene).values(), vars(again).values(), strict=True))
    assert [path.name for path in tmp_path.iterdir()] == ["1.npz"]


def test_the_plain_view_of_a_scene_is_what_the_app_feeds_the_network():
    from sapiens_mlx.tasks import fit
    from training.data import dense_sample

    scene = made_up_scene(120, 70)
    scene = replace(scene, image_rgb=cv2.GaussianBlur(scene.image_rgb, (0, 0), 3))
    for stretched, expected in (
        (False, fit.letterbox(scene.image_rgb, (96, 64))[0]),
        (True, cv2.resize(scene.image_rgb, (64, 96), interpolation=cv2.INTER_LINEAR)),
    ):
        pixels = dense_sample(scene, (96, 64), stretched)["pixels"].transpose(1, 2, 0)
        assert np.abs(pixels[8:-8, 8:-8].astype(int) - expected[8:-8, 8:-8]).mean() < 4


def test_a_mirrored_view_swaps_left_and_right_everywhere(monkeypatch):
    from training import data

    scene, plain_hw = made_up_scene(), (120, 90)
    plain = data.dense_sample(scene, plain_hw, stretched=False)
    mirror = data.placed(np.array([89, 119]) / 2, np.ones(2), plain_hw, flip=True)
    monkeypatch.setattr(data, "dense_matrix", lambda *_: mirror)
    mirrored = data.dense_sample(scene, plain_hw, stretched=False)
    assert np.array_equal(mirrored["pixels"], plain["pixels"][:, :, ::-1])
    assert set(np.unique(plain["labels"])) == {0, 15} and set(np.unique(mirrored["labels"])) == {0, 6}
    assert np.allclose(mirrored["normals"][0], -plain["normals"][0, :, ::-1], atol=1e-3)
    assert np.allclose(mirrored["normals"][1:], plain["normals"][1:, :, ::-1], atol=1e-3)
    assert np.allclose(mirrored["points"][0], -plain["points"][0, :, ::-1], atol=1e-2)
    assert np.allclose(mirrored["points"][1:], plain["points"][1:, :, ::-1], atol=1e-2)


@pytest.mark.parametrize("angle_deg", [0, 30, -90])
def test_normals_and_points_turn_with_the_picture(monkeypatch, angle_deg):
    from training import data

    matrix = data.placed(np.array([44.5, 59.5]), np.ones(2), (90, 90), angle_deg)
    monkeypatch.setattr(data, "dense_matrix", lambda *_: matrix)
    sample = data.dense_sample(made_up_scene(), (90, 90), stretched=False)
    # A normal to the right goes, in a picture turned clockwise (y points down), down: its y, which points up, falls.
    right = matrix[:, :2] @ (20, 0) + 44.5
    x, y = np.rint(right).astype(int)
    angle = np.radians(angle_deg)
    assert sample["normals"][:, y, x] == pytest.approx([np.cos(angle), -np.sin(angle), 0], abs=0.02)
    points = sample["points"][:, y, x] / sample["scale"]
    assert points == pytest.approx([2 * (x - 44.5) / 100, 2 * (y - 44.5) / 100, 2], abs=0.01)


def test_points_of_a_smaller_view_are_the_same_points():
    from training.data import dense_sample

    sample = dense_sample(made_up_scene(), (60, 45), stretched=False)
    assert sample["scale"] == pytest.approx(45 / 50)  # the focal length shrinks with the picture
    assert sample["points"][2] / sample["scale"] == pytest.approx(np.full((60, 45), 2.0), abs=0.01)
    assert sample["rigid"] == sample["as_taken"] == 1
    assert dense_sample(made_up_scene(), (60, 60), stretched=True)["rigid"] == 0


def test_keypoints_of_a_crop_are_those_that_the_app_reads_back():
    from sapiens_mlx.tasks import udp
    from training.data import pose_sample

    scene, input_hw = made_up_scene(), (128, 96)
    scene = replace(scene, image_rgb=cv2.GaussianBlur(scene.image_rgb, (0, 0), 3))
    sample = pose_sample(scene, 0, input_hw)
    crop = udp.crop_of_box(scene.boxes_xyxy[0], input_hw)
    assert (
        np.abs(sample["pixels"].transpose(1, 2, 0).astype(int) - udp.cut_out(scene.image_rgb, crop, input_hw)).mean()
        < 8
    )
    input_xy = udp.heatmap_to_input(sample["keypoints"], (32, 24), input_hw)
    back = udp.input_to_photo(input_xy, crop, input_hw)
    assert back == pytest.approx(scene.keypoints[0], abs=1e-3)


def test_patches_show_the_side_of_their_class_or_of_the_nearest_visible_keypoint():
    from training import data

    nose, left_shoulder, right_shoulder, left_hand, upper_clothing = 0, 5, 6, 6, 23
    labels = np.zeros((32, 96), np.uint8)
    labels[:16, :16], labels[16:, 16:] = left_hand, upper_clothing
    visible, keypoints = np.zeros((2, 308), bool), np.zeros((2, 308, 2))
    keypoints[0, nose], keypoints[0, right_shoulder], keypoints[1, left_shoulder] = (50, 24), (24, 24), (90, 24)
    visible[0, [nose, right_shoulder]] = visible[1, left_shoulder] = True
    assert data.sides_of(labels, keypoints, visible).tolist() == [[1, *[0.5] * 5], [0.5, 0, 0, 0, 1, 1]]
    visible[0] = False
    assert data.sides_of(labels, keypoints, visible).tolist() == [[1, *[0.5] * 5], [0.5, 1, 1, 1, 1, 1]]
    assert data.sides_of(labels, keypoints, np.zeros_like(visible)).tolist() == [[1, *[0.5] * 5], [0.5] * 6]


def test_sides_change_with_a_mirrored_view():
    from training import data

    scene, input_hw = made_up_scene(), (128, 96)
    sides = []
    for flip in (False, True):
        matrix = data.crop_matrix(scene.boxes_xyxy[0], input_hw, flip=flip)
        _, nothing = data.shown(scene, matrix, input_hw, None, 0)
        keypoints, visible, _ = data.keypoints_in(scene, matrix, input_hw, nothing)
        sides.append(data.sides_of(data.dense_targets(scene, matrix, input_hw, nothing)["labels"], keypoints, visible))
    assert {0, 1} & set(np.unique(sides[0])) and np.array_equal(sides[1], 1 - sides[0][:, ::-1])


def test_varied_samples_keep_their_shapes_and_ranges():
    from training.data import dense_sample, detector_sample, pose_sample

    scene, rng = made_up_scene(), np.random.default_rng(0)
    for _ in range(20):
        dense = dense_sample(scene, (96, 64), bool(rng.integers(2)), rng)
        assert dense["pixels"].shape == (3, 96, 64) and dense["pixels"].dtype == np.uint8
        assert set(np.unique(dense["labels"])) <= {0, 6, 15}
        length = np.linalg.norm(dense["normals"].astype(np.float32), axis=0)
        assert ((abs(length - 1) < 0.02) | (length == 0)).all()
        pose = pose_sample(scene, 0, (96, 64), rng)
        assert pose["keypoints"].shape == (308, 2) and not (pose["visible"] > pose["inside"]).any()
        found = detector_sample([scene] * int(rng.choice([1, 4])), rng)
        boxes = found["boxes"][: found["people"]]
        assert (boxes[:, 2:] > boxes[:, :2]).all() and boxes.min() >= 0 and boxes.max() <= 640


def test_a_windows_targets_are_that_part_of_the_views():
    from training import data

    scene, rng = made_up_scene(240, 180), np.random.default_rng(3)
    window = data.dense_sample(scene, (384, 288), False, rng, windowed=True)
    whole = data.dense_sample(scene, (384, 288), False, np.random.default_rng(3))
    assert np.array_equal(window["pixels"], whole["pixels"])
    top, left = 16 * window["corner"]
    for name in ("labels", "normals", "albedo"):
        assert np.array_equal(window[name], whole[name][..., top : top + 192, left : left + 144]), name
        assert window[name].shape[-2:] == (192, 144)
    assert all(np.array_equal(value, whole[name]) for name, value in window["whole"].items())
    assert {"labels", "points", "scale", "matte", "rigid", "as_taken"} == set(window["whole"])


def test_windows_are_aimed_at_people_and_stay_inside():
    from training import data

    scene, input_hw, rng = made_up_scene(), (384, 288), np.random.default_rng(0)
    matrix = data.placed(np.array([75.0, 20.0]), np.array([3.0, 3.0]), input_hw)  # the person is at the lower left
    found = np.array([data.aimed(scene, matrix, input_hw, rng) for _ in range(200)])
    assert found.min() >= 0 and (found <= (12, 9)).all()
    assert (found[:, 0] >= 6).mean() > 0.7 and (found[:, 1] <= 4).mean() > 0.7


def test_windows_are_aimed_at_small_parts_as_at_large_ones():
    from training import data

    labels, rng = np.full((384, 288), 23, np.uint8), np.random.default_rng(0)
    labels[:4, :4] = 6
    scene = replace(made_up_scene(384, 288), labels=labels)
    matrix = data.placed(np.array([143.5, 191.5]), np.ones(2), (384, 288))
    found = np.array([data.aimed(scene, matrix, (384, 288), rng) for _ in range(200)])
    assert (found == 0).all(axis=1).mean() > 0.2  # the corner has a ten thousandth of the pixels


def test_a_calm_backdrop_leaves_people_as_they_are():
    from training.variety import calmed

    scene, rng = made_up_scene(), np.random.default_rng(0)
    noise = rng.integers(0, 256, scene.image_rgb.shape, dtype=np.uint8)
    scene = replace(scene, image_rgb=noise)
    person, nobody = scene.alpha == 255, scene.alpha == 0
    assert person.any() and nobody.any()
    calm = calmed(scene, rng)
    assert np.array_equal(calm.image_rgb[person], noise[person])
    assert calm.image_rgb[nobody].std() < 0.5 * noise[nobody].std()
