"""Joint angles: what three points say in degrees, when nothing is said, and that left is not right."""

import math

import numpy as np
import pytest

from sapiens_mlx.tasks.joint_angles import ANGLES, MEASURES, NOTE, PAIRS, angle_deg, differences, joint_angles
from sapiens_mlx.tasks.keypoints import keypoints
from sapiens_mlx.tasks.pose_tables import angle_rows, angles_csv

INDEX = {name: index for index, name in enumerate(keypoints().names)}

# A person who stands upright and looks at the camera, whose left is the right side of the photo.
UPRIGHT = {
    "left_ear": (110, 40),
    "right_ear": (90, 40),
    "left_shoulder": (130, 80),
    "right_shoulder": (70, 80),
    "left_elbow": (130, 130),
    "right_elbow": (70, 130),
    "left_wrist": (130, 180),
    "right_wrist": (70, 180),
    "left_hip": (130, 200),
    "right_hip": (70, 200),
    "left_knee": (130, 280),
    "right_knee": (70, 280),
    "left_ankle": (130, 360),
    "right_ankle": (70, 360),
}


def person(scores=None, **places):
    """Keypoints (308, 2) and scores (308,) of UPRIGHT with some points elsewhere."""
    xy, all_scores = np.zeros((308, 2), np.float32), np.zeros(308, np.float32)
    for name, place in (UPRIGHT | places).items():
        xy[INDEX[name]], all_scores[INDEX[name]] = place, 0.9
    for name, score in (scores or {}).items():
        all_scores[INDEX[name]] = score
    return xy, all_scores


@pytest.mark.parametrize(
    ("corners", "degrees"),
    [
        ([(0, -1), (0, 0), (0, 1)], 180),
        ([(0, -1), (0, 0), (1, 0)], 90),
        ([(0, -1), (0, 0), (-1, 0)], 90),  # whichever way it bends
        ([(1, 0), (0, 0), (1, 0)], 0),
        ([(1, 0), (0, 0), (5, 5)], 45),  # the lengths do not matter
        ([(1e6, 0), (0, 0), (-1e6, 1e-3)], 180),
        ([(10, 10), (10, 10), (20, 10)], math.nan),
        ([(10, 20), (10, 10), (10, 10)], math.nan),
        ([(0, -5), (0, 0)], 0),  # leans
        ([(5, -5), (0, 0)], 45),
        ([(-5, -5), (0, 0)], -45),
        ([(5, 0), (0, 0)], 90),
        ([(0, 5), (0, 0)], 180),
        ([(-0.0, 5), (0, 0)], 180),
        ([(3, 3), (3, 3)], math.nan),
    ],
)
def test_angle_between_two_lines_and_lean_of_one(corners, degrees):
    assert angle_deg(np.array(corners, np.float64)) == pytest.approx(degrees, abs=1e-6, nan_ok=True)


def test_who_stands_straight_has_straight_joints_and_no_lean():
    angles = joint_angles(*person())
    straight = {f"{side}_{name}" for side in ("left", "right") for name in ("elbow", "hip", "knee")} | {"neck"}
    assert set(angles) == set(ANGLES)
    assert {name: round(angles[name], 4) for name in straight} == dict.fromkeys(straight, 180)
    arms_down = ("left_shoulder", "right_shoulder", "trunk_lean")
    assert [round(angles[name], 4) for name in arms_down] == [0, 0, 0]


@pytest.mark.parametrize(
    ("places", "angle", "degrees"),
    [
        ({"left_wrist": (180, 130)}, "left_elbow", 90),
        ({"right_wrist": (20, 130)}, "right_elbow", 90),
        ({"left_elbow": (180, 80)}, "left_shoulder", 90),
        ({"right_elbow": (70, 30)}, "right_shoulder", 180),
        ({"right_knee": (10, 200)}, "right_hip", 90),
        ({"left_ankle": (210, 280)}, "left_knee", 90),
        ({"left_ear": (150, 80), "right_ear": (130, 80)}, "neck", 90),
        ({"left_shoulder": (250, 200), "right_shoulder": (190, 200)}, "trunk_lean", 90),
        ({"left_shoulder": (10, 80), "right_shoulder": (-50, 80)}, "trunk_lean", -45),
    ],
)
def test_a_joint_that_bends_changes_its_own_angle(places, angle, degrees):
    angles = joint_angles(*person(**places))
    assert angles[angle] == pytest.approx(degrees, abs=1e-4)


