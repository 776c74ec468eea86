"""COCO's, COCO-WholeBody's and OpenPose's layouts: their own order, the same side, zeros for what we do not have."""

import csv
import dataclasses
import io
import json

import numpy as np
import pytest

from sapiens_mlx.errors import SapiensError
from sapiens_mlx.tasks.keypoints import keypoints
from sapiens_mlx.tasks.pose import PoseResult
from sapiens_mlx.tasks.pose_formats import FORMATS
from sapiens_mlx.tasks.pose_layouts import COCO_PARTS, OPENPOSE_KEYS, WHOLEBODY_PARTS, layout
from training.render.face import Face
from training.render.keypoints import face_points


def words(text):
    return text.split()


# The layouts as their authors list them (cocodataset.org, COCO-WholeBody's data_format.md, OpenPose's 02_output.md).
COCO = words(
    "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist "
    "right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle"
)
FEET = words("left_big_toe left_small_toe left_heel right_big_toe right_small_toe right_heel")
FINGERS = words("thumb forefinger middle_finger ring_finger pinky_finger")
BODY_25 = words(
    "Nose Neck RShoulder RElbow RWrist LShoulder LElbow LWrist MidHip RHip RKnee RAnkle LHip LKnee LAnkle REye LEye "
    "REar LEar LBigToe LSmallToe LHeel RBigToe RSmallToe RHeel"
)
# The 68 points of a face (iBUG): which are each other's mirror image; the others lie on the middle line.
FACE_PARTNERS = [
    *((number, 16 - number) for number in range(8)),  # jaw
    *((number, 43 - number) for number in range(17, 22)),  # brows
    *((31, 35), (32, 34)),  # nose
    *((36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)),  # eyes
    *((48, 54), (49, 53), (50, 52), (55, 59), (56, 58)),  # outer lips
    *((60, 64), (61, 63), (65, 67)),  # inner lips
    (68, 69),  # pupils, of OpenPose
]
NO_COUNTERPART = [*(f"face-{number}" for number in range(17)), "face-32", "face-34"]
INDEX = {name: index for index, name in enumerate(keypoints().names)}
PHOTO = np.zeros((300, 400, 3), np.uint8)


def hand(side):
    return [f"{side}_hand_root", *(f"{side}_{finger}{joint}" for finger in FINGERS for joint in range(1, 5))]


def face(count):
    return [f"face-{number}" for number in range(count)]


def result(count=2, seed=0):
    rng = np.random.default_rng(seed)
    return PoseResult(
        PHOTO,
        keypoints=rng.uniform(5, 295, (count, 308, 2)).astype(np.float32),
        keypoint_scores=rng.uniform(0.05, 1, (count, 308)).astype(np.float32),
        boxes_xyxy=np.tile(np.float32([10, 20, 110, 220]), (count, 1)),
        box_scores=np.linspace(0.9, 0.5, count).astype(np.float32),
    )


def saved(tmp_path, pose, name, **options):
    paths = pose.save(tmp_path, "photo", formats=[name], **options)
    assert paths[-1].name == f"photo_{FORMATS[name][0]}"
    return json.loads(paths[-1].read_text())


def triples(flat):
    return np.array(flat).reshape(-1, 3)


# ---- the mapping ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "names"),
    [
        (COCO_PARTS, COCO),
        (WHOLEBODY_PARTS, COCO + FEET + face(68) + hand("left") + hand("right")),
        (OPENPOSE_KEYS["pose_keypoints_2d"], BODY_25),
        (OPENPOSE_KEYS["face_keypoints_2d"], face(70)),
        (OPENPOSE_KEYS["hand_left_keypoints_2d"], hand("left")),
        (OPENPOSE_KEYS["hand_right_keypoints_2d"], hand("right")),
    ],
)
def test_points_stand_in_the_layouts_own_order(parts, names):
    assert list(layout(*parts).names) == names
    assert layout(*parts).sources.shape == (len(names), 2)


