"""How near a result is to a reference: every figure on arrays small enough to work it out by hand, and the maps."""

import json
import math
import tracemalloc

import numpy as np
import pytest

from sapiens_mlx import tasks, zoo
from sapiens_mlx.errors import SapiensError
from sapiens_mlx.tasks import draw
from sapiens_mlx.tasks.agreement import Agreement, DifferenceMap, Figure
from sapiens_mlx.tasks.albedo import AlbedoResult
from sapiens_mlx.tasks.detect import DetectResult
from sapiens_mlx.tasks.matting import MattingResult
from sapiens_mlx.tasks.normal import NormalResult
from sapiens_mlx.tasks.pointmap import PointmapResult
from sapiens_mlx.tasks.pose import PoseResult
from sapiens_mlx.tasks.seg import SegResult, classes

PHOTO = np.full((2, 4, 3), 200, np.uint8)
LEFT = np.array([[True, True, False, False]] * 2)


def seg(labels):
    labels = np.array(labels, np.uint8)
    return SegResult(PHOTO[: len(labels), : labels.shape[1]], labels, np.zeros((2, 2, 29), np.float32))


def normals(*vectors, mask=None):
    """Two rows of the same four vectors."""
    return NormalResult(PHOTO, np.array([vectors] * 2, np.float32), person_mask=mask)


def pointmap(depths, scale=2.0, mask=None):
    points = np.zeros((2, 4, 3), np.float32)
    points[..., 2] = depths
    return PointmapResult(PHOTO, points, scale, 1000.0, 30.0, person_mask=mask)


def albedo(value, mask=None):
    return AlbedoResult(PHOTO, np.full((2, 4, 3), value, np.float32), person_mask=mask)


def matting(alpha):
    return MattingResult(PHOTO, np.full((2, 4), alpha, np.float32), np.zeros((2, 4, 3), np.float32))


def pose(moved_px=0.0, scores=0.9, boxes=((0, 0, 199, 199),)):
    """People whose 308 points stand on a grid, all moved to the right; one number, or one a point."""
    grid = np.stack(np.meshgrid(np.arange(22) * 8.0, np.arange(14) * 8.0), -1).reshape(1, 308, 2).repeat(len(boxes), 0)
    grid[..., 0] += moved_px
    scores = np.broadcast_to(np.float32(scores), grid.shape[:2])
    photo = np.full((200, 200, 3), 200, np.uint8)
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    return PoseResult(photo, grid.astype(np.float32), scores, boxes, np.ones(len(boxes), np.float32))


PAIRS = {
    "seg": (seg([[0, 0, 1, 1]] * 2), seg([[0, 1, 1, 1]] * 2)),
    "pose": (pose(), pose(2.0)),
    "normal": (normals(*[(0, 0, 1)] * 4), normals(*[(0, 1, 1)] * 4)),
    "pointmap": (pointmap(2.0), pointmap(2.5)),
    "albedo": (albedo(0.5), albedo(0.6)),
    "matting": (matting(0.5), matting(0.6)),
}


# ---- figures --------------------------------------------------------------------------------------------------------


def test_seg_counts_pixels_or_classes_wrongly():
    """Of 8 pixels one of the reference's three of class 7 is taken for background, one of background for class 9."""
    reference = seg([[0, 0, 0, 7], [0, 0, 7, 7]])
    found = seg([[0, 0, 0, 7], [9, 0, 0, 7]]).agreement(reference)
    assert found.values["pixel_agreement"] == 6 / 8
    # Background: 4 shared, 5 there, 5 found, so 6 in the union; class 7: 2 of 3. Class 9 is not in the reference.
    assert found.values["mean_iou"] == pytest.approx((4 / 6 + 2 / 3) / 2)
    assert found.over == "the whole photo"


def test_the_worst_class_is_not_the_one_with_the_lowest_iou():
    found = seg([[7, 7, 3, 0]]).agreement(seg([[7, 7, 3, 3]]))
    assert found.values["worst_class_iou"] == 1 / 2
    assert found.notes == {"worst_class_iou": classes().title(3)}


def test_angles_are_measured_wrongly():
    """0, 45, 90 and 10 degrees, of vectors of other lengths than 1."""
    ten = math.radians(10)
    reference = normals((0, 0, 2), (0, 0, 1), (1, 0, 0), (0, 0, 1))
    found = normals((0, 0, 1), (0, 3, 3), (0, 0.5, 0), (0, 0.4 * math.sin(ten), 0.4 * math.cos(ten)))
    figures = found.agreement(reference).values
    assert figures["mean_angle_deg"] == pytest.approx(145 / 4, abs=1e-4)
    assert figures["median_angle_deg"] == pytest.approx((10 + 45) / 2, abs=1e-4)
    assert figures["within_11_25_deg"] == 1 / 2


