"""What results say about a place in a photo, and how far two places are apart."""

import math

import numpy as np
import pytest

from sapiens_mlx.errors import SapiensError
from sapiens_mlx.probe import Reading, between, reading
from sapiens_mlx.tasks.albedo import AlbedoResult
from sapiens_mlx.tasks.keypoints import keypoints
from sapiens_mlx.tasks.matting import MattingResult
from sapiens_mlx.tasks.normal import NormalResult
from sapiens_mlx.tasks.pointmap import PointmapResult
from sapiens_mlx.tasks.pose import PoseResult
from sapiens_mlx.tasks.seg import SegResult, classes
from sapiens_mlx.ui.studio import probing

HEIGHT, WIDTH = 120, 160
FOCAL = 100.0  # pixels
PHOTO = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
HAIR = classes().names.index("Hair")
NAMES = keypoints().names
PERSON = np.s_[20:100, 40:120]


def wall(depth_m=2.0, lean=0.0):
    """A pinhole camera's points of a wall, whose depth grows by `lean` metres for each metre to the right."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32) + 0.5
    right, down = (x - WIDTH / 2) / FOCAL, (y - HEIGHT / 2) / FOCAL
    z = depth_m / (1 - lean * right)
    return np.stack([right * z, down * z, z], -1).astype(np.float32)


def pointmap(points=None, **options):
    return PointmapResult(PHOTO, wall() if points is None else points, 1.0, FOCAL, 77.3, **options)


def seg():
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[PERSON] = HAIR
    return SegResult(PHOTO, labels, np.zeros((2, 2, 29), np.float32))


def pose(points, boxes=((40, 20, 119, 99),)):
    """`points`: (person, index) -> (x, y, score), from the middle of the first pixel."""
    xy, scores = np.zeros((len(boxes), 308, 2), np.float32), np.zeros((len(boxes), 308), np.float32)
    for (person, index), (x, y, score) in points.items():
        xy[person, index], scores[person, index] = (x, y), score
    return PoseResult(PHOTO, xy, scores, np.float32(boxes), np.ones(len(boxes), np.float32))


def everything():
    alpha = np.zeros((HEIGHT, WIDTH), np.float32)
    alpha[PERSON] = 0.75
    mask = alpha > 0.5
    return {
        "seg": seg(),
        "pose": pose({(0, 9): (80, 60, 0.9)}),
        "normal": NormalResult(PHOTO, np.full(PHOTO.shape, 0.5, np.float32), person_mask=mask),
        "pointmap": pointmap(person_mask=mask),
        "albedo": AlbedoResult(PHOTO, np.full(PHOTO.shape, 0.25, np.float32), person_mask=mask),
        "matting": MattingResult(PHOTO, alpha, np.zeros(PHOTO.shape, np.float32)),
    }


def test_a_place_on_a_person_is_misread():
    found = reading(everything(), 82.5, 63.5)
    assert (found.part, found.on_person, found.alpha, found.albedo) == ("Hair", True, 0.75, (0.25, 0.25, 0.25))
    assert found.normal == pytest.approx([3**-0.5] * 3)
    assert found.depth_m == 2.0
    assert found.position_m == pytest.approx((2.5 / FOCAL * 2, 3.5 / FOCAL * 2, 2), abs=1e-6)
    near = found.keypoint
    assert (near.person, near.name) == (0, NAMES[9])
    assert near.score == pytest.approx(0.9) and near.distance_px == pytest.approx(math.hypot(2, 3))


def test_what_lies_beside_people_is_hidden_or_not_marked():
    found = reading(everything(), 5, 5)
    assert (found.part, found.on_person, found.alpha, found.depth_m) == ("Background", False, 0.0, 2.0)
    assert found.keypoint is None and found.normal is not None


@pytest.mark.parametrize("name", ["seg", "pose", "normal", "pointmap", "albedo", "matting"])
def test_one_result_alone_is_not_enough(name):
    whole, alone = reading(everything(), 82.5, 63.5), reading({name: everything()[name]}, 82.5, 63.5)
    own = {"seg": ["part"], "pose": ["keypoint"], "pointmap": ["depth_m", "position_m"], "matting": ["alpha"]}
    for field in ("part", "keypoint", "normal", "depth_m", "position_m", "alpha", "albedo"):
        expected = getattr(whole, field) if field in own.get(name, [name]) else None
        assert getattr(alone, field) == expected
    assert alone.on_person is (None if name == "pose" else True)


def test_results_of_other_tasks_get_in_the_way():
    other = everything()["normal"]
    found = reading({"relit": other, "features": other}, 1, 1)
    assert (found.normal, found.on_person) == (None, False)  # their mask is known all the same


def test_whoever_gave_the_mask_is_not_asked_first():
    mask = np.zeros((HEIGHT, WIDTH), bool)
    assert reading({"seg": seg(), "pointmap": pointmap(person_mask=mask)}, 80, 60).on_person is False
    assert reading({"pointmap": pointmap(), "seg": seg()}, 80, 60).on_person is True
    assert reading({"pointmap": pointmap()}, 80, 60).on_person is None


@pytest.mark.parametrize(("x", "y"), [(0, 0), (WIDTH - 0.01, 0), (0, HEIGHT - 0.01), (WIDTH - 0.01, HEIGHT - 0.01)])
def test_the_edges_of_the_photo_are_left_out(x, y):
    expected = ((int(x) + 0.5 - WIDTH / 2) / FOCAL * 2, (int(y) + 0.5 - HEIGHT / 2) / FOCAL * 2, 2)
    assert reading(everything(), x, y).position_m == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("x", "y"), [(-0.1, 5), (5, -1), (WIDTH, 5), (5, HEIGHT), (math.nan, 5), (5, math.inf)])
def test_a_place_outside_the_photo_is_read(x, y):
    with pytest.raises(SapiensError, match="outside the photo of 160 x 120 pixels"):
        reading(everything(), x, y)


def test_no_results_or_those_of_two_photos_are_read():
    with pytest.raises(SapiensError, match="no result yet"):
        reading({}, 1, 1)
    other = NormalResult(np.zeros((50, 40, 3), np.uint8), np.zeros((50, 40, 3), np.float32))
    with pytest.raises(SapiensError, match="160 x 120 and 40 x 50"):
        reading({"seg": seg(), "normal": other}, 1, 1)


@pytest.mark.parametrize("point", [(0, 0, -1), (0, 0, 0), (np.nan, 0, 2), (0, np.inf, 2), (0, 0, np.inf)])
def test_a_point_behind_the_camera_or_nowhere_has_a_depth(point):
    points = wall()
    points[60, 80] = point
    found = reading({"pointmap": pointmap(points)}, 80.5, 60.5)
    assert found.depth_m is None and found.position_m is None


@pytest.mark.parametrize("vector", [(0, 0, 0), (np.nan, 0, 1), (np.inf, 0, 1)])
def test_a_normal_without_length_faces_somewhere(vector):
    normals = np.full(PHOTO.shape, vector, np.float32)
    assert reading({"normal": NormalResult(PHOTO, normals)}, 1, 1).normal is None


# ---- keypoints ------------------------------------------------------------------------------------------------------


def near(points, x, y, **options):
    boxes = options.pop("boxes", ((40, 20, 119, 99),))
    return reading({"pose": pose(points, boxes)}, x + 0.5, y + 0.5, **options).keypoint


def test_the_nearest_keypoint_is_not_the_nearest():
    points = {(0, 3): (60, 60, 0.8), (0, 4): (63, 60, 0.8), (0, 5): (61, 60, 0.2)}
    assert near(points, 60.9, 60).name == NAMES[3]  # the nearest of all is below the threshold
    assert near(points, 62, 60).name == NAMES[4]
    assert near(points, 60.9, 60, keypoint_threshold=0.1).name == NAMES[5]


def test_a_score_at_the_threshold_counts():
    assert near({(0, 3): (60, 60, 0.5)}, 60, 60, keypoint_threshold=0.5) is None


def test_reach_does_not_follow_the_size_of_the_person():
    small, large = (10, 10, 29, 49), (40, 0, 159, 239)
    points = {(0, 3): (20, 20, 0.9), (1, 3): (100, 60, 0.9)}
    assert near(points, 23, 20, boxes=(small, large)).person == 0
    assert near(points, 28, 20, boxes=(small, large)) is None
    assert near(points, 109, 60, boxes=(small, large)).person == 1


def test_the_nearest_is_taken_of_the_first_person_alone():
    boxes = ((40, 20, 119, 99), (50, 20, 129, 99))
    points = {(0, 3): (60, 60, 0.9), (1, 7): (62, 60, 0.7)}
    found = near(points, 61.5, 60, boxes=boxes)
    assert (found.person, found.name) == (1, NAMES[7])


def test_nobody_at_all_has_keypoints():
    assert near({}, 60, 60, boxes=np.zeros((0, 4))) is None


# ---- distances ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b", "straight", "horizontal", "vertical"),
    [
        ((60.5, 60.5), (110.5, 60.5), 100, 100, 0),  # 50 px at a focal length of 100 and 2 m
        ((80.5, 30.5), (80.5, 90.5), 120, 0, -120),  # the second lies lower
        ((80.5, 90.5), (80.5, 30.5), 120, 0, 120),
        ((60.5, 30.5), (90.5, 70.5), 100, 60, -80),
        ((60.5, 30.5), (60.9, 30.9), 0, 0, 0),
    ],
)
def test_a_distance_on_a_wall_is_not_the_wall_s(a, b, straight, horizontal, vertical):
    results = everything()
    found = between(reading(results, *a), reading(results, *b))
    measured = found.straight_cm, found.horizontal_cm, found.vertical_cm
    assert measured == pytest.approx((straight, horizontal, vertical), abs=1e-3)


def test_the_way_away_from_the_camera_is_not_horizontal():
    results = {"pointmap": pointmap(wall(lean=0.5))}
    a, b = reading(results, 40.5, 60.5), reading(results, 120.5, 60.5)
    across, away = b.position_m[0] - a.position_m[0], b.position_m[2] - a.position_m[2]
    assert away == pytest.approx(0.5 * across, rel=1e-4) and away > 0.3
    found = between(a, b)
    assert found.horizontal_cm == pytest.approx(100 * math.hypot(across, away), rel=1e-6)
    down = b.position_m[1] - a.position_m[1]  # half a pixel below the horizon, and farther away
    assert found.vertical_cm == pytest.approx(-100 * down) and 0 < down < 0.01
    assert found.straight_cm == pytest.approx(100 * math.hypot(across, away, down))


def test_a_place_without_a_depth_has_a_distance():
    here, nowhere = Reading(1, 1, position_m=(0, 0, 1)), Reading(2, 2)
    with pytest.raises(SapiensError, match="the second place"):
        between(here, nowhere)
    with pytest.raises(SapiensError, match="the first place"):
        between(nowhere, here)


# ---- words and markers ----------------------------------------------------------------------------------------------


def test_a_reading_is_said_without_its_units_or_unescaped():
    text = probing.told([reading(everything(), 82.5, 63.5)])
    for part in ("Hair", "2.00 m away", "0.05 m right, 0.07 m down", "score 0.90", "75%", "#404040", "82, 63 px"):
        assert part in text
    assert probing.ONE_MORE in text and probing.OFF_PERSON not in text
    assert "&lt;b&gt;" in probing.told([Reading(1, 1, part="<b>")])


def test_what_is_not_there_is_said():
    text = probing.told([reading({"seg": seg()}, 5, 5)])
    assert "Background" in text and "Depth" not in text and probing.OFF_PERSON not in text
    assert probing.OFF_PERSON in probing.told([reading(everything(), 5, 5)])
    assert probing.NOTHING in probing.told([reading({"pose": pose({})}, 5, 5)])
    assert probing.HINT in probing.told([])


def test_two_places_are_said_without_their_distance_or_its_assumption():
    results = everything()
    text = probing.told([reading(results, 60.5, 30.5), reading(results, 90.5, 70.5)])
    for part in ("100.0 cm", "60.0 cm", "80.0 cm (2 is lower)", "Camera taken as level", "Place 1", "Place 2"):
        assert part in text
    without = probing.told([reading({"seg": seg()}, 60, 30), reading({"seg": seg()}, 90, 70)])
    assert probing.NO_DISTANCE in without and "cm" not in without


@pytest.mark.parametrize("grey", [0, 128, 255])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_markers_are_not_where_the_places_are_or_cannot_be_seen(grey, scale):
    picture = np.full((300, 400, 3), grey, np.uint8)
    places = [(100 / scale, 80 / scale), (300 / scale, 220 / scale)]
    marked = probing.marked(picture, places, scale)
    assert (picture == grey).all() and marked.shape == picture.shape
    changed = (marked != grey).any(-1)
    for x, y in ((100, 80), (300, 220)):
        assert changed[y - 9 : y + 10, x - 9 : x + 10].any()
        assert not changed[y - 2 : y + 2, x - 2 : x + 2].any()  # the place itself stays clear
    assert changed[150 - 3 : 150 + 3, 200 - 3 : 200 + 3].any()  # the line
    assert np.abs(marked.astype(int) - grey).max() >= 127


@pytest.mark.parametrize("place", [(0, 0), (159.9, 0), (0, 119.9), (159.9, 119.9)])
def test_a_marker_in_a_corner_is_lost(place):
    marked = probing.marked(PHOTO, [place], 1.0)
    assert (marked == probing.LABEL).all(-1).sum() > 30


def test_two_places_in_one_cannot_be_marked():
    assert probing.marked(PHOTO, [(50, 50), (50, 50)], 1.0).any()