def test_body_points_are_taken_by_their_own_names():
    whole = layout(*WHOLEBODY_PARTS)
    for name, (first, second) in list(zip(whole.names, whole.sources, strict=True))[:23]:
        assert keypoints().names[first] == keypoints().names[second] == name


@pytest.mark.parametrize("side", ["left", "right"])
def test_fingers_run_from_the_palm_to_the_tip(side):
    part = layout(f"{side}_hand")
    ours = [keypoints().names[first] for first, _ in part.sources]
    joints = ["_third_joint", "2", "3", "4"]
    assert ours == [f"{side}_wrist", *(f"{side}_{finger}{joint}" for finger in FINGERS for joint in joints)]


def test_only_the_jaw_and_the_points_below_the_nostrils_are_missing():
    assert list(layout(*WHOLEBODY_PARTS).missing) == NO_COUNTERPART
    assert layout(*COCO_PARTS).missing == ()
    assert layout("body25").missing == layout("pupils").missing == ()


def partners(names):
    """The mirrored partner of every point of a layout, by name."""
    swapped = {face(70)[a]: face(70)[b] for a, b in FACE_PARTNERS + [(b, a) for a, b in FACE_PARTNERS]}
    for name in names:
        if name.startswith(("left_", "right_")):
            side, rest = name.split("_", 1)
            swapped[name] = f"{'right' if side == 'left' else 'left'}_{rest}"
        elif name in BODY_25 and name[0] in "LR":
            swapped[name] = ("R" if name[0] == "L" else "L") + name[1:]
    return swapped


@pytest.mark.parametrize("parts", [WHOLEBODY_PARTS, ("body25",), ("face68", "pupils")])
def test_the_partner_of_a_point_is_ours_partner(parts):
    one = layout(*parts)
    sources = dict(zip(one.names, one.sources.tolist(), strict=True))
    swapped = partners(one.names)
    flip = keypoints().flip_indices
    for name, ours in sources.items():
        mirrored = sources[swapped.get(name, name)]
        if ours[0] < 0:
            assert mirrored[0] < 0, name
        else:
            assert sorted(flip[ours].tolist()) == sorted(mirrored), name


def test_no_keypoint_stands_for_two_points_of_a_layout():
    for parts in (WHOLEBODY_PARTS, ("body25",), ("face68", "pupils")):
        one = layout(*parts)
        alone = [first for first, second in one.sources.tolist() if first == second and first >= 0]
        doubled = {keypoints().names[index] for index in alone if alone.count(index) > 1}
        assert doubled <= {"left_wrist", "right_wrist"}  # end of the arm and root of the hand


def test_face_of_a_drawn_person_is_the_face_that_the_68_points_mean():
    """Brows and lips run from the person's right to the left, eyes and lips once round, over the upper edge first."""
    rng, brown = np.random.default_rng(3), np.full(3, 0.3)
    drawn = Face.draw(rng, brown, brown, bearded=False, child=False)
    points = face_points(dataclasses.replace(drawn, eye_height=0.005, mouth_open=0.01))
    part = layout("face68", "pupils")
    xy = points[part.sources[:, 0], :2]  # x grows to the person's left, y upwards
    for first, last in ((17, 27), (36, 40), (42, 46), (48, 55), (60, 65)):
        assert (np.diff(xy[first:last, 0]) > 0).all(), (first, last)
    for first, last in ((39, 42), (45, 48), (54, 60), (64, 68)):
        assert (np.diff(xy[first:last, 0]) < 0).all(), (first, last)
    assert (np.diff(xy[27:31, 1]) < 0).all()  # down the bridge of the nose
    assert xy[31, 0] < xy[33, 0] < xy[35, 0]
    for upper, lower in ((37, 41), (38, 40), (43, 47), (44, 46), (51, 57), (50, 58), (62, 66), (61, 67)):
        assert xy[upper, 1] > xy[lower, 1], (upper, lower)
    for pupil, eye in ((68, slice(36, 42)), (69, slice(42, 48))):
        assert xy[eye, 0].min() < xy[pupil, 0] < xy[eye, 0].max()


