"""What is made of hands: pictures, files, whose they are, comparisons, clips, folders and the command line."""

import copy
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import made_up_hands as made_up
import numpy as np
import pytest
import rule
import trimesh
from PIL import Image

import sapiens_mlx as sm
from sapiens_mlx import compare_files, tasks, zoo
from sapiens_mlx.__main__ import main
from sapiens_mlx.bench.measure import measure
from sapiens_mlx.compare import Comparison
from sapiens_mlx.convert import convert
from sapiens_mlx.errors import SapiensError
from sapiens_mlx.jobs import manifest
from sapiens_mlx.jobs import run as at_work
from sapiens_mlx.jobs.plan import Item
from sapiens_mlx.options import Options
from sapiens_mlx.predictor import Predictor
from sapiens_mlx.runtime import inference
from sapiens_mlx.stop import Stop
from sapiens_mlx.tasks import hands_mesh, hands_people, hands_picture
from sapiens_mlx.tasks.hands import JOINTS, LINKS
from sapiens_mlx.tasks.keypoints import keypoints
from sapiens_mlx.tasks.pose import PoseResult
from sapiens_mlx.video.choices import VIEWS, ClipChoices
from sapiens_mlx.video.clip import run_clip

PHOTO = made_up.discs("rl")
BACKGROUND = PHOTO[0, 0]


@pytest.fixture
def weights(machine, monkeypatch, tmp_path):
    made_up.shrink(monkeypatch)
    monkeypatch.setenv("HOME", str(tmp_path))
    inference.run(lambda progress: made_up.write_all(machine))
    return machine


@pytest.fixture
def result(weights):
    return sm.load("hands", level="fp32")(PHOTO)


