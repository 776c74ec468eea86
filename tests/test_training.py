"""The demo weights' training: the figures' definitions, the split of seeds, the views that samples are made of, and
that the networks' checkpoints are the project's own format. The parts that need PyTorch are skipped without it."""

import os
import socket
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

from training import figures, scenes

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch (training/requirements.txt) is not here")


# ---- figures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("truth", "labels", "miou", "accuracy"),
    [
        ([0, 0, 1, 1], [0, 0, 1, 1], 1.0, 1.0),
        ([0, 0, 1, 1], [0, 0, 0, 1], (2 / 3 + 1 / 2) / 2, 0.75),
        ([0, 0, 0, 0], [0, 0, 0, 2], 0.75, 0.75),  # class 2 does not occur: its false pixel costs class 0 alone
        ([3], [4], 0.0, 0.0),
    ],
)
def test_iou_is_averaged_over_the_classes_that_occur(truth, labels, miou, accuracy):
    counts = figures.confusion(np.array(truth, np.uint8), np.array(labels, np.uint8))
    assert counts.shape == (29, 29)
    assert figures.mean_iou(counts) == pytest.approx(miou)
    assert figures.accuracy(counts) == pytest.approx(accuracy)


def test_confusion_of_a_picture_at_once_or_in_parts_is_the_same():
    rng = np.random.default_rng(0)
    truth, labels = rng.integers(0, 29, (2, 40, 30)).astype(np.uint8)
    parts = sum(figures.confusion(a, b) for a, b in zip(truth, labels, strict=True))
    assert np.array_equal(figures.confusion(truth, labels), parts)


@pytest.mark.parametrize(
    ("normals", "angle_deg"),
    [([0, 0, 1], 0), ([0, 0, 9], 0), ([0, 1, 1], 45), ([1, 0, 0], 90), ([0, 0, -2], 180), ([0, 0, 0], 90)],
)
def test_angles_do_not_depend_on_length(normals, angle_deg):
    found = figures.angles_deg(np.array([[0, 0, 1.0]]), np.array([normals], float))
    assert found == pytest.approx([angle_deg], abs=1e-4)


def test_depth_errors_are_relative_to_the_truth():
    assert figures.relative_errors(np.array([2.0, 4.0]), np.array([1.0, 5.0])) == pytest.approx([0.5, 0.25])


@pytest.mark.parametrize(
    ("away_xy", "visible", "expected"),
    [((0, 0), True, 1), ((10, 0), True, 1), ((6, 8), True, 1), ((10.1, 0), True, 0), ((0, 0), False, np.nan)],
)
def test_keypoints_are_near_within_a_twentieth_of_the_longer_side(away_xy, visible, expected):
    truth = np.full((1, 2), 50.0)
    near = figures.near_enough(truth, truth + away_xy, np.array([visible]), np.array([0, 0, 100, 200]))
    assert np.array_equal(near, [expected], equal_nan=True)


@pytest.mark.parametrize(
    ("found", "scores", "truth", "hits"),
    [
        ([], [], [[0, 0, 10, 10]], []),
        ([[0, 0, 10, 10]], [0.9], [], [False]),
        ([[0, 0, 10, 10], [0, 0, 10, 9]], [0.5, 0.9], [[0, 0, 10, 10]], [True, False]),  # the better takes the person
        ([[0, 0, 10, 5]], [0.9], [[0, 0, 10, 10]], [True]),  # IoU of exactly 0.5
        ([[0, 0, 10, 4.9]], [0.9], [[0, 0, 10, 10]], [False]),
        ([[0, 0, 10, 10], [20, 0, 30, 10]], [0.4, 0.6], [[0, 0, 10, 10], [20, 0, 30, 10]], [True, True]),
    ],
)
def test_a_person_is_found_once(found, scores, truth, hits):
    boxes = (np.array(b, float).reshape(-1, 4) for b in (found, truth))
    found_xyxy, truth_xyxy = boxes
    assert figures.matches(found_xyxy, np.array(scores), truth_xyxy).tolist() == hits


