"""The demo weights' training: the definitions of the figures that say how good they are, and the split of seeds."""

import numpy as np
import pytest

from training import figures, scenes

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