@pytest.fixture
def photo(tmp_path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(PHOTO).save(path)
    return path


# ---- pictures -------------------------------------------------------------------------------------------------------


def changed(picture: np.ndarray) -> np.ndarray:
    return (picture != PHOTO).any(-1)


def test_a_skeleton_does_not_lie_on_its_points(result):
    bare = result.picture(mesh=False, labels=False)
    inside = [(x, y) for points in result.keypoints_xy for x, y in points if 0 <= x < 640 and 0 <= y < 480]
    assert len(inside) > 30
    assert all(changed(bare)[round(float(y)), round(float(x))] for x, y in inside)
    np.testing.assert_array_equal(result.picture(mesh=False, labels=False, skeleton=False), PHOTO)
    thick = result.picture(mesh=False, labels=False, line_width=12)
    assert changed(thick).sum() > 1.5 * changed(bare).sum()


def test_bones_of_fingers_have_one_colour(result):
    picture = hands_picture.hands_picture(np.zeros_like(PHOTO), result, mesh=False, labels=False, line_width=3)
    found = {tuple(colour) for colour in picture.reshape(-1, 3).tolist()}
    assert {*hands_picture.FINGER_RGB, *hands_mesh.SIDE_RGB.values()} <= found


def test_a_mesh_does_not_cover_its_hand(result):
    solid = result.picture(opacity=1.0, skeleton=False, labels=False)
    covered = changed(solid)
    for number, side in enumerate(result.sides):
        xy = np.rint(result.project(result.vertices[number])).astype(int)
        low, high = xy.min(0), xy.max(0)
        middle = solid[(low[1] + high[1]) // 2, (low[0] + high[0]) // 2].astype(int)
        assert covered[(low[1] + high[1]) // 2, (low[0] + high[0]) // 2]
        blue_over_red = middle[2] - middle[0]
        assert blue_over_red > 20 if side == "left" else blue_over_red < -20
        assert covered[low[1] : high[1], low[0] : high[0]].mean() > 0.5
    half = result.picture(opacity=0.5, skeleton=False, labels=False)
    np.testing.assert_allclose(half, (PHOTO.astype(int) + solid) / 2, atol=1.01)
    np.testing.assert_array_equal(result.picture(opacity=0, skeleton=False, labels=False), PHOTO)


def test_light_does_not_come_from_the_camera():
    towards, away = np.float32([[0, 0, -1]]), np.float32([[0, 0, 1]])
    colour = np.float32([200, 100, 50])
    assert hands_mesh.shade(towards, colour).sum() > 2 * hands_mesh.shade(away, colour).sum()
    np.testing.assert_allclose(hands_mesh.shade(away, colour)[0], hands_mesh.AMBIENT * colour, rtol=1e-6)


def test_a_near_triangle_lies_below_a_far_one():
    picture = np.zeros((20, 20, 3), np.uint8)
    corners = np.float32([[0, 0], [0, 40], [40, 0]])
    points, depths = np.concatenate([corners, corners]), np.float32([1, 1, 1, 2, 2, 2])
    colours = np.float32([[255, 0, 0]] * 3 + [[0, 255, 0]] * 3)
    faces = np.array([[0, 1, 2], [3, 4, 5]])
    for order in (faces, faces[::-1]):
        hands_mesh.paint(picture, points, depths, order, colours)
        assert picture[5, 5].tolist() == [255, 0, 0]
    before = picture.copy()
    hands_mesh.paint(picture, points, depths, faces[:, ::-1], 255 - colours)  # turned away
    hands_mesh.paint(picture, np.full_like(points, np.nan), depths, faces, 255 - colours)
    np.testing.assert_array_equal(picture, before)


def test_divided_triangles_cover_something_else():
    points, colours = np.float32([[0, 0], [0, 30], [30, 0]]), np.float32([[0, 0, 0], [255, 0, 0], [0, 0, 255]])
    faces = np.array([[0, 1, 2]])
    finer = hands_mesh._divided(points, np.float32([1, 2, 3]), colours, faces)
    assert [len(part) for part in finer] == [6, 6, 6, 4]

    def area(xy, triangles):
        a, b, c = (xy[triangles[:, corner]] for corner in range(3))
        (x1, y1), (x2, y2) = (b - a).T, (c - a).T
        return (x1 * y2 - x2 * y1) / 2

    assert area(finer[0], finer[3]).tolist() == [area(points, faces)[0] / 4] * 4


def test_close_ups_do_not_show_their_hands(result):
    found = result.close_ups(px=200, opacity=1.0)
    assert [words for _, words in found] == [
        f"{number + 1}: {side} hand, {score:.2f}"
        for number, (side, score) in enumerate(zip(result.sides, result.scores, strict=True))
    ]
    for picture, _ in found:
        assert picture.shape == (200, 200, 3) and picture.dtype == np.uint8
        rows, columns = np.nonzero((picture != BACKGROUND).any(-1))
        assert np.ptp(rows) > 60 and np.ptp(columns) > 120
    assert len(sm.load("hands", level="fp32")(PHOTO, vertices=False).close_ups()) == 2


def test_a_large_hand_is_shrunk_by_leaving_pixels_out():
    stripes = np.zeros((1500, 2000, 3), np.uint8)
    stripes[:, ::2] = 255  # a grey, seen from afar
    corners = np.float32([[300, 200], [1500, 1300]])
    inside = hands_picture.square_about(stripes, corners, 400)[0][60:340, 20:380]
    assert np.abs(inside - 127.5).max() < 40  # pixels that are left out come as 0 and 255


@pytest.mark.parametrize("side", [60, 640, 1900])
def test_a_square_is_not_where_it_says(side):
    photo = np.zeros((1500, 2000, 3), np.uint8)
    photo[699:706, 999:1006] = 255
    corners = np.float32([1010.3, 690.6]) + np.float32([[-side / 2, -side / 2], [side / 2, side / 2]])
    square, moved = hands_picture.square_about(photo, corners, 400)
    light = square[..., 0].astype(float)
    middle = [(light.sum(axis) * np.arange(400)).sum() / light.sum() for axis in (0, 1)]
    np.testing.assert_allclose(middle, moved(np.float32([1002, 702])), atol=0.1)
    far = hands_picture.square_about(photo, corners + 90_000, 400)[0]
    assert far.shape == (400, 400, 3) and not far.any()


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"opacity": 1.1}, "opacity is 1.1"),
        ({"line_width": 0}, "line width is 0"),
        ({"style": "mine"}, "no picture style"),
    ],
)
def test_a_picture_that_cannot_be_is_no_sentence(result, options, sentence):
    with pytest.raises(SapiensError, match=sentence):
        result.picture(**options)