@pytest.mark.parametrize("angle_deg", [0.0, 0.001, 0.02, 179.99])
def test_small_angles_drown_in_float32(angle_deg):
    turn = math.radians(angle_deg)
    found = normals(*[(math.cos(turn), math.sin(turn), 0)] * 4).agreement(normals(*[(1, 0, 0)] * 4))
    assert found.values["mean_angle_deg"] == pytest.approx(angle_deg, rel=1e-3, abs=1e-9)


def test_vectors_without_length_or_outside_people_count():
    reference = normals((0, 0, 1), (0, 0, 0), (0, 0, 1), (0, 0, 1), mask=LEFT)
    result = normals((0, 1, 1), (0, 0, 1), (1, 0, 0), (1, 0, 0), mask=~LEFT)
    found = result.agreement(reference)
    assert found.values["mean_angle_deg"] == pytest.approx(45)
    assert found.over == "people (50.0 % of the photo)"
    shown = result.difference(reference).values
    assert np.isfinite(shown[:, 0]).all() and np.isnan(shown[:, 1:]).all()


def test_depth_is_compared_behind_the_camera_or_by_the_wrong_one():
    """2 m found as 2.5 m, 4 m as 3 m; what the reference has behind the camera or at no depth is left out."""
    reference = pointmap([2, 4, -1, 0], scale=2.0)
    found = pointmap([2.5, 3, 5, 5], scale=1.5).agreement(reference)
    assert found.values["depth_difference"] == pytest.approx((0.25 + 0.25) / 2)
    assert found.values["scale_difference"] == pytest.approx(0.25)
    shown = pointmap([2.5, 3, 5, 5]).difference(reference)
    np.testing.assert_allclose(shown.values[0, :2], [50, 100])
    assert np.isnan(shown.values[:, 2:]).all() and shown.unit == "cm of depth"


def test_depth_outside_people_counts():
    found = pointmap([2.2, 2.2, 9, 9]).agreement(pointmap(2.0, mask=LEFT))
    assert found.values["depth_difference"] == pytest.approx(0.1, rel=1e-5)


def test_psnr_or_difference_of_colours_is_wrong():
    """A tenth everywhere: 20 dB. Two channels of three equal: a third of the square, 4.77 dB more."""
    found = albedo(0.6).agreement(albedo(0.5))
    assert found.values["psnr_db"] == pytest.approx(20, abs=1e-4)
    assert found.values["mean_difference"] == pytest.approx(0.1, rel=1e-5)
    one_channel = albedo(0.5)
    one_channel.albedo[..., 1] = 0.6
    found = one_channel.agreement(albedo(0.5))
    assert found.values["psnr_db"] == pytest.approx(20 + 10 * math.log10(3), abs=1e-4)
    assert found.values["mean_difference"] == pytest.approx(0.1 / 3, rel=1e-5)


def test_colours_outside_people_count():
    result = albedo(0.5)
    result.albedo[:, 3] = 0.9
    result.albedo[0, 0] = 0.7
    found = result.agreement(albedo(0.5, mask=LEFT))
    assert found.values["mean_difference"] == pytest.approx(0.2 / 4, rel=1e-5)
    assert found.values["psnr_db"] == pytest.approx(20, abs=1e-4)  # 0.04 / 4


def test_opacity_is_compared_over_people_or_with_colours():
    found = matting(0.25).agreement(matting(0.35))
    assert found.values["psnr_db"] == pytest.approx(20, abs=1e-4)
    assert found.values["mean_difference"] == pytest.approx(0.1, rel=1e-5)
    assert found.over == "the whole photo"


def test_shifts_of_points_are_wrong():
    """Of 308 points, 100 confident: 90 moved by 1 px, 10 by 7; what is not confident moved by 500."""
    moved = np.full(308, 500.0)
    moved[:90], moved[90:100] = 1, 7
    scores = np.where(np.arange(308) < 100, zoo.DEFAULTS.keypoint_threshold, 0.29)
    found = pose(moved, scores=0.1).agreement(pose(scores=scores))
    assert found.values["mean_shift_px"] == pytest.approx((90 * 1 + 10 * 7) / 100)
    assert found.values["p95_shift_px"] == pytest.approx(7)
    assert found.values["pck_5px"] == pytest.approx(0.9)
    assert found.over == "100 confident points of 1 person"


@pytest.mark.parametrize(("moved", "near"), [(5.0, 1.0), (5.01, 0.0)])
def test_five_pixels_are_not_near(moved, near):
    assert pose(moved).agreement(pose()).values["pck_5px"] == near


@pytest.mark.parametrize("reference", [pose(boxes=()), pose(scores=0.1)], ids=["nobody", "nothing confident"])
def test_nothing_to_compare_is_a_number(reference):
    boxes = reference.boxes_xyxy
    found = pose(3.0, boxes=boxes).agreement(reference)
    assert all(math.isnan(value) for value in found.values.values())
    assert set(found.notes.values()) == {"nothing to compare"}
    json.dumps(found.to_json(), allow_nan=False)


