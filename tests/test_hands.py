"""Hands from photo to result: equal to wilor-mlx's own pipeline, in one camera, with small random weights."""

from pathlib import Path

import made_up_hands as made_up
import mlx.core as mx
import numpy as np
import pytest
from slowly import slowly

import sapiens_mlx as sm
from sapiens_mlx.errors import WeightsError
from sapiens_mlx.hands import camera, crops, find, network, rotations
from sapiens_mlx.hands.weights import load
from sapiens_mlx.runtime import inference
from sapiens_mlx.tasks.hands import JOINTS, LINKS

PROJECT = Path(__file__).resolve().parents[1]
PHOTO = made_up.discs("rlrll")


def by_its_pipeline(folder, photo, **options):
    """What wilor-mlx's HandPosePipeline makes of the same files. Its loaders are for full-size networks."""

    def run(progress):
        from wilor_mlx import convert, detector, model
        from wilor_mlx.pipeline import HandPosePipeline

        finder, wilor = detector.HandDetector(), model.WiLoR()
        detector._load_detector_weights(finder, str(folder / "hands/hand-detector.safetensors"))
        tensors = mx.load(str(folder / "hands/wilor-mlx.safetensors"))
        for part in ("backbone", "refine_net"):
            own = [(name.removeprefix(f"{part}."), one) for name, one in tensors.items() if name.startswith(part)]
            getattr(wilor, part).load_weights(own, strict=True)
        convert.load_mano_npz(wilor, str(folder / "hands/mano.npz"))
        return HandPosePipeline(finder, wilor)(photo, include_vertices=True, **options)

    return inference.run(run)


@pytest.mark.parametrize("sides, size", [("rlrll", (480, 640)), ("lr", (333, 217)), ("r" * 9 + "l" * 3, (600, 601))])
def test_points_are_not_those_of_its_pipeline(hand_weights, sides, size):
    photo = made_up.discs(sides, *size)
    ours = sm.load("hands", level="fp32")(photo)
    theirs = by_its_pipeline(hand_weights, photo)
    assert len(ours) == len(theirs) >= len(sides) and set(ours.sides) == {"left", "right"}
    assert list(ours.sides) == [one.hand_side for one in theirs]
    np.testing.assert_allclose(ours.scores, [one.confidence for one in theirs], atol=1e-6)
    np.testing.assert_allclose(ours.boxes_xyxy, [one.bbox for one in theirs], atol=1e-3)
    np.testing.assert_allclose(ours.detected_xy, [one.keypoints_2d for one in theirs], atol=1e-3)
    np.testing.assert_allclose(ours.own_points_m, [one.keypoints_3d for one in theirs], atol=1e-3)
    np.testing.assert_allclose(ours.own_vertices_m, [one.vertices for one in theirs], atol=1e-3)
    assert np.ptp(ours.own_points_m, axis=0).max() > 0.01, "the hands are all alike: the test would show nothing"


@pytest.mark.slow
@pytest.mark.parametrize("threshold, iou", [(0.9, 0.5), (0.3, 0.05), (0.2, 0.7)])
def test_thresholds_are_not_its_pipelines(hand_weights, threshold, iou):
    ours = sm.load("hands", level="fp32")(PHOTO, hand_threshold=threshold, hand_iou=iou, vertices=False)
    theirs = by_its_pipeline(hand_weights, PHOTO, conf_threshold=threshold, iou_threshold=iou, include_3d=False)
    assert len(ours) == len(theirs) > 0
    np.testing.assert_allclose(ours.boxes_xyxy, [one.bbox for one in theirs], atol=1e-3)


@pytest.mark.parametrize(
    "photo_hw, centre, side, out",
    [((90, 130), (65.0, 45.0), 130, 512), ((90, 130), (3.7, 80.2), 71.3, 256), ((2, 5), (2.0, 0.0), 9.1, 64)],
)
def test_pixels_of_a_crop_are_not_wilors(photo_hw, centre, side, out):
    pipeline = pytest.importorskip("wilor_mlx.pipeline", reason=made_up.REASON)
    photo = np.random.default_rng(0).integers(0, 256, (*photo_hw, 3), np.uint8)
    middle, sides = np.float32(centre), np.float32(side)
    for grey in (-1, 114):

        def theirs(progress, grey=grey):
            pad = grey if grey >= 0 else None
            return np.array(pipeline._crop_and_resize_mlx(mx.array(photo), *middle, sides, out, pad))

        np.testing.assert_array_equal(crops.square(photo, middle, sides, out, grey), inference.run(theirs))


def test_one_hand_changes_what_another_in_its_batch_is(hand_weights):
    """wilor-mlx's BatchNorm takes its statistics from the batch at hand."""
    together = sm.load("hands", level="fp32")(made_up.discs("rl"))
    alone = sm.load("hands", level="fp32")(made_up.discs("rl"), hand_threshold=float(together.scores[0]) - 1e-4)
    assert (len(together), len(alone)) == (2, 1)
    np.testing.assert_allclose(together.own_points_m[:1], alone.own_points_m, atol=1e-5)