# ---- files ----------------------------------------------------------------------------------------------------------


def test_files_do_not_hold_the_result(result, tmp_path):
    paths = result.save(tmp_path, "p", side_by_side=True)
    endings = ["hands.png", "hands.json", "hands.npz", "hands.glb", "hands.obj", "hands_side_by_side.png"]
    assert [path.name for path in paths] == [f"p_{ending}" for ending in endings]
    with np.load(tmp_path / "p_hands.npz") as saved:
        for name in ("scores", "boxes_xyxy", "keypoints_xy", "keypoints_3d", "vertices", "mano_pose", "detected_xy"):
            np.testing.assert_array_equal(saved[name], getattr(result, name))
        assert tuple(saved["sides"]) == result.sides and saved["focal_px"] == pytest.approx(result.focal_px)
        assert "faces" not in saved  # of MANO; the meshes have them, as they must
    text = json.loads((tmp_path / "p_hands.json").read_text())
    assert text["photo_size"] == {"width": 640, "height": 480}
    assert (text["joint_names"], text["links"]) == (list(JOINTS), [list(link) for link in LINKS])
    assert made_up.joints_of(tmp_path / "p_hands.json") == [list(JOINTS)] * 2
    for number, hand in enumerate(text["hands"]):
        assert hand["side"] == result.sides[number] and len(hand["pose"]) == 16 and len(hand["shape"]) == 10
        joints = [[joint[axis] for axis in ("x_mm", "y_mm", "z_mm")] for joint in hand["joints"]]
        np.testing.assert_allclose(joints, result.keypoints_3d[number], atol=1e-3)
        flat = [[joint[axis] for axis in ("x", "y", "detected_x", "detected_y")] for joint in hand["joints"]]
        both = np.concatenate([result.keypoints_xy[number], result.detected_xy[number]], axis=1)
        np.testing.assert_allclose(flat, both, atol=1e-3)
        crop = hand["crop"]
        assert crop["side_px"] == pytest.approx(result.crops_px[number], abs=1e-2)


@pytest.mark.parametrize("ending, unit", [("glb", 1.0), ("obj", 1000.0)])
def test_a_scene_does_not_open_elsewhere(result, tmp_path, ending, unit):
    result.save(tmp_path, "p")
    scene = trimesh.load(tmp_path / f"p_hands.{ending}", force="scene", process=False)
    meshes = list(scene.geometry.values())
    if ending == "obj":  # two objects, which trimesh makes one mesh of
        lines = (tmp_path / "p_hands.obj").read_text().splitlines()
        assert [line for line in lines if line[0] == "o"] == [
            f"o {side}_hand_{number + 1}" for number, side in enumerate(result.sides)
        ]
        half = len(meshes[0].vertices) // 2
        first = (meshes[0].faces < half).all(1)
        meshes = [meshes[0].submesh([np.nonzero(rows)[0]], append=True) for rows in (first, ~first)]
    assert [len(mesh.faces) for mesh in meshes] == [1538, 1538]
    together = np.concatenate([mesh.vertices for mesh in meshes]) / unit
    assert together[:, 2].max() < 0, "a hand is behind the camera"
    assert together[:, 2].min() > -3  # an arm's length or two, and no 30 metres
    # Seen by an ordinary lens, about where they are in the photo.
    seen = together[:, :2] / -together[:, 2:] * 640 * [1, -1] + [319.5, 239.5]
    expected = result.project(result.vertices).reshape(-1, 2)
    np.testing.assert_allclose(seen.min(0), expected.min(0), atol=15)
    np.testing.assert_allclose(seen.max(0), expected.max(0), atol=15)
    # Both sides are turned outwards.
    volumes = []
    for mesh in meshes:
        a, b, c = (mesh.vertices[mesh.faces[:, corner]] - mesh.vertices.mean(0) for corner in range(3))
        volumes.append(float(np.einsum("ij,ij->", a, np.cross(b, c))))
    assert len({np.sign(volume) for volume in volumes}) == 1