def test_a_mask_without_people_is_a_warning_or_a_number():
    nobody = np.zeros((2, 4), bool)
    pairs = [
        (normals(*[(0, 1, 1)] * 4), normals(*[(0, 0, 1)] * 4, mask=nobody)),
        (pointmap(2.5), pointmap(2.0, mask=nobody)),
        (albedo(0.6), albedo(0.5, mask=nobody)),
    ]
    for result, reference in pairs:
        found = result.agreement(reference)
        first = result.FIGURES[0].name
        assert math.isnan(found.values[first]) and found.notes[first] == "nothing to compare"
        assert np.isnan(result.difference(reference).values).all()


@pytest.mark.parametrize("task", PAIRS)
def test_a_result_differs_from_itself(task):
    reference, _ = PAIRS[task]
    found = reference.agreement(reference)
    for figure in tasks.figures(task):
        value = found.values[figure.name]
        best = {"dB": math.inf, "%": 1.0 if figure.higher_is_better else 0.0}.get(figure.unit, 0.0)
        assert value == best
        assert (found.notes.get(figure.name) == "equal") == (figure.unit == "dB")
    assert not np.nan_to_num(reference.difference(reference).values).any()
    json.dumps(found.to_json(), allow_nan=False)


@pytest.mark.parametrize("task", PAIRS)
def test_figures_are_not_those_declared_or_point_the_wrong_way(task):
    reference, result = PAIRS[task]
    better, worse = reference.agreement(reference), result.agreement(reference)
    names = [figure.name for figure in tasks.figures(task)]
    assert list(worse.values) == names and len(set(names)) == len(names)
    assert list(worse.to_json()["figures"]) == names
    for figure in tasks.figures(task):
        if figure.name != "scale_difference" and better.values[figure.name] != worse.values[figure.name]:
            assert (better.values[figure.name] > worse.values[figure.name]) == figure.higher_is_better


# ---- what cannot be compared ----------------------------------------------------------------------------------------


def test_other_tasks_photos_or_people_are_compared():
    with pytest.raises(SapiensError, match="seg cannot be compared with one of albedo"):
        PAIRS["seg"][0].agreement(PAIRS["albedo"][0])
    with pytest.raises(SapiensError, match="4 x 2 and 3 x 2 pixels"):
        PAIRS["seg"][0].difference(seg([[0, 0, 1]] * 2))
    with pytest.raises(SapiensError, match="different boxes"):
        pose().agreement(pose(boxes=((0, 0, 100, 199),)))
    with pytest.raises(SapiensError, match="different boxes"):
        pose().difference(pose(boxes=()))
    people = DetectResult(PHOTO, np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
    with pytest.raises(SapiensError, match="detect cannot be compared"):
        people.agreement(people)
    assert tasks.figures("detect") == ()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_overlooked(bad):
    results = [albedo(0.5), normals(*[(0, 0, 1)] * 4), matting(0.5), pointmap(2.0), seg([[0, 1, 2, 3]] * 2)]
    assert all(result.is_finite() for result in results)
    for result, name in zip(results, ("albedo", "normals", "foreground", "points", "logits"), strict=True):
        getattr(result, name)[1, 1, 0] = bad
        assert not result.is_finite()
    assert not pointmap(2.0, scale=bad).is_finite()
    assert pose(boxes=()).is_finite()


# ---- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "value", "note", "text"),
    [
        ("%", 0.99794, "", "99.79 %"),
        ("%", 1.0, "", "100.00 %"),
        ("%", 0.9999999, "", "> 99.99 %"),
        ("%", 0.5, "Hair", "50.00 % (Hair)"),
        ("px", 0.0, "", "0.00 px"),
        ("px", 0.001, "", "< 0.01 px"),
        ("°", 12.346, "", "12.35°"),
        ("dB", math.inf, "equal", "equal"),
        ("px", math.nan, "nothing to compare", "nothing to compare"),
    ],
)
def test_a_figure_reads_wrongly(unit, value, note, text):
    assert Figure("name", "Title", unit, higher_is_better=True).text(value, note) == text


def test_json_holds_infinity():
    found = Agreement({"psnr_db": math.inf, "other": 0.5}, "the whole photo", {"psnr_db": "equal"}).to_json()
    assert found["figures"] == {"psnr_db": None, "other": 0.5}
    assert json.loads(json.dumps(found, allow_nan=False))["notes"] == {"psnr_db": "equal"}


# ---- maps -----------------------------------------------------------------------------------------------------------


