"""The page's part below a pose: what its chips ask of the picture, and what its tables say."""

import subprocess
import sys

import gradio as gr
import numpy as np
import pytest
from test_joint_angles import person

from sapiens_mlx.tasks.joint_angles import NOTE
from sapiens_mlx.tasks.pose import PoseResult
from sapiens_mlx.ui.studio import pose_panel

ELBOW, WRIST, PUPIL = 7, 62, 290


def result(*people):
    points, scores = (np.stack(arrays) for arrays in zip(*people, strict=True))
    boxes = np.tile(np.float32([10, 10, 250, 380]), (len(people), 1))
    return PoseResult(
        np.zeros((400, 260, 3), np.uint8),
        keypoints=points,
        keypoint_scores=scores,
        boxes_xyxy=boxes,
        box_scores=np.full(len(people), 0.9, np.float32),
    )


def values(**changed):
    start = {"pose_groups": pose_panel.all_groups(), "pose_people": [0, 1], "pose_find": -1, "pose_angles": False}
    return start | changed


TWO = result(person(), person(left_wrist=(180, 130)))
EVERYTHING = {"groups": None, "people": None, "highlight": None, "angles": False}


@pytest.mark.parametrize(
    ("changed", "asked"),
    [
        ({}, {}),
        ({"pose_groups": ["face", "feet"]}, {"groups": ("face", "feet")}),
        ({"pose_groups": []}, {"groups": ()}),
        ({"pose_people": [1]}, {"people": (1,)}),
        ({"pose_people": []}, {"people": ()}),
        ({"pose_people": [1, 7]}, {"people": (1,)}),
        ({"pose_people": [7]}, {}),  # of an earlier photo
        ({"pose_find": ELBOW, "pose_angles": True}, {"highlight": ELBOW, "angles": True}),
        ({"pose_find": None}, {}),
        ({"pose_find": 0}, {"highlight": 0}),
    ],
)
def test_chips_are_the_options_of_the_picture(changed, asked):
    options = pose_panel.options(values(**changed), TWO)
    assert options == EVERYTHING | asked
    assert TWO.picture(**options).shape == (400, 260, 3)


@pytest.mark.parametrize("people", [[], [0], [0, 1, 2]])
def test_a_single_person_is_always_shown(people):
    assert pose_panel.options(values(pose_people=people), result(person()))["people"] is None


def test_everybody_is_shown_anew_when_a_pose_arrives():
    updates = pose_panel.arrived(TWO)
    assert updates["pose_people"]["choices"] == [("Person 1", 0), ("Person 2", 1)]
    assert (updates["pose_people"]["value"], updates["pose_people"]["visible"]) == ([0, 1], True)
    assert updates["pose_find"]["value"] is None
    assert pose_panel.arrived(result(person()))["pose_people"]["visible"] is False
    assert set(updates) <= set(pose_panel.NAMES)


def test_table_holds_what_the_chips_leave_with_the_point_looked_for_first():
    table = pose_panel.rows(TWO, values(pose_groups=["body"], pose_people=[1], pose_find=PUPIL))
    assert table["headers"] == list(pose_panel.HEADERS)
    first, *others = table["data"]
    assert first[:4] == [2, PUPIL, "Left centre of pupil", "Face"]
    assert {row[0] for row in others} == {2}
    assert [row[1] for row in others] == [*range(15), 41, WRIST, *range(63, 70)]
    assert next(row for row in others if row[1] == WRIST)[2:] == ["Left wrist", "Left hand", 180.0, 130.0, 0.9]


def test_table_is_cut_where_a_crowd_would_make_it_endless():
    crowd = result(*[person()] * 5)
    assert len(pose_panel.rows(crowd, values(pose_people=[0, 1, 2, 3, 4]))["data"]) == pose_panel.MOST_ROWS
    assert len(pose_panel.rows(crowd, values(pose_people=[3]))["data"]) == 308


def test_angles_are_told_with_their_differences_and_what_they_are_not():
    words = pose_panel.angles_table(TWO, values(pose_angles=True))
    first, second = words.split("Person 2")
    row = '<th scope="row">Elbow</th><td>{}°</td><td>180°</td><td>{}°</td></tr>'
    assert NOTE in first
    assert "Person 1" in first
    assert row.format(180, 0) in first
    assert row.format(90, "−90") in second
    assert '<th scope="row">Neck</th><td colspan="2">180°</td><td></td></tr>' in second
    only = pose_panel.angles_table(TWO, values(pose_angles=True, pose_people=[1]))
    assert "Person 1" not in only
    assert row.format(90, "−90") in only
    assert "Person" not in pose_panel.angles_table(result(person()), values(pose_angles=True))
    assert pose_panel.angles_table(TWO, values()) == ""
    assert "Nobody" in pose_panel.angles_table(TWO, values(pose_angles=True, pose_people=[]))


def test_angles_follow_the_threshold_of_the_picture():
    hidden = result(person({"left_wrist": 0.4}))
    row = '<th scope="row">Elbow</th><td>{}</td>'
    assert row.format("180°") in pose_panel.angles_table(hidden, values(pose_angles=True))
    high = values(pose_angles=True, pose_keypoint_threshold=0.5)
    assert row.format("–") in pose_panel.angles_table(hidden, high)


def test_every_keypoint_can_be_found_by_a_name_of_its_own():
    choices = pose_panel.find_choices()
    assert choices[0] == ("None", pose_panel.NOWHERE)
    assert sorted(index for _, index in choices) == list(range(-1, 308))
    assert len({name for name, _ in choices}) == 309


def test_panel_fills_its_inputs():
    inputs = {}
    with gr.Blocks():
        parts = pose_panel.build(inputs)
    assert tuple(inputs) == pose_panel.NAMES
    assert set(parts) == {"angles", "points", "table"}


def test_importing_the_panel_brings_neither_mlx_nor_opencv():
    program = "import sys; from sapiens_mlx.ui.studio import pose_panel; "
    program += "print([m for m in ('mlx.core', 'cv2') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