def test_outputs_hold_something_of_mano_beside_their_meshes(result, tmp_path):
    result.save(tmp_path, "p")
    for path in tmp_path.glob("p_hands.*"):
        assert b"mano.is.tue" not in path.read_bytes().lower()
    with np.load(tmp_path / "p_hands.npz") as saved:
        shapes = {saved[name].shape for name in saved.files}
    assert not shapes & {(778, 3), (778, 3, 10), (135, 2334), (16, 778), (778, 16), (1538, 3)}


def test_points_alone_have_meshes_in_files(weights, tmp_path):
    alone = sm.load("hands", level="fp32")(PHOTO, vertices=False)
    assert [path.name for path in alone.save(tmp_path, "p")] == ["p_hands.png", "p_hands.json", "p_hands.npz"]
    assert changed(alone.picture()).any()


# ---- with pose ------------------------------------------------------------------------------------------------------


def pose_of(hands, *people: dict[str, tuple[float, float]]) -> PoseResult:
    """People of whom only the named keypoints are seen."""
    names = keypoints().names
    points = np.zeros((len(people), 308, 2), np.float32)
    scores = np.zeros((len(people), 308), np.float32)
    for person, seen in enumerate(people):
        for name, xy in seen.items():
            points[person, names.index(name)], scores[person, names.index(name)] = xy, 0.9
    boxes = np.tile(np.float32([0, 0, 639, 479]), (len(people), 1))
    return PoseResult(hands.photo_rgb, points, scores, boxes, np.ones(len(people), np.float32))


def test_a_hand_belongs_to_someone_elses_wrist(result):
    right, left = (result.sides.index(side) for side in ("right", "left"))
    wrists = result.keypoints_xy[:, 0]
    pose = pose_of(
        result,
        {"right_wrist": wrists[right] + 30, "left_wrist": wrists[right]},  # the nearer one is of the other side
        {"right_wrist": wrists[right] + 5, "left_wrist": wrists[left] + [300, 0]},  # the left one is too far
    )
    found = hands_people.owners(result, pose)
    assert found[right].person == 1 and found[right].distance_px == pytest.approx(5 * 2**0.5, abs=1e-3)
    assert found[left].person is None and np.isnan(found[left].distance_px)
    assert [one.person for one in hands_people.owners(result, pose_of(result))] == [None, None]
    (picture, words), *others = hands_people.pictures(result, pose, px=100)
    assert words == f"{right + 1}: right hand of person 2" and not others
    assert picture.shape[0] == 100 and 200 < picture.shape[1] < 220
    assert (picture[:, :100] != picture[:, -100:]).any()
    assert hands_people.pictures(result, pose_of(result)) == []


def test_two_hands_of_a_side_share_a_wrist(weights):
    both = sm.load("hands", level="fp32")(made_up.discs("rr"))
    wrists = both.keypoints_xy[:, 0]
    between = wrists[0] + [60, 0] if wrists[1, 0] > wrists[0, 0] else wrists[0] - [60, 0]
    pose = pose_of(both, {"right_wrist": between})
    assert [one.person for one in hands_people.owners(both, pose)] == [0, None]