def test_seg_shows_equal_labels_as_different():
    reference, result = PAIRS["seg"]
    difference = result.difference(reference)
    assert difference.values.dtype == np.float32
    np.testing.assert_array_equal(difference.values, [[0, 1, 0, 0]] * 2)


def test_points_are_marked_elsewhere_or_with_another_shift():
    moved = np.zeros(308)
    moved[0], moved[307] = 6.0, 3.0  # at (0, 0) and (168, 104), far from the rest once moved
    scores = np.where(np.isin(np.arange(308), (0, 200, 307)), 0.9, 0.1)
    difference = pose(moved).difference(pose(scores=scores))
    values = difference.values
    assert values.shape == (200, 200) and difference.unit == "pixels moved"
    assert (values[0, 6], values[104, 171], values[72, 16]) == (6.0, 3.0, 0.0)
    assert np.isfinite(values).sum() < 200  # three discs
    rows, columns = np.nonzero(values == 3.0)
    assert (rows.mean(), columns.mean()) == pytest.approx((104, 171))


def test_points_outside_the_photo_are_drawn_on_its_other_side():
    far = pose(-5000.0)
    assert np.isnan(far.difference(pose()).values).all()
    cut = pose(-1.0).difference(pose()).values
    assert np.isfinite(cut[:, 0]).any() and np.isnan(cut[:, -1]).all()


def test_colours_do_not_grow_lighter_or_do_not_end_at_full_scale():
    photo = np.full((64, 300, 3), 90, np.uint8)
    ramp = np.linspace(0, 20, 300, dtype=np.float32)[None].repeat(64, 0)
    picture = DifferenceMap(ramp, "degrees", 10.0).picture(photo, bar=False)
    light = (picture[0] @ (0.299, 0.587, 0.114)).astype(int)
    assert (np.diff(light)[:150] >= -1).all() and light[149] > light[0] + 150
    assert (picture[:, 151:] == draw.HEAT_RGB[-1]).all()


def test_what_was_not_compared_looks_like_no_difference():
    photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    values = np.zeros((40, 60), np.float32)
    values[:, 30:] = np.nan
    picture = DifferenceMap(values, "degrees", 10.0).picture(photo, bar=False).astype(int)
    assert (np.ptp(picture[:, 30:], axis=-1) == 0).all()  # grey
    assert picture[:, 30:].std() > 10  # with the photo in it
    violet = picture[:, :30] - picture[:, 30:].mean()
    assert (picture[:, :30, 2] > picture[:, :30, 1] + 20).all() and violet.any()


def test_a_single_pixel_of_another_label_is_lost_in_a_large_photo():
    labels = np.zeros((3000, 4000), np.float32)
    labels[1500, 2000] = 1
    photo = np.full((3000, 4000, 3), 128, np.uint8)
    picture = DifferenceMap(labels, "", 1.0, labels=True).picture(photo, bar=False)
    marked = (picture == draw.HEAT_RGB[-1]).all(-1)
    assert 49 <= marked.sum() <= 121 and marked[1500, 2000]


@pytest.mark.parametrize("task", PAIRS)
def test_the_bar_of_colours_is_missing_or_covers_the_difference(task):
    reference, result = PAIRS[task]
    difference = result.difference(reference)
    size_hw = (400, 600)
    values = np.zeros(size_hw, np.float32)
    values[200:] = difference.full_scale
    large = DifferenceMap(values, difference.unit, difference.full_scale, difference.labels)
    photo = np.full((*size_hw, 3), 100, np.uint8)
    changed = (large.picture(photo) != large.picture(photo, bar=False)).any(-1)
    assert changed[:200].sum() > 2000 and not changed[200:].any()


def test_a_tiny_picture_fails_for_want_of_room_for_the_bar():
    reference, result = PAIRS["normal"]
    assert result.difference(reference).picture(PHOTO).shape == PHOTO.shape


def test_depth_beside_a_reference_has_colours_of_its_own():
    near, far = pointmap([1, 2, 3, 4]), pointmap([2, 4, 6, 8])
    np.testing.assert_array_equal(far.picture_beside(near), far.picture(depth_range_m=near.depth_range_m()))
    assert (far.picture_beside(near) != far.picture()).any()
    result = PAIRS["albedo"][1]
    np.testing.assert_array_equal(result.picture_beside(PAIRS["albedo"][0]), result.picture())


def test_maps_of_a_large_photo_take_several_times_its_memory():
    random = np.random.default_rng(0)
    photo = np.zeros((2000, 1500, 3), np.uint8)
    pair = [NormalResult(photo, random.standard_normal((2000, 1500, 3), np.float32)) for _ in range(2)]
    pixels = 2000 * 1500
    tracemalloc.start()
    difference = pair[0].difference(pair[1])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    difference.picture(photo)
    drawn = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * pixels  # the map is 4 bytes a pixel
    assert drawn < 25 * pixels