def test_middle_has_the_lower_score_and_needs_both_ends():
    points, scores = np.zeros((308, 2), np.float32), np.zeros(308, np.float32)
    points[INDEX["left_shoulder"]], points[INDEX["right_shoulder"]] = (10, 20), (40, 60)
    scores[INDEX["left_shoulder"]], scores[INDEX["right_shoulder"]] = 0.9, 0.5
    body = layout("body25")
    neck = body.names.index("Neck")
    np.testing.assert_allclose(body.points(points, scores)[neck], (25, 40, 0.5))
    np.testing.assert_array_equal(body.points(points, scores, above=0.5)[neck], 0)
    np.testing.assert_array_equal(body.points(points, scores)[body.names.index("MidHip")], 0)


# ---- files ----------------------------------------------------------------------------------------------------------


def test_coco_file_holds_every_person_and_every_score(tmp_path):
    pose = result()
    table = saved(tmp_path, pose, "coco17")
    assert table["images"] == [{"id": 1, "width": 400, "height": 300, "file_name": "photo"}]
    assert table["categories"][0]["keypoints"] == COCO
    assert table["missing"] == []
    assert {tuple(sorted(link)) for link in table["categories"][0]["skeleton"]} >= {(12, 14), (6, 7), (7, 9)}
    for number, one in enumerate(table["annotations"]):
        ours = [INDEX[name] for name in COCO]
        np.testing.assert_allclose(triples(one["keypoints"])[:, :2], pose.keypoints[number, ours], atol=1e-3)
        np.testing.assert_allclose(triples(one["keypoints"])[:, 2], pose.keypoint_scores[number, ours], atol=1e-5)
        assert one["num_keypoints"] == (pose.keypoint_scores[number, ours] > 0.3).sum()
        assert (one["bbox"], one["area"], one["category_id"]) == ([10, 20, 100, 200], 20000, 1)
        assert one["score"] == pytest.approx(float(pose.box_scores[number]))
    assert [one["id"] for one in table["annotations"]] == [1, 2]


def test_wholebody_file_has_the_officials_keys_and_all_133(tmp_path):
    pose = result()
    table = saved(tmp_path, pose, "wholebody133")
    assert table["missing"] == NO_COUNTERPART
    assert len(table["categories"][0]["wholebody_keypoints"]) == 133
    for one in table["annotations"]:
        lengths = {"keypoints": 17, "foot_kpts": 6, "face_kpts": 68, "lefthand_kpts": 21, "righthand_kpts": 21}
        assert {key: len(one[key]) / 3 for key in lengths} == lengths
        assert [number for key in lengths for number in one[key]] == one["wholebody_keypoints"]
        laid = triples(one["face_kpts"])
        np.testing.assert_array_equal(laid[[*range(17), 32, 34]], 0)
        seen = laid[laid[:, 2] > 0.3]
        x, y, width, height = one["face_box"]
        assert (x, y) == pytest.approx(tuple(seen[:, :2].min(axis=0)))
        assert (x + width, y + height) == pytest.approx(tuple(seen[:, :2].max(axis=0)), abs=2e-3)
        assert one["face_valid"] and one["foot_valid"] and one["lefthand_valid"] and one["righthand_valid"]
        assert "foot_box" not in one


def test_a_part_that_is_not_seen_is_not_valid(tmp_path):
    pose = result(1)
    pose.keypoint_scores[:, 42:63] = 0.1
    one = saved(tmp_path, pose, "wholebody133")["annotations"][0]
    assert (one["lefthand_valid"], one["lefthand_box"]) == (False, [0, 0, 0, 0])
    assert one["righthand_valid"]