def test_joints_of_both_networks_are_not_the_same():
    names = keypoints().names
    for side in ("left", "right"):
        found = [names[index] for index in hands_people.keypoint_indices(side)]
        assert len(set(found)) == 21 and all(name.startswith(side) for name in found)
        pairs = dict(zip(JOINTS, found, strict=True))
        assert pairs["wrist"] == f"{side}_wrist"
        assert (pairs["thumb_tip"], pairs["index_mcp"]) == (f"{side}_thumb4", f"{side}_forefinger_third_joint")
        assert (pairs["little_dip"], pairs["middle_pip"]) == (f"{side}_pinky_finger3", f"{side}_middle_finger2")


# ---- the command line -----------------------------------------------------------------------------------------------


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    status = main([str(argument) for argument in arguments])
    return (status, *capsys.readouterr())


def test_predict_does_not_write_pose_and_hands_together(weights, tiny_size, photo, tmp_path, capsys):
    rule.write_tiny(weights, "pose")
    status, printed, error = run(
        capsys, "predict", photo, "--task", "pose,hands", "--size", "tiny", "--no-flip", "--boxes=0,0,639,479",
        "--out", tmp_path / "out", "--json",
    )  # fmt: skip
    assert status == 0, error
    pose, hands = json.loads(printed)["results"]
    assert (pose["task"], hands["task"], hands["size"]) == ("pose", "hands", "wilor")
    path = next(Path(one) for one in hands["files"] if one.endswith("photo_hands_people.json"))
    together = json.loads(path.read_text())["hands"]
    assert path.with_suffix(".png").is_file() == any(row["person"] is not None for row in together)
    assert [row["side"] for row in together] == made_up_sides(tmp_path / "out/photo_hands.json")
    assert {"load", "detect", "fit", "network", "decode", "draw"} <= set(hands["seconds"])
    assert "CC BY-NC-ND" in hands["licence"] and "MANO" in hands["licence"] and "Ultralytics" in hands["licence"]


def made_up_sides(path: Path) -> list[str]:
    return [hand["side"] for hand in json.loads(path.read_text())["hands"]]


def test_options_of_the_command_line_do_nothing(weights, photo, tmp_path, capsys):
    arguments = ("predict", photo, "--task", "hands", "--level", "fp32", "--json", "--out")
    plain = json.loads(run(capsys, *arguments, tmp_path / "a")[1])
    solid = json.loads(run(capsys, *arguments, tmp_path / "b", "--mesh-opacity", 1, "--no-vertices")[1])
    assert len(plain["files"]) == 5 and len(solid["files"]) == 3
    sure = json.loads(run(capsys, *arguments, tmp_path / "c", "--hand-threshold", 1)[1])
    assert any("No hand was found" in notice for notice in sure["notices"])
    crop = json.loads(run(capsys, *arguments, tmp_path / "d", "--hand-crop", "left", "--hand-norms", "trained")[1])
    assert made_up_sides(tmp_path / "d/photo_hands.json") == ["left"] and "detect" not in crop["seconds"]
    status, _, error = run(capsys, *arguments, tmp_path / "e", "--hand-iou", 2)
    assert (status, error.count("\n")) == (2, 1) and "hand_iou is 2.0" in error
    status, _, error = run(capsys, *arguments, tmp_path / "e", "--mesh-opacity", 2)
    assert (status, error.count("\n")) == (2, 1) and "opacity is 2.0" in error


def test_a_folder_of_photos_is_not_done(weights, tiny_size, tmp_path, capsys):
    rule.write_tiny(weights, "pose")
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in "ab":
        Image.fromarray(made_up.discs("rl")).save(photos / f"{name}.png")
    arguments = ("predict", photos, "--task", "hands,pose", "--size", "tiny", "--no-flip", "--detector", "none")
    status, _, error = run(capsys, *arguments, "--out", tmp_path / "out", "--json")
    assert status == 0, error
    written = sorted(path.name for path in (tmp_path / "out").rglob("*_hands*"))
    assert {f"{name}_hands.{ending}" for name in "ab" for ending in ("png", "json", "npz", "glb", "obj")} < set(written)
    assert {"a_hands_people.json", "b_hands_people.json"} < set(written)
    again = json.loads(run(capsys, *arguments, "--out", tmp_path / "out", "--json")[1])
    assert "skipped" not in again or again["skipped"] == 2