def test_trained_norms_are_not_those_of_the_weights(hand_weights):
    trained = sm.load("hands", level="fp32")(PHOTO, hand_norms="trained")
    package = sm.load("hands", level="fp32")(PHOTO)

    def in_evaluation(progress):
        networks = load("fp32")
        crop = crops.square(PHOTO, trained.centres_xy[0], trained.crops_px[0], 256)
        crop = crop if trained.sides[0] == "right" else crop[:, ::-1]
        refine = networks.wilor.refine_net.net
        for name in network._OF_REFINEMENT:
            setattr(refine.deconv, name, getattr(refine.deconv, name).norm)
        refine.eval()
        return np.array(networks.wilor(mx.array(crop[None]))["pred_keypoints_3d"])

    expected = inference.run(in_evaluation)[0] * [1 if trained.sides[0] == "right" else -1, 1, 1]
    np.testing.assert_allclose(trained.own_points_m[0], expected, atol=1e-5)
    assert np.abs(trained.own_points_m - package.own_points_m).max() > 1e-4


ANGLES = [0, 1e-7, 1e-4, 1e-2, 1, np.pi / 2 - 1e-4, np.pi / 2 + 1e-4, 2.5, 3.1, np.pi - 1e-3, np.pi - 1e-6, np.pi]


@pytest.mark.parametrize("angle_rad", ANGLES)
def test_a_rotation_near_half_a_turn_loses_its_axis(angle_rad):
    rotation = pytest.importorskip("scipy.spatial.transform", reason="SciPy is not installed").Rotation
    axes = np.random.default_rng(0).standard_normal((200, 3))
    axes = np.concatenate([np.eye(3), -np.eye(3), [[1, 1, 0], [0, -1, 1]], axes])
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    matrices = rotation.from_rotvec(angle_rad * axes).as_matrix().astype(np.float32)
    found = inference.run(lambda progress: np.array(rotations.rotvec(mx.array(matrices.reshape(-1, 1, 3, 3)))))[:, 0]
    apart = rotation.from_matrix(matrices).inv() * rotation.from_rotvec(found)
    assert apart.magnitude().max() < 2e-6
    assert np.linalg.norm(found, axis=1).max() <= np.pi + 1e-6
    if angle_rad < np.pi - 1e-4:  # where there is one only
        np.testing.assert_allclose(found, angle_rad * axes, atol=1e-5)


def test_a_wrist_at_half_a_turn_comes_out_as_none(hand_weights):
    half = np.float32([0, 1, 0, 1, 0, 0])  # two columns of the matrix: x and y change places

    def run(progress):
        networks = load("fp32")
        wilor = networks.wilor
        for layer in (wilor.backbone.decpose, wilor.refine_net.net.dec_pose):
            layer.weight, layer.bias = mx.zeros_like(layer.weight), mx.zeros_like(layer.bias)
        wilor.backbone.init_hand_pose = mx.array(np.tile(half, 16)[None])
        raw = networks.run(mx.zeros((1, 256, 256, 3), mx.uint8))
        return np.array(raw[2]), np.array(raw[3])

    wrist, fingers = inference.run(run)
    assert (wrist.shape, fingers.shape) == ((1, 1, 3), (1, 15, 3))
    np.testing.assert_allclose(np.abs(wrist[0, 0]), np.pi / np.sqrt(2) * np.array([1, 1, 0]), atol=1e-5)
    np.testing.assert_allclose(fingers[0], np.broadcast_to(wrist[0], (15, 3)), atol=1e-5)


# ---- the camera -----------------------------------------------------------------------------------------------------


def test_projected_hands_do_not_lie_where_their_crops_have_them(hand_weights):
    result = sm.load("hands", level="fp32")(PHOTO)
    scales, shifts = result.cameras[:, :1, None], result.cameras[:, None, 1:]
    # Weak-perspective: the crop's half is as wide as the camera's scale says, for a hand that is far away.
    flat = (result.own_points_m[..., :2] + shifts) * scales * result.crops_px[:, None, None] / 2
    expected = result.centres_xy[:, None] + flat
    np.testing.assert_allclose(result.keypoints_xy, expected, atol=1.0)
    np.testing.assert_allclose(result.project(result.keypoints_3d), result.keypoints_xy, atol=1e-2)
    low, high = result.boxes_xyxy[:, :2], result.boxes_xyxy[:, 2:]
    middles = result.project(result.vertices).mean(1)
    assert ((middles > low) & (middles < high)).all(), "the meshes do not lie on the hands"


def test_a_camera_is_not_the_networks_own_of_the_crop():
    """Of a photo that is the crop: WiLoR is trained with a focal length of 5000 for 256 pixels."""
    cameras = np.float32([[4.5, 0.02, -0.03]])
    focal = camera.focal_px((256, 256))
    assert focal == 5000
    place = camera.translations_m(cameras, camera.centre_xy((256, 256))[None], np.float32([256]), (256, 256), focal)
    np.testing.assert_allclose(place, [[0.02, -0.03, 2 * 5000 / (256 * 4.5)]], rtol=1e-6)