@pytest.mark.parametrize(
    ("hits", "people", "precision"),
    [
        ([True, True], 2, 1.0),
        ([True, False], 1, 1.0),  # what comes after all are found costs nothing
        ([False, True], 1, 0.5),
        ([True, False, True], 2, (1 + 2 / 3) / 2),
        ([True], 4, 0.25),
        ([], 3, 0.0),
    ],
)
def test_average_precision_is_the_area_under_the_curve(hits, people, precision):
    scores = np.linspace(0.9, 0.1, len(hits))
    assert figures.average_precision(np.array(hits, bool), scores, people) == pytest.approx(precision)
    shuffled = np.random.default_rng(0).permutation(len(hits))
    found = figures.average_precision(np.array(hits, bool)[shuffled], scores[shuffled], people)
    assert found == pytest.approx(precision)


# ---- seeds ----------------------------------------------------------------------------------------------------------


def test_no_held_out_scene_is_ever_trained_on():
    trained = {scenes.training_seed(number) for number in range(1_000)}
    held_out = [{scenes.held_out_seed(seed, number) for number in range(500)} for seed in (0, 1, 99)]
    assert not trained & set.union(*held_out)
    assert len(set.union(*held_out)) == 1_500
    assert all(seed % 2 for seed in set.union(*held_out)) and not any(seed % 2 for seed in trained)
    with pytest.raises(ValueError, match="another seed"):
        scenes.held_out_seed(0, scenes.HELD_OUT_STRIDE)


# ---- samples --------------------------------------------------------------------------------------------------------