@pytest.mark.parametrize("before", [["pose"], ["hands"], ["pose", "hands"]])
def test_whose_hands_are_is_missing_or_of_other_hands(weights, tiny_size, photo, tmp_path, capsys, before):
    rule.write_tiny(weights, "pose")
    (tmp_path / "photos").mkdir()
    photo.rename(tmp_path / "photos/a.png")
    arguments = ("predict", tmp_path / "photos", "--size", "tiny", "--no-flip", "--detector", "none", "--json")
    arguments += ("--out", tmp_path / "out", "--task")
    for task in before:
        assert run(capsys, *arguments, task)[0] == 0
    together = tmp_path / "out/a_hands_people.json"
    for options, done in (((), 1), ((), 0), (("--hand-threshold", 1), 1), (("--hand-threshold", 1), 0)):
        status, printed, error = run(capsys, *arguments, "pose,hands", *options)
        assert (status, json.loads(printed)["done"]) == (0, done), error
        assert len(json.loads(together.read_text())["hands"]) == (0 if options else 2)
    (tmp_path / "photos/a.png").touch()
    assert json.loads(run(capsys, *arguments, "pose,hands", "--hand-threshold", 1)[1])["done"] == 1
    together.unlink()
    assert run(capsys, *arguments, "pose,hands", "--hand-threshold", 1)[0] == 0 and together.exists()


class InStep:
    """A lock that two threads leave together."""

    def __init__(self) -> None:
        self._lock, self._both = threading.Lock(), threading.Barrier(2, timeout=30)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *problem: object) -> None:
        self._lock.release()
        self._both.wait()


def test_two_writers_write_whose_hands_are_at_once(result, tmp_path):
    pose = pose_of(result)
    pose.report = replace(result.report, task="pose", seconds={})
    predictors = [Predictor("pose", "demo"), Predictor("hands", level="fp32")]
    with manifest.Manifest(tmp_path) as book, Stop(lambda: None) as stop:
        runner = at_work.Runner(tmp_path, predictors, [], Options(), {}, book, stop, at_work.Tally())
        runner._lock, read = InStep(), at_work._Read(Item("a.png", "a", ["pose", "hands"]))
        with ThreadPoolExecutor(2) as writers:
            rows = list(writers.map(lambda one: runner._results(read, one.report.task, lambda: one), (pose, result)))
    assert [output for row in rows for output in row["outputs"]].count("a_hands_people.json") == 1


@pytest.mark.parametrize("view", VIEWS)
def test_a_clip_has_no_hands(weights, tmp_path, view):
    folder = tmp_path / "frames"
    folder.mkdir()
    cut = np.full_like(PHOTO, BACKGROUND)
    cut[:, :340] = made_up.discs("r")[:, 300:]  # a hand that reaches beyond the frame
    for number, frame in enumerate((PHOTO, cut, np.zeros_like(PHOTO))):
        Image.fromarray(frame).save(folder / f"{number}.png")
    report = run_clip(
        folder, Predictor("hands", level="fp32"), tmp_path / "out", options=Options(), choices=ClipChoices(view=view)
    )
    rows = [json.loads(line) for line in (tmp_path / "out/frames_hands.jsonl").read_text().splitlines()]
    assert report.frames == 3 and [len(row["hands"]) for row in rows] == [2, 1, 0]
    assert {hand["side"] for hand in rows[0]["hands"]} == {"left", "right"}
    assert np.shape(rows[0]["hands"][0]["joints"]) == (21, 5)
    assert Path(report.video).is_file() and "MANO" in report.licence
    assert [notice for notice in report.notices if "hand" in notice] == ["In 1 of 3 frames no hand was found."]