def test_another_focal_length_moves_hands_in_the_photo():
    places = np.float32([[0.1, -0.2, 20.0]])
    moved = camera.with_focal(places, 12000.0, 600.0)
    before, after = camera.project(places, 12000.0, (480, 640)), camera.project(moved, 600.0, (480, 640))
    np.testing.assert_allclose(before, after, atol=1e-3)
    assert moved[0, 2] == pytest.approx(1.0)


def test_a_scale_that_is_nought_or_below_puts_a_hand_nowhere():
    cameras = np.float32([[0, 0, 0], [-3, 0.1, 0.1]])
    places = camera.translations_m(cameras, np.zeros((2, 2), np.float32), np.float32([50, 50]), (90, 90), 1000.0)
    assert np.isfinite(places).all() and (places[:, 2] > 0).all()


# ---- names ----------------------------------------------------------------------------------------------------------


def test_joints_are_not_openposes():
    assert len(JOINTS) == len(set(JOINTS)) == 21 and len(LINKS) == 20
    assert JOINTS[0] == "wrist" and JOINTS[4::4] == tuple(
        f"{finger}_tip" for finger in ("thumb", "index", "middle", "ring", "little")
    )
    assert [link for link in LINKS if link[0] == 0] == [(0, 1), (0, 5), (0, 9), (0, 13), (0, 17)]
    assert all(b == a + 1 for a, b in LINKS if a)


def test_boxes_that_overlap_stay():
    boxes = np.float32([[50, 50, 40, 40], [52, 50, 40, 40], [150, 50, 40, 40]])
    assert find.suppressed(boxes, np.float32([0.5, 0.9, 0.7]), 0.5).tolist() == [1, 2]
    assert find.suppressed(boxes, np.float32([0.5, 0.9, 0.7]), 1.0).tolist() == [1, 2, 0]
    assert find.suppressed(boxes[:0], np.float32([]), 0.5).tolist() == []


@pytest.mark.parametrize("damage", ["cut", "another", "shape", "extra", "text"])
@pytest.mark.parametrize("name", ["wilor-mlx", *map(slowly, ("wilor-mlx-int4", "hand-detector"))])
def test_a_damaged_file_is_no_sentence(hand_weights, name, damage):
    path = hand_weights / f"hands/{name}.safetensors"

    def harm(progress):
        tensors = mx.load(str(path))
        mx.eval(tensors)
        first = next(one for one in tensors if one.endswith("conv.weight") or ".attn.qkv.weight" in one)
        if damage == "cut":
            path.write_bytes(path.read_bytes()[:5000])
        elif damage == "text":
            path.write_text("<html>")
        elif damage == "another":
            mx.save_safetensors(str(path), {"a": mx.zeros(3)})
        else:
            tensors |= {first: mx.zeros((3, 2))} if damage == "shape" else {"left.over": mx.zeros(2)}
            mx.save_safetensors(str(path), tensors)

    inference.run(harm)
    level = "4bit" if name.endswith("int4") else "fp32"
    if name == "hand-detector" and damage == "extra":  # as wilor-mlx has it
        assert len(sm.load("hands", level=level)(PHOTO)) == 5
        return
    with pytest.raises(WeightsError) as problem:
        sm.load("hands", level=level)(PHOTO)
    assert f"{name}.safetensors" in str(problem.value) and "\n" not in str(problem.value)


@pytest.mark.full
def test_the_full_networks_points_are_not_its_pipelines(machine, monkeypatch, tmp_path):
    """2.5 GB of random weights, read by wilor-mlx's own loaders."""
    pytest.importorskip("wilor_mlx", reason=made_up.REASON)
    monkeypatch.setenv("HOME", str(tmp_path))
    folder, photo = machine / "hands", made_up.discs("rl")

    def write(progress):
        made_up.write_pose(folder / "wilor-mlx.safetensors")
        made_up.write_detector(folder / "hand-detector.safetensors")
        made_up.write_mano(folder / "mano.npz")

    def theirs(progress):
        from wilor_mlx import HandDetector, HandPosePipeline, WiLoR

        names = (folder / "wilor-mlx.safetensors", folder / "mano.npz")
        wilor = WiLoR.from_pretrained(*map(str, names))
        finder = HandDetector.from_pretrained(str(folder / "hand-detector.safetensors"))
        return HandPosePipeline(finder, wilor)(photo, include_vertices=True)

    inference.run(write)
    expected = inference.run(theirs)
    ours = sm.load("hands", level="fp32")(photo)
    assert len(ours) == len(expected) > 1
    np.testing.assert_allclose(ours.own_points_m, [one.keypoints_3d for one in expected], atol=1e-3)
    np.testing.assert_allclose(ours.own_vertices_m, [one.vertices for one in expected], atol=1e-3)