@pytest.mark.parametrize("name", UPRIGHT)
def test_an_angle_is_nan_where_one_of_its_points_is_not_seen(name):
    angles = joint_angles(*person({name: 0.3}))  # at the threshold, so not above it
    for key, angle in ANGLES.items():
        needed = {*angle.first, *angle.vertex, *(angle.last or ())}
        assert math.isnan(angles[key]) == (name in needed), key


def test_threshold_decides_what_is_seen():
    points, scores = person({"left_wrist": 0.2})
    assert math.isnan(joint_angles(points, scores)["left_elbow"])
    assert joint_angles(points, scores, 0.1)["left_elbow"] == pytest.approx(180)


def test_points_that_are_no_numbers_give_no_angle():
    points, scores = person(left_knee=(math.nan, 280))
    angles = joint_angles(points, scores)
    assert math.isnan(angles["left_knee"])
    assert math.isnan(angles["left_hip"])
    assert angles["right_knee"] == pytest.approx(180)


def test_mirrored_photo_swaps_sides_and_turns_the_lean():
    points, scores = person(left_wrist=(170, 100), left_shoulder=(150, 80), right_knee=(40, 260))
    partner = keypoints().flip_indices
    mirrored = joint_angles((points * [-1, 1] + [399, 0])[partner], scores[partner])
    angles = joint_angles(points, scores)
    for name in PAIRS:
        assert mirrored[f"left_{name}"] == pytest.approx(angles[f"right_{name}"], abs=1e-3)
        assert mirrored[f"right_{name}"] == pytest.approx(angles[f"left_{name}"], abs=1e-3)
    assert mirrored["neck"] == pytest.approx(angles["neck"], abs=1e-3)
    assert mirrored["trunk_lean"] == pytest.approx(-angles["trunk_lean"], abs=1e-3)
    assert angles["trunk_lean"] > 1


def test_difference_is_left_minus_right():
    apart = differences(joint_angles(*person({"right_ankle": 0}, left_wrist=(180, 130))))
    assert set(apart) == set(PAIRS) == {"elbow", "shoulder", "hip", "knee"}
    assert apart["elbow"] == pytest.approx(-90, abs=1e-4)
    assert apart["hip"] == pytest.approx(0, abs=1e-4)
    assert math.isnan(apart["knee"])


def test_every_angle_is_of_keypoints_that_there_are_and_says_what_it_means():
    assert len(ANGLES) == 10
    for angle in ANGLES.values():
        assert {*angle.first, *angle.vertex, *(angle.last or ())} <= set(INDEX)
    assert all("°" in measure.meaning for measure in MEASURES.values())


def test_csv_has_a_line_a_measure_and_leaves_empty_what_is_not_seen():
    people = [person(), person({"left_wrist": 0.1}, right_wrist=(20, 130))]
    points, scores = (np.stack(arrays) for arrays in zip(*people, strict=True))
    lines = angles_csv(points, scores, 0.3).decode().splitlines()
    assert lines[0] == "person,name,left_deg,right_deg,left_minus_right_deg,middle_deg,note"
    assert len(lines) == 1 + 2 * len(MEASURES)
    assert lines[1] == f"1,elbow,180.0,180.0,0.0,,{NOTE}"
    assert f"2,elbow,,90.0,,,{NOTE}" in lines
    assert f"1,trunk_lean,,,,0.0,{NOTE}" in lines
    assert angle_rows(points[:0], scores[:0], 0.3) == []