def test_openpose_file_has_zeros_below_the_threshold_and_middles(tmp_path):
    pose = result()
    table = saved(tmp_path, pose, "openpose", keypoint_threshold=0.5)
    assert table["version"] == 1.3
    assert table["missing"] == {"face_keypoints_2d": NO_COUNTERPART}
    for number, one in enumerate(table["people"]):
        lengths = {key: len(one[key]) / 3 for key in OPENPOSE_KEYS}
        assert list(lengths.values()) == [25, 70, 21, 21]
        body = dict(zip(BODY_25, triples(one["pose_keypoints_2d"]), strict=True))
        xy, scores = pose.keypoints[number], pose.keypoint_scores[number]
        for name, (left, right) in {
            "Neck": ("left_shoulder", "right_shoulder"),
            "MidHip": ("left_hip", "right_hip"),
        }.items():
            ends = [INDEX[left], INDEX[right]]
            seen = scores[ends].min() > 0.5
            wanted = (*xy[ends].mean(axis=0), scores[ends].min()) if seen else (0, 0, 0)
            np.testing.assert_allclose(body[name], wanted, atol=1e-3)
        for key in OPENPOSE_KEYS:
            laid = triples(one[key])
            assert ((laid[:, 2] > 0.5) | (laid == 0).all(axis=1)).all()
            assert (laid[:, 2] > 0.5).any()
        assert one["pose_keypoints_3d"] == []


def test_scores_of_nothing_are_zeros_in_every_layout(tmp_path):
    pose = result(1)
    pose.keypoint_scores[:] = -0.1
    coco = saved(tmp_path, pose, "wholebody133")["annotations"][0]
    assert not any(coco["wholebody_keypoints"])
    assert coco["num_keypoints"] == 0
    assert not any(saved(tmp_path, pose, "openpose")["people"][0]["pose_keypoints_2d"])


def test_nobody_is_a_file_too(tmp_path):
    assert saved(tmp_path, result(0), "coco17")["annotations"] == []
    assert saved(tmp_path, result(0), "wholebody133")["annotations"] == []
    assert saved(tmp_path, result(0), "openpose")["people"] == []


def test_table_of_keypoints_has_a_line_a_point(tmp_path):
    pose = result()
    path = pose.save(tmp_path, "photo", formats=["csv"])[-1]
    lines = list(csv.DictReader(io.StringIO(path.read_text())))
    assert path.name == "photo_pose.csv"
    assert list(lines[0]) == ["person", "index", "name", "group", "x_px", "y_px", "score"]
    assert len(lines) == len(pose.table()) == 2 * 308
    last = lines[308 + INDEX["left_wrist"]]
    assert (last["person"], last["name"], last["group"]) == ("2", "left_wrist", "left_hand")
    place = pose.keypoints[1, INDEX["left_wrist"]]
    assert (float(last["x_px"]), float(last["y_px"])) == pytest.approx(tuple(place), abs=1e-3)


def test_formats_come_after_poses_own_files_and_only_on_request(tmp_path):
    own = ["photo_pose.png", "photo_pose.json", "photo_pose.npz"]
    assert [path.name for path in result().save(tmp_path / "a", "photo")] == own
    paths = result().save(tmp_path / "b", "photo", formats=(*FORMATS, "csv"), side_by_side=True)
    endings = ["pose_coco17.json", "pose_wholebody133.json", "pose_openpose.json", "pose.csv", "pose_angles.csv"]
    assert [path.name for path in paths] == [
        *own,
        *(f"photo_{ending}" for ending in endings),
        "photo_pose_side_by_side.png",
    ]


def test_a_format_that_is_none_is_refused_before_a_file_is_written(tmp_path):
    with pytest.raises(SapiensError, match=r"'yolo'.*coco17"):
        result().save(tmp_path, "photo", formats=["coco17", "yolo"])
    assert list(tmp_path.iterdir()) == []
