"""People keep their numbers: matching, people who leave and come back, and boxes that move with keypoints."""

import json

import numpy as np
import pytest

from sapiens_mlx.video.track import Tracker, iou, match, moved_box

A, B, C = [0, 0, 10, 20], [30, 0, 40, 20], [60, 0, 70, 20]


def boxes(*rows) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


def shifted(box: list[float], x: float) -> list[float]:
    return [box[0] + x, box[1], box[2] + x, box[3]]


def found(tracker: Tracker, time_s: float, *rows) -> dict[int, list[float]]:
    """Boxes by number, after these were found."""
    present = tracker.found(boxes(*rows), np.ones(len(rows), np.float32), time_s)
    return {track.number: track.box_xyxy.tolist() for track in present}


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (A, A, 1.0),
        (A, B, 0.0),
        (A, shifted(A, 5), 1 / 3),
        (A, [0, 0, 10, 10], 0.5),
        (A, shifted(A, 10), 0.0),  # they touch
        ([5, 5, 5, 5], A, 0.0),  # no area
        ([5, 5, 5, 5], [5, 5, 5, 5], 0.0),
    ],
)
def test_overlap(a, b, expected):
    assert iou(boxes(a), boxes(b)).item() == pytest.approx(expected)


@pytest.mark.parametrize("shape", [(0, 0), (0, 2), (2, 0)])
def test_overlap_of_nobody(shape):
    assert iou(np.zeros((shape[0], 4)), np.zeros((shape[1], 4))).shape == shape


@pytest.mark.parametrize(
    ("tracks", "people", "expected"),
    [
        ([A, B], [A, B], {0: 0, 1: 1}),
        ([A, B], [B, A], {1: 0, 0: 1}),
        ([A], [B], {}),
        ([], [A], {}),
        ([A], [], {}),
        # Both overlap the first track: the nearer one has it, and the other goes without.
        ([A], [shifted(A, 3), shifted(A, 1)], {1: 0}),
        # One box on two tracks: it belongs to the nearer.
        ([shifted(A, 4), shifted(A, 1)], [A], {0: 1}),
        # The best pair first: the second person is not left over though the first came first.
        ([A, shifted(A, 4)], [shifted(A, 3), shifted(A, 7)], {0: 1}),
    ],
)
def test_matching(tracks, people, expected):
    assert match(boxes(*tracks), boxes(*people), 0.5) == expected


def test_people_keep_their_numbers_whatever_the_order_they_are_found_in():
    tracker = Tracker()
    assert list(found(tracker, 0.0, A, B, C)) == [1, 2, 3]
    rows = found(tracker, 0.1, shifted(C, 1), shifted(A, 1), shifted(B, 1))
    assert rows == {1: shifted(A, 1), 2: shifted(B, 1), 3: shifted(C, 1)}


def test_somebody_new_gets_a_number_nobody_had():
    tracker = Tracker()
    found(tracker, 0.0, A, B)
    found(tracker, 0.1, A)
    assert list(found(tracker, 0.2, A, C)) == [1, 3]


def test_somebody_out_of_sight_for_a_moment_keeps_the_number_and_after_long_does_not():
    tracker = Tracker(kept_s=1.0)
    found(tracker, 0.0, A, B)
    found(tracker, 0.1, A)
    assert list(found(tracker, 0.9, A, B)) == [1, 2]
    found(tracker, 1.0, A)
    found(tracker, 2.0, A)
    assert list(found(tracker, 2.1, A, B)) == [1, 3]


def test_numbers_are_kept_however_far_apart_frames_are():
    tracker = Tracker(kept_s=1.0)
    found(tracker, 0.0, A, B)
    assert list(found(tracker, 60.0, shifted(B, 1), A)) == [1, 2]


def test_somebody_who_walks_past_another_keeps_the_number():
    tracker, walker = Tracker(), [0, -10, 10, 20]
    for step in range(100):
        rows = found(tracker, step / 25, shifted(walker, step), C)
        assert rows == {1: shifted(walker, step), 2: C}


def test_between_frames_that_are_looked_at_people_stay_and_do_not_expire():
    tracker = Tracker(kept_s=1.0)
    found(tracker, 0.0, A, B)
    for step in range(1, 50):
        assert [track.number for track in tracker.still(step / 10)] == [1, 2]
    assert list(found(tracker, 5.0, B, A)) == [1, 2]


# ---- boxes that move with keypoints ---------------------------------------------------------------------------------


def points(offset: float = 0, scale: float = 1, seen: int = 12) -> np.ndarray:
    """Twelve points in a grid from (10, 10) to (40, 60), of which the first are seen."""
    x, y = np.meshgrid(np.linspace(10, 40, 3), np.linspace(10, 60, 4))
    scores = np.where(np.arange(12) < seen, 0.9, 0.1)
    return np.stack([x.ravel() * scale + offset, y.ravel() * scale + offset, scores], axis=1)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (points(), [5, 5, 50, 70]),
        (points(offset=7), [12, 12, 57, 77]),
        (points(scale=2), [10, 10, 100, 140]),
        (points(offset=7, seen=7), [5, 5, 50, 70]),  # too few to be moved by
        (points(scale=10), [90, 90, 420, 620]),  # no margin grows by more than twofold
    ],
)
def test_a_box_follows_its_keypoints(now, expected):
    box = moved_box(np.array([5, 5, 50, 70], np.float32), points(), now, 0.3)
    np.testing.assert_allclose(box, expected, atol=1e-3)


def test_points_that_were_not_seen_both_times_do_not_move_a_box():
    before = points()
    now = points(offset=3)
    before[11, 2] = 0.1
    now[11, :2] = 1000
    box = moved_box(np.array([5, 5, 50, 70], np.float32), before, now, 0.3)
    np.testing.assert_allclose(box, [8, 8, 53, 73], atol=1e-3)


def test_one_point_that_strays_does_not_move_a_box():
    now = points(offset=3)
    now[11, :2] += 200  # on somebody else, and sure of it
    box = moved_box(np.array([5, 5, 50, 70], np.float32), points(), now, 0.3)
    np.testing.assert_allclose(box, [8, 8, 53, 73], atol=1e-3)


def test_a_state_kept_as_json_goes_on_as_if_nothing_had_happened():
    tracker, other = Tracker(), Tracker()
    found(tracker, 0.0, A, B)
    tracker.moved({1: points(), 2: points(offset=30)}, 0.3)
    found(tracker, 0.1, B)
    other.restore(json.loads(json.dumps(tracker.state())))
    for one in (tracker, other):
        one.moved({2: points(offset=31)}, 0.3)
    assert tracker.state() == other.state()
    assert found(tracker, 0.2, C, A, B) == found(other, 0.2, C, A, B)