def made_up_scene(height: int = 120, width: int = 90) -> scenes.Scene:
    """A flat person of one class on a plane at 2 m, whose right half's normals point right."""
    labels = np.zeros((height, width), np.uint8)
    labels[20:100, 30:60] = 15  # the right hand
    normals = np.zeros((height, width, 3), np.int8)
    normals[..., 2] = 127
    normals[:, width // 2 :] = (127, 0, 0)
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    keypoints = np.zeros((1, 308, 2), np.float32)
    keypoints[0] = np.random.default_rng(1).uniform((30, 20), (60, 100), (308, 2))
    return scenes.Scene(
        image_rgb=image,
        labels=labels,
        normals=normals,
        depth_m=np.full((height, width), 2, np.float16),
        albedo_rgb=image,
        alpha=255 * (labels > 0).astype(np.uint8),
        foreground_rgb=image * (labels > 0)[..., None],
        boxes_xyxy=np.array([[30, 20, 59, 99]], np.float32),
        keypoints=keypoints,
        visible=np.ones((1, 308), bool),
        focal_px=np.float32(100),
    )


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

    scene, input_hw = made_up_scene(240, 180), (384, 288)
    matrix = data.placed(np.array([89.5, 119.5]), np.array([1.5, 1.5]), input_hw, 20, flip=True)
    covered = np.zeros(input_hw, bool)
    covered[100:150, 90:200] = True
    whole = data.dense_targets(scene, matrix, input_hw, covered)
    corner = np.array([5, 3])
    window = data.dense_targets(scene, matrix, input_hw, covered, corner)
    rows, columns = slice(5 * 16, 17 * 16), slice(3 * 16, 12 * 16)
    for name in ("labels", "normals", "points", "albedo", "matte"):
        there, part = whole[name][..., rows, columns].astype(float), window[name].astype(float)
        assert part.shape == there.shape and part.shape[-2:] == (192, 144)
        same = np.abs(there - part) <= 1 + 0.01 * np.abs(there)  # pixels at edges may round to a neighbour
        assert same.mean() > 0.99, name
    assert window["labels"].any()
    assert all(window[name] == whole[name] for name in ("scale", "rigid", "as_taken"))


def test_windows_are_aimed_at_people_and_stay_inside():
    from training import data

    scene, input_hw, rng = made_up_scene(), (384, 288), np.random.default_rng(0)
    matrix = data.placed(np.array([75.0, 20.0]), np.array([3.0, 3.0]), input_hw)  # the person is at the lower left
    found = np.array([data.aimed(scene, matrix, input_hw, rng) for _ in range(200)])
    assert found.min() >= 0 and (found <= (12, 9)).all()
    assert (found[:, 0] >= 6).mean() > 0.7 and (found[:, 1] <= 4).mean() > 0.7


# ---- networks -------------------------------------------------------------------------------------------------------


@needs_torch
@pytest.mark.parametrize("task", ["seg", "pose", "normal", "pointmap", "albedo", "matting"])
def test_a_trained_network_loads_in_mlx_and_computes_the_same(task):
    import mlx.core as mx
    import torch

    from sapiens_mlx import zoo
    from sapiens_mlx.nn.heads import Estimator
    from sapiens_mlx.weights import architecture, layouts
    from training.export import shipped_names
    from training.network import CONFIG, Config, Network

    config = Config(input_hw=(64, 96), embed_dim=64, kv_heads=(2, 1), ffn_dim=64, heads=CONFIG.heads)
    torch.manual_seed(0)
    network = Network((task,), config).eval()
    pixels = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        expected = network(pixels)[task]
    tensors = {name: mx.array(t.numpy()) for name, t in shipped_names(task, network.state_dict()).items()}
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    head = architecture.head_config(shapes, zoo.task_row(task).final_layer)
    module = Estimator(architecture.backbone_config(shapes, "backbone."), head)
    ours = [(name, layouts.ORIGINAL.change(name).apply(tensor)) for name, tensor in tensors.items()]
    module.load_weights(ours, strict=True)
    found = module(mx.array(pixels.numpy().transpose(0, 2, 3, 1)))
    if task == "pointmap":
        assert np.array(found[1]) == pytest.approx(expected[1].numpy(), abs=1e-4)
        expected, found = expected[0], found[0]
    if task == "matting":
        expected = expected.sigmoid()
    expected = expected.numpy().transpose(0, 2, 3, 1)
    assert np.linalg.norm(np.array(found) - expected) < 1e-2 * np.linalg.norm(expected)


@needs_torch
def test_a_window_is_cut_out_of_each_feature_map_at_its_corner():
    import torch

    from training.network import cut

    features = torch.randn(2, 3, 24, 18)
    first, second = cut(features, torch.tensor([[0, 9], [12, 4]]))
    assert torch.equal(first, features[0, :, :12, 9:]) and torch.equal(second, features[1, :, 12:, 4:13])


@needs_torch
def test_the_files_that_ship_stay_small():
    from training import export, train

    states = {name: export.shipped_names(name, train.build(name).state_dict()) for name in export.ALL}
    assert 2 * sum(t.numel() for state in states.values() for t in state.values()) < 0.995 * export.MOST_BYTES


@needs_torch
def test_every_loss_falls_when_the_answer_gets_nearer():
    import torch

    from training import losses
    from training.data import dense_sample, pose_sample

    scene = made_up_scene()
    batch = {k: torch.from_numpy(np.asarray(v))[None] for k, v in dense_sample(scene, (96, 64), False).items()}
    person = pose_sample(scene, 0, (96, 64))
    batch |= {k: torch.from_numpy(np.asarray(v))[None] for k, v in person.items() if k != "pixels"}
    labels = batch["labels"].long()
    x, y = batch["keypoints"].unbind(-1)
    down, across = torch.arange(24)[:, None] - y[..., None, None], torch.arange(16) - x[..., None, None]
    answers = {
        "seg": 8.0 * torch.nn.functional.one_hot(labels, 29).permute(0, 3, 1, 2),
        "normal": batch["normals"].float(),
        "albedo": batch["albedo"] / 255,
        "matting": torch.logit((batch["matte"] / 255).clamp(1e-3, 1 - 1e-3)),
        "pose": torch.exp(-(down**2 + across**2) / (2 * losses.HEATMAP_SIGMA**2)),
        "pointmap": batch["points"].float(),
    }
    torch.manual_seed(0)
    for task, answer in answers.items():
        found = []
        for error in (2.0, 0.5, 0.0):
            raw = answer + error * torch.randn_like(answer)
            raw = (raw, batch["scale"][:, None] + error) if task == "pointmap" else raw
            found.append(float(losses.LOSSES[task](raw, batch)))
        assert found[0] > found[1] > found[2], task


@needs_torch
def test_half_the_distance_costs_as_much_as_twice_the_distance():
    import torch

    from training import losses
    from training.data import dense_sample

    sample = dense_sample(made_up_scene(), (96, 64), stretched=False)
    batch = {name: torch.from_numpy(np.asarray(value))[None] for name, value in sample.items()}
    truth, scale = batch["points"].float(), batch["scale"][:, None]
    exact, half, twice, thrice = (
        float(losses.pointmap_loss((factor * truth, scale), batch)) for factor in (1.0, 0.5, 2.0, 3.0)
    )
    assert half == pytest.approx(twice, rel=1e-3)
    assert exact < 0.01 < half < thrice


@needs_torch
def test_the_detectors_loss_wants_the_true_boxes():
    import torch

    from training import losses

    boxes = torch.zeros(1, 24, 4)
    boxes[0, :2] = torch.tensor([[100, 120, 300, 500], [350, 200, 420, 330.0]])
    batch = {"boxes": boxes, "people": torch.tensor([2])}
    points, _ = losses.grid([(80, 80), (40, 40), (20, 20)], torch.device("cpu"))

    def raw(shift: float, score: float) -> tuple[list, list]:
        """Each point gives the box whose middle is nearest, moved by `shift`; those inside have the score."""
        middles = (boxes[0, :2, :2] + boxes[0, :2, 2:]) / 2
        near = (points[:, None] - middles).norm(dim=-1).argmin(1)
        box = boxes[0, near] + shift
        sides = torch.cat([points - box[:, :2], box[:, 2:] - points], dim=1)
        inside = (sides.min(1).values > 0).float()
        logits = torch.where(inside > 0, score, -6.0)
        sizes, levels, maps = (6400, 1600, 400), logits.split((6400, 1600, 400)), sides.split((6400, 1600, 400))
        return (
            [part.view(1, 1, int(n**0.5), -1) for part, n in zip(levels, sizes, strict=True)],
            [part.T.reshape(1, 4, int(n**0.5), -1) for part, n in zip(maps, sizes, strict=True)],
        )

    far, near, right = (float(losses.detector_loss(raw(shift, 3.0), batch)) for shift in (60.0, 20.0, 0.0))
    assert far > near > right
    owners, quality = losses.assign(
        torch.zeros(8400), boxes[0, :1].repeat(8400, 1), boxes[0, :2], points, torch.ones(8400)
    )
    assert set(owners.unique().tolist()) == {-1, 0, 1} and quality[owners == 0].min() == 1


# ---- beginnings -----------------------------------------------------------------------------------------------------


@needs_torch
def test_a_network_begins_with_its_patches_and_looks_at_their_neighbours():
    import torch

    from training.network import EXTRA_TOKENS, Backbone, Config, look_around, rotate

    torch.manual_seed(0)
    config = Config(input_hw=(192, 192))
    backbone = Backbone(config).eval()
    look_around(backbone)
    pixels = torch.randn(1, 3, 192, 192)
    with torch.no_grad():
        alone = backbone.ln1(backbone.patch_embed(pixels)).transpose(1, 2).unflatten(2, (12, 12))
        assert torch.allclose(backbone(pixels), alone, atol=1e-5)  # blocks add nothing yet
        attention = backbone.blocks[0].attn
        x = torch.randn(1, EXTRA_TOKENS + 144, config.embed_dim)
        q = attention.q_norm(attention.wq(x).view(1, -1, 6, 32).transpose(1, 2))
        k = attention.k_norm(attention.wk(x).view(1, -1, 6, 32).transpose(1, 2))
        q, k = (rotate(t, backbone.sine, backbone.cosine)[:, :, EXTRA_TOKENS:].float() for t in (q, k))
        weights = (q @ k.transpose(-1, -2) / 32**0.5).softmax(-1)[0].unflatten(1, (12, 12)).unflatten(3, (12, 12))
    for head, (down, right) in enumerate(((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))):
        near = [weights[head, r, c, r + down, c + right] for r in range(2, 10) for c in range(2, 10)]
        assert torch.stack(near).mean() > 0.25  # of 144 places, one
    assert weights[5, 2:10, 2:10].amax(dim=(2, 3)).mean() < 0.25  # this one looks everywhere


@needs_torch
def test_a_patch_embedding_begins_with_components_of_the_same_variance(monkeypatch):
    import torch

    from training import network, train

    rng = np.random.default_rng(0)
    smooth = [cv2.GaussianBlur(rng.normal(128, 60, (64, 64, 3)), (0, 0), 2) for _ in range(40)]
    pictures = [np.clip(2 * p - 128, 0, 255).astype(np.uint8).transpose(2, 0, 1) for p in smooth]
    monkeypatch.setattr(train, "endless", lambda *_: iter([{"pixels": p} for p in pictures]))
    embedding = network.PatchEmbed(64)
    train.whiten_patches(embedding, (64, 64), samples=40)
    with torch.no_grad():
        tokens = embedding(train.normalise(torch.from_numpy(np.stack(pictures)))).flatten(0, 1)
    assert tokens.mean(0).abs().max() < 0.02
    covariance = torch.cov(tokens.T)
    spread = covariance.diagonal()
    assert spread.max() < 1.1 and spread.min() > 0.05
    assert (covariance - torch.diag(spread)).abs().max() < 0.02


def test_a_calm_backdrop_leaves_people_as_they_are():
    from training.data import calmed

    scene, rng = made_up_scene(), np.random.default_rng(0)
    noise = rng.integers(0, 256, scene.image_rgb.shape, dtype=np.uint8)
    scene = replace(scene, image_rgb=noise)
    person, nobody = scene.alpha == 255, scene.alpha == 0
    assert person.any() and nobody.any()
    calm = calmed(scene, rng)
    assert np.array_equal(calm.image_rgb[person], noise[person])
    assert calm.image_rgb[nobody].std() < 0.5 * noise[nobody].std()


@needs_torch
def test_processes_that_train_together_average_their_gradients(tmp_path):
    script = tmp_path / "rank.py"
    script.write_text(
        "import torch\n"
        "from training.ranks import Ranks\n"
        "ranks = Ranks()\n"
        "weight = torch.nn.Parameter(torch.zeros(3))\n"
        "unused = torch.nn.Parameter(torch.zeros(2))\n"
        "weight.grad = torch.arange(3.0) + 10 * ranks.rank\n"
        "ranks.average_gradients([weight, unused])\n"
        "print(weight.grad.tolist(), unused.grad, ranks.most(float(ranks.rank), 2.0 - ranks.rank))\n"
        "ranks.leave()\n"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
    }
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        environment["MASTER_PORT"] = str(free.getsockname()[1])
    both = [
        subprocess.Popen(
            [sys.executable, str(script)], env={**environment, "RANK": str(rank)}, stdout=subprocess.PIPE, text=True
        )
        for rank in (0, 1)
    ]
    for process in both:
        assert process.communicate(timeout=120)[0].strip() == "[5.0, 6.0, 7.0] None [1.0, 2.0]"


# ---- what ships -----------------------------------------------------------------------------------------------------


def test_the_shipped_weights_hold_what_they_reached():
    """Twelve of the 200 scenes of the model card's figures, so with some room below these."""
    from training.evaluate import evaluate

    found = evaluate(seed=1, count=12)
    at_least = {"seg_miou": 0.075, "seg_accuracy": 0.83, "pck_body": 0.40, "pck_all": 0.63, "detector_ap50": 0.50}
    at_most = {"normal_mean_deg": 32.5, "depth_absrel": 0.66, "albedo_mae": 0.14, "alpha_mae": 0.14}
    assert set(found) == {*at_least, *at_most}
    assert all(found[name] >= value for name, value in at_least.items()), found
    assert all(found[name] <= value for name, value in at_most.items()), found