def test_a_clip_without_hands_counts_them(weights, tmp_path):
    (tmp_path / "frames").mkdir()
    for number in range(2):
        Image.fromarray(np.zeros_like(PHOTO)).save(tmp_path / f"frames/{number}.png")
    report = run_clip(tmp_path / "frames", Predictor("hands", level="fp32"), tmp_path / "out")
    assert report.notices == ["No hand was found in any frame. Lower the hand threshold (--hand-threshold)."]


# ---- levels ---------------------------------------------------------------------------------------------------------


def test_levels_are_not_compared(weights, photo, tmp_path, capsys):
    status, printed, error = run(
        capsys, "compare", photo, "--task", "hands", "--levels", "fp32,bf16,4bit", "--out", tmp_path / "out", "--json"
    )
    assert status == 0, error
    found = json.loads(printed)
    assert (found["reference"], found["size"]) == ("fp32", "wilor")
    rows = {row["level"]: row for row in found["levels"]}
    assert rows["fp32"]["figures"]["mean_shift_mm"] == 0 < rows["bf16"]["figures"]["mean_shift_mm"]
    assert rows["bf16"]["figures"]["mean_shift_mm"] < rows["4bit"]["figures"]["mean_shift_mm"]
    assert rows["4bit"]["over"] == "42 points of 2 hands"
    assert rows["4bit"]["file_bytes"] == (weights / "hands/wilor-mlx-int4.safetensors").stat().st_size
    assert "--size wilor --levels fp32,bf16,4bit" in found["command"] and "--boxes" not in found["command"]
    assert (tmp_path / "out/photo_hands_wilor_4bit_difference.png").is_file()


def test_the_command_of_a_comparison_leaves_options_out(weights, photo):
    comparison = Comparison(
        photo, "hands", ["wilor:fp32", "demo:bf16"], hand_threshold=0.4, hand_crop="left", vertices=False
    )
    words = compare_files.command_line(comparison)
    assert "--hand-threshold 0.4 --hand-crop left --no-vertices" in words
    assert [str(one) for one in comparison.variants] == ["wilor:fp32", "wilor:bf16"]
    with pytest.raises(SapiensError, match="Hands do not come at 8bit"):
        Comparison(photo, "hands", ["wilor:fp32", "wilor:8bit"])


def test_different_hands_are_compared(result, weights):
    other = sm.load("hands", level="fp32")(PHOTO, hand_threshold=float(result.scores[0]) - 1e-4)
    with pytest.raises(SapiensError, match="of different hands"):
        other.agreement(result)
    nothing = sm.load("hands", level="fp32")(np.zeros_like(PHOTO))
    assert np.isnan(nothing.agreement(nothing).values["mean_shift_mm"])


def test_hands_that_moved_by_a_last_bit_are_others(result):
    moved = copy.copy(result)
    moved.crops_px = np.nextafter(result.crops_px, np.float32(1e4))
    assert moved.agreement(result).values["mean_shift_mm"] == 0
    moved.crops_px = result.crops_px + np.float32(0.1)
    with pytest.raises(SapiensError, match="of different hands"):
        moved.agreement(result)


def test_differences_are_not_on_the_hands(result, weights):
    coarse = sm.load("hands", level="4bit")(PHOTO)
    values = coarse.difference(result).values
    assert np.nanmax(values) > 0 and 0.001 < np.isfinite(values).mean() < 0.5


# ---- what hands are not for -----------------------------------------------------------------------------------------


def test_what_is_not_for_hands_is_no_sentence():
    assert "hands" in zoo.task_names() and tasks.figures("hands")
    with pytest.raises(SapiensError, match=r"There is no task 'feet'.*hands"):
        zoo.task_row("feet")
    with pytest.raises(SapiensError, match="may not be changed and passed on"):
        convert(task="hands", size="wilor", level="4bit")
    with pytest.raises(SapiensError, match=r"benchmarks\.hands"):
        measure("hands", "wilor", "fp32")
